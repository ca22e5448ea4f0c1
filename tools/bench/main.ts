import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { basename, join } from "node:path";
import { stringify } from "yaml";
import { residentBytes } from "../../infra/local/residentMemory";
import { bundleRegistry, imageRef, kubernetesVersion, pins } from "../../stacks/pins";
import type { EngineEvent } from "../cli/events";
import { runGraph } from "../cli/operation";
import { readOutputs } from "../cli/outputs";
import {
  checkSettings,
  openStack,
  openState,
  type StackAccess,
  stackArguments,
  withBundle,
} from "../cli/prepare";
import { PROJECT_ROOT } from "../cli/project";
import { type Measurement, median, missesBar, renderTable } from "./table";

/** How far the graph goes; read by stacks/config.ts. */
type Layer = "machines" | "cluster" | "platform" | "delivery";

const stack = "bench";
const cidr = "10.84.0.0/24";
const settingsFile = join(PROJECT_ROOT, `Pulumi.${stack}.yaml`);

/** Nodes by name: the first is the control plane. */
function nodes(count: number): Record<string, { role: string; address: string }> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `node${index + 1}`,
      { role: index === 0 ? "controlPlane" : "worker", address: `10.84.0.${11 + index}` },
    ]),
  );
}

function configure(count: number): void {
  const memory = totalmem() > 20 * 2 ** 30 ? "4Gi" : "3Gi";
  writeFileSync(
    settingsFile,
    stringify({
      config: {
        "gourmetgram-infra:infra": { kind: "local", cidr, memory },
        "gourmetgram-infra:nodes": nodes(count),
      },
    }),
  );
}

/** One run of the engine; gives the moment, in seconds from its start, at which each resource was done. */
async function timedRun(
  access: StackAccess,
  operation: "up" | "preview" | "destroy",
  layer: Layer,
): Promise<{ seconds: number; done: ReadonlyMap<string, number> }> {
  process.env["GOURMETGRAM_UP_TO"] = layer;
  await openState(access, true, () => {});
  const { file } = checkSettings(stack);
  const done = new Map<string, number>();
  const began = performance.now();
  const onEvent = (event: EngineEvent) => {
    const urn = event.resOutputsEvent?.metadata.urn;
    if (urn !== undefined) done.set(urn, (performance.now() - began) / 1000);
  };
  const extra = operation === "up" ? ["--yes", "--skip-preview"] : operation === "destroy" ? ["--yes"] : [];
  await runGraph(
    access,
    {
      operation,
      kind: `bench-${operation}`,
      arguments: [...stackArguments(access, file), ...extra],
      onEvent,
    },
    () => {},
  );
  return { seconds: (performance.now() - began) / 1000, done };
}

/** When the last of the resources whose URN matches was done. */
function lastOf(done: ReadonlyMap<string, number>, pattern: RegExp): number {
  return Math.max(...[...done].filter(([urn]) => pattern.test(urn)).map(([, second]) => second));
}

const machineUrn = /gourmetgram:local:Machine::/;
const membershipUrn = /-membership$/;

/** Machines exist -> every node Ready, inside one `up` of our graph. */
async function ourBootstrap(access: StackAccess, count: number): Promise<number> {
  configure(count);
  const { done } = await timedRun(access, "up", "cluster");
  return lastOf(done, membershipUrn) - lastOf(done, machineUrn);
}

interface Outputs {
  readonly kubeconfig?: string;
  readonly ssh: { readonly config: string; readonly privateKey: string };
}

async function outputs(access: StackAccess): Promise<Outputs> {
  return (await readOutputs(access, true)) as unknown as Outputs;
}

/** The network as it is in our cluster, as a manifest: both sides of the comparison install the same. */
async function networkManifest(access: StackAccess, folder: string): Promise<string> {
  const kubeconfig = join(folder, "kubeconfig");
  writeFileSync(kubeconfig, (await outputs(access)).kubeconfig ?? "", { mode: 0o600 });
  const kubectl = join(access.engine.environment["GOURMETGRAM_BUNDLE_DIR"] ?? "", "bin", "kubectl");
  const get = (...args: string[]) => {
    const result = spawnSync(kubectl, ["--kubeconfig", kubeconfig, "get", ...args, "-o", "json"], {
      encoding: "utf8",
    });
    if (result.status !== 0) throw new Error(result.stderr);
    return JSON.parse(result.stdout) as {
      metadata: Record<string, unknown>;
      kind: string;
      [field: string]: unknown;
    };
  };
  const objects = [
    get("namespace", "kube-flannel"),
    get("clusterrole", "gourmetgram-flannel"),
    get("clusterrolebinding", "gourmetgram-flannel"),
    get("-n", "kube-flannel", "serviceaccount", "flannel"),
    get("-n", "kube-flannel", "configmap", "flannel-config"),
    get("-n", "kube-flannel", "daemonset", "flannel"),
  ];
  for (const object of objects) {
    const { name, namespace, labels } = object.metadata;
    object.metadata = { name, namespace, labels };
    delete object["status"];
    if (object.kind === "Namespace") delete object["spec"];
  }
  return objects.map((object) => stringify(object)).join("---\n");
}

/** The same on equal machines with a plain shell script; the machines are made, and then it starts. */
async function plainBootstrap(access: StackAccess, count: number, manifest: string): Promise<number> {
  configure(count);
  await timedRun(access, "up", "machines");
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  try {
    const { ssh } = await outputs(access);
    const key = join(folder, "key");
    writeFileSync(key, ssh.privateKey, { mode: 0o600 });
    chmodSync(key, 0o600);
    const config = join(folder, "ssh_config");
    writeFileSync(config, ssh.config.replace(/IdentityFile .*/g, `IdentityFile ${key}`));
    writeFileSync(join(folder, "network.yaml"), manifest);
    const result = spawnSync("bash", [join(PROJECT_ROOT, "tools/bench/plain-kubeadm.sh")], {
      encoding: "utf8",
      env: {
        ...process.env,
        NODES: Object.entries(nodes(count))
          .map(([name, { address }]) => `${name}=${address}`)
          .join(" "),
        SSH_CONFIG: config,
        BUNDLE: `/opt/gourmetgram/bundles/${basename(access.engine.environment["GOURMETGRAM_BUNDLE_DIR"] ?? "")}`,
        VERSION: kubernetesVersion,
        REGISTRY: bundleRegistry,
        ETCD_TAG: pins["image-etcd"].version,
        COREDNS_TAG: pins["image-coredns"].version,
        PAUSE_IMAGE: imageRef("pause"),
        POD_CIDR: "10.244.0.0/16",
        SERVICE_CIDR: "10.96.0.0/16",
        NETWORK_MANIFEST: join(folder, "network.yaml"),
      },
    });
    if (result.status !== 0) throw new Error(`the plain script failed:\n${result.stdout}\n${result.stderr}`);
    return Number(result.stdout.trim().split("\n").at(-1));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function destroy(access: StackAccess): Promise<number> {
  return (await timedRun(access, "destroy", "machines")).seconds;
}

/** Node's start and the whole program up to its last registration, against an engine that answers at once. */
function programStart(access: StackAccess): number {
  const began = performance.now();
  const result = spawnSync(process.execPath, [join(__dirname, "programStart.js"), stack], {
    encoding: "utf8",
    env: { ...process.env, ...access.engine.environment },
  });
  if (result.status !== 0) throw new Error(result.stderr);
  return (performance.now() - began) / 1000;
}

async function repeat(
  count: number,
  what: string,
  measure: () => Promise<number> | number,
): Promise<number[]> {
  const values: number[] = [];
  for (let index = 0; index < count; index++) {
    values.push(await measure());
    process.stderr.write(`${what}, run ${index + 1} of ${count}: ${(values.at(-1) as number).toFixed(2)}\n`);
  }
  return values;
}

async function main(): Promise<void> {
  const runs = Number(process.argv[2] ?? 3);
  if (!Number.isInteger(runs) || runs < 1)
    throw new Error(`runs = ${process.argv[2]}: a whole number from 1 on`);
  configure(3);
  const access = await withBundle(await openStack(stack));
  const rows: Measurement[] = [];
  try {
    await destroy(access);
    // In turn, so that a slower quarter of an hour of the host hits both alike.
    const ours: number[] = [];
    const plain: number[] = [];
    let manifest = "";
    for (let index = 0; index < runs; index++) {
      ours.push(...(await repeat(1, `${index + 1}: our bootstrap, 3 nodes`, () => ourBootstrap(access, 3))));
      if (manifest === "") {
        const folder = mkdtempSync(join(tmpdir(), "bench-"));
        manifest = await networkManifest(access, folder);
        rmSync(folder, { recursive: true, force: true });
      }
      await destroy(access);
      plain.push(
        ...(await repeat(1, `${index + 1}: plain script, 3 nodes`, () =>
          plainBootstrap(access, 3, manifest),
        )),
      );
      await destroy(access);
    }
    const six = await repeat(runs, "our bootstrap, 6 nodes", async () => {
      const seconds = await ourBootstrap(access, 6);
      await destroy(access);
      return seconds;
    });
    configure(3);
    const whole = await timedRun(access, "up", "platform");
    const noopUp = await repeat(
      runs,
      "no-op up",
      async () => (await timedRun(access, "up", "platform")).seconds,
    );
    const preview = await repeat(
      runs,
      "no-op preview",
      async () => (await timedRun(access, "preview", "platform")).seconds,
    );
    const start = await repeat(runs, "program start", () => programStart(access));
    const memory = residentBytes(stack) / 2 ** 30;
    await destroy(access);
    const delivered = await timedRun(access, "up", "delivery");
    const wholePreview = await repeat(
      runs,
      "no-op preview, whole graph",
      async () => (await timedRun(access, "preview", "delivery")).seconds,
    );
    const wholeMemory = residentBytes(stack) / 2 ** 30;
    const ending = await destroy(access);
    rows.push(
      { what: "(a) machines exist -> 3 nodes Ready", values: ours, unit: "s" },
      { what: "    the same by a plain shell script", values: plain, unit: "s" },
      { what: "    ratio", values: [median(ours) / median(plain)], unit: "x", bar: 1.15 },
      { what: "(b) machines exist -> 6 nodes Ready", values: six, unit: "s" },
      { what: "    ratio to 3 nodes", values: [median(six) / median(ours)], unit: "x", bar: 1.5 },
      { what: "(c) no-op preview, up to the platform", values: preview, unit: "s", bar: 5 },
      { what: "    no-op up", values: noopUp, unit: "s" },
      { what: "(d) program start", values: start, unit: "s", bar: 1.5 },
      { what: "(e) resident memory, up to the platform", values: [memory], unit: "GiB", bar: 6 },
      { what: "    platform up, cached", values: [whole.seconds], unit: "s", bar: 180 },
      { what: "(f) whole environment up, cached", values: [delivered.seconds], unit: "s", bar: 480 },
      { what: "    no-op preview of the whole graph", values: wholePreview, unit: "s", bar: 8 },
      { what: "    resident memory of the whole", values: [wholeMemory], unit: "GiB", bar: 10 },
      { what: "    destroy", values: [ending], unit: "s", bar: 60 },
    );
  } finally {
    await destroy(access).catch((error: Error) => process.stderr.write(`${error.message}\n`));
    rmSync(settingsFile, { force: true });
  }
  process.stdout.write(`${renderTable(rows)}\n`);
  if (rows.some(missesBar)) process.exitCode = 1;
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
