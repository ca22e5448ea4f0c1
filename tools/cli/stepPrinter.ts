import type { Report, StepEvent } from "./partners";
import { clock, seconds } from "./progress";

/** Steps shorter than this are not told about. */
const QUIET_SECONDS = 2;

/** A step that goes on is told about this often. */
const REPEAT_SECONDS = 10;

interface OpenStep {
  readonly since: number;
  /** It began without `start`: it waits for something and is over as soon as another step has news. */
  readonly waits: boolean;
  event: StepEvent;
  toldAt?: number;
}

/**
 * Turns news of builds into lines: silent for what is quick, one line when a step passes two seconds, then one every ten
 * seconds whether there is news or not, one at its end. To be closed when the builds are over.
 */
export class StepPrinter {
  private readonly open = new Map<string, OpenStep>();
  private readonly timer: NodeJS.Timeout;
  private readonly started: number;

  constructor(
    private readonly print: (line: string) => void,
    /** Seconds of a clock that only goes forward. */
    private readonly now: () => number = () => performance.now() / 1000,
  ) {
    this.started = now();
    this.timer = setInterval(() => this.tick(), 500);
    this.timer.unref();
  }

  readonly report: Report = (event) => {
    const begun = { since: this.now(), waits: event.state === "progress", event };
    const step = this.open.get(event.step) ?? begun;
    for (const [name, other] of this.open) {
      if (other.waits && other !== step) {
        this.open.delete(name);
      }
    }
    step.event = event;
    if (event.state !== "done") {
      this.open.set(event.step, step);
      return;
    }
    this.open.delete(event.step);
    const took = Math.max(event.seconds, this.now() - step.since);
    if (took >= QUIET_SECONDS) {
      this.line(`${event.step}: done in ${seconds(took)}${left(event)}`);
    }
  };

  /** Tells about steps that are due; called by a timer of its own. */
  tick(): void {
    for (const step of this.open.values()) {
      const due = step.toldAt === undefined ? step.since + QUIET_SECONDS : step.toldAt + REPEAT_SECONDS;
      if (this.now() >= due) {
        step.toldAt = this.now();
        this.line(`${step.event.step}: ${step.event.message}${left(step.event)}`);
      }
    }
  }

  close(): void {
    clearInterval(this.timer);
  }

  private line(text: string): void {
    this.print(`${clock(this.now() - this.started)} ${text}`);
  }
}

function left(event: StepEvent): string {
  const remaining = event.remainingSeconds;
  return remaining === undefined || remaining < 1 ? "" : ` (about ${seconds(remaining)} left)`;
}

/** Runs a build with its news printed. */
export async function withSteps<T>(
  print: (line: string) => void,
  build: (report: Report) => Promise<T>,
): Promise<T> {
  const printer = new StepPrinter(print);
  try {
    return await build(printer.report);
  } finally {
    printer.close();
  }
}
