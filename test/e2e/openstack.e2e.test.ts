/**
 * Proves: machines of an environment on OpenStack, by the user's own commands on real services: made, changed, mended and removed, with
 * exactly the expected things in the project each time; wrong settings and too small limits are refused before anything is made; a run
 * that fails or is killed in the middle is finished by the next; a lease is extended in place, never shortened, and made again.
 * One of the environments has its state in another backend than the project's own.
 * Does not prove: what runs on the machines (no machine is behind these instances), volumes, a real site's own ways to fail.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, test as anyTest, beforeAll, describe, expect } from "vitest";
import type { Remain } from "../../infra/openstack/audit";
import type { FaultRule } from "../openstack/testCloud";
import type { CommandResult } from "./environmentUnderTest";
import {
  changedIds,
  errorIn,
  type Ids,
  LIMITS,
  ProjectEnvironment,
  ProjectUnderTest,
  type Settings,
  Story,
} from "./projectUnderTest";

const cannotRun =
  process.getuid?.() === 0 && /^VERSION_ID="12"/m.test(readFileSync("/etc/os-release", "utf8"))
    ? undefined
    : "openstack: the test cloud needs root and Debian 12";
if (cannotRun !== undefined && process.env["GOURMETGRAM_REQUIRE_REAL"] === "1") throw new Error(cannotRun);
if (cannotRun !== undefined) console.log(`${cannotRun}, skipped`);
const test = anyTest.skipIf(cannotRun !== undefined);

const STACK = "e2e-os";
const node = (number: number, more: object = {}) => ({ address: `10.77.0.1${number}`, ...more });
const home = node(1, { role: "controlPlane" });
const one = { node1: home };
const three = { ...one, node2: node(2, { pool: "small" }), node3: node(3, { pool: "small" }) };
const pools = (small: string) => ({ default: { flavor: "m1.medium" }, small: { flavor: small } });

/** Settings with changes of `infra`. Requests go through the fault proxy, which passes them on until a test says otherwise. */
const settings = (nodes: object, infra: object = {}, more: object = {}): Settings => ({
  infra: {
    ...{ kind: "openstack", cloud: "faulty", cidr: "10.77.0.0/24", image: "e2e-image" },
    pools: pools("m1.small"),
    ...infra,
  },
  nodes,
  ...more,
});

let project: ProjectUnderTest;
let environment: ProjectEnvironment;
let plan: ReturnType<typeof tellOfPlans>;
let lease: ReturnType<typeof tellOfLease>;

beforeAll(async () => {
  const leaseProject = await ProjectUnderTest.open(LEASED);
  // One of them has its state elsewhere, where only the engine can read it.
  const backend = join(dirname(leaseProject.cloudsFile), "backend");
  mkdirSync(backend);
  const [main, beside, leased] = [
    new ProjectEnvironment(STACK, await ProjectUnderTest.open(STACK)),
    new ProjectEnvironment(PLANNED, await ProjectUnderTest.open(PLANNED)),
    new ProjectEnvironment(LEASED, leaseProject, { PULUMI_BACKEND_URL: `file://${backend}` }),
  ];
  await Promise.all(
    [main, beside, leased].map(async (each) => {
      each.configure(settings(one));
      await each.remove();
      await each.project.addImage("e2e-image");
    }),
  );
  [environment, project] = [main, main.project];
  plan = tellOfPlans(beside);
  lease = tellOfLease(leased);
});

afterAll(async () => {
  await Promise.all([plan?.story.ended, lease?.story.ended]);
  if (process.env["KEEP"] === "1") return;
  for (const each of [environment, plan?.environment, lease?.environment]) {
    if (each === undefined) continue;
    await each.remove();
    each.forget();
    await each.project.close();
  }
});

/** What an environment of these nodes has in its project, as `audit` tells it. */
function partsOf(nodes: readonly string[]): string[] {
  return [
    ...nodes.flatMap((name) => [`server ${name}`, `port shared-${name}`, `port port-${name}`]),
    ...["subnet private-subnet", "network private-net", "security group nodes", "security group access"],
    ...["keypair key", "floating IP"],
  ].sort();
}

/** The project has the parts of these nodes and nothing else, each once. */
async function expectWhole(nodes: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await environment.tryCommand("audit", "--json");
  expect(code, stderr).toBe(3);
  const remains = JSON.parse(stdout) as Remain[];
  const names = remains.map(({ kind, name }) =>
    kind === "floating IP" ? kind : `${kind} ${name.replace(`-${STACK}`, "")}`,
  );
  expect(names.sort()).toEqual(partsOf(nodes));
  // A keypair cannot bear the mark.
  expect(remains.filter(({ kind, foundBy }) => foundBy !== "mark" && kind !== "keypair")).toEqual([]);
  expect(Object.values(await project.contents()).flat()).toHaveLength(partsOf(nodes).length);
}

/** Runs `up` with these faults to its end, which is an error. */
async function failed(...faults: FaultRule[]): Promise<string> {
  const { code, stderr } = await project.withFaults(faults, () => environment.tryCommand("up"));
  expect(code, stderr).not.toBe(0);
  return stderr;
}

describe("before anything is made", () => {
  /** Each is one setting that is wrong in this project, with the setting's place in the message. */
  const wrong: Record<string, { infra?: object; nodes?: object; path: string; next: RegExp }> = {
    "an unknown entry of clouds.yaml": {
      infra: { cloud: "fualty" },
      path: "infra.cloud",
      next: /did you mean "faulty"/,
    },
    "a missing image": {
      infra: { image: "e2e-imag" },
      path: "infra.image",
      next: /did you mean "e2e-image"/,
    },
    "a missing flavor": {
      infra: { pools: { default: { flavor: "m1.mediun" } } },
      path: "infra.pools.default.flavor",
      next: /did you mean "m1.medium"/,
    },
    "a flavor too small for a control plane": {
      infra: { pools: { default: { flavor: "m1.tiny" } } },
      path: "infra.pools.default.flavor",
      next: /larger flavor/,
    },
    "a missing shared network": {
      infra: { sharedNetwork: "sharednet2" },
      path: "infra.sharedNetwork",
      next: /did you mean "sharednet1"/,
    },
    "a pool of addresses that leads nowhere": {
      infra: { floatingIp: { pool: "sharednet1" } },
      path: "infra.floatingIp.pool",
      next: /choose one/,
    },
    "an address the project does not have": {
      infra: { floatingIp: { kind: "existing", address: "10.59.0.9" } },
      path: "infra.floatingIp.address",
      next: /choose one of them, or a pool/,
    },
    "a missing keypair": { infra: { keypair: "mine" }, path: "infra.keypair", next: /leave it out/ },
    "a missing security group": {
      infra: { securityGroups: { kind: "existing", names: ["none"] } },
      path: "infra.securityGroups.names[0]",
      next: /choose one/,
    },
    "security groups that open nothing": {
      infra: { securityGroups: { kind: "existing", names: ["default"] } },
      path: "infra.securityGroups.names",
      next: /rule create/,
    },
    "a range of addresses that the shared network has": {
      infra: { cidr: "10.56.1.0/24" },
      nodes: { node1: { role: "controlPlane", address: "10.56.1.11" } },
      path: "infra.cidr",
      next: /another range/,
    },
    "a missing router": {
      infra: { privateNetwork: { router: "none" } },
      path: "infra.privateNetwork.router",
      next: /leave it out/,
    },
    "volumes where there are none": {
      infra: { bootVolume: { size: 20 } },
      path: "infra.bootVolume",
      next: /remove it/,
    },
    "an address that somebody else's port has": {
      infra: { privateNetwork: { kind: "existing", network: "e2e-existing", subnet: "e2e-existing" } },
      path: "nodes.node1.address",
      next: /another address/,
    },
    "a name that is taken": { path: "environment", next: /npm run audit -- \S+ --remove/ },
  };
  const results = new Map<string, CommandResult>();
  let previewed: CommandResult;
  let before: object;
  let since: number;

  beforeAll(async () => {
    const make = async (service: "compute" | "network", path: string, body: object) => {
      const [made] = Object.values(await project.request("user", service, "POST", path, body));
      return made.id as string;
    };
    const network = await make("network", "/v2.0/networks", { network: { name: "e2e-existing" } });
    const subnet = await make("network", "/v2.0/subnets", {
      subnet: { name: "e2e-existing", network_id: network, ip_version: 4, cidr: "10.77.0.0/24" },
    });
    await make("network", "/v2.0/ports", {
      port: { network_id: network, fixed_ips: [{ subnet_id: subnet, ip_address: "10.77.0.11" }] },
    });
    const taken = `${STACK}-${Object.keys(wrong).indexOf("a name that is taken")}`;
    await make("compute", "/os-keypairs", { keypair: { name: `key-${taken}` } });
    before = await project.listAll();
    since = Date.now() / 1000;
    // One after another: fifteen engines at once leave the services no processor to answer with.
    for (const [index, [name, { infra, nodes }]] of Object.entries(wrong).entries()) {
      const refused = new ProjectEnvironment(`${STACK}-${index}`, project);
      refused.configure(settings(nodes ?? one, infra));
      results.set(name, await refused.tryCommand("up"));
      if (name === "a missing router") previewed = await refused.tryCommand("preview");
      refused.forget();
    }
  });

  afterAll(async () => {
    await project.empty();
    await project.addImage("e2e-image");
  });

  test.each(Object.keys(wrong))("%s is refused", (name) => {
    const { path, next } = wrong[name] as (typeof wrong)[string];
    const { code, stderr } = results.get(name) as CommandResult;
    expect(code, stderr).toBe(2);
    expect(stderr).toContain(path);
    expect(stderr).toMatch(next);
  });

  test("a preview that cannot be made names the setting, too", () => {
    expect(previewed.code, previewed.stderr).toBe(2);
    expect(previewed.stderr).toContain("infra.privateNetwork.router");
  });

  test("nothing was changed in the project, not even tried", async () => {
    expect(await project.listAll()).toEqual(before);
    expect(project.writes(since)).toEqual([]);
  });
});

describe("limits of the project", () => {
  /** By the driver's names, with the preflight's. */
  const limits = {
    instances: "instances",
    cores: "cores",
    ram: "RAM (MiB)",
    server_groups: "server groups",
    key_pairs: "keypairs",
    network: "networks",
    subnet: "subnets",
    port: "ports",
    security_group: "security groups",
    security_group_rule: "security group rules",
    floatingip: "floating IPs",
  } as const;
  let refused: CommandResult;
  let since: number;

  beforeAll(async () => {
    since = Date.now() / 1000;
    environment.configure(settings(one, { spread: "soft-anti-affinity" }));
    await project.setQuota(Object.fromEntries(Object.keys(limits).map((name) => [name, 0])));
    refused = await environment.tryCommand("up");
    await project.setQuota(LIMITS);
  });

  test.each(Object.values(limits))("that are too low for %s are named", (name) => {
    const problem = refused.stderr.split("\n\n").find((text) => text.startsWith(`  quota.${name} = 0\n`));
    expect(problem).toMatch(/leaves 0 .* more are needed\n.*next: .*ask the site for more/);
  });

  test("stop it before anything is made", async () => {
    expect(refused.code).toBe(2);
    expect(project.writes(since)).toEqual([]);
    expect(await project.contents()).toEqual({});
  });
});

describe("a creation", () => {
  beforeAll(() => environment.configure(settings(one)));

  const refusal = (service: "neutron" | "nova", path: string, status: number, body: object): FaultRule => {
    return { service, method: "POST", path, action: "status", status, body };
  };

  test("whose network others leave no room for names it", async () => {
    const message = "Quota exceeded for resources: ['network'].";
    const body = { NeutronError: { type: "OverQuota", message, detail: "" } };
    const stderr = await failed(refusal("neutron", "/networks$", 409, body));
    const error = errorIn("Network machines-network", stderr);
    expect(error).toContain(message);
    expect(error).toContain("next: A limit of the project is reached.");
    expect(await project.contents()).not.toHaveProperty("networks");
  });

  test.each([
    ["network", /\/networks$/],
    ["subnet", /\/subnets$/],
  ])("that is killed when its %s is just made goes on with the next", async (_, path) => {
    await environment.killAfter("POST", path, "up");
  });

  test.each([
    [403, { forbidden: { code: 403, message: "Quota exceeded for cores: Requested 2" } }],
    [413, { overLimit: { code: 413, message: "Quota exceeded for instances: Requested 1" } }],
  ])("whose instance others leave no room for names it (%i)", async (status, body) => {
    const error = errorIn(
      "Instance machines-node1",
      await failed(refusal("nova", "/servers$", status, body)),
    );
    expect(error).toMatch(/Quota exceeded for .*: Requested/);
    expect(error).toContain("next: A limit of the project is reached.");
  });

  test("that is killed when its instance is just made goes on with the next", async () => {
    await environment.killAfter("POST", /\/servers$/, "up");
  });

  test("has everything once after all of that", async () => {
    const { stderr } = await environment.command("up");
    expect(stderr).toContain("left unfinished: server node1-e2e-os. Removing it.");
    await expectWhole(["node1"]);
  });

  test("leaves no change to be made", async () => {
    await environment.command("preview", "--expect-no-changes");
  });
});

describe("more nodes", () => {
  beforeAll(() => environment.configure(settings(three)));

  test("whose port is made and not marked are named", async () => {
    const rule: FaultRule = {
      service: "neutron",
      method: "PUT",
      path: "/tags$",
      action: "status",
      status: 500,
    };
    const error = errorIn("Port machines-node[23]-\\w+", await failed({ ...rule, times: 1 }));
    expect(error).toContain("next: A service of the cloud failed, not your settings.");
  });

  test("whose instance is made and never confirmed are named", async () => {
    const rule: FaultRule = {
      service: "nova",
      method: "POST",
      path: "/servers$",
      action: "reset",
      forward: true,
    };
    const stderr = await failed({ ...rule, times: 1 });
    expect(stderr).toMatch(/left unfinished: port (shared|port)-node[23]-e2e-os\. Removing it\./);
    const error = errorIn("Instance machines-node[23]", stderr);
    expect(error).toMatch(/next: (Somebody else has it, or this run itself|A service of the cloud failed)/);
  });

  describe("are made", () => {
    const server = "/servers/[-0-9a-f]+$";
    const faults: Record<string, FaultRule> = {
      "a service fails twice": {
        service: "nova",
        method: "GET",
        path: "/limits",
        action: "status",
        times: 2,
      },
      "a token ends": {
        service: "nova",
        method: "POST",
        path: "/servers$",
        action: "status",
        status: 401,
        times: 1,
      },
      "an answer hangs": {
        service: "nova",
        method: "GET",
        path: server,
        action: "hang",
        milliseconds: 3000,
        times: 1,
      },
      "a connection is cut": { service: "nova", method: "GET", path: server, action: "reset", times: 1 },
    };
    let before: Ids;
    let since: number;
    let up: CommandResult;
    beforeAll(async () => {
      before = await project.ids();
      since = Date.now() / 1000;
      up = await project.withFaults(Object.values(faults), () => environment.tryCommand("up"));
    });

    test.each(Object.keys(faults).map((name, rule) => [name, rule] as const))("although %s", (_, rule) => {
      expect(project.proxiedRequests(since).some((request) => request.rule === rule)).toBe(true);
      expect(up.code, up.stderr).toBe(0);
    });

    test("each once, and nothing else is made anew", async () => {
      expect(up.stderr).toMatch(/left unfinished: server node[23]-e2e-os. Removing it/);
      await expectWhole(Object.keys(three));
      expect(changedIds(before, await project.ids()).filter((name) => name.includes("node1"))).toEqual([]);
    });
  });

  test("have an SSH configuration that leads through the first", async () => {
    const { ssh } = (await environment.outputs()) as unknown as {
      ssh: Record<"config" | "privateKey", string>;
    };
    const { floatingIps } = await project.contents();
    expect(ssh.config).toContain(`Host node1\n  HostName ${floatingIps?.[0]}\n  User cc\n`);
    expect(ssh.config).toContain("Host node2\n  HostName 10.77.0.12\n  User cc\n  ProxyJump node1\n");
    expect(ssh.privateKey).toContain("PRIVATE KEY");
  });
});

const rules = (op: string, ports: readonly number[], source: string) =>
  ports.map((port) => `${op} SecGroupRule access-${port}-from-${source}`);
const opened = [22, 80, 6443, 8080, 8081];
const created = (...sources: string[]) => ({ securityGroups: { kind: "created", sources } });

/** Not through the fault proxy: the faults of the tests beside it are not for this one. */
const planned = (nodes: object, infra: object = {}, more: object = {}) =>
  settings(nodes, { cloud: "openstack", ...infra }, more);

/** One change of the settings of three nodes each, and exactly what it changes; `loses`: nodes whose data it ends. */
const PLANS: Record<string, { to: Settings; changes: readonly string[]; loses?: readonly string[] }> = {
  none: { to: planned(three), changes: [] },
  "flavor of a pool": {
    to: planned(three, { pools: pools("m1.large") }),
    changes: ["update Instance node2", "update Instance node3"],
  },
  "pool of a node": { to: planned({ ...three, node2: node(2) }), changes: ["update Instance node2"] },
  "pool that no node is in": {
    to: planned(three, { pools: { ...pools("m1.small"), more: {} } }),
    changes: [],
  },
  image: {
    to: planned(three, { image: "e2e-other-image" }),
    changes: ["replace Instance node1", "replace Instance node2", "replace Instance node3"],
  },
  keypair: {
    to: planned(three, { keypair: "mine" }),
    changes: [
      "delete Keypair keypair",
      ...["replace Instance node1", "replace Instance node2", "replace Instance node3"],
    ],
  },
  spread: {
    to: planned(three, { spread: "soft-anti-affinity" }),
    changes: [
      "create ServerGroup spread",
      ...["replace Instance node1", "replace Instance node2", "replace Instance node3"],
    ],
  },
  login: { to: planned(three, { user: "ubuntu" }), changes: [] },
  "label of a node": {
    to: planned({ ...three, node2: { ...three.node2, labels: { a: "b" } } }),
    changes: [],
  },
  sources: {
    to: planned(three, created("192.0.2.0/24")),
    changes: [...rules("create", opened, "192-0-2-0-24"), ...rules("delete", opened, "0-0-0-0-0")],
  },
  "source more": {
    to: planned(three, created("0.0.0.0/0", "192.0.2.0/24")),
    changes: rules("create", opened, "192-0-2-0-24"),
  },
  "security groups that exist": {
    to: planned(three, { securityGroups: { kind: "existing", names: ["default"] } }),
    changes: [
      ...rules("delete", opened, "0-0-0-0-0"),
      ...["delete SecGroup access", "delete SecGroup nodes"],
      ...["update Port node1-shared", "update Port node2-shared", "update Port node3-shared"],
    ],
  },
  exposure: {
    to: planned(three, {}, { exposure: { mlflow: "public" } }),
    changes: rules("create", [8000], "0-0-0-0-0"),
  },
  "address that exists": {
    to: planned(three, { floatingIp: { kind: "existing", address: "192.0.2.1" } }),
    changes: ["delete FloatingIp floating-ip", "replace FloatingIpAssociate floating-ip-port"],
  },
  cidr: {
    to: planned(
      {
        node1: at(home, "10.78.0.11"),
        node2: at(three.node2, "10.78.0.12"),
        node3: at(three.node3, "10.78.0.13"),
      },
      { cidr: "10.78.0.0/24" },
    ),
    changes: [
      ...Object.keys(three).flatMap((name) => [`replace Instance ${name}`, `replace Port ${name}-private`]),
      "replace Subnet subnet",
    ],
    loses: ["node1"],
  },
  "address of a node": {
    to: planned({ ...three, node2: at(three.node2, "10.77.0.22") }),
    changes: ["replace Instance node2", "replace Port node2-private"],
  },
  "node more": {
    to: planned({ ...three, node4: node(4) }),
    changes: [
      ...["create Instance node4", "create KeyPair node4-host-key"],
      ...["create Port node4-private", "create Port node4-shared"],
    ],
  },
  "node less": {
    to: planned({ node1: home, node2: three.node2 }),
    changes: [
      ...["delete Instance node3", "delete KeyPair node3-host-key"],
      ...["delete Port node3-private", "delete Port node3-shared"],
    ],
  },
};

function at<Node extends object>(node: Node, address: string): Node & { address: string } {
  return { ...node, address };
}

const PLANNED = "e2e-os-plan";

/** An environment that is only planned for, in a project of its own. */
function tellOfPlans(environment: ProjectEnvironment) {
  const story = new Story();
  story.step(async () => {
    environment.configure(planned(three));
    await environment.command("up");
  });
  const plans = Object.entries(PLANS).map(
    ([name, { to }]) => [name, story.step(() => environment.plan(to))] as const,
  );
  const elsewhere = (cloud: string) =>
    story.step(async () => {
      environment.configure(planned(three, { cloud }));
      const runs = [await environment.tryCommand("up"), await environment.tryCommand("destroy", "--yes")];
      return { runs, left: await environment.project.contents() };
    });
  return {
    ...{ story, environment, plans: Object.fromEntries(plans) },
    elsewhere: { admin: elsewhere("admin"), faulty: elsewhere("faulty") },
    newerImage: story.step(async () => {
      environment.configure(planned(three));
      await environment.project.removeImage("e2e-image");
      await environment.project.addImage("e2e-image");
      await environment.command("refresh");
      return (await environment.plan(planned(three))).changes;
    }),
    noImage: story.step(async () => {
      await environment.project.removeImage("e2e-image");
      return {
        same: await environment.tryCommand("up"),
        anew: await environment.tryCommand("up", "--replace", "node2"),
        left: await environment.project.contents(),
      };
    }),
  };
}

describe("a change of one setting", () => {
  test.each(Object.keys(PLANS))("(%s) is planned to change exactly this", async (name) => {
    const { changes, loses = [] } = PLANS[name] as (typeof PLANS)[string];
    expect(await plan.plans[name]).toEqual({ changes: [...changes].sort(), loses });
  });

  test.each([
    ["admin", /leads to project admin \(\w+\), but all that "e2e-os-plan" has is in project/],
    ["faulty", /leads to region RegionFaulty, but all that "e2e-os-plan" has is in region RegionOne/],
  ] as const)("(the cloud, which leads elsewhere: %s) is refused, by a destroy too", async (cloud, problem) => {
    const { runs, left } = await plan.elsewhere[cloud];
    for (const { code, stderr } of runs) {
      expect(code).toBe(2);
      expect(stderr).toContain(`infra.cloud = "${cloud}"`);
      expect(stderr).toMatch(problem);
    }
    expect(left.servers).toHaveLength(3);
  });
});

describe("an image", () => {
  test("that the site has made newer changes nothing for the instances there are, not even after a refresh", async () => {
    expect(await plan.newerImage).toEqual([]);
  });

  test("that is gone stops only what would make an instance, before anything is removed", async () => {
    const { same, anew, left } = await plan.noImage;
    expect(same.code, same.stderr).toBe(0);
    expect(anew.code, anew.stderr).toBe(2);
    expect(anew.stderr).toContain('infra.image = "e2e-image"');
    expect(left.servers).toHaveLength(3);
  });
});

describe("a change", () => {
  /** From here on. */
  const grown = { pools: pools("m1.medium") };

  test("reaches the settings' own cloud, whatever a shell says of another", async () => {
    const before = await project.ids();
    const shell = {
      OS_AUTH_URL: "http://127.0.0.1:9/",
      OS_PROJECT_ID: "00000000000000000000000000000000",
      OS_PROJECT_NAME: "elsewhere",
      OS_USERNAME: "nobody",
      OS_PASSWORD: "none",
      OS_REGION_NAME: "RegionTwo",
      OS_CLOUD: "admin",
    };
    environment.configure(settings(three, created("0.0.0.0/0", "192.0.2.0/24")));
    await new ProjectEnvironment(STACK, project, shell).command("up");
    expect(await project.openPorts()).toEqual(
      ["0.0.0.0/0", "192.0.2.0/24"]
        .flatMap((source) => opened.map((port) => `${port} from ${source}`))
        .sort(),
    );
    expect(changedIds(before, await project.ids())).toEqual([]);
  });

  test("of a flavor that fails in the middle is made by the next, in place", async () => {
    const before = await project.ids();
    environment.configure(settings(three, grown));
    const stderr = await failed({
      service: "nova",
      method: "POST",
      path: "/action$",
      action: "status",
      status: 500,
    });
    expect(stderr).toMatch(/note +node2 is resized \(flavorName\): it restarts, its disk stays/);
    const error = errorIn("Instance machines-node[23]", stderr);
    expect(error).toContain("next: A service of the cloud failed, not your settings.");
    await environment.command("up");
    const { servers } = await project.request("user", "compute", "GET", "/servers/detail");
    const flavors = servers.map(({ name, flavor }: any) => `${name} ${flavor.original_name} ${flavor.vcpus}`);
    expect(flavors.sort()).toEqual([
      ...["node1-e2e-os m1.medium 2", "node2-e2e-os m1.medium 2", "node3-e2e-os m1.medium 2"],
    ]);
    expect(changedIds(before, await project.ids())).toEqual([]);
    // Of the sources one less, which went at the same time.
    expect(await project.openPorts()).toEqual(opened.map((port) => `${port} from 0.0.0.0/0`).sort());
  });

  test("of one machine by --replace that fails in the middle is made by the next, and nothing else", async () => {
    const before = await project.ids();
    const { done } = await environment.startUntil("POST", /\/servers$/, "up", "--replace", "node2");
    await project.breakServer("node2-e2e-os");
    const { code, stderr } = await done;
    expect(code).toBe(1);
    expect(errorIn("Instance machines-node2", stderr)).toContain(
      "next: The cloud could not start the instance.",
    );
    const next = await environment.command("up");
    expect(next.stderr).toContain("machines-node2 failed and is made anew");
    await expectWhole(Object.keys(three));
    expect(changedIds(before, await project.ids())).toEqual(["servers node2-e2e-os"]);
  });
});

describe("damage behind its back", () => {
  describe("to an instance, a port, the address and a rule", () => {
    let before: Ids;
    let after: Ids;
    let address: string;
    let up: CommandResult;
    beforeAll(async () => {
      before = await project.ids();
      address = Object.keys(before.floatingIps ?? {})[0] as string;
      await project.deleteServer(before.servers?.["node2-e2e-os"] as string);
      await project.network("DELETE", `/ports/${before.ports?.["port-node3-e2e-os"]}`);
      await project.takeFloatingIp(address);
      const http = await project.network("GET", "/security-group-rules?port_range_min=80");
      await project.network("DELETE", `/security-group-rules/${http.security_group_rules[0].id}`);
      await project.network("POST", "/security-group-rules", {
        security_group_rule: {
          security_group_id: before.securityGroups?.["access-e2e-os"],
          direction: "ingress",
          protocol: "tcp",
          port_range_min: 9999,
          port_range_max: 9999,
        },
      });
      up = await environment.command("up");
      after = await project.ids();
    });

    test("is named", () => {
      for (const [name, kind] of [
        ["machines-node2", "servers"],
        ["machines-node3-private", "ports"],
        ["machines-floating-ip-port", "floatingIpAssociations"],
        ["machines-access-80-from-0-0-0-0-0", "securityGroupRules"],
      ]) {
        expect(up.stderr).toContain(`${name} is gone from the project (${kind}) and is made again.`);
      }
      expect(up.stderr).toContain("Removing a security group rule that the state does not know: port 9999.");
    });

    test("makes anew what is gone and what stood on it, nothing else", async () => {
      expect(changedIds(before, after)).toEqual([
        "ports port-node3-e2e-os",
        ...["servers node2-e2e-os", "servers node3-e2e-os"],
      ]);
      await expectWhole(Object.keys(three));
    });

    test("lets the address lead to its port again", async () => {
      expect(await project.leadsTo(address)).toBe("shared-node1-e2e-os");
    });

    test("leaves exactly the rules of the settings", async () => {
      expect(await project.openPorts()).toEqual(opened.map((port) => `${port} from 0.0.0.0/0`).sort());
    });
  });

  describe("to a host and the address as such", () => {
    let before: Ids;
    let up: CommandResult;
    beforeAll(async () => {
      before = await project.ids();
      await project.setServerError(before.servers?.["node3-e2e-os"] as string);
      await project.takeFloatingIp(Object.keys(before.floatingIps ?? {})[0] as string, { release: true });
      up = await environment.command("up");
    });

    test("makes a failed instance anew, and says so", async () => {
      expect(up.stderr).toContain("machines-node3 failed and is made anew");
      const [address] = Object.keys(before.floatingIps ?? {});
      expect(changedIds(before, await project.ids())).toEqual([
        `floatingIps ${address}`,
        "servers node3-e2e-os",
      ]);
    });

    test("gets another address, which the outputs have", async () => {
      const [address] = Object.keys((await project.ids()).floatingIps ?? {}) as [string];
      expect(await project.leadsTo(address)).toBe("shared-node1-e2e-os");
      const { ssh } = (await environment.outputs()) as unknown as { ssh: { config: string } };
      expect(ssh.config).toContain(`Host node1\n  HostName ${address}\n`);
      await expectWhole(Object.keys(three));
    });
  });

  describe("to the network", () => {
    let before: Ids;
    beforeAll(async () => {
      before = await project.ids();
      for (const name of Object.keys(three))
        await project.network("DELETE", `/ports/${before.ports?.[`port-${name}-e2e-os`]}`);
      await project.network("DELETE", `/networks/${before.networks?.["private-net-e2e-os"]}`);
    });

    test("is refused to be mended while that would lose what the first node holds", async () => {
      const stderr = await failed();
      expect(stderr).toMatch(/DATA LOSS +node1 is made anew .*: its network changes too/);
      expect(stderr).toMatch(/This would lose data on node1; nothing was changed. .*--discard/);
      expect(await project.ids()).toMatchObject({ servers: before.servers });
    });

    test("is mended by --discard", async () => {
      await environment.command("up", "--discard");
      await expectWhole(Object.keys(three));
      expect(changedIds(before, await project.ids())).toEqual([
        "networks private-net-e2e-os",
        ...["ports port-node1-e2e-os", "ports port-node2-e2e-os", "ports port-node3-e2e-os"],
        ...["servers node1-e2e-os", "servers node2-e2e-os", "servers node3-e2e-os"],
        "subnets private-subnet-e2e-os",
      ]);
    });
  });
});

const LEASED = "e2e-os-lease";
const leased = (nodes: object, lease: object = {}, pools: object = {}): Settings => ({
  infra: {
    kind: "openstack",
    image: "e2e-image",
    cidr: "10.79.0.0/24",
    pools: { default: { flavor: "m1.medium", lease: { hours: 2, minimumMinutes: 60, ...lease } }, ...pools },
  },
  nodes,
});
const lease1 = { address: "10.79.0.11", role: "controlPlane" };
const lease2 = { address: "10.79.0.12" };
const lease3 = { address: "10.79.0.13" };
const pair = { node1: lease1, node2: lease2 };

/** An environment of two nodes with a lease, in a project of its own. */
function tellOfLease(environment: ProjectEnvironment) {
  const story = new Story();
  const { project } = environment;
  const end = async () => {
    const { leases } = await project.request("user", "reservation", "GET", "/leases");
    return Date.parse(`${leases[0].end_date}Z`);
  };
  const plan = async (settings: Settings) => (await environment.plan(settings)).changes;
  return {
    ...{ story, environment },
    made: story.step(async () => {
      environment.configure(leased(pair));
      await environment.command("up");
      return { contents: await project.contents(), changes: await plan(leased(pair)) };
    }),
    extended: story.step(async () => {
      const [before, from] = [await project.ids(), await end()];
      await environment.command("lease", "--extend", "1");
      const hours = ((await end()) - from) / 3_600_000;
      return { before, after: await project.ids(), hours, changes: await plan(leased(pair)) };
    }),
    raised: story.step(async () => {
      const [before, from] = [await project.ids(), await end()];
      const changes = await plan(leased(pair, { hours: 5 }));
      await environment.command("up");
      return { before, after: await project.ids(), hours: ((await end()) - from) / 3_600_000, changes };
    }),
    short: story.step(async () => {
      environment.configure(leased(pair, { hours: 5, minimumMinutes: 360 }));
      return environment.tryCommand("up");
    }),
    fewer: story.step(() => plan(leased({ node1: lease1 }, { hours: 5 }))),
    apart: story.step(() =>
      plan(
        leased(
          { ...pair, node3: { ...lease3, pool: "more" } },
          { hours: 5 },
          {
            more: { flavor: "m1.small", lease: { hours: 2, minimumMinutes: 60 } },
          },
        ),
      ),
    ),
    more: story.step(async () => {
      const changes = await plan(leased({ ...pair, node3: lease3 }, { hours: 5 }));
      const before = await project.ids();
      return { changes, up: await environment.tryCommand("up"), before, after: await project.ids() };
    }),
    ended: story.step(async () => {
      environment.configure(leased(pair, { hours: 5 }));
      const before = await project.ids();
      await project.endLease(before.leases?.[`lease-${LEASED}`] as string);
      const up = await environment.command("up");
      return { before, after: await project.ids(), contents: await project.contents(), up };
    }),
    removed: story.step(async () => {
      // Whose release nobody told the state of.
      const [address] = Object.keys((await project.ids()).floatingIps ?? {}) as [string];
      await project.takeFloatingIp(address, { release: true });
      await environment.command("destroy", "--yes");
      return project.contents();
    }),
  };
}

describe("a lease", () => {
  const whole = {
    leases: [`lease-${LEASED}`],
    servers: [`node1-${LEASED}`, `node2-${LEASED}`],
    keypairs: [`key-${LEASED}`],
    networks: [`private-net-${LEASED}`],
    subnets: [`private-subnet-${LEASED}`],
    ports: ["port-node1", "port-node2", "shared-node1", "shared-node2"].map((name) => `${name}-${LEASED}`),
    securityGroups: [`access-${LEASED}`, `nodes-${LEASED}`],
    floatingIps: [expect.any(String)],
  };

  test("is made before all else, with exactly what the nodes need", async () => {
    const { contents, changes } = await lease.made;
    expect(contents).toEqual(whole);
    expect(changes).toEqual([]);
  });

  test("is extended in place by its command, and nothing has to change for it", async () => {
    const { before, after, hours, changes } = await lease.extended;
    expect(hours).toBe(1);
    expect(after).toEqual(before);
    expect(changes).toEqual([]);
  });

  test("is extended in place by more hours", async () => {
    const { before, after, hours, changes } = await lease.raised;
    expect(changes).toEqual(["update Lease lease"]);
    expect(after).toEqual(before);
    // Five hours from its start, of which it had three.
    expect(Math.round(hours)).toBe(2);
  });

  test("that ends too soon for an up stops it, with the command that extends", async () => {
    const { code, stderr } = await lease.short;
    expect(code).toBe(2);
    expect(stderr).toContain(`next: npm run lease -- ${LEASED} --extend`);
  });

  test("stays as it is for fewer nodes", async () => {
    expect(await lease.fewer).toEqual([
      ...["delete Instance node2", "delete KeyPair node2-host-key"],
      ...["delete Port node2-private", "delete Port node2-shared"],
    ]);
  });

  test("stays as it is for a node in a pool of its own", async () => {
    expect(await lease.apart).toEqual([
      ...["create Instance node3", "create KeyPair node3-host-key", "create Lease more-lease"],
      ...["create Port node3-private", "create Port node3-shared"],
    ]);
  });

  test("is not made anew for one node more unless its instances may go, and the way out is named", async () => {
    const { changes, up, before, after } = await lease.more;
    expect(changes).toEqual([
      ...["create Instance node3", "create KeyPair node3-host-key"],
      ...["create Port node3-private", "create Port node3-shared"],
      ...["replace Instance node1", "replace Instance node2", "replace Lease lease"],
    ]);
    expect(up.code).toBe(2);
    expect(up.stderr).toMatch(/DATA LOSS +node1 is made anew: its lease .* nodes\.<node>\.pool/);
    expect(up.stderr).toMatch(/lose data on node1, node2; nothing was changed\. .*--discard/);
    expect(after).toEqual(before);
  });

  test("that ended is made again, with its instances and nothing else", async () => {
    const { before, after, contents, up } = await lease.ended;
    expect(up.stderr).toContain("machines-lease is gone from the project (leases) and is made again.");
    expect(contents).toEqual(whole);
    expect(changedIds(before, after)).toEqual([
      `leases lease-${LEASED}`,
      ...[`servers node1-${LEASED}`, `servers node2-${LEASED}`],
    ]);
  });

  test("goes with its environment, even when somebody has taken the address away", async () => {
    expect(await lease.removed).toEqual({});
  });
});

describe("the end", () => {
  let kept: string;

  test("of a node takes its instance and ports; an address that exists takes the place of the old one", async () => {
    const before = await project.ids();
    const { networks } = await project.network("GET", "/networks?name=public");
    const { floatingip } = await project.network("POST", "/floatingips", {
      floatingip: { floating_network_id: networks[0].id },
    });
    kept = floatingip.floating_ip_address;
    environment.configure(
      settings(
        { node1: home, node2: three.node2 },
        { pools: pools("m1.medium"), floatingIp: { kind: "existing", address: kept } },
      ),
    );
    const { stderr } = await environment.command("up");
    expect(stderr).toMatch(/note +node3 is removed: it is drained first/);
    expect(changedIds(before, await project.ids())).toEqual([
      `floatingIps ${Object.keys(before.floatingIps ?? {})[0]}`,
      ...["ports port-node3-e2e-os", "ports shared-node3-e2e-os", "servers node3-e2e-os"],
    ]);
    expect((await project.contents()).floatingIps).toEqual([kept]);
    expect(await project.leadsTo(kept)).toBe("shared-node1-e2e-os");
    await environment.command("preview", "--expect-no-changes");
  });

  test("of all, killed in the middle, is finished by the next destroy, which keeps what is not its own", async () => {
    await environment.killAfter("DELETE", /\/servers\//, "destroy", "--yes");
    const { stdout } = await environment.command("destroy", "--yes");
    expect(stdout).toContain('Nothing of "e2e-os" is left in the project.');
    expect(await project.contents()).toEqual({ floatingIps: [kept] });
    expect(await project.leadsTo(kept)).toBeUndefined();
    expect((await environment.command("audit")).code).toBe(0);
    await project.takeFloatingIp(kept, { release: true });
  });
});
