import { CommandError } from "./commandError";
import { Interrupted, pause } from "./interrupt";
import { type KubeClient, KubectlError } from "./kubeClient";
import type { Print } from "./prepare";
import { clock, seconds } from "./progress";
import {
  failedNodes,
  findWorkflow,
  hasFailed,
  isLeaf,
  isOver,
  namedError,
  nodeSeconds,
  nodeTitle,
  type Workflow,
  type WorkflowNode,
  waitsForPerson,
  workflowNodes,
} from "./workflowStatus";

/** How often a workflow is looked at. */
const POLL_MS = 2000;

/** A cluster that does not answer is asked again for this long: its control plane may be restarting. */
const UNREACHABLE_SECONDS = 180;

/** Silence longer than this is explained. */
const QUIET_SECONDS = 20;

export interface FollowArgs {
  readonly client: KubeClient;
  readonly stack: string;
  /** Name of the workflow. */
  readonly name: string;
  readonly print: Print;
  readonly signal?: AbortSignal;
  /** Sees every look at the workflow, before its news are printed. */
  readonly onLook?: (workflow: Workflow) => void;
  /** Give up after this long. @default never: a person may have to decide */
  readonly deadlineSeconds?: number;
  /** @default 2000 */
  readonly pollMs?: number;
}

/**
 * Tells what a workflow does until it is over.
 *
 * @returns the workflow as it ended, whether well or not
 * @throws CommandError when it is gone, or does not end in time
 */
export async function followWorkflow(args: FollowArgs): Promise<Workflow> {
  const begun = Date.now();
  const now = () => (Date.now() - begun) / 1000;
  const news = new WorkflowNews(args.stack);
  let answeredAt = now();
  let toldAt = now();
  for (;;) {
    try {
      const workflow = await findWorkflow(args.client, args.name);
      if (workflow === undefined) {
        throw new CommandError(
          `The workflow ${args.name} is gone. Next: npm run argo -- --stack ${args.stack} archive list`,
        );
      }
      answeredAt = now();
      args.onLook?.(workflow);
      const lines = news.take(workflow);
      for (const line of lines) {
        args.print(`${clock(now())} ${line}`);
      }
      if (isOver(workflow)) {
        return workflow;
      }
      toldAt = lines.length > 0 ? now() : toldAt;
      if (now() - toldAt >= QUIET_SECONDS) {
        toldAt = now();
        args.print(`${clock(now())} ${news.summary(workflow)}`);
      }
    } catch (error) {
      if (!(error instanceof KubectlError && error.isUnreachable)) {
        throw error;
      }
      if (now() - answeredAt > UNREACHABLE_SECONDS) {
        throw error;
      }
      if (now() - toldAt >= QUIET_SECONDS) {
        toldAt = now();
        args.print(`${clock(now())} the cluster does not answer; asking again`);
      }
    }
    if (args.deadlineSeconds !== undefined && now() > args.deadlineSeconds) {
      throw new CommandError(
        `The workflow ${args.name} did not end within ${seconds(args.deadlineSeconds)}. Next: npm run argo -- --stack ${args.stack} get ${args.name}`,
      );
    }
    try {
      await pause(args.pollMs ?? POLL_MS, args.signal);
    } catch {
      throw new Interrupted(
        `No longer watching ${args.name}; it goes on. Next: npm run argo -- --stack ${args.stack} watch ${args.name}`,
      );
    }
  }
}

/** Turns looks at one workflow into lines: what began, what ended, what waits. */
export class WorkflowNews {
  private readonly told = new Map<string, string>();

  constructor(private readonly stack: string) {}

  take(workflow: Workflow): string[] {
    return workflowNodes(workflow)
      .filter((node) => isLeaf(node) || node.synchronizationStatus?.waiting)
      .flatMap((node) => {
        const line = this.describe(workflow, node);
        if (line === undefined || this.told.get(node.id) === line) {
          return [];
        }
        this.told.set(node.id, line);
        return [line];
      });
  }

  /** What goes on while there is no news. */
  summary(workflow: Workflow): string {
    const running = workflowNodes(workflow).filter(
      (node) => isLeaf(node) && (node.phase === "Running" || node.phase === "Pending"),
    );
    return running.length === 0
      ? `${workflow.metadata.name} is ${workflow.status?.phase || "not begun"}${workflow.status?.message ? `: ${workflow.status.message}` : ""}`
      : running
          .map((node) => `${nodeTitle(node)} ${waiting(node)} (${seconds(nodeSeconds(node))})`)
          .join(", ");
  }

  private describe(workflow: Workflow, node: WorkflowNode): string | undefined {
    const title = nodeTitle(node);
    const lock = node.synchronizationStatus?.waiting;
    if (lock) {
      return `${title} waits for another workflow to let go of ${lock.split("/").at(-1)}`;
    }
    if (!isLeaf(node)) {
      return undefined;
    }
    if (waitsForPerson(node)) {
      return `${title} waits for a person. Next: npm run approve -- ${workflow.metadata.name} --stack ${this.stack} --reason "why", or npm run reject`;
    }
    switch (node.phase) {
      case "Pending":
        return node.message ? `${title} cannot start yet: ${node.message}` : undefined;
      case "Running":
        return `${title} runs${node.hostNodeName ? ` on ${node.hostNodeName}` : ""}`;
      case "Succeeded":
        return `${title} is done in ${seconds(nodeSeconds(node))}`;
      default:
        return hasFailed(node) ? `${title} FAILED: ${namedError(node)}` : undefined;
    }
  }
}

function waiting(node: WorkflowNode): string {
  if (waitsForPerson(node)) {
    return "waits for a person";
  }
  return node.phase === "Pending" ? "is being started" : "runs";
}

/** How a workflow ended, for people: one line, or the error of every failed step with the cause first. */
export function renderEnd(workflow: Workflow, stack: string): string {
  const { name } = workflow.metadata;
  const { phase, message, startedAt, finishedAt } = workflow.status ?? {};
  const took =
    startedAt && finishedAt
      ? ` after ${seconds((Date.parse(finishedAt) - Date.parse(startedAt)) / 1000)}`
      : "";
  if (phase === "Succeeded") {
    return `${name} succeeded${took}.`;
  }
  const failed = failedNodes(workflow);
  const errors =
    failed.length > 0
      ? failed.map((node) => `  ${nodeTitle(node)}: ${namedError(node)}`)
      : [`  ${message || "Argo gives no reason"}`];
  return [
    `${name} ended as ${phase}${took}:`,
    ...errors,
    `  next: npm run argo -- --stack ${stack} logs ${name} shows what each step said; npm run ledger what each stage runs`,
  ].join("\n");
}
