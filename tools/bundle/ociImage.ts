import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join, posix } from "node:path";
import type { ImageLayer, ImageRow } from "../../stacks/pins";
import { sha256 } from "../cache/store";
import { runCommand } from "./runCommand";
import { archiveTime, type TarMember, writeTar } from "./tarArchive";

/** A compressed layer on disk. */
export interface LayerBlob {
  readonly path: string;
  /** SHA-256 (hex) of the compressed file. */
  readonly digest: string;
  /** SHA-256 (hex) of the uncompressed archive: what the image's config names. */
  readonly diffId: string;
  readonly size: number;
}

/** zstd level: 9 is within 5 % of 19 on these files at a tenth of the time. */
const compressionLevel = "-9";

/** Compresses `tarPath` (and removes it) into `<dir>/layer.tar.zst`. */
export async function compressLayer(tarPath: string, dir: string, log: string): Promise<LayerBlob> {
  const diffId = await sha256(tarPath);
  const path = join(dir, "layer.tar.zst");
  await runCommand("zstd", ["-q", "-f", "-T0", compressionLevel, "--rm", tarPath, "-o", path], {
    log,
    purpose: "compress a layer",
  });
  return { path, digest: await sha256(path), diffId, size: (await stat(path)).size };
}

/** A layer's members in archive order: every folder before what is in it. */
export function layerMembers(
  layer: Exclude<ImageLayer, { readonly rootfs: string }>,
  locate: (file: NonNullable<(typeof layer)["files"]>[string]) => string,
  more: readonly TarMember[] = [],
): TarMember[] {
  const members = new Map<string, TarMember>();
  const put = (path: string, member: TarMember) => {
    for (let folder = posix.dirname(path); folder !== "/" && folder !== "."; folder = posix.dirname(folder)) {
      if (!members.has(folder)) members.set(folder, { path: folder.slice(1), type: "folder" });
    }
    members.set(path, member);
  };
  for (const [path, folder] of Object.entries(layer.folders ?? {})) {
    put(path, { path: path.slice(1), type: "folder", ...folder });
  }
  for (const [path, file] of Object.entries(layer.files ?? {})) {
    const mode = file.mode ?? ("program" in file ? 0o755 : 0o644);
    put(path, { path: path.slice(1), type: "file", mode, from: locate(file) });
  }
  for (const [path, target] of Object.entries(layer.links ?? {})) {
    put(path, { path: path.slice(1), type: "link", mode: 0o777, target });
  }
  for (const member of more) put(`/${member.path}`, member);
  return [...members.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, member]) => member);
}

/** The image's config as OCI wants it. */
export function renderImageConfig(row: ImageRow, diffIds: readonly string[]): object {
  const created = new Date(archiveTime * 1000).toISOString();
  const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const env = { PATH: path, ...row.env };
  const set = (names: readonly string[] | undefined) =>
    names === undefined ? undefined : Object.fromEntries(names.map((name) => [name, {}]));
  return {
    created,
    architecture: "amd64",
    os: "linux",
    config: {
      User: row.user,
      ExposedPorts: set(row.ports),
      Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      Entrypoint: row.entrypoint.length === 0 ? undefined : row.entrypoint,
      Cmd: row.cmd,
      Volumes: set(row.volumes),
      WorkingDir: row.workdir ?? "/",
      StopSignal: row.stopSignal,
      Labels: {
        "org.opencontainers.image.title": row.title,
        "org.opencontainers.image.version": row.version,
        "org.opencontainers.image.source": row.source,
        "org.opencontainers.image.licenses": row.licenses,
        "org.opencontainers.image.description":
          row.upstream === undefined
            ? `${row.title} of this project`
            : `${row.title} built from source; stands for ${row.upstream}`,
      },
    },
    rootfs: { type: "layers", diff_ids: diffIds.map((id) => `sha256:${id}`) },
    history: diffIds.map((_, index) => ({ created, created_by: `layer ${index + 1} of ${row.title}` })),
  };
}

/** Packs an OCI layout (one image under its full reference) as a tar that `ctr images import` takes. */
export async function packImage(
  reference: string,
  config: object,
  layers: readonly LayerBlob[],
  target: string,
): Promise<void> {
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const digestOf = (content: Buffer) => createHash("sha256").update(content).digest("hex");
  const configBlob = json(config);
  const manifestBlob = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: `sha256:${digestOf(configBlob)}`,
      size: configBlob.length,
    },
    layers: layers.map((layer) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar+zstd",
      digest: `sha256:${layer.digest}`,
      size: layer.size,
    })),
  });
  const index = renderIndex(reference, digestOf(manifestBlob), manifestBlob.length);
  const blobs = new Map<string, TarMember>();
  const put = (digest: string, member: { content: Buffer } | { from: string }) => {
    const path = `blobs/sha256/${digest}`;
    blobs.set(path, { path, type: "file", ...member } as TarMember);
  };
  put(digestOf(configBlob), { content: configBlob });
  put(digestOf(manifestBlob), { content: manifestBlob });
  for (const layer of layers) put(layer.digest, { from: layer.path });
  const draft = `${target}.part`;
  await writeTar(draft, [
    { path: "oci-layout", type: "file", content: json({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", type: "file", content: index },
    { path: "blobs", type: "folder" },
    { path: "blobs/sha256", type: "folder" },
    ...[...blobs.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, member]) => member),
  ]);
  await rename(draft, target);
}

/** The layout's index; containerd takes the image's full name from the annotation. */
export function renderIndex(reference: string, digest: string, size: number): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          digest: `sha256:${digest}`,
          size,
          annotations: {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.slice(reference.lastIndexOf(":") + 1),
          },
          platform: { architecture: "amd64", os: "linux" },
        },
      ],
    }),
  );
}

/** Unpacks image archives into `scratch`. Gives, by their path in the image, the files of their layouts. */
async function unpackLayouts(
  layouts: Readonly<Record<string, string>>,
  archive: (image: string) => string,
  scratch: string,
  log: string,
): Promise<TarMember[]> {
  const members: TarMember[] = [];
  for (const [index, [path, image]] of Object.entries(layouts).entries()) {
    const folder = join(scratch, `layout${index}`);
    await mkdir(folder);
    await runCommand("tar", ["-C", folder, "-xf", archive(image)], { log, purpose: `unpack ${image}` });
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const from = join(entry.parentPath, entry.name);
      const target = posix.join(path.slice(1), from.slice(folder.length + 1));
      members.push(
        entry.isDirectory() ? { path: target, type: "folder" } : { path: target, type: "file", from },
      );
    }
  }
  return members;
}

/** Makes the layers of an image that are not root file systems, and packs it. */
export async function buildImage(
  row: ImageRow,
  reference: string,
  parts: {
    readonly rootfs: (name: string) => LayerBlob;
    readonly locate: (
      file: NonNullable<Exclude<ImageLayer, { readonly rootfs: string }>["files"]>[string],
    ) => string;
    /** The archive of another image. @default none: no layer holds one */
    readonly archive?: (image: string) => string;
  },
  dir: string,
  log: string,
): Promise<void> {
  const layers: LayerBlob[] = [];
  for (const [index, layer] of row.layers.entries()) {
    if ("rootfs" in layer) {
      layers.push(parts.rootfs(layer.rootfs));
      continue;
    }
    const layerDir = join(dir, `.layer${index}`);
    await mkdir(layerDir);
    const tarPath = join(layerDir, "layer.tar");
    const archive =
      parts.archive ??
      ((image: string): never => {
        throw new Error(`${reference} holds ${image}, which nobody gave`);
      });
    const unpacked = await unpackLayouts(layer.layouts ?? {}, archive, layerDir, log);
    await writeTar(tarPath, layerMembers(layer, parts.locate, unpacked));
    layers.push(await compressLayer(tarPath, layerDir, log));
  }
  const config = renderImageConfig(
    row,
    layers.map((layer) => layer.diffId),
  );
  await packImage(reference, config, layers, join(dir, "image.tar"));
  for (const index of row.layers.keys())
    await rm(join(dir, `.layer${index}`), { recursive: true, force: true });
}
