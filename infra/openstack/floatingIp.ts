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
  const attach = (address: pulumi.Input<string>, more: pulumi.CustomResourceOptions = {}) =>
    new openstack.networking.FloatingIpAssociate(
      `${name}-floating-ip-port`,
      { floatingIp: address, portId: args.portId },
      // A port has one floating IP at a time.
      { ...opts, deleteBeforeReplace: true, ...more },
    ).floatingIp;
  if (floatingIp.kind === "existing") return attach(floatingIp.address);
  const own = new openstack.networking.FloatingIp(
    `${name}-floating-ip`,
    { pool: floatingIp.pool, description: environmentMark(args.environment) },
    opts,
  );
  // The provider cannot detach an address that is gone, as it is after a destroy that was killed in the middle.
  return attach(own.address, { deletedWith: own });
}
