import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Absolute path of the project's root: the nearest folder above this file that holds `Pulumi.yaml`, so the answer
 * is the same from the sources (tests) and from the compiled program.
 */
export function projectRoot(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, "Pulumi.yaml"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no Pulumi.yaml in any folder above ${__dirname}`);
    folder = parent;
  }
  return folder;
}

/** Text of a file that is part of the project, named from its root, for example `k8s/cluster/scripts/node.sh`. */
export function readSource(path: string): string {
  return readFileSync(join(projectRoot(), path), "utf8");
}

/** Names of the files of a folder of the project with this ending, sorted; folders below it are not looked into. */
export function readSourceNames(folder: string, ending: string): string[] {
  return readdirSync(join(projectRoot(), folder))
    .filter((name) => name.endsWith(ending))
    .sort();
}
