import { Command } from "commander";
import { withExamples } from "./examples";
import { findBundleProgram, runAttached, withKubeconfig } from "./kubeconfig";
import { DEFAULT_STACK } from "./project";

/** Commands that hand everything but the environment to another program. */
const PASSING_ON: readonly string[] = ["kubectl", "argo"];

/** `npm run kubectl -- ...`: the bundle's kubectl with the environment's admin credentials. */
export function createKubectlCommand(): Command {
  const command = new Command("kubectl")
    .description("Run kubectl against an environment's cluster, with its admin credentials.")
    .option("--stack <name>", "environment; before kubectl's own arguments", DEFAULT_STACK)
    .argument("[arguments...]", "arguments of kubectl")
    .passThroughOptions()
    .allowUnknownOption()
    .action(kubectl);
  return withExamples(command, [
    ["npm run kubectl -- get nodes", ""],
    ["npm run kubectl -- -n gourmetgram-platform get pods", ""],
    ["npm run kubectl -- mystack -- get events -A", "another environment"],
  ]);
}

/**
 * `kubectl mystack -- get nodes` is understood like `kubectl --stack mystack get nodes`, as the other commands take the
 * stack. A `--` further on belongs to kubectl (`exec pod -- command`).
 */
export function normalizePassedOn(argv: readonly string[]): string[] {
  const [command, first, second, ...rest] = argv;
  if (command === undefined || !PASSING_ON.includes(command)) {
    return [...argv];
  }
  if (first === "--") {
    return [command, ...argv.slice(2)];
  }
  return first !== undefined && second === "--" && !first.startsWith("-")
    ? [command, "--stack", first, ...rest]
    : [...argv];
}

async function kubectl(args: readonly string[], options: { readonly stack: string }): Promise<void> {
  await withKubeconfig(options.stack, async ({ kubeconfig }) => {
    process.exitCode = await runAttached(findBundleProgram("kubectl"), args, { KUBECONFIG: kubeconfig });
  });
}
