import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { goFinding, memoryFinding, renderFindings } from "../../tools/cli/doctor";
import { normalizePassedOn } from "../../tools/cli/kubectl";
import { renderLeftovers } from "../../tools/cli/leftovers";
import { createProgram, main } from "../../tools/cli/main";
import { renderOutputs } from "../../tools/cli/outputs";
import { renderPlan } from "../../tools/cli/renderPlan";
import { renderSummary } from "../../tools/cli/summary";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Runs the command line tool in this process. */
async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    vi.spyOn(process[stream], "write").mockImplementation((text) => {
      output[stream] += String(text);
      return true;
    });
  }
  const code = await main(argv);
  vi.restoreAllMocks();
  return { code, ...output };
}

describe("every command", () => {
  const names = createProgram().commands.map((command) => command.name());

  it("is there", () => {
    expect(names).toEqual([
      "up",
      "preview",
      "destroy",
      "refresh",
      "outputs",
      "doctor",
      "kubectl",
      "argo",
      "access",
      "tunnel",
      "ledger",
      "train",
      "promote",
      "approve",
      "reject",
      "revert",
      "freeze",
      "unfreeze",
      "scenario",
      "bundle",
      "toolchain",
      "leftovers",
      "audit",
      "lease",
      "bench",
    ]);
  });

  it.each(names)("%s is a script of package.json that run.mjs knows", async (name) => {
    const { scripts } = JSON.parse(readFileSync(join(projectRoot(), "package.json"), "utf8"));
    expect(scripts[name]).toBe(`node tools/run.mjs ${name}`);
    const { planCommand } = await import("../../tools/run.mjs");
    expect(planCommand(name, ["x"])).toEqual({ compile: true, cli: [name, "x"], steps: [] });
  });

  it.each(names)("%s explains itself with examples", async (name) => {
    const { code, stdout } = await run(name, "--help");
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Usage: npm run ${name} -- `));
    expect(stdout).toContain("Examples:\n  ");
    expect(stdout).toContain(`npm run ${name}`);
  });

  it.each(
    names.filter((name) => !["kubectl", "argo", "bench"].includes(name)),
  )("%s refuses unknown options", async (name) => {
    const command = createProgram().commands.find((candidate) => candidate.name() === name);
    const required = (command?.options ?? []).filter(({ mandatory }) => mandatory);
    const { code, stderr } = await run(
      name,
      ...required.flatMap(({ long }) => [long ?? "", "x"]),
      "--frobnicate",
    );
    expect(code).toBe(2);
    expect(stderr).toContain("unknown option '--frobnicate'");
  });
});

describe("wrong settings", () => {
  it.each(["up", "preview", "refresh"])("end %s with code 2 before anything is made", async (command) => {
    const started = Date.now();
    const { code, stderr } = await run(command, "Bad_Name");
    expect(code).toBe(2);
    expect(stderr).toContain('stack = "Bad_Name"\n    is not a DNS-1123 label');
    expect(stderr).toContain("Nothing was created or changed.");
    expect(Date.now() - started).toBeLessThan(1000);
  });
});

describe("kubectl's arguments", () => {
  it.each([
    [
      ["kubectl", "get", "nodes"],
      ["kubectl", "get", "nodes"],
    ],
    [
      ["kubectl", "--", "get", "nodes"],
      ["kubectl", "get", "nodes"],
    ],
    [
      ["kubectl", "mystack", "--", "get", "pods"],
      ["kubectl", "--stack", "mystack", "get", "pods"],
    ],
    [
      ["kubectl", "exec", "pod", "--", "ls"],
      ["kubectl", "exec", "pod", "--", "ls"],
    ],
    [
      ["argo", "mystack", "--", "logs", "@latest"],
      ["argo", "--stack", "mystack", "logs", "@latest"],
    ],
    [
      ["up", "mystack", "--", "x"],
      ["up", "mystack", "--", "x"],
    ],
  ])("%j is %j", (argv, expected) => {
    expect(normalizePassedOn(argv)).toEqual(expected);
  });
});

describe("the summary of up", () => {
  const nodes = { node1: "10.87.0.11", node2: "10.87.0.12" };
  const secrets = { credentials: "[secret]", kubeconfig: "[secret]" };

  it("names URLs, how to log in and what to do next, and no secret", () => {
    const outputs = {
      urls: { mlflow: "http://127.0.0.1:8000", canary: "http://10.87.0.11:8080" },
      access: {
        edge: "node1",
        gatewayIp: "10.96.0.20",
        services: {
          canary: { port: 8080, exposure: "public" },
          mlflow: { port: 8000, exposure: "tunnel", localPort: 8000 },
        },
      },
      nodes,
      ...secrets,
    };
    expect(renderSummary("mystack", outputs, { changes: 41, took: "92 s" })).toBe(`
The environment "mystack" is up (41 resources changed, 92 s).

  Canary        http://10.87.0.11:8080
  MLflow        http://127.0.0.1:8000  while npm run tunnel -- mystack is open
  Nodes         node1, node2

  Log in:     npm run access -- mystack
  Train:      npm run train -- --stack mystack --wait
  Who did it: npm run ledger -- mystack
  Look:       npm run kubectl -- mystack -- get pods -A
  Change it:  edit Pulumi.mystack.yaml, then npm run preview -- mystack and npm run up -- mystack
  Remove it:  npm run destroy -- mystack`);
  });

  it("of an environment without a gateway names what there is", () => {
    const text = renderSummary("local", { nodes, ...secrets }, { changes: 0, took: "3 s" });
    expect(text).toContain("nothing had to change");
    expect(text).toContain("npm run outputs -- --show-secrets");
    expect(text).toContain("npm run kubectl -- get pods -A");
    expect(text).not.toContain("npm run train");
  });
});

describe("texts of commands", () => {
  it("outputs", () => {
    expect(
      renderOutputs({ urls: { mlflow: "http://x" }, kubeconfig: "a: 1\nb: 2\n", credentials: "[secret]" }),
    ).toBe("credentials: [secret]\nkubeconfig:\n  a: 1\n  b: 2\nurls:\n  mlflow: http://x");
    expect(renderOutputs({})).toBe("There are no outputs yet.");
  });

  it("leftovers", () => {
    expect(renderLeftovers([])).toBe("No leftovers: no process, mount, bridge, namespace, cgroup or file.");
    expect(
      renderLeftovers([
        { kind: "mount", name: "/x", detail: "overlay" },
        { kind: "process", name: "12", detail: "" },
      ]),
    ).toBe("2 things of local environments on this host:\n  mount    /x  overlay\n  process  12");
  });

  it("plans", () => {
    expect(renderPlan("the bundle", { missing: [], seconds: 0, peakBytes: 0 })).toBe(
      "Nothing is missing of the bundle.",
    );
    expect(renderPlan("the bundle", { missing: ["etcd", "mc"], seconds: 130, peakBytes: 12 * 2 ** 30 })).toBe(
      "Missing of the bundle: etcd, mc. If all have to be built: about 2 min, up to 12 GiB of disk.",
    );
  });
});

describe("doctor", () => {
  const missing = { missing: ["etcd"], seconds: 60, peakBytes: 1 };
  const complete = { missing: [], seconds: 0, peakBytes: 0 };

  it("prints one table, next steps below what does not pass", () => {
    const text = renderFindings([
      { check: "Node", result: "pass", found: "v20" },
      { check: "toolchain", result: "wait", found: "1 missing", next: "npm run toolchain" },
    ]);
    expect(text).toBe(
      "pass  Node       v20\nwait  toolchain  1 missing\n                 next: npm run toolchain",
    );
  });

  it("compares the machines' limits with the host's memory", () => {
    expect(memoryFinding(["4Gi", "4Gi", "4Gi"], 16 * 2 ** 30, 2 ** 30)).toEqual({
      check: "memory",
      result: "pass",
      found: "1 GiB free of 16 GiB, the machines' limits are 12 GiB",
    });
    expect(memoryFinding(["4Gi", "4Gi", "4Gi"], 8 * 2 ** 30, 2 ** 30).result).toBe("wait");
  });

  it("asks for Go only when something is missing", () => {
    expect(goFinding([complete, complete], undefined)).toMatchObject({
      result: "pass",
      found: "not on PATH, and not needed",
    });
    expect(goFinding([complete, missing], undefined)).toMatchObject({ result: "wait" });
    expect(goFinding([missing], "/usr/bin/go")).toMatchObject({ result: "pass", found: "/usr/bin/go" });
  });
});
