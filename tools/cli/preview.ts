import { Command } from "commander";
import { ChangeCollector, changesOf } from "./changes";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { machineRisks, renderRisks } from "./machineRisks";
import { runGraph } from "./operation";
import {
  checkSettings,
  openStack,
  openState,
  pluginsOf,
  printProgress,
  stackArguments,
  startMachineChecks,
  withBundle,
} from "./prepare";
import { DEFAULT_STACK } from "./project";

interface PreviewOptions {
  readonly diff: boolean;
  readonly json: boolean;
  readonly expectNoChanges: boolean;
}

/** `npm run preview`: what `up` would do. Changes nothing. */
export function createPreviewCommand(): Command {
  const command = new Command("preview")
    .description("Show what `up` would change. Changes nothing.")
    .argument("[stack]", "environment; its settings are Pulumi.<stack>.yaml", DEFAULT_STACK)
    .option("--diff", "every property that differs, as the engine prints it", false)
    .option("--json", "the engine's preview as JSON, for programs", false)
    .option("--expect-no-changes", "exit with code 3 when anything would change", false)
    .action(preview);
  return withExamples(command, [
    ["npm run preview", "one line for each change"],
    ["npm run preview -- mystack --diff", "with old and new values"],
    [
      "npm run -s preview -- --expect-no-changes",
      "in CI: fails when the environment has drifted from its settings",
    ],
  ]);
}

async function preview(stack: string, options: PreviewOptions): Promise<void> {
  const { file, spec } = checkSettings(stack);
  const access = await withBundle(
    await openStack(stack, printProgress, pluginsOf(spec.infra.kind)),
    spec.infra.kind,
  );
  await openState(access, true);
  const stackArgs = stackArguments(access, file);
  const changes = new ChangeCollector();
  const running = runGraph(access, {
    operation: "preview",
    kind: "preview",
    arguments: [
      ...stackArgs,
      ...(options.diff ? ["--diff"] : []),
      ...(options.json ? ["--json"] : []),
      "--suppress-outputs",
    ],
    onEvent: (event) => changes.take(event),
  });
  const result = await running.catch(async (error: Error) => {
    // What the cloud says of a name it does not know tells nobody which setting is wrong: the checks do.
    await (await startMachineChecks(spec)).passed;
    throw error;
  });
  const text = options.json || options.diff ? result.stdout.trimEnd() : changesOf(changes);
  process.stdout.write(`${text}\n`);
  const risks = machineRisks(changes.changes, spec);
  if (risks.length > 0) printProgress(renderRisks(risks));
  if (options.expectNoChanges && changes.changes.length > 0) {
    throw new CommandError(`Expected no changes, found ${changes.changes.length}.`, ExitCode.unexpected);
  }
}
