import { Command } from "commander";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { type Leftover, loadPreflight } from "./partners";

/** Longest detail shown: enough to know a process by its command line. */
const MAX_DETAIL_LENGTH = 100;

/** `npm run leftovers`: what local environments have on this host; after `destroy` an empty list is the only pass. */
export function createLeftoversCommand(): Command {
  const command = new Command("leftovers")
    .description(
      "List processes, mounts, bridges, namespaces, cgroups and files of local environments on this host.",
    )
    .argument("[stack]", "only those of this environment")
    .action(leftovers);
  return withExamples(command, [
    ["npm run leftovers", "of every environment; after `destroy` there are none"],
    ["npm run leftovers -- local", "of one environment"],
  ]);
}

async function leftovers(stack: string | undefined): Promise<void> {
  const found = await loadPreflight().findLeftovers(stack);
  process.stdout.write(`${renderLeftovers(found)}\n`);
  if (found.length > 0) {
    throw new CommandError("", ExitCode.unexpected);
  }
}

/** `No leftovers ...` or one line for each. */
export function renderLeftovers(found: readonly Leftover[]): string {
  const width = Math.max(0, ...found.map(({ kind }) => kind.length));
  const lines = found.map(({ kind, name, detail }) =>
    `  ${kind.padEnd(width)}  ${name}  ${detail.slice(0, MAX_DETAIL_LENGTH)}`.trimEnd(),
  );
  return found.length === 0
    ? "No leftovers: no process, mount, bridge, namespace, cgroup or file."
    : [`${found.length} things of local environments on this host:`, ...lines].join("\n");
}
