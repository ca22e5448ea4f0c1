import { text, type Value, workflowFailures } from "../builder/reference";
import { container, input, output, suspend } from "../builder/template";
import { OBJECTS, stepPod, trainingPod } from "./pods";
import { type ResolvedSettings, SCENARIOS } from "./settings";

/** Seconds for a step that asks and writes a little. */
const SHORT_SECONDS = 180;

/** Seconds a change needs besides its rollouts: images, smoke test, aliases, ledger. */
const CHANGE_SECONDS = 120;

/** Times a step is repeated after its pod died of the infrastructure. */
const RETRIES = 2;

/** The lock that is held while a stage changes, and until its gates have judged. */
export function stageLock(stage: Value): Value {
  return text`stage-${stage}`;
}

const requestedBy = input.optional("pipeline", "who asked for it");

/** The steps that run in pods, and the one that waits for a person. Each is one Python file of `steps/`, or the training. */
export function pipelineSteps(settings: ResolvedSettings) {
  const { stages, rolloutSeconds } = settings;
  // A change may first put back what an earlier one left, then roll out, then put back: three rollouts.
  const changeSeconds = 3 * rolloutSeconds + CHANGE_SECONDS;
  const settleSeconds = 2 * rolloutSeconds + CHANGE_SECONDS;

  const checkCode = container(
    "check-code",
    {
      inputs: { branch: input.text(), "requested-by": requestedBy },
      outputs: {
        commit: output.text(),
        image: output.image("the image of this commit"),
        "needs-rebuild": output.oneOf(["true", "false"]),
      },
    },
    (inputs) =>
      stepPod(settings, {
        class: "runner",
        file: "check_code.py",
        deadlineSeconds: SHORT_SECONDS,
        idempotent: true,
        retries: RETRIES,
        registry: "pull",
        requestedBy: inputs["requested-by"],
        env: { BRANCH: inputs.branch },
      }),
  );

  const buildTrain = container(
    "build-train",
    {
      inputs: { branch: input.text(), commit: input.text(), "requested-by": requestedBy },
      outputs: { digest: output.text() },
    },
    (inputs) =>
      stepPod(settings, {
        class: "builder",
        file: "build_train.py",
        deadlineSeconds: settings.buildSeconds,
        idempotent: true,
        retries: RETRIES,
        mutexes: ["build-train"],
        needsMutexes: ["build-train"],
        registry: "push",
        builder: true,
        scratch: "1Gi",
        requestedBy: inputs["requested-by"],
        env: { BRANCH: inputs.branch, COMMIT: inputs.commit },
        effects: [text`push training image ${inputs.commit}`],
      }),
  );

  const runTraining = container(
    "run-training",
    {
      inputs: {
        image: input.image(),
        scenario: input.oneOf(SCENARIOS),
        branch: input.text(),
        commit: input.text(),
      },
      outputs: {
        "model-version": output.text({ default: "", description: "empty when no model was registered" }),
      },
    },
    (inputs) =>
      trainingPod(settings, {
        image: inputs.image,
        command: ["python3", "-m", "training"],
        deadlineSeconds: settings.trainSeconds,
        // A second training registers a model of its own: it is not repeated.
        env: {
          SCENARIO: inputs.scenario,
          BRANCH: inputs.branch,
          GIT_COMMIT: inputs.commit,
          MODEL_NAME: { configMap: OBJECTS.settings, key: "MODEL_NAME" },
          MLFLOW_TRACKING_URI: { configMap: OBJECTS.settings, key: "MLFLOW_TRACKING_URI" },
          MODEL_VERSION_FILE: "/tmp/outputs/model-version",
        },
        effects: [text`train ${inputs.scenario}`],
      }),
  );

  const tagDevelopment = container(
    "tag-development",
    { inputs: { "model-version": input.text(), "requested-by": requestedBy }, outputs: {} },
    (inputs) =>
      stepPod(settings, {
        class: "runner",
        file: "tag_development.py",
        deadlineSeconds: SHORT_SECONDS,
        idempotent: true,
        retries: RETRIES,
        mlflow: true,
        requestedBy: inputs["requested-by"],
        env: { MODEL_VERSION: inputs["model-version"] },
        effects: [text`alias development ${inputs["model-version"]}`],
      }),
  );

  const buildApp = container(
    "build-app",
    {
      inputs: {
        "model-version": input.text("0 for the app without a model"),
        "requested-by": requestedBy,
      },
      outputs: { digest: output.text(), version: output.text() },
    },
    (inputs) =>
      stepPod(settings, {
        class: "builder",
        file: "build_app.py",
        deadlineSeconds: settings.buildSeconds,
        idempotent: true,
        retries: RETRIES,
        mutexes: ["build-app"],
        needsMutexes: ["build-app"],
        registry: "push",
        builder: true,
        mlflow: true,
        scratch: "1Gi",
        requestedBy: inputs["requested-by"],
        env: { MODEL_VERSION: inputs["model-version"] },
        effects: [text`push app image of model ${inputs["model-version"]}`],
      }),
  );

  const changeStage = container(
    "change-stage",
    {
      inputs: {
        stage: input.oneOf(stages),
        version: input.text(),
        digest: input.text(),
        source: input.oneOf([...stages, ""]),
        "approve-source": input.oneOf(["true", "false"]),
        gates: input.text(),
        "only-if-empty": input.oneOf(["true", "false"]),
        reason: input.text(),
        change: input.text(),
        "requested-by": input.text(),
      },
      outputs: {
        outcome: output.oneOf(["deployed", "unchanged", "failed"], { default: "failed" }),
        "previous-version": output.text({ default: "" }),
      },
    },
    (inputs) =>
      stepPod(settings, {
        class: "deployer",
        file: "change_stage.py",
        deadlineSeconds: changeSeconds,
        // It begins by putting back what an unfinished change left, its own included.
        idempotent: true,
        retries: RETRIES,
        needsMutexes: [stageLock(inputs.stage)],
        registry: "push",
        mlflow: true,
        requestedBy: inputs["requested-by"],
        env: {
          STAGE: inputs.stage,
          TARGET_VERSION: inputs.version,
          TARGET_DIGEST: inputs.digest,
          SOURCE_STAGE: inputs.source,
          APPROVE_SOURCE: inputs["approve-source"],
          GATES: inputs.gates,
          ONLY_IF_EMPTY: inputs["only-if-empty"],
          REASON: inputs.reason,
          CHANGE: inputs.change,
        },
        effects: [text`change ${inputs.stage} to ${inputs.version}`],
      }),
  );

  const settle = container(
    "settle",
    {
      inputs: {
        stage: input.oneOf(stages),
        version: input.text(),
        change: input.text(),
        verdict: input.oneOf(["Succeeded", "Failed", "Error", "Skipped"]),
        reason: input.text(),
        "requested-by": input.text(),
      },
      outputs: { outcome: output.oneOf(["kept", "reverted", "failed"], { default: "failed" }) },
    },
    (inputs) =>
      stepPod(settings, {
        class: "deployer",
        file: "settle.py",
        deadlineSeconds: settleSeconds,
        idempotent: true,
        retries: RETRIES,
        needsMutexes: [stageLock(inputs.stage)],
        registry: "push",
        mlflow: true,
        requestedBy: inputs["requested-by"],
        env: {
          STAGE: inputs.stage,
          VERSION: inputs.version,
          CHANGE: inputs.change,
          VERDICT: inputs.verdict,
          REASON: inputs.reason,
        },
        effects: [text`settle ${inputs.stage} without ${inputs.version}`],
      }),
  );

  /** For the exit of a workflow only. */
  const recordFailure = container(
    "record-failure",
    { inputs: { stage: input.oneOf(stages), "requested-by": requestedBy }, outputs: {} },
    (inputs) =>
      stepPod(settings, {
        // It reads the ledger and adds to it; the stage is not touched.
        class: "tester",
        file: "record_failure.py",
        deadlineSeconds: SHORT_SECONDS,
        idempotent: true,
        retries: RETRIES,
        requestedBy: inputs["requested-by"],
        env: { STAGE: inputs.stage, FAILURES: workflowFailures },
        effects: [text`record the failure on ${inputs.stage}`],
      }),
  );

  const gate = (name: "integration" | "resources" | "load", deadlineSeconds: number) =>
    container(
      `gate-${name}`,
      {
        inputs: { stage: input.oneOf(stages), version: input.text(), "requested-by": input.text() },
        outputs: {
          result: output.oneOf(["pass", "fail", "error"], { default: "error" }),
          report: output.text({ default: "" }),
        },
      },
      (inputs) =>
        stepPod(settings, {
          class: "tester",
          file: `gate_${name}.py`,
          deadlineSeconds,
          idempotent: true,
          retries: RETRIES,
          needsMutexes: [stageLock(inputs.stage)],
          requestedBy: inputs["requested-by"],
          env: { STAGE: inputs.stage, VERSION: inputs.version },
        }),
    );

  const approve = container(
    "approve",
    {
      inputs: {
        stage: input.oneOf(stages),
        version: input.text(),
        digest: input.text(),
        decision: input.oneOf(["approved", "rejected"]),
        gates: input.text(),
        reason: input.text(),
        by: input.text(),
        "requested-by": input.text(),
      },
      outputs: {},
    },
    (inputs) =>
      stepPod(settings, {
        class: "deployer",
        file: "approve.py",
        deadlineSeconds: SHORT_SECONDS,
        idempotent: true,
        retries: RETRIES,
        registry: "push",
        mlflow: true,
        requestedBy: inputs["requested-by"],
        env: {
          STAGE: inputs.stage,
          VERSION: inputs.version,
          DIGEST: inputs.digest,
          DECISION: inputs.decision,
          GATES: inputs.gates,
          REASON: inputs.reason,
          BY: inputs.by,
        },
        effects: [text`${inputs.decision} ${inputs.version} in ${inputs.stage}`],
      }),
  );

  const guardPromotion = container(
    "guard-promotion",
    {
      inputs: {
        source: input.oneOf(stages),
        target: input.oneOf(stages),
        version: input.text(),
        "requested-by": input.text(),
      },
      outputs: { digest: output.text() },
    },
    (inputs) =>
      stepPod(settings, {
        class: "deployer",
        file: "guard_promotion.py",
        deadlineSeconds: SHORT_SECONDS,
        idempotent: true,
        retries: RETRIES,
        registry: "push",
        mlflow: true,
        requestedBy: inputs["requested-by"],
        env: { SOURCE: inputs.source, TARGET: inputs.target, VERSION: inputs.version },
      }),
  );

  const revertStage = container(
    "revert-stage",
    {
      inputs: {
        stage: input.oneOf(stages),
        "to-version": input.text(),
        reason: input.text(),
        change: input.text(),
        "requested-by": input.text(),
      },
      outputs: {
        outcome: output.oneOf(["reverted", "unchanged", "failed"], { default: "failed" }),
        version: output.text({ default: "" }),
      },
    },
    (inputs) =>
      stepPod(settings, {
        class: "deployer",
        file: "revert.py",
        deadlineSeconds: changeSeconds,
        idempotent: true,
        retries: RETRIES,
        needsMutexes: [stageLock(inputs.stage)],
        registry: "push",
        mlflow: true,
        requestedBy: inputs["requested-by"],
        env: {
          STAGE: inputs.stage,
          TO_VERSION: inputs["to-version"],
          REASON: inputs.reason,
          CHANGE: inputs.change,
        },
        effects: [text`revert ${inputs.stage}`],
      }),
  );

  /** A person decides. Nothing said in time, or nothing chosen, is a rejection. */
  const decision = suspend("decision", {
    durationSeconds: settings.approvalSeconds,
    outputs: {
      decision: output.oneOf(["reject", "approve"], {
        default: "reject",
        description: "whether production gets this version",
      }),
      reason: output.text({ default: "", description: "why; an approval without a reason is a rejection" }),
      by: output.text({ default: "a person", description: "who decides" }),
    },
  });

  return {
    checkCode,
    buildTrain,
    runTraining,
    tagDevelopment,
    buildApp,
    changeStage,
    settle,
    recordFailure,
    gateIntegration: gate("integration", 240),
    gateResources: gate("resources", 240),
    gateLoad: gate("load", 300),
    approve,
    guardPromotion,
    revertStage,
    decision,
  };
}

/** The steps, for the flows that use them. */
export type PipelineSteps = ReturnType<typeof pipelineSteps>;
