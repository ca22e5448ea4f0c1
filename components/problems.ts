/**
 * Something wrong that the user can put right: a setting, or a property of this host.
 * All problems of one check are collected and shown together, never one per run.
 */
export interface Problem {
  /** Where it is: a setting (`nodes.node2.address`), a file, or a part of the host (`host.kernel`). */
  readonly path: string;
  /** The wrong value as the user gave it, or what was found. Never a secret. `undefined` when it is missing. */
  readonly value?: unknown;
  /** What is wrong with it, continuing "X = value ...": `is outside the subnet 10.87.0.0/24`. */
  readonly problem: string;
  /** The values that would be right, in words or as a list. */
  readonly allowed?: string;
  /** What to do now: a command, or the edit to make. */
  readonly next: string;
}

/** Longest form of a wrong value shown; longer ones are cut so that a pasted file does not fill the screen. */
const MAX_VALUE_LENGTH = 80;

/** Collects problems while a check goes on; `throwIfAny` ends it. */
export class ProblemCollector {
  private readonly found: Problem[] = [];

  add(problem: Problem): void {
    this.found.push(problem);
  }

  get problems(): readonly Problem[] {
    return this.found;
  }

  get isEmpty(): boolean {
    return this.found.length === 0;
  }

  /** @throws ProblemsError with every problem, when there is one. */
  throwIfAny(headline: string): void {
    if (this.found.length > 0) {
      throw new ProblemsError(headline, this.found);
    }
  }
}

/** One error for all problems; `message` is complete and ready to print. */
export class ProblemsError extends Error {
  constructor(
    /** What was checked, without the count: `The settings of environment "local"`. */
    headline: string,
    readonly problems: readonly Problem[],
  ) {
    super(formatProblems(headline, problems));
    this.name = "ProblemsError";
  }
}

/** `2 problems in <headline>` and one block for each problem. */
export function formatProblems(headline: string, problems: readonly Problem[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return [`${count} in ${headline}:`, ...problems.map(formatProblem)].join("\n\n");
}

/** One problem, indented by two spaces, several lines. */
export function formatProblem(problem: Problem): string {
  const value = problem.value === undefined ? "" : ` = ${formatValue(problem.value)}`;
  const lines = [`  ${problem.path}${value}`, `    ${problem.problem}`];
  if (problem.allowed !== undefined) {
    lines.push(`    allowed: ${problem.allowed}`);
  }
  lines.push(`    next: ${problem.next}`);
  return lines.join("\n");
}

function formatValue(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH - 3)}...` : text;
}
