import * as pulumi from "@pulumi/pulumi";
import type { Machine } from "../../components/contracts";

export interface BundleCopyArgs {
  /** The machine that gets the bundle; it must be dialled directly. */
  readonly machine: Machine;
  /** Folder of the bundle on this host. */
  readonly folder: string;
  /** Names the bundle's version. */
  readonly key: string;
}

/**
 * The bundle on a machine, over SSH: only files that are not there already, each verified by its checksum. A machine whose image
 * has the bundle gets nothing.
 *
 * Waits for: the machine answering SSH. Costs: the bundle's size once over the connection, and on the machine's disk.
 */
export class BundleCopy extends pulumi.CustomResource {
  /** Folder on the machine that holds it. */
  declare readonly path: pulumi.Output<string>;

  constructor(name: string, args: BundleCopyArgs, opts?: pulumi.CustomResourceOptions) {
    const { ssh, instanceId } = args.machine;
    super(
      "gourmetgram:cluster:BundleCopy",
      name,
      {
        host: ssh.host,
        port: ssh.port ?? 22,
        user: ssh.user,
        privateKey: pulumi.secret(ssh.privateKey),
        hostKey: ssh.hostKey,
        instanceId,
        folder: args.folder,
        key: args.key,
        path: undefined,
      },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["privateKey"] }),
    );
  }
}
