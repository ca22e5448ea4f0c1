import { join } from "node:path";
import { pinRows } from "../../stacks/pins";
import type { CachePaths } from "../cache/paths";
import { artifactFolder } from "./artifact";
import { artifactKey, bundleKey, bundleParts, inputsOf, machineKey, machineParts, rowOf } from "./recipes";

/** Everything the bundle needs, inputs before what is made of them. */
export function wantedNames(machine: boolean): string[] {
  const ordered: string[] = [];
  const visit = (name: string) => {
    if (ordered.includes(name)) return;
    for (const input of inputsOf(rowOf(name))) visit(input);
    ordered.push(name);
  };
  const roots = new Set([...bundleParts(), ...(machine ? machineParts() : [])]);
  const inTableOrder = [...roots, ...[...roots].flatMap((name) => inputsOf(rowOf(name)))];
  for (const name of inTableOrder) visit(name);
  return ordered;
}

/** Place in the table: what comes first there is made first. */
export function rankOf(name: string): number {
  return Object.keys(pinRows).indexOf(name);
}

/** Where the finished artifact of this name lies. */
export function folderOf(paths: CachePaths, name: string): string {
  return artifactFolder(paths, name, rowOf(name).version, artifactKey(name));
}

/** Where the assembled bundle lies. */
export function bundleFolder(paths: CachePaths): string {
  return join(paths.bundle, bundleKey());
}

/** Where the image of local machines lies. */
export function machineFolder(paths: CachePaths): string {
  return join(paths.machine, machineKey());
}
