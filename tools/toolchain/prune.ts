import { readdir, rm, stat, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import { builtFolder } from "./resolve";
import type { Part, ToolchainSettings } from "./types";

/** How long something unused is kept: other checkouts of this project may share the cache. */
const KEEP_MS = 14 * 24 * 3_600_000;

/** How long the compiler's caches are kept for somebody who works on a plugin. */
const KEEP_BUILD_CACHE_MS = 24 * 3_600_000;

/** Notes that a folder is in use. */
export async function touchFolder(folder: string): Promise<void> {
  const now = new Date();
  // A cache that may not be written to still serves.
  await utimes(folder, now, now).catch(() => undefined);
}

/**
 * Removes earlier toolchains, downloads and builds that nobody used for two weeks: of all parts, whichever this run asked
 * for. Using a toolchain with a plugin, or one without it, leaves the other alone until then.
 */
export async function pruneToolchains(settings: ToolchainSettings): Promise<void> {
  const ours = settings.parts.flatMap(({ files }) => files);
  await removeOld(settings.paths.toolchain, KEEP_MS, () => true);
  await removeOld(settings.paths.store, KEEP_MS, (name) => ours.some((file) => name.startsWith(`${file}-`)));
}

/** Removes the compiler's caches when nobody built anything for a day. */
export async function pruneBuildCache(settings: ToolchainSettings): Promise<void> {
  await removeIfOld(settings.buildCache, KEEP_BUILD_CACHE_MS);
}

/**
 * Drops the compiler's caches after a build, to give the space back. They stay for a day when another build of the same
 * program was there already: then somebody is working on a plugin, and without them each change costs minutes.
 */
export async function dropBuildCache(settings: ToolchainSettings, hadOtherBuilds: boolean): Promise<void> {
  if (hadOtherBuilds || settings.env["GOURMETGRAM_KEEP_BUILD_CACHE"] === "1")
    await touchFolder(settings.buildCache);
  else await rm(settings.buildCache, { recursive: true, force: true });
}

/** Whether the store has a build of one of the missing executables in its version, from another source. */
export async function hasBuilds(settings: ToolchainSettings, missing: readonly Part[]): Promise<boolean> {
  const names = await readdir(settings.paths.store).catch((): string[] => []);
  for (const part of missing) {
    for (const [index, file] of part.files.entries()) {
      const wanted = basename(await builtFolder(settings, part, index));
      if (names.includes(wanted)) continue;
      if (names.some((name) => name.startsWith(`${file}-${part.version}-`))) return true;
    }
  }
  return false;
}

async function removeOld(parent: string, keepMs: number, isOurs: (name: string) => boolean): Promise<void> {
  for (const name of (await readdir(parent).catch(() => [])).filter(isOurs)) {
    await removeIfOld(join(parent, name), keepMs);
  }
}

async function removeIfOld(folder: string, keepMs: number): Promise<void> {
  const info = await stat(folder).catch(() => undefined);
  if (info && Date.now() - info.mtimeMs > keepMs) await rm(folder, { recursive: true, force: true });
}
