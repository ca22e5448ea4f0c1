import { stripVTControlCharacters } from "node:util";
import type { EngineEvent, StepMetadata } from "./events";
import type { RunTiming } from "./timings";

/** A step that takes longer is told about; shorter ones only count. */
const QUIET_SECONDS = 2;

/** A step that still runs is told about again after this long without news. */
const REPEAT_SECONDS = 15;

/** Status messages of one step are shown at most this often. */
const STATUS_SECONDS = 1;

/** Longest status shown in a line. */
const MAX_STATUS_LENGTH = 160;

/** Words for the engine's operations: while they run, and when they are done. Others are not worth a line. */
const OPERATIONS: Readonly<Record<string, readonly [string, string]>> = {
  create: ["creating", "created"],
  update: ["updating", "updated"],
  delete: ["deleting", "deleted"],
  "create-replacement": ["creating the replacement", "replacement created"],
  "delete-replaced": ["deleting the replaced one", "replaced one deleted"],
  read: ["reading", "read"],
  refresh: ["reading", "read"],
  import: ["importing", "imported"],
};

interface RunningStep {
  readonly key: string;
  readonly title: string;
  readonly op: string;
  readonly since: number;
  status?: string;
  /** Seconds at which this step last had a line; undefined before the first. */
  toldAt?: number;
  toldStatus?: string;
}

/** What is known before a run starts. */
export interface ProgressArgs {
  /** Resources the run will go through, when known. */
  readonly expected?: number;
  /** How a former run of the same kind went. */
  readonly former?: RunTiming;
}

/**
 * Turns the engine's events into lines for people: what runs, how long, how much is left. Pure: time is given in
 * seconds since the start of the run.
 */
export class Progress {
  private readonly running = new Map<string, RunningStep>();
  private readonly finishedAt: Record<string, number> = {};
  private done = 0;
  private changed = 0;
  private lastFinish = { at: 0, former: 0 };

  constructor(private readonly args: ProgressArgs = {}) {}

  /** Takes one event; gives the line it is worth, if any. */
  take(event: EngineEvent, now: number): string | undefined {
    if (event.resourcePreEvent !== undefined) {
      this.start(event.resourcePreEvent.metadata, now);
      return undefined;
    }
    if (event.resOutputsEvent !== undefined) {
      return this.finish(event.resOutputsEvent.metadata, now);
    }
    if (event.resOpFailedEvent !== undefined) {
      const step = this.remove(event.resOpFailedEvent.metadata);
      return step === undefined
        ? undefined
        : this.line(now, `${step.title}: failed after ${seconds(now - step.since)}`);
    }
    const diagnostic = event.diagnosticEvent;
    if (diagnostic?.urn !== undefined && diagnostic.severity.startsWith("info")) {
      this.setStatus(diagnostic.urn, diagnostic.message);
    }
    return undefined;
  }

  /** Lines for steps that run too long without news; to be asked for a few times a second. */
  tick(now: number): string[] {
    const lines: string[] = [];
    for (const step of this.running.values()) {
      const words = OPERATIONS[step.op];
      if (words === undefined || now - step.since < QUIET_SECONDS) {
        continue;
      }
      const news = step.status !== step.toldStatus;
      const wait = step.toldAt === undefined ? 0 : news ? STATUS_SECONDS : REPEAT_SECONDS;
      if (step.toldAt === undefined || now - step.toldAt >= wait) {
        step.toldAt = now;
        step.toldStatus = step.status;
        const status = step.status === undefined ? "" : `, ${step.status}`;
        const since =
          step.toldAt - step.since >= QUIET_SECONDS + 1 ? ` for ${seconds(now - step.since)}` : "";
        lines.push(this.line(now, `${step.title}: ${words[0]}${since}${status}`));
      }
    }
    return lines;
  }

  /** `4 of 37 done, about 30 s left` */
  summary(now: number): string {
    const total =
      this.args.former === undefined
        ? this.args.expected
        : Math.max(this.args.expected ?? 0, this.formerCount);
    const atLeast = this.done + this.running.size;
    const count =
      total === undefined ? `${this.done} done` : `${this.done} of ${Math.max(total, atLeast)} done`;
    const left = this.secondsLeft(now, total);
    return left === undefined ? count : `${count}, about ${seconds(left)} left`;
  }

  /** How this run went, for the estimates of later ones. */
  timing(now: number): RunTiming {
    return { seconds: Math.round(now), finished: { ...this.finishedAt } };
  }

  /** True while a step runs that has a line of its own, sooner or later. */
  get hasSteps(): boolean {
    return [...this.running.values()].some(({ op }) => OPERATIONS[op] !== undefined);
  }

  /** Steps finished that were more than looking: creates, updates, deletes. */
  get changes(): number {
    return this.changed;
  }

  private get formerCount(): number {
    return Object.keys(this.args.former?.finished ?? {}).length;
  }

  private secondsLeft(now: number, total: number | undefined): number | undefined {
    const former = this.args.former;
    if (former !== undefined && this.formerCount > 0) {
      // Where the former run was when it had finished the same step; time since then goes on counting.
      return Math.max(1, Math.round(former.seconds - this.lastFinish.former - (now - this.lastFinish.at)));
    }
    if (total === undefined || this.done < 3 || now < 5) {
      return undefined;
    }
    return Math.max(1, Math.round((now / this.done) * (total - this.done)));
  }

  private start(metadata: StepMetadata, now: number): void {
    if (isWorth(metadata)) {
      const key = stepKey(metadata);
      this.running.set(key, { key, title: resourceTitle(metadata.urn), op: metadata.op, since: now });
    }
  }

  private finish(metadata: StepMetadata, now: number): string | undefined {
    const step = this.remove(metadata);
    if (step === undefined) {
      return undefined;
    }
    this.done += 1;
    if (step.op !== "same" && step.op !== "read" && step.op !== "refresh") {
      this.changed += 1;
    }
    this.finishedAt[metadata.urn] = Math.round(now * 10) / 10;
    const former = this.args.former?.finished[metadata.urn];
    if (former !== undefined && former >= this.lastFinish.former) {
      this.lastFinish = { at: now, former };
    }
    const words = OPERATIONS[step.op];
    const took = now - step.since;
    if (words === undefined || took < QUIET_SECONDS) {
      return undefined;
    }
    return this.line(now, `${step.title}: ${words[1]} in ${seconds(took)}`);
  }

  private remove(metadata: StepMetadata): RunningStep | undefined {
    const key = stepKey(metadata);
    const step = this.running.get(key);
    this.running.delete(key);
    return step;
  }

  private setStatus(urn: string, message: string): void {
    const status = lastLine(message);
    for (const step of this.running.values()) {
      if (status !== "" && step.key.startsWith(`${urn} `)) {
        step.status = status;
      }
    }
  }

  private line(now: number, text: string): string {
    return `${clock(now)} ${text} (${this.summary(now)})`;
  }
}

/** `[ 12s]`, and from a hundred seconds on `[ 2m05s]`, aligned for the first hour. */
export function clock(now: number): string {
  const whole = Math.floor(now);
  const text =
    whole < 100 ? `${whole}s` : `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, "0")}s`;
  return `[${text.padStart(6)}]`;
}

/** `8 s`, `3 min`, `1 h 5 min`: as exact as people want it. */
export function seconds(value: number): string {
  const whole = Math.round(value);
  if (whole < 100) {
    return `${whole} s`;
  }
  const minutes = Math.round(whole / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `Machine node2` of `urn:pulumi:local::gourmetgram-infra::gourmetgram:local:Machine::node2`. */
export function resourceTitle(urn: string): string {
  const [, , types = "", ...name] = urn.split("::");
  const type = types.split("$").at(-1)?.split(":").at(-1) ?? "";
  return `${type} ${name.join("::")}`.trim();
}

/** The last line of a status that says something, without colours and without the `> ` of a remote script. */
export function lastLine(message: string): string {
  const lines = plainText(message).split("\n");
  const last = lines.filter((line) => line.trim() !== "").at(-1) ?? "";
  return last
    .replace(/^[\s>]+/, "")
    .trimEnd()
    .slice(0, MAX_STATUS_LENGTH);
}

/** Text without the engine's colour directives and terminal codes. */
export function plainText(message: string): string {
  return stripVTControlCharacters(message.replace(/<\{%[a-z]*%\}>|<\{%(?:fg|bg) \d+%\}>/gi, ""));
}

function stepKey(metadata: StepMetadata): string {
  return `${metadata.urn} ${metadata.op}`;
}

/** True for resources with a plugin behind them; components have no `custom` in their events. */
export function isCustom(metadata: StepMetadata): boolean {
  return (metadata.new ?? metadata.old)?.custom === true;
}

/** Components and providers take no time; `replace` only announces the two operations it consists of. */
function isWorth(metadata: StepMetadata): boolean {
  return isCustom(metadata) && metadata.op !== "replace" && !metadata.type.startsWith("pulumi:");
}
