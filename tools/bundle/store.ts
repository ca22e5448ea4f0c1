import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, readdir, readFile, readlink, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { shortKey } from "./artifactKey";
import { withLock } from "./processLock";

/** A file of an artifact as it was when the artifact was finished. */
interface StoredFile {
  /** Relative to the artifact's folder. */
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly inode: number;
  readonly mode: number;
  readonly sha256: string;
}

/** Written last into an artifact's folder: without it the folder counts as half-built. */
export interface StoreManifest {
  readonly name: string;
  readonly version: string;
  readonly key: string;
  readonly origin: "download" | "build";
  /** Wall-clock seconds the making took. */
  readonly seconds: number;
  readonly files: readonly StoredFile[];
  /** What the builder wants to tell later steps: layer digests, package versions. */
  readonly info: Readonly<Record<string, unknown>>;
}

/** A finished artifact. */
export interface StoreEntry {
  readonly dir: string;
  readonly manifest: StoreManifest;
}

/** What a builder gives back about the folder it filled. */
export interface BuildResult {
  readonly origin: "download" | "build";
  readonly info?: Readonly<Record<string, unknown>>;
}

/** What is to be made. */
export interface StoreRequest {
  readonly name: string;
  readonly version: string;
  readonly key: string;
  /** Fills the empty folder `dir`. It is renamed into place only when this succeeds. */
  readonly build: (dir: string) => Promise<BuildResult>;
  /** Lines worth telling: a discarded entry, a lock waited for. */
  readonly onMessage: (message: string) => void;
}

const manifestName = ".artifact.json";

/** `<name>-<version>-<key12>`. */
export function entryName(name: string, version: string, key: string): string {
  return `${name}-${version.replace(/[^A-Za-z0-9._-]/g, "_")}-${shortKey(key)}`;
}

/** SHA-256 of a file, hex. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function listFiles(dir: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(dir, prefix), { withFileTypes: true })) {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await listFiles(dir, path)));
    else if (path !== manifestName) found.push(path);
  }
  return found.sort();
}

async function describeFile(dir: string, path: string): Promise<StoredFile> {
  const full = join(dir, path);
  const stat = await lstat(full);
  const sha256 = stat.isSymbolicLink()
    ? createHash("sha256")
        .update(await readlink(full))
        .digest("hex")
    : await sha256File(full);
  return { path, size: stat.size, mtimeMs: stat.mtimeMs, inode: stat.ino, mode: stat.mode & 0o7777, sha256 };
}

async function readManifest(dir: string): Promise<StoreManifest | undefined> {
  try {
    return JSON.parse(await readFile(join(dir, manifestName), "utf8")) as StoreManifest;
  } catch {
    return undefined;
  }
}

async function writeManifest(dir: string, manifest: StoreManifest): Promise<void> {
  const draft = join(dir, `${manifestName}.${process.pid}`);
  await writeFile(draft, `${JSON.stringify(manifest, null, 1)}\n`);
  await rename(draft, join(dir, manifestName));
}

/** Result of looking at an entry: a finished one, none, or one that must not be used and why. */
export type EntryCheck =
  | { readonly state: "ok"; readonly entry: StoreEntry }
  | { readonly state: "missing" }
  | { readonly state: "bad"; readonly problem: string };

/**
 * Looks at an artifact's folder. A file whose size, time and inode are those recorded is believed; any other, and with
 * `full` every one, is read and compared by SHA-256.
 */
export async function checkEntry(dir: string, key: string, full: boolean): Promise<EntryCheck> {
  try {
    await lstat(dir);
  } catch {
    return { state: "missing" };
  }
  const manifest = await readManifest(dir);
  if (manifest === undefined) return { state: "bad", problem: `${dir} is half-built: it has no readable ${manifestName}` };
  if (manifest.key !== key) return { state: "bad", problem: `${dir} was made from another recipe` };
  const fresh: StoredFile[] = [];
  let moved = false;
  for (const file of manifest.files) {
    const path = join(dir, file.path);
    let stat: Awaited<ReturnType<typeof lstat>>;
    try {
      stat = await lstat(path);
    } catch {
      return { state: "bad", problem: `${path} is missing` };
    }
    if (stat.size !== file.size) {
      return { state: "bad", problem: `${path} is corrupted: ${stat.size} bytes instead of ${file.size}` };
    }
    if (!full && stat.mtimeMs === file.mtimeMs && stat.ino === file.inode) {
      fresh.push(file);
      continue;
    }
    const now = await describeFile(dir, file.path);
    if (now.sha256 !== file.sha256) {
      return { state: "bad", problem: `${path} is corrupted: SHA-256 ${now.sha256} instead of ${file.sha256}` };
    }
    moved ||= now.mtimeMs !== file.mtimeMs || now.inode !== file.inode;
    fresh.push(now);
  }
  const updated = moved ? { ...manifest, files: fresh } : manifest;
  if (moved) await writeManifest(dir, updated);
  return { state: "ok", entry: { dir, manifest: updated } };
}

/**
 * Gives the finished artifact, making it first where it is missing, half-built or corrupted. Two runs that want the
 * same artifact do not make it twice: the second waits. Nothing under the final name is ever incomplete.
 */
export async function ensureEntry(storeDir: string, request: StoreRequest): Promise<StoreEntry> {
  const name = entryName(request.name, request.version, request.key);
  const dir = join(storeDir, name);
  const quick = await checkEntry(dir, request.key, false);
  if (quick.state === "ok") return quick.entry;
  return withLock(join(storeDir, ".locks", name), { onWait: request.onMessage }, async () => {
    const found = await checkEntry(dir, request.key, false);
    if (found.state === "ok") return found.entry;
    if (found.state === "bad") {
      request.onMessage(`discarded and made again: ${found.problem}`);
      await rm(dir, { recursive: true, force: true });
    }
    // Left by a run that was killed; the lock says that nobody works there now.
    const draft = join(storeDir, `.draft-${name}`);
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true });
    const started = Date.now();
    try {
      const result = await request.build(draft);
      const files: StoredFile[] = [];
      for (const path of await listFiles(draft)) files.push(await describeFile(draft, path));
      const manifest: StoreManifest = {
        name: request.name,
        version: request.version,
        key: request.key,
        origin: result.origin,
        seconds: (Date.now() - started) / 1000,
        files,
        info: result.info ?? {},
      };
      await writeManifest(draft, manifest);
      await rename(draft, dir);
      return { dir, manifest };
    } catch (error) {
      await rm(draft, { recursive: true, force: true });
      throw error;
    }
  });
}
