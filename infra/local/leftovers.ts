import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../components/sourceFile";
import {
  ALIAS_PREFIX,
  BRIDGE_PREFIX,
  CGROUP_PREFIX,
  environmentNames,
  machinesRoot,
  SCRIPT_PATH,
  VETH_PREFIX,
} from "./naming";

/** One thing on this host that carries an environment's name. */
export interface Leftover {
  readonly kind: "process" | "mount" | "interface" | "cgroup" | "netns" | "file";
  /** Process number, mount point, interface name, or path. */
  readonly name: string;
  /** What it is, for people: a command line, an interface's alias. */
  readonly detail: string;
}

/**
 * Everything local machines left on this host: of one environment, or, without a name, of all. While an environment is up
 * this is what it consists of; after `destroy` an empty list is the only pass. Reads only.
 *
 * @param root folder of all machines
 */
export function findLeftovers(environment?: string, root: string = machinesRoot()): Leftover[] {
  const names = environment === undefined ? undefined : environmentNames(root, environment);
  return [
    ...processes(names?.cgroupPrefix ?? CGROUP_PREFIX),
    ...mounts(names?.folder ?? root),
    ...interfaces(names),
    ...cgroups(names?.cgroupPrefix ?? CGROUP_PREFIX),
    ...namedNetworkNamespaces(environment),
    ...files(root, names?.folder),
  ];
}

/**
 * Removes what an interrupted run of this checkout left of an environment that the engine no longer knows. Nothing of a stack
 * that still has machines in its state may be handed here. Does nothing when there is nothing.
 *
 * @throws Error when the environment belongs to another checkout, or something cannot be removed
 */
export function removeLeftovers(environment: string, root: string = machinesRoot()): void {
  const names = environmentNames(root, environment);
  if (!existsSync(names.folder)) return;
  const result = spawnSync(join(projectRoot(), "infra/local/scripts/network.sh"), ["delete"], {
    env: {
      PATH: SCRIPT_PATH,
      LC_ALL: "C",
      GG_ENVIRONMENT_DIR: names.folder,
      GG_OWNER_STACK: environment,
      GG_OWNER_PROJECT: realpathSync(projectRoot()),
      GG_BRIDGE: names.bridge,
      GG_ALIAS: names.alias,
    },
    encoding: "utf8",
  });
  if (result.status !== 0)
    throw new Error(result.stderr.trim() || `network.sh delete ended with ${result.status}`);
}

/** A machine's processes are found by their control groups: what it starts cannot leave them. */
function processes(cgroupPrefix: string): Leftover[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => readText(`/proc/${pid}/cgroup`).includes(`/${cgroupPrefix}`))
    .map((pid) => ({
      kind: "process",
      name: pid,
      detail:
        readText(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim() || readText(`/proc/${pid}/comm`).trim(),
    }));
}

function mounts(folder: string): Leftover[] {
  return readText("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(" "))
    .filter(([, , , root = "", point = ""]) => below(point, folder) || below(root, folder))
    .map((fields) => ({
      kind: "mount",
      name: fields[4] ?? "",
      detail: fields.slice(fields.indexOf("-") + 1).join(" "),
    }));
}

function interfaces(names: { folder: string; bridge: string; alias: string } | undefined): Leftover[] {
  const all = readdirSync("/sys/class/net").map((name) => ({
    name,
    alias: readText(`/sys/class/net/${name}/ifalias`).trim(),
    bridge: existsSync(`/sys/class/net/${name}/master`)
      ? (readText(`/sys/class/net/${name}/master/uevent`).match(/^INTERFACE=(.*)$/m)?.[1] ?? "")
      : "",
  }));
  return all
    .filter(({ name, alias, bridge }) =>
      names === undefined
        ? name.startsWith(VETH_PREFIX) || (name.startsWith(BRIDGE_PREFIX) && alias.startsWith(ALIAS_PREFIX))
        : alias === names.alias || bridge === names.bridge,
    )
    .map(({ name, alias, bridge }) => ({
      kind: "interface",
      name,
      detail: alias || (bridge === "" ? "cable" : `cable into ${bridge}`),
    }));
}

function cgroups(prefix: string): Leftover[] {
  const points = readText("/proc/self/mountinfo")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
  return points
    .flatMap((point) => foldersNamed(point, prefix))
    .map((path) => ({ kind: "cgroup", name: path, detail: "" }));
}

/** Paths below `folder` whose last part starts with `prefix`; what is inside those is not listed. */
function foldersNamed(folder: string, prefix: string): string[] {
  let entries: import("node:fs").Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    // Control groups come and go while we look.
    return [];
  }
  return entries
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.name.startsWith(prefix) ? [path] : foldersNamed(path, prefix);
    });
}

/** Our network namespaces have no names and end with their processes; one that carries our name was made by hand. */
function namedNetworkNamespaces(environment: string | undefined): Leftover[] {
  const wanted = `${CGROUP_PREFIX}${environment ?? ""}`;
  return (existsSync("/run/netns") ? readdirSync("/run/netns") : [])
    .filter((name) => name.startsWith(wanted))
    .map((name) => ({ kind: "netns", name, detail: "" }));
}

/** The environment's folder, or the folder of each environment. */
function files(root: string, folder: string | undefined): Leftover[] {
  const folders =
    folder === undefined
      ? existsSync(root)
        ? readdirSync(root).map((name) => join(root, name))
        : []
      : [folder];
  return folders
    .filter((path) => existsSync(path))
    .map((path) => ({ kind: "file", name: path, detail: readdirSync(path).join(" ") }));
}

function below(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
