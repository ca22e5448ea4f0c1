/** Proves: what counts as made by a killed run: the environment's own, by mark or name, and unknown to its state. Nothing else. */
import { describe, expect, it } from "vitest";
import type { Remain } from "../../infra/openstack/audit";
import { type ExistingResources, NOTHING_EXISTS } from "../../infra/openstack/existing";
import { orphansOf } from "../../tools/cli/cloudProject";
import { protectedNames } from "../../tools/cli/pending";

const remain = (kind: Remain["kind"], id: string, foundBy: Remain["foundBy"] = "mark"): Remain => ({
  kind,
  id,
  foundBy,
  name: `${id}-lab`,
  detail: "",
});

const existing: ExistingResources = {
  pendingOperations: true,
  resources: {
    ...NOTHING_EXISTS.resources,
    networks: [{ id: "net1", name: "machines-network", urn: "urn:net" }],
    servers: [{ id: "server1", name: "machines-node1", urn: "urn:node1" }],
  },
};

describe("orphans of a killed run", () => {
  it("are what the state does not know", () => {
    expect(
      orphansOf(
        [remain("network", "net1"), remain("network", "net2"), remain("server", "server2", "name")],
        existing,
      ).map(({ id }) => id),
    ).toEqual(["net2", "server2"]);
  });

  it("are also what the state knows and was not made whole, whatever became of it then", () => {
    const half = {
      id: "port1",
      name: "machines-node1-shared",
      urn: "urn:port",
      unfinished: "creation",
    } as const;
    const changed = { id: "net1", name: "machines-network", urn: "urn:net", unfinished: "change" } as const;
    const resources = { ...existing.resources, ports: [half], networks: [changed] };
    expect(
      orphansOf([remain("port", "port1"), remain("network", "net1")], { ...existing, resources }).map(
        ({ id }) => id,
      ),
    ).toEqual(["port1"]);
  });

  it("are never somebody else's port on our network, a router's interface, or a lease that is taken over by name", () => {
    expect(
      orphansOf(
        [
          remain("port", "stranger", "place"),
          remain("router interface", "r/s", "place"),
          remain("lease", "lease1", "name"),
        ],
        existing,
      ),
    ).toEqual([]);
  });
});

describe("protected resources", () => {
  it("are named", () => {
    const resource = (name: string, protect: boolean) => ({ urn: `urn::${name}`, type: "t", protect });
    expect(
      protectedNames({
        version: 3,
        deployment: { resources: [resource("machines-node1-boot", true), resource("machines-node1", false)] },
      }),
    ).toEqual(["machines-node1-boot"]);
  });
});
