import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Where everything that can be downloaded or built again is kept. All paths are absolute. */
export interface CachePaths {
  readonly root: string;
  /** One folder per artifact: `<name>-<version>-<key12>`. */
  readonly store: string;
  /** Assembled bundles, `<key12>`, hard links into `store`. */
  readonly bundle: string;
  /** Images local machines start from, `<key12>`. */
  readonly machine: string;
  /** Engine and provider plugins, `<key12>`. */
  readonly toolchain: string;
  /** Scratch space of builds; may be removed whenever nothing is being built. */
  readonly work: string;
  readonly goCache: string;
  readonly goModCache: string;
  readonly locks: string;
}

/**
 * The cache root: `$GOURMETGRAM_CACHE`, else `$XDG_CACHE_HOME/gourmetgram`, else `~/.cache/gourmetgram`.
 * An empty variable counts as unset.
 */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  if (env.GOURMETGRAM_CACHE) return resolve(env.GOURMETGRAM_CACHE);
  if (env.XDG_CACHE_HOME) return resolve(env.XDG_CACHE_HOME, "gourmetgram");
  return join(homedir(), ".cache", "gourmetgram");
}

export function cachePaths(root: string = cacheRoot()): CachePaths {
  const work = join(root, "work");
  return {
    root,
    store: join(root, "store"),
    bundle: join(root, "bundle"),
    machine: join(root, "machine"),
    toolchain: join(root, "toolchain"),
    work,
    // Inside `work`, so that the stay is small: the compiler's caches are dropped once everything is built.
    goCache: join(work, "gocache"),
    goModCache: join(work, "gomod"),
    locks: join(root, "locks"),
  };
}

/**
 * Twelve hex digits naming `value`. Object keys are sorted first, so the order in which a table was written
 * does not matter; array order does.
 */
export function contentKey(value: unknown): string {
  return createHash("sha256").update(canonical(value)).digest("hex").slice(0, 12);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
