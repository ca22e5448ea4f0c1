import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, readdir, readFile, readlink, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { isRunning } from "./lock";

/** Name of the list of checksums in each finished folder, in the format of `sha256sum`. */
export const MANIFEST = ".sha256";
/** Sizes and times of the files when their checksums were last found right; saves reading them all again. */
const STAMP = ".verified.json";

export interface VerifyOptions {
  /** Read every file again, even those whose size, time and inode did not change since the last check. @default false */
  readonly full?: boolean;
}

/**
 * Problems of a finished folder: nothing when it is whole. A folder without a manifest is unfinished.
 * Files that appeared later are not looked at.
 */
export async function verifyFolder(folder: string, options: VerifyOptions = {}): Promise<string[]> {
  const manifest = await readFile(join(folder, MANIFEST), "utf8").catch(() => undefined);
  if (manifest === undefined) return [`${folder} has no ${MANIFEST}: it was never finished`];
  const stamp = options.full ? {} : await readStamp(folder);
  const fresh: Record<string, string> = {};
  const problems: string[] = [];
  for (const { path, sum } of parseManifest(manifest)) {
    const file = join(folder, path);
    const seen = await fingerprint(file);
    if (seen === undefined) {
      problems.push(`${file} is missing`);
    } else if (stamp[path] === `${sum} ${seen}` || (await sha256(file)) === sum) {
      fresh[path] = `${sum} ${seen}`;
    } else {
      problems.push(`${file} does not have the checksum noted when it was made (${sum.slice(0, 12)}…)`);
    }
  }
  if (problems.length === 0 && JSON.stringify(stamp) !== JSON.stringify(fresh)) {
    // A cache that may not be written to still serves; the check only costs more next time.
    await writeFile(join(folder, STAMP), JSON.stringify(fresh)).catch(() => undefined);
  }
  return problems;
}

/**
 * Makes `folder` by running `build` in a new folder beside it, writing the manifest last and renaming. Whatever was
 * at `folder` is replaced. When `build` throws, nothing is left and `folder` keeps what it had. Callers hold a lock
 * when two processes might build the same folder.
 */
export async function buildFolder(folder: string, build: (draft: string) => Promise<void>): Promise<string> {
  const parent = dirname(folder);
  await mkdir(parent, { recursive: true });
  await removeDeadDrafts(parent);
  const draft = join(parent, `.${basename(folder)}.${process.pid}.${randomBytes(4).toString("hex")}.draft`);
  await mkdir(draft);
  try {
    await build(draft);
    await sealFolder(draft);
    const old = `${draft}.old`;
    const replaced = await rename(folder, old).then(
      () => true,
      () => false,
    );
    await rename(draft, folder);
    if (replaced) await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
  return folder;
}

/** Writes the manifest of everything in `folder`, which makes it finished. */
async function sealFolder(folder: string): Promise<void> {
  const lines: string[] = [];
  const stamp: Record<string, string> = {};
  for (const path of await listFiles(folder)) {
    const sum = await sha256(join(folder, path));
    lines.push(`${sum}  ${path}\n`);
    stamp[path] = `${sum} ${await fingerprint(join(folder, path))}`;
  }
  await writeFile(join(folder, STAMP), JSON.stringify(stamp));
  const file = await open(join(folder, MANIFEST), "w");
  try {
    await file.writeFile(lines.join(""));
    await file.sync();
  } finally {
    await file.close();
  }
}

/** SHA-256 in hex of a file's bytes, or of a symbolic link's target text. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  if ((await lstat(path)).isSymbolicLink()) return hash.update(await readlink(path)).digest("hex");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

/** Files and links below `folder`, sorted, relative, `/`-separated; the manifest and the stamp are left out. */
async function listFiles(folder: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = prefix ? `${prefix}/${entry.name}` : entry.name;
    if (entry.isDirectory()) found.push(...(await listFiles(folder, path)));
    else if (path !== MANIFEST && path !== STAMP) found.push(path);
  }
  return found.sort();
}

function parseManifest(text: string): { sum: string; path: string }[] {
  return text
    .split("\n")
    .filter((line) => line.length > 66)
    .map((line) => ({ sum: line.slice(0, 64), path: line.slice(66) }));
}

async function readStamp(folder: string): Promise<Record<string, string>> {
  try {
    return JSON.parse(await readFile(join(folder, STAMP), "utf8")) as Record<string, string>;
  } catch {
    return {};
  }
}

/** Size, modification time and inode. Not the change time: a new hard link to the file changes that one. */
async function fingerprint(path: string): Promise<string | undefined> {
  const info = await lstat(path, { bigint: true }).catch(() => undefined);
  return info && `${info.size} ${info.mtimeNs} ${info.ino}`;
}

/** Half-made folders of processes that no longer run. */
async function removeDeadDrafts(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = /^\..+\.(\d+)\.[0-9a-f]{8}\.draft(\.old)?$/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid)))
      await rm(join(parent, name), { recursive: true, force: true });
  }
}
