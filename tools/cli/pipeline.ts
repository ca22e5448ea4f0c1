import { userInfo } from "node:os";
import { STAGES, type Stage } from "../../stacks/spec";
import { CommandError, ExitCode } from "./commandError";

/** Where workflows run and the ledger is kept. */
export const WORKFLOW_NAMESPACE = "argo";

/** Where Argo CD has its Applications. */
export const APPLICATION_NAMESPACE = "argocd";

/** The ledger's objects, by the full name kubectl takes. */
export const LEDGER_RESOURCE = "ledgerentries.gourmetgram.dev";
export const LEDGER_API_VERSION = "gourmetgram.dev/v1";

/** Name of the Deployment and the Service of every stage. */
export const APP_NAME = "gourmetgram-app";
export const APP_PORT = 8000;

/** Registered model in MLflow. */
export const MODEL_NAME = "GourmetGramFood11Model";

/** Promotions there are, by their target; anything else skips a stage. */
const PROMOTION_SOURCE: Readonly<Partial<Record<Stage, Stage>>> = { canary: "staging", production: "canary" };

/** Namespace of a stage. */
export function stageNamespace(stage: Stage): string {
  return `gourmetgram-${stage}`;
}

/** Name of the Argo CD Application of a stage. */
export function applicationName(stage: Stage): string {
  return `gourmetgram-${stage}`;
}

/** @throws CommandError with the stages there are */
export function checkStage(value: string, next: string): Stage {
  const stage = STAGES.find((candidate) => candidate === value);
  if (stage === undefined) {
    throw new CommandError(
      `There is no stage ${JSON.stringify(value)}. Allowed: ${STAGES.join(", ")}.\n  next: ${next}`,
      ExitCode.refused,
    );
  }
  return stage;
}

/** @throws CommandError when the promotion would skip a stage or go back */
export function checkPromotion(from: string, to: string): { readonly from: Stage; readonly to: Stage } {
  const example = "npm run promote -- --from canary --to production --version 1.0.3";
  const source = checkStage(from, example);
  const target = checkStage(to, example);
  if (PROMOTION_SOURCE[target] !== source) {
    const allowed = Object.entries(PROMOTION_SOURCE).map((pair) => pair.reverse().join(" -> "));
    throw new CommandError(
      `${source} -> ${target} is no promotion: a model goes through every stage in its order. Allowed: ${allowed.join(", ")}.\n  next: ${example}`,
      ExitCode.refused,
    );
  }
  return { from: source, to: target };
}

/**
 * `1.0.N`, N being the version in MLflow; a bare N is understood.
 *
 * @throws CommandError for anything else
 */
export function checkVersion(value: string): string {
  const number = /^(?:1\.0\.)?([1-9]\d*)$/.exec(value.trim())?.[1];
  if (number === undefined) {
    throw new CommandError(
      `${JSON.stringify(value)} is no model version. Allowed: 1.0.N, N being the version in MLflow.\n  next: npm run ledger shows which version each stage runs`,
      ExitCode.refused,
    );
  }
  return `1.0.${number}`;
}

/** Version in MLflow of a model version string; `undefined` for the baseline, which no model is in. */
export function registryVersion(version: string): string | undefined {
  const number = /^1\.0\.([1-9]\d*)$/.exec(version)?.[1];
  return number;
}

/** Who the ledger shall name: what was asked for, else the operating system's user. */
export function actor(by: string | undefined, environment: NodeJS.ProcessEnv = process.env): string {
  // `sudo npm run ...` is still the person who typed it.
  return by?.trim() || environment["SUDO_USER"] || userInfo().username;
}

/** @throws CommandError for a reason without words */
export function checkReason(reason: string, command: string): string {
  const text = reason.replace(/\s+/g, " ").trim();
  if (text === "") {
    throw new CommandError(
      `The ledger keeps the reason for ever, and this one is empty.\n  next: npm run ${command} --reason "why"`,
      ExitCode.refused,
    );
  }
  return text;
}

/** Kinds of models the sample training makes; all but the first are meant to fail a gate. */
export const TRAINING_SCENARIOS = ["normal", "bad-architecture", "oversized", "slow"] as const;
export type TrainingScenario = (typeof TRAINING_SCENARIOS)[number];

/** @throws CommandError with the scenarios there are */
export function checkTrainingScenario(value: string | undefined): TrainingScenario | undefined {
  const scenario = TRAINING_SCENARIOS.find((candidate) => candidate === value);
  if (value !== undefined && scenario === undefined) {
    throw new CommandError(
      `There is no scenario ${JSON.stringify(value)}. Allowed: ${TRAINING_SCENARIOS.join(", ")}.\n  next: npm run train -- --scenario normal`,
      ExitCode.refused,
    );
  }
  return scenario;
}
