/**
 * Proves: what the machines of an OpenStack environment are made of, under which names and marks, what waits for what, and which of
 * it is secret. Does not prove: that OpenStack takes it (end-to-end tests on the real services).
 */
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { OpenStackMachines, type OpenStackMachinesArgs } from "../../infra/openstack/machines";
import type { OpenStackNodeSpec, OpenStackSpec } from "../../infra/openstack/spec";
import { type Graph, recordGraph } from "../support/graph";

const spec: OpenStackSpec = {
  cloud: "openstack",
  cidr: "192.168.1.0/24",
  privateNetwork: { kind: "created" },
  sharedNetwork: "sharednet1",
  floatingIp: { kind: "new", pool: "public" },
  securityGroups: { kind: "created", sources: ["0.0.0.0/0"] },
  image: "CC-Ubuntu24.04",
  user: "cc",
  spread: "none",
  pools: { default: { flavor: "m1.medium" } },
};

const nodes: Record<string, OpenStackNodeSpec> = {
  node1: { role: "controlPlane", address: "192.168.1.11" },
  node2: { role: "worker", address: "192.168.1.12" },
};

function graphOf(change: Partial<OpenStackMachinesArgs> = {}, specChange: Partial<OpenStackSpec> = {}) {
  return recordGraph(
    () => {
      const { machines, sshConfig, privateKey } = new OpenStackMachines("machines", {
        environment: "lab",
        spec: { ...spec, ...specChange },
        nodes,
        publicPorts: [80],
        pluginVersion: "3.15.2",
        ...change,
      });
      return {
        sshConfig,
        privateKey,
        hosts: Object.fromEntries(Object.entries(machines).map(([name, { ssh }]) => [name, ssh.host])),
        jumps: Object.fromEntries(Object.entries(machines).map(([name, { ssh }]) => [name, ssh.proxy?.host])),
        publicAddresses: Object.fromEntries(
          Object.entries(machines).map(([name, { publicAddress }]) => [name, publicAddress]),
        ),
      };
    },
    { stack: "lab" },
  );
}

let graph: Graph;
beforeAll(async () => {
  graph = await graphOf();
});

describe("machines of an OpenStack environment", () => {
  test("are exactly these resources", () => {
    expect(graph.children(graph.get("machines"))).toEqual(
      [
        "machines-access SecGroup",
        "machines-access-22-from-0-0-0-0-0 SecGroupRule",
        "machines-access-6443-from-0-0-0-0-0 SecGroupRule",
        "machines-access-80-from-0-0-0-0-0 SecGroupRule",
        "machines-floating-ip FloatingIp",
        "machines-floating-ip-port FloatingIpAssociate",
        "machines-keypair Keypair",
        "machines-login KeyPair",
        "machines-network Network",
        "machines-node1 Instance",
        "machines-node1-host-key KeyPair",
        "machines-node1-private Port",
        "machines-node1-shared Port",
        "machines-node2 Instance",
        "machines-node2-host-key KeyPair",
        "machines-node2-private Port",
        "machines-node2-shared Port",
        "machines-nodes SecGroup",
        "machines-provider openstack",
        "machines-subnet Subnet",
      ].sort(),
    );
  });

  test("use the cloud of the settings through one provider of the pinned version", () => {
    const provider = graph.get("machines-provider");
    expect(provider.inputs).toMatchObject({ cloud: "openstack" });
    expect(provider.version).toBe("3.15.2");
    const strangers = graph.nodes.filter(
      ({ type, provider: used }) => type.startsWith("openstack:") && used !== provider.urn,
    );
    expect(strangers).toEqual([]);
  });

  test("bear the environment's name, and its mark where OpenStack has room for one", () => {
    const mark = "gourmetgram-environment=lab";
    for (const node of graph.nodes.filter(({ type }) => type.startsWith("openstack:"))) {
      if (node.inputs.name !== undefined) expect(node.inputs.name, node.name).toMatch(/-lab$/);
      if (/Network$|Subnet$|Port$|SecGroup$/.test(node.type))
        expect(node.inputs.tags, node.name).toEqual([mark]);
    }
    expect(graph.get("machines-floating-ip").inputs.description).toBe(mark);
    expect(graph.get("machines-node1").inputs.metadata).toEqual({
      "gourmetgram-environment": "lab",
      "gourmetgram-node": "node1",
    });
  });

  test("have a port on the shared network first and then one with their address on the private one", () => {
    expect(graph.get("machines-node2").inputs.networks).toEqual([
      { port: "machines-node2-shared-id" },
      { port: "machines-node2-private-id" },
    ]);
    expect(graph.get("machines-node2-shared").inputs.networkId).toBe("id-of-sharednet1");
    expect(graph.get("machines-node2-private").inputs).toMatchObject({
      fixedIps: [{ subnetId: "machines-subnet-id", ipAddress: "192.168.1.12" }],
      portSecurityEnabled: false,
      noSecurityGroups: true,
    });
  });

  test("are open to the world at the edge node only, where SSH, the API and the public services are", () => {
    expect(graph.get("machines-node1-shared").inputs.securityGroupIds).toEqual([
      "machines-nodes-id",
      "machines-access-id",
    ]);
    expect(graph.get("machines-node2-shared").inputs.securityGroupIds).toEqual(["machines-nodes-id"]);
    const rules = graph.ofType("SecGroupRule").map(({ inputs }) => inputs);
    expect(rules.map(({ portRangeMin, portRangeMax }) => [portRangeMin, portRangeMax])).toEqual(
      expect.arrayContaining([
        [22, 22],
        [6443, 6443],
        [80, 80],
      ]),
    );
    expect(rules.every(({ securityGroupId }) => securityGroupId === "machines-access-id")).toBe(true);
  });

  test("have their address on a port, so that a new instance keeps it", () => {
    const attached = graph.get("machines-floating-ip-port");
    expect(attached.inputs).toMatchObject({ floatingIp: "203.0.113.10", portId: "machines-node1-shared-id" });
    expect(graph.waits(attached, graph.get("machines-node1"))).toBe(false);
    expect(graph.waits(graph.get("machines-node1"), attached)).toBe(false);
    expect(attached.deletedWith).toBe(graph.get("machines-floating-ip").urn);
  });

  test("are reached through the first control plane, with host keys known before they exist", () => {
    expect(graph.outputs["hosts"]).toEqual({ node1: "203.0.113.10", node2: "192.168.1.12" });
    expect(graph.outputs["jumps"]).toMatchObject({ node2: "203.0.113.10" });
    expect(graph.outputs["publicAddresses"]).toEqual({ node1: "203.0.113.10" });
    expect(graph.outputs["sshConfig"]).toContain(
      "Host node2\n  HostName 192.168.1.12\n  User cc\n  ProxyJump node1\n",
    );
    const userData = graph.get("machines-node2").inputs.userData as string;
    expect(parse(userData)).toMatchObject({
      hostname: "node2",
      ssh_keys: {
        ed25519_private: "machines-node2-host-key private key",
        ed25519_public: "ssh-ed25519 machines-node2-host-key",
      },
    });
    expect(graph.waits(graph.get("machines-node2-host-key"), graph.get("machines-network"))).toBe(false);
  });

  test("keep user data secret, in and out", () => {
    expect(graph.get("machines-node1").secretPaths).toContain("userData");
    expect(graph.get("machines-node1").additionalSecretOutputs).toContain("userData");
    expect(graph.secretOutputs).toContain("privateKey");
  });

  test("are made at the same time, and never beside their predecessor", () => {
    const [first, second] = [graph.get("machines-node1"), graph.get("machines-node2")];
    expect(graph.waits(first, second) || graph.waits(second, first)).toBe(false);
    expect(first.deleteBeforeReplace).toBe(true);
    // Another image of the settings; not what a site does to its images.
    expect(first.replacementTrigger).toBe("CC-Ubuntu24.04");
    expect(first.ignoreChanges).toEqual(["imageId", "imageName"]);
    expect(graph.get("machines-node1-private").deleteBeforeReplace).toBe(true);
    // Another address is another machine: a running one would keep the old.
    expect(graph.get("machines-node1-private").replaceOnChanges).toEqual(["fixedIps"]);
    for (const name of ["machines-subnet", "machines-floating-ip-port"]) {
      expect(graph.get(name).deleteBeforeReplace, name).toBe(true);
    }
  });
});

describe("what the settings add", () => {
  test("boot volumes may go only when the settings say so", async () => {
    const graph = await graphOf({}, { bootVolume: { size: 60, discard: true } });
    expect(graph.get("machines-node2-boot").protect).toBe(false);
  });

  test("a lease comes before all that it pays for, and its flavor makes a new instance", async () => {
    const leased = await graphOf(
      {},
      { pools: { default: { flavor: "m1.medium", lease: { hours: 24, minimumMinutes: 60 } } } },
    );
    const lease = leased.get("machines-lease");
    expect(lease.inputs).toMatchObject({
      name: "lease-lab",
      flavor: "m1.medium",
      amount: 2,
      hours: 24,
      cloud: "openstack",
    });
    for (const name of ["machines-network", "machines-node1", "machines-node2"]) {
      expect(leased.waits(leased.get(name), lease), name).toBe(true);
    }
    expect(leased.get("machines-node1").inputs).toMatchObject({ flavorId: "machines-lease-flavor" });
    expect(leased.get("machines-node1").inputs.flavorName).toBeUndefined();
    expect(leased.get("machines-node1").replaceOnChanges).toContain("flavorId");
  });

  test("a pool has a lease of its own, for its own nodes only", async () => {
    const pooled = await graphOf(
      { nodes: { ...nodes, gpu1: { role: "worker", address: "192.168.1.14", pool: "gpu" } } },
      {
        pools: {
          default: { flavor: "m1.medium" },
          gpu: { flavor: "g1.h100.pci.1", lease: { hours: 4, minimumMinutes: 30 } },
        },
      },
    );
    expect(pooled.ofType("Lease").map(({ name, inputs }) => [name, inputs.name, inputs.amount])).toEqual([
      ["machines-gpu-lease", "lease-gpu-lab", 1],
    ]);
    expect(pooled.get("machines-gpu1").inputs.flavorId).toBe("machines-gpu-lease-flavor");
    expect(pooled.get("machines-node1").inputs.flavorName).toBe("m1.medium");
    expect(pooled.waits(pooled.get("machines-node1"), pooled.get("machines-gpu1"))).toBe(false);
  });

  test("existing networks, groups, keypair and address are used and not made", async () => {
    const existing = await graphOf(
      {},
      {
        privateNetwork: { kind: "existing", network: "lab-net", subnet: "lab-subnet" },
        securityGroups: { kind: "existing", names: ["allow-ssh", "allow-6443"] },
        floatingIp: { kind: "existing", address: "203.0.113.77" },
        keypair: "mine",
      },
    );
    const made = existing.children(existing.get("machines"));
    expect(made.filter((child) => /Network|Subnet|SecGroup|Keypair|FloatingIp$/.test(child))).toEqual([]);
    expect(existing.get("machines-node1").inputs.keyPair).toBe("mine");
    // The environment's own key gets in by another way then.
    expect(parse(existing.get("machines-node1").inputs.userData)).toMatchObject({
      ssh_authorized_keys: ["ssh-ed25519 machines-login"],
    });
    const attached = existing.get("machines-floating-ip-port");
    expect([attached.inputs.floatingIp, attached.deletedWith]).toEqual(["203.0.113.77", ""]);
    expect(existing.get("machines-node2-private").inputs.fixedIps[0].subnetId).toBe("id-of-lab-subnet");
    expect(existing.get("machines-node2-shared").inputs.securityGroupIds).toEqual([
      "id-of-allow-ssh",
      "id-of-allow-6443",
    ]);
  });

  test("a router stands before the address that leads through it", async () => {
    const routed = await graphOf({}, { privateNetwork: { kind: "created", router: "lab-router" } });
    const routerInterface = routed.get("machines-router-interface");
    expect(routerInterface.inputs).toEqual({ routerId: "id-of-lab-router", subnetId: "machines-subnet-id" });
    expect(routed.get("machines-subnet").inputs.noGateway).toBeUndefined();
    expect(routed.waits(routed.get("machines-floating-ip-port"), routerInterface)).toBe(true);
  });

  test("a server group spreads instances, a boot volume holds their disk, rules follow the sources", async () => {
    const more = await graphOf(
      {},
      {
        spread: "anti-affinity",
        bootVolume: { size: 60, type: "ssd", discard: false },
        securityGroups: { kind: "created", sources: ["192.0.2.0/24", "198.51.100.7/32"] },
      },
    );
    expect(more.get("machines-spread").inputs).toMatchObject({
      name: "spread-lab",
      policies: ["anti-affinity"],
    });
    const { schedulerHints, blockDevices, imageName } = more.get("machines-node1").inputs;
    expect(schedulerHints).toEqual([{ group: "machines-spread-id" }]);
    expect(imageName).toBeUndefined();
    expect(blockDevices).toEqual([
      {
        uuid: "machines-node1-boot-id",
        sourceType: "volume",
        destinationType: "volume",
        bootIndex: 0,
        deleteOnTermination: false,
      },
    ]);
    const volume = more.get("machines-node1-boot");
    expect(volume.inputs).toEqual({
      name: "boot-node1-lab",
      size: 60,
      volumeType: "ssd",
      imageId: "id-of-CC-Ubuntu24.04",
      metadata: { "gourmetgram-environment": "lab", "gourmetgram-node": "node1" },
    });
    expect(volume.protect).toBe(true);
    expect([volume.replacementTrigger, volume.ignoreChanges]).toEqual(["CC-Ubuntu24.04", ["imageId"]]);
    expect(
      more
        .ofType("SecGroupRule")
        .map(({ inputs }) => inputs.remoteIpPrefix)
        .sort(),
    ).toEqual([...Array(3).fill("192.0.2.0/24"), ...Array(3).fill("198.51.100.7/32")]);
  });
});
