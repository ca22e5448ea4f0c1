import { existsSync } from "node:fs";
import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { type CachePaths, cachePaths } from "../cache/paths";
import { compilerCacheMegabytes, estimateMegabytes, estimateSeconds, scratchMegabytes } from "./estimates";
import { bundleFolder, folderOf, machineFolder, wantedNames } from "./folders";
import { bundleParts, inputsOf, keptParts, machineParts, rowOf } from "./recipes";

/** What `ensureBundle` would have to do now. */
export interface BundlePlan {
  /** Names that are not finished, in building order; `bundle` and `machine` are the last two steps. */
  readonly missing: readonly string[];
  /** Wall-clock seconds if nothing can be downloaded. */
  readonly seconds: number;
  /** Free bytes needed while building, and bytes that stay. */
  readonly peakBytes: number;
  readonly stayBytes: number;
  /** Free bytes of the disk that holds the cache. */
  readonly freeBytes: number;
}

const mega = 1_000_000;

/** Looks at what is missing and what making it costs; changes nothing. */
export async function planBundle(
  options: { readonly paths?: CachePaths; readonly machine?: boolean } = {},
): Promise<BundlePlan> {
  const paths = options.paths ?? cachePaths();
  const machine = options.machine ?? true;
  const missing: string[] = [];
  const bundleThere = existsSync(join(bundleFolder(paths), "bundle.json"));
  const machineThere = !machine || existsSync(join(machineFolder(paths), ".seal.json"));
  if (!bundleThere || !machineThere) {
    for (const name of wantedNames(machine)) {
      if (!existsSync(join(folderOf(paths, name), "artifact.json"))) missing.push(name);
    }
  }
  const needed: string[] = bundleThere && machineThere ? [] : pruneFinished(missing, paths, machine);
  if (!bundleThere) needed.push("bundle");
  if (!machineThere) needed.push("machine");
  const compile = needed.filter(usesCompiler);
  const seconds = remainingSeconds(needed);
  const size = (names: readonly string[]) => names.reduce((sum, name) => sum + estimateMegabytes(name), 0);
  const kept = new Set([...keptParts(), "bundle", "machine"]);
  const stay = size(needed.filter((name) => kept.has(name)));
  const peak =
    size(needed) +
    (compile.length > 0 ? compilerCacheMegabytes : 0) +
    (needed.length > 0 ? scratchMegabytes : 0);
  await mkdir(paths.root, { recursive: true });
  const disk = await statfs(paths.root);
  return {
    missing: needed,
    seconds,
    peakBytes: peak * mega,
    stayBytes: stay * mega,
    freeBytes: disk.bavail * disk.bsize,
  };
}

/** Inputs whose only users are finished need not be made again. */
function pruneFinished(missing: readonly string[], paths: CachePaths, machine: boolean): string[] {
  const wanted = new Set<string>();
  const visit = (name: string) => {
    if (wanted.has(name) || !missing.includes(name)) return;
    wanted.add(name);
    for (const input of inputsOf(rowOf(name))) visit(input);
  };
  const roots = [...bundleParts(), ...(machine ? machineParts() : [])];
  for (const name of roots) if (!existsSync(join(folderOf(paths, name), "artifact.json"))) visit(name);
  return missing.filter((name) => wanted.has(name));
}

function usesCompiler(name: string): boolean {
  if (name === "bundle" || name === "machine") return false;
  const row = rowOf(name);
  return row.kind === "binary" && row.how === "go";
}

/**
 * Wall-clock seconds for making `names`, less what those that run have taken already. The compiler uses every core, so
 * it sets the pace; the rest goes on beside it at half of its own speed.
 */
export function remainingSeconds(
  names: readonly string[],
  spentSeconds: (name: string) => number = () => 0,
): number {
  const last: readonly string[] = names.filter((name) => name === "bundle" || name === "machine");
  const sum = (some: readonly string[]) =>
    some.reduce((total, name) => total + Math.max(0, estimateSeconds(name) - spentSeconds(name)), 0);
  const compile = names.filter(usesCompiler);
  const rest = names.filter((name) => !usesCompiler(name) && !last.includes(name));
  return Math.max(sum(compile) + sum(rest) / 2, sum(rest)) + sum(last);
}

/**
 * How much slower (or faster) than estimated this machine is now, from the steps that have ended and those that have
 * already taken longer than estimated. 1 until half a minute of estimated work has been seen.
 */
export function observedPace(taken: ReadonlyMap<string, number>): number {
  let estimated = 0;
  let actual = 0;
  for (const [name, seconds] of taken) {
    estimated += estimateSeconds(name);
    actual += seconds;
  }
  return estimated < 30 ? 1 : Math.min(Math.max(actual / estimated, 0.3), 5);
}
