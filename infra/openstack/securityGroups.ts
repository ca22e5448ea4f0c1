import * as openstack from "@pulumi/openstack";
import type * as pulumi from "@pulumi/pulumi";
import { ALWAYS_OPEN, environmentMark, type OpenStackSpec, resourceNames } from "./spec";

/** Groups of the ports on the shared network. */
export interface PortGroups {
  /** Of the node the world reaches. */
  readonly edge: readonly pulumi.Input<string>[];
  /** Of all others. */
  readonly inner: readonly pulumi.Input<string>[];
}

/**
 * Who may connect from outside. Made here: one group without rules for what comes in, for every node, and one more for the edge node
 * that opens SSH, the API and the public services to the given networks. Existing groups go to every node, as they are.
 */
export function createSecurityGroups(
  name: string,
  args: {
    readonly environment: string;
    readonly spec: OpenStackSpec;
    /** TCP ports of the public services. */
    readonly publicPorts: readonly number[];
  },
  opts: pulumi.CustomResourceOptions,
  lookup: pulumi.InvokeOutputOptions,
): PortGroups {
  const { environment, spec } = args;
  if (spec.securityGroups.kind === "existing") {
    const groups = spec.securityGroups.names.map(
      (group) => openstack.networking.getSecGroupOutput({ name: group }, lookup).id,
    );
    return { edge: groups, inner: groups };
  }
  const group = (part: "access" | "nodes", description: string) =>
    new openstack.networking.SecGroup(
      `${name}-${part}`,
      {
        name: resourceNames.securityGroup(environment, part),
        description,
        tags: [environmentMark(environment)],
      },
      opts,
    );
  const inner = group("nodes", "All nodes: nothing comes in, everything may go out");
  const edge = group("access", "The edge node: SSH, the Kubernetes API and the public services");
  for (const port of [...ALWAYS_OPEN, ...args.publicPorts]) {
    for (const source of spec.securityGroups.sources) {
      new openstack.networking.SecGroupRule(
        `${name}-access-${port}-from-${source.replaceAll(/[./]/g, "-")}`,
        {
          securityGroupId: edge.id,
          direction: "ingress",
          ethertype: "IPv4",
          protocol: "tcp",
          portRangeMin: port,
          portRangeMax: port,
          remoteIpPrefix: source,
        },
        // A group takes its rules along; removing them one by one takes Neutron seconds for each.
        { ...opts, deletedWith: edge },
      );
    }
  }
  return { edge: [inner.id, edge.id], inner: [inner.id] };
}
