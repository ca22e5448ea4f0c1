import { nearest } from "../../../components/nearest";
import { overlap } from "../../local/subnet";
import type { Network, Port, Router, Subnet } from "../api/network";
import type { OpenStackNodeSpec, OpenStackSpec } from "../spec";
import { fail, type PreflightRow, pass } from "./row";

/** What the project sees of networks. Routers and ports of other projects are not shown to it. */
export interface NetworkFacts {
  readonly projectId: string;
  readonly networks: readonly Network[];
  readonly subnets: readonly Subnet[];
  readonly routers: readonly Router[];
  readonly ports: readonly Port[];
}

/** The network with a name, or the row that says why there is not exactly one. */
function oneNetwork(
  check: string,
  path: string,
  name: string,
  networks: readonly Network[],
): Network | PreflightRow {
  const named = networks.filter((network) => network.name === name || network.id === name);
  if (named[0] !== undefined && named.length === 1) return named[0];
  const names = networks.map((network) => network.name).filter((known) => known !== "");
  const meant = nearest(name, names);
  return fail(check, named.length === 0 ? `${name} does not exist` : `${named.length} of this name`, {
    path,
    value: name,
    problem:
      named.length === 0 ? "is no network this project sees" : `is the name of ${named.length} networks`,
    allowed: [...new Set(names)].sort().join(", ") || "none: the project sees no network",
    next: meant === undefined ? "choose one of them" : `did you mean "${meant}"?`,
  });
}

function isRow(found: Network | PreflightRow): found is PreflightRow {
  return "check" in found;
}

/** The network each node has a port on exists, has IPv4 addresses, and a router can lead the floating IP there. */
export function checkSharedNetwork(infra: OpenStackSpec, facts: NetworkFacts): PreflightRow {
  const check = "shared network";
  const path = "infra.sharedNetwork";
  const network = oneNetwork(check, path, infra.sharedNetwork, facts.networks);
  if (isRow(network)) return network;
  const bad = (found: string, problem: string, next: string) =>
    fail(check, found, { path, value: infra.sharedNetwork, problem, next });
  if (network["router:external"] === true && !network.shared) {
    return bad(
      "is the outside itself",
      "is an external network: floating IPs come from it and cannot lead to it",
      "name the network that instances get their first address on",
    );
  }
  const subnets = ipv4SubnetsOf(network, facts);
  if (subnets.length === 0) {
    return bad("no IPv4 subnet", "has no IPv4 subnet", "choose another network, or give it one");
  }
  if (subnets.every(({ gateway_ip }) => gateway_ip === null)) {
    return bad(
      "no gateway",
      "has no subnet with a gateway, so no router can lead a floating IP to it",
      "choose a network behind a router",
    );
  }
  const cidrs = subnets.map(({ cidr }) => cidr).join(", ");
  // The router of somebody else's network is not shown to this project; a gateway is all there is to see.
  if (network.project_id !== facts.projectId) return pass(check, `${network.name}, ${cidrs}`);
  const pool = infra.floatingIp.kind === "new" ? infra.floatingIp.pool : undefined;
  const outside = facts.networks.find(({ name, id }) => name === pool || id === pool)?.id;
  const leading = facts.routers.filter(({ external_gateway_info: gateway }) =>
    outside === undefined ? gateway !== null : gateway?.network_id === outside,
  );
  const routed = facts.ports.some(
    ({ device_id, network_id }) => network_id === network.id && leading.some(({ id }) => id === device_id),
  );
  return routed
    ? pass(check, `${network.name}, ${cidrs}, routed`)
    : bad(
        "no router",
        `has no router that leads to ${pool ?? "an external network"}`,
        `connect it: openstack router add subnet <router> ${subnets[0]?.name || subnets[0]?.id}`,
      );
}

/** A private network that exists: node addresses are in its subnet and free. One made here: its router exists. */
export function checkPrivateNetwork(
  infra: OpenStackSpec,
  nodes: Readonly<Record<string, OpenStackNodeSpec>>,
  facts: NetworkFacts,
  ownPorts: ReadonlySet<string>,
): PreflightRow {
  const check = "private network";
  if (infra.privateNetwork.kind === "created") {
    return checkRouter(check, infra.privateNetwork.router, infra.cidr, facts);
  }
  const { network: name, subnet: subnetName } = infra.privateNetwork;
  const network = oneNetwork(check, "infra.privateNetwork.network", name, facts.networks);
  if (isRow(network)) return network;
  const ofNetwork = ipv4SubnetsOf(network, facts);
  const named = ofNetwork.filter((subnet) => subnet.name === subnetName || subnet.id === subnetName);
  const [subnet] = named;
  if (subnet === undefined || named.length > 1) {
    return fail(check, `no subnet ${subnetName}`, {
      path: "infra.privateNetwork.subnet",
      value: subnetName,
      problem: `is ${named.length === 0 ? "no IPv4 subnet" : `the name of ${named.length} subnets`} of ${name}`,
      allowed: ofNetwork.map((known) => `${known.name || known.id} (${known.cidr})`).join(", ") || "none",
      next: "choose one of them",
    });
  }
  for (const [node, { address }] of Object.entries(nodes)) {
    const bad = (found: string, problem: string) =>
      fail(check, found, {
        path: `nodes.${node}.address`,
        value: address,
        problem,
        allowed: `a free address of ${subnet.cidr}`,
        next: "choose another address",
      });
    if (!overlap(subnet.cidr, `${address}/32`)) {
      return bad(`${subnet.cidr} without ${address}`, `is outside the subnet ${subnetName} (${subnet.cidr})`);
    }
    if (address === subnet.gateway_ip) {
      return bad(`${address} is the gateway`, `is the gateway of the subnet ${subnetName}`);
    }
    const holder = facts.ports.find(
      (port) =>
        port.network_id === network.id &&
        !ownPorts.has(port.id) &&
        port.fixed_ips.some(({ ip_address }) => ip_address === address),
    );
    if (holder !== undefined) {
      return bad(`${address} is taken`, `belongs to port ${holder.name || holder.id} already`);
    }
  }
  return pass(check, `${name}, ${subnet.cidr}, ${Object.keys(nodes).length} addresses free`);
}

function checkRouter(
  check: string,
  router: string | undefined,
  cidr: string,
  facts: NetworkFacts,
): PreflightRow {
  if (router === undefined) return pass(check, `made here, ${cidr}`);
  const found = facts.routers.filter(({ id, name }) => name === router || id === router);
  if (found.length === 1) return pass(check, `made here, ${cidr}, behind ${router}`);
  return fail(check, found.length === 0 ? `no router ${router}` : `${found.length} routers of this name`, {
    path: "infra.privateNetwork.router",
    value: router,
    problem: found.length === 0 ? "is no router of this project" : `is the name of ${found.length} routers`,
    allowed: facts.routers.map(({ name, id }) => name || id).join(", ") || "none: the project has no router",
    next: "choose one of them, or leave it out",
  });
}

/**
 * Networks that meet on a node must not overlap: its private one, the shared one, pods and Services. Traffic to an address in two of
 * them goes to the wrong one.
 *
 * @param inner networks inside the cluster by their setting: `cluster.podCidr`, `cluster.serviceCidr`
 */
export function checkOverlaps(
  infra: OpenStackSpec,
  inner: Readonly<Record<string, string>>,
  facts: NetworkFacts,
): PreflightRow {
  const check = "address ranges";
  const shared = facts.networks.find(
    ({ name, id }) => name === infra.sharedNetwork || id === infra.sharedNetwork,
  );
  const outer = shared === undefined ? [] : ipv4SubnetsOf(shared, facts);
  const ours = { "infra.cidr": infra.cidr, ...inner };
  for (const [path, cidr] of Object.entries(ours)) {
    const hit = outer.find((subnet) => overlap(cidr, subnet.cidr));
    if (hit !== undefined) {
      return fail(check, `${cidr} overlaps ${hit.cidr}`, {
        path,
        value: cidr,
        problem: `overlaps ${hit.cidr} of network ${infra.sharedNetwork}, which every node is on as well`,
        next: "choose another range, for example 192.168.1.0/24",
      });
    }
  }
  for (const [path, cidr] of Object.entries(inner)) {
    if (overlap(cidr, infra.cidr)) {
      return fail(check, `${cidr} overlaps ${infra.cidr}`, {
        path,
        value: cidr,
        problem: `overlaps infra.cidr ${infra.cidr}`,
        next: "choose another range",
      });
    }
  }
  return pass(check, [...Object.values(ours), ...outer.map(({ cidr }) => cidr)].join(", "));
}

function ipv4SubnetsOf(network: Network, { subnets }: NetworkFacts): Subnet[] {
  return subnets.filter(({ network_id, ip_version }) => network_id === network.id && ip_version === 4);
}
