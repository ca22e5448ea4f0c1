import { Command } from "commander";
import { ChangeCollector, changesOf } from "./changes";
import { withExamples } from "./examples";
import { runGraph } from "./operation";
import {
  checkSettings,
  openStack,
  openState,
  pluginsOf,
  printProgress,
  stackArguments,
  withBundle,
} from "./prepare";
import { DEFAULT_STACK } from "./project";

/** `npm run refresh`: reads what is really there into the state. Changes nothing outside. */
export function createRefreshCommand(): Command {
  const command = new Command("refresh")
    .description(
      "Read what is really there into the state. Changes no resource; run `up` to repair what differs.",
    )
    .argument("[stack]", "environment", DEFAULT_STACK)
    .action(refresh);
  return withExamples(command, [["npm run refresh", "after something was changed or removed by hand"]]);
}

async function refresh(stack: string): Promise<void> {
  const { file, spec } = checkSettings(stack);
  const access = await withBundle(
    await openStack(stack, printProgress, pluginsOf(spec.infra.kind)),
    spec.infra.kind,
  );
  const state = await openState(access, false);
  if (state === undefined || state.resources === 0) {
    printProgress(`There is nothing in the state of "${stack}". Next: npm run up -- ${stack}`);
    return;
  }
  const changes = new ChangeCollector();
  await runGraph(access, {
    operation: "refresh",
    kind: "refresh",
    expected: state.resources,
    // The program runs, so that providers have the credentials of this run and not those of a former one.
    arguments: [
      ...stackArguments(access, file),
      "--yes",
      "--skip-preview",
      "--suppress-outputs",
      "--run-program",
    ],
    onEvent: (event) => changes.take(refreshed(event)),
  });
  process.stdout.write(`${changesOf(changes)}\n`);
}

/** A refresh tells what it found after reading, in the outputs event. */
function refreshed(event: Parameters<ChangeCollector["take"]>[0]): Parameters<ChangeCollector["take"]>[0] {
  const { resOutputsEvent, timestamp } = event;
  return resOutputsEvent === undefined ? { timestamp } : { timestamp, resourcePreEvent: resOutputsEvent };
}
