import { existsSync, readFileSync } from "node:fs";
import { writeAtomically } from "./state";

/** How a successful run went, kept so that the next one of its kind can tell how much is left. */
export interface RunTiming {
  readonly seconds: number;
  /** Seconds from the start at which each resource was finished, by URN. */
  readonly finished: Readonly<Record<string, number>>;
}

/** Former runs by kind: `create:local`, `change:local`, `destroy:local`. */
export type Timings = Readonly<Record<string, RunTiming>>;

/** A missing or damaged file is no timings: estimates are never worth an error. */
export function readTimings(path: string): Timings {
  if (!existsSync(path)) {
    return {};
  }
  try {
    const content: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof content === "object" && content !== null ? (content as Timings) : {};
  } catch {
    return {};
  }
}

export function saveTiming(path: string, kind: string, timing: RunTiming): void {
  writeAtomically(path, `${JSON.stringify({ ...readTimings(path), [kind]: timing })}\n`);
}
