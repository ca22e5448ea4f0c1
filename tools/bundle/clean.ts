import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { pinRows } from "../../stacks/pins";
import { isRunning, type LockOwner } from "../cache/lock";
import type { CachePaths } from "../cache/paths";
import { readRecord } from "./artifact";
import { folderOf } from "./folders";
import type { Report } from "./progress";
import { keptParts } from "./recipes";

/**
 * Removes from the store what only older versions of the table needed, and what the finished images hold anyway.
 * Assembled bundles and machine images stay: they hold what they need by hard links, and an environment may run on them.
 */
export async function pruneStore(paths: CachePaths): Promise<void> {
  const current = new Set(keptParts().map((name) => folderOf(paths, name)));
  for (const folder of await readdir(paths.store)) {
    const dir = join(paths.store, folder);
    const record = readRecord(dir);
    if (record === undefined || current.has(dir) || !(record.name in pinRows)) continue;
    await rm(dir, { recursive: true });
  }
}

/** Removes the compiler's caches, unless somebody else builds with them right now. */
export async function dropCaches(paths: CachePaths, report: Report): Promise<void> {
  const busy = await readdir(paths.locks).catch(() => [] as string[]);
  for (const name of busy) {
    const owner = await readFile(join(paths.locks, name), "utf8")
      .then((text) => JSON.parse(text) as LockOwner)
      .catch(() => undefined);
    if (owner !== undefined && owner.pid !== process.pid && isRunning(owner.pid, owner.startTicks)) {
      report({
        step: "clean",
        state: "done",
        seconds: 0,
        message: `kept the compiler's caches: process ${owner.pid} uses them`,
      });
      return;
    }
  }
  await rm(paths.work, { recursive: true, force: true });
}
