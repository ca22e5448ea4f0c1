import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { downloadText, HostUnreachable, type UnreachableHosts } from "../cache/download";
import { renderIndex } from "./ociImage";
import { ensurePrerequisites, missingPrerequisites, skopeo } from "./prerequisites";
import { runCommand } from "./runCommand";

/** The registry's host of an image reference, as clients dial it. */
export function registryHost(image: string): string {
  const host = image.split("/")[0] ?? "";
  return host === "docker.io" ? "registry-1.docker.io" : host;
}

/**
 * Copies an image from its registry into `<dir>/image.tar` under the bundle's name. Gives the reason when it cannot be
 * had; a registry out of reach is remembered.
 */
export async function fetchImage(
  upstream: string,
  reference: string,
  dir: string,
  unreachable: UnreachableHosts,
  log: string,
  onMessage: (message: string) => void,
): Promise<string | undefined> {
  try {
    await downloadText(`https://${registryHost(upstream)}/v2/`, { unreachable });
  } catch (error) {
    // 401 is how most registries greet: they are there.
    if (error instanceof HostUnreachable) return error.message;
  }
  const layout = join(dir, ".layout");
  try {
    await ensurePrerequisites(missingPrerequisites([skopeo]), log, onMessage);
    await runCommand(
      "skopeo",
      [
        "copy",
        "--override-os=linux",
        "--override-arch=amd64",
        "--format=oci",
        `docker://${upstream}`,
        `oci:${layout}:bundle`,
      ],
      { log, purpose: `copy ${upstream}` },
    );
    const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as {
      manifests: { digest: string; size: number }[];
    };
    const manifest = index.manifests[0];
    if (manifest === undefined) return `${upstream}: the copy holds no image`;
    const digest = manifest.digest.replace(/^sha256:/, "");
    await writeFile(join(layout, "index.json"), renderIndex(reference, digest, manifest.size));
    await runCommand("tar", ["-C", layout, "--sort=name", "-cf", join(dir, "image.tar"), "."], {
      log,
      purpose: `pack ${upstream}`,
    });
    return undefined;
  } catch (error) {
    await rm(join(dir, "image.tar"), { force: true });
    return (error as Error).message;
  } finally {
    await rm(layout, { recursive: true, force: true });
  }
}
