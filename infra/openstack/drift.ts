import { atOnce } from "./api/atOnce";
import { listKeypairs, listServerGroups, listServers, type Server } from "./api/compute";
import {
  listFloatingIps,
  listNetworks,
  listPorts,
  listRouters,
  listSecurityGroupRules,
  listSecurityGroups,
  listSubnets,
} from "./api/network";
import { isLive, listLeases } from "./api/reservation";
import type { Session } from "./api/session";
import { listVolumes } from "./api/volume";
import {
  associationId,
  type ExistingKind,
  type ExistingResource,
  type ExistingResources,
  nothingExists,
} from "./existing";

/** A resource of the state with its kind. */
export interface KnownResource extends ExistingResource {
  readonly kind: ExistingKind;
}

/** An instance of the state that does not run and never will. */
export interface FailedServer extends ExistingResource {
  /** Nova's own words. */
  readonly fault: string;
}

/** Where the cloud differs from the state. */
export interface Drift {
  /** Not in the cloud any more. */
  readonly missing: readonly KnownResource[];
  /** There, and not made whole or not changed to the end. */
  readonly unfinished: readonly KnownResource[];
  /** Instances in state ERROR. */
  readonly failed: readonly FailedServer[];
}

/** Ids there are in the cloud; of kinds that were not looked at, nothing. */
export type CloudIds = Readonly<Partial<Record<ExistingKind, ReadonlySet<string>>>>;

/**
 * Compares the state with the cloud: what was removed behind the engine's back (by hand, by the end of a lease), and which
 * instances failed. Reads only the kinds the state has.
 */
export async function findDrift(session: Session, existing: ExistingResources): Promise<Drift> {
  if (nothingExists(existing)) return { missing: [], unfinished: [], failed: [] };
  const has = (kind: ExistingKind) => existing.resources[kind].length > 0;
  const read = async <T>(
    kinds: ExistingKind | readonly ExistingKind[],
    list: () => Promise<T[]>,
  ): Promise<T[] | undefined> => ([kinds].flat().some(has) ? await list() : undefined);
  const found = await atOnce({
    servers: read("servers", () => listServers(session)),
    keypairs: read("keypairs", () => listKeypairs(session)),
    serverGroups: read("serverGroups", () => listServerGroups(session)),
    networks: read("networks", () => listNetworks(session)),
    subnets: read("subnets", () => listSubnets(session)),
    routers: read("routers", () => listRouters(session)),
    groups: read("securityGroups", () => listSecurityGroups(session)),
    rules: read("securityGroupRules", () => listSecurityGroupRules(session)),
    ports: read(["ports", "routerInterfaces"], () => listPorts(session)),
    ips: read(["floatingIps", "floatingIpAssociations"], () => listFloatingIps(session)),
    volumes: read("volumes", () => listVolumes(session)),
    leases: read("leases", () => listLeases(session)),
  });
  const keypairs = found.keypairs?.map(({ name }) => ({ id: name }));
  const attachments = found.ips?.map(({ id, port_id }) => ({ id: associationId(id, port_id) }));
  return compareWithCloud(
    existing,
    {
      ...ids("servers", found.servers),
      ...ids("keypairs", keypairs),
      ...ids("serverGroups", found.serverGroups),
      ...ids("networks", found.networks),
      ...ids("subnets", found.subnets),
      ...ids("routers", found.routers),
      ...ids("securityGroups", found.groups),
      ...ids("securityGroupRules", found.rules),
      ...ids("ports", found.ports),
      ...ids("routerInterfaces", found.ports),
      ...ids("floatingIps", found.ips),
      ...ids("floatingIpAssociations", attachments),
      ...ids("volumes", found.volumes),
      ...ids("leases", found.leases?.filter(isLive)),
    },
    found.servers ?? [],
  );
}

/** The decision alone. */
export function compareWithCloud(
  existing: ExistingResources,
  cloud: CloudIds,
  servers: readonly Server[],
): Drift {
  const known = (Object.keys(existing.resources) as ExistingKind[]).flatMap((kind) =>
    existing.resources[kind].map((resource): KnownResource => ({ ...resource, kind })),
  );
  const isThere = ({ kind, id }: KnownResource) => cloud[kind]?.has(id) ?? true;
  const failed = existing.resources.servers.flatMap((resource) => {
    const server = servers.find(({ id }) => id === resource.id);
    return server?.status === "ERROR"
      ? [{ ...resource, fault: server.fault?.message ?? "no reason given" }]
      : [];
  });
  return {
    missing: known.filter((resource) => !isThere(resource)),
    unfinished: known.filter((resource) => resource.unfinished !== undefined && isThere(resource)),
    failed,
  };
}

function ids(kind: ExistingKind, items: readonly { readonly id: string }[] | undefined): CloudIds {
  return items === undefined ? {} : { [kind]: new Set(items.map(({ id }) => id)) };
}
