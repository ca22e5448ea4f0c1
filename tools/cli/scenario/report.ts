import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { STAGES } from "../../../stacks/spec";
import { shortDigest } from "../ledgerEntries";
import { seconds } from "../progress";
import { writeAtomically } from "../state";
import { namedError } from "../workflowStatus";
import { type Check, checkBars, checkEvidence, type Evidence, madeVersion } from "./checks";
import type { Snapshot } from "./snapshot";
import { type StepTime, stepTimes } from "./timing";

/** What one run of a scenario showed: everything the Markdown says, and more. */
export interface Report {
  readonly scenario: string;
  readonly title: string;
  readonly environment: string;
  readonly passed: boolean;
  /** Bars that were missed; the end state is judged without them. */
  readonly barsMissed: number;
  readonly workflow: {
    readonly name: string;
    readonly phase: string;
    readonly startedAt?: string;
    readonly finishedAt?: string;
  };
  readonly madeVersion?: string;
  readonly checks: readonly Check[];
  readonly bars: readonly Check[];
  readonly time: Evidence["shares"];
  readonly steps: readonly StepTime[];
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly load?: Evidence["load"];
  readonly lostNode?: string;
}

export function createReport(environment: string, evidence: Evidence): Report {
  const { scenario, workflow, before, after, shares, load, lostNode } = evidence;
  const checks = checkEvidence(evidence);
  const bars = checkBars(evidence);
  const { phase, startedAt, finishedAt } = workflow.status ?? {};
  const made = madeVersion(workflow);
  return {
    scenario: scenario.name,
    title: scenario.title,
    environment,
    passed: checks.every(({ passed }) => passed),
    barsMissed: bars.filter(({ passed }) => !passed).length,
    workflow: {
      name: workflow.metadata.name,
      phase: phase || "none",
      ...(startedAt ? { startedAt } : {}),
      ...(finishedAt ? { finishedAt } : {}),
    },
    ...(made === undefined ? {} : { madeVersion: made }),
    checks,
    bars,
    time: shares,
    steps: stepTimes(workflow),
    before,
    after: newEntriesOnly(before, after),
    ...(load === undefined ? {} : { load }),
    ...(lostNode === undefined ? {} : { lostNode }),
  };
}

/** The ledger as it was stands in `before` already. */
function newEntriesOnly(before: Snapshot, after: Snapshot): Snapshot {
  const known = new Set(before.ledger.map(({ name }) => name));
  return { ...after, ledger: after.ledger.filter(({ name }) => !known.has(name)) };
}

/** Writes a report as Markdown and as JSON. @returns the paths without their endings */
export function writeReport(folder: string, name: string, report: Report): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeAtomically(`${path}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
  writeAtomically(`${path}.md`, `${renderReport(report)}\n`);
  return path;
}

/** The report for people, in Markdown. */
export function renderReport(report: Report): string {
  const { workflow, time, before, after, load } = report;
  const parts = [
    `# ${report.scenario}: ${report.passed ? "passed" : "FAILED"}`,
    `${capital(report.title)}. Environment \`${report.environment}\`, workflow \`${workflow.name}\` (${workflow.phase})${workflow.startedAt ? `, ${workflow.startedAt} to ${workflow.finishedAt ?? "?"}` : ""}.${report.lostNode === undefined ? "" : ` ${report.lostNode} lost its power.`}`,
    "## Checks",
    checkTable(report.checks),
    ...(report.bars.length === 0 ? [] : ["## Bars", checkTable(report.bars)]),
    "## Stages",
    table(
      ["stage", "ledger before", "ledger after", "image after", "app says", "Argo CD", "ready pods"],
      STAGES.map((stage) => {
        const [old, now] = [before.stages[stage], after.stages[stage]];
        return [
          stage,
          old.ledger?.version ?? "nothing",
          now.ledger?.version ?? "nothing",
          shortDigest(now.image),
          now.live ?? "no answer",
          [now.sync, now.health].filter((text) => text !== undefined).join(", "),
          String(now.readyPods),
        ];
      }),
    ),
    "## Aliases",
    table(
      ["alias", "before", "after"],
      [...new Set([...Object.keys(before.aliases), ...Object.keys(after.aliases)])]
        .sort()
        .map((alias) => [alias, before.aliases[alias] ?? "", after.aliases[alias] ?? ""]),
    ),
    "## Ledger",
    table(
      ["at", "stage", "action", "from", "to", "by", "reason"],
      after.ledger.map((entry) => [
        entry.at,
        entry.stage,
        entry.action,
        entry.from?.version ?? "",
        entry.to?.version ?? "",
        entry.by ?? "",
        entry.reason ?? "",
      ]),
    ),
    "## Steps",
    table(
      ["step", "for", "node", "starts after", "takes", "ends as", "error"],
      report.steps.map((step) => [
        step.step,
        step.purpose ?? "",
        step.node ?? "",
        `${step.start.toFixed(0)} s`,
        `${step.seconds.toFixed(0)} s`,
        step.phase,
        step.phase === "Succeeded" || step.message === undefined ? "" : namedError(step),
      ]),
    ),
    "## Time",
    "From a pod's creation to its end, so a pod's start counts for its step; steps run beside each other.",
    table(
      ["for", "seconds", "of the whole"],
      [
        ...Object.entries(time.purposes).map(([purpose, spent]) => [
          purpose,
          spent.toFixed(0),
          percent(spent, time.total),
        ]),
        ["everything else", time.rest.toFixed(0), `${time.restPercent.toFixed(1)} %`],
        ["the whole", time.total.toFixed(0), ""],
      ],
    ),
    ...(load === undefined ? [] : ["## Load", renderLoad(load)]),
  ];
  return parts.join("\n\n");
}

function renderLoad(load: NonNullable<Report["load"]>): string {
  const lost = Object.entries(load.lost).map(([fault, count]) => `${count} x ${fault}`);
  return [
    `${load.sent} requests to ${load.stage} (${load.url}/version), ${load.rate} a second for ${seconds(load.seconds)}:`,
    `${load.answered} answered, ${load.lostCount} lost${lost.length === 0 ? "" : ` (${lost.join(", ")}; at ${load.lostAt.join(", ")})`}.`,
    `Median ${load.latency.p50} ms, 95th percentile ${load.latency.p95} ms, longest ${load.latency.max} ms.`,
    `Versions that answered: ${Object.entries(load.versions)
      .map(([version, count]) => `${version} (${count})`)
      .join(", ")}.`,
  ].join(" ");
}

function checkTable(checks: readonly Check[]): string {
  return table(
    ["", "check", "expected", "found"],
    checks.map(({ passed, name, expected, found }) => [passed ? "ok" : "**NO**", name, expected, found]),
  );
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) {
    return "None.";
  }
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replace(/\s+/g, " ").trim()).join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)].join("\n");
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "" : `${((100 * part) / whole).toFixed(1)} %`;
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
