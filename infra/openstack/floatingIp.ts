import * as openstack from "@pulumi/openstack";
import type * as pulumi from "@pulumi/pulumi";
import { environmentMark, type OpenStackSpec } from "./spec";

/**
 * The environment's address, on a port and not on an instance: a new instance keeps it. An address that existed before is attached
 * and detached only. Allocation and attachment are two resources, so that one can change without the other.
 *
 * @returns the address, once it leads to the port
 */
export function createFloatingIp(
  name: string,
  args: {
    readonly environment: string;
    readonly spec: OpenStackSpec;
    readonly portId: pulumi.Input<string>;
  },
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  const { floatingIp } = args.spec;
  const address =
    floatingIp.kind === "existing"
      ? floatingIp.address
      : new openstack.networking.FloatingIp(
          `${name}-floating-ip`,
          { pool: floatingIp.pool, description: environmentMark(args.environment) },
          opts,
        ).address;
  return new openstack.networking.FloatingIpAssociate(
    `${name}-floating-ip-port`,
    { floatingIp: address, portId: args.portId },
    // A port has one floating IP at a time.
    { ...opts, deleteBeforeReplace: true },
  ).floatingIp;
}
