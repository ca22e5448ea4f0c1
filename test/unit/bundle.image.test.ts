import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ImageRow } from "../../stacks/pins";
import { diffTrees } from "../../tools/bundle/debianRootfs";
import { buildImage, layerMembers, renderImageConfig } from "../../tools/bundle/ociImage";
import { tarHeader } from "../../tools/bundle/tarArchive";

const reference = "bundle.gourmetgram.internal/tool:1";
const row: ImageRow = {
  kind: "image",
  version: "1",
  upstream: "docker.io/library/tool:1",
  title: "tool",
  source: "https://example.org",
  licenses: "MIT",
  layers: [
    {
      files: { "/usr/bin/tool": { row: "tool", program: "tool" } },
      folders: { "/tmp": { mode: 0o1777 }, "/data": { uid: 999 } },
      links: { "/usr/bin/alias": "tool" },
    },
  ],
  entrypoint: ["/usr/bin/tool"],
  env: { HOME: "/data" },
  user: "999:999",
  ports: ["80/tcp"],
  stopSignal: "SIGINT",
};

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bundle-image-"));
  await writeFile(join(root, "tool"), "x".repeat(700));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function build(name: string): Promise<string> {
  const dir = join(root, name);
  await mkdir(dir);
  const parts = {
    locate: () => join(root, "tool"),
    rootfs: () => {
      throw new Error("none");
    },
  };
  await buildImage(row, reference, parts, dir, join(root, "log"));
  return join(dir, "image.tar");
}

const unpack = (tar: string, member: string) => execFileSync("tar", ["-xOf", tar, member]);
const sha = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

describe("an image archive", () => {
  it("is an OCI layout whose digests and sizes are right, under the bundle's name", async () => {
    const tar = await build("a");
    expect(JSON.parse(unpack(tar, "oci-layout").toString())).toEqual({ imageLayoutVersion: "1.0.0" });
    const entry = JSON.parse(unpack(tar, "index.json").toString()).manifests[0];
    expect(entry.annotations["io.containerd.image.name"]).toBe(reference);
    const manifestBytes = unpack(tar, `blobs/sha256/${entry.digest.slice(7)}`);
    expect([sha(manifestBytes), manifestBytes.length]).toEqual([entry.digest.slice(7), entry.size]);
    const manifest = JSON.parse(manifestBytes.toString());
    for (const blob of [manifest.config, ...manifest.layers]) {
      const bytes = unpack(tar, `blobs/sha256/${blob.digest.slice(7)}`);
      expect([sha(bytes), bytes.length]).toEqual([blob.digest.slice(7), blob.size]);
    }
    const config = JSON.parse(unpack(tar, `blobs/sha256/${manifest.config.digest.slice(7)}`).toString());
    await writeFile(
      join(root, "layer.zst"),
      unpack(tar, `blobs/sha256/${manifest.layers[0].digest.slice(7)}`),
    );
    const layer = execFileSync("zstd", ["-dcq", join(root, "layer.zst")]);
    expect(config.rootfs.diff_ids).toEqual([`sha256:${sha(layer)}`]);
  });

  it("holds folders before their files, with modes, owners and links", async () => {
    const tar = await build("a");
    const manifest = JSON.parse(unpack(tar, "index.json").toString()).manifests[0].digest.slice(7);
    const layer = JSON.parse(unpack(tar, `blobs/sha256/${manifest}`).toString()).layers[0].digest.slice(7);
    await writeFile(join(root, "layer.zst"), unpack(tar, `blobs/sha256/${layer}`));
    const listing = execFileSync("tar", [
      "--zstd",
      "-tvf",
      join(root, "layer.zst"),
      "--numeric-owner",
    ]).toString();
    const lines = listing
      .trim()
      .split("\n")
      .map((line) => line.replace(/ +\d+ \d{4}-\d\d-\d\d \d\d:\d\d/, ""));
    expect(lines).toEqual([
      "drwxr-xr-x 999/999 data/",
      "drwxrwxrwt 0/0 tmp/",
      "drwxr-xr-x 0/0 usr/",
      "drwxr-xr-x 0/0 usr/bin/",
      "lrwxrwxrwx 0/0 usr/bin/alias -> tool",
      "-rwxr-xr-x 0/0 usr/bin/tool",
    ]);
  });

  it("is the same bytes every time", async () => {
    expect(sha(await readFile(await build("a")))).toBe(sha(await readFile(await build("b"))));
  });

  it("tells user, ports, environment, stop signal and that it stands for another", () => {
    const { config } = renderImageConfig(row, ["00"]) as { config: Record<string, any> };
    expect(config).toMatchObject({
      User: "999:999",
      ExposedPorts: { "80/tcp": {} },
      Entrypoint: ["/usr/bin/tool"],
      StopSignal: "SIGINT",
    });
    expect(config["Env"]).toContain("HOME=/data");
    expect(config["Labels"]["org.opencontainers.image.description"]).toBe(
      "tool built from source; stands for docker.io/library/tool:1",
    );
    const { upstream: _, ...ours } = row;
    expect(JSON.stringify(renderImageConfig(ours, ["00"]))).toContain("tool of this project");
  });

  it("holds whole layouts of other images, with their digests", async () => {
    const inner = await build("inner");
    const outer: ImageRow = { ...row, layers: [{ layouts: { "/images/tool": "image-tool" } }] };
    const dir = join(root, "outer");
    await mkdir(dir);
    const parts = { locate: () => "", rootfs: () => Object.create(null), archive: () => inner };
    await buildImage(outer, "bundle.gourmetgram.internal/outer:1", parts, dir, join(root, "log"));
    const tar = join(dir, "image.tar");
    const manifest = JSON.parse(unpack(tar, "index.json").toString()).manifests[0].digest.slice(7);
    const layer = JSON.parse(unpack(tar, `blobs/sha256/${manifest}`).toString()).layers[0].digest.slice(7);
    await writeFile(join(root, "layer.zst"), unpack(tar, `blobs/sha256/${layer}`));
    await mkdir(join(root, "unpacked"));
    execFileSync("tar", ["--zstd", "-C", join(root, "unpacked"), "-xf", join(root, "layer.zst")]);
    const members = execFileSync("tar", ["-tf", inner]).toString().trim().split("\n");
    for (const member of members.filter((one) => !one.endsWith("/"))) {
      const bytes = await readFile(join(root, "unpacked/images/tool", member));
      expect(sha(bytes), member).toBe(sha(unpack(inner, member)));
    }
  });

  it("refuses to hold an image that nobody gave", async () => {
    const outer: ImageRow = { ...row, layers: [{ layouts: { "/images/tool": "image-tool" } }] };
    const parts = { locate: () => "", rootfs: () => Object.create(null) };
    await expect(buildImage(outer, "r/outer:1", parts, root, join(root, "log"))).rejects.toThrow(
      "r/outer:1 holds image-tool, which nobody gave",
    );
  });

  it("refuses a path that its format cannot hold", () => {
    const long = `/${"d".repeat(101)}`;
    const members = layerMembers({ files: { [long]: { file: "x" } } }, () => join(root, "tool"));
    expect(() => tarHeader(members[0] as never, 1)).toThrow("path too long");
  });
});

describe("diffTrees", () => {
  it("finds what was added, changed and removed, without the system's own folders", () => {
    const before = new Map([
      ["etc", "folder 1"],
      ["etc/keep", "1"],
      ["etc/change", "1"],
      ["gone", "folder 1"],
      ["gone/inside", "1"],
      ["tmp", "folder 1"],
    ]);
    const after = new Map([
      ["etc", "folder 1"],
      ["etc/keep", "1"],
      ["etc/change", "2"],
      ["etc/resolv.conf", "1"],
      ["tmp", "folder 1"],
      ["tmp/x", "1"],
      ["new", "1"],
    ]);
    expect(diffTrees(before, after)).toEqual({ changed: ["etc/change", "new"], removed: ["gone"] });
  });
});
