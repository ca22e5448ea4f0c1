import { execFileSync } from "node:child_process";
import { appendFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ensureArtifact } from "../../tools/bundle/bundle";
import type { ProgressEvent } from "../../tools/bundle/progress";
import { type CachePaths, cachePaths } from "../../tools/cache/paths";

let root: string;
let paths: CachePaths;
let events: ProgressEvent[];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bundle-build-"));
  paths = cachePaths(root);
  events = [];
  // Built from source on every machine, also where the registry could be reached.
  const noted = { at: Date.now(), reason: "told so by the test" };
  await writeFile(join(root, "unreachable-hosts.json"), JSON.stringify({ "registry.k8s.io": noted }));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const make = () => ensureArtifact("image-pause", { paths, report: (event) => events.push(event) });
const messages = () => events.map((event) => `${event.step} ${event.state}: ${event.message}`);

describe("an image from source", () => {
  it("is compiled, packed, found again, and made again when a byte of it changes", async () => {
    const first = await make();
    expect(first.record).toMatchObject({
      origin: "build",
      info: { reference: "bundle.gourmetgram.internal/pause:3.10.1" },
    });
    expect(messages()).toContain("image-pause done: done");
    const archive = join(first.dir, "image.tar");
    const before = execFileSync("sha256sum", [archive]).toString();

    events = [];
    await make();
    expect(events).toEqual([]);

    await appendFile(archive, "x");
    await make();
    expect(messages()[0]).toContain(`discarded and made again: ${archive}`);
    expect(execFileSync("sha256sum", [archive]).toString()).toBe(before);
    expect(await readdir(paths.work)).toEqual([]);
  });

  it("goes on from where a dead run ended, and says so", async () => {
    await mkdir(paths.locks, { recursive: true });
    const dead = { pid: 2 ** 22 + 1, host: hostname(), startTicks: "1", since: "" };
    await writeFile(join(paths.locks, "bundle-run"), JSON.stringify(dead));
    await make();
    expect(messages().join()).toContain(`process ${dead.pid} ended before the bundle was made`);
  });

  it("runs and ends at once when told to", async () => {
    const { dir } = await ensureArtifact("pause", { paths, report: () => undefined });
    const started = Date.now();
    const script = `"$1" & pid=$!; sleep 0.1; kill -TERM $pid; wait $pid; echo status $?`;
    const output = execFileSync("sh", ["-c", script, "sh", join(dir, "pause")]).toString();
    expect(output).toContain("status 0");
    expect(Date.now() - started).toBeLessThan(3000);
  });
});
