import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import { kindOf } from "../../stacks/infraFields";
import { removeAccessFiles } from "./accessBundle";
import { readCloudSettings } from "./cloudSettings";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { forgetMissing } from "./forgetMissing";
import { renderLeftovers } from "./leftovers";
import { runGraph } from "./operation";
import { loadCloudProject, loadPreflight } from "./partners";
import {
  exportState,
  GONE_OPTION,
  giveUpHosts,
  openStack,
  openState,
  pluginsOf,
  printProgress,
  removeStack,
  type StackAccess,
  stackArguments,
} from "./prepare";
import { seconds } from "./progress";
import { DEFAULT_STACK } from "./project";
import { projectSettings, readSettingsFile } from "./settings";
import { removeSnapshots } from "./state";

interface DestroyOptions {
  readonly yes: boolean;
  readonly gone: readonly string[];
  readonly forget: boolean;
}

/** `npm run destroy`: removes an environment, then looks whether anything of it is left on this host. */
export function createDestroyCommand(): Command {
  const command = new Command("destroy")
    .description(
      "Remove an environment and all its data, then list what is left of it on this host or in its project (nothing).",
    )
    .argument("[stack]", "environment", DEFAULT_STACK)
    .option("-y, --yes", "do not ask", false)
    .option(...GONE_OPTION)
    .option("--forget", "its machines or its project are gone for good: remove its state, ask nobody", false)
    .action(destroy);
  return withExamples(command, [
    ["npm run destroy", "asks first"],
    ["npm run destroy -- mystack --yes", "does not ask, for scripts"],
    ["npm run destroy -- mystack --forget", "its OpenStack project was closed, and what was in it with it"],
  ]);
}

async function destroy(stack: string, options: DestroyOptions): Promise<void> {
  // Settings are not checked: an environment must be removable whatever they say now.
  const file = readSettingsFile(stack);
  const kind = kindOf(projectSettings(file.content["config"])["infra"], "local");
  const access = await openStack(stack, printProgress, pluginsOf(kind));
  const state = await openState(access, false);
  const resources = state?.resources ?? 0;
  if (options.forget) {
    if (!options.yes && resources > 0)
      await confirm(`This forgets "${stack}" (${resources} resources)`, stack);
    await forget(access);
    if (kind === "local") proveHost(stack);
    return;
  }
  await giveUpHosts(access, options.gone);
  refuseProtected(stack, state?.protectedNames ?? []);
  if (resources > 0) {
    const missing = kind === "openstack" ? await missingThings(access) : [];
    if (!options.yes) {
      await confirm(`This removes "${stack}" (${resources} resources) with all its data`, stack);
    }
    await forgetMissing(access, stackArguments(access, file), missing);
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
  removeFiles(access);
  if (kind === "openstack") await proveProject(stack);
  if (kind === "local") proveHost(stack);
}

/** The state goes, and what this checkout knows of the environment; what is elsewhere stays. */
async function forget(access: StackAccess): Promise<void> {
  await removeStack(access);
  removeFiles(access);
  printProgress(`Forgot "${access.stack}". What is left of it elsewhere, if anything, is nobody's now.`);
}

/** What this checkout keeps of an environment besides its state. */
function removeFiles({ paths, stack }: StackAccess): void {
  removeAccessFiles(paths, stack);
  removeSnapshots(paths, stack);
}

/** What is in the state and not in its project any more. @throws ProblemsError when it is another project */
async function missingThings(access: StackAccess): Promise<readonly string[]> {
  const { cloud } = readCloudSettings(access.stack, undefined);
  return loadCloudProject().missingFromProject(cloud, access.stack, await exportState(access));
}

/** @throws CommandError when something is kept from removal; the engine would find it only half way through */
function refuseProtected(stack: string, names: readonly string[]): void {
  if (names.length === 0) return;
  throw new CommandError(
    `${names.join(", ")} ${names.length === 1 ? "holds" : "hold"} data and ${names.length === 1 ? "is" : "are"} protected; nothing was removed. ` +
      `Next: set infra.bootVolume.discard: true in Pulumi.${stack}.yaml, run npm run up -- ${stack}, then the same command again.`,
    ExitCode.refused,
  );
}

/** Nothing of the environment may be left on this host. @throws CommandError otherwise */
function proveHost(stack: string): void {
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

/** Nothing of the environment may be left in its OpenStack project. @throws CommandError otherwise */
async function proveProject(stack: string): Promise<void> {
  const { auditProject, renderRemains } = loadCloudProject();
  const remains = await auditProject(readCloudSettings(stack, undefined), stack, printProgress);
  process.stdout.write(`${renderRemains(stack, remains)}\n`);
  if (remains.length > 0) {
    throw new CommandError(
      `Something of "${stack}" is left in the project. Next: npm run audit -- ${stack} --remove`,
      ExitCode.unexpected,
    );
  }
}

async function confirm(what: string, stack: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new CommandError(
      `${what}. Next: run it with --yes, there is no terminal to ask on.`,
      ExitCode.refused,
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${what}. Type its name to go on: `);
  terminal.close();
  if (answer.trim() !== stack) {
    throw new CommandError("Nothing was removed.", ExitCode.refused);
  }
}
