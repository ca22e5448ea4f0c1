/**
 * Proves: the real engine and plugins preview a whole environment before there is any machine; plain `pulumi` with the variables the
 * README names runs the very same program; wrong settings are told at once and nothing is made.
 * Does not prove: that what is previewed can be made (end-to-end tests).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import { projectRoot } from "../../components/sourceFile";
import { environmentGraph } from "../support/environmentGraph";

const root = projectRoot();
const stack = "preview-test";
const settings = join(root, `Pulumi.${stack}.yaml`);
let backend: string;

function command(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync("node", ["tools/run.mjs", ...args], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 2 ** 20,
    env: {
      ...process.env,
      PULUMI_BACKEND_URL: `file://${backend}`,
      PULUMI_CONFIG_PASSPHRASE: "test",
      ...env,
    },
  });
}

function configure(config: Readonly<Record<string, unknown>>): void {
  writeFileSync(
    settings,
    stringify({
      config: Object.fromEntries(
        Object.entries(config).map(([key, value]) => [`gourmetgram-infra:${key}`, value]),
      ),
    }),
  );
}

/** `type name` of each resource the engine would create, from its own JSON. */
function created(json: string): string[] {
  const plan = JSON.parse(json) as { steps: { op: string; urn: string; newState?: { type: string } }[] };
  return plan.steps
    .filter(({ op }) => op === "create")
    .map(({ urn, newState }) => `${newState?.type} ${urn.split("::").at(-1)}`)
    .sort();
}

beforeAll(() => {
  backend = mkdtempSync(join(tmpdir(), "preview-"));
  // What is not in the cache yet is made here, so that the tests themselves are about previews.
  for (const step of ["toolchain", "bundle"]) {
    const began = Date.now();
    const made = command([step]);
    console.log(`${step} took ${((Date.now() - began) / 1000).toFixed(0)} s`);
    if (made.status !== 0) throw new Error(made.stderr);
  }
}, 3_600_000);

afterAll(() => {
  rmSync(settings, { force: true });
  rmSync(backend, { recursive: true, force: true });
});

test("plain pulumi previews the whole environment with no machine there, the same graph as under test", async () => {
  configure({});
  const variables = command(["toolchain", stack, "--env"]);
  expect(variables.stderr).not.toMatch(/error/i);
  const script = [
    variables.stdout,
    `cd ${root}`,
    `pulumi stack init ${stack} --non-interactive >/dev/null 2>&1 || true`,
    `pulumi preview --stack ${stack} --config-file "$GOURMETGRAM_SETTINGS" --json --non-interactive`,
  ].join("\n");
  const preview = spawnSync("bash", ["-c", script], {
    encoding: "utf8",
    maxBuffer: 64 * 2 ** 20,
    env: { ...process.env, PULUMI_BACKEND_URL: `file://${backend}`, PULUMI_CONFIG_PASSPHRASE: "test" },
  });
  expect(preview.status, preview.stderr).toBe(0);
  const steps = created(preview.stdout);
  const graph = await environmentGraph({}, { stack });
  // The upstream manifests are stand-ins in the graph: what they hold is compared by kind only.
  const own = (all: readonly string[]) => all.filter((step) => !step.includes(" cluster-addons-"));
  expect(own(steps)).toEqual(own(graph.nodes.map((node) => `${node.type} ${node.name}`).sort()));
  expect(steps.some((step) => step.startsWith("kubernetes:apps/v1:Deployment cluster-addons-metrics"))).toBe(
    true,
  );
});

test("our preview tells the same number of resources and no secret", () => {
  configure({});
  const preview = command(["preview", stack]);
  expect(preview.status, preview.stderr).toBe(0);
  expect(preview.stdout + preview.stderr).not.toMatch(/PRIVATE KEY|BEGIN CERTIFICATE/);
  const state = readFileSync(join(backend, `.pulumi/stacks/gourmetgram-infra/${stack}.json`), "utf8");
  expect(JSON.parse(state).checkpoint.latest?.resources ?? []).toEqual([]);
});

test("every wrong setting is told at once, before anything is made", () => {
  configure({
    infra: { kind: "local", cidr: "10.90.0.0/33" },
    stages: { staging: {}, produktion: {} },
    nods: {},
    platform: { storage: { postgres: "5" } },
  });
  const preview = command(["up", stack], { PULUMI_BACKEND_URL: `file://${backend}/none` });
  expect(preview.status).toBe(2);
  for (const part of [
    "infra.cidr",
    "10.90.0.0/33",
    "produktion",
    "staging, canary, production",
    "nods",
    "nodes",
    "platform.storage.postgres",
  ]) {
    expect(preview.stderr).toContain(part);
  }
  expect(existsSync(join(backend, "none"))).toBe(false);
});
