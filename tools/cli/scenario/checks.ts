import { STAGES, type Stage } from "../../../stacks/spec";
import type { Release } from "../ledgerEntries";
import { registryVersion } from "../pipeline";
import { failedNodes, namedError, outputOf, type Workflow, workflowNodes } from "../workflowStatus";
import type { Gate, Scenario } from "./catalog";
import type { LoadResult } from "./loadClient";
import { contradictions, type Snapshot } from "./snapshot";
import { type TimeShares, templateOf } from "./timing";

/** One thing that has to be true at the end. */
export interface Check {
  readonly name: string;
  readonly expected: string;
  readonly found: string;
  readonly passed: boolean;
}

/** What a run left behind, besides what stands in the snapshots. */
export interface Leavings {
  /** Pods of the workflow that still run or wait. */
  readonly pods: readonly string[];
  /** Volume claims that the workflow made. */
  readonly claims: readonly string[];
}

/** All that is known at the end of a run. */
export interface Evidence {
  readonly scenario: Scenario;
  readonly workflow: Workflow;
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly leavings: Leavings;
  readonly shares: TimeShares;
  readonly load?: LoadResult & { readonly stage: Stage };
  /** The node that lost its power. */
  readonly lostNode?: string;
}

/** Bars of the product for a whole chain with the sample model; seconds and percent. */
export const BARS = { totalSeconds: 240, restPercent: 25 } as const;

/** Everything the scenario asserts; each is told whether it holds or not. */
export function checkEvidence(evidence: Evidence): Check[] {
  const { scenario } = evidence;
  const own = scenario.losesNode
    ? lostNodeChecks(evidence)
    : scenario.stoppedBy === undefined
      ? acceptedChecks(evidence)
      : stoppedChecks(evidence, scenario.stoppedBy);
  return [...own, ...commonChecks(evidence)];
}

/** Bars of the product: told, but the end state is right without them. */
export function checkBars({ scenario, shares }: Evidence): Check[] {
  if (scenario.stoppedBy !== undefined || scenario.losesNode) {
    return [];
  }
  return [
    {
      name: "the whole chain",
      expected: `<= ${BARS.totalSeconds} s`,
      found: `${shares.total.toFixed(0)} s`,
      passed: shares.total <= BARS.totalSeconds,
    },
    {
      name: "time not in train, build, rollout or load test",
      expected: `<= ${BARS.restPercent} %`,
      found: `${shares.restPercent.toFixed(1)} % (${shares.rest.toFixed(0)} s)`,
      passed: shares.restPercent <= BARS.restPercent,
    },
  ];
}

/** A good model: in staging and in canary, nowhere else. */
function acceptedChecks({ workflow, before, after }: Evidence): Check[] {
  const made = madeVersion(workflow);
  const version = made === undefined ? "a new version" : `1.0.${made}`;
  const { staging, canary } = after.stages;
  return [
    equal("the workflow", "Succeeded", workflow.status?.phase),
    {
      name: "training made a version newer than any before",
      expected: `> ${newestVersion(before)}`,
      found: made ?? "none",
      passed: made !== undefined && Number(made) > newestVersion(before),
    },
    equal("staging, by the ledger", version, staging.ledger?.version),
    equal("canary, by the ledger", version, canary.ledger?.version),
    equal("staging, by the app itself", version, staging.live),
    equal("canary, by the app itself", version, canary.live),
    equal("canary runs the very image that staging tested", staging.ledger?.digest, canary.ledger?.digest),
    ...["development", "staging", "canary", "staging-approved"].map((alias) =>
      equal(`alias ${alias}`, made, after.aliases[alias]),
    ),
    ...untouchedChecks(before, after, ["production"]),
  ];
}

/** A model that a gate stops: staging is back, the others never moved. */
function stoppedChecks({ workflow, before, after }: Evidence, gate: Gate): Check[] {
  const failed = failedGates(workflow);
  const made = madeVersion(workflow);
  const closing = after.ledger.findLast(
    ({ stage, action }) => stage === "staging" && ["deployed", "reverted", "failed"].includes(action),
  );
  return [
    equal("the workflow", "Failed", workflow.status?.phase),
    {
      name: "the gate that stopped it",
      expected: gate,
      found: failed.map(({ name, error }) => `${name} (${error})`).join("; ") || "none",
      passed: failed.some(({ name }) => name === gate),
    },
    equal(
      "staging is back on what its ledger recorded before",
      text(before.stages.staging.ledger),
      text(after.stages.staging.ledger),
    ),
    equal("staging, by the app itself", before.stages.staging.ledger?.version, after.stages.staging.live),
    {
      name: "the ledger tells of the return",
      expected: `reverted by ${workflow.metadata.name}, with a reason`,
      found:
        closing === undefined
          ? "no entry"
          : `${closing.action} by ${closing.workflow ?? "?"}: ${closing.reason ?? "no reason"}`,
      passed:
        closing?.action === "reverted" &&
        closing.workflow === workflow.metadata.name &&
        (closing.reason ?? "") !== "",
    },
    equal("alias development: the newest trained", made, after.aliases["development"]),
    ...["staging", "canary", "production", "staging-approved"].map((alias) =>
      equal(`alias ${alias} is as before`, before.aliases[alias], after.aliases[alias]),
    ),
    ...untouchedChecks(before, after, ["canary", "production"]),
  ];
}

/** A node lost in the middle: each stage has its old or its new version, whole. */
function lostNodeChecks({ workflow, before, after, lostNode }: Evidence): Check[] {
  const made = madeVersion(workflow);
  const newVersion = made === undefined ? undefined : `1.0.${made}`;
  return [
    {
      name: "a worker lost its power during the promotion",
      expected: "one",
      found: lostNode ?? "none: the promotion was over before",
      passed: lostNode !== undefined,
    },
    {
      name: "the workflow came to an end",
      expected: "Succeeded, Failed or Error",
      found: workflow.status?.phase || "none",
      passed: ["Succeeded", "Failed", "Error"].includes(workflow.status?.phase ?? ""),
    },
    ...(["staging", "canary"] as const).map((stage) => {
      const old = before.stages[stage].ledger?.version;
      const now = after.stages[stage].ledger?.version;
      return {
        name: `${stage} runs its old or the new version`,
        expected: [old ?? "nothing", newVersion ?? "the new one"].join(" or "),
        found: now ?? "nothing",
        passed: now === old || (now !== undefined && now === newVersion),
      };
    }),
    ...untouchedChecks(before, after, ["production"]),
  ];
}

/** True of every scenario. */
function commonChecks({ after, leavings, load }: Evidence): Check[] {
  return [
    ...STAGES.map((stage) => {
      const found = contradictions(after, stage);
      return {
        name: `${stage}: ledger, Argo CD, Deployment, app and alias say the same`,
        expected: "no contradiction",
        found: found.join("; ") || "no contradiction",
        passed: found.length === 0,
      };
    }),
    {
      name: "no pod or volume of the workflow is left",
      expected: "none",
      found: [...leavings.pods, ...leavings.claims].join(", ") || "none",
      passed: leavings.pods.length + leavings.claims.length === 0,
    },
    ...(load === undefined
      ? []
      : [
          {
            name: `requests lost by ${load.stage} at ${load.rate} a second`,
            expected: `0 of ${load.sent}`,
            found: `${load.lostCount} of ${load.sent}`,
            passed: load.lostCount === 0 && load.sent > 0,
          },
        ]),
  ];
}

/** Nothing about the stage changed: not its version, not its settings, and nothing was even tried. */
function untouchedChecks(before: Snapshot, after: Snapshot, stages: readonly Stage[]): Check[] {
  return stages.flatMap((stage) => {
    const known = new Set(before.ledger.map(({ name }) => name));
    const added = after.ledger.filter((entry) => entry.stage === stage && !known.has(entry.name));
    return [
      equal(
        `${stage} is untouched: version and image`,
        text(before.stages[stage].ledger),
        text(after.stages[stage].ledger),
      ),
      equal(
        `${stage} is untouched: its Deployment`,
        String(before.stages[stage].generation ?? "none"),
        String(after.stages[stage].generation ?? "none"),
      ),
      {
        name: `${stage} is untouched: nothing new in its ledger`,
        expected: "0 entries",
        found: `${added.length} entries${added.length === 0 ? "" : `: ${added.map(({ action }) => action).join(", ")}`}`,
        passed: added.length === 0,
      },
    ];
  });
}

/** Version in MLflow that the training registered. */
export function madeVersion(workflow: Workflow): string | undefined {
  return workflowNodes(workflow)
    .map((node) => outputOf(node, "model-version"))
    .find((value) => value !== undefined && /^\d+$/.test(value));
}

/** The gates that did not let the model pass. */
export function failedGates(workflow: Workflow): { readonly name: string; readonly error: string }[] {
  return failedNodes(workflow).flatMap((node) => {
    const name = /^gate-(integration|resources|load)$/.exec(templateOf(node))?.[1];
    return name === undefined ? [] : [{ name, error: namedError(node) }];
  });
}

function newestVersion({ aliases, ledger }: Snapshot): number {
  const recorded = ledger.map(({ to }) => Number((to && registryVersion(to.version)) ?? 0));
  return Math.max(0, ...Object.values(aliases).map(Number), ...recorded);
}

function equal(name: string, expected: string | undefined, found: string | undefined): Check {
  return { name, expected: expected ?? "nothing", found: found ?? "nothing", passed: expected === found };
}

function text(release: Release | undefined): string {
  return release === undefined ? "nothing" : `${release.version} ${release.digest.slice(0, 19)}`;
}
