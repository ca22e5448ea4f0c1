import { Command } from "commander";
import { STAGES, type Stage } from "../../stacks/spec";
import { withExamples } from "./examples";
import { type KubeClient, withCluster } from "./kubeClient";
import { readLedger, stageRecord, writeLedger } from "./ledgerEntries";
import { actor, checkReason, checkStage } from "./pipeline";
import { DEFAULT_STACK } from "./project";

interface FreezeOptions {
  readonly reason: string;
  readonly by?: string;
  readonly stack: string;
}

/** `npm run freeze -- <stage>`: no change reaches the stage until it is unfrozen. */
export function createFreezeCommand(): Command {
  const command = new Command("freeze")
    .description("Let no deployment change a stage until it is unfrozen. Written to the ledger.")
    .argument("<stage>", STAGES.join(", "))
    .requiredOption("--reason <text>", "why; the ledger keeps it")
    .option("--by <name>", "who; otherwise this host's user")
    .option("--stack <name>", "environment", DEFAULT_STACK)
    .action((stage: string, options: FreezeOptions) => change("freeze", stage, options));
  return withExamples(command, [
    [
      'npm run freeze -- production --reason "exam week"',
      "promotions to production now end with that reason",
    ],
  ]);
}

/** `npm run unfreeze -- <stage>`. */
export function createUnfreezeCommand(): Command {
  const command = new Command("unfreeze")
    .description("Let deployments change a frozen stage again. Written to the ledger.")
    .argument("<stage>", STAGES.join(", "))
    .option("--reason <text>", "why; the ledger keeps it", "no longer needed")
    .option("--by <name>", "who; otherwise this host's user")
    .option("--stack <name>", "environment", DEFAULT_STACK)
    .action((stage: string, options: FreezeOptions) => change("unfreeze", stage, options));
  return withExamples(command, [["npm run unfreeze -- production", ""]]);
}

async function change(
  command: "freeze" | "unfreeze",
  stageName: string,
  options: FreezeOptions,
): Promise<void> {
  const stage = checkStage(
    stageName,
    `npm run ${command} -- staging${command === "freeze" ? ' --reason "why"' : ""}`,
  );
  const reason = checkReason(options.reason, `${command} -- ${stage}`);
  await withCluster(options.stack, async ({ client }) => {
    const done = await setFrozen(client, stage, command === "freeze", reason, actor(options.by));
    process.stdout.write(`${done}\n`);
  });
}

/** @returns what is true now; a stage that is as wanted already gets no second entry */
export async function setFrozen(
  client: KubeClient,
  stage: Stage,
  wanted: boolean,
  reason: string,
  by: string,
): Promise<string> {
  const { current, frozen } = stageRecord(await readLedger(client), stage);
  if (wanted && frozen !== undefined) {
    return `${stage} is frozen already, by ${frozen.by ?? "?"} since ${frozen.at}: ${frozen.reason ?? ""}`;
  }
  if (!wanted && frozen === undefined) {
    return `${stage} is not frozen; nothing was written.`;
  }
  await writeLedger(client, {
    stage,
    action: wanted ? "frozen" : "unfrozen",
    ...(current === undefined ? {} : { from: current, to: current }),
    reason,
    by,
  });
  return wanted
    ? `${stage} is frozen by ${by}: ${reason}. It runs ${current?.version ?? "nothing yet"}. Next: npm run unfreeze -- ${stage}`
    : `${stage} is no longer frozen.`;
}
