import { Command } from "commander";
import { homeNode } from "../../components/homeNode";
import type { EnvironmentSpec } from "../../stacks/spec";
import { ChangeCollector, changesOf } from "./changes";
import type { CloudFindings, CloudProject } from "./cloudProject";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { forgetMissing } from "./forgetMissing";
import { type MachineRisk, machineRisks, makesMachine, renderRisks } from "./machineRisks";
import { runGraph } from "./operation";
import { readOutputs } from "./outputs";
import { loadCloudProject } from "./partners";
import { nodeOfMachine } from "./pending";
import {
  checkExistingHosts,
  checkSettings,
  GONE_OPTION,
  giveUpHosts,
  openStack,
  openState,
  pluginsOf,
  printProgress,
  type StackAccess,
  stackArguments,
  startMachineChecks,
  withBundle,
  withVariables,
} from "./prepare";
import { seconds } from "./progress";
import { DEFAULT_STACK } from "./project";
import { renderSummary } from "./summary";
import { readTimings } from "./timings";

interface UpOptions {
  readonly preview: boolean;
  readonly refresh: boolean;
  readonly replace: readonly string[];
  readonly discard: boolean;
  readonly gone: readonly string[];
}

/** `npm run up`: makes an environment, or changes it to what its settings say. */
export function createUpCommand(): Command {
  const command = new Command("up")
    .description(
      "Bring an environment up, or change it to what its settings say. Can be run again at any time.",
    )
    .argument("[stack]", "environment; its settings are Pulumi.<stack>.yaml", DEFAULT_STACK)
    .option("--preview", "show what would change before changing it", false)
    .option(
      "--replace <node>",
      "make this node's machine anew: drained, removed, created, joined; can be given again",
      (node: string, nodes: readonly string[]) => [...nodes, node],
      [] as readonly string[],
    )
    .option("--refresh", "compare the state with what is really there first", false)
    .option(...GONE_OPTION)
    .option("--discard", "go on where data on a machine would be lost", false)
    .action(up);
  return withExamples(command, [
    ["npm run up", "the environment `local`: three machines on this host"],
    ["npm run up -- mystack", "the environment of Pulumi.mystack.yaml"],
    ["npm run up -- --preview", "show the changes first"],
    ["npm run up -- --replace node2", "a new machine for node2, nothing else touched"],
  ]);
}

async function up(stack: string, options: UpOptions): Promise<void> {
  const started = Date.now();
  const { file, spec } = checkSettings(stack);
  const { project, passed, refusal } = await startMachineChecks(spec);
  const opened = await openStack(stack, printProgress, pluginsOf(spec.infra.kind), passed);
  await checkExistingHosts(spec, opened, file);
  let access = await withBundle(opened, spec.infra.kind, printProgress, passed);
  // Opening the state forgets what a killed run was in the middle of; should a check fail, the next run has to know of it still.
  if (project?.existing.pendingOperations) await passed;
  const state = await openState(access, true);
  await giveUpHosts(access, options.gone);
  const resources = state?.resources ?? 0;
  const stackArgs = stackArguments(access, file);
  if (options.discard) access = withVariables(access, { GOURMETGRAM_DISCARD: "1" });
  const asked = options.replace.map((node) => machineUrn(node, spec, state?.machines ?? {}));
  const created = readTimings(access.paths.timings)[`create:${stack}`];
  let expected = Math.max(resources, Object.keys(created?.finished ?? {}).length);
  // The first time nobody knows how much there is to do, and a wrong plan is best found before anything is made. Elsewhere than on
  // this host a machine that goes takes more along than the user may think.
  const needsPlan = options.preview || expected === 0 || spec.infra.kind !== "local";
  const early = needsPlan ? startPreview(access, [...stackArgs, ...replacing(asked)]) : undefined;
  const findings = await settled(project, passed).catch(async (error: Error) => {
    await early?.stop();
    throw error;
  });
  const outdated = findings !== undefined && findings.missing.length + findings.failed.length > 0;
  if (outdated) {
    await early?.stop();
    if (findings.homeIsGone) access = withVariables(access, { GOURMETGRAM_DISCARD: "1" });
    // With the first control plane all that was in the cluster is gone too.
    const missing = findings.homeIsGone ? "all" : findings.missing;
    await forgetMissing(access, stackArgs, missing);
  }
  const replaced = [...asked, ...(findings?.failed ?? [])];
  if (early) {
    const again = () => startPreview(access, [...stackArgs, ...replacing(replaced)]);
    // What the graph looks up and the checks miss is told by the checks.
    const plan = await (outdated ? again() : early).plan.catch(async (error: Error) => {
      throw (await refusal) ?? error;
    });
    expected = plan.count;
    if (options.preview) {
      printProgress(changesOf(plan));
    }
    const refused = await refusal;
    if (refused !== undefined && plan.changes.some(makesMachine)) throw refused;
    const risks = machineRisks(plan.changes, spec);
    if (risks.length > 0) printProgress(renderRisks(risks));
    refuseLosses(risks, replaced.map(nodeOfMachine), options.discard);
  }
  const result = await runGraph(access, {
    operation: "up",
    kind: resources === 0 ? "create" : "change",
    expected,
    arguments: [
      ...stackArgs,
      ...replacing(replaced),
      "--yes",
      "--skip-preview",
      "--suppress-outputs",
      ...(options.refresh ? ["--refresh", "--run-program"] : []),
    ],
  });
  const outputs = await readOutputs(access, false);
  const took = (Date.now() - started) / 1000;
  process.stdout.write(
    `${renderSummary(stack, outputs, { changes: result.changes, took: seconds(took) })}\n`,
  );
}

/** What an open project has to say, once its checks have passed. */
async function settled(
  project: CloudProject | undefined,
  passed: Promise<void>,
): Promise<CloudFindings | undefined> {
  await passed;
  return project && (await loadCloudProject().settleProject(project, printProgress));
}

function replacing(urns: readonly string[]): string[] {
  return urns.flatMap((urn) => ["--replace", urn]);
}

/** @throws CommandError when data would end that nobody said may end */
function refuseLosses(
  risks: readonly MachineRisk[],
  asked: readonly (string | undefined)[],
  discard: boolean,
): void {
  const losses = risks.filter(({ loses, node }) => loses && !asked.includes(node));
  if (losses.length === 0 || discard) return;
  throw new CommandError(
    `This would lose data on ${losses.map(({ node }) => node).join(", ")}; nothing was changed. ` +
      "Next: save what is needed, then run the same command with --discard; or take the change back.",
    ExitCode.refused,
  );
}

/** A preview that goes on beside other work. */
interface RunningPreview {
  readonly plan: Promise<ChangeCollector>;
  /** Ends it without a word, because its result is of no use. */
  stop(): Promise<void>;
}

function startPreview(access: StackAccess, stackArgs: readonly string[]): RunningPreview {
  const controller = new AbortController();
  const plan = previewChanges(access, stackArgs, controller.signal);
  const ended = plan.then(
    () => {},
    // Told where the plan is waited for, which may be later than it happens.
    () => {},
  );
  return {
    plan,
    stop: () => {
      controller.abort();
      return ended;
    },
  };
}

async function previewChanges(
  access: StackAccess,
  stackArgs: readonly string[],
  signal: AbortSignal,
): Promise<ChangeCollector> {
  const changes = new ChangeCollector();
  await runGraph(access, {
    operation: "preview",
    kind: "preview",
    arguments: stackArgs,
    signal,
    onEvent: (event) => changes.take(event),
  });
  return changes;
}

/** @throws CommandError when the environment has no such node, or not yet a machine for it */
function machineUrn(node: string, spec: EnvironmentSpec, machines: Readonly<Record<string, string>>): string {
  const urn = machines[node];
  const controlPlanes = Object.values(spec.nodes).filter(({ role }) => role === "controlPlane").length;
  if (controlPlanes > 1 && node === homeNode(spec.nodes)) {
    throw new CommandError(
      `--replace ${node}: the first of ${controlPlanes} control planes founds the cluster, and a new one would found a second beside the others. ` +
        "Next: replace another node, or go down to one control plane first.",
      ExitCode.refused,
    );
  }
  if (spec.nodes[node] === undefined || urn === undefined) {
    throw new CommandError(
      `--replace ${node}: the environment has no machine of that name to replace. Allowed: ${Object.keys(machines).join(", ") || "none yet"}.`,
      ExitCode.refused,
    );
  }
  return urn;
}
