/**
 * The OpenStack client, the audit, the lease and the preflight against real services. Everything made here has a name that ends with
 * `-apitest...` and is removed again.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CloudConfig, readCloud } from "../../infra/openstack/api/clouds";
import { listFlavors } from "../../infra/openstack/api/compute";
import { listImageNames } from "../../infra/openstack/api/image";
import { listNetworks } from "../../infra/openstack/api/network";
import { listLeases, parseLeaseDate, readLease } from "../../infra/openstack/api/reservation";
import { openSession, type Session } from "../../infra/openstack/api/session";
import { findRemains, type Remain, removeRemains } from "../../infra/openstack/audit";
import { findDrift } from "../../infra/openstack/drift";
import { NOTHING_EXISTS } from "../../infra/openstack/existing";
import { checkOpenStack, renderPreflight } from "../../infra/openstack/preflight";
import { environmentMark, MARK_KEY, type OpenStackSpec, resourceNames } from "../../infra/openstack/spec";
import { startTestCloud, type TestCloud } from "../openstack/testCloud";
import { ProviderClient } from "../support/providerClient";

const cannotRun = process.getuid?.() === 0 ? undefined : "The test cloud needs root";
if (cannotRun !== undefined && process.env["GOURMETGRAM_REQUIRE_REAL"] === "1") throw new Error(cannotRun);
if (cannotRun !== undefined) console.log(`${cannotRun}, skipped`);
let clouds: string;

/** Its name is the start of the other's: an audit of the first must not touch the second. */
const ENVIRONMENT = "a-apitest";
const NEIGHBOUR = "a-apitest-b";
const nodes = { node1: { role: "controlPlane", address: "192.168.77.11" } } as const;
const known = { nodes: ["node1"], pools: ["default"] };

describe.skipIf(cannotRun !== undefined)("a real OpenStack", () => {
  let cloud: CloudConfig;
  let session: Session;
  const create = async (service: "compute" | "network", path: string, body: object): Promise<any> =>
    Object.values(await session.request<object>(service, "POST", path, { body }))[0];
  const clean = async () => {
    for (const environment of [ENVIRONMENT, NEIGHBOUR]) {
      await removeRemains(session, await findRemains(session, environment, known));
    }
  };

  let testCloud: TestCloud;
  beforeAll(async () => {
    testCloud = await startTestCloud();
    clouds = testCloud.cloudsFile;
    cloud = readCloud("openstack", { env: { OS_CLIENT_CONFIG_FILE: clouds }, cwd: "/", home: "/root" });
    session = await openSession(cloud);
    await clean();
  });
  afterAll(async () => {
    // Where the login failed there is nothing to clean with.
    if (session !== undefined) {
      await clean();
      session.close();
    }
    await testCloud?.stop();
  });

  test("tells when the credential ends, also to a restricted one", async () => {
    expect(cloud.auth.kind).toBe("applicationCredential");
    expect((await session.credentialExpiry()).exact).toBe(true);
    expect(session.expiresAt.getTime()).toBeGreaterThan(Date.now());
  });

  test("refuses a wrong secret by the entry's place", async () => {
    const wrong = { ...cloud, auth: { ...cloud.auth, secret: () => "wrong" } } as CloudConfig;
    await expect(openSession(wrong)).rejects.toThrow("clouds.yaml: clouds.openstack.auth");
  });

  describe("audit", () => {
    /** Made as a run that is killed leaves it: some marked, some not yet. */
    async function make(environment: string, marked: boolean): Promise<{ server: string }> {
      const mark = environmentMark(environment);
      const [networks, flavors] = await Promise.all([listNetworks(session), listFlavors(session)]);
      const byName = (name: string) => networks.find((network) => network.name === name)?.id;
      const images = await session.request<{ images: { id: string; name: string }[] }>(
        "image",
        "GET",
        "/images",
      );
      const network = await create("network", "/networks", {
        network: { name: resourceNames.network(environment) },
      });
      if (marked) {
        await session.request("network", "PUT", `/networks/${network.id}/tags`, { body: { tags: [mark] } });
      }
      const subnet = await create("network", "/subnets", {
        subnet: {
          name: resourceNames.subnet(environment),
          network_id: network.id,
          cidr: "192.168.77.0/24",
          ip_version: 4,
        },
      });
      const router = await create("network", "/routers", {
        router: { name: `router-${environment}`, description: mark },
      });
      await session.request("network", "PUT", `/routers/${router.id}/add_router_interface`, {
        body: { subnet_id: subnet.id },
      });
      const group = await create("network", "/security-groups", {
        security_group: { name: resourceNames.securityGroup(environment, "access") },
      });
      const shared = await create("network", "/ports", {
        port: {
          name: resourceNames.sharedPort(environment, "node1"),
          network_id: byName("sharednet1"),
          security_groups: [group.id],
        },
      });
      const inner = await create("network", "/ports", {
        port: {
          name: resourceNames.privatePort(environment, "node1"),
          network_id: network.id,
          fixed_ips: [{ subnet_id: subnet.id, ip_address: "192.168.77.11" }],
        },
      });
      await create("compute", "/os-keypairs", { keypair: { name: resourceNames.keypair(environment) } });
      await create("compute", "/os-server-groups", {
        server_group: { name: resourceNames.serverGroup(environment), policies: ["anti-affinity"] },
      });
      const server = await create("compute", "/servers", {
        server: {
          name: resourceNames.instance(environment, "node1"),
          flavorRef: flavors.find(({ name }) => name === "m1.tiny")?.id,
          imageRef: images.images.find(({ name }) => name === "CC-Ubuntu24.04")?.id,
          networks: [{ port: shared.id }, { port: inner.id }],
          metadata: { [MARK_KEY]: environment },
        },
      });
      await create("network", "/floatingips", {
        floatingip: { floating_network_id: byName("public"), description: mark, port_id: shared.id },
      });
      return { server: server.id };
    }

    test("finds all of an environment, marked or by its names, and nothing of its neighbour", async () => {
      await Promise.all([make(ENVIRONMENT, true), make(NEIGHBOUR, false)]);
      const neighbour = await findRemains(session, NEIGHBOUR, known);
      for (const found of [await findRemains(session, ENVIRONMENT, known), neighbour]) {
        expect(found.map(({ kind }) => kind)).toEqual([
          "server",
          "floating IP",
          "router interface",
          "port",
          "port",
          "subnet",
          "network",
          "router",
          "security group",
          "server group",
          "keypair",
        ]);
      }
      await removeRemains(session, await findRemains(session, ENVIRONMENT, known));
      expect(await findRemains(session, ENVIRONMENT, known)).toEqual([]);
      const ids = (found: readonly Remain[]) => found.map(({ id }) => id);
      expect(ids(await findRemains(session, NEIGHBOUR, known))).toEqual(ids(neighbour));
      // Again, with a list of what is gone.
      await removeRemains(session, neighbour);
      await removeRemains(session, neighbour);
      expect(await findRemains(session, NEIGHBOUR, known)).toEqual([]);
    });

    test("drift names what is gone, and only that", async () => {
      const { server } = await make(ENVIRONMENT, true);
      const gone = "00000000-0000-4000-8000-000000000000";
      const state = (id: string, name: string) => ({ id, name, urn: `urn:${name}` });
      const drift = await findDrift(session, {
        ...NOTHING_EXISTS,
        resources: {
          ...NOTHING_EXISTS.resources,
          servers: [state(server, "machines-node1"), state(gone, "machines-node2")],
          keypairs: [state(resourceNames.keypair(ENVIRONMENT), "machines-keypair")],
        },
      });
      expect(drift.failed).toEqual([]);
      expect(drift.missing).toEqual([{ ...state(gone, "machines-node2"), kind: "servers" }]);
    });
  });

  describe("preflight", () => {
    const infra: OpenStackSpec = {
      cloud: "openstack",
      cidr: "192.168.77.0/24",
      privateNetwork: { kind: "created" },
      sharedNetwork: "sharednet1",
      floatingIp: { kind: "new", pool: "public" },
      securityGroups: { kind: "created", sources: ["0.0.0.0/0"] },
      image: "CC-Ubuntu24.04",
      user: "cc",
      spread: "none",
      pools: { default: { flavor: "m1.medium", lease: { hours: 6, minimumMinutes: 60 } } },
    };
    const check = (change: Partial<OpenStackSpec>, name = "p-apitest") =>
      checkOpenStack({
        spec: { name, infra: { ...infra, ...change }, nodes, publicPorts: [80, 8080] },
        existing: NOTHING_EXISTS,
        cloud,
      });

    test("passes an environment that can be made, quickly", async () => {
      const began = performance.now();
      const rows = await check({});
      const took = (performance.now() - began) / 1000;
      console.log(`preflight: ${took.toFixed(1)} s\n${renderPreflight(rows)}`);
      expect(rows.filter(({ ok }) => !ok)).toEqual([]);
    });

    test("names each thing that is wrong, all at once", async () => {
      const rows = await check({
        sharedNetwork: "sharednet2",
        image: "CC-Ubuntu24.05",
        keypair: "nobody's",
        floatingIp: { kind: "existing", address: "203.0.113.254" },
        securityGroups: { kind: "existing", names: ["allow-ssh"] },
        pools: { default: { flavor: "m1.tiny" } },
      });
      const wrong = Object.fromEntries(
        rows.filter(({ ok }) => !ok).map(({ check, problem }) => [check, problem]),
      );
      expect(Object.keys(wrong)).toEqual([
        "flavor of default",
        "image",
        "shared network",
        "floating IP",
        "security groups",
        "keypair",
      ]);
      expect(wrong["image"]?.next).toContain("CC-Ubuntu24.04");
      expect(await listImageNames(session)).toContain("CC-Ubuntu24.04");
      expect(wrong["security groups"]?.problem).toContain("6443, 80, 8080");
    });

    test("refuses a name that is taken", async () => {
      const keypair = { name: resourceNames.keypair("q-apitest") };
      await create("compute", "/os-keypairs", { keypair });
      const rows = await check({}, "q-apitest");
      await session.request("compute", "DELETE", `/os-keypairs/${keypair.name}`);
      const names = rows.find(({ check: what }) => what === "names");
      expect(names?.problem?.next).toContain("npm run audit -- q-apitest --remove");
    });
  });

  describe("a lease", () => {
    const type = "gourmetgram:openstack:Lease";
    const name = resourceNames.lease(ENVIRONMENT, "default");
    const inputs = { cloud: "openstack", name, flavor: "m1.medium", amount: 1, hours: 2 };
    let provider: ProviderClient;
    beforeAll(async () => {
      provider = await ProviderClient.start(ENVIRONMENT, { OS_CLIENT_CONFIG_FILE: clouds });
    });
    afterAll(() => provider.stop());

    test("is made, taken over, extended, found gone, made again and removed", async () => {
      const began = performance.now();
      // Two processes at the same moment, as after a kill: one lease.
      const second = await ProviderClient.start(ENVIRONMENT, { OS_CLIENT_CONFIG_FILE: clouds });
      const [first, same] = await Promise.all([provider.create(type, inputs), second.create(type, inputs)]);
      await second.stop();
      console.log(`lease ACTIVE after ${((performance.now() - began) / 1000).toFixed(1)} s`);
      expect(same.id).toBe(first.id);
      expect((await listLeases(session)).filter((lease) => lease.name === name)).toHaveLength(1);
      expect(first.state).toMatchObject({
        status: "ACTIVE",
        leaseId: first.id,
        flavorId: first.state.reservationId,
      });
      const flavors = (await listFlavors(session)).map(({ id }) => id);
      expect(flavors).toContain(first.state.flavorId);

      expect(await provider.diff(type, first.state, inputs, inputs)).toEqual({});
      const longer = { ...inputs, hours: 5 };
      expect(await provider.diff(type, first.state, inputs, longer)).toEqual({ hours: "update" });
      const extended = await provider.update(type, first.state, longer);
      const hours = (state: Record<string, unknown>) =>
        (Date.parse(String(state.endsAt)) - Date.parse(String(state.startsAt))) / 3_600_000;
      expect(hours(extended)).toBe(5);
      expect(extended.flavorId).toBe(first.state.flavorId);
      const lowered = await provider.update(type, extended, inputs);
      expect(hours(lowered)).toBe(5);
      const live = await readLease(session, name);
      expect(parseLeaseDate(live?.end_date ?? "").toISOString()).toBe(lowered.endsAt);

      expect(await provider.read(type, first.id, lowered)).toMatchObject({ status: "ACTIVE" });
      await provider.delete(type, first.id, lowered);
      await provider.delete(type, first.id, lowered);
      expect(await readLease(session, name)).toBeUndefined();
      expect(await provider.read(type, first.id, lowered)).toBeUndefined();
      expect(await provider.diff(type, lowered, inputs, inputs)).toEqual({ status: "replace" });
    });

    test("that cannot be had says why and leaves nothing", async () => {
      const many = { ...inputs, amount: 500 };
      await expect(provider.create(type, many)).rejects.toThrow(/There is no capacity for 500 x m1.medium/);
      await expect(provider.create(type, { ...inputs, flavor: "m1.mediun" })).rejects.toThrow(
        "did you mean m1.medium?",
      );
      expect(await readLease(session, name)).toBeUndefined();
    });
  });
});
