import { describe, expect, test } from "vitest";
import type { Server } from "../../infra/openstack/api/compute";
import { compareWithCloud } from "../../infra/openstack/drift";
import { EXISTING_KINDS, existingIds, NOTHING_EXISTS, nothingExists } from "../../infra/openstack/existing";
import { selectRemains } from "../../infra/openstack/remains";
import { environmentMark, MARK_KEY } from "../../infra/openstack/spec";
import { existingOf } from "../../tools/cli/openstackState";
import {
  aFloatingIp,
  aGroup,
  aLease,
  aNetwork,
  anInventory,
  aPort,
  aRouter,
  aServer,
  aSubnet,
} from "../support/openstackShapes";

const tagged = (environment: string) => ({ tags: ["other", environmentMark(environment)] });
const found = (...[inventory, environment, known]: Parameters<typeof selectRemains>) =>
  selectRemains(inventory, environment, known).map(({ kind, id, foundBy }) => `${kind} ${id} by ${foundBy}`);

describe("what belongs to an environment", () => {
  test("bears its mark: as tag, as description, as metadata", () => {
    const inventory = anInventory({
      servers: [
        aServer("s", { metadata: { [MARK_KEY]: "x" } }),
        aServer("t", { metadata: { [MARK_KEY]: "y" } }),
      ],
      volumes: [{ id: "v", name: "", status: "available", size: 10, metadata: { [MARK_KEY]: "x" } }],
      floatingIps: [
        aFloatingIp("f", "203.0.113.5", { description: environmentMark("x") }),
        aFloatingIp("borrowed", "203.0.113.6", { port_id: "p" }),
      ],
      routers: [aRouter("r", { description: `the router, ${environmentMark("x")}` })],
      securityGroups: [aGroup("g", [], tagged("x")), aGroup("default", [])],
    });
    expect(found(inventory, "x")).toEqual([
      "server s by mark",
      "volume v by mark",
      "floating IP f by mark",
      "router r by mark",
      "security group g by mark",
    ]);
  });

  test("or has exactly one of its names, as far as nodes and pools are known", () => {
    const inventory = anInventory({
      servers: [aServer("1", { name: "node1-x" }), aServer("2", { name: "other-x" })],
      serverGroups: [{ id: "g", name: "spread-x", members: [] }],
      keypairs: [{ name: "key-x" }, { name: "key-x-b" }],
      ports: [
        aPort("p", "shared", "10.0.0.1", { name: "shared-node1-x" }),
        aPort("q", "shared", "10.0.0.2", { name: "port-node1-x" }),
      ],
      securityGroups: [aGroup("access-x", []), aGroup("nodes-x", []), aGroup("access", [])],
      leases: [aLease("l", { name: "lease-x" }), aLease("m", { name: "lease-gpu-x" })],
    });
    expect(found(inventory, "x", { nodes: ["node1"], pools: ["default", "gpu"] })).toEqual([
      "server 1 by name",
      "port p by name",
      "port q by name",
      "security group access-x by name",
      "security group nodes-x by name",
      "server group g by name",
      "keypair key-x by name",
      "lease l by name",
      "lease m by name",
    ]);
    expect(found(inventory, "x")).not.toContain("server 1 by name");
  });

  test("is never another environment's, however alike the names are", () => {
    const inventory = anInventory({
      networks: [
        aNetwork("n", { name: "private-net-x-a-b", ...tagged("x-a-b") }),
        aNetwork("m", { name: "private-net-x-a", ...tagged("somebody-else") }),
      ],
      servers: [
        aServer("s", { name: "node1-x-a", metadata: { [MARK_KEY]: "x-a-b" } }),
        aServer("t", { name: "node1-x-a-b" }),
      ],
      leases: [aLease("l", { name: "lease-x-a-b" })],
      keypairs: [{ name: "key-x-a-b" }],
    });
    expect(found(inventory, "x-a", { nodes: ["node1"], pools: ["default"] })).toEqual([]);
  });

  test("or hangs on its network, which cannot go before", () => {
    const inventory = anInventory({
      networks: [
        aNetwork("n", tagged("x")),
        // Same name, but shared by another project.
        aNetwork("foreign", { name: "private-net-x", project_id: "other" }),
      ],
      subnets: [aSubnet("s", "n", "192.168.1.0/24"), aSubnet("f", "foreign", "192.168.2.0/24")],
      ports: [
        aPort("unnamed", "n", "192.168.1.20"),
        aPort("dhcp", "n", "192.168.1.2", { device_owner: "network:dhcp" }),
        aPort("r", "n", "192.168.1.1", {
          device_owner: "network:router_interface",
          device_id: "site-router",
          fixed_ips: [{ subnet_id: "s", ip_address: "192.168.1.1" }],
        }),
        aPort("elsewhere", "foreign", "192.168.2.9"),
      ],
    });
    expect(found(inventory, "x")).toEqual([
      "router interface site-router/s by place",
      "port unnamed by place",
      "subnet s by place",
      "network n by mark",
    ]);
  });
});

describe("the state", () => {
  const resource = (type: string, id: string, more: object = {}) => ({
    urn: `urn:pulumi:x::p::parent$${type}::name-${id}`,
    type,
    custom: true,
    id,
    ...more,
  });
  const exported = {
    version: 3,
    deployment: {
      resources: [
        resource("openstack:compute/instance:Instance", "s1"),
        resource("openstack:networking/port:Port", "p1"),
        resource("openstack:networking/network:Network", "looked-up", { external: true }),
        resource("gourmetgram:openstack:Lease", "l1"),
        resource("kubernetes:core/v1:Namespace", "n"),
        { urn: "urn:pulumi:x::p::gourmetgram:infra:OpenStackMachines::machines", type: "c" },
      ],
    },
  };

  test("is turned into ids by kind", () => {
    const existing = existingOf(exported);
    expect(existing.resources.servers).toEqual([
      {
        id: "s1",
        name: "name-s1",
        urn: "urn:pulumi:x::p::parent$openstack:compute/instance:Instance::name-s1",
      },
    ]);
    const ids = Object.fromEntries(EXISTING_KINDS.map((kind) => [kind, existing.resources[kind].length]));
    expect(ids).toMatchObject({ servers: 1, ports: 1, leases: 1, networks: 0 });
    expect(existing.pendingOperations).toBe(false);
    expect(nothingExists(existingOf(undefined))).toBe(true);
    const pending = [{ type: "creating", resource: { urn: "u" } }];
    expect(existingOf({ version: 3, deployment: { pending_operations: pending } }).pendingOperations).toBe(
      true,
    );
  });

  test("tells what was not made or not changed to the end", () => {
    const failed = (id: string, modified: string) =>
      resource("openstack:networking/port:Port", id, { initErrors: ["500"], created: "10:00", modified });
    const existing = existingOf({
      version: 3,
      deployment: {
        resources: [
          failed("made", "10:00"),
          failed("changed", "11:00"),
          resource("openstack:networking/port:Port", "whole", { initErrors: [] }),
        ],
      },
    });
    expect(existing.resources.ports.map(({ id, unfinished }) => [id, unfinished])).toEqual([
      ["made", "creation"],
      ["changed", "change"],
      ["whole", undefined],
    ]);
    expect([...existingIds(existing, "ports", "whole")]).toEqual(["changed", "whole"]);
  });

  test("tells where it is, and which port a floating IP leads to", () => {
    const existing = existingOf({
      version: 3,
      deployment: {
        resources: [
          resource("openstack:compute/instance:Instance", "s1", { outputs: { region: "R" } }),
          resource("openstack:networking/port:Port", "p1", { outputs: { tenantId: "t", region: "R" } }),
          resource("openstack:networking/floatingIpAssociate:FloatingIpAssociate", "f1", {
            outputs: { portId: "p1" },
          }),
        ],
      },
    });
    expect(existing.place).toEqual({ project: "t", region: "R" });
    expect([...existingIds(existing, "floatingIpAssociations")]).toEqual(["f1/p1"]);
    expect(existingOf(exported).place).toBeUndefined();
  });

  test("is compared with the cloud: what is gone, what is half done, what failed", () => {
    const state = (id: string) => ({ id, name: id, urn: `urn:${id}` });
    const existing = {
      ...NOTHING_EXISTS,
      resources: {
        ...NOTHING_EXISTS.resources,
        servers: [
          state("ok"),
          state("gone"),
          state("broken"),
          { ...state("half"), unfinished: "creation" as const },
        ],
        ports: [state("p"), { ...state("q"), unfinished: "change" as const }],
        floatingIpAssociations: [state("f/p"), state("f/q")],
        keypairs: [state("not looked at")],
      },
    };
    const servers: Server[] = [
      aServer("ok"),
      aServer("broken", { status: "ERROR", fault: { message: "No valid host was found." } }),
      aServer("half", { status: "ERROR" }),
    ];
    const cloud = {
      servers: new Set(["ok", "broken", "half"]),
      ports: new Set(["q"]),
      floatingIpAssociations: new Set(["f/q"]),
    };
    expect(compareWithCloud(existing, cloud, servers)).toEqual({
      missing: [
        { ...state("p"), kind: "ports" },
        { ...state("f/p"), kind: "floatingIpAssociations" },
        { ...state("gone"), kind: "servers" },
      ].sort(
        (left, right) => EXISTING_KINDS.indexOf(left.kind as any) - EXISTING_KINDS.indexOf(right.kind as any),
      ),
      unfinished: [
        { ...state("q"), unfinished: "change", kind: "ports" },
        { ...state("half"), unfinished: "creation", kind: "servers" },
      ],
      failed: [
        { ...state("broken"), fault: "No valid host was found." },
        { ...state("half"), unfinished: "creation", fault: "no reason given" },
      ],
    });
  });
});
