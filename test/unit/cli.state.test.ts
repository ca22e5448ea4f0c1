import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { clearStaleLocks, describeLock, findLocks, type HostView, lockState } from "../../tools/cli/locks";
import { countResources, withoutPendingOperations } from "../../tools/cli/pending";
import { hasOwnEncryption, parseSettings, projectSettings, readSettingsFile } from "../../tools/cli/settings";
import {
  backendVariables,
  ensureState,
  hasUnknownForm,
  isOwnBackend,
  makeRunFolder,
  readOwnState,
  statePaths,
  writeEffectiveSettings,
} from "../../tools/cli/state";
import { readTimings, saveTiming } from "../../tools/cli/timings";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gourmetgram-state-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("state folder", () => {
  const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

  it("is readable by its owner only, with a passphrase that is made once", () => {
    const paths = statePaths(join(folder, ".state"));
    ensureState(paths, {});
    const passphrase = readFileSync(paths.passphrase, "utf8");
    expect(passphrase).toMatch(/^[\w-]{43}$/);
    expect([mode(paths.root), mode(paths.settings), mode(paths.runs), mode(paths.passphrase)]).toEqual([
      "700",
      "700",
      "700",
      "600",
    ]);
    ensureState(paths, {});
    expect(readFileSync(paths.passphrase, "utf8")).toBe(passphrase);
  });

  it.each([
    { PULUMI_CONFIG_PASSPHRASE: "" },
    { PULUMI_CONFIG_PASSPHRASE: "mine" },
    { PULUMI_CONFIG_PASSPHRASE_FILE: "/mine" },
  ])("gets no passphrase when the user brings one: %j", (environment) => {
    const paths = statePaths(join(folder, ".state"));
    ensureState(paths, environment);
    expect(existsSync(paths.passphrase)).toBe(false);
    expect(backendVariables(paths, environment)).not.toHaveProperty("PULUMI_CONFIG_PASSPHRASE_FILE");
  });

  it("is the backend unless the user has another one", () => {
    const paths = statePaths(folder);
    expect(backendVariables(paths, {})).toEqual({
      PULUMI_BACKEND_URL: `file://${folder}`,
      PULUMI_CONFIG_PASSPHRASE_FILE: join(folder, "passphrase"),
    });
    expect(isOwnBackend(paths, {})).toBe(true);
    const theirs = { PULUMI_BACKEND_URL: "s3://bucket" };
    expect(backendVariables(paths, theirs)["PULUMI_BACKEND_URL"]).toBe("s3://bucket");
    expect(isOwnBackend(paths, theirs)).toBe(false);
  });
});

describe("files of a run", () => {
  it("of a command that was killed are removed by the next, those of a live one stay", () => {
    const paths = statePaths(folder);
    ensureState(paths, {});
    const mine = makeRunFolder(paths.runs, "kubectl");
    const dead = join(paths.runs, "kubectl-999999999-abc");
    mkdirSync(dead);
    writeFileSync(join(dead, "kubeconfig"), "secret");
    writeFileSync(join(paths.runs, "local.json"), "{}");
    ensureState(paths, {});
    expect([existsSync(mine), existsSync(dead), existsSync(join(paths.runs, "local.json"))]).toEqual([
      true,
      false,
      true,
    ]);
    expect((statSync(mine).mode & 0o777).toString(8)).toBe("700");
  });
});

describe("settings the engine is given", () => {
  it("are the user's and the salt of this checkout; the user's file does not change", () => {
    const paths = statePaths(join(folder, ".state"));
    ensureState(paths, {});
    const committed = join(folder, "Pulumi.local.yaml");
    writeFileSync(committed, "config:\n  gourmetgram-infra:stages: [canary]\n");
    const before = readFileSync(committed, "utf8");

    const path = writeEffectiveSettings(readSettingsFile("local", folder), "local", paths) as string;
    // The engine adds the salt to the file it was given.
    writeFileSync(path, `encryptionsalt: v1:salt\n${readFileSync(path, "utf8")}`);
    writeFileSync(committed, "config:\n  gourmetgram-infra:stages: [staging]\n");
    expect(writeEffectiveSettings(readSettingsFile("local", folder), "local", paths)).toBe(path);

    expect(parse(readFileSync(path, "utf8"))).toEqual({
      encryptionsalt: "v1:salt",
      config: { "gourmetgram-infra:stages": ["staging"] },
    });
    expect(before).not.toContain("salt");
    expect(readFileSync(committed, "utf8")).not.toContain("salt");
    expect((statSync(path).mode & 0o777).toString(8)).toBe("600");
  });

  it("are the user's file itself when that holds secrets of its own", () => {
    const paths = statePaths(join(folder, ".state"));
    ensureState(paths, {});
    writeFileSync(join(folder, "Pulumi.mine.yaml"), "encryptionsalt: v1:x\nconfig: {}\n");
    const file = readSettingsFile("mine", folder);
    expect(hasOwnEncryption(file)).toBe(true);
    expect(writeEffectiveSettings(file, "mine", paths)).toBeUndefined();
  });
});

describe("settings file", () => {
  it("may be missing: that is an environment with every default", () => {
    expect(parseSettings(readSettingsFile("other", folder), "other").name).toBe("other");
  });

  it("gives the project's settings with and without its name, and none of other namespaces", () => {
    const config = { "gourmetgram-infra:infra": 1, nodes: 2, "pulumi:tags": 3, "kubernetes:context": 4 };
    expect(projectSettings(config)).toEqual({ infra: 1, nodes: 2 });
    expect(projectSettings(undefined)).toEqual({});
  });

  it("that is no YAML is named with the place", () => {
    writeFileSync(join(folder, "Pulumi.x.yaml"), "config:\n  a: [1\n");
    expect(() => readSettingsFile("x", folder)).toThrow(
      /Pulumi\.x\.yaml\n {4}is not YAML: .* at line 3, column 1:\n {4}next:/,
    );
  });

  it("with settings outside of config says where they belong", () => {
    writeFileSync(join(folder, "Pulumi.x.yaml"), "nodes: {}\n");
    expect(() => readSettingsFile("x", folder)).toThrow(
      'move it below "config:" as "gourmetgram-infra:nodes"',
    );
  });
});

describe("locks of the engine", () => {
  const host: HostView = { hostname: "here", isEngine: (pid) => pid === 100 };

  function lock(name: string, content: unknown): string {
    const locks = join(folder, ".pulumi/locks/organization/gourmetgram-infra/local");
    mkdirSync(locks, { recursive: true });
    const path = join(locks, `${name}.json`);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    return path;
  }

  const owner = (pid: number, hostname = "here") => ({
    pid,
    hostname,
    username: "ada",
    timestamp: "2026-01-01T00:00:00Z",
  });

  it("of a process that has ended on this host are removed with a message", () => {
    const path = lock("dead", owner(99));
    expect(clearStaleLocks(findLocks(folder, "local"), host)).toEqual([
      "Removed the lock of an earlier run that was killed (process 99, 2026-01-01T00:00:00Z).",
    ]);
    expect(existsSync(path)).toBe(false);
  });

  it.each([
    ["live", owner(100)],
    ["foreign", owner(99, "elsewhere")],
    ["foreign", "{half writt"],
    ["foreign", { pid: "99" }],
  ] as const)("that are %s stay: %j", (state, content) => {
    const path = lock("kept", content);
    const [found] = findLocks(folder, "local");
    expect(lockState(found as never, host)).toBe(state);
    expect(clearStaleLocks(findLocks(folder, "local"), host)).toEqual([]);
    expect(existsSync(path)).toBe(true);
  });

  it("are named with their owner and the remedy", () => {
    const path = "/x/lock.json";
    expect(describeLock({ path, owner: owner(100) }, "local", host)).toEqual({
      found:
        'Another run works on the environment "local" now: process 100 of ada, since 2026-01-01T00:00:00Z.',
      next: "wait for it, or stop it with: kill -INT 100",
    });
    expect(describeLock({ path, owner: owner(7, "elsewhere") }, "local", host)).toEqual({
      found:
        'The environment "local" is locked by ada on host elsewhere (process 7, since 2026-01-01T00:00:00Z). Whether that run still works cannot be known from here.',
      next: "make sure it has ended, then remove /x/lock.json",
    });
    expect(describeLock({ path }, "local", host).found).toContain("which cannot be read");
  });

  it("of other environments are none of ours", () => {
    lock("dead", owner(99));
    expect(findLocks(folder, "other")).toEqual([]);
  });

  it("do not take another program with a reused process id for an engine", () => {
    lock("reused", { ...owner(process.pid), hostname: "here" });
    const [found] = findLocks(folder, "local");
    // This test process lives, but is no engine.
    expect(
      lockState({
        ...found,
        owner: { ...owner(process.pid), hostname: require("node:os").hostname() },
      } as never),
    ).toBe("stale");
  });
});

describe("an exported state", () => {
  const exported = {
    version: 3,
    deployment: {
      manifest: { version: "v3" },
      resources: [
        { urn: "urn:pulumi:local::p::pulumi:pulumi:Stack::p-local", type: "pulumi:pulumi:Stack" },
        {
          urn: "urn:a::b::pulumi:providers:command::default",
          type: "pulumi:providers:command",
          custom: true,
        },
        {
          urn: "urn:a::b::gourmetgram:local:Machine::node1",
          type: "gourmetgram:local:Machine",
          custom: true,
        },
      ],
      pending_operations: [
        { type: "creating", resource: { urn: "urn:a::b::gourmetgram:local:Machine::node2" } },
      ],
    },
  };

  it("loses its pending operations and nothing else", () => {
    const cleaned = withoutPendingOperations(exported);
    const { pending_operations: _, ...kept } = exported.deployment;
    expect(cleaned).toEqual({ deployment: { version: 3, deployment: kept }, dropped: ["creating node2"] });
    expect(withoutPendingOperations(cleaned?.deployment as never)).toBeUndefined();
  });

  it("counts what a plugin made", () => {
    expect(countResources(exported)).toBe(1);
    expect(countResources({ version: 3, deployment: {} })).toBe(0);
  });
});

describe("timings", () => {
  it("are kept by kind of run; a damaged file is no timings", () => {
    const path = join(folder, "timings.json");
    expect(readTimings(path)).toEqual({});
    saveTiming(path, "create:local", { seconds: 90, finished: { a: 1 } });
    saveTiming(path, "destroy:local", { seconds: 20, finished: {} });
    expect(Object.keys(readTimings(path))).toEqual(["create:local", "destroy:local"]);
    writeFileSync(path, "{");
    expect(readTimings(path)).toEqual({});
  });
});

describe("the state of our own backend", () => {
  const write = (content: string) => {
    const paths = statePaths(join(folder, ".state"));
    const stacks = join(paths.root, ".pulumi", "stacks", "gourmetgram-infra");
    mkdirSync(stacks, { recursive: true });
    writeFileSync(join(stacks, "local.json"), content);
    return paths;
  };

  it("is read as the engine exports it", () => {
    const latest = { resources: [{ urn: "a", type: "b", custom: true }] };
    const paths = write(JSON.stringify({ version: 3, checkpoint: { latest } }));
    expect(readOwnState(paths, "local")).toEqual({ version: 3, deployment: latest });
    expect(readOwnState(paths, "other")).toBeUndefined();
    expect([hasUnknownForm(paths, "local"), hasUnknownForm(paths, "other")]).toEqual([false, false]);
  });

  it.each([
    ["cut short", '{"version":3,"checkpoi'],
    ["of another version", '{"version":4,"checkpoint":{"latest":{}}}'],
    ["without a deployment", '{"version":3,"checkpoint":{}}'],
  ])("is left to the engine when the file is %s", (_how, content) => {
    const paths = write(content);
    expect(readOwnState(paths, "local")).toBeUndefined();
    expect(hasUnknownForm(paths, "local")).toBe(true);
  });
});
