import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { foreignVariables } from "../../infra/openstack/api/foreignVariables";
import { type EngineEvent, EventLogReader } from "./events";
import { PROJECT_ROOT } from "./project";
import { makeRunFolder } from "./state";

/** How to start the engine: its program and the environment it needs. */
export interface Engine {
  /** Path of the `pulumi` program. */
  readonly pulumi: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Folder for event logs, readable by the owner only. */
  readonly runsFolder: string;
}

export interface EngineResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Operations of the engine that run the graph and tell about it by events. */
export type Operation = "up" | "preview" | "destroy" | "refresh";

/** A run of the graph. */
export interface OperationArgs {
  readonly operation: Operation;
  readonly arguments: readonly string[];
  /** Called with the engine's process id. */
  readonly onStart: (pid: number) => void;
  readonly onEvent: (event: EngineEvent) => void;
  /** Called a few times a second. */
  readonly onTick: () => void;
  /** Called when Ctrl-C was passed on (1) and when the engine was told to stop at once (2). */
  readonly onInterrupt: (count: number) => void;
  /** Ends the run in good order. @default nothing does */
  readonly signal?: AbortSignal;
}

/** Operations that may run at the same time: most of them wait for machines, so far more than processors. */
const PARALLEL = "32";

/** How often events are read. */
const POLL_MS = 100;

/** A second Ctrl-C counts only after this long: npm and the terminal may both deliver the first one. */
const SECOND_INTERRUPT_MS = 1000;

/** Runs an engine command that only looks at or changes the state, from a folder where it can find the project. */
export function runEngine(
  engine: Engine,
  args: readonly string[],
  folder: string = PROJECT_ROOT,
): Promise<EngineResult> {
  const child = spawn(engine.pulumi, [...args, "--non-interactive", "--color", "never"], {
    cwd: folder,
    env: engineEnvironment(engine),
    stdio: ["ignore", "pipe", "pipe"],
  });
  return collect(child);
}

/**
 * Runs the graph. The engine is in a process group of its own, so Ctrl-C in the terminal reaches this program only:
 * the first one is passed on and ends the run in good order, the second ends it at once.
 */
export async function runOperation(
  engine: Engine,
  args: OperationArgs,
): Promise<EngineResult & { interrupted: boolean }> {
  const folder = makeRunFolder(engine.runsFolder, args.operation);
  const eventLog = join(folder, "events.jsonl");
  const reader = new EventLogReader(eventLog);
  const child = spawn(
    engine.pulumi,
    [
      args.operation,
      ...args.arguments,
      "--event-log",
      eventLog,
      "--non-interactive",
      "--color",
      "never",
      "--parallel",
      PARALLEL,
    ],
    {
      cwd: PROJECT_ROOT,
      detached: true,
      env: {
        ...engineEnvironment(engine),
        PULUMI_DEBUG_COMMANDS: "true",
        PULUMI_PARALLEL_DIFF: "true",
        // The whole state is written twice for each of its resources otherwise. A destroy that is killed has removed things the
        // state still names; the next one finds nothing there and goes on.
        ...(args.operation === "destroy" ? { PULUMI_SKIP_CHECKPOINTS: "true" } : {}),
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  if (child.pid !== undefined) {
    args.onStart(child.pid);
  }
  const interrupts = forwardInterrupts(child, args.onInterrupt);
  args.signal?.addEventListener("abort", () => child.kill("SIGINT"));
  const poll = setInterval(() => {
    reader.read().forEach(args.onEvent);
    args.onTick();
  }, POLL_MS);
  try {
    const result = await collect(child);
    reader.read().forEach(args.onEvent);
    return { ...result, interrupted: interrupts.count > 0 };
  } finally {
    clearInterval(poll);
    interrupts.stop();
    reader.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function engineEnvironment(engine: Engine): NodeJS.ProcessEnv {
  const inherited = { ...process.env };
  // The cloud is the one the settings name, whatever a shell was told for other tools.
  for (const name of foreignVariables(inherited)) delete inherited[name];
  return { ...inherited, ...engine.environment, PULUMI_SKIP_UPDATE_CHECK: "true" };
}

function forwardInterrupts(child: ChildProcess, onInterrupt: (count: number) => void) {
  const state = { count: 0, at: 0, stop: () => {} };
  const interrupt = () => {
    const now = Date.now();
    if (state.count > 0 && now - state.at < SECOND_INTERRUPT_MS) {
      return;
    }
    state.count += 1;
    state.at = now;
    child.kill("SIGINT");
    if (state.count > 2) {
      child.kill("SIGKILL");
    }
    onInterrupt(state.count);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) {
    process.on(signal, interrupt);
  }
  state.stop = () => {
    for (const signal of signals) {
      process.off(signal, interrupt);
    }
  };
  return state;
}

function collect(child: ChildProcess): Promise<EngineResult> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  return new Promise((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      settle({
        exitCode: code ?? (signal === "SIGKILL" ? 137 : 143),
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
  });
}
