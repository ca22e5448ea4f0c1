import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

/** Who holds a lock. `started` tells a process from a later one with the same number. */
interface LockHolder {
  readonly pid: number;
  readonly host: string;
  readonly started: string;
}

/** Start time of a process in clock ticks since boot; empty when there is no such process or no /proc. */
function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in brackets and may hold spaces.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

function isAlive(holder: LockHolder): boolean {
  // Another host's process cannot be seen from here: believe it.
  if (holder.host !== hostname()) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return holder.started === "" || processStart(holder.pid) === holder.started;
}

function readHolder(path: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as LockHolder;
  } catch {
    return undefined;
  }
}

/** What a waiting process may want to print. */
export interface LockOptions {
  /** Called once when another process holds the lock, and when a dead one's lock is taken over. */
  readonly onWait?: (message: string) => void;
  /** Milliseconds between two looks. @default 500 */
  readonly pollMs?: number;
}

/**
 * Holds the lock file `path` while `work` runs. Waits for a living holder; takes over from a dead one of this host.
 * The lock appears whole (linked from a complete file), so an empty or torn lock is never read.
 */
export async function withLock<T>(path: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const own: LockHolder = { pid: process.pid, host: hostname(), started: processStart(process.pid) };
  const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  writeFileSync(draft, JSON.stringify(own));
  let told = false;
  try {
    for (;;) {
      try {
        linkSync(draft, path);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const holder = readHolder(path);
      if (holder !== undefined && isAlive(holder)) {
        if (!told) options.onWait?.(`waiting for process ${holder.pid} on ${holder.host}, which holds ${path}`);
        told = true;
        await new Promise((resolve) => setTimeout(resolve, options.pollMs ?? 500));
        continue;
      }
      if (holder === undefined) continue;
      // Renaming decides which of several waiting processes clears the dead one's lock.
      const grave = `${draft}.dead`;
      try {
        renameSync(path, grave);
      } catch {
        continue;
      }
      const buried = readHolder(grave);
      if (buried !== undefined && isAlive(buried)) {
        // Another process took over between the look and the renaming: give its lock back.
        try {
          linkSync(grave, path);
        } catch {
          // A third one has it already.
        }
      } else {
        options.onWait?.(`took over ${path} from process ${holder.pid}, which is gone`);
      }
      rmSync(grave, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
