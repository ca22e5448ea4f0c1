import { labels } from "../../components/labels";
import { type Caller, dag, exitCall, steps, type WatchedStep } from "../builder/flow";
import {
  all,
  equal,
  not,
  type Reference,
  text,
  type Value,
  workflowName,
  workflowParameter,
  workflowStatus,
} from "../builder/reference";
import { type Manifest, renderCronWorkflow, renderWorkflowTemplate } from "../builder/render";
import { type ExitCall, input, type Template } from "../builder/template";
import {
  type CronWorkflow,
  cronWorkflow,
  refer,
  type WorkflowOptions,
  type WorkflowTemplate,
  workflowTemplate,
} from "../builder/workflow";
import { SERVICE_ACCOUNTS } from "./pods";
import {
  type PipelineSettings,
  type ResolvedSettings,
  resolveSettings,
  SCENARIOS,
  type Stage,
} from "./settings";
import { type PipelineSteps, pipelineSteps, stageLock } from "./steps";

const HOUR = 3600;
const DAY = 24 * HOUR;

/** Seconds a run may wait for locks that other runs hold, on top of its own work. */
const WAIT_SECONDS = 4 * HOUR;

const requestedBy = input.optional("pipeline", "who asks for it; stands in the ledger");
const reason = (fallback: string) => input.optional(fallback, "why; stands in the ledger");

/** The workflow templates of the pipeline, and the cron workflow, by name. */
export interface Pipeline {
  readonly templates: Readonly<Record<string, WorkflowTemplate>>;
  readonly crons: Readonly<Record<string, CronWorkflow>>;
}

/**
 * The manifests of the pipeline by name: eight `WorkflowTemplate`s and the `CronWorkflow` cron-train.
 *
 * @throws ProblemsError with every wrong setting
 */
export function renderPipeline(settings: PipelineSettings): Readonly<Record<string, Manifest>> {
  const { templates, crons } = createPipeline(settings);
  return Object.fromEntries([
    ...Object.values(templates).map((template) => [template.name, renderWorkflowTemplate(template)] as const),
    ...Object.values(crons).map((cron) => [cron.name, renderCronWorkflow(cron)] as const),
  ]);
}

/**
 * The pipeline as typed templates, to be rendered, linted or simulated.
 *
 * A stage changes only under its lock, which is held until its gates have judged. Whatever ends the change, the exit call `settle`
 * then returns the stage to what the ledger recorded before. Locks are taken in the order of promotion, so that runs cannot
 * wait for each other in a circle, and never while a person is waited for.
 *
 * @throws ProblemsError with every wrong setting
 */
export function createPipeline(given: PipelineSettings): Pipeline {
  const settings = resolveSettings(given);
  const parts = pipelineSteps(settings);
  const deploy = deployContainerImage(settings, parts);
  const test = testStaging(settings, parts, deploy);
  const build = buildContainerImage(settings, parts, deploy, test);
  const train = trainModel(settings, parts, build);
  const templates = [
    buildInitial(settings, parts, deploy),
    buildTrainingInitial(settings, parts),
    train,
    build.workflow,
    deploy.workflow,
    test.workflow,
    ...(settings.stages.length > 1 ? [promoteModel(settings, parts, deploy)] : []),
    revert(settings, parts),
  ];
  const cron = cronWorkflow("cron-train", {
    workflow: train,
    arguments: { "requested-by": "cron-train" },
    schedules: [settings.schedule],
    timezone: "Etc/UTC",
    concurrencyPolicy: "Forbid",
    startingDeadlineSeconds: HOUR,
    historyLimit: { successful: 3, failed: 3 },
  });
  return {
    templates: Object.fromEntries(templates.map((template) => [template.name, template])),
    crons: { [cron.name]: cron },
  };
}

function options(settings: ResolvedSettings, workSeconds: number, description: string): WorkflowOptions {
  return {
    namespace: settings.namespace,
    deadlineSeconds: workSeconds + WAIT_SECONDS,
    keepSeconds: { success: DAY, failure: 3 * DAY },
    keepPodSeconds: 60,
    serviceAccount: SERVICE_ACCOUNTS.runner,
    pullSecrets: ["registry-pull"],
    labels: labels({ name: "pipeline" }),
    description,
  };
}

/** The change a run makes to a stage; the same text for the change and for what settles it. */
function changeOf(stage: Value): Reference {
  return text`${workflowName}.${stage}`;
}

/** Returns a stage to what the ledger recorded before, unless what is watched succeeded. */
function settled(
  { settle }: PipelineSteps,
  what: {
    readonly stage: Reference<"staging" | "canary" | "production"> | "staging";
    readonly version: Value;
    readonly reason: Value;
    readonly requestedBy: Value;
  },
): (watched: WatchedStep) => ExitCall {
  return (watched) =>
    exitCall(
      settle,
      {
        stage: what.stage,
        version: what.version,
        change: changeOf(what.stage),
        verdict: watched.status,
        reason: what.reason,
        "requested-by": what.requestedBy,
      },
      not(watched.succeeded),
    );
}

/** Writes why a run ended badly into the ledger of the stage it was for, unless a step of the run did. No pod after a good end. */
function recorded({ recordFailure }: PipelineSteps, stage: Stage | Reference<Stage>): Template {
  return steps("end", { inputs: {} }, (flow) => {
    flow.step(
      "record-failure",
      recordFailure,
      { stage, "requested-by": workflowParameter("requested-by") },
      { when: not(equal(workflowStatus, "Succeeded")) },
    );
  });
}

/** deploy-container-image: one stage gets one version. Its `locked-change` is how every other workflow changes a stage. */
function deployContainerImage(settings: ResolvedSettings, parts: PipelineSteps) {
  const { stages } = settings;
  const lockedChange = steps(
    "locked-change",
    {
      inputs: {
        stage: input.oneOf(stages),
        version: input.text(),
        digest: input.text(),
        source: input.optionalOneOf([...stages, ""], ""),
        "approve-source": input.optionalOneOf(["true", "false"], "false"),
        gates: input.optional(""),
        "only-if-empty": input.optionalOneOf(["true", "false"], "false"),
        reason: input.text(),
        "requested-by": input.text(),
      },
      options: (inputs) => ({ mutexes: [stageLock(inputs.stage)] }),
    },
    (flow, inputs) => {
      flow.step(
        "change",
        parts.changeStage,
        { ...inputs, change: changeOf(inputs.stage) },
        {
          onExit: settled(parts, {
            stage: inputs.stage,
            version: inputs.version,
            reason: "the change did not succeed",
            requestedBy: inputs["requested-by"],
          }),
        },
      );
    },
  );
  const entrypoint = steps(
    "deploy",
    {
      inputs: {
        stage: input.oneOf(stages),
        version: input.text("version of the app, 1.0.N"),
        digest: input.text("digest of its image, sha256:..."),
        reason: reason("deployed by deploy-container-image"),
        "requested-by": requestedBy,
      },
    },
    (flow, inputs) => {
      flow.step("stage", lockedChange, inputs);
    },
  );
  const workflow = workflowTemplate("deploy-container-image", {
    ...options(
      settings,
      HOUR,
      "Deploys a version to a stage and waits until it serves, or puts the stage back.",
    ),
    entrypoint,
    onExit: recorded(parts, workflowParameter("stage", stages)),
    exports: [lockedChange],
  });
  return { workflow, lockedChange: refer(workflow, lockedChange) };
}

type Deploy = ReturnType<typeof deployContainerImage>;

/** What the gates found, as one text for the ledger. */
interface Verdicts {
  readonly integration: Reference;
  readonly resources: Reference;
  readonly load: Reference;
}

/** All gates have passed: the version is approved, and goes on to canary where there is one. */
function passOn(
  flow: Caller,
  settings: ResolvedSettings,
  parts: PipelineSteps,
  deploy: Deploy,
  tested: {
    readonly version: Value;
    readonly digest: Value;
    readonly requestedBy: Value;
    readonly found: Verdicts;
  },
): void {
  const { version, digest, found } = tested;
  const gates = text`integration=${found.integration} resources=${found.resources} load=${found.load}`;
  if (settings.stages.includes("canary")) {
    flow.step("to-canary", deploy.lockedChange, {
      stage: "canary",
      version,
      digest,
      source: "staging",
      "approve-source": "true",
      gates,
      reason: text`passed the gates of staging: ${gates}`,
      "requested-by": tested.requestedBy,
    });
    return;
  }
  flow.step("approve", parts.approve, {
    stage: "staging",
    version,
    digest,
    decision: "approved",
    gates,
    reason: text`passed the gates of staging: ${gates}`,
    by: "gates",
    "requested-by": tested.requestedBy,
  });
}

/** test-staging: the three gates on what staging runs. Its `gates` judge every rollout. */
function testStaging(settings: ResolvedSettings, parts: PipelineSteps, deploy: Deploy) {
  const gates = steps(
    "gates",
    { inputs: { version: input.text(), "requested-by": input.text() } },
    (flow, inputs) => {
      const judged = { stage: "staging", ...inputs } as const;
      return flow.parallel((group) => {
        const integration = group.step("integration", parts.gateIntegration, judged);
        const resources = group.step("resources", parts.gateResources, judged);
        const load = group.step("load", parts.gateLoad, judged);
        return {
          integration: integration.outputs.result,
          resources: resources.outputs.result,
          load: load.outputs.result,
        };
      });
    },
  );
  const entrypoint = steps(
    "test",
    {
      inputs: { version: input.text("version that staging runs, 1.0.N"), "requested-by": requestedBy },
      options: () => ({ mutexes: [stageLock("staging")] }),
    },
    (flow, inputs) => {
      const judged = flow.step("gates", gates, inputs, {
        onExit: settled(parts, {
          stage: "staging",
          version: inputs.version,
          reason: "the gates did not pass",
          requestedBy: inputs["requested-by"],
        }),
      });
      passOn(flow, settings, parts, deploy, {
        version: inputs.version,
        // Empty: what staging serves.
        digest: "",
        requestedBy: inputs["requested-by"],
        found: judged.outputs,
      });
    },
  );
  const workflow = workflowTemplate("test-staging", {
    ...options(
      settings,
      HOUR,
      "Tests what staging runs. All gates pass: approved and on to canary; else staging goes back.",
    ),
    entrypoint,
    onExit: recorded(parts, "staging"),
    exports: [gates],
  });
  return { workflow, gates: refer(workflow, gates) };
}

type TestStaging = ReturnType<typeof testStaging>;

/** build-container-image: a model version becomes an image, a rollout to staging, a judgement, a canary. */
function buildContainerImage(
  settings: ResolvedSettings,
  parts: PipelineSteps,
  deploy: Deploy,
  test: TestStaging,
) {
  const inputs = {
    version: input.text(),
    digest: input.text(),
    reason: input.text(),
    "requested-by": input.text(),
  };
  const trial = steps("trial", { inputs }, (flow, given) => {
    flow.step("change", parts.changeStage, {
      ...given,
      stage: "staging",
      source: "",
      "approve-source": "false",
      gates: "",
      "only-if-empty": "false",
      change: changeOf("staging"),
    });
    const judged = flow.step("gates", test.gates, {
      version: given.version,
      "requested-by": given["requested-by"],
    });
    return judged.outputs;
  });
  const rollOut = steps(
    "roll-out",
    { inputs, options: () => ({ mutexes: [stageLock("staging")] }) },
    (flow, given) => {
      const judged = flow.step("trial", trial, given, {
        onExit: settled(parts, {
          stage: "staging",
          version: given.version,
          reason: "the rollout or its gates did not succeed",
          requestedBy: given["requested-by"],
        }),
      });
      passOn(flow, settings, parts, deploy, {
        version: given.version,
        digest: given.digest,
        requestedBy: given["requested-by"],
        found: judged.outputs,
      });
    },
  );
  const entrypoint = steps(
    "build-and-roll-out",
    {
      inputs: {
        "model-version": input.text("version of the registered model, a number"),
        reason: reason("a new model version"),
        "requested-by": requestedBy,
      },
    },
    (flow, given) => {
      const built = flow.step("build-app", parts.buildApp, {
        "model-version": given["model-version"],
        "requested-by": given["requested-by"],
      });
      flow.step("roll-out", rollOut, {
        version: built.outputs.version,
        digest: built.outputs.digest,
        reason: given.reason,
        "requested-by": given["requested-by"],
      });
    },
  );
  const workflow = workflowTemplate("build-container-image", {
    ...options(
      settings,
      settings.buildSeconds + HOUR,
      "Builds the app with a model version, rolls it out to staging, tests it there, promotes it to canary.",
    ),
    entrypoint,
    onExit: recorded(parts, "staging"),
  });
  return { workflow, entrypoint: refer(workflow, entrypoint) };
}

/** train-model: the image of the branch's head, a training in it, and what comes of the model. */
function trainModel(
  settings: ResolvedSettings,
  parts: PipelineSteps,
  build: ReturnType<typeof buildContainerImage>,
) {
  const entrypoint = steps(
    "train",
    {
      inputs: {
        branch: input.optional(settings.trainBranch, "branch of the training repository"),
        scenario: input.optionalOneOf(SCENARIOS, "normal", "defect the training puts into the model"),
        "requested-by": requestedBy,
      },
    },
    (flow, inputs) => {
      const by = { "requested-by": inputs["requested-by"] };
      const code = flow.step("check-code", parts.checkCode, { branch: inputs.branch, ...by });
      flow.step(
        "build-train",
        parts.buildTrain,
        { branch: inputs.branch, commit: code.outputs.commit, ...by },
        { when: equal(code.outputs["needs-rebuild"], "true") },
      );
      const trained = flow.step("run-training", parts.runTraining, {
        image: code.outputs.image,
        scenario: inputs.scenario,
        branch: inputs.branch,
        commit: code.outputs.commit,
      });
      const modelVersion = trained.outputs["model-version"];
      const registered = not(equal(modelVersion, ""));
      flow.parallel((group) => {
        group.step(
          "tag-development",
          parts.tagDevelopment,
          { "model-version": modelVersion, ...by },
          { when: registered },
        );
        group.step(
          "build-container-image",
          build.entrypoint,
          {
            "model-version": modelVersion,
            reason: text`trained from ${inputs.branch} at ${code.outputs.commit}`,
            ...by,
          },
          { when: registered },
        );
      });
    },
  );
  return workflowTemplate("train-model", {
    ...options(
      settings,
      settings.trainSeconds + 2 * settings.buildSeconds + HOUR,
      "Trains a branch. A model that passes its own tests is built, rolled out to staging, tested, promoted to canary.",
    ),
    entrypoint,
    onExit: recorded(parts, "staging"),
  });
}

/** build-initial: every stage that runs nothing yet gets the app without a model. */
function buildInitial(settings: ResolvedSettings, parts: PipelineSteps, deploy: Deploy) {
  const entrypoint = dag("build-and-deploy", { inputs: { "requested-by": requestedBy } }, (flow, inputs) => {
    const by = { "requested-by": inputs["requested-by"] };
    const built = flow.task("build-app", parts.buildApp, { "model-version": "0", ...by });
    for (const stage of settings.stages) {
      flow.task(stage, deploy.lockedChange, {
        stage,
        version: built.outputs.version,
        digest: built.outputs.digest,
        "only-if-empty": "true",
        reason: "the first version",
        ...by,
      });
    }
  });
  return workflowTemplate("build-initial", {
    ...options(
      settings,
      settings.buildSeconds + HOUR,
      "Builds the app without a model and deploys it to every stage that runs nothing.",
    ),
    entrypoint,
    onExit: recorded(parts, "staging"),
  });
}

/** build-training-initial: the training image, so that the first training does not wait for it. */
function buildTrainingInitial(settings: ResolvedSettings, parts: PipelineSteps) {
  const entrypoint = steps(
    "build",
    {
      inputs: {
        branch: input.optional(settings.trainBranch, "branch of the training repository"),
        "requested-by": requestedBy,
      },
    },
    (flow, inputs) => {
      const code = flow.step("check-code", parts.checkCode, inputs);
      flow.step(
        "build-train",
        parts.buildTrain,
        { ...inputs, commit: code.outputs.commit },
        { when: equal(code.outputs["needs-rebuild"], "true") },
      );
    },
  );
  return workflowTemplate("build-training-initial", {
    ...options(
      settings,
      settings.buildSeconds,
      "Builds the training image of a branch when there is none yet.",
    ),
    entrypoint,
    onExit: recorded(parts, "staging"),
  });
}

/** promote-model: from one stage to the next; into production only when a person says so. */
function promoteModel(settings: ResolvedSettings, parts: PipelineSteps, deploy: Deploy) {
  const { stages } = settings;
  const inputs = {
    source: input.oneOf(stages, "stage that runs the version"),
    target: input.oneOf(stages, "the stage after it"),
    version: input.text("version to promote, 1.0.N"),
    reason: reason("promoted by promote-model"),
    "requested-by": requestedBy,
  };
  const byPerson = steps(
    "promote-by-decision",
    { inputs: { source: inputs.source, version: input.text(), "requested-by": input.text() } },
    (flow, given) => {
      const target = "production";
      const by = given["requested-by"];
      // Before a person is asked: is it a promotion that could be made at all?
      const guarded = flow.step("guard", parts.guardPromotion, { ...given, target });
      const { outputs } = flow.step("decision", parts.decision, {});
      const approved = all(equal(outputs.decision, "approve"), not(equal(outputs.reason, "")));
      flow.parallel((group) => {
        group.step(
          "approved",
          deploy.lockedChange,
          {
            stage: target,
            version: given.version,
            digest: guarded.outputs.digest,
            source: given.source,
            reason: text`approved by ${outputs.by}: ${outputs.reason}`,
            "requested-by": outputs.by,
          },
          { when: approved },
        );
        group.step(
          "rejected",
          parts.approve,
          {
            stage: target,
            version: given.version,
            digest: guarded.outputs.digest,
            decision: "rejected",
            gates: "",
            reason: outputs.reason,
            by: outputs.by,
            "requested-by": by,
          },
          { when: not(approved) },
        );
      });
    },
  );
  const entrypoint = steps("promote", { inputs }, (flow, given) => {
    const by = { "requested-by": given["requested-by"] };
    const change = {
      stage: given.target,
      version: given.version,
      // Empty: what the source serves.
      digest: "",
      source: given.source,
      reason: given.reason,
      ...by,
    } as const;
    if (!stages.includes("production")) {
      flow.step("directly", deploy.lockedChange, change);
      return;
    }
    const intoProduction = equal(given.target, "production");
    flow.parallel((group) => {
      const promoted = { source: given.source, version: given.version, ...by };
      group.step("by-decision", byPerson, promoted, { when: intoProduction });
      group.step("directly", deploy.lockedChange, change, { when: not(intoProduction) });
    });
  });
  return workflowTemplate("promote-model", {
    ...options(
      settings,
      settings.approvalSeconds + HOUR,
      "Promotes what a stage runs to the next stage; into production after a person's decision.",
    ),
    entrypoint,
    onExit: recorded(parts, workflowParameter("target", stages)),
  });
}

/** revert: a stage goes back to what the ledger recorded before, or to a version it ran. */
function revert(settings: ResolvedSettings, parts: PipelineSteps) {
  const entrypoint = steps(
    "revert",
    {
      inputs: {
        stage: input.oneOf(settings.stages),
        "to-version": input.optional("", "1.0.N; empty: what the ledger recorded before"),
        reason: reason("reverted by revert"),
        "requested-by": requestedBy,
      },
      options: (inputs) => ({ mutexes: [stageLock(inputs.stage)] }),
    },
    (flow, inputs) => {
      flow.step(
        "revert",
        parts.revertStage,
        { ...inputs, change: changeOf(inputs.stage) },
        {
          onExit: settled(parts, {
            stage: inputs.stage,
            // Empty: only what the revert itself left unfinished.
            version: "",
            reason: "the revert did not succeed",
            requestedBy: inputs["requested-by"],
          }),
        },
      );
    },
  );
  return workflowTemplate("revert", {
    ...options(settings, HOUR, "Returns a stage to what the ledger recorded before, or to a version it ran."),
    entrypoint,
    onExit: recorded(parts, workflowParameter("stage", settings.stages)),
  });
}
