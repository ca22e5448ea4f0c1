import * as pulumi from "@pulumi/pulumi";

export interface LocalNetworkArgs {
  /** Name of the environment, a DNS-1123 label. */
  readonly environment: pulumi.Input<string>;
  /** IPv4 network in use nowhere else on this host, for example `10.87.0.0/24`; the host takes its first address. */
  readonly cidr: pulumi.Input<string>;
}

/** The bridge that connects an environment's local machines with each other and with this host. */
export class LocalNetwork extends pulumi.CustomResource {
  /** Interface name of the bridge. */
  declare readonly bridge: pulumi.Output<string>;
  /** The host's address on it. */
  declare readonly gateway: pulumi.Output<string>;
  /** Canonical form of the argument. */
  declare readonly network: pulumi.Output<string>;

  constructor(name: string, args: LocalNetworkArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:local:Network",
      name,
      { ...args, bridge: undefined, gateway: undefined, network: undefined, folder: undefined },
      opts,
    );
  }
}
