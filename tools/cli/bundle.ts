import { Command } from "commander";
import { withExamples } from "./examples";
import { loadBundle } from "./partners";
import { announceBuild, printProgress } from "./prepare";
import { renderPlan } from "./renderPlan";
import { withSteps } from "./stepPrinter";

/** `npm run bundle`: makes the bundle without bringing anything up. */
export function createBundleCommand(): Command {
  const command = new Command("bundle")
    .description(
      "Download or build what nodes are made of: Kubernetes, images, the machines' root file system.",
    )
    .option("--plan", "only tell what is missing and what it costs", false)
    .action(bundle);
  return withExamples(command, [
    ["npm run bundle", "`up` does it too, when needed"],
    ["npm run bundle -- --plan", "time and disk it would take"],
  ]);
}

async function bundle(options: { readonly plan: boolean }): Promise<void> {
  const bundleModule = loadBundle();
  const plan = await bundleModule.planBundle();
  if (options.plan) {
    process.stdout.write(`${renderPlan("the bundle", plan)}\n`);
    return;
  }
  await announceBuild("Kubernetes and the platform's images", plan, printProgress);
  const made = await withSteps(printProgress, (report) => bundleModule.ensureBundle({ report }));
  process.stdout.write(`bundle:  ${made.bundleDir}\nmachine: ${made.machineDir}\n`);
}
