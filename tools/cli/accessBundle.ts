import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CommandError, ExitCode } from "./commandError";
import type { StackOutputs } from "./outputs";
import { type StatePaths, writeAtomically } from "./state";
import { renderTable } from "./table";

/** From where a service is reached. */
export interface AccessService {
  /** Port on the gateway. */
  readonly port: number;
  readonly exposure: "public" | "tunnel" | "off";
  /** Port on this host while the tunnel is open; only for `tunnel`. */
  readonly localPort?: number;
}

/** The stack output `access`. */
export interface AccessOutput {
  /** Node that the tunnel goes to. */
  readonly edge: string;
  /** Address of the gateway inside the cluster. */
  readonly gatewayIp: string;
  readonly services: Readonly<Record<string, AccessService>>;
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** Everything a person needs to reach an environment; `logins` are secret. */
export interface AccessBundle {
  readonly stack: string;
  readonly access: AccessOutput;
  readonly urls: Readonly<Record<string, string>>;
  readonly nodes: Readonly<Record<string, string>>;
  readonly ssh: { readonly config: string; readonly privateKey: string };
  readonly logins: Readonly<Record<string, Login>>;
}

/** Where the files of the bundle are: SSH needs the key in one, readable by its owner only. */
export interface AccessFiles {
  readonly config: string;
  readonly key: string;
}

/**
 * Takes what a stack exports, secrets included.
 *
 * @throws CommandError when it has no gateway
 */
export function parseAccess(stack: string, outputs: StackOutputs): AccessBundle {
  const { access, urls, nodes, ssh, credentials } = outputs as Partial<{
    access: AccessOutput;
    urls: Record<string, string>;
    nodes: Record<string, string>;
    ssh: AccessBundle["ssh"];
    credentials: Record<string, unknown>;
  }>;
  if (access === undefined || ssh === undefined) {
    throw new CommandError(
      `The environment "${stack}" has no gateway yet. Next: npm run up${stack === "local" ? "" : ` -- ${stack}`}`,
      ExitCode.refused,
    );
  }
  return {
    stack,
    access,
    urls: urls ?? {},
    nodes: nodes ?? {},
    ssh,
    logins: Object.fromEntries(
      Object.entries(credentials ?? {}).filter((entry): entry is [string, Login] => isLogin(entry[1])),
    ),
  };
}

function isLogin(value: unknown): value is Login {
  const login = value as Partial<Login> | null;
  return typeof login?.username === "string" && typeof login.password === "string";
}

/** Writes the SSH configuration and its key below the state folder. Nothing else of the bundle is secret on disk. */
export function writeAccessFiles(bundle: AccessBundle, paths: StatePaths): AccessFiles {
  const folder = accessFolder(paths, bundle.stack);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const files = { config: join(folder, "ssh_config"), key: join(folder, "id") };
  writeAtomically(files.key, `${bundle.ssh.privateKey.trimEnd()}\n`);
  writeAtomically(files.config, localSshConfig(bundle.ssh.config, files.key));
  return files;
}

/** They are of no use without the environment. */
export function removeAccessFiles(paths: StatePaths, stack: string): void {
  rmSync(accessFolder(paths, stack), { recursive: true, force: true });
}

function accessFolder(paths: StatePaths, stack: string): string {
  return join(paths.root, "access", stack);
}

/** The stack's SSH configuration with the key where it really is. */
export function localSshConfig(config: string, key: string): string {
  return config.replace(/^(\s*IdentityFile) .*$/gm, (_, keyword: string) => `${keyword} "${key}"`);
}

/** Services that only the tunnel reaches, by name. */
export function tunnelServices(access: AccessOutput): [string, AccessService & { localPort: number }][] {
  return Object.entries(access.services)
    .filter(([, { exposure }]) => exposure === "tunnel")
    .map(([name, service]) => [name, { ...service, localPort: service.localPort ?? service.port }]);
}

/** Arguments of ssh for one tunnel to every service that needs it. */
export function tunnelArguments(access: AccessOutput, files: AccessFiles): string[] {
  return [
    "-F",
    files.config,
    "-N",
    "-o",
    "ExitOnForwardFailure=yes",
    "-o",
    "ServerAliveInterval=15",
    ...tunnelServices(access).flatMap(([, { port, localPort }]) => [
      "-L",
      `127.0.0.1:${localPort}:${access.gatewayIp}:${port}`,
    ]),
    access.edge,
  ];
}

/** A login that has no output because the cluster itself keeps it. */
export interface ClusterLogin {
  readonly namespace: string;
  readonly secret: string;
  /** Key of the secret's data. */
  readonly key: string;
  /** Put before the value: what the login page wants to have pasted. */
  readonly prefix: string;
  readonly username?: string;
  readonly where: string;
}

/** How to log in where the credential is kept by the cluster only. */
export const CLUSTER_LOGINS: Readonly<Record<string, ClusterLogin>> = {
  argocd: {
    namespace: "argocd",
    secret: "argocd-initial-admin-secret",
    key: "password",
    prefix: "",
    username: "admin",
    where: "Argo CD's login page",
  },
  "argo-workflows": {
    namespace: "argo",
    secret: "argo-operator-token",
    key: "token",
    prefix: "Bearer ",
    where: 'Argo Workflows\' login page, box "client authentication": paste it whole, with "Bearer"',
  },
  "argo-workflows-viewer": {
    namespace: "argo",
    secret: "argo-viewer-token",
    key: "token",
    prefix: "Bearer ",
    where: "the same box; may look, not change",
  },
};

/** The bundle for people: no secret in it. */
export function renderAccess(bundle: AccessBundle, files: AccessFiles): string {
  const { access, urls, stack } = bundle;
  const argument = stack === "local" ? "" : ` ${stack}`;
  const services = Object.entries(access.services).filter(([, { exposure }]) => exposure !== "off");
  const rows = services.map(([name, { exposure, port, localPort }]) => [
    name,
    urls[name] ?? (exposure === "tunnel" ? `http://127.0.0.1:${localPort ?? port}` : ""),
    exposure === "public" ? "directly" : "through the tunnel",
  ]);
  const tunnel = ["ssh", ...tunnelArguments(access, files)].map(shellWord).join(" ");
  const logins = [
    ...Object.entries(bundle.logins)
      .filter(([name]) => CLUSTER_LOGINS[name] === undefined)
      .map(([name, { username }]) => ({ name, what: `user ${username}` })),
    ...Object.entries(CLUSTER_LOGINS).map(([name, { username, where }]) => ({
      name,
      what: username === undefined ? where : `user ${username}, ${where}`,
    })),
  ].map(({ name, what }) => [name, `npm run -s access --${argument} --credential ${name}`, what]);
  return [
    renderTable(["SERVICE", "URL", "REACHED"], rows),
    "",
    ...(tunnelServices(access).length === 0
      ? ["No service needs a tunnel."]
      : [
          `One tunnel for all of them; Ctrl-C closes it (npm run tunnel${argument === "" ? "" : ` --${argument}`} does the same):`,
          `  ${tunnel}`,
        ]),
    "",
    `Machines: ${Object.keys(bundle.nodes).join(", ")}`,
    `  ssh -F ${shellWord(files.config)} ${access.edge}`,
    "",
    renderTable(["LOGIN", "COMMAND THAT PRINTS IT", "FOR"], logins),
  ].join("\n");
}

/** A word as a shell takes it back. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
