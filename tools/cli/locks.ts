import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { PROJECT_NAME } from "./project";
import { isRunning } from "./state";

/** A lock the engine left on a stack: `.pulumi/locks/organization/<project>/<stack>/<uuid>.json`. */
export interface StackLock {
  readonly path: string;
  /** What the lock says about its owner; unreadable locks have none. */
  readonly owner?: {
    readonly pid: number;
    readonly hostname: string;
    readonly username: string;
    readonly timestamp: string;
  };
}

/**
 * - `stale`: its process has ended; on this host only, and safe to remove
 * - `live`: its process runs
 * - `foreign`: of another host, or unreadable: nobody here can know
 */
export type LockState = "stale" | "live" | "foreign";

/** What tells locks apart; the defaults look at this host. */
export interface HostView {
  readonly hostname: string;
  /** True when a process with this id runs and is an engine, not a later process that got the same id. */
  readonly isEngine: (pid: number) => boolean;
}

const THIS_HOST: HostView = { hostname: hostname(), isEngine };

export function findLocks(stateRoot: string, stack: string): StackLock[] {
  const folder = join(stateRoot, ".pulumi", "locks", "organization", PROJECT_NAME, stack);
  if (!existsSync(folder)) {
    return [];
  }
  return readdirSync(folder)
    .filter((name) => name.endsWith(".json"))
    .map((name) => readLock(join(folder, name)));
}

export function lockState(lock: StackLock, host: HostView = THIS_HOST): LockState {
  if (lock.owner === undefined || lock.owner.hostname !== host.hostname) {
    return "foreign";
  }
  return host.isEngine(lock.owner.pid) ? "live" : "stale";
}

/** Removes locks whose process has ended. Returns one message per lock removed. */
export function clearStaleLocks(locks: readonly StackLock[], host: HostView = THIS_HOST): string[] {
  return locks
    .filter((lock) => lockState(lock, host) === "stale")
    .map((lock) => {
      rmSync(lock.path, { force: true });
      rmSync(`${lock.path}.attrs`, { force: true });
      return `Removed the lock of an earlier run that was killed (process ${lock.owner?.pid}, ${lock.owner?.timestamp}).`;
    });
}

/** What to tell about a lock that stays: what it is, and what to do. */
export function describeLock(
  lock: StackLock,
  stack: string,
  host: HostView = THIS_HOST,
): { readonly found: string; readonly next: string } {
  const owner = lock.owner;
  if (owner === undefined) {
    return {
      found: `The environment "${stack}" is locked by ${lock.path}, which cannot be read.`,
      next: "if no other run works on it, remove that file",
    };
  }
  if (lockState(lock, host) === "live") {
    return {
      found: `Another run works on the environment "${stack}" now: process ${owner.pid} of ${owner.username}, since ${owner.timestamp}.`,
      next: `wait for it, or stop it with: kill -INT ${owner.pid}`,
    };
  }
  return {
    found: `The environment "${stack}" is locked by ${owner.username} on host ${owner.hostname} (process ${owner.pid}, since ${owner.timestamp}). Whether that run still works cannot be known from here.`,
    next: `make sure it has ended, then remove ${lock.path}`,
  };
}

function readLock(path: string): StackLock {
  try {
    const content = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    const { pid, hostname: host, username, timestamp } = content;
    if (typeof pid === "number" && typeof host === "string") {
      const owner = { pid, hostname: host, username: String(username), timestamp: String(timestamp) };
      return { path, owner };
    }
  } catch {
    // Half written or not JSON: an unreadable lock is treated like a foreign one, never removed.
  }
  return { path };
}

function isEngine(pid: number): boolean {
  const commandLine = join("/proc", String(pid), "cmdline");
  if (existsSync("/proc/self/cmdline")) {
    try {
      return readFileSync(commandLine, "utf8").split("\0")[0]?.endsWith("pulumi") ?? false;
    } catch {
      return false;
    }
  }
  return isRunning(pid);
}
