import { CommandError, ExitCode } from "../commandError";
import type { TrainingScenario } from "../pipeline";

/** A gate of the staging tests. */
export type Gate = "integration" | "resources" | "load";

/** A chain of events with a known end. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** What kind of model is trained. */
  readonly training: TrainingScenario;
  /** The gate that has to stop the model; undefined when none may. */
  readonly stoppedBy?: Gate;
  /** A worker loses its power in the middle of the promotion. */
  readonly losesNode: boolean;
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "normal",
    title: "a good model goes through staging to canary",
    training: "normal",
    losesNode: false,
  },
  {
    name: "bad-architecture",
    title: "a model with the wrong output is stopped by the integration gate",
    training: "bad-architecture",
    stoppedBy: "integration",
    losesNode: false,
  },
  {
    name: "oversized",
    title: "a model too large for its pod is stopped by the resources gate",
    training: "oversized",
    stoppedBy: "resources",
    losesNode: false,
  },
  {
    name: "slow",
    title: "a model that answers too late is stopped by the load gate",
    training: "slow",
    stoppedBy: "load",
    losesNode: false,
  },
  {
    name: "node-loss",
    title: "a worker dies in the middle of a promotion",
    training: "normal",
    losesNode: true,
  },
];

/** @throws CommandError with the scenarios there are */
export function findScenario(name: string): Scenario {
  const scenario = SCENARIOS.find((candidate) => candidate.name === name);
  if (scenario === undefined) {
    throw new CommandError(
      `There is no scenario ${JSON.stringify(name)}. Allowed: ${SCENARIOS.map((known) => known.name).join(", ")}.\n  next: npm run scenario -- normal`,
      ExitCode.refused,
    );
  }
  return scenario;
}
