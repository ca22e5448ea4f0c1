import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { removeAccessFiles } from "./accessBundle";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { renderLeftovers } from "./leftovers";
import { runGraph } from "./operation";
import { loadPreflight } from "./partners";
import { openStack, openState, printProgress, stackArguments } from "./prepare";
import { seconds } from "./progress";
import { DEFAULT_STACK } from "./project";
import { readSettingsFile } from "./settings";

interface DestroyOptions {
  readonly yes: boolean;
}

/** `npm run destroy`: removes an environment, then looks whether anything of it is left on this host. */
export function createDestroyCommand(): Command {
  const command = new Command("destroy")
    .description(
      "Remove an environment and all its data, then list what is left of it on this host (nothing).",
    )
    .argument("[stack]", "environment", DEFAULT_STACK)
    .option("-y, --yes", "do not ask", false)
    .action(destroy);
  return withExamples(command, [
    ["npm run destroy", "asks first"],
    ["npm run destroy -- mystack --yes", "does not ask, for scripts"],
  ]);
}

async function destroy(stack: string, options: DestroyOptions): Promise<void> {
  // Settings are not checked: an environment must be removable whatever they say now.
  const file = readSettingsFile(stack);
  const access = await openStack(stack);
  const state = await openState(access, false);
  const resources = state?.resources ?? 0;
  if (resources > 0) {
    if (!options.yes) {
      await confirm(stack, resources);
    }
    const result = await runGraph(access, {
      operation: "destroy",
      kind: "destroy",
      expected: resources,
      arguments: [...stackArguments(access, file), "--yes", "--skip-preview", "--suppress-outputs"],
    });
    printProgress(`Removed "${stack}": ${result.changes} resources in ${seconds(result.seconds)}.`);
  } else {
    printProgress(`There is nothing in the state of "${stack}".`);
  }
  removeAccessFiles(access.paths, stack);
  const preflight = loadPreflight();
  if (preflight.findLeftovers(stack).length > 0) {
    // A killed run made something the state never learned of; the state is empty now, so nobody else removes it.
    printProgress("Removing what a killed run left outside the state.");
    preflight.removeLeftovers(stack);
  }
  const leftovers = preflight.findLeftovers(stack);
  process.stdout.write(`${renderLeftovers(leftovers)}\n`);
  if (leftovers.length > 0) {
    throw new CommandError(
      `Something of "${stack}" is left on this host. Next: run the same command again, or remove it by hand.`,
      ExitCode.unexpected,
    );
  }
}

async function confirm(stack: string, resources: number): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new CommandError(
      `This removes "${stack}" (${resources} resources) with all its data. Next: run it with --yes, there is no terminal to ask on.`,
      ExitCode.refused,
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(
    `This removes "${stack}" (${resources} resources) with all its data. Type its name to go on: `,
  );
  terminal.close();
  if (answer.trim() !== stack) {
    throw new CommandError("Nothing was removed.", ExitCode.refused);
  }
}
