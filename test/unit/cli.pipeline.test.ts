/**
 * Proves: the commands fit the workflow templates of this checkout. Tools do not import `workflows/`, so a renamed parameter, step or
 * gate would otherwise be found on a running environment only.
 */
import { describe, expect, it } from "vitest";
import { promoteSubmission } from "../../tools/cli/promote";
import { revertSubmission } from "../../tools/cli/revert";
import { failedGates, madeVersion } from "../../tools/cli/scenario/checks";
import { purposeOf } from "../../tools/cli/scenario/timing";
import type { Submission } from "../../tools/cli/submit";
import { trainSubmission } from "../../tools/cli/train";
import type { WorkflowNode } from "../../tools/cli/workflowStatus";
import { renderPipeline } from "../../workflows/pipeline/pipeline";
import { SCENARIOS } from "../../workflows/pipeline/settings";

type Manifest = { spec: Record<string, any> };

const manifests = renderPipeline({
  image: `bundle.gourmetgram.internal/pipeline@sha256:${"0".repeat(64)}`,
}) as unknown as Readonly<Record<string, Manifest>>;
const templates = Object.values(manifests).flatMap(
  ({ spec }) => (spec["templates"] ?? []) as { name: string; outputs?: any; suspend?: any }[],
);

describe("what a command submits", () => {
  const person = { by: "eva" };
  const submissions: [string, Submission][] = [
    ["train", trainSubmission(person)],
    ...SCENARIOS.map((scenario): [string, Submission] => [
      `train ${scenario}`,
      trainSubmission({ ...person, scenario, branch: "mine" }),
    ]),
    ["promote", promoteSubmission({ ...person, from: "staging", to: "canary", version: "7", reason: "x" })],
    ["revert", revertSubmission("canary", { ...person, reason: "x", to: "1.0.3" })],
  ];

  it.each(submissions)("%s: its template takes each value and lacks none", (_, { template, parameters }) => {
    const declared = (manifests[template]?.spec["arguments"]?.parameters ?? []) as {
      name: string;
      value?: string;
      enum?: string[];
    }[];
    const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
    expect(declared.map(({ name }) => name)).toEqual(expect.arrayContaining(given.map(([name]) => name)));
    const missing = declared.filter(
      ({ name, value }) => value === undefined && parameters[name] === undefined,
    );
    expect(missing).toEqual([]);
    for (const [name, value] of given) {
      expect(declared.find((one) => one.name === name)?.enum ?? [value]).toContain(value);
    }
  });
});

describe("the steps that reports tell apart", () => {
  const node = (template: string, more: Partial<WorkflowNode> = {}): WorkflowNode => ({
    id: template,
    name: template,
    displayName: template,
    type: "Pod",
    templateName: template,
    ...more,
  });

  it("have the purposes the pipeline's steps have", () => {
    const names = [...new Set(templates.map(({ name }) => name))];
    const purposes = Object.fromEntries(
      names.map((name) => [name, purposeOf(node(name))] as const).filter(([, purpose]) => purpose),
    );
    expect(purposes).toEqual({
      "run-training": "train",
      "build-train": "build",
      "build-app": "build",
      "change-stage": "rollout",
      "revert-stage": "rollout",
      settle: "rollout",
      "gate-load": "load test",
    });
  });

  it("include every gate, and the output that tells the new version", () => {
    const nodes = templates
      .filter(({ name }) => name.startsWith("gate-"))
      .map(({ name }) => node(name, { phase: "Failed", message: "GateFailed: x" }));
    const workflow = (found: readonly WorkflowNode[]) => ({
      metadata: { name: "w" },
      spec: {},
      status: { nodes: Object.fromEntries(found.map((one) => [one.id, one])) },
    });
    const gates = failedGates(workflow(nodes)).map(({ name }) => name);
    expect([...new Set(gates)].sort()).toEqual(["integration", "load", "resources"]);
    const training = templates.find(({ name }) => name === "run-training");
    expect(training?.outputs.parameters.map(({ name }: { name: string }) => name)).toContain("model-version");
    const parameters = [{ name: "model-version", value: "7" }];
    expect(madeVersion(workflow([node("run-training", { outputs: { parameters } })]))).toBe("7");
  });
});

describe("the step that waits for a person", () => {
  it("takes what approve and reject give it", () => {
    const decision = templates.find(({ suspend }) => suspend !== undefined);
    const parameters = decision?.outputs.parameters as { name: string; enum?: string[]; valueFrom: any }[];
    expect(parameters.map(({ name }) => name).sort()).toEqual(["by", "decision", "reason"]);
    expect(parameters.every(({ valueFrom }) => valueFrom.supplied !== undefined)).toBe(true);
    const choices = parameters.find(({ name }) => name === "decision")?.enum;
    expect(choices === undefined || (choices.includes("approve") && choices.includes("reject"))).toBe(true);
  });
});
