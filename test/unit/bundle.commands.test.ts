import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { GoRow } from "../../stacks/pins";
import { estimateSeconds } from "../../tools/bundle/estimates";
import { copyWithAlterations, goEnvironment, renderGoMod } from "../../tools/bundle/goBuild";
import { Lane } from "../../tools/bundle/lane";
import { parseArguments } from "../../tools/bundle/main";
import { observedPace, planBundle, remainingSeconds } from "../../tools/bundle/plan";
import { formatEvent } from "../../tools/bundle/progress";
import { isMounted, pruneOld } from "../../tools/bundle/prune";
import { machineCause, runCommand } from "../../tools/bundle/runCommand";
import { removeDeadScratch, withScratch } from "../../tools/bundle/scratch";
import { checkTree, sealTree } from "../../tools/bundle/treeSeal";
import { cachePaths } from "../../tools/cache/paths";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bundle-commands-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe("a failing command", () => {
  it("is told with its purpose, status, last lines and log", async () => {
    const log = join(root, "log");
    const run = runCommand("sh", ["-c", "echo first; echo broken >&2; exit 3"], {
      log,
      purpose: "build tool",
    });
    await expect(run).rejects.toThrow(
      /build tool: sh failed \(exit status 3\)\nfirst\nbroken\nwhole log: .*log/,
    );
  });

  it("names a full disk and a process killed for want of memory", () => {
    expect(machineCause("write x: no space left on device", null)).toContain("the disk is full");
    expect(machineCause("go: compile: signal: killed", null)).toContain("out of memory");
    expect(machineCause("", "SIGKILL")).toContain("out of memory");
    expect(machineCause("undefined: x", null)).toBeUndefined();
  });
});

describe("a Go group", () => {
  const row: GoRow = {
    kind: "binary",
    how: "go",
    version: "1",
    module: "example.org/m",
    moduleVersion: "v1.2.3",
    programs: {},
    stagingVersion: "v0.2.3",
  };

  it("repeats the module's replacements, with released versions for its own folders", () => {
    const text = renderGoMod(row, "m", {
      Go: "1.24.0",
      Godebug: [{ Key: "default", Value: "go1.24" }],
      Replace: [
        { Old: { Path: "example.org/staging" }, New: { Path: "./staging" } },
        {
          Old: { Path: "example.org/fork", Version: "v1.0.0" },
          New: { Path: "example.org/ours", Version: "v1.0.1" },
        },
      ],
    });
    expect(text.split("\n").filter((line) => line !== "")).toEqual([
      "module gourmetgram.dev/bundle/m",
      "go 1.24.0",
      "godebug default=go1.24",
      "require example.org/m v1.2.3",
      "replace example.org/staging => example.org/staging v0.2.3",
      "replace example.org/fork v1.0.0 => example.org/ours v1.0.1",
    ]);
  });

  it("is built from a copy of the module where files of it are to be others", async () => {
    const lacking: GoRow = {
      ...row,
      alterations: {
        "ui/dist/index.html": { file: "images/index.html" },
        "os/signal_linux.go": { copy: "os/signal_darwin.go" },
        "main.go": { replace: '"clouds"', by: '"none"' },
      },
    };
    expect(renderGoMod(lacking, "m", {})).toContain("replace example.org/m => ./upstream\n");
    for (const folder of ["module/os", "sources/images"])
      await mkdir(join(root, folder), { recursive: true });
    await writeFile(join(root, "module/os/signal_darwin.go"), "package os");
    await writeFile(join(root, "sources/images/index.html"), "<p>");
    await writeFile(join(root, "module/main.go"), 'import "clouds"');
    await copyWithAlterations(lacking, join(root, "module"), join(root, "copy"), join(root, "sources"));
    expect(await readFile(join(root, "copy/os/signal_linux.go"), "utf8")).toBe("package os");
    expect(await readFile(join(root, "copy/ui/dist/index.html"), "utf8")).toBe("<p>");
    expect(await readFile(join(root, "copy/main.go"), "utf8")).toBe('import "none"');
    expect(await readdir(join(root, "module/os"))).toEqual(["signal_darwin.go"]);
    await writeFile(join(root, "module/main.go"), "");
    const again = copyWithAlterations(
      lacking,
      join(root, "module"),
      join(root, "copy2"),
      join(root, "sources"),
    );
    await expect(again).rejects.toThrow('main.go does not hold "clouds" just once');
  });

  it("keeps the user's module proxy and none of the user's flags", () => {
    const env = goEnvironment("/work", false, {
      GOPROXY: "https://proxy.example.org",
      GOFLAGS: "-race",
      GOARCH: "arm",
    });
    expect(env).toMatchObject({ GOPROXY: "https://proxy.example.org", GOARCH: "amd64", CGO_ENABLED: "0" });
    expect(env["GOFLAGS"]).not.toContain("-race");
    expect(env["GOCACHE"]).toBe("/work/gocache");
  });
});

describe("a lane", () => {
  it("runs one at a time, the lowest rank first, and goes on after a failure", async () => {
    const lane = new Lane(5);
    const order: string[] = [];
    let running = 0;
    const work = (name: string) => async () => {
      expect(++running).toBe(1);
      order.push(name);
      await new Promise((resolve) => setTimeout(resolve, 2));
      running--;
      if (name === "bad") throw new Error("bad");
    };
    const all = [lane.run(3, work("late")), lane.run(1, work("first")), lane.run(2, work("bad"))];
    const states = (await Promise.allSettled(all)).map((one) => one.status);
    expect(order).toEqual(["first", "bad", "late"]);
    expect(states).toEqual(["fulfilled", "fulfilled", "rejected"]);
    await lane.run(1, work("again"));
    expect(order).toHaveLength(4);
  });
});

describe("a sealed tree", () => {
  beforeEach(async () => {
    await writeFile(join(root, "a"), "content");
    await sealTree(root);
  });

  it("is whole until something in it changes", async () => {
    expect(await checkTree(root)).toBeUndefined();
    await utimes(join(root, "a"), 1, 1);
    expect(await checkTree(root)).toBeUndefined();
    await writeFile(join(root, "a"), "contenT");
    expect(await checkTree(root)).toContain("is not as it was made");
  });

  it("is not whole when a file is added or removed, or when it was never sealed", async () => {
    await writeFile(join(root, "b"), "");
    expect(await checkTree(root)).toContain("2 files, 1 then");
    await rm(join(root, ".seal.json"));
    expect(await checkTree(root)).toContain("never finished");
  });

  it("with a full look finds a change that kept size, time and inode", async () => {
    const { stat } = await import("node:fs/promises");
    const { atime, mtime } = await stat(join(root, "a"));
    await sealTree(root);
    await writeFile(join(root, "a"), "CONTENT");
    await utimes(join(root, "a"), atime, mtime);
    expect(await checkTree(root, true)).toContain("is not as it was made");
  });
});

describe("pruning", () => {
  const mounts = [
    "1 0 8:1 /home/u/.cache/gourmetgram/bundle/aaaaaaaaaaaa /opt/gourmetgram/bundle ro - ext4 /dev/sda rw",
    "2 0 0:30 / / rw - overlay gourmetgram rw,lowerdir=/c/machine/bbbbbbbbbbbb/rootfs,upperdir=/u",
  ].join("\n");

  it("removes what is neither current nor mounted, and says what it kept", async () => {
    const paths = cachePaths(root);
    const names = [
      "bundle/aaaaaaaaaaaa",
      "bundle/cccccccccccc",
      "bundle/dddddddddddd",
      "machine/bbbbbbbbbbbb",
      "machine/eeeeeeeeeeee",
    ];
    for (const name of names) await mkdir(join(root, name), { recursive: true });
    const current = [join(paths.bundle, "cccccccccccc")];
    const { removed, inUse } = await pruneOld(paths, current, async () => mounts);
    expect(removed).toEqual([join(paths.bundle, "dddddddddddd"), join(paths.machine, "eeeeeeeeeeee")]);
    expect(inUse).toEqual([join(paths.bundle, "aaaaaaaaaaaa"), join(paths.machine, "bbbbbbbbbbbb")]);
  });

  it("keeps every bundle while the folder of all of them is mounted", () => {
    const all = "3 0 8:1 /c/gourmetgram/bundle /opt/gourmetgram/bundle ro - ext4 /dev/sda rw";
    expect(isMounted(all, "bundle", "ffffffffffff")).toBe(true);
    expect(isMounted(all, "machine", "ffffffffffff")).toBe(false);
  });
});

describe("scratch folders", () => {
  it("of dead runs are removed, those of living ones stay", async () => {
    await mkdir(join(root, `scratch-a.${2 ** 22 + 1}.x1Y2z3`));
    await mkdir(join(root, `scratch-b.${process.pid}.x1Y2z3`));
    await mkdir(join(root, "gocache"));
    await removeDeadScratch(root);
    expect((await readdir(root)).sort()).toEqual(["gocache", `scratch-b.${process.pid}.x1Y2z3`]);
  });

  it("are gone after use, also after a failure", async () => {
    const failing = withScratch(root, "x", async (folder) => {
      await writeFile(join(folder, "f"), "");
      throw new Error("failed");
    });
    await expect(failing).rejects.toThrow("failed");
    expect(await readdir(root)).toEqual([]);
  });
});

describe("the command", () => {
  it("refuses what it does not know", () => {
    expect(parseArguments(["--only", "etcd", "--verify"])).toMatchObject({
      only: ["etcd"],
      verify: true,
      machine: true,
    });
    expect(() => parseArguments(["--olny"])).toThrow('unknown argument "--olny"');
    expect(() => parseArguments(["--only"])).toThrow("needs the name");
  });

  it("plans with inputs before what is made of them, time, space and what is free", async () => {
    const plan = await planBundle({ paths: cachePaths(root) });
    expect(plan.missing[0]).toBe("kubernetes");
    expect(plan.missing.indexOf("debian-mlflow")).toBeLessThan(plan.missing.indexOf("image-mlflow"));
    expect(plan.missing.slice(-2)).toEqual(["bundle", "machine"]);
    expect(plan.seconds).toBeGreaterThan(60);
    expect(plan.peakBytes).toBeGreaterThan(plan.stayBytes);
    expect(plan.stayBytes).toBeLessThan(7e9);
    expect(plan.peakBytes).toBeLessThan(30e9);
    expect(plan.freeBytes).toBeGreaterThan(0);
  });

  it("learns from what has ended how fast this machine is", () => {
    expect(observedPace(new Map([["pause", 60]]))).toBe(1);
    const slow = new Map([["kubernetes", 2 * estimateSeconds("kubernetes")]]);
    expect(observedPace(slow)).toBeCloseTo(2);
    expect(observedPace(new Map([["kubernetes", 1]]))).toBeCloseTo(0.3);
  });

  it("counts what a running step has taken, and never less than nothing", () => {
    const all = remainingSeconds(["kubernetes", "minio"]);
    expect(remainingSeconds(["kubernetes", "minio"], (name) => (name === "kubernetes" ? 10 : 0))).toBe(
      all - 10,
    );
    expect(remainingSeconds(["kubernetes"], () => 1e6)).toBe(0);
  });

  it("prints one line an event", () => {
    const event = {
      step: "etcd",
      state: "progress",
      seconds: 12,
      remainingSeconds: 95,
      message: "building",
    } as const;
    expect(formatEvent(event)).toBe("  etcd: building (12s, about 1m35s left)");
  });

  it("names the file that cannot be run", async () => {
    await writeFile(join(root, "tool"), "");
    await chmod(join(root, "tool"), 0o644);
    const run = runCommand(join(root, "tool"), [], { log: join(root, "log"), purpose: "use tool" });
    await expect(run).rejects.toThrow(/use tool: cannot run .*tool/);
  });
});
