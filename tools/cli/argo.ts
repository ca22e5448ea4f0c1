import { Command } from "commander";
import { withExamples } from "./examples";
import { findBundleProgram, runAttached, withKubeconfig } from "./kubeconfig";
import { WORKFLOW_NAMESPACE } from "./pipeline";
import { DEFAULT_STACK } from "./project";

/** `npm run argo -- ...`: the bundle's argo with the environment's admin credentials, in the workflows' namespace. */
export function createArgoCommand(): Command {
  const command = new Command("argo")
    .description("Run Argo's own command line tool against an environment's workflows.")
    .option("--stack <name>", "environment; before argo's own arguments", DEFAULT_STACK)
    .argument("[arguments...]", "arguments of argo")
    .passThroughOptions()
    .allowUnknownOption()
    .action(argo);
  return withExamples(command, [
    ["npm run argo -- list", "workflows, the newest first"],
    ["npm run argo -- logs @latest --follow", "what the latest one says"],
    ["npm run argo -- mystack -- get @latest", "another environment"],
  ]);
}

async function argo(args: readonly string[], options: { readonly stack: string }): Promise<void> {
  await withKubeconfig(options.stack, async ({ kubeconfig }) => {
    process.exitCode = await runAttached(findBundleProgram("argo"), args, {
      KUBECONFIG: kubeconfig,
      // Its `-n` still wins.
      ARGO_NAMESPACE: WORKFLOW_NAMESPACE,
    });
  });
}
