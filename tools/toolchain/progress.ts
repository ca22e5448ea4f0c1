import type { Report } from "./types";

/** Shortest time between two progress events of a step. */
const EVERY_MS = 500;

/**
 * Tells how far things are. The estimate for what is left starts from the measured seconds of each part and follows
 * the pace of the running one.
 */
export class StepTimer {
  private step = "";
  private startedAt = 0;
  private toldAt = 0;
  private expected = 0;
  private later = 0;
  /** How much slower than measured this machine is, judged by the running and earlier steps. */
  private pace = 1;

  constructor(
    private readonly report: Report,
    /** Estimated seconds of each step still to come, by step. */
    private readonly estimates: Map<string, number>,
  ) {}

  start(step: string, message: string): void {
    this.step = step;
    this.startedAt = Date.now();
    this.toldAt = 0;
    this.expected = this.estimates.get(step) ?? 0;
    this.estimates.delete(step);
    this.later = [...this.estimates.values()].reduce((sum, seconds) => sum + seconds, 0);
    this.tell("start", message, this.expected * this.pace);
  }

  /** `fraction` of the step is done. */
  progress(fraction: number, message: string): void {
    if (Date.now() - this.toldAt < EVERY_MS) return;
    const spent = this.seconds();
    const total = fraction > 0 ? spent / fraction : this.expected;
    // Early on, the measured time is the better guess; later, the step's own pace is.
    const guess = Math.max(spent, this.expected * this.pace * (1 - fraction) + total * fraction);
    this.tell("progress", message, guess - spent);
  }

  done(message: string): void {
    if (this.expected > 0) this.pace = this.seconds() / this.expected;
    this.tell("done", message, 0);
  }

  private seconds(): number {
    return (Date.now() - this.startedAt) / 1000;
  }

  private tell(state: "start" | "progress" | "done", message: string, left: number): void {
    this.toldAt = Date.now();
    this.report({
      step: this.step,
      state,
      seconds: Math.round(this.seconds() * 10) / 10,
      remainingSeconds: Math.round(left + this.later * this.pace),
      message,
    });
  }
}
