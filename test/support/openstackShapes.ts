import type { Flavor, Server } from "../../infra/openstack/api/compute";
import type {
  FloatingIp,
  Network,
  Port,
  Router,
  SecurityGroup,
  SecurityGroupRule,
  Subnet,
} from "../../infra/openstack/api/network";
import type { Lease } from "../../infra/openstack/api/reservation";
import type { ProjectInventory } from "../../infra/openstack/remains";
import type { OpenStackSpec } from "../../infra/openstack/spec";

/** Things of OpenStack as its services (Zed) describe them, each with one change. */

export const PROJECT = "project-1";

const common = (id: string) => ({ id, name: id, description: "", project_id: PROJECT, tags: [] as string[] });

export const aServer = (id: string, change: Partial<Server> = {}): Server => ({
  id,
  name: id,
  status: "ACTIVE",
  metadata: {},
  flavor: { id: "medium" },
  ...change,
});

export const aFlavor = (name: string, vcpus: number, ram: number, disk = 40): Flavor => ({
  id: `id-${name}`,
  name,
  vcpus,
  ram,
  disk,
});

export const aNetwork = (id: string, change: Partial<Network> = {}): Network => ({
  ...common(id),
  status: "ACTIVE",
  shared: false,
  "router:external": false,
  subnets: [],
  ...change,
});

export const aSubnet = (id: string, network: string, cidr: string, change: Partial<Subnet> = {}): Subnet => ({
  ...common(id),
  network_id: network,
  ip_version: 4,
  cidr,
  gateway_ip: null,
  ...change,
});

export const aPort = (id: string, network: string, address: string, change: Partial<Port> = {}): Port => ({
  ...common(id),
  network_id: network,
  status: "ACTIVE",
  device_owner: "compute:nova",
  device_id: "",
  fixed_ips: [{ subnet_id: `subnet-of-${network}`, ip_address: address }],
  ...change,
});

export const aRouter = (id: string, change: Partial<Router> = {}): Router => ({
  ...common(id),
  status: "ACTIVE",
  external_gateway_info: { network_id: "public" },
  ...change,
});

export const aRule = (change: Partial<SecurityGroupRule> = {}): SecurityGroupRule => ({
  id: "rule",
  security_group_id: "group",
  direction: "ingress",
  ethertype: "IPv4",
  protocol: "tcp",
  port_range_min: null,
  port_range_max: null,
  remote_ip_prefix: "0.0.0.0/0",
  remote_group_id: null,
  ...change,
});

export const aGroup = (
  name: string,
  rules: readonly SecurityGroupRule[],
  change: Partial<SecurityGroup> = {},
): SecurityGroup => ({ ...common(name), security_group_rules: rules, ...change });

export const aFloatingIp = (id: string, address: string, change: Partial<FloatingIp> = {}): FloatingIp => ({
  ...common(id),
  floating_ip_address: address,
  floating_network_id: "public",
  port_id: null,
  fixed_ip_address: null,
  status: "DOWN",
  ...change,
});

/** As blazar 18 gives a lease of `flavor:instance`: the flavor asked for is inside a JSON text. */
export const aLease = (id: string, change: Partial<Lease> = {}, flavor = "medium", amount = 3): Lease => ({
  id,
  name: "lease-x",
  status: "ACTIVE",
  start_date: "2026-11-28T12:00:00.000000",
  end_date: "2026-11-28T18:00:00.000000",
  created_at: "2026-11-28 12:00:10",
  reservations: [
    {
      id: `reservation-${id}`,
      resource_type: "flavor:instance",
      status: "active",
      amount,
      flavor_id: `reservation-${id}`,
      resource_properties: JSON.stringify({ id: flavor, name: "m1.medium" }),
    },
  ],
  ...change,
});

export const anInventory = (change: Partial<ProjectInventory> = {}): ProjectInventory => ({
  projectId: PROJECT,
  servers: [],
  serverGroups: [],
  keypairs: [],
  volumes: [],
  floatingIps: [],
  ports: [],
  subnets: [],
  networks: [],
  routers: [],
  securityGroups: [],
  leases: [],
  ...change,
});

export const aSpec = (change: Partial<OpenStackSpec> = {}): OpenStackSpec => ({
  cloud: "openstack",
  cidr: "192.168.1.0/24",
  privateNetwork: { kind: "created" },
  sharedNetwork: "sharednet1",
  floatingIp: { kind: "new", pool: "public" },
  securityGroups: { kind: "created", sources: ["0.0.0.0/0"] },
  image: "CC-Ubuntu24.04",
  user: "cc",
  spread: "none",
  pools: { default: { flavor: "m1.medium" } },
  ...change,
});

export const threeNodes = {
  node1: { role: "controlPlane", address: "192.168.1.11" },
  node2: { role: "worker", address: "192.168.1.12" },
  node3: { role: "worker", address: "192.168.1.13" },
} as const;
