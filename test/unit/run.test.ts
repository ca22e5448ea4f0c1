import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

type Runner = typeof import("../../tools/run.mjs", { with: { "resolution-mode": "import" }});

let runner: Runner;
let root: string;

beforeAll(async () => {
  runner = await import("../../tools/run.mjs");
});

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gourmetgram-run-"));
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function write(path: string, text = ""): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

describe("Node", () => {
  it.each(["v20.0.0", "v22.18.1"])("%s is taken", (version) => {
    expect(runner.nodeProblem(version)).toBeUndefined();
  });

  it("that is too old is named with what is needed", () => {
    expect(runner.nodeProblem("v18.20.1")).toBe(
      "Node v18.20.1 is too old: Node 20 or newer is needed. Next: install it and run the same command again.",
    );
  });
});

describe("node_modules", () => {
  const lock = {
    packages: {
      "": { version: "0.1.0" },
      "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
      "node_modules/b-darwin": { version: "1.0.0", integrity: "sha512-b", optional: true },
    },
  };
  const installed = (packages: object) => JSON.stringify({ packages });

  it("are installed when there are none", () => {
    write("package-lock.json", JSON.stringify(lock));
    expect(runner.installReason(root)).toBe("there is no node_modules");
  });

  it("that npm installed from this lock file are taken, also without packages of other platforms", () => {
    write("package-lock.json", JSON.stringify(lock));
    write(
      "node_modules/.package-lock.json",
      installed({ "node_modules/a": lock.packages["node_modules/a"] }),
    );
    expect(runner.installReason(root)).toBeUndefined();
    // The second time it is one comparison of hashes: even without npm's own note.
    rmSync(join(root, "node_modules/.package-lock.json"));
    expect(runner.installReason(root)).toBeUndefined();
  });

  it.each([
    ["another version", { "node_modules/a": { version: "1.0.1", integrity: "sha512-a" } }],
    ["another content", { "node_modules/a": { version: "1.0.0", integrity: "sha512-z" } }],
    ["a missing package", {}],
    ["a package too many", { ...lock.packages, "node_modules/c": { version: "1.0.0" } }],
  ])("with %s are installed anew", (_what, packages) => {
    const { "": _, ...present } = packages as Record<string, object>;
    expect(runner.installedMatches(lock, { packages: present as never })).toBe(false);
    write("package-lock.json", JSON.stringify(lock));
    write("node_modules/.package-lock.json", installed(present));
    expect(runner.installReason(root)).toBe("node_modules does not match package-lock.json");
  });

  it("are installed anew when the lock file changes", () => {
    write("package-lock.json", JSON.stringify(lock));
    write(
      "node_modules/.package-lock.json",
      installed({ "node_modules/a": lock.packages["node_modules/a"] }),
    );
    expect(runner.installReason(root)).toBeUndefined();
    write(
      "package-lock.json",
      JSON.stringify({ packages: { ...lock.packages, "node_modules/d": { version: "2.0.0" } } }),
    );
    expect(runner.installReason(root)).toBe("node_modules does not match package-lock.json");
  });
});

describe("compiled files", () => {
  beforeEach(() => {
    write("tsconfig.json", "{}");
    write("package-lock.json", "{}");
    write("stacks/index.ts", "export {};");
    write("tools/cli/up.ts", "export {};");
  });

  it("are current while no source changes", () => {
    const before = runner.sourceFingerprint(root);
    write("tools/plugins/kubernetes/main.go", "package main");
    write("build/stacks/index.js");
    write("stacks/README.md");
    expect(runner.sourceFingerprint(root)).toBe(before);
  });

  it.each([
    ["a source is edited", () => write("stacks/index.ts", "export const a = 1;")],
    ["a source is touched", () => utimesSync(join(root, "stacks/index.ts"), 1, 1)],
    ["a source is added", () => write("k8s/cluster/new.ts")],
    ["a source is removed", () => rmSync(join(root, "tools/cli/up.ts"))],
    ["the compiler's settings change", () => write("tsconfig.json", "{ }")],
    ["packages change", () => write("package-lock.json", "{ }")],
  ])("are stale when %s", (_what, change) => {
    const before = runner.sourceFingerprint(root);
    change();
    expect(runner.sourceFingerprint(root)).not.toBe(before);
  });

  it("of removed sources are removed, others are left", () => {
    for (const path of [
      "stacks/index.js",
      "stacks/index.js.map",
      "stacks/old.js",
      "stacks/old.js.map",
      "other/x.js",
    ]) {
      write(`build/${path}`);
    }
    expect(runner.staleOutputs(root).sort()).toEqual([
      join(root, "build/stacks/old.js"),
      join(root, "build/stacks/old.js.map"),
    ]);
  });
});

describe("commands", () => {
  it("of package.json are all known", () => {
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as {
      scripts: Record<string, string>;
    };
    const unknown = Object.entries(scripts).filter(([name, script]) => {
      return script !== `node tools/run.mjs ${name}` || runner.planCommand(name, []) === undefined;
    });
    expect(unknown).toEqual([]);
  });

  it("of the tool pass their arguments on", () => {
    expect(runner.planCommand("up", ["mystack", "--preview"])).toEqual({
      compile: true,
      cli: ["up", "mystack", "--preview"],
      steps: [],
    });
    expect(runner.planCommand("frobnicate", [])).toBeUndefined();
  });

  it("test the layers that need no machines; e2e is its own", () => {
    const projects = (command: string) =>
      runner
        .planCommand(command, [])
        ?.steps.flatMap((step) =>
          (step.args ?? []).filter((_, index, all) => all[index - 1] === "--project"),
        );
    expect(projects("test")).toEqual(["unit", "graph", "golden", "preview"]);
    expect(projects("e2e")).toEqual(["e2e"]);
    expect(projects("check")).toEqual(["unit", "graph", "golden"]);
    expect(projects("lint")).toEqual([]);
    expect(runner.planCommand("golden", [])?.steps[0]?.args).toContain("--update");
  });
});
