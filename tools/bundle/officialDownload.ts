import { createReadStream, createWriteStream } from "node:fs";
import { chmod, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { download, downloadText, type UnreachableHosts } from "../cache/download";
import { runCommand } from "./runCommand";

/** An official file: where it is, where its checksum is, and which member of an archive is meant. */
export interface OfficialFile {
  readonly url: string;
  /** Serves the SHA-256, alone or in `sha256sum` format. @default unchecked: only for texts served over TLS */
  readonly sha256Url?: string;
  /** Path inside a tar.gz. @default the file itself, unpacked where it ends in `.gz` */
  readonly member?: string;
}

/** The SHA-256 for `file` out of a checksum file. Undefined when it names none. */
export function parseChecksum(text: string, file: string): string | undefined {
  const lines = text.trim().split("\n");
  const line = lines.length === 1 ? lines[0] : lines.find((one) => one.trim().split(/[\s*]+/)[1] === file);
  return /^[0-9a-f]{64}\b/i.exec(line?.trim() ?? "")?.[0].toLowerCase();
}

/**
 * Fetches an official file into `target`. Gives the reason when it cannot be had, and never keeps a file whose checksum
 * is not the one the publisher names.
 */
export async function fetchOfficial(
  source: OfficialFile,
  target: string,
  unreachable: UnreachableHosts,
  log: string,
  mode = 0o755,
): Promise<string | undefined> {
  const packed = `${target}.download`;
  try {
    const file = new URL(source.url).pathname.split("/").pop() ?? "";
    let sha256: string | undefined;
    if (source.sha256Url !== undefined) {
      sha256 = parseChecksum(await downloadText(source.sha256Url, { unreachable }), file);
      if (sha256 === undefined) return `${source.sha256Url} holds no SHA-256 for ${file}`;
    }
    await download(source.url, packed, { unreachable, ...(sha256 === undefined ? {} : { sha256 }) });
    if (source.member === undefined && file.endsWith(".gz")) {
      await pipeline(createReadStream(packed), createGunzip(), createWriteStream(target));
    } else if (source.member === undefined) {
      await rename(packed, target);
    } else {
      const unpacked = `${target}.unpacked`;
      await mkdir(unpacked, { recursive: true });
      await runCommand("tar", ["-C", unpacked, "-xzf", packed, source.member], {
        log,
        purpose: `unpack ${file}`,
      });
      await rename(join(unpacked, source.member), target);
      await rm(unpacked, { recursive: true });
    }
    await chmod(target, mode);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await rm(packed, { force: true });
  }
}
