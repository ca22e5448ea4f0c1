import { Command, InvalidArgumentError } from "commander";
import { STAGES } from "../../stacks/spec";
import { withExamples } from "./examples";
import { withCluster } from "./kubeClient";
import { readLedger, renderLedger, stageRecord } from "./ledgerEntries";
import { checkStage } from "./pipeline";
import { DEFAULT_STACK } from "./project";

interface LedgerOptions {
  readonly stage?: string;
  readonly limit: number;
  readonly json: boolean;
}

/** Entries shown unless more are asked for. */
const DEFAULT_LIMIT = 20;

/** `npm run ledger`: what ran where, when, why and by whom. */
export function createLedgerCommand(): Command {
  const command = new Command("ledger")
    .description("Show what each stage runs, and what was deployed where, when, why and by whom.")
    .argument("[stack]", "environment", DEFAULT_STACK)
    .option("--stage <stage>", `only this stage: ${STAGES.join(", ")}`)
    .option("--limit <count>", "entries to show, the newest first; 0 shows all", parseCount, DEFAULT_LIMIT)
    .option("--json", "as JSON, for programs", false)
    .action(ledger);
  return withExamples(command, [
    ["npm run ledger", "every stage"],
    ["npm run ledger -- --stage production --limit 0", "all that ever happened to production"],
    ["npm run -s ledger -- mystack --json", "for a program"],
  ]);
}

async function ledger(stack: string, options: LedgerOptions): Promise<void> {
  const stages =
    options.stage === undefined ? STAGES : [checkStage(options.stage, "npm run ledger -- --stage staging")];
  await withCluster(stack, async ({ client }) => {
    const entries = (await readLedger(client)).filter(({ stage }) => stages.includes(stage));
    const newest = entries.toReversed().slice(0, options.limit === 0 ? entries.length : options.limit);
    const text = options.json
      ? JSON.stringify(
          { stages: stages.map((stage) => stageRecord(entries, stage)), entries: newest },
          undefined,
          2,
        )
      : renderLedger(entries, newest, stages);
    process.stdout.write(`${text}\n`);
  });
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) {
    throw new InvalidArgumentError("A number, 0 or more.");
  }
  return Number(text);
}
