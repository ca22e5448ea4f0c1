import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT_ROOT } from "../cli/project";

/** How a command ended. */
export interface Ended {
  /** From its start to the end of all it started with our pipes. */
  readonly seconds: number;
  /** `undefined` when a signal ended it. */
  readonly exitCode: number | undefined;
  /** Standard output and standard error, as they came. */
  readonly output: string;
}

export interface CommandOptions {
  readonly folder?: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** Runs a command. @throws Error with its last lines when it fails */
export async function timed(file: string, args: readonly string[], options: CommandOptions): Promise<number> {
  const ended = await waitFor(start(file, args, options));
  if (ended.exitCode !== 0) throw new Error(describeFailure([file, ...args], ended));
  return ended.seconds;
}

/** Arguments that start one of this project's commands the way npm does. */
export function projectCommand(...args: readonly string[]): readonly [string, readonly string[]] {
  return [process.execPath, [join(PROJECT_ROOT, "tools", "run.mjs"), ...args]];
}

/**
 * Runs one of this project's commands and, unless it has ended by then, kills it together with its engine.
 *
 * @param stack the environment; the command's note about its engine bears this name
 */
export async function killedAfter(
  seconds: number,
  stack: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<Ended & { readonly killed: boolean; readonly hadEngine: boolean }> {
  const [file, fileArgs] = projectCommand(...args);
  const child = start(file, fileArgs, options);
  const kill = { killed: false, hadEngine: false };
  const timer = setTimeout(() => {
    const engine = engineOf(stack, child.pid);
    kill.killed = child.kill("SIGKILL");
    kill.hadEngine = engine !== undefined && killProcess(engine);
  }, seconds * 1000);
  const ended = await waitFor(child);
  clearTimeout(timer);
  return { ...ended, ...kill };
}

/** The command and what it said last. */
export function describeFailure(command: readonly string[], { exitCode, output }: Ended): string {
  const said = output.trimEnd().split("\n").slice(-LINES_SHOWN).join("\n");
  return `${command.join(" ")}: exit code ${exitCode ?? "none, it was killed"}\n${said}`;
}

const LINES_SHOWN = 40;

function start(file: string, args: readonly string[], { folder, environment }: CommandOptions): ChildProcess {
  return spawn(file, args, {
    cwd: folder ?? PROJECT_ROOT,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function waitFor(child: ChildProcess): Promise<Ended> {
  const began = performance.now();
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
  }
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) =>
      done({
        seconds: (performance.now() - began) / 1000,
        exitCode: code ?? undefined,
        output: Buffer.concat(chunks).toString(),
      }),
    );
  });
}

/** The engine that works for a command, by the command's own note; see runNotePath of tools/cli/prepare.ts. */
function engineOf(stack: string, command: number | undefined): number | undefined {
  try {
    const path = join(PROJECT_ROOT, ".state", "runs", `${stack}.json`);
    const note = JSON.parse(readFileSync(path, "utf8")) as { command: number; engine: number };
    return note.command === command ? note.engine : undefined;
  } catch {
    return undefined;
  }
}

function killProcess(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}
