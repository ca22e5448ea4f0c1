import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";

/** What the engine writes to its event log, one JSON object per line; only the parts used here. */
export interface EngineEvent {
  readonly timestamp: number;
  readonly diagnosticEvent?: DiagnosticEvent;
  readonly resourcePreEvent?: { readonly metadata: StepMetadata; readonly planning?: boolean };
  readonly resOutputsEvent?: { readonly metadata: StepMetadata; readonly planning?: boolean };
  readonly resOpFailedEvent?: { readonly metadata: StepMetadata };
  readonly summaryEvent?: { readonly resourceChanges?: Readonly<Record<string, number>> };
}

export interface DiagnosticEvent {
  readonly urn?: string;
  readonly message: string;
  readonly severity: "debug" | "info" | "info#err" | "warning" | "error";
  /** A status that replaces the one before, not worth keeping. */
  readonly ephemeral?: boolean;
}

export interface StepMetadata {
  readonly op: string;
  readonly urn: string;
  readonly type: string;
  readonly old?: StepState;
  readonly new?: StepState;
  readonly diffs?: readonly string[];
  readonly keys?: readonly string[];
  readonly detailedDiff?: Readonly<Record<string, { readonly diffKind: string }>> | null;
}

export interface StepState {
  /** Missing for components. */
  readonly custom?: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
}

/** Reads the lines that were added to a growing file since the last call. */
export class EventLogReader {
  private descriptor: number | undefined;
  private position = 0;

  constructor(private readonly path: string) {}

  read(): EngineEvent[] {
    if (this.descriptor === undefined) {
      if (!existsSync(this.path)) {
        return [];
      }
      this.descriptor = openSync(this.path, "r");
    }
    const size = fstatSync(this.descriptor).size - this.position;
    if (size <= 0) {
      return [];
    }
    const buffer = Buffer.alloc(size);
    const count = readSync(this.descriptor, buffer, 0, size, this.position);
    const end = buffer.subarray(0, count).lastIndexOf(10) + 1;
    // Only whole lines are consumed, so that a character is never cut in two.
    this.position += end;
    return buffer
      .subarray(0, end)
      .toString("utf8")
      .split("\n")
      .map(parseEvent)
      .filter((event) => event !== undefined);
  }

  close(): void {
    if (this.descriptor !== undefined) {
      closeSync(this.descriptor);
    }
    this.descriptor = undefined;
  }
}

/** A torn line is skipped: it costs a line of progress, and the run it tells of must not end for that. */
function parseEvent(line: string): EngineEvent | undefined {
  try {
    return line === "" ? undefined : (JSON.parse(line) as EngineEvent);
  } catch {
    return undefined;
  }
}
