import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { checkCredentials } from "../../infra/openstack/checks/credentials";
import { checkFloatingIp } from "../../infra/openstack/checks/floatingIp";
import { checkGitRepository } from "../../infra/openstack/checks/gitRepositories";
import { checkFlavors, checkImage } from "../../infra/openstack/checks/images";
import { checkLeases, lastLeaseEnd } from "../../infra/openstack/checks/leases";
import { checkKeypair, checkNames } from "../../infra/openstack/checks/names";
import {
  checkOverlaps,
  checkPrivateNetwork,
  checkSharedNetwork,
} from "../../infra/openstack/checks/networks";
import { checkGroupMembers, checkQuotas, neededAmounts, quotasOf } from "../../infra/openstack/checks/quotas";
import { pass } from "../../infra/openstack/checks/row";
import { checkSecurityGroups, closedPorts } from "../../infra/openstack/checks/securityGroups";
import { NOTHING_EXISTS } from "../../infra/openstack/existing";
import { checkOpenStack, renderPreflight } from "../../infra/openstack/preflight";
import { FakeOpenStack } from "../support/fakeOpenStack";
import {
  aFlavor,
  aFloatingIp,
  aGroup,
  aLease,
  aNetwork,
  aPort,
  aRouter,
  aRule,
  aSpec,
  aSubnet,
  PROJECT,
  threeNodes,
} from "../support/openstackShapes";

const now = new Date("2026-11-28T12:00:00Z");
const hoursLater = (hours: number) => new Date(now.getTime() + hours * 3_600_000);
const flavors = [aFlavor("m1.tiny", 1, 512, 1), aFlavor("m1.medium", 2, 4096)];
const none = new Set<string>();

describe("credentials", () => {
  const facts = { cloud: "openstack", projectName: "CHI-test", roles: ["member", "reader"] };
  const until = (at: Date | undefined, exact = true) => ({ ...facts, expiry: { at, exact } });

  test("last for a day, or as long as the lease", () => {
    expect(checkCredentials(until(undefined), now).ok).toBe(true);
    expect(checkCredentials(until(hoursLater(25)), now).ok).toBe(true);
    expect(checkCredentials(until(hoursLater(23)), now).problem?.problem).toContain("end soon");
    expect(checkCredentials(until(hoursLater(25)), now, hoursLater(48)).problem?.problem).toContain(
      "end before the lease does",
    );
  });

  test("whose end cannot be seen are not judged by a token's", () => {
    expect(checkCredentials(until(hoursLater(1), false), now)).toMatchObject({ ok: true });
  });

  test("may make something", () => {
    const { problem } = checkCredentials({ ...until(undefined), roles: ["reader"] }, now);
    expect(problem?.problem).toContain("may make nothing");
  });
});

describe("quotas", () => {
  const needed = neededAmounts(aSpec(), threeNodes, [80, 8080, 8081], () => flavors[1]);

  test("count all that an environment is made of", () => {
    expect(needed).toEqual({
      instances: 3,
      cores: 6,
      "RAM (MiB)": 12288,
      "server groups": 0,
      keypairs: 1,
      networks: 1,
      subnets: 1,
      ports: 7,
      "security groups": 2,
      "security group rules": 9,
      "floating IPs": 1,
      volumes: 0,
      "volume space (GiB)": 0,
    });
    const existing = aSpec({
      privateNetwork: { kind: "existing", network: "n", subnet: "s" },
      floatingIp: { kind: "existing", address: "1.2.3.4" },
      securityGroups: { kind: "existing", names: ["default"] },
      keypair: "mine",
      bootVolume: { size: 20, discard: false },
      spread: "anti-affinity",
    });
    expect(neededAmounts(existing, threeNodes, [80], () => undefined)).toMatchObject({
      cores: 0,
      "server groups": 1,
      keypairs: 0,
      networks: 0,
      ports: 6,
      "security groups": 0,
      "floating IPs": 0,
      volumes: 3,
      "volume space (GiB)": 60,
    });
  });

  test("are compared with what is still missing", () => {
    const quotas = {
      instances: { limit: 10, used: 9 },
      cores: { limit: -1, used: 100 },
      "floating IPs": { limit: 2, used: 2 },
    };
    const rows = checkQuotas({ instances: 3, cores: 6, "floating IPs": 1 }, { "floating IPs": 1 }, quotas);
    expect(rows.map(({ check, ok, found }) => [check, ok, found])).toEqual([
      ["quotas", true, "6 cores"],
      ["quota of instances", false, "3 needed, 1 of 10 free"],
    ]);
    expect(rows[1]?.problem).toMatchObject({ path: "quota.instances", value: 10 });
    expect(checkQuotas({ instances: 3 }, { instances: 2 }, quotas)[0]).toMatchObject({ ok: true });
    expect(checkQuotas(needed, needed, {})).toEqual([pass("quotas", "nothing more is needed")]);
  });

  test("of three services have one shape", () => {
    const limits = {
      maxTotalInstances: 20,
      totalInstancesUsed: 3,
      maxTotalCores: 64,
      totalCoresUsed: 6,
      maxTotalRAMSize: -1,
      totalRAMUsed: 0,
      maxTotalKeypairs: 100,
      maxServerGroups: 10,
      totalServerGroupsUsed: 0,
      maxServerGroupMembers: 2,
    };
    const quotas = quotasOf(limits, { port: { limit: 50, used: 6, reserved: 1 } }, 4, undefined);
    expect(quotas).toMatchObject({
      instances: { limit: 20, used: 3 },
      ports: { limit: 50, used: 7 },
      keypairs: { limit: 100, used: 4 },
    });
    expect(quotas).not.toHaveProperty("volumes");
    expect(checkGroupMembers(aSpec({ spread: "anti-affinity" }), 3, limits)?.ok).toBe(false);
    expect(checkGroupMembers(aSpec(), 3, limits)).toBeUndefined();
  });
});

describe("flavors and image", () => {
  const image = { id: "i", name: "CC-Ubuntu24.04", status: "active", min_disk: 0, min_ram: 0, size: 1 };

  test("a flavor exists and carries what runs on it", () => {
    expect(checkFlavors(aSpec(), threeNodes, flavors)).toEqual([
      pass("flavor of default", "m1.medium: 2 vCPU, 4096 MiB, 40 GiB"),
    ]);
    const small = aSpec({ pools: { default: { flavor: "m1.tiny" }, big: { flavor: "m1.medium" } } });
    const [row, ...others] = checkFlavors(small, threeNodes, flavors);
    expect(row?.problem).toMatchObject({ path: "infra.pools.default.flavor", value: "m1.tiny" });
    expect(row?.problem?.allowed).toBe("at least 2 vCPU and 1700 MiB: m1.medium");
    expect(others).toEqual([]);
    const workers = { node1: { ...threeNodes.node1, pool: "big" }, node2: threeNodes.node2 };
    expect(checkFlavors(small, workers, flavors).every(({ ok }) => ok)).toBe(true);
    const typo = aSpec({ pools: { default: { flavor: "m1.mediun" } } });
    expect(checkFlavors(typo, threeNodes, flavors)[0]?.problem?.next).toBe('did you mean "m1.medium"?');
  });

  test("the image is there once, active, and fits", () => {
    const check = (change: object, spec = aSpec()) =>
      checkImage(spec, threeNodes, [{ ...image, ...change }], flavors, []);
    expect(check({}).ok).toBe(true);
    expect(check({ status: "deactivated" }).found).toBe("deactivated");
    expect(check({ min_disk: 41 }).problem?.problem).toContain("needs a disk of 41 GiB, flavor m1.medium");
    expect(check({ virtual_size: 41 * 2 ** 30 }).ok).toBe(false);
    expect(
      check({ min_disk: 20 }, aSpec({ bootVolume: { size: 10, discard: false } })).problem?.problem,
    ).toContain("bootVolume");
    expect(check({ min_ram: 8192 }).problem?.problem).toContain("needs 8192 MiB of memory");
    const twice = checkImage(aSpec(), threeNodes, [image, { ...image, id: "j" }], flavors, []);
    expect(twice.problem?.allowed).toBe("i, j");
    const absent = checkImage(aSpec(), threeNodes, [], flavors, ["CC-Ubuntu22.04"]);
    expect(absent.problem?.next).toBe('did you mean "CC-Ubuntu22.04"?');
  });
});

describe("networks", () => {
  const facts = {
    projectId: PROJECT,
    networks: [
      aNetwork("sharednet1", { project_id: "site", shared: true }),
      aNetwork("public", { project_id: "site", "router:external": true }),
      aNetwork("lab"),
    ],
    subnets: [
      aSubnet("shared-sub", "sharednet1", "10.56.0.0/22", { gateway_ip: "10.56.0.1" }),
      aSubnet("lab-sub", "lab", "192.168.1.0/24", { gateway_ip: "192.168.1.1" }),
    ],
    routers: [] as ReturnType<typeof aRouter>[],
    ports: [aPort("taken", "lab", "192.168.1.13")],
  };

  test("the shared one is there and behind a router, as far as that can be seen", () => {
    expect(checkSharedNetwork(aSpec(), facts)).toEqual(pass("shared network", "sharednet1, 10.56.0.0/22"));
    expect(checkSharedNetwork(aSpec({ sharedNetwork: "sharednet2" }), facts).problem?.next).toContain(
      "sharednet1",
    );
    expect(checkSharedNetwork(aSpec({ sharedNetwork: "public" }), facts).found).toBe("is the outside itself");
    const own = aSpec({ sharedNetwork: "lab" });
    expect(checkSharedNetwork(own, facts).found).toBe("no router");
    const routed = {
      ...facts,
      routers: [aRouter("r")],
      ports: [
        aPort("gw", "lab", "192.168.1.1", { device_id: "r", device_owner: "network:router_interface" }),
      ],
    };
    expect(checkSharedNetwork(own, routed).ok).toBe(true);
    expect(checkSharedNetwork(own, { ...facts, subnets: [] }).found).toBe("no IPv4 subnet");
    const closed = { ...facts, subnets: [aSubnet("s", "sharednet1", "10.56.0.0/22")] };
    expect(checkSharedNetwork(aSpec(), closed).found).toBe("no gateway");
  });

  test("an existing private one has the nodes' addresses, free", () => {
    const existing = aSpec({ privateNetwork: { kind: "existing", network: "lab", subnet: "lab-sub" } });
    const row = checkPrivateNetwork(existing, threeNodes, facts, none);
    expect(row.problem).toMatchObject({
      path: "nodes.node3.address",
      value: "192.168.1.13",
      problem: "belongs to port taken already",
    });
    expect(checkPrivateNetwork(existing, threeNodes, facts, new Set(["taken"])).ok).toBe(true);
    const outside = { node1: { role: "controlPlane", address: "192.168.2.11" } } as const;
    expect(checkPrivateNetwork(existing, outside, facts, none).problem?.problem).toContain(
      "is outside the subnet",
    );
    const gateway = { node1: { role: "controlPlane", address: "192.168.1.1" } } as const;
    expect(checkPrivateNetwork(existing, gateway, facts, none).problem?.problem).toContain("gateway");
    const wrong = aSpec({ privateNetwork: { kind: "existing", network: "lab", subnet: "shared-sub" } });
    expect(checkPrivateNetwork(wrong, threeNodes, facts, none).problem?.allowed).toBe(
      "lab-sub (192.168.1.0/24)",
    );
  });

  test("one made here needs its router, if it has any", () => {
    expect(checkPrivateNetwork(aSpec(), threeNodes, facts, none).ok).toBe(true);
    const routed = aSpec({ privateNetwork: { kind: "created", router: "r" } });
    expect(checkPrivateNetwork(routed, threeNodes, facts, none).found).toBe("no router r");
    const there = { ...facts, routers: [aRouter("r")] };
    expect(checkPrivateNetwork(routed, threeNodes, there, none).ok).toBe(true);
  });

  test("that meet on a node do not overlap", () => {
    const inner = { "cluster.podCidr": "10.244.0.0/16", "cluster.serviceCidr": "10.96.0.0/16" };
    expect(checkOverlaps(aSpec(), inner, facts).ok).toBe(true);
    expect(checkOverlaps(aSpec({ cidr: "10.56.1.0/24" }), inner, facts).problem?.path).toBe("infra.cidr");
    expect(checkOverlaps(aSpec(), { "cluster.podCidr": "10.56.0.0/16" }, facts).problem?.path).toBe(
      "cluster.podCidr",
    );
    expect(checkOverlaps(aSpec(), { "cluster.podCidr": "192.168.0.0/16" }, facts).ok).toBe(false);
  });
});

describe("the floating IP", () => {
  const networks = [aNetwork("public", { "router:external": true }), aNetwork("sharednet1")];
  const ips = [aFloatingIp("f", "203.0.113.5"), aFloatingIp("g", "203.0.113.6", { port_id: "p" })];
  const own = { ports: none, floatingIps: none };

  test("comes from an external network with free addresses", () => {
    expect(checkFloatingIp(aSpec(), networks, ips, undefined, own).ok).toBe(true);
    expect(checkFloatingIp(aSpec(), networks, ips, 0, own).problem?.problem).toBe("has no free address");
    expect(checkFloatingIp(aSpec(), networks, ips, 0, { ...own, floatingIps: new Set(["f"]) }).ok).toBe(true);
    const from = (pool: string) => aSpec({ floatingIp: { kind: "new", pool } });
    expect(checkFloatingIp(from("sharednet1"), networks, ips, 5, own).found).toBe("leads nowhere");
    expect(checkFloatingIp(from("pubic"), networks, ips, 5, own).problem?.next).toBe(
      'did you mean "public"?',
    );
  });

  test("that exists is nobody else's", () => {
    const at = (address: string) => aSpec({ floatingIp: { kind: "existing", address } });
    expect(checkFloatingIp(at("203.0.113.5"), networks, ips, undefined, own).ok).toBe(true);
    const used = checkFloatingIp(at("203.0.113.6"), networks, ips, undefined, own);
    expect(used.problem).toMatchObject({ path: "infra.floatingIp.address", allowed: "203.0.113.5" });
    expect(
      checkFloatingIp(at("203.0.113.6"), networks, ips, undefined, { ...own, ports: new Set(["p"]) }).ok,
    ).toBe(true);
    expect(checkFloatingIp(at("203.0.113.7"), networks, ips, undefined, own).found).toContain(
      "does not exist",
    );
  });
});

describe("security groups", () => {
  const ssh = aGroup("allow-ssh", [aRule({ port_range_min: 22, port_range_max: 22 })]);
  const check = (names: string[], groups = [ssh]) =>
    checkSecurityGroups(aSpec({ securityGroups: { kind: "existing", names } }), [80], groups);

  test("that exist open what must be reached", () => {
    expect(check(["allow-ssh"]).problem?.problem).toBe("do not open TCP ports 6443, 80 to anybody outside");
    expect(check(["allow-all"], [ssh, aGroup("allow-all", [aRule({ protocol: null })])]).ok).toBe(true);
    expect(check(["alow-ssh"]).problem?.next).toBe('did you mean "allow-ssh"?');
    expect(checkSecurityGroups(aSpec(), [80], []).ok).toBe(true);
  });

  test("a rule counts only for TCP, IPv4, coming in, from a network", () => {
    const closed = (change: Parameters<typeof aRule>[0]) => closedPorts([aGroup("g", [aRule(change)])], [22]);
    expect(closed({})).toEqual([]);
    expect(closed({ port_range_min: 20, port_range_max: 30 })).toEqual([]);
    expect(closed({ remote_ip_prefix: null })).toEqual([]);
    for (const change of [
      { direction: "egress" as const },
      { ethertype: "IPv6" },
      { protocol: "udp" },
      { port_range_min: 23, port_range_max: 30 },
      { remote_ip_prefix: null, remote_group_id: "g" },
    ]) {
      expect(closed(change), JSON.stringify(change)).toEqual([22]);
    }
  });
});

describe("leases", () => {
  const spec = aSpec({
    pools: { default: { flavor: "m1.medium", lease: { hours: 24, minimumMinutes: 60 } } },
  });

  test("are made, or there with enough time", () => {
    expect(checkLeases("x", spec, threeNodes, [], now)).toEqual([
      pass("lease of default", "to be made: 3 x m1.medium for 24 h"),
    ]);
    expect(checkLeases("x", spec, threeNodes, [aLease("a")], now)[0]).toEqual(
      pass("lease of default", "ACTIVE, 6 h left, to be extended to 24 h"),
    );
    const six = aSpec({
      pools: { default: { flavor: "m1.medium", lease: { hours: 6, minimumMinutes: 60 } } },
    });
    const late = checkLeases("x", six, threeNodes, [aLease("a")], hoursLater(5.5))[0];
    expect(late?.problem?.next).toBe("npm run lease -- x --extend 12");
    const ended = [aLease("a", { status: "TERMINATED" })];
    expect(checkLeases("x", spec, threeNodes, ended, hoursLater(7))[0]?.ok).toBe(true);
    expect(lastLeaseEnd("x", spec, [], now)).toEqual(hoursLater(24));
    expect(lastLeaseEnd("x", spec, [aLease("a")], now)).toEqual(hoursLater(6));
    expect(lastLeaseEnd("x", aSpec(), [], now)).toBeUndefined();
  });

  test("of others lend their reservation", () => {
    const lent = aSpec({ pools: { default: { flavor: "m1.medium", reservation: "reservation-a" } } });
    const check = (lease: ReturnType<typeof aLease>) => checkLeases("x", lent, threeNodes, [lease], now)[0];
    expect(check(aLease("a"))?.ok).toBe(true);
    expect(check(aLease("b"))?.problem?.problem).toBe("is no reservation of this project");
    expect(check(aLease("a", {}, "medium", 2))?.found).toBe("2 of 3 instances");
    expect(check(aLease("a", { status: "TERMINATED" }))?.found).toBe("TERMINATED");
  });
});

test("names and keypair", () => {
  expect(checkNames("x", []).ok).toBe(true);
  const remain = (name: string) => ({
    kind: "port" as const,
    id: name,
    name,
    detail: "",
    foundBy: "mark" as const,
  });
  const row = checkNames("x", ["a", "b", "c", "d", "e", "f"].map(remain));
  expect(row.problem?.problem).toContain("port a, port b, port c, port d and 2 more");
  expect(row.problem?.next).toContain("npm run audit -- x --remove");
  expect(checkKeypair(aSpec(), []).ok).toBe(true);
  expect(checkKeypair(aSpec({ keypair: "mine" }), [{ name: "mine2" }]).problem?.next).toBe(
    'did you mean "mine2"?',
  );
});

describe("a Git repository", () => {
  let server: Server | undefined;
  afterEach(() => new Promise<void>((done) => (server === undefined ? done() : server.close(() => done()))));

  const refs = (branches: string[]) =>
    ["# service=git-upload-pack\n", ...branches.map((name) => `${"a".repeat(40)} refs/heads/${name}\n`)]
      .map((line) => `${(line.length + 4).toString(16).padStart(4, "0")}${line}`)
      .join("");
  async function serve(answers: Record<string, { status: number; body?: string; location?: string }>) {
    const seen: (string | undefined)[] = [];
    server = createServer((request, response) => {
      seen.push(request.headers.authorization);
      const answer = answers[request.url ?? ""] ?? { status: 404 };
      response.writeHead(answer.status, answer.location === undefined ? {} : { Location: answer.location });
      response.end(answer.body ?? "");
    });
    await new Promise<void>((ready) => server?.listen(0, "127.0.0.1", ready));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
  }
  const path = "/repo.git/info/refs?service=git-upload-pack";

  test("answers and has the branch", async () => {
    const { url } = await serve({
      [path]: { status: 200, body: refs(["main", "mlops"]) },
      "/moved/info/refs?service=git-upload-pack": { status: 301, location: path },
    });
    const check = (name: string, branch: string) =>
      checkGitRepository({ path: "delivery.git.app", url: `${url}/${name}`, branch });
    expect(await check("repo.git", "mlops")).toEqual(pass("git delivery.git.app", "branch mlops"));
    expect(await check("moved", "main")).toMatchObject({ ok: true });
    expect((await check("repo.git", "mlop")).problem).toMatchObject({
      problem: "has no branch mlop",
      allowed: "main, mlops",
      next: 'did you mean "mlops"?',
    });
    expect((await check("none", "main")).found).toBe("answers 404");
  });

  test("that is none, or refuses, or is silent is named without its login", async () => {
    const { url, seen } = await serve({
      [path]: { status: 200, body: "<html>hello</html>" },
      "/private/info/refs?service=git-upload-pack": { status: 401 },
    });
    const repository = { path: "p", url: `${url}/private`, authorization: "Basic c2VjcmV0" };
    const refused = await checkGitRepository(repository);
    expect(refused.found).toBe("refused (401)");
    expect(JSON.stringify(refused)).not.toContain("c2VjcmV0");
    expect(seen).toEqual(["Basic c2VjcmV0"]);
    expect((await checkGitRepository({ path: "p", url: `${url}/repo.git` })).found).toBe("no repository");
    const silent = await checkGitRepository({ path: "p", url: "http://user:pass@127.0.0.1:1/x" });
    expect(silent.found).toBe("no answer");
    expect(JSON.stringify(silent)).not.toContain("pass");
  });
});

describe("all of it", () => {
  test("a service that does not answer is one row, and the others are checked", async () => {
    const fake = await FakeOpenStack.start();
    fake.answer = ({ path }) => {
      if (path.startsWith("/network/")) return "hang up";
      if (path.startsWith("/compute/v2.1/flavors")) return { body: { flavors } };
      if (path.startsWith("/image/v2/images")) return { body: { images: [] } };
      if (path.startsWith("/reservation/")) return { status: 403, body: { error_message: "Policy" } };
      return undefined;
    };
    const rows = await checkOpenStack({
      spec: {
        name: "x",
        infra: aSpec({ pools: { default: { flavor: "m1.medium", lease: { hours: 1, minimumMinutes: 1 } } } }),
        nodes: threeNodes,
        publicPorts: [80],
      },
      existing: NOTHING_EXISTS,
      cloud: fake.cloud(),
    });
    await fake.stop();
    const failed = rows.filter(({ ok }) => !ok).map(({ check, found }) => `${check}: ${found}`);
    expect(failed.sort()).toEqual([
      "compute service: fails (404)",
      "image: CC-Ubuntu24.04 does not exist",
      "network service: no answer",
      "reservation service: may not be read",
    ]);
    expect(rows.find(({ check }) => check === "flavor of default")?.ok).toBe(true);
  });

  test("no login is one row with the entry's place", async () => {
    const fake = await FakeOpenStack.start();
    fake.answer = () => ({ status: 401, body: { error: { message: "no" } } });
    const spec = { name: "x", infra: aSpec(), nodes: threeNodes, publicPorts: [] };
    const rows = await checkOpenStack({ spec, existing: NOTHING_EXISTS, cloud: fake.cloud() });
    await fake.stop();
    expect(rows.map(({ check, found }) => [check, found])).toEqual([["credentials", "no login"]]);
    expect(renderPreflight([pass("image", "there"), ...rows])).toContain(
      [
        "CHECK        RESULT  FOUND",
        "image        pass    there",
        "credentials  fail    no login",
        "",
        "  clouds.yaml: clouds.fake.auth",
      ].join("\n"),
    );
  });
});
