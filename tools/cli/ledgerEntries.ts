import { STAGES, type Stage } from "../../stacks/spec";
import { createObject, getJson, type KubeClient } from "./kubeClient";
import { LEDGER_API_VERSION, LEDGER_RESOURCE, WORKFLOW_NAMESPACE } from "./pipeline";
import { renderTable } from "./table";

/** What can be said of a stage in the ledger. */
export type LedgerAction =
  | "started"
  | "deployed"
  | "reverted"
  | "failed"
  | "approved"
  | "rejected"
  | "frozen"
  | "unfrozen";

/** A model version together with the image that holds it. */
export interface Release {
  readonly version: string;
  /** `sha256:...` of the image. */
  readonly digest: string;
}

/** One line of the ledger. */
export interface LedgerEntry {
  /** Name of the object. */
  readonly name: string;
  readonly stage: Stage;
  readonly action: LedgerAction;
  /** The same for every entry of one change. */
  readonly change?: string;
  readonly from?: Release;
  readonly to?: Release;
  readonly reason?: string;
  readonly by?: string;
  readonly workflow?: string;
  /** RFC 3339, UTC. */
  readonly at: string;
}

/** What the ledger says of a stage now. */
export interface StageRecord {
  readonly stage: Stage;
  /** What it runs: `to` of the last entry that closed a change; `undefined` while nothing was deployed. */
  readonly current?: Release;
  readonly since?: LedgerEntry;
  /** The entry that froze it, while it is frozen. */
  readonly frozen?: LedgerEntry;
  /** A change that was begun and neither finished nor put back. */
  readonly unfinished?: LedgerEntry;
}

/** Actions that end a change of a stage. */
const CLOSING: readonly LedgerAction[] = ["deployed", "reverted", "failed"];

/** An entry as the API server has it: what is not known is an empty text. */
interface LedgerObject {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly stage: Stage;
    readonly action: LedgerAction;
    readonly change?: string;
    readonly from?: Partial<Release>;
    readonly to?: Partial<Release>;
    readonly reason?: string;
    readonly by?: string;
    readonly workflow?: string;
    readonly at: string;
  };
}

/** The whole ledger, the oldest first. */
export async function readLedger(client: KubeClient): Promise<LedgerEntry[]> {
  const { items } = await getJson<{ items: LedgerObject[] }>(
    client,
    "--namespace",
    WORKFLOW_NAMESPACE,
    LEDGER_RESOURCE,
  );
  return sortLedger(items.map(parseEntry));
}

function parseEntry({ metadata, spec }: LedgerObject): LedgerEntry {
  const from = parseRelease(spec.from);
  const to = parseRelease(spec.to);
  return {
    name: metadata.name,
    stage: spec.stage,
    action: spec.action,
    at: spec.at,
    ...(spec.change ? { change: spec.change } : {}),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(spec.reason ? { reason: spec.reason } : {}),
    ...(spec.by ? { by: spec.by } : {}),
    ...(spec.workflow ? { workflow: spec.workflow } : {}),
  };
}

function parseRelease(release: Partial<Release> | undefined): Release | undefined {
  return release?.version ? { version: release.version, digest: release.digest ?? "" } : undefined;
}

/** By the time in their names, which is exact to the nanosecond and given out in order. */
export function sortLedger(entries: readonly LedgerEntry[]): LedgerEntry[] {
  return [...entries].sort((left, right) => {
    const [a, b] = [stamp(left), stamp(right)];
    return a < b ? -1 : a > b ? 1 : 0;
  });
}

/** Unix time in nanoseconds. */
function stamp({ name }: Pick<LedgerEntry, "name">): bigint {
  return BigInt(/-(\d+)$/.exec(name)?.[1] ?? 0);
}

/** @param entries the oldest first */
export function stageRecord(entries: readonly LedgerEntry[], stage: Stage): StageRecord {
  const own = entries.filter((entry) => entry.stage === stage);
  const since = own.findLast(({ action }) => action === "deployed" || action === "reverted");
  const froze = own.findLast(({ action }) => action === "frozen" || action === "unfrozen");
  // In order, not by the change's id alone: a retried workflow uses its ids again.
  const open = new Map<string, LedgerEntry>();
  for (const entry of own) {
    if (entry.action === "started") {
      open.set(entry.change ?? "", entry);
    } else if (CLOSING.includes(entry.action)) {
      open.delete(entry.change ?? "");
    }
  }
  const unfinished = [...open.values()].at(-1);
  return {
    stage,
    ...(since === undefined ? {} : { since }),
    ...(since?.to === undefined ? {} : { current: since.to }),
    ...(froze?.action === "frozen" ? { frozen: froze } : {}),
    ...(unfinished === undefined ? {} : { unfinished }),
  };
}

/** Adds an entry that comes after all there are. The API server refuses any later change of it. */
export async function writeLedger(
  client: KubeClient,
  entry: Omit<LedgerEntry, "name" | "at">,
  now: number = Date.now(),
): Promise<LedgerEntry> {
  const last = (await readLedger(client)).findLast(({ stage }) => stage === entry.stage);
  const clock = BigInt(now) * 1_000_000n;
  // The clocks of the nodes and of this host differ.
  const after = last === undefined ? 0n : stamp(last) + 1n;
  const nanoseconds = after > clock ? after : clock;
  const name = `${entry.stage}-${nanoseconds}`;
  const at = renderTime(nanoseconds);
  await createObject(client, {
    apiVersion: LEDGER_API_VERSION,
    kind: "LedgerEntry",
    metadata: {
      name,
      namespace: WORKFLOW_NAMESPACE,
      labels: {
        "app.kubernetes.io/name": "ledger",
        "app.kubernetes.io/part-of": "gourmetgram",
        "gourmetgram.dev/stage": entry.stage,
      },
    },
    spec: {
      stage: entry.stage,
      action: entry.action,
      change: entry.change ?? "",
      from: entry.from ?? NOTHING,
      to: entry.to ?? NOTHING,
      reason: entry.reason ?? "",
      by: entry.by ?? "",
      workflow: entry.workflow ?? "",
      at,
    },
  });
  return { name, at, ...entry };
}

const NOTHING: Release = { version: "", digest: "" };

/** RFC 3339 with microseconds. */
function renderTime(nanoseconds: bigint): string {
  const milliseconds = Number(nanoseconds / 1_000_000n);
  const micros = String((nanoseconds / 1000n) % 1000n).padStart(3, "0");
  return new Date(milliseconds).toISOString().replace("Z", `${micros}Z`);
}

/** First what each stage runs, then what was done, the newest first. */
export function renderLedger(
  entries: readonly LedgerEntry[],
  shown: readonly LedgerEntry[],
  stages: readonly Stage[] = STAGES,
): string {
  const records = stages.map((stage) => stageRecord(entries, stage));
  const summary = renderTable(
    ["STAGE", "RUNS", "IMAGE", "SINCE", "BY", "STATE"],
    records.map(({ stage, current, since, frozen, unfinished }) => [
      stage,
      current?.version ?? "nothing yet",
      shortDigest(current?.digest),
      since === undefined ? "" : minute(since.at),
      since?.by ?? "",
      [
        frozen === undefined ? "" : `frozen by ${frozen.by ?? "?"}: ${frozen.reason ?? ""}`,
        unfinished === undefined ? "" : `a change to ${unfinished.to?.version ?? "?"} is under way`,
      ]
        .filter((text) => text !== "")
        .join("; "),
    ]),
  );
  if (entries.length === 0) {
    return `${summary}\n\nNothing has been deployed yet. Next: npm run train -- --wait`;
  }
  const history = renderTable(
    ["AT", "STAGE", "ACTION", "FROM", "TO", "BY", "WORKFLOW", "REASON"],
    shown.map((entry) => [
      second(entry.at),
      entry.stage,
      entry.action,
      entry.from?.version ?? "",
      entry.to?.version ?? "",
      entry.by ?? "",
      entry.workflow ?? "",
      entry.reason ?? "",
    ]),
  );
  const left = entries.length - shown.length;
  return `${summary}\n\n${history}${left > 0 ? `\n(${left} more; --limit 0 shows all)` : ""}`;
}

export function shortDigest(digest: string | undefined): string {
  return (digest ?? "").replace(/^sha256:/, "").slice(0, 12);
}

function second(at: string): string {
  return at.slice(0, 19).replace("T", " ");
}

function minute(at: string): string {
  return at.slice(0, 16).replace("T", " ");
}
