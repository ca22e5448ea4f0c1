import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isRunning } from "../cache/lock";

const scratchName = /^scratch-.+\.(\d+)\.[A-Za-z0-9]+$/;

/**
 * Runs `work` with a new empty folder below `parent`, which is removed afterwards. Its name holds the process number, so
 * that what a killed run left is told from what another run uses.
 */
export async function withScratch<T>(
  parent: string,
  label: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, `scratch-${label}.${process.pid}.`));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Removes what runs that no longer live left below `parent`. */
export async function removeDeadScratch(parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [] as string[])) {
    const pid = scratchName.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) {
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}
