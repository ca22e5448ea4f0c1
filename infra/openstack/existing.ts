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
  "floatingIpAssociations",
  "volumes",
  "servers",
] as const;

export type ExistingKind = (typeof EXISTING_KINDS)[number];

/** A resource that the Pulumi state holds. */
export interface ExistingResource {
  /** OpenStack's id; the name for keypairs, the port's id for router interfaces, see `associationId`. */
  readonly id: string;
  /** Name in the graph, the last part of `urn`. */
  readonly name: string;
  readonly urn: string;
  /** Its last operation failed half way: it was not made whole, or is not what the state says. @default it is whole */
  readonly unfinished?: "creation" | "change";
}

/** A floating IP that leads to a port has no id of its own in OpenStack. */
export function associationId(floatingIp: string, port: string | null): string {
  return `${floatingIp}/${port ?? ""}`;
}

/** What the state of an environment says is in the cloud. */
export interface ExistingResources {
  readonly resources: Readonly<Record<ExistingKind, readonly ExistingResource[]>>;
  /** A killed run left operations of which nobody knows whether they happened. */
  readonly pendingOperations: boolean;
  /** Where it is; undefined when nothing of it tells. */
  readonly place?: { readonly project: string; readonly region?: string };
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

/** Ids of one kind; `whole`: without what was not made to its end. */
export function existingIds(
  existing: ExistingResources,
  kind: ExistingKind,
  which: "all" | "whole" = "all",
): ReadonlySet<string> {
  return new Set(
    existing.resources[kind]
      .filter(({ unfinished }) => which === "all" || unfinished !== "creation")
      .map(({ id }) => id),
  );
}
