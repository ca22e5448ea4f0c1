import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { imageReference, type PinRow, pinRows } from "../../stacks/pins";
import { contentKey } from "../cache/paths";

/** Changes whenever the builders of a kind make something else out of the same row. */
const builderRevision = {
  binary: 2,
  rootfs: 3,
  image: 2,
  manifest: 2,
  machine: 2,
  bundle: 2,
  containerd: 2,
} as const;

/** The folder of this part's sources: scripts and small programs are read from there, not from the compiled tree. */
export function sourceFolder(): string {
  for (let folder = __dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return join(folder, "tools", "bundle");
  }
  throw new Error(`no package.json above ${__dirname}: the project's own files are incomplete`);
}

/** The row of a name. Throws naming the known ones. */
export function rowOf(name: string): PinRow {
  const row = pinRows[name];
  if (row === undefined) {
    throw new Error(
      `no artifact named ${JSON.stringify(name)}; there are: ${Object.keys(pinRows).join(", ")}`,
    );
  }
  return row;
}

/** Rows that must be finished before this one can be built (not downloaded). */
export function inputsOf(row: PinRow): string[] {
  if (row.kind === "rootfs") return row.base === undefined ? [] : [row.base];
  if (row.kind !== "image") return [];
  const inputs = row.layers.flatMap((layer) =>
    "rootfs" in layer
      ? [layer.rootfs]
      : [
          ...Object.values(layer.files ?? {}).flatMap((file) => ("program" in file ? [file.row] : [])),
          ...Object.values(layer.layouts ?? {}),
        ],
  );
  return [...new Set(inputs)];
}

/** The key of an artifact and what it was computed from; every builder input and nothing else. */
export function artifactKey(name: string): string {
  const row = rowOf(name);
  const digest = (path: string | undefined) =>
    path === undefined
      ? undefined
      : createHash("sha256")
          .update(readFileSync(join(sourceFolder(), path)))
          .digest("hex");
  const recipe: Record<string, unknown> = { ...row, revision: builderRevision[row.kind] };
  // Where else the same thing may be had, how long it is kept and where it is put does not change what it is.
  for (const field of ["upstream", "keep", "preloaded"]) delete recipe[field];
  if (row.kind === "binary" && row.how === "go") {
    recipe["programs"] = Object.entries(row.programs).map(([program, one]) => [
      program,
      one.source === undefined ? one.package : digest(one.source),
    ]);
    if (row.alterations !== undefined)
      recipe["alterations"] = Object.entries(row.alterations).map(([path, one]) => [
        path,
        "file" in one ? digest(one.file) : one,
      ]);
  }
  if (row.kind === "binary" && row.how === "c") recipe["source"] = digest(row.source);
  if (row.kind === "rootfs") {
    recipe["before"] = digest(row.before);
    recipe["after"] = digest(row.after);
    if (row.wheels !== undefined) recipe["wheels"] = digest(row.wheels);
  }
  if (row.kind === "image") {
    recipe["reference"] = imageReference(name);
    recipe["files"] = row.layers.flatMap((layer) =>
      "rootfs" in layer
        ? []
        : Object.values(layer.files ?? {}).map((file) => ("file" in file ? digest(file.file) : undefined)),
    );
  }
  recipe["inputs"] = inputsOf(row).map((input) => [input, artifactKey(input)]);
  return contentKey(recipe);
}

/** Key of the assembled bundle: all that is in it. */
export function bundleKey(): string {
  return contentKey({
    revision: builderRevision.bundle,
    parts: bundleParts().map((name) => [name, artifactKey(name)]),
  });
}

/** Key of the image of local machines: its root file system and the images baked into its containerd. */
export function machineKey(): string {
  const images = bundleParts().filter((name) => rowOf(name).kind === "image");
  return contentKey({
    revision: builderRevision.containerd,
    parts: [...machineParts(), ...images].map((name) => [name, artifactKey(name)]),
  });
}

/** Programs that go into `bin/` of the bundle. */
export const nodePrograms: readonly string[] = ["kubeadm", "kubelet", "kubectl", "etcdctl", "argo"];

/** Rows that the assembled bundle holds; their inputs come with them. */
export function bundleParts(): string[] {
  return Object.keys(pinRows).filter((name) => {
    const row = rowOf(name);
    if (row.kind === "image") return row.preloaded !== false;
    if (row.kind === "manifest" || name === "cni") return true;
    return (
      row.kind === "binary" && row.how === "go" && nodePrograms.some((program) => program in row.programs)
    );
  });
}

/** Rows that stay in the store when everything is made; the others are only ways to images, which hold them. */
export function keptParts(): string[] {
  return Object.keys(pinRows).filter((name) => {
    const row = rowOf(name);
    return (
      bundleParts().includes(name) ||
      row.kind === "machine" ||
      (row.kind === "binary" && row.how === "go" && row.keep)
    );
  });
}

/** Rows that only local machines need. */
export function machineParts(): string[] {
  return Object.keys(pinRows).filter((name) => rowOf(name).kind === "machine");
}
