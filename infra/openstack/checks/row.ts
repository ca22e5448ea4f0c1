import type { Problem } from "../../../components/problems";

/** One line of the preflight's table. */
export interface PreflightRow {
  readonly check: string;
  readonly ok: boolean;
  /** What there is, in a few words. */
  readonly found: string;
  /** What is wrong and what to do; there when it is not ok. */
  readonly problem?: Problem;
  /** What fails only where an instance is made. @default every run */
  readonly stops?: "new instances";
}

export function pass(check: string, found: string): PreflightRow {
  return { check, ok: true, found };
}

/** @param found a few words for the table; the problem itself says it in full */
export function fail(check: string, found: string, problem: Problem): PreflightRow {
  return { check, ok: false, found, problem };
}
