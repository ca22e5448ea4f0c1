import type { NodeRole } from "../../components/contracts";
import { BUNDLE_PORT } from "../../components/homeNode";
import type { Problem } from "../../components/problems";
import { formatBytes } from "../../components/quantity";
import { hostOf, placePath } from "./places";
import type { HostsNodeSpec } from "./spec";

/** What `scripts/check.sh` found on a machine. */
export interface HostFacts {
  /** Seconds its clock was ahead of this host's when it answered. */
  readonly skewSeconds: number;
  /** As `uname -s` says. */
  readonly system: string;
  /** Its first process. */
  readonly init: string;
  /** Whether the login is root or becomes root by sudo without a password. */
  readonly root: boolean;
  /** Differs between machines that run at the same time. */
  readonly machine: string;
  readonly distribution: string;
  readonly apt: boolean;
  /** Programs that are missing and that the node script installs where there is apt-get. */
  readonly installable: readonly string[];
  /** Programs that are missing and that nobody installs. */
  readonly missing: readonly string[];
  /** IPv4 addresses of all its interfaces. */
  readonly addresses: readonly string[];
  /** All of its memory, bytes. */
  readonly memory: number;
  /** Memory that can be had now, bytes. */
  readonly available: number;
  /** What is swapped out, bytes. */
  readonly swapped: number;
  /** Free bytes of each file system that a node fills, by the path that is on it. */
  readonly disks: Readonly<Record<string, number>>;
  /** Kernel features that are certainly missing. */
  readonly lacks: readonly string[];
  /** Of the ports asked for, those somebody listens on, and the program's name where it could be seen. */
  readonly ports: Readonly<Record<number, string>>;
  /** Environment that has taken it. @default none has */
  readonly owner?: string;
  /** Traces of a Kubernetes: files and units. */
  readonly kubernetes: readonly string[];
  /** Ports of the home node, of those asked for, that it does not reach. */
  readonly blocked: readonly number[];
}

/**
 * Reads what the script printed.
 *
 * @param arrival when its first line arrived, seconds since 1970 on this host
 * @returns `undefined` when the answer is not complete
 */
export function parseFacts(text: string, arrival: number): HostFacts | undefined {
  const lines = text.trimEnd().split("\n");
  if (lines.at(-1) !== "done") return undefined;
  const values = (key: string) =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  const value = (key: string) => values(key)[0] ?? "";
  const bytes = (key: string) => Number(value(key)) * 1024;
  const pairs = (key: string) =>
    values(key).map((entry): [string, string] => {
      const gap = entry.indexOf(" ");
      return [entry.slice(0, gap), entry.slice(gap + 1)];
    });
  const owner = value("owner");
  return {
    skewSeconds: Number(value("clock")) - arrival,
    system: value("system"),
    init: value("init"),
    root: value("root") === "yes",
    machine: value("machine"),
    distribution: value("distribution"),
    apt: value("apt") === "yes",
    installable: values("installable"),
    missing: values("missing"),
    addresses: values("address"),
    memory: bytes("memory"),
    available: bytes("available"),
    swapped: bytes("swapped"),
    disks: Object.fromEntries(pairs("disk").map(([path, kib]) => [path, Number(kib) * 1024])),
    lacks: values("lacks"),
    ports: Object.fromEntries(pairs("port")),
    ...(owner !== "" && { owner }),
    kubernetes: values("kubernetes"),
    blocked: values("blocked").map(Number),
  };
}

/** The machine that facts are about, and what it is to become. */
export interface CheckedNode {
  readonly name: string;
  readonly spec: HostsNodeSpec;
  /** Login of all machines. */
  readonly user: string;
  /** Name of the environment. */
  readonly environment: string;
  /** Name of the node that everything else hangs on. */
  readonly home?: string;
  /** The other nodes take the bundle from it. @default they do not */
  readonly handsOutBundle?: boolean;
}

/** Least memory of a machine, bytes: kubeadm's own bar for a control plane. */
const LEAST_MEMORY: Readonly<Record<NodeRole, number>> = { controlPlane: 1.7e9, worker: 1e9 };

/** Bundle, images and what pods write. */
const LEAST_DISK = 10e9;

/** Certificates made here are valid from now on; a clock that is behind does not take them. */
const MOST_SKEW_SECONDS = 60;

/** Ports of Kubernetes on a machine, by role. */
const KUBERNETES_PORTS: Readonly<Record<NodeRole, readonly number[]>> = {
  controlPlane: [6443, 10250, 2379, 2380],
  worker: [10250],
};

/** Ports of the home node that the others must reach: one that somebody listens on, and one that will be. */
export const PEER_PORTS: readonly number[] = [22, 6443];

/** What hands the bundle to the others, on the home node: see k8s/cluster/scripts/bundle-server.sh. */
const BUNDLE_SERVER = { port: BUNDLE_PORT, programs: ["python3"] } as const;

/** Ports that have to be free on a machine. */
export function portsOf(node: CheckedNode, publicPorts: readonly number[]): number[] {
  return [
    ...KUBERNETES_PORTS[node.spec.role],
    ...(node.handsOutBundle ? [BUNDLE_SERVER.port] : []),
    ...(node.name === node.home ? publicPorts : []),
  ];
}

/** Programs that a machine needs besides those that every node needs. */
export function programsOf(node: CheckedNode): readonly string[] {
  return node.handsOutBundle ? BUNDLE_SERVER.programs : [];
}

/** One thing that is wrong with a machine, continuing "<its host> ...". */
interface Finding {
  readonly problem: string;
  readonly next: string;
  readonly allowed?: string;
  /** It is about the node's address. @default about the machine */
  readonly ofAddress?: true;
}

type Check = (node: CheckedNode, facts: HostFacts) => readonly Finding[];

/** Everything that keeps the machine from becoming the node. */
export function hostProblems(node: CheckedNode, facts: HostFacts): Problem[] {
  const system = checkSystem(node, facts);
  // On another system nothing else was looked at.
  const findings = system.length > 0 ? system : CHECKS.flatMap((check) => check(node, facts));
  const { name, spec } = node;
  return findings.map(({ ofAddress, ...finding }) => ({
    path: ofAddress ? `nodes.${name}.address` : placePath(name, spec),
    value: ofAddress ? spec.address : hostOf(spec),
    ...finding,
  }));
}

function checkSystem(_: CheckedNode, { system, init }: HostFacts): Finding[] {
  const next = "use a Debian or Ubuntu with systemd";
  if (system !== "Linux") return [{ problem: `runs ${system}, not Linux`, next }];
  return init === "systemd" ? [] : [{ problem: `runs ${init} as its first process, not systemd`, next }];
}

const checkRoot: Check = ({ user }, { root }) =>
  root
    ? []
    : [
        {
          problem: `lets ${user} in, but not become root by sudo without a password`,
          next: `on it: echo '${user} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/${user}`,
        },
      ];

const checkPrograms: Check = (_, { apt, distribution, installable, missing }) => {
  const lacking = [...missing, ...(apt ? [] : installable)];
  if (lacking.length === 0) return [];
  return [
    {
      problem: `lacks ${lacking.join(", ")}${apt ? "" : `, and ${distribution} has no apt-get to install them by`}`,
      next: `install them on it${apt ? "" : ", or use a Debian or Ubuntu"}`,
    },
  ];
};

const checkAddress: Check = ({ spec }, { addresses }) =>
  addresses.includes(spec.address)
    ? []
    : [
        {
          ofAddress: true,
          problem: `is on no interface of the machine at ${hostOf(spec)}`,
          allowed: addresses.filter((address) => !address.startsWith("127.")).join(", "),
          next: "set the address that the other nodes reach it at, or correct its host",
        },
      ];

const checkOwner: Check = ({ environment }, { owner, kubernetes }) => {
  if (owner === environment) return [];
  if (owner !== undefined) {
    return [
      {
        problem: `belongs to the environment ${owner}`,
        next: "destroy that environment, or give the machine back by hand, with all that is on it: sudo bash /etc/gourmetgram/give-back.sh",
      },
    ];
  }
  if (kubernetes.length === 0) return [];
  return [
    {
      problem: `is a Kubernetes node that this environment did not make: ${kubernetes.join(", ")}`,
      next: "take it out of its cluster and run kubeadm reset on it (for k3s, RKE2 or k0s their uninstaller), or use another machine",
    },
  ];
};

const checkMemory: Check = ({ spec: { role } }, { memory }) =>
  memory >= LEAST_MEMORY[role]
    ? []
    : [
        {
          problem: `has ${formatBytes(memory)} of memory, too little for a ${role === "worker" ? "worker" : "control plane"}`,
          allowed: `at least ${LEAST_MEMORY[role] / 1e9} GB`,
          next: "use a larger machine",
        },
      ];

const checkSwap: Check = (_, { swapped, available }) =>
  swapped <= available
    ? []
    : [
        {
          problem: `has ${formatBytes(swapped)} swapped out and ${formatBytes(available)} of free memory, so that its swap cannot be switched off`,
          next: "end programs on it until it fits, then: sudo swapoff -a",
        },
      ];

const checkKernel: Check = (_, { lacks }) =>
  lacks.map((feature) => ({
    problem: `has a kernel without ${FEATURES[feature] ?? feature}`,
    next: `boot it with a kernel that has the module ${feature}; on Ubuntu: apt-get install linux-modules-extra-$(uname -r)`,
  }));

const FEATURES: Readonly<Record<string, string>> = {
  overlay: "overlay file systems",
  vxlan: "vxlan tunnels",
  br_netfilter: "bridge netfilter",
};

const checkClock: Check = (_, { skewSeconds }) =>
  Math.abs(skewSeconds) < MOST_SKEW_SECONDS
    ? []
    : [
        {
          problem: `has a clock that is ${Math.round(Math.abs(skewSeconds))} s ${skewSeconds < 0 ? "behind" : "ahead of"} this host's`,
          allowed: `less than ${MOST_SKEW_SECONDS} s`,
          next: "set the one that is wrong: sudo timedatectl set-ntp true",
        },
      ];

const checkPeer: Check = ({ name, home }, { blocked }) =>
  blocked.length === 0
    ? []
    : [
        {
          problem: `does not reach ${home} at its address, TCP ${[...blocked].sort((a, b) => a - b).join(", ")}`,
          next: `let the nodes reach each other, UDP 8472 too: look at networks and firewalls between ${name} and ${home}`,
        },
      ];

const checkDisk: Check = (_, { owner, disks }) =>
  // On a machine that is taken already, what fills it counts for whoever has it.
  owner !== undefined
    ? []
    : Object.entries(disks)
        .filter(([, free]) => free < LEAST_DISK)
        .map(([path, free]) => ({
          problem: `has ${formatBytes(free)} of free disk below ${path}`,
          allowed: `at least ${LEAST_DISK / 1e9} GB`,
          next: `free some; what takes it: sudo du -xh --max-depth=2 ${path} | sort -h | tail`,
        }));

const checkPorts: Check = (_, { owner, kubernetes, ports }) =>
  // A Kubernetes has them, ours or another one, of which enough is said.
  owner !== undefined || kubernetes.length > 0
    ? []
    : Object.entries(ports).map(([port, program]) => ({
        problem: `has the port ${port} in use${program === "" ? "" : ` by ${program}`}`,
        next: `stop what listens there: sudo ss -ltnp 'sport = :${port}'`,
      }));

const CHECKS: readonly Check[] = [
  checkRoot,
  checkPrograms,
  checkAddress,
  checkOwner,
  checkMemory,
  checkSwap,
  checkKernel,
  checkClock,
  checkPeer,
  checkDisk,
  checkPorts,
];

/** Two nodes that are one machine, which only the machine itself can tell when it has several names. */
export function sameMachineProblems(
  nodes: readonly CheckedNode[],
  facts: Readonly<Record<string, HostFacts>>,
): Problem[] {
  const owners = new Map<string, string>();
  return nodes.flatMap((node) => {
    const machine = facts[node.name]?.machine ?? "";
    const owner = owners.get(machine);
    owners.set(machine, owner ?? node.name);
    if (machine === "" || owner === undefined) return [];
    return [
      {
        path: placePath(node.name, node.spec),
        value: hostOf(node.spec),
        problem: `is the machine of ${owner} too`,
        next: "give each node a machine of its own",
      },
    ];
  });
}
