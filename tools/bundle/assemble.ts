import { copyFile, link, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../cache/store";
import type { Artifact } from "./artifact";
import { bundleKey, nodePrograms, rowOf } from "./recipes";

/** Puts the finished parts together by hard links. */
export async function assembleBundle(draft: string, parts: ReadonlyMap<string, Artifact>): Promise<void> {
  const place = async (source: string, folder: string, name: string) => {
    await mkdir(join(draft, folder), { recursive: true });
    const target = join(draft, folder, name);
    await link(source, target).catch(() => copyFile(source, target));
  };
  const sums: string[] = [];
  for (const [name, artifact] of parts) {
    const row = rowOf(name);
    for (const file of await readdir(artifact.dir)) {
      if (file.startsWith(".") || file === "artifact.json") continue;
      const source = join(artifact.dir, file);
      if (row.kind === "image") await place(source, "images", `${name.replace(/^image-/, "")}.tar`);
      else if (row.kind === "manifest") await place(source, "manifests", file);
      else if (name === "cni") await place(source, "cni", file);
      else if (nodePrograms.includes(file)) await place(source, "bin", file);
    }
  }
  const index = {
    key: bundleKey(),
    artifacts: Object.fromEntries(
      [...parts].map(([name, { record }]) => [
        name,
        {
          version: record.version,
          key: record.key,
          origin: record.origin,
          seconds: record.seconds,
          ...record.info,
        },
      ]),
    ),
  };
  await writeFile(join(draft, "bundle.json"), `${JSON.stringify(index, null, 1)}\n`);
  for (const folder of ["bin", "cni", "images", "manifests"]) {
    for (const file of (await readdir(join(draft, folder))).sort()) {
      sums.push(`${await sha256(join(draft, folder, file))}  ${folder}/${file}\n`);
    }
  }
  // What nodes take over the network is exactly what is listed here.
  sums.push(`${await sha256(join(draft, "bundle.json"))}  bundle.json\n`);
  await writeFile(join(draft, "SHA256SUMS"), sums.join(""));
}
