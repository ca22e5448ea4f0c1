/** One line of progress. `start` and `done` come once per step, `progress` any number of times between them. */
export interface ProgressEvent {
  /** What is being made: an artifact's name, `assemble`, `machine`, `containerd`. */
  readonly step: string;
  readonly state: "start" | "progress" | "done";
  /** Seconds this step has taken so far. */
  readonly seconds: number;
  /** Estimate for everything that is still to do, in seconds. Undefined when nobody knows. */
  readonly remainingSeconds?: number;
  readonly message: string;
}

export type Report = (event: ProgressEvent) => void;

/** `95` -> `1m35s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60);
  return minutes === 0 ? `${whole}s` : `${minutes}m${String(whole % 60).padStart(2, "0")}s`;
}

/** One line for a terminal or a log. */
export function formatEvent(event: ProgressEvent): string {
  const mark = { start: ">", progress: " ", done: "=" }[event.state];
  const left =
    event.remainingSeconds === undefined ? "" : `, about ${formatSeconds(event.remainingSeconds)} left`;
  const time = event.state === "start" && left === "" ? "" : ` (${formatSeconds(event.seconds)}${left})`;
  return `${mark} ${event.step}: ${event.message}${time}`;
}
