import { formatBytes } from "../../components/quantity";
import type { BuildPlan } from "./partners";
import { seconds } from "./progress";

/** What is missing of a part of this host's tools and what it costs to get. */
export function renderPlan(what: string, plan: BuildPlan): string {
  return plan.missing.length === 0
    ? `Nothing is missing of ${what}.`
    : `Missing of ${what}: ${plan.missing.join(", ")}. If all have to be built: about ${seconds(plan.seconds)}, up to ${formatBytes(plan.peakBytes)} of disk.`;
}
