import { isDeepStrictEqual } from "node:util";
import type { EngineEvent, StepMetadata } from "./events";
import { isCustom, resourceTitle } from "./progress";

/** A resource that would be made, changed, replaced or removed. */
export interface Change {
  readonly op: string;
  readonly resource: string;
  readonly urn: string;
  readonly type: string;
  /** Paths of the properties that differ. */
  readonly properties: readonly string[];
}

/** Marks of the operations, as the engine's own previews have them. */
const MARKS: Readonly<Record<string, string>> = {
  create: "+",
  update: "~",
  delete: "-",
  replace: "+-",
  read: ">",
  import: "=",
};

/** Operations that are part of a `replace`, or that change nothing. */
const SKIPPED = ["same", "create-replacement", "delete-replaced", "refresh", "discard", "read"];

/** Collects the changes a preview finds. */
export class ChangeCollector {
  private readonly found: Change[] = [];
  private unchanged = 0;
  private custom = 0;

  take(event: EngineEvent): void {
    const metadata = event.resourcePreEvent?.metadata;
    if (metadata === undefined || metadata.type.startsWith("pulumi:")) {
      return;
    }
    if (isCustom(metadata)) {
      this.custom += 1;
    }
    if (metadata.op === "same") {
      this.unchanged += 1;
    }
    if (!SKIPPED.includes(metadata.op)) {
      this.found.push({
        op: metadata.op,
        resource: resourceTitle(metadata.urn),
        urn: metadata.urn,
        type: metadata.type,
        properties: changedProperties(metadata),
      });
    }
  }

  get changes(): readonly Change[] {
    return this.found;
  }

  /** Steps a run of these changes will have, components not counted. */
  get count(): number {
    return this.custom;
  }

  get unchangedCount(): number {
    return this.unchanged;
  }
}

/** One line for each change and a line with the counts. */
export function changesOf(collector: ChangeCollector): string {
  const lines = collector.changes.map(({ op, resource, properties }) => {
    const what = properties.length === 0 ? "" : ` (${properties.join(", ")})`;
    return `  ${(MARKS[op] ?? op).padEnd(2)} ${op.padEnd(7)} ${resource}${what}`;
  });
  return [...lines, countLine(collector)].join("\n");
}

function countLine({ changes, unchangedCount }: ChangeCollector): string {
  if (changes.length === 0) {
    return `No changes: ${unchangedCount} resources are as the settings say.`;
  }
  const ops = [...new Set(changes.map(({ op }) => op))];
  const counts = ops.map((op) => `${changes.filter((change) => change.op === op).length} to ${op}`);
  return `${counts.join(", ")}, ${unchangedCount} unchanged.`;
}

function changedProperties(metadata: StepMetadata): string[] {
  const { op, detailedDiff, diffs, keys } = metadata;
  if (op !== "update" && op !== "replace") {
    return [];
  }
  const detailed = Object.keys(detailedDiff ?? {});
  const plain = [...(op === "replace" ? (keys ?? []) : []), ...(diffs ?? [])];
  const told = detailed.length > 0 ? detailed : plain;
  // Of a replacement that a trigger asks for nobody compares the properties.
  return [...new Set(told.length > 0 ? told : differentInputs(metadata))].sort();
}

function differentInputs({ old, new: present }: StepMetadata): string[] {
  const [before, after] = [old?.inputs ?? {}, present?.inputs ?? {}];
  return Object.keys({ ...before, ...after }).filter(
    (key) => !key.startsWith("__") && !isDeepStrictEqual(before[key], after[key]),
  );
}
