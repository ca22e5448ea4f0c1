import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostOf, jumpOf } from "./places";
import type { HostsNodeSpec, HostsSpec } from "./spec";

/** How the system's SSH client logs in to the machines. */
export interface SshClientArgs {
  readonly spec: Pick<HostsSpec, "user" | "jumpNode">;
  readonly nodes: Readonly<Record<string, HostsNodeSpec>>;
  /** Private key, OpenSSH format. @default the person's own keys: agent and `~/.ssh` */
  readonly privateKey?: string;
  /** Where its folder of files is made. @default the system's folder for temporary files */
  readonly folder?: string;
}

/** What came of a command on a machine. */
export interface SshResult {
  /** 255 when SSH itself failed, `undefined` when time was up. */
  readonly code: number | undefined;
  readonly stdout: string;
  /** What SSH and the command said, SSH's debugging left out. */
  readonly stderr: string;
  /** When the first line arrived, seconds since 1970. */
  readonly arrival: number;
  /** Fingerprint of the host key that was shown last, as `SHA256:...`; of the jump node when that was as far as it went. */
  readonly fingerprint?: string;
}

/** How long a machine may take to answer at all, seconds. */
const CONNECT_SECONDS = 8;

/**
 * The system's own SSH client, host keys strictly checked against the settings. Key, host keys and addresses are in files readable
 * by their owner for as long as it is open; nothing of them is an argument.
 */
export class SshClient {
  private readonly folder: string;
  readonly config: string;

  constructor(args: SshClientArgs) {
    this.folder = mkdtempSync(join(args.folder ?? tmpdir(), `hosts-${process.pid}-`));
    this.config = join(this.folder, "config");
    const keep = (name: string, content: string) => {
      const path = join(this.folder, name);
      writeFileSync(path, content, { mode: 0o600 });
      return path;
    };
    const key = args.privateKey === undefined ? undefined : keep("id", `${args.privateKey.trimEnd()}\n`);
    const known = keep("known_hosts", renderKnownHosts(args.nodes));
    keep("config", renderClientConfig(args, { known, ...(key !== undefined && { key }) }));
  }

  /** Runs bash with a script on its input. */
  run(node: string, script: string, limitSeconds: number): Promise<SshResult> {
    return collect(sshArguments(this.config, node), script, limitSeconds);
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Arguments of the SSH client for a script on its input. */
export function sshArguments(config: string, node: string): string[] {
  return ["-F", config, "-T", node, "bash -s"];
}

/** One line for each node, under its name: two machines may have one address in different networks. */
export function renderKnownHosts(nodes: Readonly<Record<string, Pick<HostsNodeSpec, "hostKey">>>): string {
  return Object.entries(nodes)
    .map(([node, { hostKey }]) => `${node} ${hostKey}\n`)
    .join("");
}

/** OpenSSH client configuration; nothing else of the person's own configuration is read. */
export function renderClientConfig(
  { spec, nodes }: Pick<SshClientArgs, "spec" | "nodes">,
  files: { readonly known: string; readonly key?: string },
): string {
  const hosts = Object.entries(nodes).map(([node, nodeSpec]) => {
    const jump = jumpOf(spec, node);
    return [
      `Host ${node}`,
      `  HostName ${hostOf(nodeSpec)}`,
      `  Port ${nodeSpec.port}`,
      `  HostKeyAlias ${node}`,
      ...(jump === undefined ? [] : [`  ProxyJump ${jump}`]),
      "",
    ];
  });
  return [
    ...hosts.flat(),
    "Host *",
    `  User ${spec.user}`,
    ...(files.key === undefined
      ? []
      : [`  IdentityFile "${files.key}"`, "  IdentitiesOnly yes", "  IdentityAgent none"]),
    "  PreferredAuthentications publickey",
    "  BatchMode yes",
    "  StrictHostKeyChecking yes",
    `  UserKnownHostsFile "${files.known}"`,
    "  GlobalKnownHostsFile none",
    "  UpdateHostKeys no",
    `  ConnectTimeout ${CONNECT_SECONDS}`,
    // Tells which key a machine showed.
    "  LogLevel DEBUG1",
    "",
  ].join("\n");
}

/** Fingerprint of a host key in authorized_keys format, as OpenSSH writes it. */
export function fingerprintOf(hostKey: string): string {
  const blob = Buffer.from(hostKey.split(" ")[1] ?? "", "base64");
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

function collect(args: readonly string[], input: string, limitSeconds: number): Promise<SshResult> {
  const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  let arrival = 0;
  let timedOut = false;
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      if (stream === "stdout" && arrival === 0) arrival = Date.now() / 1000;
      said[stream] += text;
    });
  }
  // A machine that refuses the login reads nothing.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
    // The client of a jump node may live on for a moment, and holds them.
    child.stdout.destroy();
    child.stderr.destroy();
  }, limitSeconds * 1000);
  return new Promise((resolve, reject) => {
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({
        code: timedOut ? undefined : (code ?? undefined),
        stdout: said.stdout,
        arrival,
        ...splitDebugging(said.stderr),
      });
    });
  });
}

/** What SSH said to people, and the fingerprint from what it said to itself. */
export function splitDebugging(text: string): Pick<SshResult, "stderr" | "fingerprint"> {
  const lines = text.replaceAll("\r", "").split("\n");
  const fingerprint = lines
    .map((line) => /^debug1: Server host key: \S+ (SHA256:\S+)/.exec(line)?.[1])
    .filter((found) => found !== undefined)
    .at(-1);
  const noise = /^(debug1: |OpenSSH_|Authenticated to |Transferred: |Bytes per second: )/;
  return {
    stderr: lines
      .filter((line) => !noise.test(line))
      .join("\n")
      .trim(),
    ...(fingerprint !== undefined && { fingerprint }),
  };
}
