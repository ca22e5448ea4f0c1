import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readMachineFolder } from "../../infra/local/machineFolder";
import { environmentNames, machineNames } from "../../infra/local/naming";
import { checkLocalHost, findLeftovers, removeLeftovers, tailMachineLog } from "../../infra/local/preflight";
import { makeKeyPair } from "../../tools/provider/keyPair";
import { machineImage } from "../support/machineImage";
import { ProviderClient } from "../support/providerClient";

/**
 * Real machines through the real provider executable, spoken to as the engine does. Everything lives in a data folder of its
 * own, so these tests run beside an environment of the person who runs them.
 */

const NETWORK = "gourmetgram:local:Network";
const MACHINE = "gourmetgram:local:Machine";
const run = promisify(execFile);

type State = Record<string, unknown>;

const image = machineImage();
const data = mkdtempSync(join(tmpdir(), "machines-e2e-"));
const root = join(data, "machines");
// On the image's file system, for hard links to it.
const beside = mkdtempSync(join(dirname(dirname(image)), "machines-e2e-"));
const login = makeKeyPair("ed25519");
const keys = mkdtempSync(join(tmpdir(), "machines-e2e-keys-"));
let provider: ProviderClient;

beforeAll(async () => {
  writeFileSync(join(keys, "login"), login.privateKeyOpenssh, { mode: 0o600 });
  provider = await startProvider();
});

afterAll(async () => {
  await provider.stop();
  for (const environment of existsSync(root) ? readdirSync(root) : []) {
    const network = networkOf(environment, "10.97.0.0/24");
    for (const name of readdirSync(join(root, environment)).filter((entry) => entry !== "owner")) {
      await runScript("machine.sh", ["delete"], { GG_MACHINE_DIR: join(root, environment, name) });
    }
    const cleaner = await startProvider();
    await cleaner.delete(NETWORK, "", network);
    await cleaner.stop();
  }
  rmSync(data, { recursive: true, force: true });
  rmSync(beside, { recursive: true, force: true });
  rmSync(keys, { recursive: true, force: true });
});

function startProvider(): Promise<ProviderClient> {
  return ProviderClient.start("e2e", { GOURMETGRAM_DATA: data });
}

function networkOf(environment: string, cidr: string): State {
  const { bridge, folder } = environmentNames(root, environment);
  return { environment, cidr, bridge, folder, gateway: "", network: cidr };
}

interface Host {
  readonly inputs: State;
  readonly hostKey: ReturnType<typeof makeKeyPair>;
  readonly address: string;
}

function machine(
  environment: string,
  name: string,
  address: string,
  network: string,
  extra: State = {},
): Host {
  const hostKey = makeKeyPair("ed25519");
  const inputs = {
    environment,
    name,
    address,
    network,
    memory: "1Gi",
    imageDir: image,
    bundlesDir: dirname(image),
    sshHostKey: hostKey.privateKeyOpenssh,
    authorizedKey: login.publicKeyOpenssh,
    hosts: { [name]: address },
    ...extra,
  };
  return { inputs, hostKey, address };
}

async function ssh(host: Host, command: string, hostKey = host.hostKey.publicKeyOpenssh): Promise<string> {
  const known = join(keys, `known-${host.address}`);
  writeFileSync(known, `${host.address} ${hostKey}\n`);
  const options = [
    "StrictHostKeyChecking=yes",
    `UserKnownHostsFile=${known}`,
    "IdentitiesOnly=yes",
    "BatchMode=yes",
  ];
  const { stdout } = await run("ssh", [
    ...options.flatMap((option) => ["-o", option]),
    "-i",
    join(keys, "login"),
    `root@${host.address}`,
    command,
  ]);
  return stdout.trim();
}

async function runScript(script: string, args: string[], env: Record<string, string>): Promise<string> {
  const { stdout } = await run(join(__dirname, "../../infra/local/scripts", script), args, {
    env: { ...process.env, GG_OWNER_STACK: "e2e", GG_OWNER_PROJECT: projectPath(), ...env },
  });
  return stdout;
}

function projectPath(): string {
  return dirname(dirname(__dirname));
}

function initOf(state: State): number | undefined {
  return readMachineFolder(state.folder as string)?.init;
}

describe("three machines", () => {
  const environment = "e2e-three";
  const cidr = "10.97.1.0/24";
  const hosts = ["one", "two", "three"].map((name, index) =>
    machine(environment, name, `10.97.1.${11 + index}`, cidr, {
      hosts: { one: "10.97.1.11", two: "10.97.1.12", three: "10.97.1.13" },
    }),
  );
  const [one, two] = hosts as [Host, Host, Host];
  let network: { id: string; state: State };
  let states: { id: string; state: State }[];

  test("this host is fit for them", () => {
    const spec = {
      name: environment,
      infra: { cidr, memory: "2Gi" },
      nodes: { one: {}, two: {}, three: {} },
    };
    expect(checkLocalHost(spec, root)).toEqual([]);
  });

  test("boot at the same time within 20 s and cost less than 50 MB each", async () => {
    network = await provider.create(NETWORK, { environment, cidr });
    const began = performance.now();
    states = await Promise.all(hosts.map(({ inputs }) => provider.create(MACHINE, inputs)));
    const seconds = (performance.now() - began) / 1000;
    const costs = await Promise.all(
      states.map(({ state }) => run("du", ["-s", "--block-size=1", state.folder as string])),
    );
    const bytes = costs.map(({ stdout }) => Number(stdout.split("\t")[0]));
    console.log(
      `three machines: ${seconds.toFixed(1)} s, ${bytes.map((size) => Math.round(size / 1e6)).join(" ")} MB`,
    );
    expect(seconds).toBeLessThan(20);
    expect(Math.max(...bytes)).toBeLessThan(50e6);
  });

  test("answer with the host key made for them, and with no failed unit", async () => {
    for (const host of hosts) {
      expect(await ssh(host, "hostname")).toBe(host.inputs.name);
      expect(await ssh(host, "systemctl is-system-running --wait || systemctl --failed")).toBe("running");
    }
  });

  test("are refused by a client that expects another host key", async () => {
    await expect(ssh(one, "true", two.hostKey.publicKeyOpenssh)).rejects.toThrow(
      /Host key verification failed/,
    );
  });

  test("refuse logins with another key", async () => {
    const other = makeKeyPair("ed25519");
    writeFileSync(join(keys, "login"), other.privateKeyOpenssh, { mode: 0o600 });
    await expect(ssh(one, "true")).rejects.toThrow(/Permission denied/);
    writeFileSync(join(keys, "login"), login.privateKeyOpenssh, { mode: 0o600 });
  });

  test("reach each other by name", async () => {
    expect(await ssh(one, "timeout 5 bash -c 'read -r banner </dev/tcp/two/22 && echo $banner'")).toMatch(
      /^SSH-/,
    );
  });

  test("know the host by a hardware address that stays when one of them goes", () => {
    const bridge = `/sys/class/net/${environmentNames(root, environment).bridge}`;
    expect(readFileSync(`${bridge}/address`, "utf8").trim()).toMatch(/^02:67:/);
    // 3: set, and not that of a port.
    expect(readFileSync(`${bridge}/addr_assign_type`, "utf8").trim()).toBe("3");
  });

  test("tell their traits", async () => {
    const traits = await ssh(one, "cat /etc/gourmetgram/machine.env");
    expect(traits.split("\n")).toEqual(
      expect.arrayContaining([
        "GG_BUNDLES=/opt/gourmetgram/bundles",
        "GG_SHARED_DISK=true",
        `GG_MEMORY_BYTES=${2 ** 30}`,
      ]),
    );
    await expect(ssh(one, "touch /opt/gourmetgram/bundles/x")).rejects.toThrow(/Read-only file system/);
  });

  test("see their own memory and end what needs more", async () => {
    expect(await ssh(one, "awk '/MemTotal/ {print $2}' /proc/meminfo")).toBe(String(2 ** 20));
    // 1.5 GiB of a 1 GiB machine: the kernel ends the program, and nothing else.
    await expect(
      ssh(one, "set -o pipefail; head -c 1610612736 /dev/zero | tail -c 1610612736 | wc -c"),
    ).rejects.toThrow();
    expect(await ssh(one, "systemctl is-system-running")).toBe("running");
  });

  test("cannot change the host's kernel settings", async () => {
    const before = readFileSync("/proc/sys/kernel/panic", "utf8");
    await ssh(one, "echo 3 >/proc/sys/kernel/panic");
    await expect(ssh(one, "echo 1 >/proc/sys/vm/panic_on_oom")).rejects.toThrow(/Read-only/);
    expect(readFileSync("/proc/sys/kernel/panic", "utf8")).toBe(before);
  });

  test("run containers from the shared image store, and removing an image in one leaves the others theirs", async () => {
    const ctr = "ctr --namespace k8s.io";
    const container = [
      "systemctl start containerd",
      `image=$(${ctr} image ls -q | grep /busybox: | head -1)`,
      `${ctr} run --rm --snapshotter overlayfs "$image" try sh -c 'echo written >/file && cat /file'`,
    ].join("\n");
    expect(await ssh(one, container)).toBe("written");
    await ssh(one, `for image in $(${ctr} image ls -q); do ${ctr} image rm --sync "$image"; done`);
    const snapshots = "ls /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots | wc -l";
    expect(await ssh(one, snapshots)).toBe("0");
    expect(await ssh(two, container)).toBe("written");
  });

  test("have no difference afterwards", async () => {
    for (const [index, { state }] of states.entries()) {
      const { inputs } = hosts[index] as Host;
      expect(await provider.diff(MACHINE, state, inputs, inputs)).toEqual({});
    }
    expect(await provider.diff(NETWORK, network.state, { environment, cidr }, { environment, cidr })).toEqual(
      {},
    );
  });

  test("take changed memory, hosts and login keys while they run", async () => {
    const { state } = states[0] as { state: State };
    const init = initOf(state);
    const inputs = { ...one.inputs, memory: "1500Mi", hosts: { one: one.address, four: "10.97.1.14" } };
    expect(await provider.diff(MACHINE, state, one.inputs, inputs)).toEqual({
      memory: "update",
      hosts: "update",
    });
    const updated = await provider.update(MACHINE, state, inputs);
    expect(updated.instanceId).toBe(state.instanceId);
    expect(initOf(state)).toBe(init);
    expect(await ssh(one, "cat /etc/hosts")).toContain("10.97.1.14 four");
    expect(await ssh(one, "awk '/MemTotal/ {print $2}' /proc/meminfo")).toBe(String(1500 * 1024));
    states[0] = { id: `${environment}/one`, state: await provider.update(MACHINE, updated, one.inputs) };
  });

  test("take a new host key while they run", async () => {
    const { state } = states[1] as { state: State };
    const hostKey = makeKeyPair("ed25519");
    const inputs = { ...two.inputs, sshHostKey: hostKey.privateKeyOpenssh };
    const updated = await provider.update(MACHINE, state, inputs);
    expect(await ssh(two, "hostname", hostKey.publicKeyOpenssh)).toBe("two");
    states[1] = { id: `${environment}/two`, state: await provider.update(MACHINE, updated, two.inputs) };
    expect(await ssh(two, "hostname")).toBe("two");
  });

  test("keep their data over a restart", async () => {
    const { state } = states[0] as { state: State };
    await ssh(one, "echo kept >/root/kept; echo kept >/var/lib/etcd/kept; sync");
    const before = initOf(state);
    await runScript("machine.sh", ["restart"], { GG_MACHINE_DIR: state.folder as string });
    expect(await ssh(one, "cat /root/kept /var/lib/etcd/kept")).toBe("kept\nkept");
    expect(initOf(state)).not.toBe(before);
  });

  test("come back by themselves when they reboot, with their data", async () => {
    const { state } = states[0] as { state: State };
    const before = initOf(state);
    await ssh(one, "echo kept >/root/kept; systemctl reboot").catch(() => undefined);
    await expect
      .poll(() => initOf(state), { timeout: 20_000 })
      .not.toSatisfy((init) => init === before || init === undefined);
    await expect.poll(() => ssh(one, "cat /root/kept").catch(() => ""), { timeout: 20_000 }).toBe("kept");
    expect(await ssh(one, "systemctl is-system-running --wait")).toBe("running");
  });

  test("are started again by an update after they were killed, with their data", async () => {
    const { id, state } = states[0] as { id: string; state: State };
    process.kill(initOf(state) as number, "SIGKILL");
    await expect.poll(() => initOf(state), { timeout: 10_000 }).toBeUndefined();
    expect(await provider.diff(MACHINE, state, one.inputs, one.inputs)).toEqual({ running: "update" });
    expect(await provider.read(MACHINE, id, state)).toMatchObject({ running: false });
    const updated = await provider.update(MACHINE, state, one.inputs);
    expect(updated).toMatchObject({ instanceId: state.instanceId, running: true });
    expect(await ssh(one, "cat /root/kept")).toBe("kept");
    expect(await provider.diff(MACHINE, updated, one.inputs, one.inputs)).toEqual({});
  });

  test("keep their data when the image they run on is lost, and go on with the present one", async () => {
    const copy = join(beside, "image");
    mkdirSync(copy);
    await run("cp", ["--archive", "--link", join(image, "rootfs"), copy]);
    symlinkSync(join(image, "containerd"), join(copy, "containerd"));
    const name = "four";
    const host = machine(environment, name, "10.97.1.14", cidr, { imageDir: copy });
    const made = await provider.create(MACHINE, host.inputs);
    await ssh(host, "echo kept >/opt/local-path-provisioner/kept");
    rmSync(copy, { recursive: true });
    const news = { ...host.inputs, imageDir: image };
    expect(await provider.diff(MACHINE, made.state, host.inputs, news)).toEqual({ imageDir: "update" });
    const updated = await provider.update(MACHINE, made.state, news);
    expect(updated).toMatchObject({ instanceId: made.state.instanceId, imageDir: image });
    expect(await ssh(host, "cat /opt/local-path-provisioner/kept")).toBe("kept");
    const images =
      "systemctl start containerd; ctr --namespace k8s.io image ls -q | grep -c bundle.gourmetgram.internal/";
    expect(Number(await ssh(host, images))).toBeGreaterThan(5);
    expect(await provider.diff(MACHINE, updated, news, news)).toEqual({});
    await provider.delete(MACHINE, made.id, updated);
  });

  test("say what happened before they died", async () => {
    await ssh(one, "logger -t bootstrap 'the last words'; journalctl --sync");
    expect(tailMachineLog(environment, "one", 40, root)).toContain("the last words");
  });

  test("are replaced when their folder is gone", async () => {
    const { id, state } = states[2] as { id: string; state: State };
    await runScript("machine.sh", ["delete"], { GG_MACHINE_DIR: state.folder as string });
    const { inputs } = hosts[2] as Host;
    expect(await provider.diff(MACHINE, state, inputs, inputs)).toEqual({ instanceId: "replace" });
    expect(await provider.read(MACHINE, id, state)).toBeUndefined();
    states[2] = await provider.create(MACHINE, inputs);
    expect(states[2].state.instanceId).not.toBe(state.instanceId);
  });

  test("leave nothing when they are removed", async () => {
    expect(findLeftovers(environment, root).length).toBeGreaterThan(0);
    await Promise.all(states.map(({ id, state }) => provider.delete(MACHINE, id, state)));
    await provider.delete(NETWORK, network.id, network.state);
    expect(findLeftovers(environment, root)).toEqual([]);
  });
});

describe("faults", () => {
  test("a creation killed at any moment is done again by the next", async () => {
    const environment = "e2e-killed";
    const cidr = "10.97.2.0/24";
    const network = await provider.create(NETWORK, { environment, cidr });
    const host = machine(environment, "node", "10.97.2.11", cidr);
    for (const milliseconds of [30, 120, 300, 600, 1000]) {
      const doomed = await startProvider();
      const attempt = doomed.create(MACHINE, host.inputs).catch(() => undefined);
      await sleep(milliseconds);
      await doomed.stop(true);
      await attempt;
    }
    const made = await provider.create(MACHINE, host.inputs);
    expect(await ssh(host, "hostname")).toBe("node");
    await provider.delete(MACHINE, made.id, made.state);
    await provider.delete(NETWORK, network.id, network.state);
    expect(findLeftovers(environment, root)).toEqual([]);
  });

  test("a killed creation that the engine forgot goes with its network", async () => {
    const environment = "e2e-forgotten";
    const cidr = "10.97.3.0/24";
    const network = await provider.create(NETWORK, { environment, cidr });
    const doomed = await startProvider();
    const attempt = doomed
      .create(MACHINE, machine(environment, "node", "10.97.3.11", cidr).inputs)
      .catch(() => undefined);
    await sleep(700);
    await doomed.stop(true);
    await attempt;
    expect(findLeftovers(environment, root).map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(["interface", "file"]),
    );
    expect(existsSync(machineNames(root, environment, "node").folder)).toBe(true);
    await provider.delete(NETWORK, network.id, network.state);
    expect(findLeftovers(environment, root)).toEqual([]);
  });

  test("what an interrupted run left is removed by the environment's name", async () => {
    const environment = "e2e-removed";
    const cidr = "10.97.9.0/24";
    const doomed = await ProviderClient.start(environment, { GOURMETGRAM_DATA: data });
    await doomed.create(NETWORK, { environment, cidr });
    await doomed.create(MACHINE, machine(environment, "node", "10.97.9.11", cidr).inputs);
    await doomed.stop(true);
    expect(new Set(findLeftovers(environment, root).map(({ kind }) => kind))).toEqual(
      new Set(["process", "interface", "cgroup", "file"]),
    );
    removeLeftovers(environment, root);
    expect(findLeftovers(environment, root)).toEqual([]);
  });

  test("a machine that cannot boot is named, with its last lines, and leaves nothing", async () => {
    const environment = "e2e-broken";
    const cidr = "10.97.4.0/24";
    const network = await provider.create(NETWORK, { environment, cidr });
    const broken = join(data, "broken");
    mkdirSync(join(broken, "rootfs", "lib", "systemd"), { recursive: true });
    writeFileSync(join(broken, "rootfs", "lib", "systemd", "systemd"), "#!/no/such/interpreter\n", {
      mode: 0o755,
    });
    const host = machine(environment, "node", "10.97.4.11", cidr, { imageDir: broken });
    await expect(provider.create(MACHINE, host.inputs)).rejects.toThrow(
      /last lines of node[\s\S]*the machine node does not answer/,
    );
    await provider.delete(NETWORK, network.id, network.state);
    expect(findLeftovers(environment, root)).toEqual([]);
  });

  test("a folder of another checkout is not touched", async () => {
    const environment = "e2e-foreign";
    const { folder } = environmentNames(root, environment);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "owner"), "stack=e2e\nproject=/usr\n");
    await expect(provider.create(NETWORK, { environment, cidr: "10.97.5.0/24" })).rejects.toThrow(
      /belongs to stack 'e2e' of \/usr/,
    );
    expect(readdirSync(folder)).toEqual(["owner"]);
    const spec = { name: environment, infra: { cidr: "10.97.5.0/24", memory: "2Gi" }, nodes: { one: {} } };
    expect(checkLocalHost(spec, root)).toMatchObject([{ path: "environment", value: environment }]);
    rmSync(folder, { recursive: true });
  });

  test("a network in use is reported before anything is made", async () => {
    const spec = { name: "e2e-clash", infra: { cidr: "127.0.0.0/16", memory: "2Gi" }, nodes: { one: {} } };
    expect(checkLocalHost(spec, root)).toMatchObject([{ path: "infra.cidr", value: "127.0.0.0/16" }]);
  });
});

test("two environments with the same node names live side by side", async () => {
  const sides = ["e2e-left", "e2e-right"].map((environment, index) => {
    const cidr = `10.97.${6 + index}.0/24`;
    return { environment, cidr, host: machine(environment, "node1", `10.97.${6 + index}.11`, cidr) };
  });
  const made = await Promise.all(
    sides.map(async ({ environment, cidr, host }) => {
      const network = await provider.create(NETWORK, { environment, cidr });
      return { network, machine: await provider.create(MACHINE, host.inputs) };
    }),
  );
  const [left, right] = made as [(typeof made)[number], (typeof made)[number]];
  const [leftSide, rightSide] = sides as [(typeof sides)[number], (typeof sides)[number]];
  await ssh(leftSide.host, "echo left >/root/side");
  await provider.delete(MACHINE, left.machine.id, left.machine.state);
  await provider.delete(NETWORK, left.network.id, left.network.state);
  expect(findLeftovers(leftSide.environment, root)).toEqual([]);
  expect(await ssh(rightSide.host, "ls /root/side 2>/dev/null || hostname")).toBe("node1");
  await provider.delete(MACHINE, right.machine.id, right.machine.state);
  await provider.delete(NETWORK, right.network.id, right.network.state);
  expect(findLeftovers(rightSide.environment, root)).toEqual([]);
});

test("a machine outlives the shell that started it", async () => {
  const environment = "e2e-detached";
  const cidr = "10.97.8.0/24";
  const own = await startProvider();
  const network = await own.create(NETWORK, { environment, cidr });
  const host = machine(environment, "node", "10.97.8.11", cidr);
  const made = await own.create(MACHINE, host.inputs);
  await own.stop(true);
  await sleep(500);
  expect(await ssh(host, "hostname")).toBe("node");
  await provider.delete(MACHINE, made.id, made.state);
  await provider.delete(NETWORK, network.id, network.state);
  expect(findLeftovers(environment, root)).toEqual([]);
});
