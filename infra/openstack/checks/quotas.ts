import type { ComputeLimits, Flavor } from "../api/compute";
import type { NetworkQuotas } from "../api/network";
import type { VolumeLimits } from "../api/volume";
import type { OpenStackNodeSpec, OpenStackSpec } from "../spec";
import { fail, type PreflightRow, pass } from "./row";

/** Things that are limited, by the words people know them by. */
export const QUOTA_NAMES = [
  "instances",
  "cores",
  "RAM (MiB)",
  "server groups",
  "keypairs",
  "networks",
  "subnets",
  "ports",
  "security groups",
  "security group rules",
  "floating IPs",
  "volumes",
  "volume space (GiB)",
] as const;

export type QuotaName = (typeof QUOTA_NAMES)[number];
export type Amounts = Readonly<Partial<Record<QuotaName, number>>>;

/** A limit of the project and what all of it uses; -1 means unlimited. */
export interface Quota {
  readonly limit: number;
  readonly used: number;
}

export type Quotas = Readonly<Partial<Record<QuotaName, Quota>>>;

/** Rules that neutron puts into a new group: everything may go out, IPv4 and IPv6. */
export const RULES_OF_NEW_GROUP = 2;

/** Ports the network service makes for itself on a new network with DHCP; they count. */
const DHCP_PORTS = 1;

/** What an environment uses when it is complete. Unknown flavors count nothing: another check names them. */
export function neededAmounts(
  infra: OpenStackSpec,
  nodes: Readonly<Record<string, OpenStackNodeSpec>>,
  publicPorts: readonly number[],
  flavorOf: (node: OpenStackNodeSpec) => Flavor | undefined,
): Amounts {
  const all = Object.values(nodes);
  const sum = (amount: (flavor: Flavor) => number) =>
    all.reduce((total, node) => {
      const flavor = flavorOf(node);
      return total + (flavor === undefined ? 0 : amount(flavor));
    }, 0);
  const ownNetwork = infra.privateNetwork.kind === "created";
  const routed = infra.privateNetwork.kind === "created" && infra.privateNetwork.router !== undefined;
  const rules =
    infra.securityGroups.kind === "created"
      ? 2 * RULES_OF_NEW_GROUP + infra.securityGroups.sources.length * (2 + publicPorts.length)
      : 0;
  return {
    instances: all.length,
    cores: sum(({ vcpus }) => vcpus),
    "RAM (MiB)": sum(({ ram }) => ram),
    "server groups": infra.spread === "none" ? 0 : 1,
    keypairs: infra.keypair === undefined ? 1 : 0,
    networks: ownNetwork ? 1 : 0,
    subnets: ownNetwork ? 1 : 0,
    ports: 2 * all.length + (ownNetwork ? DHCP_PORTS : 0) + (routed ? 1 : 0),
    "security groups": infra.securityGroups.kind === "created" ? 2 : 0,
    "security group rules": rules,
    "floating IPs": infra.floatingIp.kind === "new" ? 1 : 0,
    volumes: infra.bootVolume === undefined ? 0 : all.length,
    "volume space (GiB)": infra.bootVolume === undefined ? 0 : all.length * infra.bootVolume.size,
  };
}

/** One shape for the answers of three services. */
export function quotasOf(
  compute: ComputeLimits,
  network: NetworkQuotas,
  keypairs: number,
  volume: VolumeLimits | undefined,
): Quotas {
  const networkQuota = (name: string): Quota | undefined => {
    const quota = network[name];
    return quota && { limit: quota.limit, used: quota.used + quota.reserved };
  };
  const quotas: Partial<Record<QuotaName, Quota | undefined>> = {
    instances: { limit: compute.maxTotalInstances, used: compute.totalInstancesUsed },
    cores: { limit: compute.maxTotalCores, used: compute.totalCoresUsed },
    "RAM (MiB)": { limit: compute.maxTotalRAMSize, used: compute.totalRAMUsed },
    "server groups": { limit: compute.maxServerGroups, used: compute.totalServerGroupsUsed },
    keypairs: { limit: compute.maxTotalKeypairs, used: keypairs },
    networks: networkQuota("network"),
    subnets: networkQuota("subnet"),
    ports: networkQuota("port"),
    "security groups": networkQuota("security_group"),
    "security group rules": networkQuota("security_group_rule"),
    "floating IPs": networkQuota("floatingip"),
    ...(volume === undefined
      ? {}
      : {
          volumes: { limit: volume.maxTotalVolumes, used: volume.totalVolumesUsed },
          "volume space (GiB)": { limit: volume.maxTotalVolumeGigabytes, used: volume.totalGigabytesUsed },
        }),
  };
  return Object.fromEntries(Object.entries(quotas).filter(([, quota]) => quota !== undefined)) as Quotas;
}

/**
 * Compares what is still to be made with what is free. One row for all that is enough, one for each that is not.
 *
 * @param has what the environment has already; it is part of `used`
 */
export function checkQuotas(needed: Amounts, has: Amounts, quotas: Quotas): PreflightRow[] {
  const failures: PreflightRow[] = [];
  const enough: string[] = [];
  for (const name of QUOTA_NAMES) {
    const missing = Math.max(0, (needed[name] ?? 0) - (has[name] ?? 0));
    const quota = quotas[name];
    if (missing === 0 || quota === undefined) continue;
    if (quota.limit < 0) {
      enough.push(`${missing} ${name}`);
      continue;
    }
    const free = Math.max(0, quota.limit - quota.used);
    if (missing <= free) {
      enough.push(`${missing} of ${free} ${name}`);
      continue;
    }
    failures.push(
      fail(`quota of ${name}`, `${missing} needed, ${free} of ${quota.limit} free`, {
        path: `quota.${name}`,
        value: quota.limit,
        problem: `leaves ${free} ${name} (${quota.used} of ${quota.limit} are in use), ${missing} more are needed`,
        next: "remove what the project does not need, have fewer or smaller nodes, or ask the site for more",
      }),
    );
  }
  const rest = enough.length === 0 ? "nothing more is needed" : enough.join(", ");
  return failures.length > 0 && enough.length === 0 ? failures : [pass("quotas", rest), ...failures];
}

/** A server group takes only so many instances. */
export function checkGroupMembers(
  infra: OpenStackSpec,
  nodes: number,
  limits: ComputeLimits,
): PreflightRow | undefined {
  const most = limits.maxServerGroupMembers;
  if (infra.spread === "none" || most < 0 || nodes <= most) return undefined;
  return fail("server group", `${nodes} nodes, ${most} allowed`, {
    path: "infra.spread",
    value: infra.spread,
    problem: `puts all ${nodes} nodes into one server group, which takes ${most} in this project`,
    next: "set infra.spread to none, or have fewer nodes",
  });
}
