import { listAll } from "./listing";
import { ApiError, type Session } from "./session";

/** What every network resource has. */
interface NetworkResource {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly project_id: string;
  /** Absent where the site has no tags for this kind. */
  readonly tags?: readonly string[];
}

export interface Network extends NetworkResource {
  readonly status: string;
  readonly shared: boolean;
  /** Absent when the site has no routers. */
  readonly "router:external"?: boolean;
  readonly subnets: readonly string[];
  readonly mtu?: number;
  readonly port_security_enabled?: boolean;
}

export interface Subnet extends NetworkResource {
  readonly network_id: string;
  readonly ip_version: 4 | 6;
  readonly cidr: string;
  readonly gateway_ip: string | null;
}

export interface FixedIp {
  readonly subnet_id: string;
  readonly ip_address: string;
}

export interface Port extends NetworkResource {
  readonly network_id: string;
  readonly status: string;
  /** Empty, `compute:<zone>`, `network:router_interface`, `network:dhcp`, ... */
  readonly device_owner: string;
  readonly device_id: string;
  readonly fixed_ips: readonly FixedIp[];
}

export interface Router extends NetworkResource {
  readonly status: string;
  readonly external_gateway_info: { readonly network_id: string } | null;
}

export interface SecurityGroupRule {
  readonly id: string;
  readonly security_group_id: string;
  readonly direction: "ingress" | "egress";
  readonly ethertype: string;
  /** `null`: any. */
  readonly protocol: string | null;
  readonly port_range_min: number | null;
  readonly port_range_max: number | null;
  readonly remote_ip_prefix: string | null;
  readonly remote_group_id: string | null;
}

export interface SecurityGroup extends NetworkResource {
  readonly security_group_rules: readonly SecurityGroupRule[];
}

export interface FloatingIp extends NetworkResource {
  readonly floating_ip_address: string;
  readonly floating_network_id: string;
  readonly port_id: string | null;
  readonly fixed_ip_address: string | null;
  readonly status: string;
}

/** Limit and use of one kind of resource; a limit of -1 means unlimited. */
export interface NetworkQuota {
  readonly limit: number;
  readonly used: number;
  readonly reserved: number;
}

/** By neutron's names: `network`, `subnet`, `port`, `router`, `floatingip`, `security_group`, `security_group_rule`. */
export type NetworkQuotas = Readonly<Record<string, NetworkQuota>>;

type Query = Readonly<Record<string, string>>;

/** Networks the project sees: its own, shared and external ones. */
export function listNetworks(session: Session, query: Query = {}): Promise<Network[]> {
  return list(session, "networks", query);
}

export function listSubnets(session: Session, query: Query = {}): Promise<Subnet[]> {
  return list(session, "subnets", query);
}

export function listPorts(session: Session, query: Query = {}): Promise<Port[]> {
  return list(session, "ports", query);
}

export function listRouters(session: Session, query: Query = {}): Promise<Router[]> {
  return list(session, "routers", query);
}

export function listSecurityGroups(session: Session, query: Query = {}): Promise<SecurityGroup[]> {
  return list(session, "security-groups", query);
}

export function listSecurityGroupRules(session: Session, query: Query = {}): Promise<SecurityGroupRule[]> {
  return list(session, "security-group-rules", query);
}

export function listFloatingIps(session: Session, query: Query = {}): Promise<FloatingIp[]> {
  return list(session, "floatingips", query);
}

export async function readNetworkQuotas(session: Session): Promise<NetworkQuotas> {
  const path = `/quotas/${session.projectId}/details.json`;
  return (await session.request<{ quota: NetworkQuotas }>("network", "GET", path)).quota;
}

/** How many addresses of a network are left; undefined where it is shown to administrators only, which is the rule. */
export async function readFreeAddresses(session: Session, network: string): Promise<number | undefined> {
  try {
    const found = await listAll<{ total_ips: number; used_ips: number }>(
      session,
      "network",
      "/network-ip-availabilities",
      "network_ip_availabilities",
      { query: { network_name: network } },
    );
    return found[0] === undefined ? undefined : found[0].total_ips - found[0].used_ips;
  } catch (error) {
    if (error instanceof ApiError && error.status >= 400 && error.status < 500) return undefined;
    throw error;
  }
}

function list<T>(session: Session, collection: string, query: Query): Promise<T[]> {
  return listAll<T>(session, "network", `/${collection}`, collection.replaceAll("-", "_"), { query });
}
