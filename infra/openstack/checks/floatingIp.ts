import { nearest } from "../../../components/nearest";
import type { FloatingIp, Network } from "../api/network";
import type { OpenStackSpec } from "../spec";
import { fail, type PreflightRow, pass } from "./row";

/**
 * The address the world reaches: its pool exists, leads outside and has addresses, or the existing address is free.
 *
 * @param freeAddresses of the pool; undefined where the site does not show it
 * @param own ports and floating IPs of the environment itself, by id
 */
export function checkFloatingIp(
  infra: OpenStackSpec,
  networks: readonly Network[],
  floatingIps: readonly FloatingIp[],
  freeAddresses: number | undefined,
  own: { readonly ports: ReadonlySet<string>; readonly floatingIps: ReadonlySet<string> },
): PreflightRow {
  return infra.floatingIp.kind === "new"
    ? checkPool(infra.floatingIp.pool, networks, freeAddresses, own.floatingIps.size > 0)
    : checkAddress(infra.floatingIp.address, floatingIps, own.ports);
}

function checkPool(
  pool: string,
  networks: readonly Network[],
  freeAddresses: number | undefined,
  hasOne: boolean,
): PreflightRow {
  const check = "floating IP";
  const external = networks.filter((network) => network["router:external"] === true).map(({ name }) => name);
  const network = networks.find(({ name, id }) => name === pool || id === pool);
  const bad = (found: string, problem: string, next: string) =>
    fail(check, found, {
      path: "infra.floatingIp.pool",
      value: pool,
      problem,
      allowed: external.join(", ") || "none: the project sees no external network",
      next,
    });
  if (network === undefined) {
    const meant = nearest(pool, external);
    return bad(
      `${pool} does not exist`,
      "is no network this project sees",
      meant === undefined ? "choose one of them" : `did you mean "${meant}"?`,
    );
  }
  if (network["router:external"] !== true) {
    return bad(
      "leads nowhere",
      "is no external network, so no floating IPs come from it",
      "choose one of them",
    );
  }
  if (hasOne) return pass(check, `from ${pool}, there already`);
  if (freeAddresses === undefined) return pass(check, `from ${pool}`);
  return freeAddresses > 0
    ? pass(check, `from ${pool}, ${freeAddresses} addresses free`)
    : bad(
        "no address free",
        "has no free address",
        "try later, or use an address the project has already (infra.floatingIp.address)",
      );
}

function checkAddress(
  address: string,
  floatingIps: readonly FloatingIp[],
  ownPorts: ReadonlySet<string>,
): PreflightRow {
  const check = "floating IP";
  const free = floatingIps.filter(({ port_id }) => port_id === null || ownPorts.has(port_id));
  const found = floatingIps.find(({ floating_ip_address }) => floating_ip_address === address);
  const bad = (text: string, problem: string, next: string) =>
    fail(check, text, {
      path: "infra.floatingIp.address",
      value: address,
      problem,
      allowed:
        free.map((ip) => ip.floating_ip_address).join(", ") || "none: the project has no unused address",
      next,
    });
  if (found === undefined) {
    return bad(
      `${address} does not exist`,
      "is no floating IP of this project",
      "choose one of them, or a pool",
    );
  }
  if (found.port_id !== null && !ownPorts.has(found.port_id)) {
    return bad(
      `${address} is in use`,
      `leads to port ${found.port_id} (${found.fixed_ip_address}) already`,
      `choose another one, or detach it: openstack floating ip unset --port ${address}`,
    );
  }
  return pass(check, `${address}, ${found.port_id === null ? "unused" : "ours already"}`);
}
