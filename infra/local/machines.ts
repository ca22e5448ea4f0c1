import * as pulumi from "@pulumi/pulumi";
import type { Machine, MachineSet, NodeSpec } from "../../components/contracts";
import { KeyPair } from "../../components/keys";
import { isDnsLabel } from "../../components/naming";
import { type Problem, ProblemsError } from "../../components/problems";
import { parseBytes, type Quantity } from "../../components/quantity";
import { renderSshConfig } from "../../components/sshConfig";
import { LocalMachine } from "./machine";
import { LocalNetwork } from "./network";
import { isMachineAddress, parseSubnet } from "./subnet";

/** A node of a local environment. */
export interface LocalNodeSpec extends NodeSpec {
  /** Memory limit of this machine, a quantity such as `3Gi`. @default the environment's `memory` */
  readonly memory?: Quantity;
}

export interface LocalMachinesArgs {
  /** Name of the environment, a DNS-1123 label; machines of different environments never meet. */
  readonly environment: string;
  /** IPv4 network used nowhere else on this host; the host takes its first address. */
  readonly cidr: string;
  /** Memory limit of a machine that sets none itself. */
  readonly memory: Quantity;
  /** The machines by name. */
  readonly nodes: Readonly<Record<string, LocalNodeSpec>>;
  /** Machine image folder: `rootfs/` and, optionally, a baked `containerd/`. Used by machines made from now on. */
  readonly imageDir: pulumi.Input<string>;
  /** Folder of bundles, seen by the machines read-only at `/opt/gourmetgram/bundles`. */
  readonly bundlesDir: pulumi.Input<string>;
}

/**
 * Machines on this Linux host, ready for SSH: a bridge, a login key, and per node a host key and a machine. All machines start
 * at the same time; a machine is an output once its SSH server answers. Each costs about 2 s, 10 MB of disk and 30 MB of memory
 * before use.
 *
 * ```ts
 * const local = new LocalMachines("local", {
 *   environment: "local", cidr: "10.87.0.0/24", memory: "3Gi", imageDir, bundlesDir,
 *   nodes: { node1: { role: "controlPlane", address: "10.87.0.11" } },
 * });
 * ```
 *
 * @throws ProblemsError with everything that is wrong with the arguments
 */
export class LocalMachines extends pulumi.ComponentResource implements MachineSet {
  readonly machines: Readonly<Record<string, Machine>>;
  /** Logs in as root. */
  readonly privateKey: pulumi.Output<string>;
  readonly sshConfig: pulumi.Output<string>;

  constructor(name: string, args: LocalMachinesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:infra:LocalMachines", name, {}, opts);
    const problems = checkLocalMachines(args);
    if (problems.length > 0) throw new ProblemsError(`the local machines of ${args.environment}`, problems);

    const network = new LocalNetwork(
      `${name}-network`,
      { environment: args.environment, cidr: args.cidr },
      { parent: this, deleteBeforeReplace: true },
    );
    const login = new KeyPair(`${name}-login`, { algorithm: "ed25519" }, { parent: this });
    this.machines = Object.fromEntries(
      Object.keys(args.nodes).map((node) => [
        node,
        createMachine({ name: `${name}-${node}`, node, args, network, login, parent: this }),
      ]),
    );
    this.privateKey = login.privateKeyOpenssh;
    this.sshConfig = pulumi
      .all(Object.values(this.machines).map(({ ssh }) => pulumi.output(ssh.hostKey)))
      .apply((hostKeys) =>
        renderSshConfig(
          args.environment,
          Object.entries(args.nodes).map(([node, { address }], index) => ({
            name: node,
            host: address,
            user: "root",
            hostKey: hostKeys[index] as string,
          })),
        ),
      );
    this.registerOutputs({});
  }
}

function createMachine(options: {
  readonly name: string;
  readonly node: string;
  readonly args: LocalMachinesArgs;
  readonly network: LocalNetwork;
  readonly login: KeyPair;
  readonly parent: pulumi.Resource;
}): Machine {
  const { name, node, args, network, login, parent } = options;
  const spec = args.nodes[node] as LocalNodeSpec;
  const hostKey = new KeyPair(`${name}-host-key`, { algorithm: "ed25519" }, { parent });
  const machine = new LocalMachine(
    name,
    {
      environment: args.environment,
      name: node,
      address: spec.address,
      // From the bridge's output, so that no machine starts before there is a bridge to plug it in.
      network: network.network,
      memory: spec.memory ?? args.memory,
      imageDir: args.imageDir,
      bundlesDir: args.bundlesDir,
      sshHostKey: hostKey.privateKeyOpenssh,
      authorizedKey: login.publicKeyOpenssh,
      // Its own name only: with the others' a new node would change every machine.
      hosts: { [node]: spec.address },
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
      privateKey: login.privateKeyOpenssh,
      hostKey: hostKey.publicKeyOpenssh,
    },
    instanceId: machine.instanceId,
    resource: machine,
  };
}

/** Everything wrong with the arguments that can be told without looking at the host. */
export function checkLocalMachines(
  args: Pick<LocalMachinesArgs, "environment" | "cidr" | "memory" | "nodes">,
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
    const memory = spec.memory ?? args.memory;
    if (parseBytes(memory) === undefined) {
      problems.push({
        path: spec.memory === undefined ? "memory" : `${path}.memory`,
        value: memory,
        problem: "is no quantity with a unit",
        allowed: "for example 2Gi or 1500Mi",
        next: "write a number and a unit",
      });
    }
  }
  return problems;
}
