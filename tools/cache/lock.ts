import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { link, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Who holds a lock; the lock file's content as JSON. */
export interface LockOwner {
  readonly pid: number;
  readonly host: string;
  /** Kernel start time of the process in clock ticks, so that a reused pid is not taken for the owner. */
  readonly startTicks: string | undefined;
  /** ISO 8601 time at which the lock was taken. */
  readonly since: string;
}

export interface LockOptions {
  /** How long to wait for a living owner, in seconds. @default 7200 */
  readonly waitSeconds?: number;
  /** Called once when the lock is found taken by a living process. */
  readonly onWait?: (owner: LockOwner) => void;
  /** Called when the lock of a dead process of this host was removed. */
  readonly onStale?: (owner: LockOwner | undefined) => void;
  /** Time between two looks at a taken lock, in milliseconds. @default 250 */
  readonly pollMilliseconds?: number;
}

/**
 * Runs `body` while holding the lock file `path`. A lock whose owner is a dead process of this host is taken over;
 * one from another host (a home folder on the network) is never touched.
 *
 * @throws Error naming the file, the owner and what to do, when the lock stays taken for `waitSeconds`.
 */
export async function withLock<T>(
  path: string,
  body: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  await acquireLock(path, options);
  try {
    return await body();
  } finally {
    await rm(path, { force: true });
  }
}

async function acquireLock(path: string, options: LockOptions): Promise<void> {
  const deadline = Date.now() + (options.waitSeconds ?? 7200) * 1000;
  await mkdir(dirname(path), { recursive: true });
  for (let told = false; ; ) {
    if (await tryCreate(path)) return;
    const owner = await readOwner(path);
    if (owner === "gone") continue;
    if (owner === undefined || isDead(owner)) {
      // Unreadable counts as dead: living owners write theirs in one step.
      if (await removeStale(path)) options.onStale?.(owner);
    } else if (Date.now() > deadline) {
      throw new Error(
        `${path} is held by process ${owner.pid} on ${owner.host} since ${owner.since}. ` +
          `Wait for it to end; if you are sure that it no longer runs, remove that file and run this again.`,
      );
    } else {
      if (!told) options.onWait?.(owner);
      told = true;
    }
    await sleep(options.pollMilliseconds ?? 250);
  }
}

/** Creates the lock with its content in one step: a reader never sees an empty file of a living owner. */
async function tryCreate(path: string): Promise<boolean> {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  const owner: LockOwner = {
    pid: process.pid,
    host: hostname(),
    startTicks: startTicks(process.pid),
    since: new Date().toISOString(),
  };
  await writeFile(draft, `${JSON.stringify(owner)}\n`);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function readOwner(path: string): Promise<LockOwner | undefined | "gone"> {
  try {
    const owner = JSON.parse(await readFile(path, "utf8")) as LockOwner;
    return typeof owner?.pid === "number" ? owner : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "gone";
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isDead(owner: LockOwner): boolean {
  if (owner.host !== hostname()) return false;
  return !isRunning(owner.pid, owner.startTicks);
}

/** Whether process `pid` of this host runs and, where the kernel tells, is the one that started at `ticks`. */
export function isRunning(pid: number, ticks?: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const now = startTicks(pid);
  return ticks === undefined || now === undefined || now === ticks;
}

function startTicks(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name may hold spaces and parentheses; fields are counted from behind its last one.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/**
 * Removes a dead owner's lock. Only one waiter at a time may do so (a second file guards it), else a slow waiter could
 * remove the fresh lock of a quick one. The guard is held for microseconds; one older than ten seconds is a leftover.
 */
async function removeStale(path: string): Promise<boolean> {
  const guard = `${path}.takeover`;
  if (!(await tryCreate(guard))) {
    const age = await stat(guard).then(
      (s) => Date.now() - s.mtimeMs,
      () => 0,
    );
    if (age > 10_000) await rm(guard, { force: true });
    return false;
  }
  try {
    const owner = await readOwner(path);
    if (owner === "gone" || (owner && !isDead(owner))) return false;
    await rm(path, { force: true });
    return true;
  } finally {
    await rm(guard, { force: true });
  }
}
