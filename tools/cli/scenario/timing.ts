import { nodeSeconds, nodeTitle, type Workflow, type WorkflowNode, workflowNodes } from "../workflowStatus";

/** What the time of a pipeline is meant to be spent on. */
export type Purpose = "train" | "build" | "rollout" | "load test";

/**
 * Purpose of a step by the name of its template; every other step is overhead. The rollout's pod also tags the image, moves the
 * alias and writes the ledger.
 */
const PURPOSES: readonly { readonly template: RegExp; readonly purpose: Purpose }[] = [
  { template: /^run-training$/, purpose: "train" },
  { template: /^build-(?:train|app)$/, purpose: "build" },
  { template: /^(?:change-stage|settle|revert-stage)$/, purpose: "rollout" },
  { template: /^gate-load$/, purpose: "load test" },
];

/** Where the time of a workflow went; seconds. */
export interface TimeShares {
  readonly total: number;
  readonly purposes: Readonly<Record<Purpose, number>>;
  /** Time in which no step with a purpose had a pod. */
  readonly rest: number;
  /** `rest` of `total`, percent. */
  readonly restPercent: number;
  /** Time in which the workflow waited for a person; no part of `total`. */
  readonly person: number;
}

/** One step of the workflow for the report. */
export interface StepTime {
  readonly step: string;
  readonly purpose?: Purpose;
  readonly node?: string;
  /** Seconds after the workflow's begin. */
  readonly start: number;
  readonly seconds: number;
  readonly phase: string;
  readonly message?: string;
}

/** Template of a node, whether it is the workflow's own or taken from another. */
export function templateOf(node: WorkflowNode): string {
  return node.templateRef?.template ?? node.templateName ?? "";
}

export function purposeOf(node: WorkflowNode): Purpose | undefined {
  return PURPOSES.find(({ template }) => template.test(templateOf(node)))?.purpose;
}

/** Every pod and every wait for a person, in order. */
export function stepTimes(workflow: Workflow): StepTime[] {
  const begin = Date.parse(workflow.status?.startedAt ?? "");
  return workflowNodes(workflow)
    .filter(({ type, startedAt }) => (type === "Pod" || type === "Suspend") && startedAt)
    .map((node) => {
      const purpose = purposeOf(node);
      return {
        step: nodeTitle(node),
        ...(purpose === undefined ? {} : { purpose }),
        ...(node.hostNodeName ? { node: node.hostNodeName } : {}),
        start: (Date.parse(node.startedAt ?? "") - begin) / 1000,
        seconds: nodeSeconds(node),
        phase: node.phase ?? "",
        ...(node.message ? { message: node.message } : {}),
      };
    });
}

/**
 * Shares of a finished workflow's time. Steps run beside each other, so a purpose's time is that in which at least one of its pods
 * was there, its start included, and the rest is the time in which none of any purpose was.
 */
export function timeShares(workflow: Workflow): TimeShares {
  const { startedAt, finishedAt } = workflow.status ?? {};
  const nodes = workflowNodes(workflow).filter(
    ({ startedAt: started, finishedAt: ended }) => started && ended,
  );
  const intervals = (wanted: (node: WorkflowNode) => boolean) =>
    nodes
      .filter(wanted)
      .map((node): Interval => [Date.parse(node.startedAt ?? ""), Date.parse(node.finishedAt ?? "")]);
  const isPod = ({ type }: WorkflowNode) => type === "Pod";
  const seconds = (purpose: Purpose) =>
    unionSeconds(intervals((node) => isPod(node) && purposeOf(node) === purpose));
  const person = unionSeconds(intervals(({ type }) => type === "Suspend"));
  const whole = startedAt && finishedAt ? (Date.parse(finishedAt) - Date.parse(startedAt)) / 1000 : 0;
  const total = Math.max(0, whole - person);
  const used = unionSeconds(intervals((node) => isPod(node) && purposeOf(node) !== undefined));
  const rest = Math.max(0, total - used);
  return {
    total,
    purposes: {
      train: seconds("train"),
      build: seconds("build"),
      rollout: seconds("rollout"),
      "load test": seconds("load test"),
    },
    rest,
    restPercent: total === 0 ? 0 : (100 * rest) / total,
    person,
  };
}

type Interval = readonly [number, number];

/** Seconds covered by at least one of the intervals (milliseconds). */
export function unionSeconds(intervals: readonly Interval[]): number {
  let covered = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const [from, to] of [...intervals].sort((left, right) => left[0] - right[0])) {
    covered += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return covered / 1000;
}
