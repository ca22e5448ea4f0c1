import { execFile } from "node:child_process";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { ChecksumMismatch, download, downloadText, type UnreachableHosts } from "../cache/download";
import { buildFolder } from "../cache/store";
import type { StepTimer } from "./progress";
import { builtFolder, isWhole, officialFolder, type ResolvedPart } from "./resolve";
import type { Part, ToolchainSettings } from "./types";

/**
 * Gets a part: the official download, else built from source.
 *
 * @throws Error naming both remedies when neither is possible; ChecksumMismatch when the download is not what its
 * makers say it is: that is never papered over by building.
 */
export async function acquirePart(
  settings: ToolchainSettings,
  part: Part,
  unreachable: UnreachableHosts,
  timer: StepTimer,
): Promise<ResolvedPart> {
  const refused = await tryDownload(settings, part, unreachable, timer);
  if (refused !== undefined) return buildPart(settings, part, refused, timer);
  const folder = officialFolder(settings, part);
  return { part, origin: "official", files: part.files.map((file) => join(folder, file)) };
}

/** Downloads the part; returns why that is not possible, or undefined when it is there. */
async function tryDownload(
  settings: ToolchainSettings,
  part: Part,
  unreachable: UnreachableHosts,
  timer: StepTimer,
): Promise<string | undefined> {
  if (settings.env["GOURMETGRAM_DOWNLOADS"] === "off") return "GOURMETGRAM_DOWNLOADS is off";
  const step = `download ${part.name} ${part.version}`;
  try {
    const sha256 = await expectedChecksum(part, unreachable);
    timer.start(step, `downloading ${part.name} ${part.version}`);
    await buildFolder(officialFolder(settings, part), async (draft) => {
      const archive = join(draft, "archive.tar.gz");
      await download(part.official.url, archive, {
        sha256,
        unreachable,
        onProgress: ({ receivedBytes, totalBytes }) =>
          timer.progress(
            totalBytes ? receivedBytes / totalBytes : 0,
            `${Math.round(receivedBytes / 2 ** 20)} MiB`,
          ),
      });
      await unpack(archive, draft, part);
      await rm(archive);
    });
    timer.done(`${part.name} ${part.version} downloaded`);
    return undefined;
  } catch (error) {
    if (error instanceof ChecksumMismatch) throw error;
    return (error as Error).message;
  }
}

async function expectedChecksum(part: Part, unreachable: UnreachableHosts): Promise<string> {
  const { checksumsUrl, url } = part.official;
  const archive = basename(new URL(url).pathname);
  const lines = (await downloadText(checksumsUrl, { unreachable })).split("\n");
  const entry = lines.map((line) => line.trim().split(/\s+\*?/)).find(([, name]) => name === archive);
  const sum = entry?.[0];
  if (!sum || !/^[0-9a-f]{64}$/.test(sum)) throw new Error(`${checksumsUrl} has no SHA-256 for ${archive}`);
  return sum;
}

async function unpack(archive: string, draft: string, part: Part): Promise<void> {
  const staging = join(draft, "unpacked");
  await mkdir(staging);
  await promisify(execFile)("tar", [
    "-xzf",
    archive,
    "-C",
    staging,
    "--no-same-owner",
    ...part.official.members,
  ]);
  for (const [index, member] of part.official.members.entries()) {
    const file = join(draft, part.files[index] as string);
    await rename(join(staging, member), file);
    await chmod(file, 0o755);
  }
  await rm(staging, { recursive: true });
}

async function buildPart(
  settings: ToolchainSettings,
  part: Part,
  downloadRefused: string,
  timer: StepTimer,
): Promise<ResolvedPart> {
  const go = await settings.findGo();
  if (!go) throw new Error(bothRemedies(part, downloadRefused));
  const files: string[] = [];
  for (const [index, file] of part.files.entries()) {
    const source = part.builds[index];
    const folder = await builtFolder(settings, part, index);
    files.push(join(folder, file));
    if (!source || (await isWhole(folder))) continue;
    const label = file.replace(/^pulumi-(resource-)?/, "");
    timer.start(
      `build ${label} ${part.version}`,
      `building ${label} ${part.version} from source with ${go.version}`,
    );
    await buildFolder(folder, async (draft) => {
      await settings.build(go, source, join(draft, file), (done, total) =>
        timer.progress(done / total, `${done} of ${total} packages`),
      );
    });
    timer.done(`${label} ${part.version} built`);
  }
  return { part, origin: "built", files };
}

function bothRemedies(part: Part, downloadRefused: string): string {
  const place = part.pluginFolder
    ? `install it on this machine (pulumi plugin install resource ${part.standIns[0]} v${part.version})`
    : `put pulumi ${part.version} on PATH`;
  return (
    `${part.name} ${part.version} is missing: the download failed (${downloadRefused}), and it cannot be built from ` +
    `source because there is no Go 1.21 or newer on PATH. Either install Go (https://go.dev/dl), or make ` +
    `${new URL(part.official.url).host} and ${new URL(part.official.checksumsUrl).host} reachable, or ${place}; ` +
    `then run the same command again.`
  );
}
