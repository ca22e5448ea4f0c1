import { Command } from "commander";
import { withExamples } from "./examples";
import { withCluster } from "./kubeClient";
import { actor, checkPromotion, checkVersion } from "./pipeline";
import { DEFAULT_STACK } from "./project";
import { type Submission, submitAndFollow } from "./submit";

interface PromoteOptions {
  readonly from: string;
  readonly to: string;
  readonly version: string;
  readonly reason?: string;
  readonly by?: string;
  readonly wait: boolean;
  readonly stack: string;
}

/** `npm run promote`: a version goes on to the next stage. */
export function createPromoteCommand(): Command {
  const command = new Command("promote")
    .description(
      "Promote the version a stage runs to the next stage. Production waits for a person's approval.",
    )
    .requiredOption("--from <stage>", "stage that runs the version now: staging or canary")
    .requiredOption("--to <stage>", "the stage after it: canary or production")
    .requiredOption("--version <version>", "1.0.N, as the ledger shows it")
    .option("--reason <text>", "why; the ledger keeps it. Into production the approval's reason counts")
    .option("--by <name>", "who asks for it; otherwise this host's user")
    .option("--wait", "watch until it is over; the exit code tells how it ended", false)
    .option("--stack <name>", "environment", DEFAULT_STACK)
    .action(promote);
  return withExamples(command, [
    [
      "npm run promote -- --from canary --to production --version 1.0.3",
      "then: npm run approve -- --reason ...",
    ],
  ]);
}

async function promote(options: PromoteOptions): Promise<void> {
  const submission = promoteSubmission(options);
  await withCluster(options.stack, (cluster) => submitAndFollow(cluster, submission, options.wait));
}

/** @throws CommandError for stages that do not follow each other, and for what is no version */
export function promoteSubmission(options: Omit<PromoteOptions, "wait" | "stack">): Submission {
  const { from, to } = checkPromotion(options.from, options.to);
  return {
    template: "promote-model",
    parameters: {
      source: from,
      target: to,
      version: checkVersion(options.version),
      reason: options.reason,
      "requested-by": actor(options.by),
    },
  };
}
