import { Command } from "commander";
import {
  type AccessBundle,
  CLUSTER_LOGINS,
  type Login,
  parseAccess,
  renderAccess,
  tunnelArguments,
  writeAccessFiles,
} from "./accessBundle";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { findJson, type KubeClient, withCluster } from "./kubeClient";
import { readOutputs } from "./outputs";
import { openStack, printProgress } from "./prepare";
import { DEFAULT_STACK } from "./project";
import { renderTable } from "./table";
import { openTunnel } from "./tunnel";

interface AccessOptions {
  readonly open: boolean;
  readonly credential?: string;
  readonly showSecrets: boolean;
  readonly json: boolean;
}

/** `npm run access`: how a person reaches everything of an environment. */
export function createAccessCommand(): Command {
  const command = new Command("access")
    .description("Show how to reach every service: URLs, one tunnel for all, SSH, and how to get each login.")
    .argument("[stack]", "environment", DEFAULT_STACK)
    .option("--open", "open the tunnel and keep it open until Ctrl-C, as `npm run tunnel` does", false)
    .option("--credential <name>", "print one login and nothing else")
    .option("--show-secrets", "print every login in plain text", false)
    .option("--json", "as JSON, for programs; without secrets", false)
    .action(access);
  return withExamples(command, [
    ["npm run access", "writes the SSH configuration, prints the rest; no secrets"],
    ["npm run -s access -- --credential mlflow", "one login: user name, a tab, password"],
    ["npm run -s access -- --credential argo-workflows", "token for the login page of Argo Workflows"],
    ["npm run access -- mystack --open", "the tunnel of another environment"],
  ]);
}

async function access(stack: string, options: AccessOptions): Promise<void> {
  if (options.credential !== undefined) {
    await printCredential(stack, options.credential);
    return;
  }
  if (options.showSecrets) {
    await printAllCredentials(stack);
    return;
  }
  const opened = await openStack(stack);
  const bundle = parseAccess(stack, await readOutputs(opened, true));
  const files = writeAccessFiles(bundle, opened.paths);
  if (options.open) {
    process.exitCode = await openTunnel(bundle, files);
    return;
  }
  const text = options.json
    ? JSON.stringify(
        {
          stack,
          services: bundle.access.services,
          urls: bundle.urls,
          nodes: bundle.nodes,
          ssh: files,
          tunnel: ["ssh", ...tunnelArguments(bundle.access, files)],
          credentials: loginNames(bundle),
        },
        undefined,
        2,
      )
    : renderAccess(bundle, files);
  process.stdout.write(`${text}\n`);
}

async function printCredential(stack: string, name: string): Promise<void> {
  await withCluster(stack, async ({ client, outputs }) => {
    const { username, password } = await readLogin(parseAccess(stack, outputs), client, name);
    process.stdout.write(`${[username, password].filter((text) => text !== "").join("\t")}\n`);
  });
}

async function printAllCredentials(stack: string): Promise<void> {
  await withCluster(stack, async ({ client, outputs }) => {
    const bundle = parseAccess(stack, outputs);
    const rows: string[][] = [];
    for (const name of loginNames(bundle)) {
      try {
        const { username, password } = await readLogin(bundle, client, name);
        rows.push([name, username, password]);
      } catch (error) {
        if (!(error instanceof CommandError)) {
          throw error;
        }
        printProgress(error.message);
      }
    }
    process.stdout.write(`${renderTable(["LOGIN", "USER", "PASSWORD OR TOKEN"], rows)}\n`);
  });
}

function loginNames(bundle: AccessBundle): string[] {
  return [...new Set([...Object.keys(bundle.logins), ...Object.keys(CLUSTER_LOGINS)])];
}

/** A login by its name, from where the cluster keeps it or from the stack's outputs. @throws CommandError */
export async function readLogin(bundle: AccessBundle, client: KubeClient, name: string): Promise<Login> {
  const place = CLUSTER_LOGINS[name];
  const known = bundle.logins[name];
  if (place === undefined && known !== undefined) {
    return known;
  }
  if (place === undefined) {
    throw new CommandError(
      `There is no login ${JSON.stringify(name)}. Allowed: ${loginNames(bundle).join(", ")}.\n  next: npm run access shows what each is for`,
      ExitCode.refused,
    );
  }
  const secret = await findJson<{ data?: Record<string, string> }>(
    client,
    "--namespace",
    place.namespace,
    "secret",
    place.secret,
  );
  const value = secret?.data?.[place.key];
  if (value === undefined) {
    throw new CommandError(
      `The login ${name} is not there: no key ${place.key} in secret ${place.secret} of namespace ${place.namespace}.\n  next: npm run kubectl -- --stack ${bundle.stack} --namespace ${place.namespace} get secrets,pods`,
    );
  }
  return {
    username: place.username ?? "",
    password: `${place.prefix}${Buffer.from(value, "base64").toString()}`,
  };
}
