import { Command } from "commander";
import { STAGES } from "../../stacks/spec";
import { withExamples } from "./examples";
import { withCluster } from "./kubeClient";
import { actor, checkReason, checkStage, checkVersion } from "./pipeline";
import { DEFAULT_STACK } from "./project";
import { type Submission, submitAndFollow } from "./submit";

interface RevertOptions {
  readonly reason: string;
  readonly to?: string;
  readonly by?: string;
  readonly wait: boolean;
  readonly stack: string;
}

/** `npm run revert -- <stage>`: back to what the stage ran before. */
export function createRevertCommand(): Command {
  const command = new Command("revert")
    .description("Bring a stage back to the version that the ledger recorded before.")
    .argument("<stage>", STAGES.join(", "))
    .requiredOption("--reason <text>", "why; the ledger keeps it")
    .option("--to <version>", "an earlier version of this stage instead, 1.0.N")
    .option("--by <name>", "who; otherwise this host's user")
    .option("--wait", "watch until it is over; the exit code tells how it ended", false)
    .option("--stack <name>", "environment", DEFAULT_STACK)
    .action(revert);
  return withExamples(command, [
    ['npm run revert -- production --reason "complaints about soup" --wait', ""],
    ['npm run revert -- canary --to 1.0.2 --reason "compare with 1.0.2"', ""],
  ]);
}

async function revert(stage: string, options: RevertOptions): Promise<void> {
  const submission = revertSubmission(stage, options);
  await withCluster(options.stack, (cluster) => submitAndFollow(cluster, submission, options.wait));
}

/** @throws CommandError for a stage there is not, for a reason without words, and for what is no version */
export function revertSubmission(
  stageName: string,
  options: Omit<RevertOptions, "wait" | "stack">,
): Submission {
  const stage = checkStage(stageName, 'npm run revert -- staging --reason "why"');
  return {
    template: "revert",
    parameters: {
      stage,
      "to-version": options.to === undefined ? undefined : checkVersion(options.to),
      reason: checkReason(options.reason, `revert -- ${stage}`),
      "requested-by": actor(options.by),
    },
  };
}
