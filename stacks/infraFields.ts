import type { NodeRole, Taint } from "../components/contracts";
import { DEFAULT_POOL, SPREADS } from "../infra/openstack/spec";
import { HOSTS_DEFAULTS, LEASE_DEFAULTS, OPENSTACK_DEFAULTS } from "./defaults";
import {
  byteQuantity,
  type Draft,
  type Field,
  flag,
  integer,
  list,
  object,
  oneOf,
  optional,
  type ReadContext,
  record,
  secret,
  text,
  union,
  withDefault,
} from "./fields";
import { INFRA_KINDS, type InfraKind, type LocalInfraSpec } from "./spec";
import {
  addressProblem,
  hostProblem,
  labelKey,
  labelValue,
  network,
  nodeName,
  notEmpty,
  privateNetwork,
} from "./textFields";

/** The settings below `infra`. */
export function infraField(local: LocalInfraSpec) {
  return union(
    {
      local: {
        cidr: withDefault(privateNetwork(16, 24), local.cidr),
        memory: withDefault(byteQuantity("1Gi"), local.memory),
      },
      openstack: openStackFields(),
      hosts: {
        cidr: withDefault(network(8, 30), HOSTS_DEFAULTS.cidr),
        user: withDefault(notEmpty("the login of all machines"), HOSTS_DEFAULTS.user),
        privateKey: secret(),
        jumpNode: optional(nodeName()),
      },
    } satisfies Record<InfraKind, unknown>,
    local.kind,
  );
}

function openStackFields() {
  const defaults = OPENSTACK_DEFAULTS;
  const name = (what: string) => notEmpty(`the name of ${what}`);
  return {
    cloud: withDefault(name("an entry of clouds.yaml"), defaults.cloud),
    cidr: withDefault(privateNetwork(16, 27), defaults.cidr),
    privateNetwork: union(
      {
        created: { router: optional(name("an existing router")) },
        existing: { network: name("an existing network"), subnet: name("a subnet of it") },
      },
      "created",
    ),
    sharedNetwork: withDefault(name("the network that floating IPs lead to"), defaults.sharedNetwork),
    floatingIp: union(
      {
        new: { pool: withDefault(name("an external network"), defaults.pool) },
        existing: {
          address: text({ problem: addressProblem, allowed: "a floating IP the project has already" }),
        },
      },
      "new",
    ),
    securityGroups: union(
      {
        created: { sources: withDefault(list(network(0, 32)), [...defaults.sources]) },
        existing: { names: list(name("an existing security group")) },
      },
      "created",
    ),
    image: withDefault(notEmpty("the name or id of an image"), defaults.image),
    user: withDefault(name("the image's login"), defaults.user),
    keypair: optional(name("an existing keypair")),
    bootVolume: optional(
      object({
        size: integer({ min: 10, max: 16384 }),
        type: optional(name("a volume type")),
        discard: withDefault(flag(), false),
      }),
    ),
    spread: withDefault(oneOf(SPREADS), defaults.spread),
    // A pool of that name with nothing set is the default one.
    pools: poolsField(),
  };
}

function poolsField(): Field<Record<string, Draft<ReturnType<typeof poolFields>>>> {
  const pools = record(nodeName(), object(poolFields()));
  return (value, path, context) => pools(value ?? { [DEFAULT_POOL]: {} }, path, context);
}

function poolFields() {
  return {
    flavor: withDefault(notEmpty("the name or id of a flavor"), OPENSTACK_DEFAULTS.flavor),
    lease: optional(
      object({
        hours: withDefault(integer({ min: 1, max: 24 * 90 }), LEASE_DEFAULTS.hours),
        minimumMinutes: withDefault(integer({ min: 0, max: 7 * 24 * 60 }), LEASE_DEFAULTS.minimumMinutes),
      }),
    ),
    reservation: optional(notEmpty("the id of a reserved flavor")),
    labels: optional(labels()),
    taints: optional(taints()),
  };
}

/** The settings of one node: what every node has, and what its kind of machine adds. */
export function nodeFields(kind: InfraKind) {
  return {
    role: withDefault(oneOf<NodeRole>(["controlPlane", "worker"]), "worker"),
    address: text({ problem: addressProblem, allowed: "an IPv4 address inside infra.cidr" }),
    ...MACHINE_FIELDS[kind](),
    labels: optional(labels()),
    taints: optional(taints()),
  };
}

const MACHINE_FIELDS = {
  local: () => ({ memory: optional(byteQuantity("1Gi")) }),
  openstack: () => ({ pool: optional(nodeName()) }),
  hosts: () => ({
    host: optional(
      text({ problem: hostProblem, allowed: "a DNS name or an IP address, without scheme and port" }),
    ),
    port: withDefault(integer({ min: 1, max: 65535 }), HOSTS_DEFAULTS.port),
    hostKey: text({
      problem: (value) =>
        /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]+=*$/.test(value)
          ? undefined
          : "is no SSH host key",
      allowed: "type and key as in known_hosts, for example ssh-ed25519 AAAA...",
      next: "run: ssh-keyscan -t ed25519 <host>, compare it with the machine's own, and put it here without the host",
    }),
  }),
} satisfies Record<InfraKind, unknown>;

function labels() {
  return record(labelKey(), labelValue());
}

function taints() {
  return list(
    object({
      key: labelKey(),
      value: optional(labelValue()),
      effect: oneOf<Taint["effect"]>(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    }),
  );
}

/** The kind of machines the raw settings name, for reading the nodes; a wrong kind has its own problem. */
export function kindOf(raw: unknown, fallback: InfraKind): InfraKind {
  const kind = typeof raw === "object" && raw !== null ? (raw as { kind?: unknown }).kind : undefined;
  return INFRA_KINDS.find((known) => known === kind) ?? fallback;
}

/** Settings while problems are still being collected. */
export interface InfraDrafts {
  readonly kind?: InfraKind;
  readonly pools?: Readonly<
    Record<string, { readonly lease?: object | undefined; readonly reservation?: string | undefined }>
  >;
  readonly jumpNode?: string;
}
type NodeDrafts = Readonly<Record<string, { readonly pool?: string }>>;

/** What only the kinds of machines know of each other's settings. */
export function checkInfra(infra: InfraDrafts | undefined, nodes: NodeDrafts, context: ReadContext): void {
  checkPools(infra, nodes, context);
  if (infra?.jumpNode !== undefined && nodes[infra.jumpNode] === undefined) {
    context.problems.add({
      path: "infra.jumpNode",
      value: infra.jumpNode,
      problem: "is no node",
      allowed: Object.keys(nodes).join(", "),
      next: `name one of the nodes in ${context.file}`,
    });
  }
}

function checkPools(infra: InfraDrafts | undefined, nodes: NodeDrafts, context: ReadContext): void {
  if (infra?.kind !== "openstack" || infra.pools === undefined) return;
  const { pools } = infra;
  for (const [pool, settings] of Object.entries(pools)) {
    if (settings.lease !== undefined && settings.reservation !== undefined) {
      context.problems.add({
        path: `infra.pools.${pool}.reservation`,
        value: settings.reservation,
        problem: "is set beside lease",
        allowed: "a lease that the environment makes, or the reservation of one that exists",
        next: `remove one of the two in ${context.file}`,
      });
    }
  }
  for (const [node, { pool }] of Object.entries(nodes)) {
    if (pools[pool ?? DEFAULT_POOL] === undefined) {
      context.problems.add({
        path: `nodes.${node}.pool`,
        value: pool ?? DEFAULT_POOL,
        problem: "is no pool",
        allowed: Object.keys(pools).join(", "),
        next: `name one of them in ${context.file}, or add it below infra.pools`,
      });
    }
  }
}

interface Described {
  readonly pool?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
}

/** Nodes with what their pool says of them; the node's own word counts more. */
export function withPools<Node extends Described>(
  nodes: Readonly<Record<string, Node>>,
  pools: Readonly<Record<string, Described | undefined>>,
): Record<string, Node> {
  return Object.fromEntries(
    Object.entries(nodes).map(([name, node]) => {
      const pool = pools[node.pool ?? DEFAULT_POOL];
      const labels = { ...pool?.labels, ...node.labels };
      const own = node.taints ?? [];
      const taints = [
        ...(pool?.taints ?? []).filter(({ key, effect }) =>
          own.every((taint) => taint.key !== key || taint.effect !== effect),
        ),
        ...own,
      ];
      return [
        name,
        {
          ...node,
          ...(Object.keys(labels).length > 0 && { labels }),
          ...(taints.length > 0 && { taints }),
        },
      ];
    }),
  );
}
