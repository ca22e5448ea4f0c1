import { Command } from "commander";
import { withExamples } from "./examples";
import { withCluster } from "./kubeClient";
import { actor, checkTrainingScenario, TRAINING_SCENARIOS } from "./pipeline";
import { DEFAULT_STACK } from "./project";
import { type Submission, submitAndFollow } from "./submit";

interface TrainOptions {
  readonly branch?: string;
  readonly scenario?: string;
  readonly by?: string;
  readonly wait: boolean;
  readonly stack: string;
}

/** `npm run train`: a new model, from training to canary. */
export function createTrainCommand(): Command {
  const command = new Command("train")
    .description(
      "Train a model, build its image, deploy it to staging, test it there, and promote it to canary.",
    )
    .option("--branch <branch>", "branch of the training repository; otherwise the environment's own")
    .option("--scenario <name>", `what kind of model to make: ${TRAINING_SCENARIOS.join(", ")}`)
    .option("--by <name>", "who asks for it; otherwise this host's user")
    .option("--wait", "watch until it is over; the exit code tells how it ended", false)
    .option("--stack <name>", "environment", DEFAULT_STACK)
    .action(train);
  return withExamples(command, [
    ["npm run train -- --wait", "the whole way, watched"],
    ["npm run train -- --scenario slow", "a model that fails the load gate"],
  ]);
}

async function train(options: TrainOptions): Promise<void> {
  const submission = trainSubmission(options);
  await withCluster(options.stack, (cluster) => submitAndFollow(cluster, submission, options.wait));
}

/** @throws CommandError for a scenario there is not */
export function trainSubmission(options: Pick<TrainOptions, "branch" | "scenario" | "by">): Submission {
  const scenario = checkTrainingScenario(options.scenario);
  return {
    template: "train-model",
    parameters: { branch: options.branch, scenario, "requested-by": actor(options.by) },
  };
}
