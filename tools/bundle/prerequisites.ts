import { existsSync, readFileSync } from "node:fs";
import { findCommand } from "./findCommand";
import { runCommand } from "./runCommand";

/** A command of the host and the Debian package that brings it. */
export interface Prerequisite {
  readonly command: string;
  readonly debianPackage: string;
  readonly why: string;
}

/** What building needs besides Node. Go is not among them: Debian's is too old, its own installer is the way. */
export const prerequisites: readonly Prerequisite[] = [
  { command: "mmdebstrap", debianPackage: "mmdebstrap", why: "makes Debian root file systems" },
  { command: "zstd", debianPackage: "zstd", why: "compresses image layers" },
  { command: "gcc", debianPackage: "gcc", why: "builds flannel and pause" },
  { command: "tar", debianPackage: "tar", why: "packs root file systems" },
  { command: "unshare", debianPackage: "util-linux", why: "runs installers apart from this system" },
];

/** Copies images when a registry can be reached. */
export const skopeo: Prerequisite = {
  command: "skopeo",
  debianPackage: "skopeo",
  why: "copies images from their registries",
};

/** Packages that are missing, each with why it is needed. */
export function missingPrerequisites(needed: readonly Prerequisite[] = prerequisites): Prerequisite[] {
  const missing = needed.filter(({ command }) => findCommand(command) === undefined);
  // A static C program needs the C library's development files too.
  if (needed.some(({ command }) => command === "gcc") && !existsSync("/usr/include/stdlib.h")) {
    missing.push({ command: "libc", debianPackage: "libc6-dev", why: "builds flannel and pause" });
  }
  if (!existsSync("/usr/share/keyrings/debian-archive-keyring.gpg")) {
    missing.push({
      command: "debian-archive-keyring",
      debianPackage: "debian-archive-keyring",
      why: "checks Debian's signatures",
    });
  }
  return missing;
}

/** Whether packages can be installed here: root on Debian or one of its descendants. */
function canInstall(): boolean {
  if (process.getuid?.() !== 0 || findCommand("apt-get") === undefined) return false;
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(release);
}

/** Installs what is missing where that is possible; else throws naming the packages and the command to run. */
export async function ensurePrerequisites(
  missing: readonly Prerequisite[],
  log: string,
  onMessage: (message: string) => void,
): Promise<void> {
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((one) => one.debianPackage))];
  const what = missing.map((one) => `${one.command} (${one.why})`).join(", ");
  if (!canInstall()) {
    throw new Error(`building the bundle needs ${what}. Next: sudo apt-get install -y ${packages.join(" ")}`);
  }
  onMessage(`installing ${packages.join(", ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const purpose = `install ${packages.join(", ")}`;
  await runCommand("apt-get", ["-q", "update"], { log, purpose, env });
  await runCommand("apt-get", ["-q", "install", "-y", "--no-install-recommends", ...packages], {
    log,
    purpose,
    env,
  });
}
