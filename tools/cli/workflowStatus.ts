import { gunzipSync } from "node:zlib";
import { findJson, type KubeClient } from "./kubeClient";
import { WORKFLOW_NAMESPACE } from "./pipeline";

export type NodePhase =
  | "Pending"
  | "Running"
  | "Succeeded"
  | "Skipped"
  | "Failed"
  | "Error"
  | "Omitted"
  | "Daemoned";

/** A step of a workflow as Argo records it; only the parts used here. */
export interface WorkflowNode {
  readonly id: string;
  readonly name: string;
  readonly displayName: string;
  readonly type:
    | "Pod"
    | "Suspend"
    | "Retry"
    | "Steps"
    | "StepGroup"
    | "DAG"
    | "TaskGroup"
    | "Skipped"
    | string;
  readonly templateName?: string;
  readonly templateRef?: { readonly name: string; readonly template: string };
  readonly phase?: NodePhase;
  readonly message?: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly hostNodeName?: string;
  readonly inputs?: { readonly parameters?: readonly NodeParameter[] };
  readonly outputs?: { readonly parameters?: readonly NodeParameter[] };
  readonly children?: readonly string[];
  readonly synchronizationStatus?: { readonly waiting?: string };
}

export interface NodeParameter {
  readonly name: string;
  readonly value?: string;
  readonly default?: string;
  readonly valueFrom?: { readonly supplied?: object; readonly default?: string };
}

export interface Workflow {
  readonly metadata: {
    readonly name: string;
    readonly resourceVersion?: string;
    readonly creationTimestamp?: string;
  };
  readonly spec: {
    readonly workflowTemplateRef?: { readonly name: string };
    readonly arguments?: { readonly parameters?: readonly NodeParameter[] };
    readonly [other: string]: unknown;
  };
  readonly status?: {
    readonly phase?: "" | "Pending" | "Running" | "Succeeded" | "Failed" | "Error";
    readonly message?: string;
    readonly startedAt?: string;
    readonly finishedAt?: string;
    readonly nodes?: Readonly<Record<string, WorkflowNode>>;
    /** Instead of `nodes` when they are many: JSON, gzip, base64. */
    readonly compressedNodes?: string;
  };
}

/** A workflow by its name; `undefined` when there is none. */
export async function findWorkflow(client: KubeClient, name: string): Promise<Workflow | undefined> {
  return await findJson<Workflow>(client, "--namespace", WORKFLOW_NAMESPACE, "workflows.argoproj.io", name);
}

/** All nodes of a workflow, in the order they were begun. */
export function workflowNodes(workflow: Workflow): WorkflowNode[] {
  const { nodes, compressedNodes } = workflow.status ?? {};
  const found =
    nodes ??
    (compressedNodes === undefined || compressedNodes === ""
      ? {}
      : (JSON.parse(gunzipSync(Buffer.from(compressedNodes, "base64")).toString()) as Record<
          string,
          WorkflowNode
        >));
  return Object.values(found).sort(
    (left, right) =>
      started(left) - started(right) || finished(left) - finished(right) || (left.name < right.name ? -1 : 1),
  );
}

function started(node: WorkflowNode): number {
  return node.startedAt === undefined || node.startedAt === null
    ? Number.MAX_SAFE_INTEGER
    : Date.parse(node.startedAt);
}

function finished(node: WorkflowNode): number {
  return node.finishedAt === undefined || node.finishedAt === null
    ? Number.MAX_SAFE_INTEGER
    : Date.parse(node.finishedAt);
}

/** Seconds between two times of a node; to `now` while it runs. */
export function nodeSeconds(node: WorkflowNode, now: number = Date.now()): number {
  const end = node.finishedAt ? Date.parse(node.finishedAt) : now;
  return node.startedAt ? Math.max(0, (end - Date.parse(node.startedAt)) / 1000) : 0;
}

/** What a person calls a node: its step, and which try it is after the first. */
export function nodeTitle(node: WorkflowNode): string {
  const retry = /^(.*)\((\d+)\)$/.exec(node.displayName);
  if (retry === null) {
    return node.displayName;
  }
  return retry[2] === "0" ? (retry[1] ?? "") : `${retry[1]} (try ${Number(retry[2]) + 1})`;
}

/** True for a node in which something ran or waits: not for those that only hold others. */
export function isLeaf(node: WorkflowNode): boolean {
  return node.type === "Pod" || node.type === "Suspend";
}

/** True for a node that waits for a person's decision. */
export function waitsForPerson(node: WorkflowNode): boolean {
  return node.type === "Suspend" && node.phase === "Running";
}

export function hasFailed(node: WorkflowNode): boolean {
  return node.phase === "Failed" || node.phase === "Error";
}

/** True when no step of the workflow will run any more. */
export function isOver(workflow: Workflow): boolean {
  const phase = workflow.status?.phase;
  return phase === "Succeeded" || phase === "Failed" || phase === "Error";
}

/** What a step said of its failure, without what Argo puts before it. */
export function namedError(node: Pick<WorkflowNode, "message">): string {
  const text = (node.message ?? "").trim();
  const named = /(?:^|[\s:])([A-Z][A-Za-z]+[A-Za-z0-9]*: \S[\s\S]*)$/.exec(
    text.replace(/^(?:\w[\w-]*: )?(?:Error|OOMKilled|\w+) \(exit code \d+\)(?::\s*)?/, ""),
  )?.[1];
  return named ?? (text === "" ? "it gave no reason" : text);
}

/**
 * The failed steps, the cause first: what came later may be its consequence. A try after which another one succeeded is no
 * failure.
 */
export function failedNodes(workflow: Workflow): WorkflowNode[] {
  const nodes = workflowNodes(workflow);
  const madeGood = new Set(
    nodes
      .filter(({ type, phase }) => type === "Retry" && phase === "Succeeded")
      .flatMap(({ children }) => children ?? []),
  );
  return nodes
    .filter((node) => node.type === "Pod" && hasFailed(node) && !madeGood.has(node.id))
    .sort((left, right) => finished(left) - finished(right));
}

/** Value of an output parameter of a node. */
export function outputOf(node: WorkflowNode, name: string): string | undefined {
  return node.outputs?.parameters?.find((parameter) => parameter.name === name)?.value;
}

/** Value of an input parameter of a node. */
export function inputOf(node: WorkflowNode, name: string): string | undefined {
  return node.inputs?.parameters?.find((parameter) => parameter.name === name)?.value;
}
