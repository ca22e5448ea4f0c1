import { Command } from "commander";
import type { EnvironmentSpec } from "../../stacks/spec";
import { ChangeCollector, changesOf } from "./changes";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { runGraph } from "./operation";
import { readOutputs } from "./outputs";
import {
  checkHost,
  checkSettings,
  openStack,
  openState,
  printProgress,
  type StackAccess,
  stackArguments,
  withBundle,
} from "./prepare";
import { seconds } from "./progress";
import { DEFAULT_STACK } from "./project";
import { renderSummary } from "./summary";
import { readTimings } from "./timings";

interface UpOptions {
  readonly preview: boolean;
  readonly refresh: boolean;
  readonly replace: readonly string[];
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
  await checkHost(spec);
  const access = await withBundle(await openStack(stack));
  const state = await openState(access, true);
  const resources = state?.resources ?? 0;
  const stackArgs = [
    ...stackArguments(access, file),
    ...options.replace.flatMap((node) => ["--replace", machineUrn(node, spec, state?.machines ?? {})]),
  ];
  const created = readTimings(access.paths.timings)[`create:${stack}`];
  let expected = Math.max(resources, Object.keys(created?.finished ?? {}).length);
  // The first time nobody knows how much there is to do, and a wrong plan is best found before anything is made.
  if (options.preview || expected === 0) {
    const plan = await previewChanges(access, stackArgs);
    expected = plan.count;
    if (options.preview) {
      printProgress(changesOf(plan));
    }
  }
  const result = await runGraph(access, {
    operation: "up",
    kind: resources === 0 ? "create" : "change",
    expected,
    arguments: [
      ...stackArgs,
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

async function previewChanges(access: StackAccess, stackArgs: readonly string[]): Promise<ChangeCollector> {
  const changes = new ChangeCollector();
  await runGraph(access, {
    operation: "preview",
    kind: "preview",
    arguments: stackArgs,
    onEvent: (event) => changes.take(event),
  });
  return changes;
}

/** @throws CommandError when the environment has no such node, or not yet a machine for it */
function machineUrn(node: string, spec: EnvironmentSpec, machines: Readonly<Record<string, string>>): string {
  const urn = machines[node];
  if (spec.nodes[node] === undefined || urn === undefined) {
    throw new CommandError(
      `--replace ${node}: the environment has no machine of that name to replace. Allowed: ${Object.keys(machines).join(", ") || "none yet"}.`,
      ExitCode.refused,
    );
  }
  return urn;
}
