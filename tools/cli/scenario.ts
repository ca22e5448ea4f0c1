import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { STAGES, type Stage } from "../../stacks/spec";
import { CommandError } from "./commandError";
import { withExamples } from "./examples";
import { type OpenCluster, withCluster } from "./kubeClient";
import { checkStage } from "./pipeline";
import { printProgress } from "./prepare";
import { DEFAULT_STACK } from "./project";
import { findScenario, SCENARIOS } from "./scenario/catalog";
import { createReport, type Report, renderReport, writeReport } from "./scenario/report";
import { runScenario } from "./scenario/run";
import { renderTable } from "./table";

interface ScenarioOptions {
  readonly runs: number;
  readonly load?: string | true;
  readonly down: number;
  readonly branch?: string;
  readonly bars: boolean;
  readonly reports?: string;
  readonly json: boolean;
  readonly by?: string;
  readonly stack: string;
}

/** Long enough for the cluster to miss a node (40 s). */
const DEFAULT_DOWN_SECONDS = 60;

/** `npm run scenario`: plays a chain of events on a running environment and asserts how it ends. */
export function createScenarioCommand(): Command {
  const command = new Command("scenario")
    .description(
      "Play a chain of events on a running environment, assert its end state, and write a report with the evidence.",
    )
    .argument("<name>", SCENARIOS.map(({ name }) => name).join(", "))
    .option("--runs <count>", "one after another", parsePositive, 1)
    .option(
      "--load [stage]",
      `ask this stage (${STAGES.join(", ")}; staging when none is named) 50 times a second meanwhile; a lost request fails the scenario`,
    )
    .option(
      "--down <seconds>",
      "how long node-loss leaves the worker without power",
      parsePositive,
      DEFAULT_DOWN_SECONDS,
    )
    .option("--branch <branch>", "branch of the training repository; otherwise the environment's own")
    .option("--bars", "also fail when a bar is missed: time of the chain, share of overhead", false)
    .option("--reports <folder>", "where the reports go; otherwise .state/reports/<stack>")
    .option("--json", "print the reports as JSON, for programs", false)
    .option("--by <name>", "who asks for it; otherwise this host's user")
    .option("--stack <name>", "environment", DEFAULT_STACK)
    .action(scenario);
  return withExamples(command, [
    ["npm run scenario -- normal", "a new model reaches staging and canary"],
    ["npm run scenario -- normal --load", "and staging loses no request meanwhile"],
    ["npm run scenario -- oversized --runs 5", "stopped by a gate, five times in a row"],
    ["npm run scenario -- node-loss --down 60", "a worker dies in the middle"],
  ]);
}

async function scenario(name: string, options: ScenarioOptions): Promise<void> {
  const wanted = findScenario(name);
  const load =
    options.load === undefined
      ? undefined
      : options.load === true
        ? ("staging" as Stage)
        : checkStage(options.load, `npm run scenario -- ${name} --load staging`);
  await withCluster(options.stack, async (cluster) => {
    const folder = options.reports
      ? resolve(options.reports)
      : join(cluster.access.paths.root, "reports", options.stack);
    const reports: { readonly path: string; readonly report: Report }[] = [];
    for (let run = 1; run <= options.runs; run += 1) {
      if (options.runs > 1) {
        printProgress(`Run ${run} of ${options.runs}.`);
      }
      const report = await playOnce(cluster, wanted, options, load);
      const path = writeReport(folder, `${stamp()}-${name}`, report);
      reports.push({ path, report });
      printProgress(`Report: ${path}.md`);
    }
    print(reports, options);
    judge(reports, options);
  });
}

async function playOnce(
  cluster: OpenCluster,
  wanted: ReturnType<typeof findScenario>,
  options: ScenarioOptions,
  load: Stage | undefined,
): Promise<Report> {
  const evidence = await runScenario({
    cluster,
    scenario: wanted,
    print: printProgress,
    downSeconds: options.down,
    ...(load === undefined ? {} : { load }),
    ...(options.branch === undefined ? {} : { branch: options.branch }),
    ...(options.by === undefined ? {} : { by: options.by }),
  });
  return createReport(options.stack, evidence);
}

function print(
  reports: readonly { readonly path: string; readonly report: Report }[],
  options: ScenarioOptions,
): void {
  const text = options.json
    ? JSON.stringify(
        reports.map(({ report }) => report),
        undefined,
        2,
      )
    : [
        ...reports.map(({ report }) => renderReport(report)),
        ...(reports.length < 2 ? [] : [summaryOf(reports)]),
      ].join("\n\n");
  process.stdout.write(`${text}\n`);
}

function summaryOf(reports: readonly { readonly path: string; readonly report: Report }[]): string {
  return renderTable(
    ["RUN", "WORKFLOW", "RESULT", "SECONDS", "OVERHEAD", "REPORT"],
    reports.map(({ path, report }, index) => [
      String(index + 1),
      report.workflow.name,
      report.passed ? "passed" : "FAILED",
      report.time.total.toFixed(0),
      `${report.time.restPercent.toFixed(0)} %`,
      `${path}.md`,
    ]),
  );
}

/** @throws CommandError when a run did not end as it has to */
function judge(
  reports: readonly { readonly path: string; readonly report: Report }[],
  { bars }: ScenarioOptions,
): void {
  const failed = reports.filter(({ report }) => !report.passed || (bars && report.barsMissed > 0));
  if (failed.length === 0) {
    return;
  }
  const lines = failed.flatMap(({ report }) =>
    [...report.checks, ...(bars ? report.bars : [])]
      .filter(({ passed }) => !passed)
      .map(
        ({ name, expected, found }) =>
          `  ${report.workflow.name}: ${name}: expected ${expected}, found ${found}`,
      ),
  );
  throw new CommandError(
    `${failed.length} of ${reports.length} runs did not end as they have to:\n${lines.join("\n")}\n  next: the reports named above hold the evidence`,
  );
}

/** `20260102-030405`, UTC. */
function stamp(): string {
  return new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}

function parsePositive(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) {
    throw new InvalidArgumentError("A whole number above 0.");
  }
  return Number(text);
}
