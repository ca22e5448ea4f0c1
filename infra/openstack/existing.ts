/** Kinds of OpenStack resources an environment is made of, in the order they are made. */
export const EXISTING_KINDS = [
  "leases",
  "keypairs",
  "serverGroups",
  "networks",
  "subnets",
  "routers",
  "routerInterfaces",
  "securityGroups",
  "securityGroupRules",
  "ports",
  "floatingIps",
  "volumes",
  "servers",
] as const;

export type ExistingKind = (typeof EXISTING_KINDS)[number];

/** A resource that the Pulumi state holds. */
export interface ExistingResource {
  /** OpenStack's id; the name for keypairs, the port's id for router interfaces. */
  readonly id: string;
  /** Name in the graph, the last part of `urn`. */
  readonly name: string;
  readonly urn: string;
}

/** What the state of an environment says is in the cloud. */
export interface ExistingResources {
  readonly resources: Readonly<Record<ExistingKind, readonly ExistingResource[]>>;
  /** A killed run left operations of which nobody knows whether they happened. */
  readonly pendingOperations: boolean;
}

/** An environment that was never made. */
export const NOTHING_EXISTS: ExistingResources = {
  resources: Object.fromEntries(EXISTING_KINDS.map((kind) => [kind, []])) as unknown as Record<
    ExistingKind,
    readonly ExistingResource[]
  >,
  pendingOperations: false,
};

/** True when the state holds nothing in the cloud. */
export function nothingExists(existing: ExistingResources): boolean {
  return EXISTING_KINDS.every((kind) => existing.resources[kind].length === 0);
}

/** Ids of one kind. */
export function existingIds(existing: ExistingResources, kind: ExistingKind): ReadonlySet<string> {
  return new Set(existing.resources[kind].map(({ id }) => id));
}
