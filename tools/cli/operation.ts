import { rmSync } from "node:fs";
import { CommandError, ExitCode } from "./commandError";
import { type Operation, runOperation } from "./engine";
import type { EngineEvent } from "./events";
import { type Failure, FailureCollector, formatFailures, isCancellation, nextStep } from "./failures";
import { loadPreflight } from "./partners";
import { type Print, printProgress, runNotePath, type StackAccess } from "./prepare";
import { clock, Progress, seconds } from "./progress";
import { writeAtomically } from "./state";
import { readTimings, saveTiming } from "./timings";

/** One run of the graph with progress and errors shown. */
export interface GraphRun {
  readonly operation: Operation;
  /** Arguments of the engine, without those about output. */
  readonly arguments: readonly string[];
  /** Groups runs whose durations are alike, for estimates: `create`, `change`, `destroy`. */
  readonly kind: string;
  /** Resources it will go through, when known. */
  readonly expected?: number;
  /** Sees every event, before progress does. */
  readonly onEvent?: (event: EngineEvent) => void;
  /** Ends it when its result is of no use any more; nothing is printed from then on. @default nothing does */
  readonly signal?: AbortSignal;
}

/** What goes on while no step runs: the program is starting or thinking. */
const WITHOUT_STEPS: Readonly<Record<Operation, string>> = {
  up: "running the program",
  preview: "working out what would change",
  refresh: "starting to look at what is there",
  destroy: "working out in which order to remove",
};

/** Silence longer than this is explained, then again after `REPEAT_SECONDS`. */
const QUIET_SECONDS = 2;
const REPEAT_SECONDS = 10;

/** How a run ended well. */
export interface GraphRunResult {
  readonly seconds: number;
  /** Resources that were made, changed or removed. */
  readonly changes: number;
  readonly stdout: string;
}

/** @throws CommandError with every failure in full, or exit code 130 after Ctrl-C */
export async function runGraph(
  access: StackAccess,
  run: GraphRun,
  printLine: Print = printProgress,
): Promise<GraphRunResult> {
  const print: Print = (line) => run.signal?.aborted || printLine(line);
  const started = Date.now();
  const now = () => (Date.now() - started) / 1000;
  const timingKey = `${run.kind}:${access.stack}`;
  const former = readTimings(access.paths.timings)[timingKey];
  const progress = new Progress({
    ...(former === undefined ? {} : { former }),
    ...(run.expected === undefined ? {} : { expected: run.expected }),
  });
  const failures = new FailureCollector();
  const show = (line: string | undefined) => line !== undefined && print(line);
  const note = runNotePath(access);
  let quietSince = 0;
  if (access.offlineNotice !== undefined && run.operation !== "preview") {
    print(access.offlineNotice);
  }
  const result = await runOperation(access.engine, {
    operation: run.operation,
    arguments: run.arguments,
    ...(run.signal && { signal: run.signal }),
    onStart: (engine) => writeAtomically(note, JSON.stringify({ command: process.pid, engine })),
    onEvent: (event) => {
      run.onEvent?.(event);
      show(progress.take(event, now()));
      show(failures.take(event));
    },
    onTick: () => {
      const lines = progress.tick(now());
      lines.forEach(print);
      if (lines.length > 0 || progress.hasSteps) {
        quietSince = now();
      } else if (now() - quietSince >= QUIET_SECONDS) {
        quietSince = now() + REPEAT_SECONDS;
        print(`${clock(now())} ${WITHOUT_STEPS[run.operation]} (${progress.summary(now())})`);
      }
    },
    onInterrupt: (count) =>
      print(
        count === 1
          ? `${clock(now())} Stopping in good order: steps that run are finished, no new ones start. Ctrl-C again stops at once.`
          : `${clock(now())} Stopping at once.`,
      ),
  }).finally(() => rmSync(note, { force: true }));
  if (result.exitCode === 0 && !result.interrupted) {
    if (progress.changes > 0) {
      saveTiming(access.paths.timings, timingKey, progress.timing(now()));
    }
    return { seconds: now(), changes: progress.changes, stdout: result.stdout };
  }
  const wanted = failures.failures.filter((failure) => !result.interrupted || !isCancellation(failure));
  const found = [formatFailures(wanted), machineLogs(access.stack, wanted)]
    .filter((text) => text !== "")
    .join("\n\n");
  if (result.interrupted) {
    throw new CommandError(
      [
        found,
        `Stopped after ${seconds(now())} (${progress.summary(now())}). Next: the same command goes on where this one stopped.`,
      ]
        .filter((text) => text !== "")
        .join("\n\n"),
      ExitCode.interrupted,
    );
  }
  throw new CommandError(found === "" ? unexplained(result) : found);
}

/** The engine failed before it could send events: what it printed is all there is. */
function unexplained(result: {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}): string {
  const output = [result.stderr.trim(), result.stdout.trim()].filter((text) => text !== "").join("\n");
  const text = output === "" ? `the engine ended with exit code ${result.exitCode}` : output;
  const cause = result.exitCode === 137 ? `exit code 137\n${text}` : text;
  return `Error:\n  ${cause.replace(/\n/g, "\n  ")}\n  next: ${nextStep(cause)}`;
}

/** Lines of a machine's log shown when its step failed without saying why. */
const LOG_LINES = 20;

/** What the machines themselves said last, for failures that are a lost connection or a machine that did not start. */
function machineLogs(stack: string, failures: readonly Failure[]): string {
  const nodes = failures
    // A node's own step brings its log along; all else is told by others, or by nobody.
    .filter(
      ({ resource, message }) =>
        resource?.endsWith("-membership") || !message.includes("the last lines of its log"),
    )
    .map(
      ({ resource }) =>
        /^(?:Command cluster|Machine machines)-(.+?)(?:-membership)?$/.exec(resource ?? "")?.[1],
    )
    .filter((node) => node !== undefined);
  return [...new Set(nodes)]
    .map((node) => ({ node, log: loadPreflight().tailMachineLog(stack, node, LOG_LINES) }))
    .filter(({ log }) => log !== "")
    .map(({ node, log }) => `The last lines of the log of ${node}:\n  ${log.replace(/\n/g, "\n  ")}`)
    .join("\n\n");
}
