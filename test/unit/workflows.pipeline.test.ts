/**
 * Proves: which steps the pipeline makes for each way a run can go, which locks are held, and what the stages run in the end, given
 * steps that keep their contract. Does not prove: the steps themselves, nor Argo.
 */
import { describe, expect, test } from "vitest";
import { lint } from "../../workflows/builder/lint";
import { type Outcomes, type Simulation, simulate, simulateWorkflow } from "../../workflows/builder/simulate";
import { Template } from "../../workflows/builder/template";
import { templatesOf, type WorkflowTemplate } from "../../workflows/builder/workflow";
import { createPipeline, renderPipeline } from "../../workflows/pipeline/pipeline";
import { STAGES } from "../../workflows/pipeline/settings";
import { restrictedViolations } from "../support/podSecurity";

const settings = { image: "bundle.gourmetgram.internal/pipeline:1" };
const pipeline = createPipeline(settings);

function run(name: string, args: Record<string, string> = {}, outcomes: Outcomes = {}): Simulation {
  const workflow = pipeline.templates[name];
  if (workflow === undefined) throw new Error(`no workflow template ${name}`);
  return simulate(workflow.entrypoint, { arguments: args, outcomes, workflowName: `${name}-1` });
}

const paths = ({ executed }: Simulation) => executed.map(({ path }) => path);

/** What a training and its builds answer when all goes well. */
const trained: Outcomes = {
  "check-code": {
    outputs: { commit: "c0ffee", image: "registry:5000/gourmetgram-train:c0ffee", "needs-rebuild": "false" },
  },
  "run-training": { outputs: { "model-version": "7" } },
  "build-app": { outputs: { version: "1.0.7", digest: "sha256:7" } },
};
const passed = { outputs: { result: "pass" } };
const judged: Outcomes = { integration: passed, resources: passed, load: passed };

const GATES = ["integration", "resources", "load"] as const;

/** The stages after a run, as the contract of the steps says. */
function stagesAfter({ executed }: Simulation, before: Record<string, string>): Record<string, string> {
  const now = { ...before };
  const recorded: Record<string, string> = { ...before };
  for (const { template, phase, inputs } of executed) {
    const stage = inputs["stage"] ?? "";
    if (template === "change-stage") {
      if (inputs["only-if-empty"] === "true" && now[stage] !== "") continue;
      // A change that fails puts the stage back itself; one whose pod died leaves it between.
      if (phase === "Succeeded") recorded[stage] = now[stage] ?? "";
      if (phase === "Succeeded") now[stage] = inputs["version"] ?? "";
      if (phase === "Error") now[stage] = "between";
    }
    const left = now[stage] === "between" || now[stage] === inputs["version"];
    if (template === "settle" && phase === "Succeeded" && left) now[stage] = recorded[stage] ?? "";
  }
  return now;
}

const before = { staging: "1.0.6", canary: "1.0.5", production: "1.0.4" };

describe("every template", () => {
  const templates = Object.values(pipeline.templates);

  test("is there", () => {
    expect(Object.keys(renderPipeline(settings))).toEqual([
      "build-initial",
      "build-training-initial",
      "train-model",
      "build-container-image",
      "deploy-container-image",
      "test-staging",
      "promote-model",
      "revert",
      "cron-train",
    ]);
  });

  test.each([
    [STAGES],
    [["staging"]],
    [["staging", "canary"]],
    [["staging", "production"]],
  ] as const)("is clean with the stages %j", (stages) => {
    expect(lint(Object.values(createPipeline({ ...settings, stages }).templates))).toEqual([]);
  });

  test("has its pods on the level restricted, with resources and without floating images", () => {
    const pods = templates
      .flatMap((workflow) => renderPipeline(settings)[workflow.name]?.spec["templates"] as any[])
      .filter(({ container }) => container !== undefined);
    expect(pods.length).toBeGreaterThan(15);
    for (const {
      name,
      container,
      securityContext,
      volumes,
      activeDeadlineSeconds,
      serviceAccountName,
    } of pods) {
      expect(restrictedViolations({ securityContext, volumes, containers: [container] }), name).toEqual([]);
      expect(container.resources.limits.memory, name).toMatch(/Mi|Gi/);
      expect(activeDeadlineSeconds, name).toBeGreaterThan(60);
      expect(serviceAccountName, name).toMatch(/^pipeline-(runner|builder|deployer|tester)$/);
      expect(container.image, name).toMatch(/^bundle\.gourmetgram\.internal\/pipeline:1$|^\{\{inputs/);
    }
  });

  test("gives secrets to the classes of steps that need them only", () => {
    const seen: Record<string, Set<string>> = {};
    for (const manifest of Object.values(renderPipeline(settings))) {
      for (const template of (manifest.spec["templates"] ?? []) as any[]) {
        if (template.container === undefined) continue;
        const volumes = template.volumes.flatMap((volume: any) => volume.secret?.secretName ?? []);
        const env = template.container.env.flatMap((one: any) => one.valueFrom?.secretKeyRef?.name ?? []);
        seen[template.name] = new Set([...(seen[template.name] ?? []), ...volumes, ...env]);
      }
    }
    const secrets = Object.fromEntries(Object.entries(seen).map(([name, set]) => [name, [...set].sort()]));
    expect(secrets).toEqual({
      "check-code": ["registry-pull"],
      "build-train": ["buildkit-client", "registry-push"],
      "run-training": ["mlflow-pipeline"],
      "tag-development": ["mlflow-pipeline"],
      "build-app": ["buildkit-client", "mlflow-pipeline", "registry-push"],
      "change-stage": ["mlflow-pipeline", "registry-push"],
      settle: ["mlflow-pipeline", "registry-push"],
      "record-failure": [],
      "gate-integration": [],
      "gate-resources": [],
      "gate-load": [],
      "guard-promotion": ["mlflow-pipeline", "registry-push"],
      approve: ["mlflow-pipeline", "registry-push"],
      "revert-stage": ["mlflow-pipeline", "registry-push"],
    });
  });

  test("does not wait for a person while it holds a lock", () => {
    const { executed } = run("promote-model", { source: "canary", target: "production", version: "1.0.7" });
    const decision = executed.find(({ template }) => template === "decision");
    expect(decision?.mutexes).toEqual([]);
  });

  test("wrong settings are all named", () => {
    const wrong = {
      image: "pipeline:latest",
      namespace: "Argo",
      stages: ["canary", "staging"] as const,
      schedule: "daily",
      rolloutSeconds: 1,
    };
    expect(() => renderPipeline(wrong)).toThrow(
      /5 problems[\s\S]*namespace[\s\S]*floating[\s\S]*stages[\s\S]*cron/,
    );
  });
});

describe("train-model", () => {
  test("normal: reaches canary", () => {
    const simulation = run("train-model", {}, { ...trained, ...judged });
    expect(simulation.phase).toBe("Succeeded");
    const rollOut = "build-container-image/roll-out";
    expect(paths(simulation)).toEqual([
      "check-code",
      "run-training",
      "tag-development",
      "build-container-image/build-app",
      `${rollOut}/trial/change`,
      `${rollOut}/trial/gates/integration`,
      `${rollOut}/trial/gates/resources`,
      `${rollOut}/trial/gates/load`,
      `${rollOut}/to-canary/change`,
    ]);
    expect(stagesAfter(simulation, before)).toEqual({
      staging: "1.0.7",
      canary: "1.0.7",
      production: "1.0.4",
    });
    const toCanary = simulation.executed.at(-1);
    expect(toCanary?.inputs).toMatchObject({
      stage: "canary",
      source: "staging",
      version: "1.0.7",
      digest: "sha256:7",
      "approve-source": "true",
      gates: "integration=pass resources=pass load=pass",
      change: "train-model-1.canary",
    });
    expect(toCanary?.mutexes).toEqual(["stage-staging", "stage-canary"]);
  });

  test("holds the stage from the change to the verdict", () => {
    const { executed } = run("train-model", {}, { ...trained, ...judged });
    const held = executed.filter(({ mutexes }) => mutexes.includes("stage-staging")).map(({ path }) => path);
    expect(held.map((path) => path.split("/").at(-1))).toEqual(["change", ...GATES, "change"]);
    expect(executed.find(({ path }) => path.endsWith("build-app"))?.mutexes).toEqual(["build-app"]);
  });

  test("rebuilds the training image when the code changed, and only then", () => {
    const changed = {
      "check-code": { outputs: { commit: "c1", image: "registry:5000/train:c1", "needs-rebuild": "true" } },
    };
    const rebuilt = run("train-model", {}, { ...trained, ...judged, ...changed });
    expect(paths(rebuilt)[1]).toBe("build-train");
    expect(rebuilt.executed[1]).toMatchObject({ inputs: { commit: "c1" }, mutexes: ["build-train"] });
    expect(rebuilt.executed[2]?.inputs["image"]).toBe("registry:5000/train:c1");
    expect(paths(run("train-model", {}, { ...trained, ...judged }))).not.toContain("build-train");
  });

  test("a training that registers no model changes nothing and succeeds", () => {
    const { "check-code": code } = trained;
    const simulation = run("train-model", {}, { "check-code": code ?? {} });
    expect(paths(simulation)).toEqual(["check-code", "run-training"]);
    expect(simulation.phase).toBe("Succeeded");
  });

  test("a training that fails, or whose pod dies, is not repeated", () => {
    for (const phase of ["Failed", "Error"] as const) {
      const { "check-code": code } = trained;
      const simulation = run("train-model", {}, { "check-code": code ?? {}, "run-training": { phase } });
      expect(paths(simulation)).toEqual(["check-code", "run-training"]);
      expect(simulation.phase).toBe("Failed");
    }
  });

  test("an unknown branch ends it before anything is made", () => {
    const simulation = run("train-model", { branch: "gone" }, { "check-code": { phase: "Failed" } });
    expect(paths(simulation)).toEqual(["check-code"]);
    expect(simulation.phase).toBe("Failed");
  });

  describe.each(GATES)("the gate %s", (name) => {
    test.each(["Failed", "Error"] as const)("%s: staging goes back, canary is not touched", (phase) => {
      const simulation = run("train-model", {}, { ...trained, ...judged, [name]: { phase } });
      expect(simulation.phase).toBe("Failed");
      expect(paths(simulation).at(-1)).toBe("build-container-image/roll-out/trial/onExit");
      expect(paths(simulation)).not.toContain("build-container-image/roll-out/to-canary/change");
      expect(simulation.executed.at(-1)).toMatchObject({
        template: "settle",
        inputs: { stage: "staging", version: "1.0.7", verdict: "Failed", change: "train-model-1.staging" },
        mutexes: ["stage-staging"],
      });
      expect(stagesAfter(simulation, before)).toEqual(before);
      // The other gates come to their end, so that the report is whole.
      for (const other of GATES)
        expect(paths(simulation).some((path) => path.endsWith(`/${other}`))).toBe(true);
    });

    test("that judges without passing reaches the approval as what it is", () => {
      const silent = { ...trained, ...judged, [name]: { outputs: { result: "error" } } };
      const gates = run("train-model", {}, silent).executed.at(-1)?.inputs["gates"];
      expect(gates).toContain(`${name}=error`);
    });
  });

  test("a rollout that fails is not judged, and settled", () => {
    const simulation = run("train-model", {}, { ...trained, "trial/change": { phase: "Failed" } });
    expect(paths(simulation).slice(-2)).toEqual([
      "build-container-image/roll-out/trial/change",
      "build-container-image/roll-out/trial/onExit",
    ]);
    expect(simulation.phase).toBe("Failed");
    expect(stagesAfter(simulation, before)).toEqual(before);
  });

  test("a rollout whose pod dies is made again; when it dies each time, it is settled", () => {
    const once = run("train-model", {}, { ...trained, ...judged, "trial/change": [{ phase: "Error" }, {}] });
    expect(once.phase).toBe("Succeeded");
    const always = run("train-model", {}, { ...trained, "trial/change": { phase: "Error" } });
    expect(paths(always).filter((path) => path.endsWith("trial/change"))).toHaveLength(3);
    expect(always.executed.at(-1)?.template).toBe("settle");
    expect(stagesAfter(always, before)).toEqual(before);
  });

  test("a settle whose pod dies is made again", () => {
    const outcomes = { ...trained, load: { phase: "Failed" }, onExit: [{ phase: "Error" }, {}] } as const;
    const simulation = run("train-model", {}, { ...outcomes, integration: passed, resources: passed });
    expect(simulation.executed.slice(-2).map(({ template }) => template)).toEqual(["settle", "settle"]);
    expect(simulation.phase).toBe("Failed");
    expect(stagesAfter(simulation, before)).toEqual(before);
  });

  test.each(["trial/change", "integration"])("stopped by a person in %s: staging is settled", (at) => {
    const stopped: Outcomes = { ...trained, [at]: { phase: "Stopped" } };
    const simulation = run("train-model", {}, stopped);
    expect(simulation.executed.at(-1)?.template).toBe("settle");
    expect(paths(simulation).some((path) => path.includes("to-canary"))).toBe(false);
    expect(simulation.phase).toBe("Failed");
  });

  test("a canary that fails goes back itself; staging keeps what passed", () => {
    const simulation = run(
      "train-model",
      {},
      { ...trained, ...judged, "to-canary/change": { phase: "Failed" } },
    );
    expect(simulation.phase).toBe("Failed");
    expect(simulation.executed.at(-1)).toMatchObject({ template: "settle", inputs: { stage: "canary" } });
    expect(stagesAfter(simulation, before)).toEqual({ ...before, staging: "1.0.7" });
  });
});

describe("the end of a run", () => {
  function end(name: string, args: Record<string, string>, outcomes: Outcomes): Simulation {
    const workflow = pipeline.templates[name] as WorkflowTemplate;
    return simulateWorkflow(workflow, { arguments: args, outcomes, workflowName: `${name}-1` });
  }

  test("that is good makes no pod more", () => {
    const outcomes = { ...trained, ...judged };
    expect(end("train-model", {}, outcomes)).toEqual(run("train-model", {}, outcomes));
  });

  const failed = { phase: "Failed" } as const;
  test.each<[string, Record<string, string>, Outcomes, string]>([
    ["train-model", { branch: "gone" }, { "check-code": failed }, "staging"],
    ["train-model", {}, { "run-training": failed }, "staging"],
    ["train-model", {}, { ...trained, "build-app": failed }, "staging"],
    ["train-model", {}, { "check-code": { phase: "Stopped" } }, "staging"],
    ["build-training-initial", {}, { "build-train": failed }, "staging"],
    ["build-container-image", { "model-version": "9" }, { "build-app": failed }, "staging"],
    ["build-initial", {}, { "build-app": failed }, "staging"],
    ["test-staging", { version: "1.0.6" }, { load: failed }, "staging"],
    [
      "deploy-container-image",
      { stage: "canary", version: "1.0.6", digest: "" },
      { "stage/change": failed },
      "canary",
    ],
    [
      "promote-model",
      { source: "staging", target: "production", version: "1.0.7" },
      { guard: failed },
      "production",
    ],
    ["revert", { stage: "production" }, { revert: failed }, "production"],
  ])("%s %j that is bad is recorded: %j", (name, args, outcomes, stage) => {
    const needed: Outcomes =
      "build-train" in outcomes ? { "check-code": { outputs: { "needs-rebuild": "true" } } } : {};
    const simulation = end(name, { ...args, "requested-by": "eva" }, { ...needed, ...outcomes });
    expect(simulation.phase).toBe("Failed");
    expect(simulation.executed.at(-1)).toMatchObject({
      path: "onExit/record-failure",
      template: "record-failure",
      inputs: { stage, "requested-by": "eva" },
      mutexes: [],
    });
    expect(paths(simulation).filter((path) => path.startsWith("onExit"))).toHaveLength(1);
  });

  test("gives its pod what failed, and no right but the ledger's", () => {
    for (const workflow of Object.values(pipeline.templates)) {
      const { spec } = renderPipeline(settings)[workflow.name] ?? {};
      expect(spec?.["onExit"], workflow.name).toBe("end");
      const found = (spec?.["templates"] as any[]).find(({ name }) => name === "record-failure");
      expect(found.serviceAccountName).toBe("pipeline-tester");
      expect(found.container.env).toContainEqual({ name: "FAILURES", value: "{{workflow.failures}}" });
    }
  });

  test("is not known before", () => {
    const workflow = pipeline.templates["train-model"] as WorkflowTemplate;
    const early = { ...workflow, exports: [workflow.onExit as Template] };
    expect(lint([...Object.values(pipeline.templates).filter((one) => one !== workflow), early])).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ rule: "unknown-reference", path: "train-model/end" }),
        expect.objectContaining({ rule: "unknown-reference", path: "train-model/record-failure" }),
      ]),
    );
    const lacking = {
      ...(pipeline.templates["revert"] as WorkflowTemplate),
      entrypoint: workflow.entrypoint,
    };
    expect(lint([lacking])).toContainEqual(
      expect.objectContaining({ rule: "unknown-reference", path: "revert/end" }),
    );
  });
});

describe("build-container-image", () => {
  test("a build that fails changes no stage", () => {
    const simulation = run(
      "build-container-image",
      { "model-version": "9" },
      { "build-app": { phase: "Failed" } },
    );
    expect(paths(simulation)).toEqual(["build-app"]);
    expect(simulation.phase).toBe("Failed");
  });

  test("without canary, the gates' approval is recorded", () => {
    const { templates } = createPipeline({ ...settings, stages: ["staging"] });
    const { entrypoint } = templates["build-container-image"] as WorkflowTemplate;
    const simulation = simulate(entrypoint, { arguments: { "model-version": "7" }, outcomes: judged });
    expect(simulation.executed.at(-1)).toMatchObject({
      template: "approve",
      inputs: { stage: "staging", decision: "approved", gates: "integration=pass resources=pass load=pass" },
    });
  });
});

describe("test-staging", () => {
  test("what passes goes to canary", () => {
    const simulation = run("test-staging", { version: "1.0.6" }, judged);
    expect(paths(simulation).map((path) => path.split("/").at(-1))).toEqual([...GATES, "change"]);
    expect(simulation.executed.at(-1)?.inputs).toMatchObject({
      digest: "",
      source: "staging",
      stage: "canary",
    });
  });

  test.each(GATES)("what fails %s goes back", (name) => {
    const simulation = run("test-staging", { version: "1.0.6" }, { ...judged, [name]: { phase: "Failed" } });
    expect(simulation.executed.at(-1)).toMatchObject({
      template: "settle",
      inputs: { stage: "staging", version: "1.0.6" },
      mutexes: ["stage-staging"],
    });
    expect(simulation.phase).toBe("Failed");
  });
});

describe("promote-model", () => {
  const toProduction = { source: "canary", target: "production", version: "1.0.7" };
  const decided = (outputs: Record<string, string>): Outcomes => ({
    guard: { outputs: { digest: "sha256:7" } },
    decision: { outputs },
  });

  test("staging to canary asks nobody", () => {
    const simulation = run("promote-model", { source: "staging", target: "canary", version: "1.0.7" });
    expect(paths(simulation)).toEqual(["directly/change"]);
    expect(simulation.executed[0]?.inputs).toMatchObject({ source: "staging", stage: "canary", digest: "" });
  });

  test("canary to production: approved with a reason", () => {
    const simulation = run(
      "promote-model",
      toProduction,
      decided({ decision: "approve", reason: "numbers are good", by: "eva" }),
    );
    expect(simulation.phase).toBe("Succeeded");
    expect(paths(simulation)).toEqual([
      "by-decision/guard",
      "by-decision/decision",
      "by-decision/approved/change",
    ]);
    expect(simulation.executed.at(-1)).toMatchObject({
      inputs: {
        stage: "production",
        source: "canary",
        digest: "sha256:7",
        reason: "approved by eva: numbers are good",
        "requested-by": "eva",
      },
      mutexes: ["stage-production"],
    });
  });

  test.each([
    ["rejected", { decision: "reject", reason: "too slow", by: "eva" }],
    ["resumed without a decision, or too late", {}],
    ["approved without a reason", { decision: "approve", reason: "" }],
  ])("canary to production: %s", (_, outputs) => {
    const rejection: Outcomes = { ...decided(outputs), rejected: { phase: "Failed" } };
    const simulation = run("promote-model", toProduction, rejection);
    expect(paths(simulation)).toEqual(["by-decision/guard", "by-decision/decision", "by-decision/rejected"]);
    expect(simulation.executed.at(-1)?.inputs).toMatchObject({ stage: "production", decision: "rejected" });
    expect(simulation.phase).toBe("Failed");
    expect(stagesAfter(simulation, before)).toEqual(before);
  });

  test("staging to production is refused before a person is asked", () => {
    const args = { source: "staging", target: "production", version: "1.0.7" };
    const simulation = run("promote-model", args, { guard: { phase: "Failed" } });
    expect(paths(simulation)).toEqual(["by-decision/guard"]);
    expect(simulation.phase).toBe("Failed");
  });

  test("a stage that is not one is refused", () => {
    expect(() => run("promote-model", { source: "staging", target: "live", version: "1" })).toThrow(
      /allowed are/,
    );
  });

  test("a promotion that fails is settled under its lock", () => {
    const outcomes = {
      ...decided({ decision: "approve", reason: "ok" }),
      "approved/change": { phase: "Failed" },
    };
    const simulation = run("promote-model", toProduction, outcomes as Outcomes);
    expect(simulation.executed.at(-1)).toMatchObject({
      template: "settle",
      inputs: { stage: "production" },
      mutexes: ["stage-production"],
    });
  });
});

describe("deploy-container-image and revert", () => {
  test("a deployment that works is one pod", () => {
    const simulation = run("deploy-container-image", {
      stage: "canary",
      version: "1.0.7",
      digest: "sha256:7",
    });
    expect(paths(simulation)).toEqual(["stage/change"]);
    expect(simulation.executed[0]?.mutexes).toEqual(["stage-canary"]);
  });

  test("a revert is one pod under the lock, settled when it fails", () => {
    expect(paths(run("revert", { stage: "production" }))).toEqual(["revert"]);
    const failed = run("revert", { stage: "production" }, { revert: { phase: "Failed" } });
    expect(paths(failed)).toEqual(["revert", "revert/onExit"]);
    expect(failed.executed[1]).toMatchObject({ inputs: { version: "" }, mutexes: ["stage-production"] });
  });
});

describe("the first images", () => {
  test("one build, then every stage that runs nothing, each on its own", () => {
    const outcomes: Outcomes = {
      "build-app": { outputs: { version: "1.0.0", digest: "sha256:0" } },
      "canary/change": { phase: "Failed" },
    };
    const simulation = run("build-initial", {}, outcomes);
    expect(paths(simulation)).toEqual([
      "build-app",
      "staging/change",
      "canary/change",
      "canary/change/onExit",
      "production/change",
    ]);
    const empty = { staging: "", canary: "", production: "1.0.4" };
    expect(stagesAfter(simulation, empty)).toEqual({ staging: "1.0.0", canary: "", production: "1.0.4" });
    expect(simulation.phase).toBe("Failed");
  });

  test("the training image is built when there is none", () => {
    const outcome = (needed: string): Outcomes => ({
      "check-code": { outputs: { "needs-rebuild": needed } },
    });
    expect(paths(run("build-training-initial", {}, outcome("true")))).toEqual(["check-code", "build-train"]);
    expect(paths(run("build-training-initial", {}, outcome("false")))).toEqual(["check-code"]);
  });
});

describe("cron-train", () => {
  test("starts one training a night, never two at once", () => {
    expect(renderPipeline(settings)["cron-train"]?.spec).toEqual({
      schedules: ["0 2 * * *"],
      timezone: "Etc/UTC",
      concurrencyPolicy: "Forbid",
      startingDeadlineSeconds: 3600,
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 3,
      workflowSpec: {
        workflowTemplateRef: { name: "train-model" },
        arguments: { parameters: [{ name: "requested-by", value: "cron-train" }] },
      },
    });
  });
});

describe("a broken pipeline is found", () => {
  /** The pipeline with one template changed in place. */
  function mutated(workflow: string, template: string, change: (template: any) => void): readonly string[] {
    const broken = createPipeline(settings).templates;
    const found = templatesOf(broken[workflow] as WorkflowTemplate).get(template);
    if (!(found instanceof Template)) throw new Error(`no template ${template}`);
    change(found);
    return [...new Set(lint(Object.values(broken)).map(({ rule }) => rule))];
  }

  test.each<[string, string, string, (template: any) => void]>([
    [
      "unpinned-image",
      "train-model",
      "check-code",
      (one) => Object.assign(one.body, { image: "pipeline:latest" }),
    ],
    ["missing-deadline", "train-model", "run-training", (one) => delete one.options.deadlineSeconds],
    ["missing-resources", "train-model", "run-training", (one) => delete one.body.resources],
    ["unsafe-retry", "train-model", "run-training", (one) => Object.assign(one.options, { retries: 2 })],
    ["missing-mutex", "build-container-image", "roll-out", (one) => delete one.options.mutexes],
    ["missing-mutex", "deploy-container-image", "locked-change", (one) => delete one.options.mutexes],
    ["missing-mutex", "train-model", "build-train", (one) => delete one.options.mutexes],
    [
      "deadlock",
      "build-container-image",
      "trial",
      (one) => Object.assign(one.options, { mutexes: ["stage-staging"] }),
    ],
    [
      "skippable-output",
      "build-container-image",
      "build-and-roll-out",
      (one) => Object.assign(one.body.groups[0][0], { continueOn: ["Failed"] }),
    ],
    ["unknown-reference", "train-model", "train", (one) => one.body.groups.reverse()],
    ["wrong-argument", "train-model", "train", (one) => delete one.body.groups[0][0].arguments.branch],
    [
      "unreachable-branch",
      "promote-model",
      "promote",
      (one) => Object.assign(one.inputs.target, { values: ["staging", "canary"] }),
    ],
  ])("%s: %s/%s", (rule, workflow, template, change) => {
    expect(mutated(workflow, template, change)).toContain(rule);
  });
});
