import { createInterface } from "node:readline/promises";
import { Command } from "commander";
import type { Session } from "../../infra/openstack/api/session";
import { findRemains, type Remain, removeRemains } from "../../infra/openstack/audit";
import { nothingExists } from "../../infra/openstack/existing";
import { openProject } from "./cloudProject";
import { type CloudSettings, readCloudSettings } from "./cloudSettings";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { existingOf } from "./openstackState";
import { printProgress, readState } from "./prepare";
import { seconds } from "./progress";
import { DEFAULT_STACK } from "./project";
import { countOf, renderRemains } from "./renderRemains";

interface AuditOptions {
  readonly remove: boolean;
  readonly yes: boolean;
  readonly json: boolean;
  readonly cloud?: string;
}

/** `npm run audit`: what an environment has in its OpenStack project; after `destroy` nothing is the only pass. */
export function createAuditCommand(): Command {
  const command = new Command("audit")
    .description("List what bears an environment's mark or names in its OpenStack project; can remove it.")
    .argument("[stack]", "environment", DEFAULT_STACK)
    .option("--remove", "remove it all, in the order in which OpenStack lets go", false)
    .option("-y, --yes", "do not ask", false)
    .option("--json", "print the list as JSON", false)
    .option("--cloud <name>", "entry of clouds.yaml, whatever the settings say")
    .action(audit);
  return withExamples(command, [
    ["npm run audit -- chameleon", "exit code 0 when nothing is left, 3 when something is"],
    ["npm run audit -- chameleon --remove", "asks first"],
    ["npm run audit -- gone --cloud openstack", "an environment without settings file"],
  ]);
}

async function audit(stack: string, options: AuditOptions): Promise<void> {
  const settings = readCloudSettings(stack, options.cloud);
  const session = await openProject(settings.cloud);
  try {
    const remains = await findRemains(session, stack, settings);
    const left =
      options.remove && remains.length > 0
        ? await remove(session, stack, settings, remains, options)
        : remains;
    process.stdout.write(
      `${options.json ? JSON.stringify(left, undefined, 2) : renderRemains(stack, left)}\n`,
    );
    if (left.length > 0) throw new CommandError("", ExitCode.unexpected);
  } finally {
    session.close();
  }
}

/** @returns what is still there */
async function remove(
  session: Session,
  stack: string,
  settings: CloudSettings,
  remains: readonly Remain[],
  options: AuditOptions,
): Promise<readonly Remain[]> {
  if (!options.yes) await confirm(stack, remains);
  const began = Date.now();
  await removeRemains(session, remains, { onProgress: printProgress });
  printProgress(`Removed ${countOf(remains)} in ${seconds((Date.now() - began) / 1000)}.`);
  return await findRemains(session, stack, settings);
}

async function confirm(stack: string, remains: readonly Remain[]): Promise<void> {
  const state = existingOf(await readState(stack));
  const lives = nothingExists(state)
    ? ""
    : `\n"${stack}" is in the state of this checkout; npm run destroy -- ${stack} removes it and keeps the state right.`;
  printProgress(`${renderRemains(stack, remains)}${lives}`);
  if (!process.stdin.isTTY) {
    throw new CommandError(
      "This removes all of it. Next: run it with --yes, there is no terminal to ask on.",
      ExitCode.refused,
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`This removes all of it. Type "${stack}" to go on: `);
  terminal.close();
  if (answer.trim() !== stack) throw new CommandError("Nothing was removed.", ExitCode.refused);
}
