import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { MachineRow } from "../../stacks/pins";
import { bootstrapDebian, type DebianWorkplace } from "./debianRootfs";
import { runCommand } from "./runCommand";
import { removeDeadScratch, withScratch } from "./scratch";
import { checkTree, sealTree } from "./treeSeal";

/** What must not be in a file system that many machines share: identities, keys, device files, package lists. */
const removed = [
  "etc/machine-id",
  "var/lib/dbus/machine-id",
  "var/lib/systemd/random-seed",
  "var/lib/systemd/credential.secret",
  "var/cache/apt",
  "var/lib/apt/lists",
  "var/log/apt",
  "var/log/dpkg.log",
  "var/log/bootstrap.log",
  "var/log/alternatives.log",
  "etc/resolv.conf",
  // Nightly package updates would hold the package tool's lock and change machines behind the graph's back.
  "etc/systemd/system/timers.target.wants",
  "etc/hostname",
];

/** Makes the root file system of local machines in `<dir>/rootfs`. */
export async function buildMachineRootfs(
  row: MachineRow,
  dir: string,
  place: DebianWorkplace,
): Promise<void> {
  const root = join(dir, "rootfs");
  await bootstrapDebian(root, row.packages, "minbase", place, "build the machine's root file system");
  for (const path of removed) await rm(join(root, path), { recursive: true, force: true });
  for (const folder of ["dev", "run", "tmp", "proc", "sys"]) {
    for (const name of await readdir(join(root, folder)))
      await rm(join(root, folder, name), { recursive: true, force: true });
  }
  for (const name of await readdir(join(root, "etc/ssh"))) {
    if (name.startsWith("ssh_host_")) await rm(join(root, "etc/ssh", name));
  }
  await mkdir(join(root, "var/cache/apt/archives/partial"), { recursive: true });
  await mkdir(join(root, "var/lib/apt/lists/partial"), { recursive: true });
  // Empty, not absent: systemd then makes an identity at each machine's first start.
  await writeFile(join(root, "etc/machine-id"), "");
}

/**
 * Makes `<machineDir>/{rootfs,containerd}`: the root file system (hard links) and a containerd root folder in which
 * every image is already imported and unpacked.
 */
export async function buildMachine(
  machineDir: string,
  rootfs: string,
  images: string,
  place: DebianWorkplace,
): Promise<void> {
  await removeDeadScratch(dirname(machineDir));
  await withScratch(dirname(machineDir), basename(machineDir), async (scratch) => {
    const draft = join(scratch, "machine");
    const containerd = join(draft, "containerd");
    await mkdir(containerd, { recursive: true, mode: 0o711 });
    const log = { log: place.log, purpose: "import the images into containerd" };
    // A namespace of its own for processes, too: when the script ends, however it ends, its containerd ends.
    await runCommand(
      "unshare",
      [
        ...["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"],
        ...["/bin/sh", join(place.sources, "bakeContainerd.sh"), rootfs, containerd, images],
      ],
      log,
    );
    await rm(join(containerd, "tmpmounts"), { recursive: true, force: true });
    await runCommand("cp", ["-al", rootfs, join(draft, "rootfs")], log);
    await sealTree(draft);
    await rm(machineDir, { recursive: true, force: true });
    await rename(draft, machineDir);
  });
}

/** What is wrong with a machine image; nothing when it is whole. */
export async function checkMachine(machineDir: string, full = false): Promise<string | undefined> {
  return checkTree(machineDir, full);
}
