import * as pulumi from "@pulumi/pulumi";
import type { Machine, MachineSet, SshAccess } from "../../components/contracts";
import { homeNode } from "../../components/homeNode";
import { ProblemsError } from "../../components/problems";
import { Password } from "../../components/random";
import { RemoteStep } from "../../components/remoteStep";
import { readSource } from "../../components/sourceFile";
import { renderSshConfig } from "../../components/sshConfig";
import { checkPlaces, hostOf, jumpOf } from "./places";
import type { HostsNodeSpec, HostsSpec } from "./spec";

export interface HostsMachinesArgs {
  /** Name of the environment, a DNS-1123 label; a machine belongs to one environment. */
  readonly environment: string;
  readonly spec: HostsSpec;
  /** The machines by node name. Shape: plain. */
  readonly nodes: Readonly<Record<string, HostsNodeSpec>>;
}

/**
 * Machines that exist already, over SSH: per node one step that checks the machine, writes down how it is, and takes it for this
 * environment. When the step goes, the machine is given back as it was: everything of Kubernetes on it ends there, which is why
 * all that is in the cluster is `deletedWith` that step. All machines are taken at the same time.
 *
 * Waits for: nothing but SSH. Costs: nothing; the machines are yours.
 * ```ts
 * new HostsMachines("machines", {
 *   environment: "lab", spec: { cidr: "192.168.1.0/24", user: "cc", privateKey },
 *   nodes: { node1: { role: "controlPlane", address: "192.168.1.11", port: 22, hostKey: "ssh-ed25519 AAAA" } },
 * });
 * ```
 *
 * @throws ProblemsError with everything that is wrong with the arguments
 */
export class HostsMachines extends pulumi.ComponentResource implements MachineSet {
  readonly machines: Readonly<Record<string, Machine>>;
  readonly privateKey: pulumi.Output<string>;
  readonly sshConfig: pulumi.Output<string>;

  constructor(name: string, args: HostsMachinesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:infra:HostsMachines", name, {}, opts);
    const problems = checkPlaces(args);
    if (problems.length > 0) throw new ProblemsError(`the machines of ${args.environment}`, problems);

    const { environment, spec, nodes } = args;
    // Tells two environments of one name apart, and this one from a former one whose state was lost.
    const identity = new Password(`${name}-identity`, { length: 20 }, { parent: this });
    const home = homeNode(nodes);
    this.machines = Object.fromEntries(
      Object.entries(nodes).map(([node, nodeSpec]) => {
        const ssh = sshTo(node, args);
        const step = takeMachine(`${name}-${node}`, { node, args, ssh, identity, parent: this });
        const isElsewhere = nodeSpec.host !== undefined && nodeSpec.host !== nodeSpec.address;
        const machine: Machine = {
          name: node,
          spec: nodeSpec,
          ssh,
          // No secret, though the plugin may think so of what a step with secret files says.
          instanceId: pulumi.unsecret(step.result),
          resource: step.command,
          ...(node === home && isElsewhere && { publicAddress: nodeSpec.host }),
        };
        return [node, machine];
      }),
    );
    this.privateKey = pulumi.secret(spec.privateKey);
    this.sshConfig = pulumi.output(renderConfig(environment, spec, nodes));
    this.registerOutputs({});
  }
}

function sshTo(node: string, args: HostsMachinesArgs): SshAccess {
  const { spec, nodes } = args;
  const { port, hostKey, ...place } = nodes[node] as HostsNodeSpec;
  const jump = jumpOf(spec, node);
  return {
    host: hostOf(place),
    port,
    user: spec.user,
    privateKey: pulumi.secret(spec.privateKey),
    hostKey,
    ...(jump !== undefined && { proxy: sshTo(jump, args) }),
  };
}

function takeMachine(
  name: string,
  options: {
    readonly node: string;
    readonly args: HostsMachinesArgs;
    readonly ssh: SshAccess;
    readonly identity: Password;
    readonly parent: pulumi.Resource;
  },
): RemoteStep {
  const { node, args, ssh, identity, parent } = options;
  const spec = args.nodes[node] as HostsNodeSpec;
  return new RemoteStep(
    name,
    {
      ssh,
      step: "host",
      script: "infra/hosts/scripts/host.sh",
      environment: {
        NODE: node,
        ENVIRONMENT: args.environment,
        // It opens nothing; shown, a preview tells which machine is whose.
        IDENTITY: pulumi.unsecret(identity.result),
      },
      files: { "/run/gourmetgram/check-host.sh": { content: readSource("infra/hosts/scripts/check.sh") } },
      // A machine that was installed anew knows nothing of a mark, and its answer is another one.
      rerun: "always",
      runOnDelete: true,
      // Another place is another machine: the old one is given back first. Not the host key: a machine that was installed anew has
      // another one, and there is nobody left there to give anything back.
      triggers: [`${hostOf(spec)}:${spec.port}`, spec.address],
    },
    { parent },
  );
}

function renderConfig(
  environment: string,
  spec: HostsSpec,
  nodes: Readonly<Record<string, HostsNodeSpec>>,
): string {
  return renderSshConfig(
    environment,
    Object.entries(nodes).map(([node, { port, hostKey, ...place }]) => {
      const jump = jumpOf(spec, node);
      return {
        name: node,
        host: hostOf(place),
        port,
        user: spec.user,
        hostKey,
        ...(jump !== undefined && { jump }),
      };
    }),
  );
}
