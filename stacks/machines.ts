import { dirname } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import type { MachineSet } from "../components/contracts";
import { HostsMachines } from "../infra/hosts/machines";
import { LocalMachines } from "../infra/local/machines";
import { OpenStackMachines } from "../infra/openstack/machines";
import type { BundleLocation } from "./config";
import { toolchainPins } from "./pins";
import { type EnvironmentSpec, isHosts, isLocal, isOpenStack, publicPorts } from "./spec";

/** The machines of an environment. The only place that knows every kind of them. */
export function createMachines(
  name: string,
  spec: EnvironmentSpec,
  bundle: BundleLocation,
  opts: pulumi.ComponentResourceOptions,
): MachineSet {
  const environment = spec.name;
  if (isLocal(spec)) {
    const { infra, nodes } = spec;
    const { cidr, memory } = infra;
    const { machineDir: imageDir, bundleDir } = bundle;
    return new LocalMachines(
      name,
      { environment, cidr, memory, nodes, imageDir, bundlesDir: dirname(bundleDir) },
      opts,
    );
  }
  if (isOpenStack(spec)) {
    const pluginVersion = toolchainPins.openstack;
    const args = { environment, spec: spec.infra, nodes: spec.nodes, publicPorts: publicPorts(spec) };
    return new OpenStackMachines(name, { ...args, pluginVersion }, opts);
  }
  if (isHosts(spec)) {
    return new HostsMachines(name, { environment, spec: spec.infra, nodes: spec.nodes }, opts);
  }
  throw new Error(`${name}: there are no machines of kind ${spec.infra.kind}`);
}
