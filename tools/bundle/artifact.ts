import { readFileSync } from "node:fs";
import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withLock } from "../cache/lock";
import type { CachePaths } from "../cache/paths";
import { buildFolder, verifyFolder } from "../cache/store";

/** What a finished artifact's folder says of itself, in `artifact.json`. */
export interface ArtifactRecord {
  readonly name: string;
  readonly version: string;
  readonly key: string;
  readonly origin: "download" | "build";
  /** Wall-clock seconds of the making, without waiting for inputs or for other builds. */
  readonly seconds: number;
  /** What later steps need to know: layer digests, for example. */
  readonly info: Readonly<Record<string, unknown>>;
}

/** A finished artifact. */
export interface Artifact {
  readonly dir: string;
  readonly record: ArtifactRecord;
}

/** What a builder says about the folder it filled. */
export interface BuildResult {
  readonly origin: "download" | "build";
  readonly info?: Readonly<Record<string, unknown>>;
  /** Seconds of the making itself. @default all the time `build` took */
  readonly seconds?: number;
}

/** What is to be made. */
export interface ArtifactRequest {
  readonly name: string;
  readonly version: string;
  /** Twelve hex digits of everything that decides the content. */
  readonly key: string;
  /** Where the finished folder goes. */
  readonly dir: string;
  /** Fills the empty folder `draft`; nothing is kept unless this succeeds. */
  readonly build: (draft: string) => Promise<BuildResult>;
  /** Lines worth telling: a discarded folder, a lock waited for. */
  readonly onMessage: (message: string) => void;
}

const recordName = "artifact.json";

/** Folder of an artifact in the store: `<name>-<version>-<key>`. */
export function artifactFolder(paths: CachePaths, name: string, version: string, key: string): string {
  return join(paths.store, `${name}-${version.replace(/[^A-Za-z0-9._-]/g, "_")}-${key}`);
}

/** The record of a finished folder. Undefined when there is none. */
export function readRecord(dir: string): ArtifactRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(dir, recordName), "utf8")) as ArtifactRecord;
  } catch {
    return undefined;
  }
}

/** The artifact when its folder is there and whole; else what is wrong with it, or nothing when it is not there. */
export async function checkArtifact(
  dir: string,
  full = false,
): Promise<{ readonly artifact?: Artifact; readonly problem?: string }> {
  if (!(await stat(dir).catch(() => undefined))) return {};
  const problems = await verifyFolder(dir, { full });
  const record = readRecord(dir);
  if (problems.length === 0 && record !== undefined) return { artifact: { dir, record } };
  return { problem: problems[0] ?? `${join(dir, recordName)} cannot be read` };
}

/**
 * Gives the finished artifact, making it first where it is missing, half-built or corrupted. Two runs that want the
 * same one do not make it twice: the second waits for the first.
 */
export async function ensureArtifactFolder(paths: CachePaths, request: ArtifactRequest): Promise<Artifact> {
  const quick = await checkArtifact(request.dir);
  if (quick.artifact !== undefined) return quick.artifact;
  const lock = join(paths.locks, `${request.name}-${request.key}`);
  const work = async (): Promise<Artifact> => {
    const found = await checkArtifact(request.dir);
    if (found.artifact !== undefined) return found.artifact;
    if (found.problem !== undefined) {
      request.onMessage(`discarded and made again: ${found.problem}`);
      await rm(request.dir, { recursive: true, force: true });
    }
    const started = Date.now();
    let record: ArtifactRecord | undefined;
    await buildFolder(request.dir, async (draft) => {
      const result = await request.build(draft);
      record = {
        name: request.name,
        version: request.version,
        key: request.key,
        origin: result.origin,
        seconds: Math.round((result.seconds ?? (Date.now() - started) / 1000) * 10) / 10,
        info: result.info ?? {},
      };
      await writeFile(join(draft, recordName), `${JSON.stringify(record, null, 1)}\n`);
    });
    return { dir: request.dir, record: record as unknown as ArtifactRecord };
  };
  return withLock(lock, work, {
    onWait: (owner) => request.onMessage(`waiting for process ${owner.pid}, which makes the same`),
    onStale: (owner) => request.onMessage(`took over from process ${owner?.pid ?? "unknown"}, which is gone`),
  });
}
