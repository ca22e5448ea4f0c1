import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeKeyPair } from "../../tools/provider/keyPair";
import { startTestCloud, type TestCloud, until } from "../openstack/testCloud";
import { machineImage } from "../support/machineImage";

/**
 * The test cloud keeps its promises: real APIs, servers that are machines, security groups that hold, faults on demand, and
 * nothing left. It does not prove that this project's program works on it.
 *
 * Everything made here is named by `prefix`, so these tests run beside other work on the same cloud.
 */

const run = promisify(execFile);
const prefix = `tce2e-${process.pid}`;
const nodes = ["1", "2", "3"].map((number) => ({
  name: `node${number}-${prefix}`,
  private: `192.168.1.1${number}`,
  hostKey: makeKeyPair("ed25519"),
}));
const login = makeKeyPair("ed25519");
const keys = mkdtempSync(join(tmpdir(), "testcloud-e2e-"));

let cloud: TestCloud;
let floating: string;
const servers: string[] = [];
const ports: { shared: string; private: string }[] = [];
let privateNetwork: string;
let group: string;
let posted: number;

beforeAll(async () => {
  writeFileSync(join(keys, "login"), login.privateKeyOpenssh, { mode: 0o600 });
  cloud = await startTestCloud({ machines: true, machineDir: machineImage() });
});

afterAll(async () => {
  if (cloud !== undefined) {
    await removeAll();
    await cloud.stop();
  }
  rmSync(keys, { recursive: true, force: true });
});

const compute = (method: string, path: string, body?: unknown) =>
  cloud.request("user", "compute", method, path, body);
const network = (method: string, path: string, body?: unknown) =>
  cloud.request("user", "network", method, `/v2.0${path}`, body);

/** Removes what these tests made, whatever of it is there. */
async function removeAll(): Promise<void> {
  const ours = async () =>
    Object.fromEntries(
      Object.entries(await cloud.listAll()).map(([kind, all]) => [
        kind,
        all.filter(({ name }) => name.includes(prefix)).map(({ id }) => id),
      ]),
    );
  const first = await ours();
  if (floating !== undefined) {
    await cloud.takeFloatingIp(floating, { release: true }).catch(() => undefined);
  }
  for (const id of first.servers ?? []) await cloud.deleteServer(id);
  for (const id of (await ours()).ports ?? []) await network("DELETE", `/ports/${id}`);
  for (const id of first.networks ?? []) await network("DELETE", `/networks/${id}`);
  for (const id of first.securityGroups ?? []) await network("DELETE", `/security-groups/${id}`);
  for (const id of first.keypairs ?? []) await compute("DELETE", `/os-keypairs/${id}`);
}

function userData(hostKey: ReturnType<typeof makeKeyPair>): string {
  const indented = hostKey.privateKeyOpenssh.trimEnd().replaceAll("\n", "\n    ");
  return [
    "#cloud-config",
    "ssh_keys:",
    "  ed25519_private: |",
    `    ${indented}`,
    `  ed25519_public: ${hostKey.publicKeyOpenssh}`,
    "runcmd:",
    "  - [touch, /run/told-by-user-data]",
    "",
  ].join("\n");
}

async function ssh(address: string, command: string, hostKey: string, jump?: string): Promise<string> {
  const known = join(keys, `known-${address}`);
  writeFileSync(known, `${address} ${hostKey}\n`);
  const options = (file: string) => [
    ...["-o", "StrictHostKeyChecking=yes", "-o", `UserKnownHostsFile=${file}`, "-o", "BatchMode=yes"],
    ...["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=3", "-i", join(keys, "login")],
  ];
  const through =
    jump === undefined
      ? []
      : ["-o", `ProxyCommand=ssh ${options(join(keys, `known-${jump}`)).join(" ")} -W %h:%p cc@${jump}`];
  const { stdout } = await run("ssh", [...options(known), ...through, `cc@${address}`, command]);
  return stdout.trim();
}

const first = (command: string) => ssh(floating, command, nodes[0]?.hostKey.publicKeyOpenssh ?? "");

/** Whether a TCP connection to the floating address is accepted. */
async function open(port: number): Promise<boolean> {
  const attempt = `exec 3<>/dev/tcp/${floating}/${port}`;
  return run("timeout", ["0.5", "bash", "-c", attempt]).then(
    () => true,
    () => false,
  );
}

/** What a server still has on this host. */
async function traces(server: string): Promise<string[]> {
  const named = `testcloud-${server}`;
  const processes = readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => readIfThere(`/proc/${pid}/cgroup`).includes(named));
  const mounts = readIfThere("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line.includes(server));
  const { stdout } = await run("find", ["/sys/fs/cgroup", "-type", "d", "-name", `${named}*`]).catch(() => ({
    stdout: "",
  }));
  const files = existsSync(join(cloud.folder, "machines", server)) ? [server] : [];
  return [...processes, ...mounts, ...stdout.split("\n").filter((line) => line !== ""), ...files];
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

test("it is a site like KVM@TACC", async () => {
  const { flavors } = await compute("GET", "/flavors");
  expect(flavors.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(["m1.tiny", "m1.medium", "m1.xlarge", "g1.h100.pci.1"]),
  );
  const { networks } = await network("GET", "/networks");
  expect(networks.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(["public", "sharednet1"]),
  );
  const { images } = await cloud.request("user", "image", "GET", "/v2/images");
  expect(images.map(({ name }: { name: string }) => name)).toContain("CC-Ubuntu24.04");
  expect(readFileSync(cloud.cloudsFile, "utf8")).toMatch(/^ {2}openstack:[\s\S]*^ {2}faulty:/m);
});

test("three servers with two cards each become machines", async () => {
  const named = (list: any[], name: string) => list.find((one) => one.name === name)?.id as string;
  const { networks } = await network("GET", "/networks");
  const { flavors } = await compute("GET", "/flavors");
  const { images } = await cloud.request("user", "image", "GET", "/v2/images");
  group = (await network("POST", "/security-groups", { security_group: { name: prefix } })).security_group.id;
  await allow(22);
  await compute("POST", "/os-keypairs", {
    keypair: { name: prefix, type: "ssh", public_key: login.publicKeyOpenssh },
  });
  const made = await network("POST", "/networks", {
    network: { name: prefix, port_security_enabled: false },
  });
  privateNetwork = made.network.id;
  const { subnet } = await network("POST", "/subnets", {
    subnet: {
      network_id: privateNetwork,
      name: prefix,
      ip_version: 4,
      cidr: "192.168.1.0/24",
      gateway_ip: null,
      enable_dhcp: false,
    },
  });
  for (const node of nodes) {
    const shared = await network("POST", "/ports", {
      port: { name: node.name, network_id: named(networks, "sharednet1"), security_groups: [group] },
    });
    const own = await network("POST", "/ports", {
      port: {
        name: node.name,
        network_id: privateNetwork,
        port_security_enabled: false,
        fixed_ips: [{ subnet_id: subnet.id, ip_address: node.private }],
      },
    });
    ports.push({ shared: shared.port.id, private: own.port.id });
  }
  const { floatingip } = await network("POST", "/floatingips", {
    floatingip: { floating_network_id: named(networks, "public"), port_id: ports[0]?.shared },
  });
  floating = floatingip.floating_ip_address;
  posted = performance.now();
  const answers = await Promise.all(
    nodes.map((node, at) =>
      compute("POST", "/servers", {
        server: {
          name: node.name,
          imageRef: named(images, "CC-Ubuntu24.04"),
          flavorRef: named(flavors, "m1.small"),
          key_name: prefix,
          user_data: Buffer.from(userData(node.hostKey)).toString("base64"),
          networks: [{ port: ports[at]?.shared }, { port: ports[at]?.private }],
        },
      }),
    ),
  );
  servers.push(...answers.map(({ server }) => server.id as string));
  await until("the first machine answers", 120, async () => (await first("true").catch(() => "no")) === "");
  console.log(`server POST to SSH: ${((performance.now() - posted) / 1000).toFixed(1)} s`);
  expect(await first("hostname")).toBe(nodes[0]?.name);
});

/** Lets a TCP port in through the group of the tests. */
async function allow(port: number): Promise<string> {
  const { security_group_rule: rule } = await network("POST", "/security-group-rules", {
    security_group_rule: {
      security_group_id: group,
      direction: "ingress",
      ethertype: "IPv4",
      protocol: "tcp",
      port_range_min: port,
      port_range_max: port,
    },
  });
  return rule.id;
}

test("cloud-init did what the user data says, for user cc only", async () => {
  expect(await first("cloud-init status --wait >/dev/null; cloud-init status")).toBe("status: done");
  expect(await first("ls /run/told-by-user-data; sudo id -u")).toBe("/run/told-by-user-data\n0");
  const refused = run("ssh", [
    ...["-o", "BatchMode=yes", "-o", `UserKnownHostsFile=${join(keys, `known-${floating}`)}`],
    ...["-i", join(keys, "login"), `root@${floating}`, "id"],
  ]).catch(({ stdout }) => ({ stdout }));
  expect((await refused).stdout).toContain('login as the user "cc"');
  const scanned = await run("ssh-keyscan", ["-t", "ed25519", floating]);
  expect(scanned.stdout).toContain(nodes[0]?.hostKey.publicKeyOpenssh.split(" ")[1]);
});

test("cards have the names, addresses and order of the server's ports, and one way out", async () => {
  const { port } = await network("GET", `/ports/${ports[0]?.shared}`);
  const addresses = await first("ip -br -4 address | tr -s ' '");
  expect(addresses).toContain(`${port.fixed_ips[0].ip_address}/22`);
  expect(addresses.split("\n").map((line) => line.split(/[@ ]/)[0])).toEqual(["lo", "ens3", "ens4"]);
  expect(addresses).toContain(`${nodes[0]?.private}/24`);
  expect(await first("cat /sys/class/net/ens3/address")).toBe(port.mac_address);
  expect(await first("ip route show default")).toMatch(/via 10\.56\.0\.1 dev ens3/);
});

test("nodes without floating IP are reached through the first, and not from this host", async () => {
  const second = nodes[1] as (typeof nodes)[number];
  const hostname = () =>
    ssh(second.private, "hostname", second.hostKey.publicKeyOpenssh, floating).catch(() => "");
  await until("the second machine answers", 60, async () => (await hostname()) !== "");
  expect(await hostname()).toBe(second.name);
  for (const address of [second.private, "10.56.0.1"]) {
    const { stdout } = await run("ip", ["route", "get", address]);
    expect(stdout).not.toContain("dev tc-");
  }
});

test("a port that no rule allows is closed, on both addresses, until a rule is added", async () => {
  await first("nohup python3 -m http.server 8123 >/dev/null 2>&1 & sleep 1; true");
  expect(await first("timeout 2 bash -c 'exec 3<>/dev/tcp/192.168.1.11/8123' && echo listens")).toBe(
    "listens",
  );
  expect(await open(8123)).toBe(false);
  const second = nodes[1] as (typeof nodes)[number];
  const { port } = await network("GET", `/ports/${ports[0]?.shared}`);
  const fixed = port.fixed_ips[0].ip_address;
  const fromSecond = (address: string) =>
    ssh(
      second.private,
      `timeout 1 bash -c 'exec 3<>/dev/tcp/${address}/8123' 2>/dev/null && echo open || echo closed`,
      second.hostKey.publicKeyOpenssh,
      floating,
    );
  expect(await fromSecond(fixed)).toBe("closed");
  expect(await fromSecond(floating)).toBe("closed");
  // The private network has no port security.
  expect(await fromSecond(nodes[0]?.private ?? "")).toBe("open");
  const rule = await allow(8123);
  const allowed = performance.now();
  await until("the port is open", 10, () => open(8123));
  console.log(`rule added to port open: ${((performance.now() - allowed) / 1000).toFixed(1)} s`);
  expect(await fromSecond(fixed)).toBe("open");
  expect(await fromSecond(floating)).toBe("open");
  await network("DELETE", `/security-group-rules/${rule}`);
  await until("the port is closed", 10, async () => !(await open(8123)));
});

test("a floating IP follows its port", async () => {
  const second = nodes[1] as (typeof nodes)[number];
  const { floatingips } = await network("GET", `/floatingips?floating_ip_address=${floating}`);
  const put = (port: string | undefined) =>
    network("PUT", `/floatingips/${floatingips[0].id}`, { floatingip: { port_id: port ?? null } });
  await put(ports[1]?.shared);
  const there = () => ssh(floating, "hostname", second.hostKey.publicKeyOpenssh).catch(() => "");
  await until("the second machine answers", 10, async () => (await there()) === second.name);
  await cloud.takeFloatingIp(floating);
  await until("nobody answers", 10, async () => !(await open(22)));
  await put(ports[0]?.shared);
  await until("the first machine answers", 10, () =>
    first("hostname").then(
      (name) => name === nodes[0]?.name,
      () => false,
    ),
  );
});

test("stop, start and reboot reach the machine", async () => {
  const id = servers[0] as string;
  const boot = () => first("cat /proc/1/stat | cut -d' ' -f22").catch(() => "");
  const before = await boot();
  await compute("POST", `/servers/${id}/action`, { reboot: { type: "SOFT" } });
  await until("it was started again", 60, async () => !["", before].includes(await boot()));
  await until(
    "it is ACTIVE",
    30,
    async () => (await compute("GET", `/servers/${id}`)).server.status === "ACTIVE",
  );
  await compute("POST", `/servers/${id}/action`, { "os-stop": null });
  await until("it is off", 60, async () => (await boot()) === "" && !(await open(22)));
  await until(
    "it is SHUTOFF",
    30,
    async () => (await compute("GET", `/servers/${id}`)).server.status === "SHUTOFF",
  );
  await compute("POST", `/servers/${id}/action`, { "os-start": null });
  await until("it is on", 60, async () => (await boot()) !== "");
});

test("a server in ERROR has no machine", async () => {
  const id = servers[2] as string;
  await cloud.setServerError(id);
  await until("its machine is gone", 30, async () => (await traces(id)).length === 0);
});

test("a machine that lost its server while the watcher was dead goes with the next watcher", async () => {
  const [, id = ""] = servers;
  const [pid] = readIfThere(join(cloud.folder, "run", "watcher.pid")).split(" ");
  // Number 0 would be everybody in our own process group.
  expect(Number(pid)).toBeGreaterThan(1);
  process.kill(Number(pid), "SIGKILL");
  await cloud.deleteServer(id);
  expect(await traces(id)).not.toEqual([]);
  await startTestCloud({ machines: true, machineDir: machineImage() });
  await until("its machine is gone", 30, async () => (await traces(id)).length === 0);
  // The host's own hardware addresses stay as the others know them; 3: set, and not that of a machine's cable.
  const bridges = readdirSync("/sys/class/net").filter((name) => name.startsWith("tc-"));
  expect(bridges.map((name) => readIfThere(`/sys/class/net/${name}/addr_assign_type`).trim())).toEqual([
    "3",
    "3",
  ]);
  expect(await first("hostname")).toBe(nodes[0]?.name);
});

test("a lease that ends takes its server along, and the machine", async () => {
  const { flavors } = await compute("GET", "/flavors");
  const { images } = await cloud.request("user", "image", "GET", "/v2/images?name=CC-Ubuntu24.04");
  const { networks } = await network("GET", "/networks?name=sharednet1");
  const end = new Date(Date.now() + 6 * 3_600_000).toISOString().slice(0, 16).replace("T", " ");
  const leases = (method: string, path: string, body?: unknown) =>
    cloud.request("user", "reservation", method, `/leases${path}`, body);
  const { lease } = await leases("POST", "", {
    name: prefix,
    start_date: "now",
    end_date: end,
    reservations: [
      {
        resource_type: "flavor:instance",
        flavor_id: flavors.find(({ name }: { name: string }) => name === "m1.small").id,
        amount: 1,
        affinity: null,
      },
    ],
    events: [],
  });
  await until("the lease is active", 60, async () => {
    return (await leases("GET", `/${lease.id}`)).lease.status === "ACTIVE";
  });
  const { server } = await compute("POST", "/servers", {
    server: {
      name: `leased-${prefix}`,
      imageRef: images[0].id,
      flavorRef: lease.reservations[0].id,
      networks: [{ uuid: networks[0].id }],
    },
  });
  await until("it has a machine", 90, () => cloud.machines().some((one) => one.server === server.id));
  await cloud.endLease(lease.id);
  await until("nothing is left of it", 60, async () => (await traces(server.id)).length === 0);
  await leases("DELETE", `/${lease.id}`);
});

test("tokens live as long as they are told to", async () => {
  await startTestCloud({ tokenSeconds: 15 });
  const token = await cloud.token("user");
  const ask = () =>
    fetch("http://127.0.0.1:9696/v2.0/networks", { headers: { "X-Auth-Token": token } }).then(
      ({ status }) => status,
    );
  expect(await ask()).toBe(200);
  await until("the token is over", 30, async () => (await ask()) === 401);
  await startTestCloud();
});

test("region RegionFaulty passes on, and fails as told", async () => {
  const began = Date.now() / 1000 - 1;
  const ask = () => fetch("http://127.0.0.1:18774/").then(({ status }) => status);
  expect(await ask()).toBe(200);
  await cloud.setFaults([{ service: "nova", action: "status", status: 503, times: 1 }]);
  expect([await ask(), await ask()]).toEqual([503, 200]);
  await cloud.setFaults([{ service: "nova", action: "reset" }]);
  await expect(ask()).rejects.toThrow();
  await cloud.setFaults([]);
  expect(await ask()).toBe(200);
  await until("the requests are logged", 5, () => cloud.proxiedRequests(began).length >= 5);
});

test("quotas hold as set", async () => {
  await cloud.setQuota({ floatingip: 0 });
  const { networks } = await network("GET", "/networks?name=public");
  const floatingip = { floating_network_id: networks[0].id };
  await expect(network("POST", "/floatingips", { floatingip })).rejects.toThrow(/409.*Quota exceeded/s);
  await cloud.setQuota({ floatingip: 5 });
});

test("what is deleted leaves nothing on this host", async () => {
  const address = floating;
  await removeAll();
  for (const id of servers) {
    await until(`nothing is left of ${id}`, 30, async () => (await traces(id)).length === 0);
  }
  await until("the network's bridge is gone", 10, () => {
    return !existsSync(`/sys/class/net/tc-${privateNetwork.replaceAll("-", "").slice(0, 11)}`);
  });
  const { stdout } = await run("ip", ["route", "show", `${address}/32`]);
  expect(stdout).toBe("");
  const all = Object.values(await cloud.listAll()).flat();
  expect(all.filter(({ name }) => name.includes(prefix) || name === address)).toEqual([]);
});
