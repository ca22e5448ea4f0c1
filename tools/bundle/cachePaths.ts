import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Where everything that was downloaded or built is kept. */
export interface CachePaths {
  readonly root: string;
  /** One folder per artifact: `<name>-<version>-<key12>`. */
  readonly store: string;
  /** Compiler caches and unfinished work; may be removed whenever nothing is being built. */
  readonly work: string;
  readonly bundle: string;
  readonly machine: string;
  readonly logs: string;
}

/** `$GOURMETGRAM_CACHE`, else `$XDG_CACHE_HOME/gourmetgram`, else `~/.cache/gourmetgram`. */
export function resolveCachePaths(env: NodeJS.ProcessEnv = process.env): CachePaths {
  const root = resolve(
    env["GOURMETGRAM_CACHE"] || join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "gourmetgram"),
  );
  return {
    root,
    store: join(root, "store"),
    work: join(root, "work"),
    bundle: join(root, "bundle"),
    machine: join(root, "machine"),
    logs: join(root, "logs"),
  };
}
