/**
 * Proves: the page "Chameleon from zero", command by command, against real OpenStack services with the site's names, whose instances are
 * machines: lease, network, instances, Kubernetes over floating IP and jump host, platform, delivery, a training up to production;
 * replacing a worker and the control plane keeps what they promise to keep; the destroy leaves nothing in the project.
 * Does not prove: Chameleon itself, its web pages and its Ubuntu image.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { cacheRoot } from "../../tools/cache/paths";
import { startTestCloud, type TestCloud } from "../openstack/testCloud";
import { type CommandResult, EnvironmentUnderTest, eventually, run } from "./environmentUnderTest";

const stack = "e2e-netid";
const environment = new EnvironmentUnderTest(stack);
const home = mkdtempSync(join(tmpdir(), "home-"));
let cloud: TestCloud;

/** Commands of the page by the heading they stand below, for this test's stack. */
function commandsOf(heading: string): string[] {
  const page = readFileSync(join(projectRoot(), "docs", "chameleon.md"), "utf8");
  const section = page.split(/^## /m).find((part) => part.startsWith(heading));
  const blocks = [...(section ?? "").matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block);
  return blocks.flatMap((block) => block.trim().split("\n")).map((line) => line.replaceAll("netid", stack));
}

/** Runs a line of the page in a shell, as a reader does, in the project's folder. */
async function sh(line: string): Promise<CommandResult> {
  return run("bash", ["-c", line]);
}

async function runAll(heading: string): Promise<Record<string, CommandResult>> {
  const results: Record<string, CommandResult> = {};
  for (const line of commandsOf(heading)) {
    results[line] = await sh(line);
    console.log(`${results[line].seconds.toFixed(0)} s  ${line}`);
  }
  return results;
}

interface Outputs {
  readonly urls: Record<string, string>;
  readonly kubeconfig: string;
  readonly ssh: { readonly config: string };
}

async function outputs(): Promise<Outputs> {
  return (await environment.outputs()) as unknown as Outputs;
}

async function served(stage: string): Promise<string> {
  const url = (await outputs()).urls[stage];
  const answer = await fetch(`${url}/version`, { signal: AbortSignal.timeout(5000) });
  return ((await answer.json()) as { model_version: string }).model_version;
}

/** Whether something accepts a connection; a packet that is dropped is a no, too. */
function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = new Socket().setTimeout(2000);
    const end = (open: boolean) => {
      socket.destroy();
      done(open);
    };
    socket
      .once("connect", () => end(true))
      .once("error", () => end(false))
      .once("timeout", () => end(false));
    socket.connect(port, host);
  });
}

/** What the cluster knows each node by; a node that was drained and joined anew has another. */
async function uids(): Promise<Record<string, string>> {
  const list = await environment.kubectlJson<{ items: { metadata: { name: string; uid: string } }[] }>(
    "get",
    "nodes",
  );
  return Object.fromEntries(list.items.map(({ metadata }) => [metadata.name, metadata.uid]));
}

const skipped = process.env["GOURMETGRAM_SKIP_WHOLE_CLOUD"];
if (skipped) console.log(`The whole graph on the test cloud is not run: ${skipped}.`);

beforeAll(async () => {
  if (skipped) return;
  cloud = await startTestCloud({ machines: true });
  // A home with the downloaded credential and nothing else; caches stay where they are.
  mkdirSync(join(home, ".config", "openstack"), { recursive: true });
  copyFileSync(cloud.cloudsFile, join(home, ".config", "openstack", "clouds.yaml"));
  process.env["GOURMETGRAM_CACHE"] = cacheRoot();
  process.env["HOME"] = home;
  delete process.env["OS_CLIENT_CONFIG_FILE"];
  // Of another cloud, as a shell may have them.
  process.env["OS_AUTH_URL"] = "http://127.0.0.1:9/v3";
  process.env["OS_PROJECT_NAME"] = "somebody-else";
  await environment.tryCommand("destroy", "--yes");
  await environment.tryCommand("audit", "--cloud", "openstack", "--remove", "--yes");
});

afterAll(async () => {
  if (skipped || process.env["KEEP"] === "1") return;
  await environment.tryCommand("destroy", "--yes");
  await environment.tryCommand("audit", "--remove", "--yes");
  environment.forget();
  rmSync(home, { recursive: true, force: true });
  await cloud.stop();
});

describe.skipIf(skipped)("Chameleon from zero", () => {
  test("1 and 2: credential, settings, and a doctor that finds nothing wrong", async () => {
    await runAll("1. ");
    const results = await runAll("2. ");
    const doctor = results[`npm run doctor -- ${stack}`];
    expect(doctor?.stdout).toContain("sharednet1");
    expect(doctor?.stdout).not.toMatch(/^fail/m);
  });

  test("3: one command goes from an empty project to three stages that serve", async () => {
    const results = await runAll("3. ");
    const { urls } = await outputs();
    expect(Object.values(results)[0]?.stdout).toContain(urls["production"]);
    for (const stage of ["staging", "canary", "production"]) expect(await served(stage)).toBe("1.0.0");
    const address = new URL(urls["production"] as string).hostname;
    const open = await Promise.all(
      [22, 6443, 80, 8080, 8081, 8000, 10250, 2379].map((port) => isOpen(address, port)),
    );
    expect(open).toEqual([true, true, true, true, true, false, false, false]);
  });

  test("4: everything that shows the way in works, through the floating IP and the jump host", async () => {
    const results = await runAll("4. ");
    const nodes = results[`npm run kubectl -- ${stack} -- get nodes`];
    for (const node of ["node1", "node2", "node3"])
      expect(nodes?.stdout).toMatch(new RegExp(`${node}\\s+Ready`));
    const config = join(projectRoot(), ".state", "access", stack, "ssh_config");
    const login = await run("ssh", ["-F", config, "node3", "hostname && sudo -n true"]);
    expect(login.stdout.trim()).toBe("node3");
  });

  test("a second preview has no change", async () => {
    await environment.command("preview", "--expect-no-changes");
  });

  test("5: the lease is shown and extended in place", async () => {
    const results = await runAll("5. ");
    expect(results[`npm run lease -- ${stack}`]?.stdout).toContain(`lease-${stack}`);
    await environment.command("preview", "--expect-no-changes");
  });

  test("a model goes from training to production", async () => {
    const scenario = await run("node", ["tools/run.mjs", "scenario", "normal", "--stack", stack]);
    console.log(`scenario normal took ${scenario.seconds.toFixed(0)} s`);
    const version = await served("canary");
    expect(version).not.toBe("1.0.0");
    const npm = (script: string, ...args: string[]) =>
      run("node", ["tools/run.mjs", script, ...args, "--stack", stack]);
    await npm("promote", "--from", "canary", "--to", "production", "--version", version);
    await eventually("the promotion waits for a person", 180, async () => {
      await npm("approve", "--reason", "it serves");
      return true;
    });
    await eventually("production runs it", 240, async () => {
      const versions = await environment.kubectl(
        ...["-n", "argo", "get", "ledgerentries", "-o"],
        'jsonpath={range .items[*]}{.spec.stage}/{.spec.action}/{.spec.to.version}{"\\n"}{end}',
      );
      return versions.includes(`production/deployed/${version}\n`);
    });
    expect(await served("production")).toBe(version);
  });

  test("6: node2 and then node1 are made anew; address, kubeconfig, etcd and what is served stay", async () => {
    const before = { outputs: await outputs(), uids: await uids(), version: await served("production") };
    await environment.kubectl("create", "configmap", "kept", "--from-literal=since=before");
    const results = await runAll("6. ");
    expect(results[`npm run preview -- ${stack}`]?.stdout).toContain("No changes");
    const after = { outputs: await outputs(), uids: await uids(), version: await served("production") };
    expect(after.outputs.urls).toEqual(before.outputs.urls);
    expect(after.outputs.kubeconfig).toBe(before.outputs.kubeconfig);
    expect(await environment.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.since}")).toBe(
      "before",
    );
    expect(after.uids["node2"]).not.toBe(before.uids["node2"]);
    // The nodes themselves are in etcd: what kept its id was neither drained nor joined anew.
    expect(after.uids["node1"]).toBe(before.uids["node1"]);
    expect(after.uids["node3"]).toBe(before.uids["node3"]);
    expect(after.version).toBe(before.version);
    await environment.command("preview", "--expect-no-changes");
  });

  test("7: the destroy leaves nothing, and the audit says so", async () => {
    const results = await runAll("7. ");
    expect(results[`npm run audit -- ${stack}`]?.stdout).toContain(`Nothing of "${stack}" is left`);
    const left = Object.values(await cloud.listAll()).flat();
    expect(left.filter(({ name }) => name.endsWith(stack))).toEqual([]);
  });
});
