import type { Keypair, Server, ServerGroup } from "./api/compute";
import type { FloatingIp, Network, Port, Router, SecurityGroup, Subnet } from "./api/network";
import type { Lease } from "./api/reservation";
import type { Volume } from "./api/volume";
import { DEFAULT_POOL, environmentMark, MARK_KEY, resourceNames } from "./spec";

/** Kinds of what can remain, in the order it has to be removed. */
export const REMAIN_KINDS = [
  "server",
  "volume",
  "floating IP",
  "router interface",
  "port",
  "subnet",
  "network",
  "router",
  "security group",
  "server group",
  "keypair",
  "lease",
] as const;

export type RemainKind = (typeof REMAIN_KINDS)[number];

/** One thing in the project that belongs to an environment. */
export interface Remain {
  readonly kind: RemainKind;
  /** What it is removed by; `<router>/<subnet>` for a router interface, the name for a keypair. */
  readonly id: string;
  readonly name: string;
  /** What it is, for people: a status, an address, where it hangs. */
  readonly detail: string;
  /** How it is known to be the environment's; `name`: nobody marked it, a killed run of ours or somebody else's program. */
  readonly foundBy: FoundBy;
}

/** The mark, the exact name, or that it hangs on something of the environment. */
export type FoundBy = "mark" | "name" | "place";

/** Parts of names that only the settings know. What bears the mark is found without them. */
export interface KnownNames {
  readonly nodes?: readonly string[];
  readonly pools?: readonly string[];
}

/** Everything of a project that could belong to an environment. */
export interface ProjectInventory {
  readonly projectId: string;
  readonly servers: readonly Server[];
  readonly serverGroups: readonly ServerGroup[];
  readonly keypairs: readonly Keypair[];
  readonly volumes: readonly Volume[];
  readonly floatingIps: readonly FloatingIp[];
  readonly ports: readonly Port[];
  readonly subnets: readonly Subnet[];
  /** With those of other projects that this one sees. */
  readonly networks: readonly Network[];
  readonly routers: readonly Router[];
  readonly securityGroups: readonly SecurityGroup[];
  readonly leases: readonly Lease[];
}

/** Ports of the network service itself; it removes them with what they serve. */
const SERVICE_PORTS = /^network:/;

/** Those of them that hold a subnet until the router lets go of it. */
const ROUTER_PORTS = /^network:(router_interface|ha_router_replicated_interface)/;

/**
 * What of a project belongs to the environment: what bears its mark, or exactly one of its names. Something with the mark of
 * another environment never does, whatever its name; names are compared as a whole (`x-a` is no part of `x-a-b`).
 * Ports on a network of the environment belong to it too: the network cannot go before them.
 */
export function selectRemains(
  inventory: ProjectInventory,
  environment: string,
  known: KnownNames = {},
): Remain[] {
  const names = namesOf(environment, known);
  const ofMark = (marks: readonly string[], name: string, exactNames: readonly string[]) =>
    foundBy(environment, marks, name, exactNames);
  const select = <T extends Marked>(items: readonly T[], exactNames: readonly string[]) =>
    keep(items, (item) => ofMark(marksOf(item), item.name, exactNames));
  const byName = <T extends { readonly name: string }>(items: readonly T[], exactNames: readonly string[]) =>
    keep(items, ({ name }) => (exactNames.includes(name) ? "name" : undefined));

  const networks = select(
    inventory.networks.filter(({ project_id }) => project_id === inventory.projectId),
    [resourceNames.network(environment)],
  );
  const networkIds = new Set(networks.map(({ item }) => item.id));
  const selectOnNetworks = <T extends Marked & { readonly network_id: string }>(
    items: readonly T[],
    exactNames: readonly string[],
  ) =>
    keep(items, (item) => {
      const marks = marksOf(item);
      const onOurs = marks.length === 0 && networkIds.has(item.network_id);
      return ofMark(marks, item.name, exactNames) ?? (onOurs ? "place" : undefined);
    });
  const subnets = selectOnNetworks(inventory.subnets, [resourceNames.subnet(environment)]);
  const subnetIds = new Set(subnets.map(({ item }) => item.id));
  const routers = select(inventory.routers, []);
  const routerIds = new Set(routers.map(({ item }) => item.id));
  const interfaces = inventory.ports.filter(
    ({ device_owner, device_id, fixed_ips }) =>
      ROUTER_PORTS.test(device_owner) &&
      (routerIds.has(device_id) || fixed_ips.some(({ subnet_id }) => subnetIds.has(subnet_id))),
  );
  const ports = selectOnNetworks(
    inventory.ports.filter(({ device_owner }) => !SERVICE_PORTS.test(device_owner)),
    names.ports,
  );
  const networkName = (id: string) => inventory.networks.find((network) => network.id === id)?.name ?? id;
  const describe = <T extends { readonly id: string; readonly name: string }>(
    kind: RemainKind,
    found: readonly Found<T>[],
    detail: (item: T) => string = () => "",
  ) =>
    found.map(({ item, foundBy }) => ({
      kind,
      id: item.id,
      name: item.name || item.id,
      detail: detail(item),
      foundBy,
    }));
  return [
    ...describe(
      "server",
      keep(inventory.servers, ({ metadata, name }) => ofMark(metadataMarks(metadata), name, names.instances)),
      ({ status }) => status,
    ),
    ...describe(
      "volume",
      keep(inventory.volumes, ({ metadata = {}, name }) =>
        ofMark(metadataMarks(metadata), name, names.bootVolumes),
      ),
      ({ size, status }) => `${size} GiB, ${status}`,
    ),
    ...describe(
      "floating IP",
      select(
        inventory.floatingIps.map((ip) => ({ ...ip, name: ip.floating_ip_address })),
        [],
      ),
      ({ port_id }) => (port_id === null ? "not in use" : "in use"),
    ),
    ...interfaces.flatMap(({ device_id, network_id, fixed_ips }) =>
      fixed_ips.map(
        ({ subnet_id, ip_address }): Remain => ({
          kind: "router interface",
          id: `${device_id}/${subnet_id}`,
          name: ip_address,
          detail: `on ${networkName(network_id)}`,
          foundBy: "place",
        }),
      ),
    ),
    ...describe("port", ports, (port) => `${addressesOf(port)} on ${networkName(port.network_id)}`),
    ...describe("subnet", subnets, ({ cidr }) => cidr),
    ...describe("network", networks),
    ...describe("router", routers),
    ...describe("security group", select(inventory.securityGroups, names.securityGroups)),
    ...describe(
      "server group",
      byName(inventory.serverGroups, [resourceNames.serverGroup(environment)]),
      ({ members }) => `${members.length} members`,
    ),
    ...describe(
      "keypair",
      byName(
        inventory.keypairs.map(({ name }) => ({ id: name, name })),
        [resourceNames.keypair(environment)],
      ),
    ),
    ...describe(
      "lease",
      byName(inventory.leases, names.leases),
      ({ status, end_date }) => `${status}, ends ${end_date}`,
    ),
  ];
}

/** What can bear a mark as tag or description. */
interface Marked {
  readonly name: string;
  readonly tags?: readonly string[];
  readonly description?: string;
}

interface Found<T> {
  readonly item: T;
  readonly foundBy: FoundBy;
}

function keep<T>(items: readonly T[], decide: (item: T) => FoundBy | undefined): Found<T>[] {
  return items.flatMap((item) => {
    const by = decide(item);
    return by === undefined ? [] : [{ item, foundBy: by }];
  });
}

function foundBy(
  environment: string,
  marks: readonly string[],
  name: string,
  exactNames: readonly string[],
): FoundBy | undefined {
  if (marks.length > 0) return marks.includes(environmentMark(environment)) ? "mark" : undefined;
  return exactNames.includes(name) ? "name" : undefined;
}

/** Marks of all environments an object bears. */
function marksOf(item: Marked): string[] {
  const words = [...(item.tags ?? []), ...(item.description ?? "").split(/[\s,;]+/)];
  return words.filter((word) => word.startsWith(`${MARK_KEY}=`));
}

function metadataMarks(metadata: Readonly<Record<string, string>>): string[] {
  const marked = metadata[MARK_KEY];
  return marked === undefined ? [] : [environmentMark(marked)];
}

function namesOf(environment: string, { nodes = [], pools = [] }: KnownNames) {
  return {
    instances: nodes.map((node) => resourceNames.instance(environment, node)),
    bootVolumes: nodes.map((node) => resourceNames.bootVolume(environment, node)),
    ports: nodes.flatMap((node) => [
      resourceNames.privatePort(environment, node),
      resourceNames.sharedPort(environment, node),
    ]),
    securityGroups: (["access", "nodes"] as const).map((part) =>
      resourceNames.securityGroup(environment, part),
    ),
    leases: [DEFAULT_POOL, ...pools].map((pool) => resourceNames.lease(environment, pool)),
  };
}

function addressesOf(port: Port): string {
  return port.fixed_ips.map(({ ip_address }) => ip_address).join(", ") || "no address";
}
