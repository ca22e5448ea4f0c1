import type { EngineEvent } from "./events";
import { plainText, resourceTitle } from "./progress";

/** An error of a run, in full. */
export interface Failure {
  /** `Machine node2`, or undefined for what concerns no single resource. */
  readonly resource?: string;
  readonly message: string;
  readonly next: string;
}

/** Longest part of a failed script that is shown. */
const MAX_SCRIPT_LENGTH = 80;

/** Errors that say nothing of their own: the engine adds them to every failed run, the OpenStack provider logs each before it tells it. */
const EMPTY_MESSAGES = [
  /^(?:update|preview|destroy|refresh) (?:failed|cancell?ed)$/,
  /^resource .* has a problem$/,
  /^sdk-v2\/provider2\.go:\d+: /,
];

/** What an error means and what helps against it; the first that matches is taken. */
const KNOWN_CAUSES: readonly { readonly pattern: RegExp; readonly next: string }[] = [
  {
    pattern: /ENOSPC|no space left on device|disk quota exceeded/i,
    next: "The disk is full. Free some space (npm run doctor shows how much is needed and where), then run the same command again.",
  },
  {
    pattern: /exit (?:status|code) 137|OOMKilled|out of memory|ENOMEM|cannot allocate memory|signal: killed/i,
    next: "Memory ran out. Raise infra.memory (or the node's memory) in the settings file, or free memory on this host, then run the same command again.",
  },
  {
    pattern: /stack is currently locked/i,
    next: "Another run holds the lock. Wait for it, or see npm run doctor.",
  },
  {
    pattern: /incorrect passphrase|passphrase must be set/i,
    next: "Set PULUMI_CONFIG_PASSPHRASE_FILE to the file with the passphrase this state was encrypted with.",
  },
  {
    pattern: /no resource plugin|could not find.*plugin|plugin.*not found/i,
    next: "A provider plugin is missing. Run: npm run toolchain",
  },
  {
    pattern: /quota exceeded|OverQuota|overLimit/i,
    next: "A limit of the project is reached. Remove what it does not need, or ask the site for more; npm run doctor shows what is missing. Then run the same command again.",
  },
  {
    pattern: /unexpected state 'ERROR'/,
    next: "The cloud could not start the instance. Run the same command again: it tells the cloud's own reason and makes the instance anew.",
  },
  {
    pattern:
      /openstack[\s\S]*(?:Internal Server Error|temporary condition|but got 5\d\d instead|retries exhausted)/i,
    next: "A service of the cloud failed, not your settings. Run the same command again: finished steps are kept. If it stays so, ask the site.",
  },
  {
    pattern: /openstack[\s\S]*(?:already allocated|in use)/i,
    next: "Somebody else has it, or this run itself after an answer was lost. Run the same command again: what is left of this run is removed first, anything else is named.",
  },
  {
    pattern: /There is no bundle|npm run bundle/,
    next: "Run: npm run bundle",
  },
];

const DEFAULT_NEXT =
  "Correct what the message names and run the same command again: finished steps are kept.";

/** Collects the errors and warnings of a run from the engine's events. */
export class FailureCollector {
  private readonly found: Failure[] = [];
  private readonly told = new Set<string>();

  /** Gives a line to show at once: an error's first one, a warning, what the program printed. Each is shown once. */
  take(event: EngineEvent): string | undefined {
    const diagnostic = event.diagnosticEvent;
    if (diagnostic === undefined || diagnostic.ephemeral === true) {
      return undefined;
    }
    const message = shortenScripts(shortenUrns(plainText(diagnostic.message).trim()));
    const resource = isStack(diagnostic.urn) ? undefined : resourceTitle(diagnostic.urn ?? "");
    const key = `${diagnostic.severity} ${resource} ${message}`;
    if (message === "" || this.told.has(key)) {
      return undefined;
    }
    this.told.add(key);
    if (diagnostic.severity === "error") {
      if (EMPTY_MESSAGES.some((pattern) => pattern.test(message))) {
        return undefined;
      }
      const failure = {
        ...(resource === undefined ? {} : { resource }),
        message,
        next: nextStep(message),
      };
      this.found.push(failure);
      // The run goes on until the steps that have begun are finished, which can take minutes: do not keep it till then.
      return isCancellation(failure)
        ? undefined
        : `error: ${resource === undefined ? "" : `${resource}: `}${firstLine(message)}`;
    }
    if (diagnostic.severity.startsWith("info") && resource === undefined) {
      return message;
    }
    if (diagnostic.severity === "warning" && !isExpected(message)) {
      return `warning: ${resource === undefined ? "" : `${resource}: `}${message}`;
    }
    return undefined;
  }

  get failures(): readonly Failure[] {
    return this.found;
  }
}

/** What to do about an error text. */
export function nextStep(message: string): string {
  return KNOWN_CAUSES.find(({ pattern }) => pattern.test(message))?.next ?? DEFAULT_NEXT;
}

/** Every failure in full, with its resource and next step. */
export function formatFailures(failures: readonly Failure[]): string {
  return failures
    .map(({ resource, message, next }) => {
      const indented = message.replace(/\n/g, "\n  ");
      return `${resource === undefined ? "Error" : `Error in ${resource}`}:\n  ${indented}\n  next: ${next}`;
    })
    .join("\n\n");
}

/** The command plugin quotes the whole script that failed. Its beginning says which one; its text is in the project. */
function shortenScripts(message: string): string {
  return message.replace(/running "((?:[^"\\]|\\.)*)"/g, (whole, script: string) =>
    script.length > MAX_SCRIPT_LENGTH ? `running "${script.slice(0, MAX_SCRIPT_LENGTH)}..."` : whole,
  );
}

/** The first line that says something: lists of errors begin with their number. */
function firstLine(message: string): string {
  const lines = message.split("\n").map((line) => line.replace(/^[\s*]+/, ""));
  return lines.find((line) => line !== "" && !/^\d+ errors? occurred:$/.test(line)) ?? "";
}

/** URNs in messages say the same as the title, ten times as long. */
function shortenUrns(message: string): string {
  return message.replace(/urn:pulumi:[^\s"',]+/g, resourceTitle);
}

function isStack(urn: string | undefined): boolean {
  return urn === undefined || urn === "" || urn.includes("::pulumi:pulumi:Stack::");
}

/** True for the errors of steps that Ctrl-C cut short: they were asked for. */
export function isCancellation(failure: Failure): boolean {
  return /cancell?ed|signal: (?:terminated|interrupt)/i.test(failure.message);
}

/** Plugins of the toolchain are on PATH on purpose; the engine warns about each. */
function isExpected(message: string): boolean {
  return /using pulumi-(?:resource|language)-\S+ from \$PATH/.test(message);
}
