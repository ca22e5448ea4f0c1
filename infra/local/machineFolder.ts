import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** What the scripts record of a machine in its folder, and whether it runs. */
export interface MachineFolder {
  readonly instanceId: string;
  readonly image: string;
  readonly bundles: string;
  readonly cgroup: string;
  readonly veth: string;
  /**
   * The image the machine runs on, or would: `gone` when it was removed, `rebuilt` when another one has taken its place under the
   * running machine.
   */
  readonly imageState: "present" | "gone" | "rebuilt";
  /** Process number of the machine's systemd on the host; `undefined` when the machine is not running. */
  readonly init: number | undefined;
}

export interface Owner {
  readonly stack: string;
  /** Absolute path of the checkout. */
  readonly project: string;
}

/** @returns `undefined` when the folder holds no finished machine */
export function readMachineFolder(folder: string): MachineFolder | undefined {
  const conf = readConf(join(folder, "machine.conf"));
  if (conf?.instance === undefined) return undefined;
  return {
    instanceId: conf.instance,
    image: conf.image ?? "",
    imageState: imageState(folder, conf.image ?? ""),
    bundles: conf.bundles ?? "",
    cgroup: conf.cgroup ?? "",
    veth: conf.veth ?? "",
    init: runningInit(folder),
  };
}

/** Owner of a machine's or an environment's folder; `undefined` when it has none. */
export function readOwner(folder: string): Owner | undefined {
  const conf = readConf(join(folder, "owner"));
  if (conf?.stack === undefined || conf.project === undefined) return undefined;
  return { stack: conf.stack, project: conf.project };
}

/** True when `us` may not touch what `owner` made. A checkout that is no longer there was moved, and its state with it. */
export function isForeign(owner: Owner | undefined, us: Owner): owner is Owner {
  if (owner === undefined) return false;
  return owner.stack !== us.stack || (owner.project !== us.project && existsSync(owner.project));
}

/** Control group folders the running machine was given. */
export function readCgroups(folder: string): string[] {
  const text = readText(join(folder, "run", "cgroups")) ?? "";
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.slice(line.indexOf(" ") + 1));
}

/** Field 22 of `/proc/<pid>/stat`: with the number it names one process for ever. */
export function startTime(stat: string): string | undefined {
  return stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .at(19);
}

function imageState(folder: string, image: string): MachineFolder["imageState"] {
  const found = statSync(join(image, "rootfs"), { throwIfNoEntry: false });
  if (found === undefined) return "gone";
  const used = readText(join(folder, "run", "image"))?.trim();
  return used === undefined || used === `${found.dev}:${found.ino}` ? "present" : "rebuilt";
}

function runningInit(folder: string): number | undefined {
  const pid = readText(join(folder, "run", "init.pid"))?.trim();
  const start = readText(join(folder, "run", "init.start"))?.trim();
  if (!pid || !start) return undefined;
  const stat = readText(`/proc/${pid}/stat`);
  return stat !== undefined && startTime(stat) === start ? Number(pid) : undefined;
}

function readConf(path: string): Record<string, string> | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  return Object.fromEntries(
    text
      .split("\n")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
