import { UnreachableHosts } from "../cache/download";
import { withLock } from "../cache/lock";
import { acquirePart } from "./acquire";
import { assembleToolchain } from "./assemble";
import { estimateMissing, estimateSteps } from "./estimate";
import { StepTimer } from "./progress";
import { dropBuildCache, hasBuilds, pruneBuildCache, pruneToolchains, touchFolder } from "./prune";
import { findPart, type ResolvedPart } from "./resolve";
import { selectParts } from "./select";
import { defaultSettings } from "./settings";
import type { Part, Report, Toolchain, ToolchainPlan, ToolchainRequest, ToolchainSettings } from "./types";

export type {
  Report,
  StepEvent,
  Toolchain,
  ToolchainPlan,
  ToolchainRequest,
  ToolchainSettings,
} from "./types";

/**
 * Makes the engine and its plugins ready: what the user has installed, else earlier downloads or builds, else the
 * official downloads, else builds from source. Takes milliseconds when everything is there. The engine sees exactly the
 * plugins that were asked for.
 *
 * @throws Error naming what is missing and what to do about it, or a plugin that there is none of.
 */
export async function ensureToolchain(
  args: ToolchainRequest & { readonly report?: Report },
  settings: ToolchainSettings = defaultSettings(),
): Promise<Toolchain> {
  const report = args.report ?? (() => undefined);
  const parts = selectParts(settings, args);
  const found = await findAll(settings, parts);
  if (found.every((part) => part !== undefined)) {
    await pruneBuildCache(settings);
    return assembleToolchain(settings, found);
  }
  const lock = `${settings.paths.locks}/toolchain.lock`;
  return withLock(
    lock,
    async () => assembleToolchain(settings, await acquireMissing(settings, parts, report)),
    {
      onWait: ({ pid, since }) =>
        report({
          step: "toolchain",
          state: "progress",
          seconds: 0,
          message: `waiting for process ${pid}, which has been making the toolchain since ${since}`,
        }),
    },
  );
}

/** What `ensureToolchain` would have to get. Changes nothing. */
export async function planToolchain(
  args: ToolchainRequest = {},
  settings: ToolchainSettings = defaultSettings(),
): Promise<ToolchainPlan> {
  return estimateMissing(settings, await missingParts(settings, selectParts(settings, args)));
}

async function acquireMissing(
  settings: ToolchainSettings,
  parts: readonly Part[],
  report: Report,
): Promise<ResolvedPart[]> {
  const unreachable = new UnreachableHosts(settings.paths.root);
  const missing = await missingParts(settings, parts);
  const timer = new StepTimer(report, await estimateSteps(settings, missing));
  const hadOtherBuilds = await hasBuilds(settings, missing);
  // In use from now on: another process does not take the caches for forgotten ones.
  await touchFolder(settings.buildCache);
  const resolved: ResolvedPart[] = [];
  for (const part of parts) {
    // Looked for again: another process may have made it while this one waited for the lock.
    resolved.push(
      (await findPart(settings, part)) ?? (await acquirePart(settings, part, unreachable, timer)),
    );
  }
  await dropBuildCache(settings, hadOtherBuilds);
  await pruneToolchains(settings);
  return resolved;
}

async function findAll(
  settings: ToolchainSettings,
  parts: readonly Part[],
): Promise<(ResolvedPart | undefined)[]> {
  return Promise.all(parts.map((part) => findPart(settings, part)));
}

async function missingParts(settings: ToolchainSettings, parts: readonly Part[]): Promise<Part[]> {
  const found = await findAll(settings, parts);
  return parts.filter((_, index) => found[index] === undefined);
}
