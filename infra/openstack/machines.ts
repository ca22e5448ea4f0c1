import * as openstack from "@pulumi/openstack";
import * as pulumi from "@pulumi/pulumi";
import type { Machine, MachineSet, SshAccess } from "../../components/contracts";
import { homeNode } from "../../components/homeNode";
import { KeyPair } from "../../components/keys";
import { renderSshConfig } from "../../components/sshConfig";
import { createFloatingIp } from "./floatingIp";
import { createInstance, type InstanceArgs, type InstanceSurroundings, isId } from "./instance";
import { Lease } from "./lease";
import { createPrivateNetwork } from "./network";
import { createSecurityGroups } from "./securityGroups";
import {
  DEFAULT_POOL,
  type NodePoolSpec,
  type OpenStackNodeSpec,
  type OpenStackSpec,
  resourceNames,
} from "./spec";

export interface OpenStackMachinesArgs {
  /** Name of the environment; everything made in the project ends with it. */
  readonly environment: string;
  readonly spec: OpenStackSpec;
  /** The instances by node name. Shape: plain. At least one control plane. */
  readonly nodes: Readonly<Record<string, OpenStackNodeSpec>>;
  /** TCP ports of the services that the world may reach, besides SSH and the Kubernetes API. */
  readonly publicPorts: readonly number[];
  /** Version of the provider plugin; its npm package names none, and the engine would take the newest. */
  readonly pluginVersion: string;
}

/**
 * Instances of an OpenStack project, ready for SSH: optional leases, a private network, ports, security groups, a keypair, instances
 * keyed by node name, and one floating IP on the *port* of the first control plane, so that a new instance keeps the address. All
 * others are reached through it. All instances are made at the same time.
 *
 * Costs: an instance per node, one floating IP, two ports per node, one network unless it exists.
 * ```ts
 * new OpenStackMachines("machines", {
 *   environment: "mlops-netid", spec, publicPorts: [80], pluginVersion: "3.15.2",
 *   nodes: { node1: { role: "controlPlane", address: "192.168.1.11" } },
 * });
 * ```
 */
export class OpenStackMachines extends pulumi.ComponentResource implements MachineSet {
  readonly machines: Readonly<Record<string, Machine>>;
  readonly privateKey: pulumi.Output<string>;
  readonly sshConfig: pulumi.Output<string>;
  /** The address the world reaches. */
  readonly publicAddress: pulumi.Output<string>;

  constructor(name: string, args: OpenStackMachinesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:infra:OpenStackMachines", name, {}, opts);
    const { environment, spec, nodes } = args;
    const home = homeNode(nodes);
    if (home === undefined) throw new pulumi.RunError(`The nodes of ${environment} have no control plane.`);

    const provider = new openstack.Provider(
      `${name}-provider`,
      { cloud: spec.cloud, maxRetries: CONNECTION_RETRIES },
      { parent: this, version: args.pluginVersion },
    );
    const made = { parent: this, provider };
    const lookup = { parent: this, provider };

    const leases = createLeases(name, args, this);
    // Scarce things first: without the lease nothing else is worth making. And it is the last to go.
    const afterLeases = { ...made, dependsOn: Object.values(leases) };
    const privateNetwork = createPrivateNetwork(name, { environment, spec }, afterLeases, lookup);
    const groups = createSecurityGroups(name, args, made, lookup);
    const login = new KeyPair(`${name}-login`, { algorithm: "ed25519" }, { parent: this });
    const surroundings: InstanceSurroundings = {
      environment,
      spec,
      login,
      keypair: keypairOf(name, args, login, made),
      privateNetwork,
      sharedNetworkId: openstack.networking.getNetworkOutput({ name: spec.sharedNetwork }, lookup).id,
      ...serverGroupOf(name, args, made),
      ...imageIdOf(spec, lookup),
    };
    const hostKeys = Object.fromEntries(
      Object.keys(nodes).map((node) => [
        node,
        new KeyPair(`${name}-${node}-host-key`, { algorithm: "ed25519" }, { parent: this }),
      ]),
    );
    const instances = Object.fromEntries(
      Object.entries(nodes).map(([node, { address, pool }]) => [
        node,
        createInstance(
          `${name}-${node}`,
          {
            ...surroundings,
            node,
            address,
            hostKey: hostKeys[node] as KeyPair,
            groups: node === home ? groups.edge : groups.inner,
            flavor: flavorOf(poolOf(spec, pool), leases[pool ?? DEFAULT_POOL]),
          },
          made,
        ),
      ]),
    );
    this.publicAddress = createFloatingIp(
      name,
      { environment, spec, portId: (instances[home] as (typeof instances)[string]).sharedPort.id },
      // An address cannot lead to a port whose network no router knows, and no router leaves while it does.
      { ...made, dependsOn: [...privateNetwork.routed] },
    );

    const sshTo = (node: string, host: pulumi.Input<string>, proxy?: SshAccess): SshAccess => ({
      host,
      user: spec.user,
      privateKey: login.privateKeyOpenssh,
      hostKey: (hostKeys[node] as KeyPair).publicKeyOpenssh,
      ...(proxy && { proxy }),
    });
    const jump = sshTo(home, this.publicAddress);
    this.machines = Object.fromEntries(
      Object.entries(nodes).map(([node, nodeSpec]) => {
        const { instance } = instances[node] as (typeof instances)[string];
        const machine: Machine = {
          name: node,
          spec: nodeSpec,
          ssh: node === home ? jump : sshTo(node, nodeSpec.address, jump),
          instanceId: instance.id,
          resource: instance,
          ...(node === home && { publicAddress: this.publicAddress }),
        };
        return [node, machine];
      }),
    );
    this.privateKey = login.privateKeyOpenssh;
    this.sshConfig = renderConfig(args, home, this.publicAddress, hostKeys);
    this.registerOutputs({});
  }
}

/** How often a request is repeated whose connection broke. */
const CONNECTION_RETRIES = 5;

function poolOf(spec: OpenStackSpec, pool: string | undefined): NodePoolSpec {
  const found = spec.pools[pool ?? DEFAULT_POOL];
  if (found === undefined) throw new pulumi.RunError(`There is no pool ${pool ?? DEFAULT_POOL}.`);
  return found;
}

/** One lease for each pool that wants one and has nodes, for exactly as many instances. */
function createLeases(
  name: string,
  { environment, spec, nodes }: OpenStackMachinesArgs,
  parent: pulumi.Resource,
): Record<string, Lease> {
  const leases: Record<string, Lease> = {};
  for (const [pool, { flavor, lease }] of Object.entries(spec.pools)) {
    const amount = Object.values(nodes).filter((node) => (node.pool ?? DEFAULT_POOL) === pool).length;
    if (lease === undefined || amount === 0) continue;
    leases[pool] = new Lease(
      pool === DEFAULT_POOL ? `${name}-lease` : `${name}-${pool}-lease`,
      {
        cloud: spec.cloud,
        name: resourceNames.lease(environment, pool),
        flavor,
        amount,
        hours: lease.hours,
      },
      { parent },
    );
  }
  return leases;
}

function flavorOf(pool: NodePoolSpec, lease: Lease | undefined): InstanceArgs["flavor"] {
  if (lease !== undefined) return { reservedId: lease.flavorId };
  return pool.reservation === undefined ? { name: pool.flavor } : { reservedId: pool.reservation };
}

function keypairOf(
  name: string,
  { environment, spec }: OpenStackMachinesArgs,
  login: KeyPair,
  opts: pulumi.CustomResourceOptions,
): pulumi.Input<string> {
  if (spec.keypair !== undefined) return spec.keypair;
  return new openstack.compute.Keypair(
    `${name}-keypair`,
    { name: resourceNames.keypair(environment), publicKey: login.publicKeyOpenssh },
    opts,
  ).name;
}

function serverGroupOf(
  name: string,
  { environment, spec }: OpenStackMachinesArgs,
  opts: pulumi.CustomResourceOptions,
): Pick<InstanceSurroundings, "serverGroupId"> {
  if (spec.spread === "none") return {};
  const group = new openstack.compute.ServerGroup(
    `${name}-spread`,
    { name: resourceNames.serverGroup(environment), policies: [spec.spread] },
    opts,
  );
  return { serverGroupId: group.id };
}

function imageIdOf(
  spec: OpenStackSpec,
  lookup: pulumi.InvokeOutputOptions,
): Pick<InstanceSurroundings, "imageId"> {
  if (spec.bootVolume === undefined || isId(spec.image)) return {};
  return { imageId: openstack.images.getImageOutput({ name: spec.image, mostRecent: true }, lookup).id };
}

function renderConfig(
  { environment, spec, nodes }: OpenStackMachinesArgs,
  home: string,
  publicAddress: pulumi.Output<string>,
  hostKeys: Readonly<Record<string, KeyPair>>,
): pulumi.Output<string> {
  const names = Object.keys(nodes);
  return pulumi
    .all([publicAddress, pulumi.all(names.map((node) => (hostKeys[node] as KeyPair).publicKeyOpenssh))])
    .apply(([address, keys]) =>
      renderSshConfig(
        environment,
        names.map((node, index) => ({
          name: node,
          host: node === home ? address : (nodes[node] as OpenStackNodeSpec).address,
          user: spec.user,
          hostKey: keys[index] as string,
          ...(node !== home && { jump: home }),
        })),
      ),
    );
}
