import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ArtifactRequest, artifactFolder, ensureArtifactFolder } from "../../tools/bundle/artifact";
import { type CachePaths, cachePaths } from "../../tools/cache/paths";

let root: string;
let paths: CachePaths;
let builds: number;
let messages: string[];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bundle-artifact-"));
  paths = cachePaths(root);
  builds = 0;
  messages = [];
});
afterEach(() => rm(root, { recursive: true, force: true }));

function request(build?: (draft: string) => Promise<void>): ArtifactRequest {
  return {
    name: "tool",
    version: "v1/2",
    key: "0123456789ab",
    dir: artifactFolder(paths, "tool", "v1/2", "0123456789ab"),
    onMessage: (message) => messages.push(message),
    build: async (draft) => {
      builds++;
      await (build ?? ((dir) => writeFile(join(dir, "tool"), "program")))(draft);
      return { origin: "build", info: { digest: "d" } };
    },
  };
}

describe("an artifact's folder", () => {
  it("is made once and found the next time, with its record", async () => {
    const first = await ensureArtifactFolder(paths, request());
    const second = await ensureArtifactFolder(paths, request());
    expect(builds).toBe(1);
    expect(first.dir).toBe(join(paths.store, "tool-v1_2-0123456789ab"));
    expect(second.record).toMatchObject({ name: "tool", origin: "build", info: { digest: "d" } });
  });

  it("is made again, with the damaged file's name told, when a byte has changed", async () => {
    const { dir } = await ensureArtifactFolder(paths, request());
    await writeFile(join(dir, "tool"), "prOgram");
    await ensureArtifactFolder(paths, request());
    expect(builds).toBe(2);
    expect(messages.join()).toContain(join(dir, "tool"));
    expect(await readFile(join(dir, "tool"), "utf8")).toBe("program");
  });

  it("is believed when only a file's time has changed", async () => {
    const { dir } = await ensureArtifactFolder(paths, request());
    await utimes(join(dir, "tool"), 1, 1);
    await ensureArtifactFolder(paths, request());
    expect(builds).toBe(1);
  });

  it("is made again when its list of checksums is missing: it was never finished", async () => {
    const { dir } = await ensureArtifactFolder(paths, request());
    await rm(join(dir, ".sha256"));
    await ensureArtifactFolder(paths, request());
    expect(builds).toBe(2);
    expect(messages.join()).toContain("never finished");
  });

  it("does not appear when the building fails, and nothing of the attempt stays", async () => {
    const failing = request(async (draft) => {
      await writeFile(join(draft, "half"), "x");
      throw new Error("compiler failed");
    });
    await expect(ensureArtifactFolder(paths, failing)).rejects.toThrow("compiler failed");
    expect(await readdir(paths.store)).toEqual([]);
    await ensureArtifactFolder(paths, request());
    expect(builds).toBe(2);
  });

  it("is made by one of two that want it at the same time", async () => {
    const slow = () =>
      request(async (draft) => {
        await new Promise((resolve) => setTimeout(resolve, 100));
        await writeFile(join(draft, "tool"), "program");
      });
    await Promise.all([ensureArtifactFolder(paths, slow()), ensureArtifactFolder(paths, slow())]);
    expect(builds).toBe(1);
    expect(messages.join()).toContain(`waiting for process ${process.pid}`);
  });

  it("takes the lock of a dead process over and says so", async () => {
    const { hostname } = await import("node:os");
    const { mkdir } = await import("node:fs/promises");
    await mkdir(paths.locks, { recursive: true });
    const lock = join(paths.locks, "tool-0123456789ab");
    await writeFile(lock, JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), startTicks: "1", since: "" }));
    await ensureArtifactFolder(paths, request());
    expect(builds).toBe(1);
    expect(messages.join()).toContain(`took over from process ${2 ** 22 + 1}`);
    await expect(stat(lock)).rejects.toThrow();
  });
});
