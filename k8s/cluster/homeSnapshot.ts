import * as pulumi from "@pulumi/pulumi";
import type { Machine } from "../../components/contracts";

export interface HomeSnapshotArgs {
  /** The first control plane; it must be dialled directly. */
  readonly machine: Machine;
  /** Changes when, and only when, the cluster is another one; a snapshot of another cluster is never restored. */
  readonly clusterId: pulumi.Input<string>;
}

/**
 * What the first control plane holds, taken along when its machine is made anew: etcd's data and the volumes kept on it. Its
 * replacement stops the old machine's pods, takes the data to this host, and hands it to the new machine, whose node script restores it.
 *
 * Not taken when the whole environment is destroyed. Waits for: the machine answering SSH. Costs: disk on this host while it lasts.
 */
export class HomeSnapshot extends pulumi.CustomResource {
  constructor(name: string, args: HomeSnapshotArgs, opts?: pulumi.CustomResourceOptions) {
    const { ssh, instanceId } = args.machine;
    super(
      "gourmetgram:cluster:HomeSnapshot",
      name,
      {
        host: ssh.host,
        port: ssh.port ?? 22,
        user: ssh.user,
        privateKey: pulumi.secret(ssh.privateKey),
        hostKey: ssh.hostKey,
        instanceId,
        clusterId: args.clusterId,
        restored: undefined,
      },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["privateKey"] }),
    );
  }
}
