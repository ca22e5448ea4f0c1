import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";

/** One member of an archive. Owner is root and the time is fixed unless said otherwise. */
export type TarMember = {
  readonly path: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
} & (
  | { readonly type: "folder" }
  | { readonly type: "link"; readonly target: string }
  | { readonly type: "file"; readonly content: Buffer }
  | { readonly type: "file"; readonly from: string }
);

/** Seconds since 1970 of every member, so that the same input gives the same bytes: 2025-01-01T00:00:00Z. */
export const archiveTime = 1735689600;

const typeFlags = { file: "0", link: "2", folder: "5" } as const;

/** A ustar header. Throws on a path over 100 bytes or a file over 8 GiB: nothing here comes near. */
export function tarHeader(member: TarMember, size: number): Buffer {
  const path = member.type === "folder" ? `${member.path.replace(/\/$/, "")}/` : member.path;
  if (Buffer.byteLength(path) > 100) throw new Error(`path too long for the archive: ${path}`);
  if (size >= 8 * 2 ** 30) throw new Error(`file too large for the archive: ${path}`);
  const header = Buffer.alloc(512);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, "0")}\0`;
  header.write(path, 0);
  header.write(octal(member.mode ?? (member.type === "file" ? 0o644 : 0o755), 8), 100);
  header.write(octal(member.uid ?? 0, 8), 108);
  header.write(octal(member.gid ?? member.uid ?? 0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(archiveTime, 12), 136);
  header.fill(" ", 148, 156);
  header.write(typeFlags[member.type], 156);
  if (member.type === "link") header.write(member.target, 157);
  header.write("ustar\x0000", 257);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** Writes members in the given order. */
export async function writeTar(target: string, members: readonly TarMember[]): Promise<void> {
  const out = createWriteStream(target);
  const failed = once(out, "error").then(([error]) => {
    throw error;
  });
  failed.catch(() => undefined);
  const write = async (chunk: Buffer) => {
    if (!out.write(chunk)) await Promise.race([once(out, "drain"), failed]);
  };
  for (const member of members) {
    let size = 0;
    if (member.type === "file")
      size = "content" in member ? member.content.length : (await stat(member.from)).size;
    await write(tarHeader(member, size));
    if (member.type !== "file") continue;
    if ("content" in member) await write(member.content);
    else
      for await (const chunk of createReadStream(member.from, { highWaterMark: 1 << 20 }))
        await write(chunk as Buffer);
    if (size % 512 !== 0) await write(Buffer.alloc(512 - (size % 512)));
  }
  await write(Buffer.alloc(1024));
  out.end();
  await Promise.race([once(out, "close"), failed]);
}
