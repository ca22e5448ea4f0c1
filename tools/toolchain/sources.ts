import { isUtf8 } from "node:buffer";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { contentKey } from "../cache/paths";
import type { GoSource } from "./types";

/**
 * Key of what a build makes: another source, module version or linker value gives another one. The Go version is left
 * out: an update of Go is no reason to build the engine anew.
 */
export async function buildKey(projectRoot: string, source: GoSource): Promise<string> {
  const files = [join(source.moduleFolder, "go.mod"), join(source.moduleFolder, "go.sum")];
  for (const folder of source.sources) files.push(...(await goFiles(projectRoot, folder)));
  const texts = await Promise.all(
    files.map(async (file) => [file, textOf(await readFile(join(projectRoot, file)))] as const),
  );
  return contentKey({
    package: source.package,
    variables: source.variables,
    files: Object.fromEntries(texts),
  });
}

/** Embedded files need not be text. */
function textOf(content: Buffer): string {
  return content.toString(isUtf8(content) ? "utf8" : "base64");
}

/** Files that are compiled or embedded: all but tests and their data. */
async function goFiles(projectRoot: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(projectRoot, folder), { withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory() && entry.name !== "testdata") found.push(...(await goFiles(projectRoot, path)));
    else if (entry.isFile() && !/_test\.go$|\.md$/.test(entry.name)) found.push(path);
  }
  return found.sort();
}
