import type { Problem } from "../../components/problems";
import { type PipelineLimits, STAGE_PREFIX } from "./pipelineSettings";

/** Stages of the protocol, in the order of promotion. */
const ORDER = ["staging", "canary", "production"];
/** A ConfigMap holds at most 1 MiB; its other fields need some room. */
const MOST_BYTES = 900_000;

interface Checked {
  readonly stages: Readonly<Record<string, unknown>>;
  readonly steps: Readonly<Record<string, string>>;
  readonly manifests: Readonly<Record<string, { readonly kind: string }>>;
  readonly firstRun: string | false;
  readonly limits: Required<PipelineLimits>;
}

/** Everything wrong with the plain arguments. */
export function checkPipeline(args: Checked): readonly Problem[] {
  return [...checkStages(args), ...checkSteps(args), ...checkFirstRun(args), ...checkLimits(args.limits)];
}

function checkStages({ stages }: Checked): Problem[] {
  const problems: Problem[] = [];
  const names = Object.keys(stages);
  const expected = ORDER.filter((stage) => names.includes(stage));
  if (names.length === 0 || names.join() !== expected.join()) {
    problems.push({
      path: "stages",
      value: names,
      problem: "are not stages in the order of promotion",
      allowed: ORDER.join(", "),
      next: "name each stage once, in this order",
    });
  }
  for (const [stage, namespace] of Object.entries(stages)) {
    // One that is another resource's is known too late to be looked at.
    if (typeof namespace === "string" && namespace !== `${STAGE_PREFIX}${stage}`) {
      problems.push({
        path: `stages.${stage}`,
        value: namespace,
        problem: "is not the namespace the steps look for",
        allowed: `${STAGE_PREFIX}${stage}`,
        next: "use the namespace of AppStage",
      });
    }
  }
  return problems;
}

function checkSteps({ steps }: Checked): Problem[] {
  const problems: Problem[] = [];
  for (const name of Object.keys(steps)) {
    if (!/^[a-z][a-z0-9_]*\.py$/.test(name)) {
      problems.push({
        path: `steps.${name}`,
        problem: "is no flat Python module",
        allowed: "lower-case letters, digits and '_', ending with .py",
        next: "give only the modules of workflows/steps",
      });
    }
  }
  const bytes = Object.values(steps).reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes === 0 || bytes > MOST_BYTES) {
    problems.push({
      path: "steps",
      value: `${bytes} bytes`,
      problem: bytes === 0 ? "are missing" : "do not fit into a ConfigMap",
      allowed: `1 to ${MOST_BYTES} bytes`,
      next: "give the files of workflows/steps",
    });
  }
  return problems;
}

function checkFirstRun({ firstRun, manifests, steps }: Checked): Problem[] {
  if (firstRun === false) return [];
  const problems: Problem[] = [];
  if (manifests[firstRun]?.kind !== "WorkflowTemplate") {
    problems.push({
      path: "firstRun",
      value: firstRun,
      problem: "is no WorkflowTemplate of the manifests",
      allowed: Object.keys(manifests).join(", "),
      next: "name one of the manifests, or false",
    });
  }
  if (!("start_workflow.py" in steps)) {
    problems.push({
      path: "steps",
      problem: "lack start_workflow.py, which makes the first run",
      next: "give all files of workflows/steps",
    });
  }
  return problems;
}

function checkLimits(limits: Required<PipelineLimits>): Problem[] {
  const problems: Problem[] = [];
  const wrong = (path: keyof PipelineLimits, allowed: string) =>
    problems.push({
      path: `limits.${path}`,
      value: limits[path],
      problem: "is no usable limit",
      allowed,
      next: "change it",
    });
  for (const path of ["loadRequests", "loadConcurrency", "loadP95Milliseconds", "rolloutSeconds"] as const) {
    if (!Number.isInteger(limits[path]) || limits[path] < 1) wrong(path, "a whole number, 1 or more");
  }
  if (limits.loadConcurrency > limits.loadRequests) wrong("loadConcurrency", "at most loadRequests");
  for (const path of ["loadSuccess", "memoryFraction"] as const) {
    if (!(limits[path] > 0 && limits[path] < 1)) wrong(path, "between 0 and 1");
  }
  return problems;
}
