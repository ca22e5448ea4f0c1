import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ensureToolchain, planToolchain, type Toolchain } from "../../tools/toolchain";
import { toolchainParts } from "../../tools/toolchain/parts";
import { type FakeOptions, type FakeToolchain, startFakeToolchain } from "../support/fakeToolchain";

let fake: FakeToolchain;

afterEach(() => fake?.close());

async function start(options?: FakeOptions): Promise<FakeToolchain> {
  fake = await startFakeToolchain(options);
  return fake;
}

async function ensure(...plugins: string[]) {
  return ensureToolchain({ report: (event) => void fake.events.push(event), plugins }, fake.settings);
}

/** Folders of the plugins that the engine sees. */
function pluginsOf(toolchain: Toolchain): string[] {
  return readdirSync(join(toolchain.env["PULUMI_HOME"] ?? "", "plugins")).sort();
}

function run(path: string): string {
  return execFileSync(path, ["version"]).toString().trim();
}

function installPlugin(): string {
  const folder = join(fake.folder, "home/plugins/resource-toy-v1.0.0");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "pulumi-resource-toy"), "#!/bin/sh\necho users own\n", { mode: 0o755 });
  return folder;
}

describe("where the parts come from", () => {
  it("takes what the user has and changes nothing", async () => {
    await start();
    const pulumi = fake.putOnPath("pulumi", "1.0.0");
    fake.putOnPath("pulumi-language-nodejs", "1.0.0");
    installPlugin();
    const toolchain = await ensure();
    expect(toolchain.pulumi).toBe(pulumi);
    expect(toolchain.env).toEqual({ PULUMI_SKIP_UPDATE_CHECK: "true" });
    expect(toolchain.offline).toEqual([]);
    expect(toolchain.notice).toBeUndefined();
    expect(fake.built).toEqual([]);
    expect(fake.requests).toEqual([]);
  });

  it("does not take another version from PATH", async () => {
    await start();
    fake.putOnPath("pulumi", "0.9.0");
    fake.putOnPath("pulumi-language-nodejs", "0.9.0");
    fake.release("pulumi");
    const toolchain = await ensure();
    expect(run(toolchain.pulumi)).toBe("official pulumi");
  });

  it("prefers the official download and then needs no stand-in", async () => {
    await start({ withoutGo: true });
    fake.release("pulumi");
    fake.release("toy plugin");
    const toolchain = await ensure();
    expect(run(toolchain.pulumi)).toBe("official pulumi");
    const plugin = join(
      toolchain.env["PULUMI_HOME"] ?? "",
      "plugins/resource-toy-v1.0.0/pulumi-resource-toy",
    );
    expect(run(plugin)).toBe("official pulumi-resource-toy");
    expect(toolchain.offline).toEqual([]);
    expect(toolchain.env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"]).toBeUndefined();
  });

  it("builds what cannot be downloaded, each part for itself", async () => {
    await start();
    fake.release("pulumi");
    const toolchain = await ensure();
    expect(run(toolchain.pulumi)).toBe("official pulumi");
    expect(fake.built).toEqual(["./pulumi-resource-toy"]);
    expect(toolchain.offline).toEqual(["toy"]);
    expect(toolchain.notice).toContain("toy");
  });

  it("builds everything when the release server is out of reach, and asks it once", async () => {
    await start({ unreachable: true });
    const toolchain = await ensure();
    expect(fake.built).toEqual(["./pulumi", "./pulumi-language-nodejs", "./pulumi-resource-toy"]);
    expect(toolchain.offline).toEqual(["language-nodejs", "toy"]);
    expect(toolchain.env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"]).toBe("true");
    const known = readFileSync(join(fake.settings.paths.root, "unreachable-hosts.json"), "utf8");
    expect(Object.keys(JSON.parse(known))).toHaveLength(1);
  });

  it("never builds over a download with a wrong checksum", async () => {
    await start();
    fake.release("pulumi", { wrongChecksum: true });
    await expect(ensure()).rejects.toThrow(/SHA-256 [0-9a-f]{64}, expected 0{64}/);
    expect(fake.built).toEqual([]);
    expect(existsSync(fake.settings.paths.toolchain)).toBe(false);
  });

  it("names both remedies when it can neither download nor build", async () => {
    await start({ withoutGo: true, unreachable: true });
    await expect(ensure()).rejects.toThrow(/install Go.*reachable.*put pulumi 1\.0\.0 on PATH/s);
  });
});

describe("where the parts go", () => {
  it("keeps stand-ins out of the user's Pulumi folder", async () => {
    await start();
    const toolchain = await ensure();
    expect(existsSync(join(fake.folder, "home/plugins"))).toBe(false);
    expect(toolchain.env["PULUMI_HOME"]).toContain(fake.settings.paths.toolchain);
    expect(toolchain.env["PULUMI_CREDENTIALS_PATH"]).toBe(join(fake.folder, "home"));
  });

  it("puts the language host beside the engine, and both first on PATH", async () => {
    await start();
    const toolchain = await ensure();
    const [first, ...rest] = (toolchain.env["PATH"] ?? "").split(delimiter);
    expect(join(first ?? "", "pulumi")).toBe(toolchain.pulumi);
    expect(existsSync(join(first ?? "", "pulumi-language-nodejs"))).toBe(true);
    expect(rest.join(delimiter)).toBe(fake.settings.env["PATH"]);
  });
});

describe("the second time", () => {
  it("makes nothing and answers the same", async () => {
    await start();
    const first = await ensure();
    fake.events.length = 0;
    const made = statSync(first.pulumi).mtimeMs;
    expect(await ensure()).toEqual(first);
    expect(fake.built).toHaveLength(3);
    expect(fake.events).toEqual([]);
    expect(statSync(first.pulumi).mtimeMs).toBe(made);
  });

  it("rebuilds a damaged program, and only that", async () => {
    await start();
    const first = await ensure();
    writeFileSync(first.pulumi, "damaged");
    utimesSync(first.pulumi, 1, 1);
    const second = await ensure();
    expect(run(second.pulumi)).toBe("built ./pulumi");
    expect(fake.built).toEqual(["./pulumi", "./pulumi-language-nodejs", "./pulumi-resource-toy", "./pulumi"]);
  });

  it("rebuilds a plugin whose source changed, and keeps the engine", async () => {
    await start();
    await ensure();
    writeFileSync(join(fake.settings.projectRoot, "plugins/toy/main.go"), "package main // changed\n");
    expect((await planToolchain({}, fake.settings)).missing).toEqual(["toy plugin 1.0.0"]);
    await ensure();
    expect(fake.built.slice(3)).toEqual(["./pulumi-resource-toy"]);
  });

  it("removes what nobody used for two weeks, and only its own", async () => {
    await start();
    const names = ["pulumi-0.9.0-0123456789ab", "someone-elses-1.0.0-0123456789ab"];
    const [old, foreign] = names.map((name) => join(fake.settings.paths.store, name)) as [string, string];
    for (const folder of [old, foreign]) {
      mkdirSync(folder, { recursive: true });
      utimesSync(folder, 1, 1);
    }
    await ensure();
    expect([existsSync(old), existsSync(foreign)]).toEqual([false, true]);
  });

  it("drops the compiler's caches after the first build, and keeps them a day for who works on a plugin", async () => {
    await start();
    await ensure();
    expect(existsSync(fake.settings.buildCache)).toBe(false);
    writeFileSync(join(fake.settings.projectRoot, "plugins/toy/main.go"), "package main // changed\n");
    await ensure();
    expect(existsSync(fake.settings.buildCache)).toBe(true);
    await ensure();
    expect(existsSync(fake.settings.buildCache)).toBe(true);
    utimesSync(fake.settings.buildCache, 1, 1);
    await ensure();
    expect(existsSync(fake.settings.buildCache)).toBe(false);
  });

  it("does not care about tests of the plugin", async () => {
    await start();
    await ensure();
    writeFileSync(join(fake.settings.projectRoot, "plugins/toy/main_test.go"), "package main\n");
    expect((await planToolchain({}, fake.settings)).missing).toEqual([]);
  });
});

describe("a plugin that not every engine needs", () => {
  const common = ["./pulumi", "./pulumi-language-nodejs", "./pulumi-resource-toy"];

  it("costs nothing when nobody asks for it", async () => {
    await start();
    const toolchain = await ensure();
    expect(fake.built).toEqual(common);
    expect(pluginsOf(toolchain)).toEqual(["resource-toy-v1.0.0"]);
    expect(toolchain.offline).toEqual(["language-nodejs", "toy"]);
    expect((await planToolchain({ plugins: [] }, fake.settings)).missing).toEqual([]);
  });

  it("is made alone when everything else is there, and named in the plan before", async () => {
    await start();
    await ensure();
    const plan = await planToolchain({ plugins: ["rare"] }, fake.settings);
    expect(plan).toMatchObject({ missing: ["rare plugin 1.0.0"], peakBytes: 7 });
    const toolchain = await ensure("rare");
    expect(fake.built).toEqual([...common, "./pulumi-resource-rare"]);
    expect(pluginsOf(toolchain)).toEqual(["resource-rare-v1.0.0", "resource-toy-v1.0.0"]);
    expect(toolchain.offline).toEqual(["language-nodejs", "toy", "rare"]);
  });

  it("does not keep the compiler's caches the first time, because nobody is working on it", async () => {
    await start();
    await ensure();
    await ensure("rare");
    expect(existsSync(fake.settings.buildCache)).toBe(false);
  });

  it("has a toolchain of its own beside the one without it; neither removes the other or its parts", async () => {
    await start();
    const without = await ensure();
    const having = await ensure("rare");
    expect(having.pulumi).not.toBe(without.pulumi);
    expect(await ensure()).toEqual(without);
    writeFileSync(join(fake.settings.projectRoot, "plugins/toy/main.go"), "package main // changed\n");
    await ensure();
    expect(existsSync(having.pulumi)).toBe(true);
    expect(fake.built.slice(4)).toEqual(["./pulumi-resource-toy"]);
    await ensure("rare");
    expect(fake.built).toHaveLength(5);
  });

  it("goes with the toolchain when nobody used it for two weeks", async () => {
    await start();
    await ensure("rare");
    const [name] = readdirSync(fake.settings.paths.store).filter((entry) =>
      entry.startsWith("pulumi-resource-rare-"),
    );
    const stored = join(fake.settings.paths.store, name ?? "");
    utimesSync(stored, 1, 1);
    writeFileSync(join(fake.settings.projectRoot, "plugins/toy/main.go"), "package main // changed\n");
    await ensure();
    expect(existsSync(stored)).toBe(false);
  });

  it("is downloaded like the others where that is possible", async () => {
    await start();
    fake.release("rare plugin");
    const toolchain = await ensure("rare");
    expect(fake.built).toEqual(common);
    expect(toolchain.offline).toEqual(["language-nodejs", "toy"]);
  });

  it("must exist", async () => {
    await start();
    await expect(ensure("unheard-of")).rejects.toThrow('no plugin "unheard-of" to ask for; allowed: rare');
    await expect(planToolchain({ plugins: ["toy"] }, fake.settings)).rejects.toThrow("allowed: rare");
  });
});

describe("several processes", () => {
  it("builds once for two callers at the same time", async () => {
    await start();
    const [first, second] = await Promise.all([ensure(), ensure()]);
    expect(first).toEqual(second);
    expect(fake.built).toHaveLength(3);
  });

  it("takes over the lock of a dead process", async () => {
    await start();
    mkdirSync(fake.settings.paths.locks, { recursive: true });
    const dead = { pid: 2 ** 22 + 1, host: hostname(), startTicks: "1", since: "2026-01-01T00:00:00.000Z" };
    writeFileSync(join(fake.settings.paths.locks, "toolchain.lock"), JSON.stringify(dead));
    await ensure();
    expect(fake.built).toHaveLength(3);
  });

  it("leaves nothing half-made when a build fails", async () => {
    await start();
    const failing = {
      ...fake.settings,
      build: async () => {
        throw new Error("no space left on device");
      },
    };
    await expect(ensureToolchain({}, failing)).rejects.toThrow("no space left");
    expect((await planToolchain({}, fake.settings)).missing).toHaveLength(2);
    expect(existsSync(join(fake.settings.paths.locks, "toolchain.lock"))).toBe(false);
    await ensure();
  });
});

describe("telling", () => {
  it("plans what is missing with an estimate, and nothing when all is there", async () => {
    await start();
    const before = await planToolchain({}, fake.settings);
    expect(before.missing).toEqual(["pulumi 1.0.0", "toy plugin 1.0.0"]);
    expect(before.seconds).toBeGreaterThan(0);
    expect(fake.built).toEqual([]);
    await ensure();
    expect(await planToolchain({}, fake.settings)).toEqual({ missing: [], seconds: 0, peakBytes: 0 });
  });

  it("starts and ends each step, with less left each time", async () => {
    await start();
    await ensure();
    const starts = fake.events.filter(({ state }) => state === "start");
    const ends = fake.events.filter(({ state }) => state === "done");
    expect(starts.map(({ step }) => step)).toEqual(ends.map(({ step }) => step));
    expect(starts).toHaveLength(3);
    const left = ends.map(({ remainingSeconds }) => remainingSeconds ?? Number.NaN);
    expect(left).toEqual([...left].sort((a, b) => b - a));
    expect(left.at(-1)).toBe(0);
  });
});

describe("the real table", () => {
  it("names the official archives as they are published", () => {
    const [engine, kubernetes, command] = toolchainParts("linux", "x64");
    expect(engine?.official.url).toMatch(
      /^https:\/\/get\.pulumi\.com\/releases\/sdk\/pulumi-v[\d.]+-linux-x64\.tar\.gz$/,
    );
    expect(kubernetes?.official.url).toMatch(
      /plugins\/pulumi-resource-kubernetes-v4\.\d+\.\d+-linux-amd64\.tar\.gz$/,
    );
    expect(command?.pluginFolder).toMatch(/^resource-command-v1\.2\.1$/);
  });

  it("has openstack only for who asks for it, with a module of its own", () => {
    const parts = toolchainParts("linux", "x64");
    expect(parts.flatMap(({ optional }) => optional ?? [])).toEqual(["openstack"]);
    const openstack = parts.find(({ optional }) => optional === "openstack");
    expect(openstack?.official.url).toMatch(
      /plugins\/pulumi-resource-openstack-v3\.15\.2-linux-amd64\.tar\.gz$/,
    );
    expect(openstack?.builds[0]?.moduleFolder).toBe("tools/plugins/openstack");
  });

  it("has plugins of exactly the versions of the installed SDK packages", () => {
    for (const [name, part] of [
      ["kubernetes", "kubernetes plugin"],
      ["command", "command plugin"],
      ["openstack", "openstack plugin"],
    ] as const) {
      const manifest = JSON.parse(readFileSync(`node_modules/@pulumi/${name}/package.json`, "utf8")) as {
        version: string;
      };
      expect(toolchainParts().find((candidate) => candidate.name === part)?.version).toBe(
        manifest.version.replace(/^v/, ""),
      );
    }
  });
});
