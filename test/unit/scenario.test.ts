/**
 * Proves: what a scenario asserts about an environment, that each of its checks can fail, where a workflow's time goes, what the
 * report says, that lost requests are counted, and when a node's power is cut and given back. The cluster is a fake.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { OpenCluster } from "../../tools/cli/kubeClient";
import type { LedgerEntry, Release } from "../../tools/cli/ledgerEntries";
import { findScenario } from "../../tools/cli/scenario/catalog";
import { type Check, checkBars, checkEvidence, type Evidence } from "../../tools/cli/scenario/checks";
import { LoadClient } from "../../tools/cli/scenario/loadClient";
import { parseAliases } from "../../tools/cli/scenario/mlflowAliases";
import { createReport, renderReport, writeReport } from "../../tools/cli/scenario/report";
import { Outage } from "../../tools/cli/scenario/run";
import {
  contradictions,
  type Snapshot,
  type StageSnapshot,
  takeSnapshot,
} from "../../tools/cli/scenario/snapshot";
import { stepTimes, timeShares, unionSeconds } from "../../tools/cli/scenario/timing";
import type { Workflow, WorkflowNode } from "../../tools/cli/workflowStatus";
import { FakeKubeClient } from "../support/fakeKubeClient";

const v = (n: number): Release => ({ version: `1.0.${n}`, digest: `sha256:${String(n).repeat(20)}` });

/** A stage of which every place says the same. */
function stage(release: Release | undefined, generation = 1): StageSnapshot {
  return release === undefined
    ? { readyPods: 0 }
    : {
        ledger: release,
        wanted: release,
        image: release.digest,
        live: release.version,
        generation,
        readyPods: 1,
        sync: "Synced",
        health: "Healthy",
      };
}

const entry = (at: number, more: Partial<LedgerEntry>): LedgerEntry => ({
  name: `${more.stage ?? "staging"}-${at}`,
  stage: "staging",
  action: "deployed",
  at: new Date(at * 1000).toISOString(),
  workflow: "train-model-x",
  by: "eva",
  ...more,
});

const history = [
  entry(1, { to: v(4) }),
  entry(2, { stage: "canary", to: v(4) }),
  entry(3, { stage: "production", to: v(3) }),
];

const before: Snapshot = {
  at: "2026-01-01T00:00:00Z",
  stages: { staging: stage(v(4)), canary: stage(v(4)), production: stage(v(3)) },
  aliases: { staging: "4", canary: "4", production: "3", development: "5", "staging-approved": "4" },
  ledger: history,
};

/** A pod that ran from second `from` to second `to` of the workflow. */
function pod(template: string, from: number, to: number, more: Partial<WorkflowNode> = {}): WorkflowNode {
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
  return {
    id: template,
    name: template,
    displayName: `${template}(0)`,
    type: "Pod",
    templateRef: { name: "any", template },
    phase: "Succeeded",
    startedAt: at(from),
    finishedAt: at(to),
    hostNodeName: "node2",
    ...more,
  };
}

function workflow(
  phase: "Succeeded" | "Failed" | "Running",
  nodes: readonly WorkflowNode[],
  seconds = 100,
): Workflow {
  return {
    metadata: { name: "train-model-x" },
    spec: {},
    status: {
      phase,
      startedAt: "2026-01-01T00:00:00Z",
      finishedAt: new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString(),
      nodes: Object.fromEntries(nodes.map((node) => [node.id, node])),
    },
  };
}

const training = pod("run-training", 10, 40, {
  outputs: { parameters: [{ name: "model-version", value: "6" }] },
});

function evidence(name: string, more: Partial<Evidence>): Evidence {
  const given = more.workflow ?? workflow("Succeeded", [training]);
  return {
    scenario: findScenario(name),
    workflow: given,
    before,
    after: before,
    leavings: { pods: [], claims: [] },
    shares: timeShares(given),
    ...more,
  };
}

const failures = (found: readonly Check[]) => found.filter(({ passed }) => !passed).map(({ name }) => name);

describe("normal", () => {
  const after: Snapshot = {
    ...before,
    stages: { staging: stage(v(6), 2), canary: stage(v(6), 2), production: stage(v(3)) },
    aliases: { staging: "6", canary: "6", production: "3", development: "6", "staging-approved": "6" },
    ledger: [...history, entry(10, { to: v(6) }), entry(11, { stage: "canary", to: v(6) })],
  };

  it("passes when the new version is in staging and canary and nowhere else", () => {
    const checks = checkEvidence(evidence("normal", { after }));
    expect(failures(checks)).toEqual([]);
    expect(checks.length).toBeGreaterThan(15);
  });

  it.each<[string, Partial<Evidence>, string]>([
    ["the workflow failed", { workflow: workflow("Failed", [training]) }, "the workflow"],
    [
      "no version was made",
      { workflow: workflow("Succeeded", []) },
      "training made a version newer than any before",
    ],
    [
      "canary was left behind",
      { after: { ...after, stages: { ...after.stages, canary: stage(v(4)) } } },
      "canary, by the ledger",
    ],
    [
      "production moved",
      { after: { ...after, stages: { ...after.stages, production: stage(v(6), 2) } } },
      "production is untouched: version and image",
    ],
    [
      "production's settings changed",
      { after: { ...after, stages: { ...after.stages, production: stage(v(3), 2) } } },
      "production is untouched: its Deployment",
    ],
    [
      "an alias lies",
      { after: { ...after, aliases: { ...after.aliases, "staging-approved": "4" } } },
      "alias staging-approved",
    ],
    [
      "canary runs another image of the same version",
      {
        after: {
          ...after,
          stages: { ...after.stages, canary: stage({ version: "1.0.6", digest: "sha256:other" }) },
        },
      },
      "canary runs the very image that staging tested",
    ],
    ["a pod is left", { leavings: { pods: ["p"], claims: [] } }, "no pod or volume of the workflow is left"],
    [
      "a volume is left",
      { leavings: { pods: [], claims: ["c"] } },
      "no pod or volume of the workflow is left",
    ],
  ])("fails when %s", (_, more, name) => {
    expect(failures(checkEvidence(evidence("normal", { after, ...more })))).toContain(name);
  });

  it("tells missed bars apart from the end state", () => {
    const slow = evidence("normal", { after, workflow: workflow("Succeeded", [training], 300) });
    expect(failures(checkEvidence(slow))).toEqual([]);
    expect(failures(checkBars(slow))).toEqual([
      "the whole chain",
      "time not in train, build, rollout or load test",
    ]);
  });
});

describe.each([
  ["bad-architecture", "integration"],
  ["oversized", "resources"],
  ["slow", "load"],
])("%s", (name, gate) => {
  const failed = workflow("Failed", [
    training,
    pod(`gate-${gate}`, 60, 70, { phase: "Failed", message: "Error (exit code 1): GateFailed: why" }),
  ]);
  const after: Snapshot = {
    ...before,
    stages: { ...before.stages, staging: stage(v(4), 3) },
    aliases: { ...before.aliases, development: "6" },
    ledger: [
      ...history,
      entry(10, { to: v(6) }),
      entry(11, { action: "reverted", from: v(6), to: v(4), reason: `gate ${gate}` }),
    ],
  };

  it("passes when the gate stopped it and staging is back", () => {
    expect(failures(checkEvidence(evidence(name, { workflow: failed, after })))).toEqual([]);
  });

  it.each<[string, Partial<Evidence>, string]>([
    [
      "another gate stopped it",
      { workflow: workflow("Failed", [training, pod("gate-other", 60, 70, { phase: "Failed" })]) },
      "the gate that stopped it",
    ],
    [
      "the workflow succeeded",
      { workflow: { ...failed, status: { ...failed.status, phase: "Succeeded" } } },
      "the workflow",
    ],
    [
      "staging kept the bad version",
      { after: { ...after, stages: { ...after.stages, staging: stage(v(6)) } } },
      "staging is back on what its ledger recorded before",
    ],
    [
      "staging went back one too far",
      { after: { ...after, stages: { ...after.stages, staging: stage(v(3)) } } },
      "staging is back on what its ledger recorded before",
    ],
    [
      "the ledger does not tell",
      { after: { ...after, ledger: after.ledger.slice(0, -1) } },
      "the ledger tells of the return",
    ],
    [
      "somebody tried canary",
      { after: { ...after, ledger: [...after.ledger, entry(12, { stage: "canary", action: "failed" })] } },
      "canary is untouched: nothing new in its ledger",
    ],
    [
      "it was approved",
      { after: { ...after, aliases: { ...after.aliases, "staging-approved": "6" } } },
      "alias staging-approved is as before",
    ],
  ])("fails when %s", (_, more, check) => {
    expect(failures(checkEvidence(evidence(name, { workflow: failed, after, ...more })))).toContain(check);
  });
});

describe("node-loss", () => {
  const run = (staging: Release, canary: Release, more: Partial<Evidence> = {}) =>
    failures(
      checkEvidence(
        evidence("node-loss", {
          lostNode: "node2",
          workflow: workflow("Failed", [training]),
          after: { ...before, stages: { ...before.stages, staging: stage(staging), canary: stage(canary) } },
          ...more,
        }),
      ).filter(({ name }) => !name.includes("say the same")),
    );

  it("passes with the old or the new version", () => {
    expect(run(v(4), v(4))).toEqual([]);
    expect(run(v(6), v(4))).toEqual([]);
    expect(run(v(6), v(6))).toEqual([]);
  });

  it("fails with any other, and when no node was lost", () => {
    expect(run(v(3), v(4))).toEqual(["staging runs its old or the new version"]);
    const { lostNode: _, ...complete } = evidence("node-loss", {});
    expect(failures(checkEvidence(complete))).toContain("a worker lost its power during the promotion");
  });
});

describe("a stage between two versions", () => {
  const full = (change: Partial<StageSnapshot>, aliases = before.aliases): Snapshot => ({
    ...before,
    aliases,
    stages: { ...before.stages, staging: { ...before.stages.staging, ...change } },
  });

  it("is none when every place says the same", () => {
    expect(contradictions(before, "staging")).toEqual([]);
    expect(
      contradictions(
        { ...before, stages: { ...before.stages, canary: stage(undefined) }, aliases: {} },
        "canary",
      ),
    ).toEqual([]);
  });

  it("of the app without a model has no alias", () => {
    const baseline = { version: "1.0.0", digest: "sha256:0" };
    const snapshot = { ...before, stages: { ...before.stages, staging: stage(baseline) }, aliases: {} };
    expect(contradictions(snapshot, "staging")).toEqual([]);
    expect(contradictions({ ...snapshot, aliases: { staging: "4" } }, "staging")).toEqual([
      "the alias is 4 instead of nothing",
    ]);
  });

  it.each<[Snapshot, string]>([
    [full({ live: "1.0.6" }), "the app says 1.0.6 instead of 1.0.4"],
    [full({ image: "sha256:x" }), "the Deployment has sha256:x instead of"],
    [full({ wanted: v(6) }), "Argo CD runs 1.0.6 instead of 1.0.4"],
    [full({}, { ...before.aliases, staging: "6" }), "the alias is 6 instead of 4"],
    [full({ unfinished: "staging-9" }), "the change staging-9 is not ended"],
    [full({ readyPods: 0 }), "no pod is ready"],
  ])("is found: %#", (snapshot, text) => {
    expect(contradictions(snapshot, "staging").join("; ")).toContain(text);
  });
});

describe("a snapshot", () => {
  it("reads each place", async () => {
    const digest = v(4).digest;
    const client = new FakeKubeClient({
      "ledgerentries.gourmetgram.dev": [
        {
          metadata: { name: "staging-1", namespace: "argo" },
          spec: {
            stage: "staging",
            action: "deployed",
            to: v(4),
            from: { version: "", digest: "" },
            at: "x",
          },
        },
      ],
      "applications.argoproj.io": [
        {
          metadata: { name: "gourmetgram-staging", namespace: "argocd" },
          spec: {
            source: {
              helm: {
                parameters: [
                  { name: "image.digest", value: digest },
                  { name: "modelVersion", value: "1.0.4" },
                ],
              },
            },
          },
          status: { sync: { status: "Synced" }, health: { status: "Healthy" } },
        },
      ],
      deployments: [
        {
          metadata: { name: "gourmetgram-app", namespace: "gourmetgram-staging", generation: 3 },
          spec: {
            template: { spec: { containers: [{ image: `registry:5000/gourmetgram-app@${digest}` }] } },
          },
          status: { readyReplicas: 1 },
        },
      ],
    });
    const proxy = "/api/v1/namespaces/gourmetgram-staging/services/gourmetgram-app:8000/proxy/version";
    client.raw[proxy] = () => '{"model_version":"1.0.4"}';
    const snapshot = await takeSnapshot(client, async () => ({ staging: "4" }));
    expect(snapshot.stages.staging).toEqual(stage(v(4), 3));
    expect(snapshot.stages.canary).toEqual({ readyPods: 0 });
    client.raw[proxy] = () => "<html>starting</html>";
    expect((await takeSnapshot(client, async () => ({}))).stages.staging.live).toBeUndefined();
  });

  it("takes aliases as MLflow tells them", () => {
    const model = { registered_model: { aliases: [{ alias: "staging", version: "4" }] } };
    expect(parseAliases(200, JSON.stringify(model))).toEqual({ staging: "4" });
    expect(parseAliases(200, '{"registered_model":{"name":"x"}}')).toEqual({});
    expect(parseAliases(404, '{"error_code":"RESOURCE_DOES_NOT_EXIST"}')).toEqual({});
    expect(() => parseAliases(401, "You are not authenticated")).toThrow(
      "HTTP 401, You are not authenticated",
    );
  });
});

describe("where the time goes", () => {
  it("counts what runs beside each other once", () => {
    expect(unionSeconds([])).toBe(0);
    expect(
      unionSeconds([
        [0, 10_000],
        [5000, 12_000],
        [6000, 7000],
        [20_000, 21_000],
      ]),
    ).toBe(13);
  });

  it("gives each purpose its time and leaves the rest, without the wait for a person", () => {
    const shares = timeShares(
      workflow("Succeeded", [
        pod("check-code", 0, 10),
        training,
        pod("build-app", 40, 60),
        pod("change-stage", 60, 75),
        pod("gate-load", 80, 90),
        pod("gate-integration", 75, 85),
        pod("decision", 90, 95, { type: "Suspend" }),
      ]),
    );
    expect(shares).toEqual({
      total: 95,
      purposes: { train: 30, build: 20, rollout: 15, "load test": 10 },
      rest: 20,
      restPercent: (100 * 20) / 95,
      person: 5,
    });
  });

  it("lists the steps in order, with their purpose", () => {
    const steps = stepTimes(
      workflow("Failed", [training, pod("check-code", 0, 8), pod("group", 0, 9, { type: "Steps" })]),
    );
    expect(
      steps.map(({ step, purpose, start, seconds, node }) => [step, purpose, start, seconds, node]),
    ).toEqual([
      ["check-code", undefined, 0, 8, "node2"],
      ["run-training", "train", 10, 30, "node2"],
    ]);
  });
});

describe("the report", () => {
  it("holds the evidence in Markdown and JSON", () => {
    const folder = mkdtempSync(join(tmpdir(), "gourmetgram-report-"));
    try {
      const report = createReport(
        "local",
        evidence("normal", {
          load: {
            stage: "staging",
            url: "http://x",
            rate: 50,
            seconds: 60,
            sent: 3000,
            answered: 2999,
            lost: { ECONNRESET: 1 },
            lostCount: 1,
            latency: { p50: 3, p95: 9, max: 50 },
            versions: { "1.0.4": 2000, "1.0.6": 999 },
            lostAt: ["2026-01-01T00:00:30Z"],
          },
        }),
      );
      expect(report.passed).toBe(false);
      const path = writeReport(folder, "x", report);
      expect(JSON.parse(readFileSync(`${path}.json`, "utf8"))).toMatchObject({
        scenario: "normal",
        passed: false,
        madeVersion: "6",
        checks: expect.arrayContaining([
          {
            name: "requests lost by staging at 50 a second",
            expected: "0 of 3000",
            found: "1 of 3000",
            passed: false,
          },
        ]),
      });
      const text = readFileSync(`${path}.md`, "utf8");
      expect(text).toContain("# normal: FAILED");
      expect(text).toContain("| ok | the workflow | Succeeded | Succeeded |");
      expect(text).toContain("| **NO** | staging, by the ledger | 1.0.6 | 1.0.4 |");
      expect(text).toContain("| production | 1.0.3 | 1.0.3 | 333333333333 | 1.0.3 | Synced, Healthy | 1 |");
      expect(text).toContain("| run-training | train | node2 | 10 s | 30 s | Succeeded |  |");
      expect(text).toContain("| everything else | 70 | 70.0 % |");
      expect(text).toContain("2999 answered, 1 lost (1 x ECONNRESET; at 2026-01-01T00:00:30Z).");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("keeps its tables whole whatever a message holds", () => {
    const failed = pod("gate-load", 1, 2, { phase: "Failed", message: "LoadTooSlow: a | b\nc" });
    const text = renderReport(
      createReport("local", evidence("slow", { workflow: workflow("Failed", [failed]) })),
    );
    expect(text).toContain("LoadTooSlow: a \\| b c");
  });
});

describe("load", () => {
  let server: Server | undefined;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });

  async function serve(answer: (count: number) => number | undefined): Promise<string> {
    let count = 0;
    server = createServer((_, response) => {
      count += 1;
      const status = answer(count);
      if (status === undefined) {
        response.socket?.destroy();
        return;
      }
      response.writeHead(status).end(JSON.stringify({ model_version: count < 20 ? "1.0.4" : "1.0.6" }));
    });
    await new Promise<void>((settle) => server?.listen(0, "127.0.0.1", settle));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  const during = (milliseconds: number) => new Promise((settle) => setTimeout(settle, milliseconds));

  it("is kept up at its rate, and every answer is counted by version", async () => {
    const load = new LoadClient(await serve(() => 200), 100);
    await during(500);
    const result = await load.stop();
    expect(result.sent).toBeGreaterThan(60 * result.seconds);
    expect(result.sent).toBeLessThanOrEqual(100 * result.seconds);
    expect(result).toMatchObject({ answered: result.sent, lostCount: 0 });
    expect(Object.keys(result.versions)).toEqual(["1.0.4", "1.0.6"]);
    expect(await load.stop()).toBe(result);
  });

  it("counts bad answers, torn connections and closed ports as lost", async () => {
    const load = new LoadClient(
      await serve((count) => (count === 5 ? 503 : count === 8 ? undefined : 200)),
      100,
    );
    await during(300);
    const result = await load.stop();
    expect(result.lost["HTTP 503"]).toBe(1);
    expect(result.lostCount).toBe(2);
    expect(result.answered + result.lostCount).toBe(result.sent);
    expect(result.lostAt).toHaveLength(2);
    const nobody = new LoadClient("http://127.0.0.1:1", 100);
    await during(100);
    const refused = await nobody.stop();
    expect(refused.lost["ECONNREFUSED"]).toBe(refused.sent);
  });
});

describe("a power cut", () => {
  const nodes = (ready: string) => [
    {
      metadata: { name: "node1", labels: { "node-role.kubernetes.io/control-plane": "" } },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    },
    ...["node2", "node3"].map((name) => ({
      metadata: { name },
      status: { conditions: [{ type: "Ready", status: ready }] },
    })),
  ];
  const started = {
    metadata: { name: "staging-1", namespace: "argo" },
    spec: { stage: "staging", action: "started", change: "c", workflow: "train-model-x", to: v(6), at: "x" },
  };

  function outage(client: FakeKubeClient, restore: () => Promise<void> = async () => {}) {
    const events: string[] = [];
    const controller = new AbortController();
    const cluster = { client, stack: "local", signal: controller.signal } as unknown as OpenCluster;
    const made = new Outage(
      {
        cluster,
        scenario: findScenario("node-loss"),
        print: () => {},
        downSeconds: 0.01,
        power: {
          cut: (node) => void events.push(`cut ${node}`),
          restore: async (node) => {
            events.push(`restore ${node}`);
            await restore();
          },
        },
      },
      "train-model-x",
    );
    return { made, events, controller };
  }

  const rollout = (node: string) =>
    workflow("Running", [pod("change-stage", 0, 1, { phase: "Running", hostNodeName: node })]);

  it("comes when the ledger has begun a change, on the worker that makes it", async () => {
    const client = new FakeKubeClient({ "ledgerentries.gourmetgram.dev": [started], nodes: nodes("True") });
    const { made, events } = outage(client);
    made.look(workflow("Running", [training]));
    expect(events).toEqual([]);
    made.look(rollout("node3"));
    await expect.poll(() => events).toEqual(["cut node3", "restore node3"]);
    await made.end();
    expect(made.lostNode).toBe("node3");
  });

  it("spares the control plane: then the worker that runs the app", async () => {
    const client = new FakeKubeClient({
      "ledgerentries.gourmetgram.dev": [started],
      nodes: nodes("True"),
      pods: [{ metadata: { name: "p", namespace: "gourmetgram-staging" }, spec: { nodeName: "node3" } }],
    });
    const { made, events } = outage(client);
    made.look(rollout("node1"));
    await expect.poll(() => events).toContain("restore node3");
    await made.end();
  });

  it("never comes when no change was under way", async () => {
    const { made, events } = outage(
      new FakeKubeClient({ "ledgerentries.gourmetgram.dev": [], nodes: nodes("True") }),
    );
    made.look(rollout("node2"));
    await made.end();
    expect(events).toEqual([]);
    expect(made.lostNode).toBeUndefined();
  });

  it("gives the power back at Ctrl-C, too", async () => {
    const client = new FakeKubeClient({ "ledgerentries.gourmetgram.dev": [started], nodes: nodes("True") });
    const { made, events, controller } = outage(client);
    client.before = (args) => {
      if (args.includes("pods")) controller.abort();
    };
    made.look(rollout("node2"));
    await expect(made.end()).rejects.toMatchObject({ exitCode: 130 });
    expect(events.at(-1)).toBe("restore node2");
  });
});
