import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { shellQuote } from "../../components/shellQuote";
import type { Field } from "./fields";
import { CHECKOUT } from "./localScripts";
import type { Properties } from "./resourceKind";

/** Inputs of a kind that works on one machine over SSH. A new address or key is no reason to do the work again. */
export const SSH_FIELDS = {
  host: { type: "string", onChange: "update" },
  port: { type: "integer", default: 22, onChange: "update" },
  user: { type: "string", onChange: "update" },
  privateKey: { type: "string", onChange: "update" },
  hostKey: { type: "string", onChange: "update" },
} as const satisfies Record<string, Field>;

/** A booting machine answers within this time; one that has died does not. */
const CONNECT_MS = 10 * 60_000;
const RETRY_MS = 2000;

/** Most a command may say before the start is forgotten. */
const MAX_SAID = 16 * 1024;

/** How to run one command on the machine. */
export interface SshCommand {
  /** Bash, run as root; values go by `values`, never into this text. Neither holds secrets. */
  readonly script: string;
  /** Exported to the script. */
  readonly values?: Readonly<Record<string, string>>;
  /** What the script reads on its standard input. */
  readonly input?: Readable;
  /** Takes what the script prints. @default collected and returned */
  readonly output?: Writable;
}

/**
 * A machine over the system's own SSH client, its host key checked. The key is in a file readable by its owner for as long as the
 * session lasts; a file left by a kill is removed by the next command.
 */
export class SshSession {
  private readonly folder: string;
  private readonly arguments: readonly string[];
  private readonly sudo: string;

  constructor(machine: Properties) {
    const { host, port, user, privateKey, hostKey } = machine as Record<string, string>;
    const runs = join(CHECKOUT, ".state", "runs");
    mkdirSync(runs, { recursive: true, mode: 0o700 });
    this.folder = mkdtempSync(join(runs, `ssh-${process.pid}-`));
    const place = Number(port) === 22 ? host : `[${host}]:${port}`;
    const identity = join(this.folder, "id");
    const known = join(this.folder, "known_hosts");
    writeFileSync(identity, `${(privateKey as string).trimEnd()}\n`, { mode: 0o600 });
    writeFileSync(known, `${place} ${hostKey}\n`, { mode: 0o600 });
    this.arguments = [
      ...["-F", "none", "-i", identity, "-p", String(port), "-l", user as string],
      ...[
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        `UserKnownHostsFile=${known}`,
        "ConnectTimeout=10",
        "ServerAliveInterval=10",
        "ServerAliveCountMax=6",
        "LogLevel=ERROR",
      ].flatMap((option) => ["-o", option]),
      host as string,
    ];
    this.sudo = user === "root" ? "" : "sudo -n ";
  }

  /** Waits until the machine takes logins. @throws Error with what SSH said last */
  async connect(limitMs = CONNECT_MS): Promise<void> {
    const end = Date.now() + limitMs;
    for (;;) {
      try {
        await this.run({ script: "true" });
        return;
      } catch (error) {
        if (Date.now() > end) throw error;
        await new Promise((wake) => setTimeout(wake, RETRY_MS));
      }
    }
  }

  /** @returns what the script printed, unless it went to `output`. @throws Error with the script's last lines */
  async run(command: SshCommand): Promise<string> {
    // The values and the script come first on stdin, as one line each way a shell can read back without a temporary file.
    const exports = Object.entries(command.values ?? {})
      .map(([key, value]) => `export ${key}=${shellQuote(value)}`)
      .join("\n");
    const text = Buffer.from(`set -euo pipefail\n${exports}\n${command.script}\n`).toString("base64");
    const child = spawn(
      "ssh",
      [
        ...this.arguments,
        // `read` takes no byte more than its line from a pipe, so that what follows is the script's.
        `${this.sudo}bash -c 'IFS= read -r script; eval "$(base64 -d <<<"$script")"'`,
      ],
      { stdio: ["pipe", "pipe", "pipe"], cwd: "/" },
    );
    const said = collectTail(child);
    const printed: Buffer[] = [];
    const taken = command.output
      ? pipeline(child.stdout as Readable, command.output)
      : new Promise<void>((done) => {
          child.stdout?.on("data", (chunk: Buffer) => printed.push(chunk)).on("end", () => done());
        });
    const status = new Promise<number | string>((done, fail) => {
      child.on("error", fail);
      child.on("close", (code, signal) => done(code ?? signal ?? "unknown"));
    });
    child.stdin?.on("error", () => undefined);
    child.stdin?.write(`${text}\n`);
    const given = command.input
      ? pipeline(command.input, child.stdin as Writable).catch(() => undefined)
      : Promise.resolve(child.stdin?.end());
    const code = await status;
    await Promise.all([taken, given]);
    if (code !== 0) {
      throw new Error(said().trim() || `the command on the machine ended with ${code} and said nothing`);
    }
    return Buffer.concat(printed).toString("utf8");
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Calls `use` with a session that is closed afterwards. */
export async function withSsh<T>(machine: Properties, use: (ssh: SshSession) => Promise<T>): Promise<T> {
  const ssh = new SshSession(machine);
  try {
    return await use(ssh);
  } finally {
    ssh.close();
  }
}

function collectTail(child: ChildProcess): () => string {
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-MAX_SAID);
  });
  return () => said;
}
