import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Longest name of a network interface (IFNAMSIZ without the closing zero). */
export const MAX_INTERFACE_NAME = 15;

/** Every interface of local machines starts with one of these. */
export const BRIDGE_PREFIX = "gg-";
export const VETH_PREFIX = "ggv-";
/** Every control group of local machines starts with this. */
export const CGROUP_PREFIX = "gourmetgram-";
/** Alias of our bridges starts with this; it tells them from other people's interfaces of the same name. */
export const ALIAS_PREFIX = "gourmetgram ";

/** Where the scripts find their programs, whoever's shell they are started from. */
export const SCRIPT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Names on the host that one environment uses. All follow from the data folder and the environment's name. */
export interface EnvironmentNames {
  /** Folder of the environment's machines. */
  readonly folder: string;
  readonly bridge: string;
  /** Interface alias of the bridge: proves that it is ours. */
  readonly alias: string;
  /** Start of the names of all control groups, up to the machine's name. */
  readonly cgroupPrefix: string;
}

export interface MachineNames {
  readonly folder: string;
  /** Host's end of the machine's network cable. */
  readonly veth: string;
  readonly cgroup: string;
}

/**
 * Where machines live: `$GOURMETGRAM_DATA`, else `$XDG_DATA_HOME/gourmetgram`, else `~/.local/share/gourmetgram`, and in it
 * `machines/<environment>/<name>`. Empty variables count as unset. It is a property of the host, like the home folder, and the one
 * thing this folder reads from the process environment: the provider and the commands must agree on it.
 */
export function machinesRoot(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const data =
    env.GOURMETGRAM_DATA || join(env.XDG_DATA_HOME || join(homedir(), ".local", "share"), "gourmetgram");
  return join(resolve(data), "machines");
}

export function environmentNames(root: string, environment: string): EnvironmentNames {
  const short = shortHash(`${root}\n${environment}`);
  // Six readable characters and five of the hash: 3 + 6 + 1 + 5 = 15.
  const readable = environment.slice(0, 6).replace(/-+$/, "");
  return {
    folder: join(root, environment),
    bridge: `${BRIDGE_PREFIX}${readable}-${short.slice(0, 5)}`,
    alias: `${ALIAS_PREFIX}${environment} ${short}`,
    cgroupPrefix: `${CGROUP_PREFIX}${environment}-${short.slice(0, 5)}-`,
  };
}

export function machineNames(root: string, environment: string, name: string): MachineNames {
  const names = environmentNames(root, environment);
  return {
    folder: join(names.folder, name),
    veth: `${VETH_PREFIX}${shortHash(`${root}\n${environment}\n${name}`).slice(0, 11)}`,
    cgroup: `${names.cgroupPrefix}${name}`,
  };
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
