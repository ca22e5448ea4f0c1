import * as pulumi from "@pulumi/pulumi";

export interface LeaseArgs {
  /** Entry of clouds.yaml. */
  readonly cloud: pulumi.Input<string>;
  /** Unique in the project: a usable lease of this name is taken over. */
  readonly name: pulumi.Input<string>;
  /** Name or id of the flavor that is reserved. */
  readonly flavor: pulumi.Input<string>;
  /** Number of instances. */
  readonly amount: pulumi.Input<number>;
  /** Length from its start, hours. Raised: extended in place. */
  readonly hours: pulumi.Input<number>;
}

/** Compute time reserved in advance (Blazar `flavor:instance`); an output is there once the lease is ACTIVE. */
export class Lease extends pulumi.CustomResource {
  declare readonly leaseId: pulumi.Output<string>;
  declare readonly reservationId: pulumi.Output<string>;
  /** Flavor that stands for the reservation: the one to make instances with. */
  declare readonly flavorId: pulumi.Output<string>;
  /** UTC, ISO 8601. */
  declare readonly startsAt: pulumi.Output<string>;
  declare readonly endsAt: pulumi.Output<string>;
  declare readonly status: pulumi.Output<string>;

  constructor(name: string, args: LeaseArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:openstack:Lease",
      name,
      {
        ...args,
        leaseId: undefined,
        reservationId: undefined,
        flavorId: undefined,
        startsAt: undefined,
        endsAt: undefined,
        status: undefined,
      },
      opts,
    );
  }
}
