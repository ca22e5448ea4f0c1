import { Command } from "commander";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { getJson, type KubeClient, KubectlError, withCluster } from "./kubeClient";
import { actor, checkReason, WORKFLOW_NAMESPACE } from "./pipeline";
import { DEFAULT_STACK } from "./project";
import { followToEnd } from "./submit";
import {
  findWorkflow,
  inputOf,
  isOver,
  type Workflow,
  type WorkflowNode,
  waitsForPerson,
  workflowNodes,
} from "./workflowStatus";

/** What a person says to a promotion that waits. */
export interface Decision {
  readonly decision: "approve" | "reject";
  readonly reason: string;
  readonly by: string;
}

interface DecideOptions {
  readonly reason: string;
  readonly by?: string;
  readonly wait: boolean;
  readonly stack: string;
}

const DONE: Readonly<Record<Decision["decision"], string>> = { approve: "approved", reject: "rejected" };

/** Somebody else may write the workflow at the same moment: Argo's controller does so all the time. */
const ATTEMPTS = 8;

/** `npm run approve`: lets a waiting promotion go on. */
export function createApproveCommand(): Command {
  return createDecisionCommand(
    "approve",
    "Let a promotion that waits for a person go on.",
    'npm run approve -- --reason "canary was fine for a day"',
  );
}

/** `npm run reject`: ends a waiting promotion. */
export function createRejectCommand(): Command {
  return createDecisionCommand(
    "reject",
    "End a promotion that waits for a person; its stage stays as it is.",
    'npm run reject -- --reason "slower than before"',
  );
}

function createDecisionCommand(name: Decision["decision"], description: string, example: string): Command {
  const command = new Command(name)
    .description(description)
    .argument("[workflow]", "which; not needed when only one waits")
    .requiredOption("--reason <text>", "why; the ledger keeps it")
    .option("--by <name>", "who; otherwise this host's user")
    .option("--wait", "watch until it is over; the exit code tells how it ended", false)
    .option("--stack <name>", "environment", DEFAULT_STACK)
    .action((workflow: string | undefined, options: DecideOptions) => decide(name, workflow, options));
  return withExamples(command, [[example, "the one that waits"]]);
}

async function decide(
  decision: Decision["decision"],
  workflow: string | undefined,
  options: DecideOptions,
): Promise<void> {
  const reason = checkReason(options.reason, `${decision} --`);
  await withCluster(options.stack, async (cluster) => {
    const found = await findWaiting(cluster.client, workflow, decision);
    const { name } = found.workflow.metadata;
    await resume(cluster.client, name, { decision, reason, by: actor(options.by) });
    process.stdout.write(`${DONE[decision]} ${name}: ${describe(found)}\n`);
    if (options.wait) {
      await followToEnd(cluster, name);
    }
  });
}

interface Waiting {
  readonly workflow: Workflow;
  readonly node: WorkflowNode;
}

/** @throws CommandError when nothing waits, or it is not clear which is meant */
export async function findWaiting(
  client: KubeClient,
  name: string | undefined,
  command: string,
): Promise<Waiting> {
  if (name !== undefined) {
    const workflow = await findWorkflow(client, name);
    const node = workflow && waitingNode(workflow);
    if (workflow === undefined || node === undefined) {
      const why =
        workflow === undefined
          ? "does not exist"
          : isOver(workflow)
            ? `is over (${workflow.status?.phase})`
            : "waits for nobody now";
      throw new CommandError(
        `The workflow ${name} ${why}.\n  next: npm run ${command} without a name takes the one that waits`,
        ExitCode.refused,
      );
    }
    return { workflow, node };
  }
  const { items } = await getJson<{ items: Workflow[] }>(
    client,
    "--namespace",
    WORKFLOW_NAMESPACE,
    "workflows.argoproj.io",
    "--selector",
    "workflows.argoproj.io/completed!=true",
  );
  const waiting = items.flatMap((workflow) => {
    const node = waitingNode(workflow);
    return node === undefined ? [] : [{ workflow, node }];
  });
  const [only, ...others] = waiting;
  if (only === undefined) {
    throw new CommandError(
      "No promotion waits for a person.\n  next: npm run promote -- --from canary --to production --version 1.0.N starts one",
      ExitCode.refused,
    );
  }
  if (others.length > 0) {
    const list = waiting.map((one) => `  ${one.workflow.metadata.name}  ${describe(one)}`).join("\n");
    throw new CommandError(
      `${waiting.length} promotions wait:\n${list}\n  next: npm run ${command} -- ${only.workflow.metadata.name} --reason "why"`,
      ExitCode.refused,
    );
  }
  return only;
}

function waitingNode(workflow: Workflow): WorkflowNode | undefined {
  return workflowNodes(workflow).find(waitsForPerson);
}

/** `canary -> production, 1.0.3`, from what the workflow was started with. */
function describe({ workflow, node }: Waiting): string {
  const argument = (name: string) =>
    workflow.spec.arguments?.parameters?.find((parameter) => parameter.name === name)?.value ??
    inputOf(node, name);
  const [source, target, version] = ["source", "target", "version"].map(argument);
  return source && target ? `${source} -> ${target}, ${version ?? "?"}` : node.displayName;
}

/**
 * Does what Argo's own `node set` and `resume` do, in one write, so that nobody sees a decision without its reason: sets the
 * outputs of the waiting step and ends it. A decision made by somebody else in between is never overwritten.
 *
 * @throws CommandError when it no longer waits
 */
export async function resume(client: KubeClient, name: string, decision: Decision): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const { workflow, node } = await findWaiting(client, name, decision.decision);
    const patch = decisionPatch(workflow, node, decision, new Date());
    try {
      await client.run([
        "--namespace",
        WORKFLOW_NAMESPACE,
        "patch",
        "workflows.argoproj.io",
        name,
        "--type",
        "json",
        "--patch",
        JSON.stringify(patch),
      ]);
      return;
    } catch (error) {
      if (!(error instanceof KubectlError && error.isConflict) || attempt === ATTEMPTS) {
        throw error;
      }
    }
  }
}

/** A JSON patch (RFC 6902) that holds only for the version of the workflow it was made from. */
export function decisionPatch(
  workflow: Workflow,
  node: WorkflowNode,
  { decision, reason, by }: Decision,
  now: Date,
): readonly object[] {
  if (workflow.status?.nodes?.[node.id] === undefined) {
    throw new CommandError(
      `The steps of ${workflow.metadata.name} are stored compressed. Next: npm run argo -- node set ${workflow.metadata.name} --node-field-selector id=${node.id} --phase Succeeded --output-parameter decision=${decision} --output-parameter by=${by} --output-parameter reason=...`,
    );
  }
  const path = `/status/nodes/${node.id.replaceAll("~", "~0").replaceAll("/", "~1")}`;
  const values: Readonly<Record<string, string>> = { decision, reason, by };
  const parameters = node.outputs?.parameters ?? [];
  const missing = Object.keys(values).filter(
    (name) => !parameters.some((parameter) => parameter.name === name),
  );
  if (missing.length > 0) {
    throw new CommandError(
      `The step ${node.displayName} of ${workflow.metadata.name} takes no ${missing.join(", ")}: it is no promotion's approval.\n  next: npm run argo -- resume ${workflow.metadata.name}`,
      ExitCode.refused,
    );
  }
  return [
    { op: "test", path: "/metadata/resourceVersion", value: workflow.metadata.resourceVersion },
    {
      op: "add",
      path: `${path}/outputs/parameters`,
      value: parameters.map((parameter) => {
        const { valueFrom, ...rest } = parameter;
        const value = values[parameter.name] ?? parameter.value ?? valueFrom?.default;
        return value === undefined ? parameter : { ...rest, value };
      }),
    },
    { op: "add", path: `${path}/phase`, value: "Succeeded" },
    { op: "add", path: `${path}/message`, value: `${DONE[decision]} by ${by}: ${reason}` },
    { op: "add", path: `${path}/finishedAt`, value: now.toISOString().replace(/\.\d+Z$/, "Z") },
  ];
}
