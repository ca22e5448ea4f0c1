import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import type { Problem } from "../../components/problems";
import { projectRoot } from "../../components/sourceFile";
import { missingCommands, missingControllers, missingFeatures, packetsDropped } from "./hostKernel";
import { diskUnfit, type LocalHostSpec, memoryTooSmall, nearestExisting, subnetInUse } from "./hostResources";
import { isForeign, readOwner } from "./machineFolder";
import { environmentNames, machinesRoot } from "./naming";

export type { LocalHostSpec } from "./hostResources";
export { findLeftovers, type Leftover, removeLeftovers } from "./leftovers";
export { tailMachineLog } from "./machineLog";

/** inotify instances counted on a running cluster: systemd 4, kubelet 7, dbus, containerd and kube-proxy 1 each, on every node. */
const INOTIFY_PER_NODE = 16;
/** API server, controller manager and pods that run as root. */
const INOTIFY_PER_CLUSTER = 30;

/**
 * Everything about this host that would stop the environment's local machines, found before anything is made. Takes about 0.1 s
 * and leaves nothing. Machines that run already are not counted again.
 *
 * @param root folder of all machines
 */
export function checkLocalHost(spec: LocalHostSpec, root: string = machinesRoot()): Problem[] {
  if (process.platform !== "linux") {
    return [
      {
        path: "host.system",
        value: process.platform,
        problem: "cannot run local machines, which are Linux namespaces",
        allowed: "linux",
        next: "run on a Linux machine or in a Linux VM",
      },
    ];
  }
  if (process.getuid?.() !== 0) {
    return [
      {
        path: "host.user",
        value: `uid ${process.getuid?.()}`,
        problem: "may not make namespaces, mounts and bridges",
        allowed: "root",
        next: "run the same command as root (sudo -E npm run up)",
      },
    ];
  }
  const missing = missingCommands();
  return [
    ...missing,
    // Without the programs every trial of a feature would fail and say the wrong thing.
    ...(missing.length === 0 ? [...missingFeatures(), ...missingControllers()] : []),
    ...ownership(spec, root),
    ...packetsDropped(environmentNames(root, spec.name).bridge),
    ...subnetInUse(spec, root),
    ...memoryTooSmall(spec, root),
    ...diskUnfit(spec, root),
  ];
}

function ownership(spec: LocalHostSpec, root: string): Problem[] {
  const names = environmentNames(root, spec.name);
  const problems: Problem[] = [];
  const owner = readOwner(names.folder);
  if (isForeign(owner, { stack: spec.name, project: realpathSync(projectRoot()) })) {
    problems.push({
      path: "environment",
      value: spec.name,
      problem: `exists on this host already, made by stack ${owner.stack} of ${owner.project}`,
      next: "destroy it there, choose another stack name, or set GOURMETGRAM_DATA to another folder",
    });
  }
  const alias = existsSync(`/sys/class/net/${names.bridge}`)
    ? readFileSync(`/sys/class/net/${names.bridge}/ifalias`, "utf8").trim()
    : names.alias;
  if (alias !== names.alias) {
    problems.push({
      path: "host.interfaces",
      value: names.bridge,
      problem: "has the name of this environment's bridge and is not ours",
      next: `rename or remove it: ip link delete ${names.bridge}`,
    });
  }
  return problems;
}

/**
 * What will work and could be better on this host, in the same form. `doctor` shows it; nothing refuses to start over it.
 *
 * @param imageDir machine image, when there is one already
 */
export function adviseLocalHost(
  spec: LocalHostSpec,
  imageDir?: string,
  root: string = machinesRoot(),
): Problem[] {
  if (process.platform !== "linux") return [];
  const advice: Problem[] = [];
  const folder = nearestExisting(root);
  if (imageDir !== undefined && existsSync(imageDir) && statSync(imageDir).dev !== statSync(folder).dev) {
    advice.push({
      path: "GOURMETGRAM_DATA",
      value: root,
      problem: `is on another file system than ${imageDir}, so each machine imports its images instead of sharing them`,
      next: "set GOURMETGRAM_DATA or GOURMETGRAM_CACHE so that both are on one file system",
    });
  }
  const instances = Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "utf8"));
  const wanted = Object.keys(spec.nodes).length * INOTIFY_PER_NODE + INOTIFY_PER_CLUSTER;
  if (instances < wanted) {
    advice.push({
      path: "host.inotify",
      value: instances,
      problem: `inotify instances for root are few for ${Object.keys(spec.nodes).length} machines: "too many open files" may follow`,
      next: `sysctl -w fs.inotify.max_user_instances=${Math.max(512, wanted * 2)}`,
    });
  }
  return advice;
}
