/** Proves: how workflows are started, watched, explained and decided. */
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it, vi } from "vitest";
import { findWaiting, resume } from "../../tools/cli/decide";
import { followWorkflow, renderEnd, WorkflowNews } from "../../tools/cli/follow";
import { interruptible, pause } from "../../tools/cli/interrupt";
import { explainKubectl } from "../../tools/cli/kubeClient";
import { main } from "../../tools/cli/main";
import { actor, checkPromotion, checkStage, checkVersion } from "../../tools/cli/pipeline";
import { submitWorkflow } from "../../tools/cli/submit";
import {
  namedError,
  nodeTitle,
  type Workflow,
  type WorkflowNode,
  workflowNodes,
} from "../../tools/cli/workflowStatus";
import { FakeKubeClient, type FakeObject, fault } from "../support/fakeKubeClient";

const WORKFLOWS = "workflows.argoproj.io";

function node(id: string, more: Partial<WorkflowNode> = {}): WorkflowNode {
  return {
    id,
    name: id,
    displayName: id,
    type: "Pod",
    phase: "Running",
    startedAt: "2026-01-01T00:00:10Z",
    ...more,
  };
}

function workflow(nodes: readonly WorkflowNode[], status: Workflow["status"] = {}): Workflow & FakeObject {
  return {
    metadata: { name: "wf", namespace: "argo", resourceVersion: "7" },
    spec: {},
    status: { phase: "Running", nodes: Object.fromEntries(nodes.map((one) => [one.id, one])), ...status },
  };
}

const decisionNode = (more: Partial<WorkflowNode> = {}) =>
  node("wf-1", {
    displayName: "decision",
    type: "Suspend",
    outputs: {
      parameters: [
        { name: "decision", valueFrom: { supplied: {}, default: "reject" } },
        { name: "reason", valueFrom: { supplied: {}, default: "" } },
        { name: "by", valueFrom: { supplied: {}, default: "" } },
      ],
    },
    ...more,
  });

afterEach(() => {
  vi.restoreAllMocks();
});

describe("what a person may ask for", () => {
  it("a stage there is", () => {
    expect(checkStage("canary", "x")).toBe("canary");
    expect(() => checkStage("prod", "npm run freeze -- staging")).toThrow(
      'There is no stage "prod". Allowed: staging, canary, production.\n  next: npm run freeze -- staging',
    );
  });

  it("a promotion to the next stage, and no other", () => {
    expect(checkPromotion("staging", "canary")).toEqual({ from: "staging", to: "canary" });
    for (const [from, to] of [
      ["staging", "production"],
      ["canary", "staging"],
      ["canary", "canary"],
    ] as const) {
      expect(() => checkPromotion(from, to)).toThrow(
        `${from} -> ${to} is no promotion: a model goes through every stage in its order. Allowed: staging -> canary, canary -> production.`,
      );
    }
  });

  it.each([
    ["1.0.12", "1.0.12"],
    ["12", "1.0.12"],
  ])("version %s", (value, version) => {
    expect(checkVersion(value)).toBe(version);
  });

  it.each(["1.0", "1.1.3", "latest", "1.0.03", "1.0.0", ""])("no version %j", (value) => {
    expect(() => checkVersion(value)).toThrow("is no model version. Allowed: 1.0.N");
  });

  it("is named as who asks, behind sudo too", () => {
    expect(actor("eva", {})).toBe("eva");
    expect(actor(undefined, { SUDO_USER: "bo" })).toBe("bo");
    expect(actor(" ", {})).not.toBe("");
  });

  it.each([
    [["freeze", "prod", "--reason", "x"], 'There is no stage "prod"'],
    [["revert", "prod", "--reason", "x"], "Allowed: staging, canary, production"],
    [["freeze", "staging", "--reason", " "], "this one is empty"],
    [["promote", "--from", "staging", "--to", "production", "--version", "1.0.2"], "is no promotion"],
    [["promote", "--from", "staging", "--to", "canary", "--version", "new"], "is no model version"],
    [["train", "--scenario", "huge"], "Allowed: normal, bad-architecture, oversized, slow"],
    [["scenario", "chaos"], "Allowed: normal, bad-architecture, oversized, slow, node-loss"],
    [["scenario", "normal", "--load", "prod"], 'There is no stage "prod"'],
    [["ledger", "--stage", "prod"], 'There is no stage "prod"'],
    [["ledger", "--limit", "many"], "A number, 0 or more."],
  ])("%j is refused with code 2 and the next step, before the cluster is asked", async (argv, message) => {
    let stderr = "";
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      stderr += String(text);
      return true;
    });
    expect(await main(argv)).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe("starting a workflow", () => {
  const template = {
    metadata: { name: "train-model", namespace: "argo" },
    spec: { arguments: { parameters: [{ name: "branch" }, { name: "scenario" }] } },
  };

  it("refers to its template and gives only what was asked for", async () => {
    const client = new FakeKubeClient({ "workflowtemplates.argoproj.io": [template] });
    const name = await submitWorkflow(client, "local", {
      template: "train-model",
      parameters: { branch: undefined, scenario: "slow" },
    });
    expect(name).toBe("train-model-1");
    expect(client.objects[WORKFLOWS]?.[0]).toMatchObject({
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Workflow",
      metadata: { generateName: "train-model-", namespace: "argo" },
      spec: {
        workflowTemplateRef: { name: "train-model" },
        arguments: { parameters: [{ name: "scenario", value: "slow" }] },
      },
    });
  });

  it("that the environment has not is refused", async () => {
    await expect(
      submitWorkflow(new FakeKubeClient(), "mystack", { template: "train-model", parameters: {} }),
    ).rejects.toThrow(
      'The environment "mystack" has no workflow template train-model. Next: npm run up -- mystack',
    );
  });

  it("with a parameter it does not take is refused", async () => {
    const client = new FakeKubeClient({ "workflowtemplates.argoproj.io": [template] });
    await expect(
      submitWorkflow(client, "local", { template: "train-model", parameters: { gpu: "yes" } }),
    ).rejects.toThrow("takes no parameter gpu. It takes: branch, scenario.");
    expect(client.objects[WORKFLOWS]).toBeUndefined();
  });
});

describe("a named error", () => {
  it.each([
    ["main: Error (exit code 1): UnknownBranch: there is no branch x", "UnknownBranch: there is no branch x"],
    ["Error (exit code 1): StageFrozen: staging: by eva", "StageFrozen: staging: by eva"],
    ["UnknownBranch: x", "UnknownBranch: x"],
    ["OOMKilled (exit code 137)", "OOMKilled (exit code 137)"],
    ["pod deleted", "pod deleted"],
    [undefined, "it gave no reason"],
  ])("of %j is %j", (message, error) => {
    expect(namedError(message === undefined ? {} : { message })).toBe(error);
  });
});

describe("watching a workflow", () => {
  it("tells each step's begin and end once", () => {
    const news = new WorkflowNews("local");
    const running = node("a", { displayName: "check-code(0)", hostNodeName: "node2" });
    expect(news.take(workflow([running]))).toEqual(["check-code runs on node2"]);
    expect(news.take(workflow([running]))).toEqual([]);
    const done = { ...running, phase: "Succeeded" as const, finishedAt: "2026-01-01T00:00:18Z" };
    const failed = node("b", {
      displayName: "gate-load(1)",
      phase: "Failed",
      message: "LoadTooSlow: p95 3 s",
    });
    expect(news.take(workflow([done, failed]))).toEqual([
      "check-code is done in 8 s",
      "gate-load (try 2) FAILED: LoadTooSlow: p95 3 s",
    ]);
  });

  it("tells who waits for a lock, and who for a person", () => {
    const lines = new WorkflowNews("mystack").take(
      workflow([
        node("a", {
          displayName: "change",
          type: "Steps",
          phase: "Pending",
          synchronizationStatus: { waiting: "argo/Mutex/stage-staging" },
        }),
        decisionNode(),
      ]),
    );
    expect(lines).toEqual([
      "change waits for another workflow to let go of stage-staging",
      'decision waits for a person. Next: npm run approve -- wf --stack mystack --reason "why", or npm run reject',
    ]);
  });

  it("ends with the workflow and outlives a cluster that does not answer for a while", async () => {
    const object = workflow([node("a")]);
    const client = new FakeKubeClient({ [WORKFLOWS]: [object] });
    let looks = 0;
    client.before = (args) => {
      looks += 1;
      if (looks === 2) throw fault(args, "The connection to the server 10.87.0.11:6443 was refused");
      if (looks === 3)
        Object.assign(object, workflow([node("a", { phase: "Succeeded" })], { phase: "Succeeded" }));
    };
    const printed: string[] = [];
    const ended = await followWorkflow({
      client,
      stack: "local",
      name: "wf",
      print: (line) => printed.push(line),
      pollMs: 1,
    });
    expect(ended.status?.phase).toBe("Succeeded");
    expect(looks).toBe(3);
    expect(printed).toEqual([expect.stringContaining("a runs"), expect.stringContaining("a is done in")]);
  });

  it("gives up in time, and on a workflow that is gone", async () => {
    const args = { stack: "local", name: "wf", print: () => {}, pollMs: 1 };
    await expect(followWorkflow({ ...args, client: new FakeKubeClient() })).rejects.toThrow(
      "The workflow wf is gone.",
    );
    const client = new FakeKubeClient({ [WORKFLOWS]: [workflow([])] });
    await expect(followWorkflow({ ...args, client, deadlineSeconds: 0 })).rejects.toThrow(
      "did not end within",
    );
  });

  it("stops at Ctrl-C and says that the workflow goes on", async () => {
    const controller = new AbortController();
    controller.abort();
    const client = new FakeKubeClient({ [WORKFLOWS]: [workflow([])] });
    await expect(
      followWorkflow({ client, stack: "local", name: "wf", print: () => {}, signal: controller.signal }),
    ).rejects.toMatchObject({
      message: expect.stringContaining("No longer watching wf; it goes on."),
      exitCode: 130,
    });
  });

  it("reads steps that are stored compressed", () => {
    const nodes = { a: node("a") };
    const compressedNodes = gzipSync(JSON.stringify(nodes)).toString("base64");
    const compressed: Workflow = { metadata: { name: "wf" }, spec: {}, status: { compressedNodes } };
    expect(workflowNodes(compressed)).toEqual([nodes.a]);
  });

  it("explains the end, the cause before its consequences", () => {
    const failed = (id: string, at: string, message: string) =>
      node(id, { phase: "Failed", finishedAt: at, message });
    const times = { startedAt: "2026-01-01T00:00:00Z", finishedAt: "2026-01-01T00:01:30Z" };
    const text = renderEnd(
      workflow(
        [
          failed("late", "2026-01-01T00:01:00Z", "SettleFailed: x"),
          failed("early", "2026-01-01T00:00:30Z", "RolloutFailed: y"),
        ],
        { phase: "Failed", ...times },
      ),
      "local",
    );
    expect(text.split("\n").slice(0, 3)).toEqual([
      "wf ended as Failed after 90 s:",
      "  early: RolloutFailed: y",
      "  late: SettleFailed: x",
    ]);
    expect(renderEnd(workflow([], { phase: "Error", message: "invalid spec" }), "local")).toContain(
      "invalid spec",
    );
    expect(renderEnd(workflow([], { phase: "Succeeded", ...times }), "local")).toBe(
      "wf succeeded after 90 s.",
    );
  });

  it("does not blame a try that was made good by the next", () => {
    const failed = (id: string, message: string) => node(id, { phase: "Error", message });
    const text = renderEnd(
      workflow(
        [
          failed("try0", "pod deleted"),
          node("retry", { type: "Retry", phase: "Succeeded", children: ["try0"] }),
          failed("other", "GateFailed: x"),
        ],
        { phase: "Failed" },
      ),
      "local",
    );
    expect(text).toContain("GateFailed: x");
    expect(text).not.toContain("pod deleted");
  });

  it("names tries after the first", () => {
    expect(nodeTitle({ ...node("a"), displayName: "x(0)" })).toBe("x");
    expect(nodeTitle({ ...node("a"), displayName: "x(2)" })).toBe("x (try 3)");
  });
});

describe("deciding", () => {
  it("sets decision, reason and who, and ends the waiting step in one write", async () => {
    const object = workflow([decisionNode()]);
    const client = new FakeKubeClient({ [WORKFLOWS]: [object] });
    await resume(client, "wf", { decision: "approve", reason: 'fine, "really"', by: "eva" });
    expect(object.status?.nodes?.["wf-1"]).toMatchObject({
      phase: "Succeeded",
      message: 'approved by eva: fine, "really"',
      finishedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      outputs: {
        parameters: [
          { name: "decision", value: "approve" },
          { name: "reason", value: 'fine, "really"' },
          { name: "by", value: "eva" },
        ],
      },
    });
    expect(client.calls.filter((call) => call.includes("patch"))).toHaveLength(1);
  });

  it("tries again when the controller wrote in between", async () => {
    const object = workflow([decisionNode()]);
    const client = new FakeKubeClient({ [WORKFLOWS]: [object] });
    let patches = 0;
    client.before = (args) => {
      if (args.includes("patch") && patches++ === 0) Object.assign(object.metadata, { resourceVersion: "8" });
    };
    await resume(client, "wf", { decision: "reject", reason: "slow", by: "bo" });
    expect(patches).toBe(2);
    expect(object.status?.nodes?.["wf-1"]?.phase).toBe("Succeeded");
  });

  it("never overwrites what somebody else decided in between", async () => {
    const object = workflow([decisionNode()]);
    const client = new FakeKubeClient({ [WORKFLOWS]: [object] });
    client.before = (args) => {
      if (args.includes("patch")) {
        Object.assign(object, workflow([decisionNode({ phase: "Succeeded" })]));
        Object.assign(object.metadata, { resourceVersion: "9" });
      }
    };
    await expect(resume(client, "wf", { decision: "approve", reason: "x", by: "eva" })).rejects.toThrow(
      "The workflow wf waits for nobody now.",
    );
  });

  it("takes the one that waits, asks when there are several, refuses when there is none", async () => {
    const first = workflow([decisionNode()]);
    const second = { ...workflow([decisionNode()]), metadata: { name: "wf2", namespace: "argo" } };
    second.spec = {
      arguments: {
        parameters: [
          { name: "source", value: "canary" },
          { name: "target", value: "production" },
          { name: "version", value: "1.0.3" },
        ],
      },
    };
    const find = (...found: FakeObject[]) =>
      findWaiting(new FakeKubeClient({ [WORKFLOWS]: found }), undefined, "approve");
    expect((await find(first, workflow([node("a")]))).workflow.metadata.name).toBe("wf");
    await expect(find(first, second)).rejects.toThrow(
      "2 promotions wait:\n  wf  decision\n  wf2  canary -> production, 1.0.3",
    );
    await expect(find()).rejects.toThrow("No promotion waits for a person.");
    await expect(findWaiting(new FakeKubeClient(), "wf9", "approve")).rejects.toThrow("wf9 does not exist");
  });

  it("leaves suspended steps alone that are no approval", async () => {
    const client = new FakeKubeClient({ [WORKFLOWS]: [workflow([node("a", { type: "Suspend" })])] });
    await expect(resume(client, "wf", { decision: "approve", reason: "x", by: "e" })).rejects.toThrow(
      "takes no decision, reason, by",
    );
  });
});

describe("what kubectl says", () => {
  it.each([
    ["dial tcp 10.87.0.11:6443: connect: connection refused", "does not answer"],
    ['error: the server doesn\'t have a resource type "ledgerentries"', "has no delivery"],
    ["Error from server (Forbidden): no", "the same by hand: npm run kubectl -- --stack mystack get x"],
    [
      'E0101 00:00:00.000000 1 memcache.go:265] "noise"\nThe connection to the server was refused\n',
      'The cluster of "mystack" does not answer: The connection to the server was refused\n  next: npm run up -- mystack',
    ],
  ])("%s is explained", (stderr, text) => {
    expect(explainKubectl(fault(["get", "x"], stderr), "mystack").message).toContain(text);
  });
});

describe("Ctrl-C", () => {
  it("ends a wait and lets what was begun be put in order", async () => {
    const order: string[] = [];
    const work = interruptible(async (signal) => {
      try {
        process.emit("SIGINT");
        await pause(60_000, signal);
      } finally {
        order.push("in order");
      }
    });
    await expect(work).rejects.toMatchObject({ exitCode: 130 });
    expect(order).toEqual(["in order"]);
  });
});
