import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CachePaths } from "../cache/paths";

/** Mount tables of every process that can be seen: local machines have their own. */
async function readMountTables(): Promise<string> {
  const tables: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (/^\d+$/.test(pid))
      tables.push(await readFile(join("/proc", pid, "mountinfo"), "utf8").catch(() => ""));
  }
  return [...new Set(tables)].join("\n");
}

/**
 * Whether a mount shows the folder `<kind>/<key>` of a cache, or the folder of all of that kind. Paths are compared by
 * their ends, because a mount table names them from the root of their own file system.
 */
export function isMounted(mounts: string, kind: "bundle" | "machine", key: string): boolean {
  return mounts.split("\n").some((line) => {
    const source = line.split(" ")[3] ?? "";
    return line.includes(`/${kind}/${key}`) || source.endsWith(`/gourmetgram/${kind}`);
  });
}

/**
 * Removes bundles and machine images that are neither current nor mounted anywhere. Gives the folders removed and those
 * kept because something runs on them.
 */
export async function pruneOld(
  paths: CachePaths,
  current: readonly string[],
  readMounts: () => Promise<string> = readMountTables,
): Promise<{ readonly removed: string[]; readonly inUse: string[] }> {
  const mounts = await readMounts();
  const removed: string[] = [];
  const inUse: string[] = [];
  for (const kind of ["bundle", "machine"] as const) {
    for (const key of await readdir(paths[kind]).catch(() => [] as string[])) {
      const folder = join(paths[kind], key);
      if (!/^[0-9a-f]{12}$/.test(key) || current.includes(folder)) continue;
      if (isMounted(mounts, kind, key)) {
        inUse.push(folder);
        continue;
      }
      await rm(folder, { recursive: true });
      removed.push(folder);
    }
  }
  return { removed, inUse };
}
