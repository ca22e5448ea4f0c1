import { Command } from "commander";
import { ChangeCollector, changesOf } from "./changes";
import { withExamples } from "./examples";
import { runGraph } from "./operation";
import { readOutputs } from "./outputs";
import {
  checkHost,
  checkSettings,
  openStack,
  openState,
  printProgress,
  stackArguments,
  withBundle,
} from "./prepare";
import { seconds } from "./progress";
import { DEFAULT_STACK } from "./project";
import { renderSummary } from "./summary";

interface UpOptions {
  readonly preview: boolean;
  readonly refresh: boolean;
}

/** `npm run up`: makes an environment, or changes it to what its settings say. */
export function createUpCommand(): Command {
  const command = new Command("up")
    .description(
      "Bring an environment up, or change it to what its settings say. Can be run again at any time.",
    )
    .argument("[stack]", "environment; its settings are Pulumi.<stack>.yaml", DEFAULT_STACK)
    .option("--preview", "show what would change before changing it", false)
    .option("--refresh", "compare the state with what is really there first", false)
    .action(up);
  return withExamples(command, [
    ["npm run up", "the environment `local`: three machines on this host"],
    ["npm run up -- mystack", "the environment of Pulumi.mystack.yaml"],
    ["npm run up -- --preview", "show the changes first"],
  ]);
}

async function up(stack: string, options: UpOptions): Promise<void> {
  const started = Date.now();
  const { file, spec } = checkSettings(stack);
  await checkHost(spec);
  const access = await withBundle(await openStack(stack));
  const state = await openState(access, true);
  const stackArgs = stackArguments(access, file);
  if (options.preview) {
    const changes = new ChangeCollector();
    await runGraph(access, {
      operation: "preview",
      kind: "preview",
      arguments: stackArgs,
      onEvent: (event) => changes.take(event),
    });
    printProgress(changesOf(changes));
  }
  const resources = state?.resources ?? 0;
  const result = await runGraph(access, {
    operation: "up",
    kind: resources === 0 ? "create" : "change",
    ...(resources === 0 ? {} : { expected: resources }),
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
