import { access } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { builtFolder } from "./resolve";
import type { Part, ToolchainPlan, ToolchainSettings } from "./types";

/** Cores on which the seconds of the parts table were measured. */
const MEASURED_ON_CORES = 2;

/** Compiler and module caches, and results, while everything that every engine needs is built: measured. */
const COMMON_BUILD_BYTES = 4.5 * 2 ** 30;

/** Estimated seconds by step, for everything that would have to be built. */
export async function estimateSteps(
  settings: ToolchainSettings,
  missing: readonly Part[],
): Promise<Map<string, number>> {
  // Linking and the module download do not gain from more cores.
  const share = Math.max(0.35, MEASURED_ON_CORES / availableParallelism());
  const steps = new Map<string, number>();
  for (const part of missing) {
    for (const [index, file] of part.files.entries()) {
      const there = await access(await builtFolder(settings, part, index)).then(
        () => true,
        () => false,
      );
      const label = file.replace(/^pulumi-(resource-)?/, "");
      if (!there) steps.set(`build ${label} ${part.version}`, (part.builds[index]?.seconds ?? 0) * share);
    }
  }
  return steps;
}

export async function estimateMissing(
  settings: ToolchainSettings,
  missing: readonly Part[],
): Promise<ToolchainPlan> {
  const steps = await estimateSteps(settings, missing);
  const seconds = [...steps.values()].reduce((sum, value) => sum + value, 0);
  return {
    missing: missing.map((part) => `${part.name} ${part.version}`),
    seconds: Math.round(seconds),
    peakBytes: buildBytes(missing),
  };
}

/** The caches grow from one build to the next and are dropped at the end. */
function buildBytes(parts: readonly Part[]): number {
  const common = parts.some((part) => part.buildBytes === undefined) ? COMMON_BUILD_BYTES : 0;
  return parts.reduce((sum, part) => sum + (part.buildBytes ?? 0), common);
}
