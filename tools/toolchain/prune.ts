import { readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { ToolchainSettings } from "./types";

/** How long something unused is kept: other checkouts of this project may share the cache. */
const KEEP_MS = 14 * 24 * 3_600_000;

/** Notes that a folder is in use. */
export async function touchFolder(folder: string): Promise<void> {
  const now = new Date();
  // A cache that may not be written to still serves.
  await utimes(folder, now, now).catch(() => undefined);
}

/** Removes earlier toolchains, downloads and builds that nobody used for two weeks. */
export async function pruneToolchains(settings: ToolchainSettings): Promise<void> {
  const ours = settings.parts.flatMap(({ files }) => files);
  await removeOld(settings.paths.toolchain, () => true);
  await removeOld(settings.paths.store, (name) => ours.some((file) => name.startsWith(`${file}-`)));
}

async function removeOld(parent: string, isOurs: (name: string) => boolean): Promise<void> {
  for (const name of (await readdir(parent).catch(() => [])).filter(isOurs)) {
    const folder = join(parent, name);
    const info = await stat(folder).catch(() => undefined);
    if (info && Date.now() - info.mtimeMs > KEEP_MS) await rm(folder, { recursive: true, force: true });
  }
}
