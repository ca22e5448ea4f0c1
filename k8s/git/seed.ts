import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { projectRoot } from "../../components/sourceFile";

/** Content of a file: text, or bytes in base64. */
export type SeedFile = string | { readonly base64: string };

/** First content of a repository. */
export interface RepositorySeed {
  /** The default branch, which gets the content. */
  readonly branch: string;
  /** Files by their path in the repository. */
  readonly files: Readonly<Record<string, SeedFile>>;
}

/** What a ConfigMap of a seed holds. */
export interface SeedData {
  readonly data: Readonly<Record<string, string>>;
  readonly binaryData: Readonly<Record<string, string>>;
}

/** Most bytes the API server lets a ConfigMap have. */
export const SEED_LIMIT = 1024 * 1024;

/** What work on the sources leaves behind; never part of a seed. */
const LEFTOVERS = /^(\.git|\.venv|node_modules|__pycache__|\.pytest_cache|\.ruff_cache)$|\.pyc$/;

/**
 * The files of a folder of the project, for example `samples/app`, by their path below `prefix`. Valid UTF-8 is text, all
 * else base64.
 */
export function readSeedFolder(folder: string, prefix = ""): Record<string, SeedFile> {
  const root = join(projectRoot(), folder);
  const files = (below: string): string[] =>
    readdirSync(below, { withFileTypes: true })
      .filter((entry) => !LEFTOVERS.test(entry.name))
      .flatMap((entry) => (entry.isDirectory() ? files(join(below, entry.name)) : [join(below, entry.name)]));
  return Object.fromEntries(
    files(root)
      .sort()
      .map((path) => [join(prefix, relative(root, path)), readSeedFile(path)]),
  );
}

function readSeedFile(path: string): SeedFile {
  const bytes = readFileSync(path);
  const text = bytes.toString("utf8");
  return Buffer.from(text).equals(bytes) && !text.includes("\0")
    ? text
    : { base64: bytes.toString("base64") };
}

/**
 * A seed as a ConfigMap: each file under a key of its own, so that a preview shows what changes, and the list of keys and
 * paths, because a key may not hold a slash.
 */
export function renderSeed(seed: RepositorySeed): SeedData {
  const entries = Object.entries(seed.files)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([path, file]) => ({ path, file, key: keyOf(path) }));
  const data: Record<string, string> = {
    branch: seed.branch,
    paths: entries.map(({ key, path }) => `${key} ${path}\n`).join(""),
  };
  const binaryData: Record<string, string> = {};
  for (const { key, file } of entries) {
    if (typeof file === "string") data[key] = file;
    else binaryData[key] = file.base64;
  }
  return { data, binaryData };
}

/** Bytes of a ConfigMap as the API server counts them. */
export function seedSize({ data, binaryData }: SeedData): number {
  const text = Object.values(data).reduce((sum, value) => sum + Buffer.byteLength(value), 0);
  return Object.values(binaryData).reduce((sum, value) => sum + Buffer.byteLength(value, "base64"), text);
}

/** The file's name to recognize it by, and a hash of its whole path to keep it apart. */
function keyOf(path: string): string {
  const hash = createHash("sha256").update(path).digest("hex").slice(0, 8);
  return `${hash}-${basename(path).replace(/[^A-Za-z0-9._-]/g, "-")}`.slice(0, 253);
}
