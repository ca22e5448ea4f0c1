import { isDnsLabel } from "../../components/naming";
import { type Problem, ProblemsError } from "../../components/problems";
import { imageProblem } from "../builder/image";
import type { Resources } from "../builder/template";

/** The stages of the protocol, in the order of promotion. */
export const STAGES = ["staging", "canary", "production"] as const;
export type Stage = (typeof STAGES)[number];

/** Ways to train; each makes a model with one defect, `normal` one without. */
export const SCENARIOS = ["normal", "bad-architecture", "oversized", "slow"] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** What differs between environments. Plain values: names of objects, no secrets. */
export interface PipelineSettings {
  /** Namespace of the workflows and of all objects named here. @default "argo" */
  readonly namespace?: string;
  /** Image with Python, crane, kubectl and buildctl that runs the steps; pinned. */
  readonly image: string;
  /** Stages of this environment, in the order of promotion; `staging` is one of them. @default all three */
  readonly stages?: readonly Stage[];
  /** Branch of the training repository that is trained when none is said. @default "mlops" */
  readonly trainBranch?: string;
  /** Cron expression of the nightly training, UTC. @default "0 2 * * *" */
  readonly schedule?: string;
  /** Seconds a rollout may take; ROLLOUT_SECONDS of the steps. @default 180 */
  readonly rolloutSeconds?: number;
  /** Seconds a training may take. @default 3600 */
  readonly trainSeconds?: number;
  /** Seconds an image build may take. @default 1800 */
  readonly buildSeconds?: number;
  /** Seconds a promotion to production waits for a person; then it counts as rejected. @default 86400 */
  readonly approvalSeconds?: number;
  /** Processor and memory of a training. @default 500m and 512Mi, at most 2 and 2Gi */
  readonly trainResources?: Resources;
}

/** Settings with every default filled in. */
export type ResolvedSettings = Required<PipelineSettings>;

/** @throws ProblemsError with every wrong setting */
export function resolveSettings(settings: PipelineSettings): ResolvedSettings {
  const resolved: ResolvedSettings = {
    namespace: settings.namespace ?? "argo",
    image: settings.image,
    stages: settings.stages ?? STAGES,
    trainBranch: settings.trainBranch ?? "mlops",
    schedule: settings.schedule ?? "0 2 * * *",
    rolloutSeconds: settings.rolloutSeconds ?? 180,
    trainSeconds: settings.trainSeconds ?? 3600,
    buildSeconds: settings.buildSeconds ?? 1800,
    approvalSeconds: settings.approvalSeconds ?? 86_400,
    trainResources: settings.trainResources ?? {
      requests: { cpu: "500m", memory: "512Mi" },
      limits: { cpu: "2", memory: "2Gi" },
    },
  };
  const problems = checkSettings(resolved);
  if (problems.length > 0) throw new ProblemsError("the settings of the pipeline", problems);
  return resolved;
}

function checkSettings(settings: ResolvedSettings): readonly Problem[] {
  const problems: Problem[] = [];
  if (!isDnsLabel(settings.namespace)) {
    problems.push({
      path: "namespace",
      value: settings.namespace,
      problem: "is not the name of a namespace",
      next: "use lower-case letters, digits and '-'",
    });
  }
  const image = imageProblem(settings.image);
  if (image !== undefined) {
    problems.push({
      path: "image",
      value: settings.image,
      problem: image,
      allowed: "a version or a digest",
      next: "pin the image",
    });
  }
  const expected = STAGES.filter((stage) => settings.stages.includes(stage));
  if (!settings.stages.includes("staging") || expected.join() !== settings.stages.join()) {
    problems.push({
      path: "stages",
      value: settings.stages,
      problem: "are not stages in the order of promotion that begin with staging",
      allowed: STAGES.join(", "),
      next: "name each stage once; models are tested in staging",
    });
  }
  if (!/^\S+( \S+){4}$/.test(settings.schedule)) {
    problems.push({
      path: "schedule",
      value: settings.schedule,
      problem: "is not a cron expression",
      allowed: "minute, hour, day of month, month, day of week",
      next: "write five fields with a blank between",
    });
  }
  for (const path of ["rolloutSeconds", "trainSeconds", "buildSeconds", "approvalSeconds"] as const) {
    const value = settings[path];
    if (!Number.isInteger(value) || value < 30) {
      problems.push({
        path,
        value,
        problem: "is not a time a step can keep",
        allowed: "whole seconds, 30 or more",
        next: "allow more time",
      });
    }
  }
  return problems;
}
