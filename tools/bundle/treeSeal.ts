import { createHash, type Hash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "../cache/store";

/**
 * Seal of a whole tree of tens of thousands of files: one hash over what `lstat` tells of each, quick enough for every
 * start, and one over the contents, for when the quick one differs (a copied cache) or somebody asks.
 */
export interface TreeSeal {
  readonly quick: string;
  readonly full: string;
  readonly files: number;
  readonly bytes: number;
}

const sealName = ".seal.json";

interface TreeFile {
  readonly path: string;
  readonly kind: "file" | "link" | "other";
  readonly size: bigint;
  readonly identity: string;
}

function listTree(root: string): TreeFile[] {
  const found: TreeFile[] = [];
  const visit = (folder: string) => {
    for (const name of readdirSync(join(root, folder)).sort()) {
      const path = folder === "" ? name : `${folder}/${name}`;
      if (path === sealName) continue;
      const info = lstatSync(join(root, path), { bigint: true });
      if (info.isDirectory()) {
        visit(path);
        continue;
      }
      const kind = info.isFile() ? "file" : info.isSymbolicLink() ? "link" : "other";
      // Not the change time: a hard link to the file made elsewhere changes that one.
      found.push({
        path,
        kind,
        size: info.size,
        identity: `${info.mode} ${info.size} ${info.mtimeNs} ${info.ino}`,
      });
    }
  };
  visit("");
  return found;
}

function quickHash(files: readonly TreeFile[]): string {
  const hash: Hash = createHash("sha256");
  for (const file of files) hash.update(`${file.path}\0${file.identity}\n`);
  return hash.digest("hex");
}

async function fullHash(root: string, files: readonly TreeFile[]): Promise<string> {
  const hash = createHash("sha256");
  for (const file of files) {
    let content = file.kind as string;
    if (file.kind === "file") {
      // Small files at once: opening a stream for each of them takes longer than reading.
      content =
        file.size < 1_000_000n
          ? createHash("sha256")
              .update(readFileSync(join(root, file.path)))
              .digest("hex")
          : await sha256(join(root, file.path));
    } else if (file.kind === "link") content = readlinkSync(join(root, file.path));
    hash.update(`${file.path}\0${content}\n`);
  }
  return hash.digest("hex");
}

/** Writes the seal of everything below `root`. */
export async function sealTree(root: string): Promise<TreeSeal> {
  const files = listTree(root);
  const seal: TreeSeal = {
    quick: quickHash(files),
    full: await fullHash(root, files),
    files: files.length,
    bytes: Number(files.reduce((sum, file) => sum + file.size, 0n)),
  };
  writeFileSync(join(root, sealName), JSON.stringify(seal));
  return seal;
}

/** What is wrong with a sealed tree; nothing when it is as it was sealed. */
export async function checkTree(root: string, full = false): Promise<string | undefined> {
  let seal: TreeSeal;
  try {
    seal = JSON.parse(readFileSync(join(root, sealName), "utf8")) as TreeSeal;
  } catch {
    return `${root} was never finished`;
  }
  const files = listTree(root);
  const quick = quickHash(files);
  if (quick === seal.quick && !full) return undefined;
  if ((await fullHash(root, files)) !== seal.full) {
    return `${root} is not as it was made: ${files.length} files, ${seal.files} then, or other contents`;
  }
  if (quick !== seal.quick) writeFileSync(join(root, sealName), JSON.stringify({ ...seal, quick }));
  return undefined;
}
