/** Proves: what the ledger says of each stage, how it is shown, and what freezing adds to it. */
import { describe, expect, it } from "vitest";
import { setFrozen } from "../../tools/cli/freeze";
import {
  type LedgerEntry,
  readLedger,
  renderLedger,
  sortLedger,
  stageRecord,
  writeLedger,
} from "../../tools/cli/ledgerEntries";
import { FakeKubeClient } from "../support/fakeKubeClient";

const LEDGER = "ledgerentries.gourmetgram.dev";
const NOTHING = { version: "", digest: "" };
const one = { version: "1.0.1", digest: "sha256:aaaaaaaaaaaaaaaaaaaa" };
const two = { version: "1.0.2", digest: "sha256:bbbbbbbbbbbbbbbbbbbb" };

/** An entry `at` seconds after the epoch. */
function entry(at: number, action: LedgerEntry["action"], more: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    name: `staging-${at}000000000`,
    stage: "staging",
    action,
    at: new Date(at * 1000).toISOString(),
    by: "eva",
    workflow: "train-model-x",
    ...more,
  };
}

const object = ({ name, ...spec }: LedgerEntry) => ({
  metadata: { name, namespace: "argo" },
  spec: { change: "", from: NOTHING, to: NOTHING, reason: "", ...spec },
});

describe("what a stage runs", () => {
  it("is the `to` of its last deployed or reverted entry", () => {
    const entries = [
      entry(1, "deployed", { to: one }),
      entry(2, "deployed", { from: one, to: two }),
      entry(3, "failed", { from: two, to: { version: "1.0.3", digest: "sha256:c" } }),
      entry(4, "approved", { to: two }),
    ];
    expect(stageRecord(entries, "staging").current).toEqual(two);
    expect(stageRecord([...entries, entry(5, "reverted", { to: one })], "staging").current).toEqual(one);
  });

  it("is nothing before the first, and after a return to nothing", () => {
    expect(stageRecord([], "staging").current).toBeUndefined();
    const entries = [entry(1, "deployed", { to: one }), entry(2, "reverted", { from: one })];
    expect(stageRecord(entries, "staging").current).toBeUndefined();
  });

  it("is not told by other stages", () => {
    expect(
      stageRecord([entry(1, "deployed", { stage: "canary", to: one })], "staging").current,
    ).toBeUndefined();
  });
});

describe("an unfinished change", () => {
  it("has a start and no end", () => {
    const started = entry(1, "started", { change: "x.staging", to: two });
    expect(stageRecord([started], "staging").unfinished).toEqual(started);
    expect(
      stageRecord([started, entry(2, "failed", { change: "x.staging" })], "staging").unfinished,
    ).toBeUndefined();
  });

  it("is not ended by another change, nor by an earlier end of the same id", () => {
    const started = entry(2, "started", { change: "x.staging" });
    expect(
      stageRecord([started, entry(3, "deployed", { change: "y.staging" })], "staging").unfinished,
    ).toEqual(started);
    expect(stageRecord([entry(1, "failed", { change: "x.staging" }), started], "staging").unfinished).toEqual(
      started,
    );
  });
});

describe("the ledger in the cluster", () => {
  it("is read in the order of its names' nanoseconds, empty texts left out", async () => {
    const client = new FakeKubeClient({
      [LEDGER]: [object(entry(10, "deployed", { to: two })), object(entry(9, "started", { change: "x" }))],
    });
    const [first, second] = await readLedger(client);
    expect(first).toMatchObject({ action: "started", change: "x" });
    expect(first).not.toHaveProperty("to");
    expect(second).toMatchObject({ action: "deployed", to: two });
    expect(second).not.toHaveProperty("reason");
  });

  it("sorts names of different lengths by number", () => {
    const names = sortLedger([entry(10, "failed"), entry(9, "failed")]).map(({ name }) => name);
    expect(names).toEqual(["staging-9000000000", "staging-10000000000"]);
  });

  it("gets new entries after all there are, also when this host's clock is behind", async () => {
    const client = new FakeKubeClient({ [LEDGER]: [object(entry(2000, "deployed", { to: one }))] });
    const written = await writeLedger(
      client,
      { stage: "staging", action: "frozen", reason: "r", by: "b" },
      1_000_000,
    );
    expect(written.name).toBe("staging-2000000000001");
    const again = await writeLedger(client, { stage: "staging", action: "unfrozen" }, 3_000_000);
    expect(again.name).toBe("staging-3000000000000");
    expect(client.objects[LEDGER]?.at(-1)).toMatchObject({
      apiVersion: "gourmetgram.dev/v1",
      kind: "LedgerEntry",
      metadata: { namespace: "argo", labels: { "gourmetgram.dev/stage": "staging" } },
      spec: { at: "1970-01-01T00:50:00.000000Z", change: "", from: NOTHING, to: NOTHING },
    });
  });
});

describe("freezing", () => {
  it("adds one entry with the reason and what the stage runs", async () => {
    const client = new FakeKubeClient({ [LEDGER]: [object(entry(1, "deployed", { to: one }))] });
    expect(await setFrozen(client, "staging", true, "exams", "eva")).toBe(
      "staging is frozen by eva: exams. It runs 1.0.1. Next: npm run unfreeze -- staging",
    );
    expect(client.objects[LEDGER]?.at(-1)?.["spec"]).toMatchObject({
      stage: "staging",
      action: "frozen",
      reason: "exams",
      by: "eva",
      to: one,
    });
  });

  it("adds none to a stage that is as wanted already", async () => {
    const frozen = entry(1, "frozen", { reason: "exams" });
    const client = new FakeKubeClient({ [LEDGER]: [object(frozen)] });
    expect(await setFrozen(client, "staging", true, "again", "bo")).toContain("frozen already, by eva");
    expect(await setFrozen(client, "canary", false, "x", "bo")).toBe(
      "canary is not frozen; nothing was written.",
    );
    expect(client.objects[LEDGER]).toHaveLength(1);
    expect(await setFrozen(client, "staging", false, "over", "bo")).toBe("staging is no longer frozen.");
    expect(stageRecord(await readLedger(client), "staging").frozen).toBeUndefined();
  });

  it("does not change what the stage runs", async () => {
    const entries = [entry(1, "deployed", { to: one }), entry(2, "frozen", { to: two })];
    expect(stageRecord(entries, "staging").current).toEqual(one);
  });
});

describe("the ledger for people", () => {
  it("shows each stage's version first, then what was done", () => {
    const entries = [
      entry(1, "deployed", { to: one, reason: "gates passed" }),
      entry(2, "frozen", { reason: "exams" }),
      entry(3, "started", { change: "y", stage: "canary", name: "canary-3000000000", to: two }),
    ];
    const lines = renderLedger(entries, entries.toReversed().slice(0, 1)).split("\n");
    expect(lines).toEqual([
      "STAGE       RUNS         IMAGE         SINCE             BY   STATE",
      "staging     1.0.1        aaaaaaaaaaaa  1970-01-01 00:00  eva  frozen by eva: exams",
      "canary      nothing yet                                       a change to 1.0.2 is under way",
      "production  nothing yet",
      "",
      "AT                   STAGE   ACTION   FROM  TO     BY   WORKFLOW       REASON",
      "1970-01-01 00:00:03  canary  started        1.0.2  eva  train-model-x",
      "(2 more; --limit 0 shows all)",
    ]);
  });

  it("says what to do while it is empty", () => {
    expect(renderLedger([], [])).toContain("Nothing has been deployed yet. Next: npm run train -- --wait");
  });
});
