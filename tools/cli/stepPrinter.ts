import type { Report, StepEvent } from "./partners";
import { clock, seconds } from "./progress";

/** Steps shorter than this are not told about. */
const QUIET_SECONDS = 2;

/** A step that goes on is told about this often. */
const REPEAT_SECONDS = 10;

/**
 * Turns news of builds into lines: silent for what is quick, one line when a step passes two seconds, then one every
 * ten seconds, one at its end.
 */
export class StepPrinter {
  private readonly toldAt = new Map<string, number>();
  private readonly started = Date.now();

  constructor(private readonly print: (line: string) => void) {}

  readonly report: Report = (event) => {
    const now = (Date.now() - this.started) / 1000;
    const told = this.toldAt.get(event.step);
    if (event.state === "done") {
      this.toldAt.delete(event.step);
      if (told !== undefined || event.seconds >= QUIET_SECONDS) {
        this.print(`${clock(now)} ${event.step}: done in ${seconds(event.seconds)}${this.left(event)}`);
      }
      return;
    }
    const due =
      told === undefined ? event.state === "progress" || this.isLong(event) : now - told >= REPEAT_SECONDS;
    if (due && (event.seconds >= QUIET_SECONDS || this.isLong(event))) {
      this.toldAt.set(event.step, now);
      this.print(`${clock(now)} ${event.step}: ${event.message}${this.left(event)}`);
    }
  };

  private isLong(event: StepEvent): boolean {
    return (event.remainingSeconds ?? 0) >= REPEAT_SECONDS;
  }

  private left(event: StepEvent): string {
    const left = event.remainingSeconds;
    return left === undefined || left < 1 ? "" : ` (about ${seconds(left)} left)`;
  }
}
