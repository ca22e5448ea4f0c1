/** Exit codes of every command. Documented in README.md of this folder. */
export const ExitCode = {
  ok: 0,
  /** The work was started and failed. */
  failed: 1,
  /** Wrong arguments, settings or host: nothing was started. */
  refused: 2,
  /** `preview --expect-no-changes` found changes, `leftovers` found some. */
  unexpected: 3,
  /** Ended by Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** An error a user can act on: `message` is complete, no stack trace is shown. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly exitCode: ExitCode = ExitCode.failed,
  ) {
    super(message);
    this.name = "CommandError";
  }
}
