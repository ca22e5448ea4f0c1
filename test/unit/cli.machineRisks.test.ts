/** Proves: what a plan's changes of machines mean for the data on them, and what counts as a loss nobody asked for. */
import { describe, expect, it } from "vitest";
import { parseEnvironment } from "../../stacks/parse";
import type { Change } from "../../tools/cli/changes";
import { machineRisks, makesMachine, renderRisks } from "../../tools/cli/machineRisks";

const INSTANCE = "openstack:compute/instance:Instance";
const LEASE = "gourmetgram:openstack:Lease";
const spec = parseEnvironment({ infra: { kind: "openstack" } }, "lab");
const storageOnNode2 = parseEnvironment(
  {
    infra: { kind: "openstack" },
    nodes: {
      node1: { role: "controlPlane", address: "192.168.1.11" },
      node2: { address: "192.168.1.12", labels: { "gourmetgram.dev/storage": "true" } },
    },
  },
  "lab",
);

function change(op: string, name: string, type = INSTANCE, properties: string[] = []): Change {
  return {
    op,
    type,
    properties,
    resource: name,
    urn: `urn:pulumi:lab::gourmetgram-infra::a$${type}::${name}`,
  };
}

describe("changes of machines", () => {
  it("that make one are the first of a node and another of it", () => {
    const makes = (op: string, name = "machines-node2", type = INSTANCE) =>
      makesMachine(change(op, name, type));
    expect(["create", "replace", "update", "delete"].filter((op) => makes(op))).toEqual([
      "create",
      "replace",
    ]);
    expect(makes("create", "machines-node2-private", "openstack:networking/port:Port")).toBe(false);
  });

  it("are told in the order of the nodes, whatever the engine's was", () => {
    const plan = ["machines-node3", "machines-node1", "machines-node2"].map((name) =>
      change("replace", name),
    );
    expect(machineRisks(plan, spec).map(({ node }) => node)).toEqual(["node1", "node2", "node3"]);
  });

  it("of a worker are no loss: it is drained and holds no volumes", () => {
    expect(machineRisks([change("replace", "machines-node2", INSTANCE, ["imageName"])], spec)).toEqual([
      {
        node: "node2",
        loses: false,
        text: "node2 is made anew (imageName): it is drained first, and holds no volumes",
      },
    ]);
  });

  it("of the first control plane take etcd and volumes along", () => {
    const [risk] = machineRisks([change("replace", "machines-node1", INSTANCE, ["userData"])], spec);
    expect(risk).toMatchObject({ node: "node1", loses: false });
    expect(risk?.text).toContain("taken along");
  });

  it.each([
    ["its port", "replace", "machines-node1-private", "openstack:networking/port:Port"],
    ["its port, which is gone", "create", "machines-node1-private", "openstack:networking/port:Port"],
    ["the network", "replace", "machines-network", "openstack:networking/network:Network"],
    ["the subnet", "replace", "machines-subnet", "openstack:networking/subnet:Subnet"],
    ["the lease", "replace", "machines-lease", LEASE],
  ])("of the first control plane together with %s lose them", (_, op, name, type) => {
    const risks = machineRisks([change("replace", "machines-node1"), change(op, name, type)], spec);
    expect(risks).toMatchObject([{ node: "node1", loses: true }]);
  });

  it("of a pool's lease are about that pool only", () => {
    const gpu = parseEnvironment(
      {
        infra: { kind: "openstack", pools: { default: {}, gpu: { lease: {} } } },
        nodes: {
          node1: { role: "controlPlane", address: "192.168.1.11" },
          node2: { address: "192.168.1.12", pool: "gpu" },
        },
      },
      "lab",
    );
    const risks = machineRisks(
      [
        change("replace", "machines-gpu-lease", LEASE, ["amount"]),
        change("replace", "machines-node1"),
        change("replace", "machines-node2", INSTANCE, ["flavorId"]),
      ],
      gpu,
    );
    expect(risks.map(({ node, loses }) => [node, loses])).toEqual([
      ["node1", false],
      ["node2", true],
    ]);
    expect(risks[1]?.text).toContain("infra.pools.<pool>.lease, nodes.<node>.pool");
  });

  it("of a node that keeps volumes are a loss, replaced or removed", () => {
    for (const op of ["replace", "delete"]) {
      expect(machineRisks([change(op, "machines-node2")], storageOnNode2)).toMatchObject([
        { node: "node2", loses: true },
      ]);
    }
  });

  it("that resize one restart it, and others mean nothing", () => {
    const resized = machineRisks([change("update", "machines-node3", INSTANCE, ["flavorName"])], spec);
    expect(renderRisks(resized)).toBe(
      "  note       node3 is resized (flavorName): it restarts, its disk stays",
    );
    expect(machineRisks([change("update", "machines-node3", INSTANCE, ["metadata"])], spec)).toEqual([]);
    expect(machineRisks([change("create", "machines-node3")], spec)).toEqual([]);
  });
});
