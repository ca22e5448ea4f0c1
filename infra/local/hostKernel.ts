import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Problem } from "../../components/problems";

/** Programs the scripts call, with the Debian package they are in. */
const COMMANDS: Readonly<Record<string, string>> = {
  bash: "bash",
  chroot: "coreutils",
  find: "findutils",
  flock: "util-linux",
  ip: "iproute2",
  mount: "mount",
  nsenter: "util-linux",
  setsid: "util-linux",
  tar: "tar",
  xargs: "findutils",
  timeout: "coreutils",
  ssh: "openssh-client",
  unshare: "util-linux",
};

/** Things the kernel must be able to do, each tried for real in namespaces that end with the trial. */
const FEATURES: Readonly<Record<string, string>> = {
  "namespaces (mount, uts, ipc, net, pid, cgroup)":
    "unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child true",
  "overlay file systems":
    "unshare --mount --propagation private sh -c 'mount -t tmpfs t /mnt && cd /mnt && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w o m'",
  "bridges and virtual cables (veth)":
    "unshare --net sh -c 'ip link add gg-b type bridge && ip link add gg-v type veth peer name gg-w && ip link set gg-v master gg-b'",
  "vxlan tunnels": "unshare --net ip link add gg-x type vxlan id 1 dstport 4789",
};

/** Control group controllers that kubelet needs. */
const CONTROLLERS = ["cpu", "cpuset", "memory", "pids"];

/** Shells of ordinary users look for programs in fewer folders than root's. */
const WIDER_PATH = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin;";

/** Programs this host lacks. */
export function missingCommands(): Problem[] {
  const script = `${WIDER_PATH} for c in ${Object.keys(COMMANDS).join(" ")}; do command -v "$c" >/dev/null || echo "$c"; done`;
  const missing = spawnSync("sh", ["-c", script], { encoding: "utf8" }).stdout.split("\n");
  return Object.entries(COMMANDS)
    .filter(([command]) => missing.includes(command))
    .map(([command, debianPackage]) => ({
      path: `host.commands.${command}`,
      problem: "is not installed",
      next: `install it, on Debian: apt-get install ${debianPackage}`,
    }));
}

/** What this host's kernel cannot do, or does not let us do. */
export function missingFeatures(): Problem[] {
  return Object.entries(FEATURES).flatMap(([feature, trial]) => {
    const result = spawnSync("sh", ["-c", `${WIDER_PATH} ${trial}`], { encoding: "utf8", timeout: 10_000 });
    if (result.status === 0) return [];
    const said =
      result.stderr?.trim().split("\n").at(-1) || `it ended with ${result.status ?? result.signal}`;
    return [
      {
        path: "host.kernel",
        value: feature,
        problem: `is missing or forbidden here: ${said}`,
        next: "use a kernel that has it, and run outside of containers that forbid it",
      },
    ];
  });
}

/** Control group controllers that are missing, and hierarchies that take no new groups. */
export function missingControllers(): Problem[] {
  const own = readFileSync("/proc/self/cgroup", "utf8").trim().split("\n");
  const unified = own.length === 1 && own[0]?.startsWith("0::");
  const available = unified
    ? readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").trim().split(" ")
    : own.flatMap((line) => line.split(":")[1]?.split(",") ?? []);
  const problems: Problem[] = CONTROLLERS.filter((controller) => !available.includes(controller)).map(
    (controller) => ({
      path: "host.cgroups",
      value: controller,
      problem: `is not among the controllers of cgroup v${unified ? 2 : 1} on this host`,
      next:
        controller === "memory"
          ? "boot with the kernel argument cgroup_enable=memory"
          : `enable the ${controller} controller`,
    }),
  );
  const point = unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
  const trial = join(point, `gourmetgram-trial-${process.pid}`);
  try {
    mkdirSync(trial);
    rmdirSync(trial);
  } catch (error) {
    problems.push({
      path: "host.cgroups",
      value: point,
      problem: `takes no new control groups: ${(error as Error).message}`,
      next: "mount the control group file systems writable, and run outside of containers that forbid it",
    });
  }
  return problems;
}

/**
 * A container engine's packet filter that drops what machines say to each other: some set the policy of FORWARD to DROP and let
 * the kernel pass bridged packets through it.
 */
export function packetsDropped(bridge: string): Problem[] {
  const filtered = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  if (!existsSync(filtered) || readFileSync(filtered, "utf8").trim() !== "1") return [];
  const rules = spawnSync("sh", ["-c", `${WIDER_PATH} iptables -S FORWARD`], { encoding: "utf8" });
  if (rules.status !== 0 || !dropsForwarded(rules.stdout, bridge)) return [];
  return [
    {
      path: "host.iptables",
      value: "-P FORWARD DROP",
      problem: `keeps machines on the bridge ${bridge} from reaching each other`,
      next: `iptables -I FORWARD -i ${bridge} -o ${bridge} -j ACCEPT`,
    },
  ];
}

/** True when the rules (`iptables -S FORWARD`) drop what goes from `bridge` to itself. */
export function dropsForwarded(rules: string, bridge: string): boolean {
  const lines = rules.split("\n");
  const accepts = lines.some(
    (line) => line.startsWith(`-A FORWARD -i ${bridge} -o ${bridge} `) && / -j ACCEPT$/.test(line),
  );
  return lines.includes("-P FORWARD DROP") && !accepts;
}
