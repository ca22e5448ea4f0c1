import { STAGES, type Stage } from "../../../stacks/spec";
import { parseAccess } from "../accessBundle";
import { CommandError, ExitCode } from "../commandError";
import { followWorkflow } from "../follow";
import { Interrupted, pause } from "../interrupt";
import { getJson, type KubeClient, KubectlError, type OpenCluster } from "../kubeClient";
import { type LedgerEntry, readLedger, stageRecord } from "../ledgerEntries";
import { APP_NAME, stageNamespace, WORKFLOW_NAMESPACE } from "../pipeline";
import type { Print } from "../prepare";
import { clock } from "../progress";
import { submitWorkflow } from "../submit";
import { trainSubmission } from "../train";
import { isOver, type Workflow, type WorkflowNode, workflowNodes } from "../workflowStatus";
import type { Scenario } from "./catalog";
import type { Evidence, Leavings } from "./checks";
import { LoadClient } from "./loadClient";
import { localMachinePower, type MachinePower } from "./machinePower";
import { readAliases } from "./mlflowAliases";
import { contradictions, type Snapshot, takeSnapshot } from "./snapshot";
import { purposeOf, timeShares } from "./timing";

/** How one run of a scenario is made. */
export interface RunArgs {
  readonly cluster: OpenCluster;
  readonly scenario: Scenario;
  readonly print: Print;
  /** Stage that is asked 50 times a second meanwhile. @default none */
  readonly load?: Stage;
  /** How long the lost node stays without power, seconds. */
  readonly downSeconds: number;
  readonly branch?: string;
  readonly by?: string;
  /** @default the machines of this host */
  readonly power?: MachinePower;
}

/** A chain takes four minutes; a lost node adds the time until it is missed and back. */
const DEADLINE_SECONDS = { chain: 20 * 60, lostNode: 30 * 60 };

/** Time given to the cluster to become of one mind after the workflow's end. */
const SETTLE_SECONDS = { chain: 20, lostNode: 240 };
const SETTLE_POLL_MS = 3000;

/** A change takes seconds; the moment in its middle must not be missed. */
const LEDGER_POLL_MS = 500;

/** Answers of a cluster whose node was just lost may fail for this long. */
const ASK_AGAIN_SECONDS = 120;

/** Runs the chain once and gathers all there is to say about it. @throws CommandError when it could not be run */
export async function runScenario(args: RunArgs): Promise<Evidence> {
  const { cluster, scenario, print } = args;
  const { client, stack, signal } = cluster;
  const look = () => snapshotOf(cluster);
  const before = await look();
  refuseUnsettled(before);
  const load = args.load === undefined ? undefined : startLoad(cluster, before, args.load);
  try {
    const submission = trainSubmission({
      scenario: scenario.training,
      ...(args.branch === undefined ? {} : { branch: args.branch }),
      ...(args.by === undefined ? {} : { by: args.by }),
    });
    const name = await submitWorkflow(client, stack, submission);
    print(`Started ${name}.`);
    const outage = scenario.losesNode ? new Outage(args, name) : undefined;
    let workflow: Workflow;
    try {
      workflow = await followWorkflow({
        client,
        stack,
        name,
        print,
        signal,
        deadlineSeconds: scenario.losesNode ? DEADLINE_SECONDS.lostNode : DEADLINE_SECONDS.chain,
        onLook: (seen) => outage?.look(seen),
      });
    } finally {
      await outage?.end();
    }
    const after = await settled(cluster, scenario, print, look);
    const leavings = await readLeavings(client, name);
    return {
      scenario,
      workflow,
      before,
      after,
      leavings,
      shares: timeShares(workflow),
      ...(load === undefined ? {} : { load: { ...(await load.client.stop()), stage: load.stage } }),
      ...(outage?.lostNode === undefined ? {} : { lostNode: outage.lostNode }),
    };
  } finally {
    await load?.client.stop();
  }
}

async function snapshotOf({ client, outputs }: OpenCluster): Promise<Snapshot> {
  const login = (
    outputs["credentials"] as Record<string, { username: string; password: string }> | undefined
  )?.["mlflow"];
  if (login === undefined) {
    throw new CommandError("The environment has no login of MLflow among its outputs. Next: npm run up");
  }
  return await takeSnapshot(client, () => readAliases(client, login));
}

/** A scenario says nothing when the stages were not in order before it. */
function refuseUnsettled(before: Snapshot): void {
  const found = STAGES.flatMap((stage) => contradictions(before, stage).map((text) => `  ${stage}: ${text}`));
  if (found.length > 0) {
    throw new CommandError(
      `The stages are not in order before the scenario:\n${found.join("\n")}\n  next: wait for workflows that run (npm run argo -- list --running), then npm run ledger`,
      ExitCode.refused,
    );
  }
}

function startLoad({ outputs, stack }: OpenCluster, before: Snapshot, stage: Stage) {
  const url = parseAccess(stack, outputs).urls[stage];
  if (before.stages[stage].ledger === undefined || url === undefined) {
    throw new CommandError(
      `--load ${stage}: ${url === undefined ? "it has no public URL" : "it runs nothing yet, so every request would be lost"}.\n  next: npm run scenario -- normal once without --load`,
      ExitCode.refused,
    );
  }
  return { client: new LoadClient(url), stage };
}

/** Looks again until every place says the same, for a bounded time: what is still wrong then is a finding. */
async function settled(
  { signal }: OpenCluster,
  scenario: Scenario,
  print: Print,
  look: () => Promise<Snapshot>,
): Promise<Snapshot> {
  const begun = Date.now();
  const limit = scenario.losesNode ? SETTLE_SECONDS.lostNode : SETTLE_SECONDS.chain;
  let told = false;
  for (;;) {
    const elapsed = (Date.now() - begun) / 1000;
    try {
      const snapshot = await look();
      const settledNow = STAGES.every((stage) => contradictions(snapshot, stage).length === 0);
      if (settledNow || elapsed > limit) {
        return snapshot;
      }
    } catch (error) {
      const mayPass = error instanceof CommandError || error instanceof KubectlError;
      if (!mayPass || error instanceof Interrupted || elapsed > ASK_AGAIN_SECONDS) {
        throw error;
      }
    }
    if (!told) {
      print("The workflow is over; waiting for the cluster to be of one mind.");
      told = true;
    }
    await pause(SETTLE_POLL_MS, signal);
  }
}

async function readLeavings(client: KubeClient, name: string): Promise<Leavings> {
  const selector = ["--selector", `workflows.argoproj.io/workflow=${name}`];
  const [pods, claims] = await Promise.all([
    getJson<{ items: { metadata: { name: string }; status?: { phase?: string } }[] }>(
      client,
      "--namespace",
      WORKFLOW_NAMESPACE,
      "pods",
      ...selector,
    ),
    getJson<{ items: { metadata: { name: string } }[] }>(
      client,
      "--namespace",
      WORKFLOW_NAMESPACE,
      "persistentvolumeclaims",
      ...selector,
    ),
  ]);
  return {
    pods: pods.items
      .filter(({ status }) => status?.phase === "Running" || status?.phase === "Pending")
      .map(({ metadata }) => metadata.name),
    claims: claims.items.map(({ metadata }) => metadata.name),
  };
}

/** The power cut of one worker in the middle of a rollout, and its end. */
export class Outage {
  /** The node, once its power is cut. */
  lostNode: string | undefined;
  private done: Promise<void> | undefined;
  private rollout: WorkflowNode | undefined;
  private over = false;
  private readonly power: MachinePower;
  private readonly begun = Date.now();

  constructor(
    private readonly args: RunArgs,
    private readonly workflow: string,
  ) {
    this.power = args.power ?? localMachinePower(args.cluster.stack);
  }

  /** Called with every look at the workflow: from the first rollout on, waits for the moment to cut. */
  look(workflow: Workflow): void {
    this.over = isOver(workflow);
    this.rollout =
      workflowNodes(workflow).findLast(
        (node) => node.type === "Pod" && node.phase === "Running" && purposeOf(node) === "rollout",
      ) ?? this.rollout;
    if (this.done !== undefined || this.rollout === undefined || this.over) {
      return;
    }
    this.done = this.cutAndRestore();
    // Awaited by `end`; until then a failure is nobody's.
    this.done.catch(() => {});
  }

  /** Waits until the power is back. @throws CommandError when it could not be cut or given back */
  async end(): Promise<void> {
    this.over = true;
    await this.done;
  }

  private async cutAndRestore(): Promise<void> {
    const { cluster, downSeconds } = this.args;
    const change = await this.begunChange();
    if (change === undefined) {
      return;
    }
    const node = await this.chooseNode(change.stage);
    this.power.cut(node);
    this.lostNode = node;
    this.say(
      `cut the power of ${node} while ${change.stage} went to ${change.to?.version ?? "nothing"}; ${downSeconds} s without it`,
    );
    try {
      await pause(downSeconds * 1000, cluster.signal);
    } finally {
      await this.power.restore(node);
    }
    this.say(`${node} has power again`);
    await this.waitReady(node);
    this.say(`${node} is Ready`);
  }

  /** The change of this workflow that is between its first and its last word in the ledger; undefined when there was none. */
  private async begunChange(): Promise<LedgerEntry | undefined> {
    const { client, signal } = this.args.cluster;
    while (!this.over) {
      const ledger = await readLedger(client);
      const open = STAGES.map((stage) => stageRecord(ledger, stage).unfinished).find(
        (entry) => entry?.workflow === this.workflow,
      );
      if (open !== undefined) {
        return open;
      }
      await pause(LEDGER_POLL_MS, signal);
    }
    return undefined;
  }

  /** The worker that runs the change itself, else one that runs the app that is changed, else any. */
  private async chooseNode(stage: Stage): Promise<string> {
    const { client, stack } = this.args.cluster;
    const workers = await readWorkers(client);
    const { items } = await getJson<{ items: { spec: { nodeName?: string } }[] }>(
      client,
      "--namespace",
      stageNamespace(stage),
      "pods",
      "--selector",
      `app=${APP_NAME}`,
    );
    const candidates = [this.rollout?.hostNodeName, ...items.map(({ spec }) => spec.nodeName), ...workers];
    const node = candidates.find((candidate) => candidate !== undefined && workers.includes(candidate));
    if (node === undefined) {
      throw new CommandError(
        `The environment "${stack}" has no worker to lose. Next: add one to nodes in Pulumi.${stack}.yaml and run npm run up`,
        ExitCode.refused,
      );
    }
    return node;
  }

  private async waitReady(node: string): Promise<void> {
    const { client, stack, signal } = this.args.cluster;
    const deadline = Date.now() + ASK_AGAIN_SECONDS * 1000;
    for (;;) {
      try {
        if ((await readNodes(client)).some(({ name, ready }) => name === node && ready)) {
          return;
        }
      } catch (error) {
        if (!(error instanceof KubectlError)) {
          throw error;
        }
      }
      if (Date.now() > deadline) {
        throw new CommandError(
          `${node} has power and is not Ready after ${ASK_AGAIN_SECONDS} s. Next: npm run up -- ${stack}`,
        );
      }
      await pause(SETTLE_POLL_MS, signal);
    }
  }

  private say(text: string): void {
    this.args.print(`${clock((Date.now() - this.begun) / 1000)} ${this.workflow}: ${text}`);
  }
}

interface NodeObject {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

async function readNodes(
  client: KubeClient,
): Promise<{ readonly name: string; readonly ready: boolean; readonly worker: boolean }[]> {
  const { items } = await getJson<{ items: NodeObject[] }>(client, "nodes");
  return items.map(({ metadata, status }) => ({
    name: metadata.name,
    ready: (status?.conditions ?? []).some(
      (condition) => condition.type === "Ready" && condition.status === "True",
    ),
    worker: metadata.labels?.["node-role.kubernetes.io/control-plane"] === undefined,
  }));
}

/** Nodes that may be lost without the API server. */
async function readWorkers(client: KubeClient): Promise<string[]> {
  return (await readNodes(client)).filter(({ worker, ready }) => worker && ready).map(({ name }) => name);
}
