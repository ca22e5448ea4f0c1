import { existsSync, readFileSync, statfsSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { dirname } from "node:path";
import type { Problem } from "../../components/problems";
import { formatBytes, parseBytes } from "../../components/quantity";
import { readMachineFolder } from "./machineFolder";
import { environmentNames, machineNames } from "./naming";
import { overlap } from "./subnet";

/** What the check needs to know of an environment. */
export interface LocalHostSpec {
  readonly name: string;
  readonly infra: {
    readonly cidr: string;
    /** Memory limit of a machine that sets none itself, a quantity. */
    readonly memory: string;
  };
  readonly nodes: Readonly<Record<string, { readonly memory?: string }>>;
}

const GIB = 2 ** 30;

/** A machine of the cluster uses about this much once everything runs; below it the kernel ends pods. */
const MEMORY_IN_USE = 1.25 * GIB;
/** kubeadm refuses control planes below 1700 MB; workers with less cannot hold the platform's pods. */
const LEAST_MEMORY = 1.7e9;
/** Written by one environment until everything runs, and what kubelet keeps free (`evictionHard` 1 GiB). */
const DISK_NEEDED = 4 * GIB;

/** File systems an overlay cannot write to, or where a database's fsync means nothing, by their `statfs` type. */
const UNFIT_FILE_SYSTEMS: Readonly<Record<number, string>> = {
  2035054128: "overlay",
  26985: "nfs",
  1702057286: "fuse",
  16914839: "9p",
  19780: "vfat",
};

/** The environment's network is one that this host uses for something else. */
export function subnetInUse(spec: LocalHostSpec, root: string): Problem[] {
  const { bridge } = environmentNames(root, spec.name);
  const used = [...interfaceNetworks(), ...routedNetworks(readFileSync("/proc/net/route", "utf8"))];
  const clash = used.find((other) => other.device !== bridge && overlap(other.cidr, spec.infra.cidr));
  if (clash === undefined) return [];
  return [
    {
      path: "infra.cidr",
      value: spec.infra.cidr,
      problem: `overlaps ${clash.cidr}, which this host reaches through ${clash.device}`,
      allowed: "an IPv4 network that this host uses nowhere else",
      next: "set infra.cidr, and the addresses of the nodes, to another network such as 10.99.0.0/24",
    },
  ];
}

interface UsedNetwork {
  readonly cidr: string;
  readonly device: string;
}

function interfaceNetworks(): UsedNetwork[] {
  return Object.entries(networkInterfaces()).flatMap(([device, addresses]) =>
    (addresses ?? []).flatMap(({ family, cidr }) =>
      family === "IPv4" && cidr !== null ? [{ device, cidr }] : [],
    ),
  );
}

/** Networks of `/proc/net/route`, without default routes. Addresses there are hexadecimal in the host's byte order. */
export function routedNetworks(table: string): UsedNetwork[] {
  return table
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, destination, , , , , , mask]) => destination !== undefined && mask !== "00000000")
    .map(([device = "", destination = "", , , , , , mask = ""]) => {
      const octets = [6, 4, 2, 0].map((at) => Number.parseInt(destination.slice(at, at + 2), 16));
      const prefix = [...Number.parseInt(mask, 16).toString(2)].filter((bit) => bit === "1").length;
      return { device, cidr: `${octets.join(".")}/${prefix}` };
    });
}

/** Limits that are too small or too large, and too little memory left for machines that do not run yet. */
export function memoryTooSmall(spec: LocalHostSpec, root: string): Problem[] {
  const total = meminfo("MemTotal");
  const problems: Problem[] = [];
  let starting = 0;
  for (const [node, settings] of Object.entries(spec.nodes)) {
    const text = settings.memory ?? spec.infra.memory;
    const path = settings.memory === undefined ? "infra.memory" : `nodes.${node}.memory`;
    const limit = parseBytes(text);
    // Wrong quantities are the settings check's to report.
    if (limit === undefined) continue;
    if (limit < LEAST_MEMORY) {
      problems.push({
        path,
        value: text,
        problem: `is too little for the node ${node}`,
        allowed: "1.7G or more",
        next: "raise it",
      });
    }
    if (limit > total) {
      problems.push({
        path,
        value: text,
        problem: `is more than this host has (${formatBytes(total)})`,
        next: "lower it",
      });
    }
    if (readMachineFolder(machineNames(root, spec.name, node).folder)?.init === undefined) starting += 1;
  }
  const available = meminfo("MemAvailable");
  if (available < starting * MEMORY_IN_USE) {
    problems.push({
      path: "host.memory",
      value: formatBytes(available),
      problem: `is what this host has left; ${starting} machines use ${formatBytes(starting * MEMORY_IN_USE)}`,
      next: "end other programs or environments, or have fewer nodes",
    });
  }
  return problems;
}

/** A data folder where machines cannot live, or too little space in it. */
export function diskUnfit(spec: LocalHostSpec, root: string): Problem[] {
  const folder = nearestExisting(root);
  const problems: Problem[] = [];
  if (/[:,\\\n]/.test(root)) {
    problems.push({
      path: "GOURMETGRAM_DATA",
      value: root,
      problem: "has a character that overlay mounts cannot take",
      allowed: "paths without ':', ',' and '\\'",
      next: "set GOURMETGRAM_DATA to another folder",
    });
  }
  const { type, bavail, bsize } = statfsSync(folder);
  const unfit = UNFIT_FILE_SYSTEMS[type];
  if (unfit !== undefined) {
    problems.push({
      path: "GOURMETGRAM_DATA",
      value: root,
      problem: `is on ${unfit}, where machines cannot keep their files`,
      allowed: "a local file system: ext4, xfs, btrfs",
      next: "set GOURMETGRAM_DATA to a folder on a local disk (a volume, when this is a container)",
    });
  }
  const exists = existsSync(environmentNames(root, spec.name).folder);
  if (!exists && bavail * bsize < DISK_NEEDED) {
    problems.push({
      path: "host.disk",
      value: formatBytes(bavail * bsize),
      problem: `is what is free below ${folder}; an environment needs ${formatBytes(DISK_NEEDED)}`,
      next: "free space there, or set GOURMETGRAM_DATA to a folder on a larger disk",
    });
  }
  return problems;
}

function meminfo(key: string): number {
  const line = readFileSync("/proc/meminfo", "utf8").match(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m"));
  return Number(line?.[1] ?? 0) * 1024;
}

/** The folder itself, or the nearest one above it that exists. */
export function nearestExisting(folder: string): string {
  return existsSync(folder) ? folder : nearestExisting(dirname(folder));
}
