import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { freemem } from "node:os";
import { dirname } from "node:path";
import { findCommand } from "./findCommand";

/** How one command is run. */
export interface CommandOptions {
  readonly cwd?: string;
  /** Complete environment of the command. @default this process's own */
  readonly env?: NodeJS.ProcessEnv;
  /** Output is appended here and quoted when the command fails. */
  readonly log: string;
  /** What the command is for, for error messages: `build kubernetes`. */
  readonly purpose: string;
}

/** A command that failed, with the cause named where it can be told. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

const keptTail = 25;

/**
 * Makes the kernel end a command whose caller was killed: what a dead run left behind must not work on beside the next
 * one. Without setpriv (util-linux 2.38) the command is run as it is.
 */
const withCaller: readonly string[] =
  findCommand("setpriv") === undefined ? [] : ["setpriv", "--pdeathsig", "KILL"];

/** The last lines of a log, without the empty ones. */
export function logTail(text: string, lines = keptTail): string {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-lines)
    .join("\n");
}

/**
 * Names the cause of a failure that is the machine's and not the command's: a full disk, or a process ended by the
 * kernel for want of memory. Undefined when it is neither.
 */
export function machineCause(output: string, signal: NodeJS.Signals | null): string | undefined {
  if (/No space left on device|ENOSPC|Disk quota exceeded/i.test(output)) {
    return "the disk is full (no space left on device): free some space and run the same command again, finished parts are kept";
  }
  const killed =
    signal === "SIGKILL" || /signal: killed|cannot allocate memory|Killed$|out of memory/im.test(output);
  if (killed) {
    const free = Math.round(freemem() / 2 ** 20);
    return `out of memory: a process was killed by the kernel (${free} MiB free now): close other programs or add memory, then run the same command again, finished parts are kept`;
  }
  return undefined;
}

function startCommand(
  command: string,
  args: readonly string[],
  options: SpawnOptions,
  purpose: string,
): ChildProcess {
  const found = findCommand(command, options.env);
  if (found === undefined)
    throw new CommandError(`${purpose}: cannot run ${command}: there is no such program`);
  const [first, ...rest] = [...withCaller, found, ...args];
  return spawn(first as string, rest, options);
}

/** Runs a command to its end. Throws CommandError with the last lines of its output when it fails. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<void> {
  mkdirSync(dirname(options.log), { recursive: true });
  const out = openSync(options.log, "a");
  const before = readFileSync(options.log).length;
  const spawnOptions: SpawnOptions = { stdio: ["ignore", out, out], env: options.env ?? process.env };
  if (options.cwd !== undefined) spawnOptions.cwd = options.cwd;
  try {
    const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
      (resolve, reject) => {
        const child = startCommand(command, args, spawnOptions, options.purpose);
        child.on("error", reject);
        child.on("exit", (code, signal) => resolve({ code, signal }));
      },
    );
    if (ended.code === 0) return;
    const output = readFileSync(options.log).subarray(before).toString();
    const cause = machineCause(output, ended.signal);
    const status = ended.signal === null ? `exit status ${ended.code}` : `signal ${ended.signal}`;
    throw new CommandError(
      `${options.purpose}: ${command} failed (${status})${cause === undefined ? "" : `: ${cause}`}\n` +
        `${logTail(output)}\nwhole log: ${options.log}`,
    );
  } finally {
    closeSync(out);
  }
}

/** Runs a command and gives its standard output. Throws CommandError with its standard error. */
export async function readCommand(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly purpose: string },
): Promise<string> {
  const spawnOptions: SpawnOptions = { stdio: ["ignore", "pipe", "pipe"], env: options.env ?? process.env };
  if (options.cwd !== undefined) spawnOptions.cwd = options.cwd;
  return new Promise((resolve, reject) => {
    const child = startCommand(command, args, spawnOptions, options.purpose);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(stdout).toString());
      // Some commands (go with -json) say what is wrong on their standard output.
      const text = Buffer.concat([...stdout, ...stderr]).toString();
      const cause = machineCause(text, signal);
      reject(
        new CommandError(
          `${options.purpose}: ${command} failed (${signal ?? `exit status ${code}`})${cause ? `: ${cause}` : ""}\n${logTail(text)}`,
        ),
      );
    });
  });
}
