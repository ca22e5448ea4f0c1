import * as pulumi from "@pulumi/pulumi";

export interface LocalMachineArgs {
  /** Name of the environment, a DNS-1123 label. */
  readonly environment: pulumi.Input<string>;
  /** Host name, a DNS-1123 label, unique in the environment. */
  readonly name: pulumi.Input<string>;
  /** IPv4 address inside `network`. */
  readonly address: pulumi.Input<string>;
  /** Network, CIDR, of a `LocalNetwork`. */
  readonly network: pulumi.Input<string>;
  /** Memory limit, a quantity such as `3Gi`. Changed in place. */
  readonly memory: pulumi.Input<string>;
  /**
   * Folder with `rootfs/` and `containerd/`, shared read-only by all machines. Used when the machine is made; a later change
   * does not touch existing machines.
   */
  readonly imageDir: pulumi.Input<string>;
  /** Folder of bundles, seen read-only at `/opt/gourmetgram/bundles`. Another folder restarts the machine. */
  readonly bundlesDir: pulumi.Input<string>;
  /** Private SSH host key, OpenSSH or PEM. A secret. Changed in place. */
  readonly sshHostKey: pulumi.Input<string>;
  /** Public key that may log in as root, authorized_keys format. Changed in place. */
  readonly authorizedKey: pulumi.Input<string>;
  /** Names and addresses for `/etc/hosts`. Changed in place. */
  readonly hosts: pulumi.Input<Record<string, pulumi.Input<string>>>;
}

/**
 * One machine on this host: systemd in its own namespaces over a shared read-only root, reachable by SSH. It outlives the run
 * that made it; when it is found stopped (the host was rebooted) the next `up` starts it with its data.
 */
export class LocalMachine extends pulumi.CustomResource {
  /** New at each creation. */
  declare readonly instanceId: pulumi.Output<string>;
  /** Folder on the host that holds everything of the machine. */
  declare readonly folder: pulumi.Output<string>;

  constructor(name: string, args: LocalMachineArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:local:Machine",
      name,
      {
        ...args,
        sshHostKey: pulumi.secret(args.sshHostKey),
        instanceId: undefined,
        folder: undefined,
        running: undefined,
      },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["sshHostKey"] }),
    );
  }
}
