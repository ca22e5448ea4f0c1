import * as pulumi from "@pulumi/pulumi";
import type { Machine, NodeSpec } from "../../components/contracts";
import { KeyPair } from "../../components/keys";
import { isDnsLabel } from "../../components/naming";
import { type Problem, ProblemsError } from "../../components/problems";
import { parseBytes } from "../../components/quantity";
import { LocalMachine } from "./machine";
import { LocalNetwork } from "./network";
import { isMachineAddress, parseSubnet } from "./subnet";

/** A node of a local environment. */
export interface LocalNodeSpec extends NodeSpec {
  /** Memory limit, a quantity such as `3Gi`. */
  readonly memory: string;
}

export interface LocalMachinesArgs {
  /** Name of the environment, a DNS-1123 label; machines of different environments never meet. */
  readonly environment: string;
  /** IPv4 network used nowhere else on this host; the host takes its first address. */
  readonly cidr: string;
  /** The machines by name. */
  readonly nodes: Readonly<Record<string, LocalNodeSpec>>;
  /** Machine image folder: `rootfs/` and, optionally, a baked `containerd/`. */
  readonly imageDir: pulumi.Input<string>;
  /** Bundle folder, seen by the machines at `/opt/gourmetgram/bundle`. */
  readonly bundleDir: pulumi.Input<string>;
  /** Key that may log in to all machines as root. */
  readonly sshKey: {
    /** authorized_keys format. */
    readonly publicKey: pulumi.Input<string>;
    /** OpenSSH format. A secret. */
    readonly privateKey: pulumi.Input<string>;
  };
}

/**
 * Machines on this Linux host, ready for SSH: a bridge, and per node a host key and a machine. All machines start at the same
 * time; a machine is an output once its SSH server answers. Costs about 2 s, 10 MB of disk and 40 MB of memory each before use.
 *
 * ```ts
 * const local = new LocalMachines("local", {
 *   environment: "local", cidr: "10.87.0.0/24", imageDir, bundleDir, sshKey,
 *   nodes: { node1: { role: "controlPlane", address: "10.87.0.11", memory: "3Gi" } },
 * });
 * ```
 *
 * @throws ProblemsError with everything that is wrong with the arguments
 */
export class LocalMachines extends pulumi.ComponentResource {
  readonly machines: Readonly<Record<string, Machine>>;

  constructor(name: string, args: LocalMachinesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:infra:LocalMachines", name, {}, opts);
    const problems = checkLocalMachines(args);
    if (problems.length > 0) throw new ProblemsError(`the local machines of ${args.environment}`, problems);

    const network = new LocalNetwork(
      `${name}-network`,
      { environment: args.environment, cidr: args.cidr },
      { parent: this, deleteBeforeReplace: true },
    );
    const hosts = Object.fromEntries(Object.entries(args.nodes).map(([node, spec]) => [node, spec.address]));
    this.machines = Object.fromEntries(
      Object.entries(args.nodes).map(([node, spec]) => [
        node,
        createMachine(`${name}-${node}`, node, spec, { ...args, hosts }, network, this),
      ]),
    );
    this.registerOutputs({});
  }
}

function createMachine(
  resourceName: string,
  node: string,
  spec: LocalNodeSpec,
  args: LocalMachinesArgs & { readonly hosts: Record<string, string> },
  network: LocalNetwork,
  parent: pulumi.Resource,
): Machine {
  const hostKey = new KeyPair(`${resourceName}-host-key`, { algorithm: "ed25519" }, { parent });
  const machine = new LocalMachine(
    resourceName,
    {
      environment: args.environment,
      name: node,
      address: spec.address,
      // From the bridge's output, so that no machine starts before there is a bridge to plug it in.
      network: network.network,
      memory: spec.memory,
      imageDir: args.imageDir,
      bundleDir: args.bundleDir,
      sshHostKey: hostKey.privateKeyOpenssh,
      authorizedKey: args.sshKey.publicKey,
      hosts: args.hosts,
    },
    // Name, address and folder are the machine's identity: old and new cannot exist side by side.
    { parent, deleteBeforeReplace: true },
  );
  return {
    name: node,
    spec,
    ssh: {
      host: spec.address,
      user: "root",
      privateKey: pulumi.secret(args.sshKey.privateKey),
      hostKey: hostKey.publicKeyOpenssh,
    },
    instanceId: machine.instanceId,
    resource: machine,
  };
}

/** Everything wrong with the arguments that can be told without looking at the host. */
export function checkLocalMachines(
  args: Pick<LocalMachinesArgs, "environment" | "cidr" | "nodes">,
): readonly Problem[] {
  const problems: Problem[] = [];
  if (!isDnsLabel(args.environment, 40)) {
    problems.push({
      path: "environment",
      value: args.environment,
      problem: "is no DNS-1123 label of at most 40 characters",
      next: "name the environment with lower-case letters, digits and '-'",
    });
  }
  try {
    parseSubnet(args.cidr);
  } catch (error) {
    problems.push({
      path: "cidr",
      value: args.cidr,
      problem: (error as Error).message,
      next: "choose a private network, for example 10.87.0.0/24",
    });
    return problems;
  }
  const owners = new Map<string, string>();
  for (const [node, spec] of Object.entries(args.nodes)) {
    const path = `nodes.${node}`;
    if (!isDnsLabel(node)) {
      problems.push({ path, value: node, problem: "is no DNS-1123 label", next: "rename the node" });
    }
    if (!isMachineAddress(args.cidr, spec.address)) {
      problems.push({
        path: `${path}.address`,
        value: spec.address,
        problem: `is no free address of ${args.cidr} (the first is the host's, the last the broadcast address)`,
        next: "choose an address inside the network",
      });
    }
    const owner = owners.get(spec.address);
    if (owner !== undefined) {
      problems.push({
        path: `${path}.address`,
        value: spec.address,
        problem: `is the address of ${owner} too`,
        next: "give each node its own address",
      });
    }
    owners.set(spec.address, node);
    if (parseBytes(spec.memory) === undefined) {
      problems.push({
        path: `${path}.memory`,
        value: spec.memory,
        problem: "is no quantity with a unit",
        allowed: "for example 2Gi or 1500Mi",
        next: "write a number and a unit",
      });
    }
  }
  return problems;
}
