import * as openstack from "@pulumi/openstack";
import type * as pulumi from "@pulumi/pulumi";
import { environmentMark, type OpenStackSpec, resourceNames } from "./spec";

/** A network and the subnet of it that nodes have their addresses in. */
export interface NetworkIds {
  readonly networkId: pulumi.Output<string>;
  readonly subnetId: pulumi.Output<string>;
  /** What must be there before a floating IP can lead to a port on it. */
  readonly routed: readonly pulumi.Resource[];
}

/** The nodes' own network: made here, or one that exists. Port security is off on a network made here: only nodes are on it. */
export function createPrivateNetwork(
  name: string,
  args: { readonly environment: string; readonly spec: OpenStackSpec },
  opts: pulumi.CustomResourceOptions,
  lookup: pulumi.InvokeOutputOptions,
): NetworkIds {
  const { environment, spec } = args;
  if (spec.privateNetwork.kind === "existing") {
    const { network, subnet } = spec.privateNetwork;
    const networkId = openstack.networking.getNetworkOutput({ name: network }, lookup).id;
    return {
      networkId,
      subnetId: openstack.networking.getSubnetOutput({ name: subnet, networkId }, lookup).id,
      routed: [],
    };
  }
  const { router } = spec.privateNetwork;
  const tags = [environmentMark(environment)];
  const network = new openstack.networking.Network(
    `${name}-network`,
    { name: resourceNames.network(environment), adminStateUp: true, portSecurityEnabled: false, tags },
    opts,
  );
  const subnet = new openstack.networking.Subnet(
    `${name}-subnet`,
    {
      name: resourceNames.subnet(environment),
      networkId: network.id,
      cidr: spec.cidr,
      ipVersion: 4,
      enableDhcp: true,
      // Without a router it leads nowhere, and a second default route would only be in the way.
      ...(router === undefined ? { noGateway: true } : {}),
      tags,
    },
    // A network takes its subnets along.
    { ...opts, deletedWith: network, deleteBeforeReplace: true },
  );
  const routed =
    router === undefined
      ? []
      : [
          new openstack.networking.RouterInterface(
            `${name}-router-interface`,
            {
              routerId: openstack.networking.getRouterOutput({ name: router }, lookup).id,
              subnetId: subnet.id,
            },
            opts,
          ),
        ];
  return { networkId: network.id, subnetId: subnet.id, routed };
}
