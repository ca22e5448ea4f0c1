import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { dropsForwarded } from "../../infra/local/hostKernel";
import { routedNetworks } from "../../infra/local/hostResources";
import { isForeign, readMachineFolder, readOwner, startTime } from "../../infra/local/machineFolder";
import { checkLocalMachines } from "../../infra/local/machines";
import { environmentNames, MAX_INTERFACE_NAME, machineNames, machinesRoot } from "../../infra/local/naming";
import { isMachineAddress, overlap, parseSubnet } from "../../infra/local/subnet";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "local-machine-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("names", () => {
  test("of interfaces fit the kernel and differ between environments, nodes and data folders", () => {
    const names = new Set<string>();
    for (const root of ["/data/machines", "/other/machines"]) {
      for (const environment of [
        "local",
        "local2",
        "a-very-long-environment-name",
        "a-very-long-environment-nam",
        "x",
      ]) {
        const { bridge } = environmentNames(root, environment);
        names.add(bridge);
        for (const node of ["node1", "node2"]) names.add(machineNames(root, environment, node).veth);
      }
    }
    expect(names.size).toBe(2 * 5 * 3);
    for (const name of names) {
      expect(name.length).toBeLessThanOrEqual(MAX_INTERFACE_NAME);
      expect(name).toMatch(/^gg[-a-z0-9]+$/);
    }
  });

  test("are readable and stable", () => {
    expect(environmentNames("/data/machines", "local").bridge).toMatch(/^gg-local-[0-9a-f]{5}$/);
    expect(environmentNames("/data/machines", "local")).toEqual(environmentNames("/data/machines", "local"));
    expect(machineNames("/data/machines", "local", "node1").folder).toBe("/data/machines/local/node1");
  });

  test("of one environment's control groups never start like another's", () => {
    const a = environmentNames("/d", "a").cgroupPrefix;
    const ab = machineNames("/d", "a-b", "c").cgroup;
    expect(ab.startsWith(a)).toBe(false);
  });

  test("the data folder follows the variables, and empty ones count as unset", () => {
    expect(machinesRoot({ GOURMETGRAM_DATA: "/x" })).toBe("/x/machines");
    expect(machinesRoot({ GOURMETGRAM_DATA: "", XDG_DATA_HOME: "/y" })).toBe("/y/gourmetgram/machines");
    expect(machinesRoot({})).toBe(join(homedir(), ".local/share/gourmetgram/machines"));
  });
});

describe("subnets", () => {
  test("give the host the first address, whatever host bits were written", () => {
    expect(parseSubnet("10.87.3.77/24")).toEqual({ cidr: "10.87.3.0/24", prefix: 24, gateway: "10.87.3.1" });
    expect(parseSubnet("192.168.255.128/25")).toMatchObject({ gateway: "192.168.255.129" });
  });

  test.each([
    "10.87.0.0",
    "10.87.0.0/33",
    "10.87.0.0/30",
    "fd00::/64",
    "10.87.0/24",
    "x",
  ])("%s is refused", (cidr) => {
    expect(() => parseSubnet(cidr)).toThrow(cidr);
  });

  test("machines get neither network, gateway, broadcast nor foreign addresses", () => {
    const fits = (address: string) => isMachineAddress("10.87.0.0/24", address);
    expect(["10.87.0.2", "10.87.0.254"].map(fits)).toEqual([true, true]);
    expect(["10.87.0.0", "10.87.0.1", "10.87.0.255", "10.87.1.2", "10.86.255.255", "x"].map(fits)).toEqual(
      Array.from({ length: 6 }, () => false),
    );
  });

  test("overlap in both directions, at edges, and not beside each other", () => {
    expect(overlap("10.0.0.0/8", "10.87.0.0/24")).toBe(true);
    expect(overlap("10.87.0.0/24", "10.87.0.255/32")).toBe(true);
    expect(overlap("10.87.0.0/24", "10.87.1.0/24")).toBe(false);
    expect(overlap("192.168.0.0/16", "192.169.0.0/16")).toBe(false);
  });

  test("of the host's routes are read from the kernel's table, without default routes", () => {
    const table = [
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
      "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0",
      "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0",
      "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
    ].join("\n");
    expect(routedNetworks(table)).toEqual([
      { device: "docker0", cidr: "172.17.0.0/16" },
      { device: "eth0", cidr: "192.0.2.0/24" },
    ]);
  });
});

test("a packet filter that drops forwarded packets is seen, and a rule for our bridge is enough", () => {
  const docker = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n";
  expect(dropsForwarded(docker, "gg-local-abcde")).toBe(true);
  expect(
    dropsForwarded(`${docker}-A FORWARD -i gg-local-abcde -o gg-local-abcde -j ACCEPT\n`, "gg-local-abcde"),
  ).toBe(false);
  expect(
    dropsForwarded(`${docker}-A FORWARD -i gg-other-abcde -o gg-other-abcde -j ACCEPT\n`, "gg-local-abcde"),
  ).toBe(true);
  expect(dropsForwarded("-P FORWARD ACCEPT\n", "gg-local-abcde")).toBe(false);
});

describe("arguments", () => {
  const node = { role: "worker", address: "10.87.0.11" } as const;
  const check = (change: object) =>
    checkLocalMachines({
      environment: "local",
      cidr: "10.87.0.0/24",
      memory: "2Gi",
      nodes: { node1: node },
      ...change,
    });

  test("that are right have no problem", () => expect(check({})).toEqual([]));

  test("that are wrong are reported all at once, with path and value", () => {
    const problems = check({
      environment: "Local",
      memory: "2",
      nodes: {
        node1: node,
        Node2: { ...node, address: "10.87.0.1" },
        node3: { ...node, memory: "lots" },
      },
    });
    expect(problems.map(({ path, value }) => [path, value])).toEqual([
      ["environment", "Local"],
      ["memory", "2"],
      ["nodes.Node2", "Node2"],
      ["nodes.Node2.address", "10.87.0.1"],
      ["memory", "2"],
      ["nodes.node3.address", "10.87.0.11"],
      ["nodes.node3.memory", "lots"],
    ]);
  });
});

describe("a machine's folder", () => {
  test("is running only while the recorded process is the recorded one", () => {
    const machine = join(folder, "machine");
    mkdirSync(join(machine, "run"), { recursive: true });
    writeFileSync(join(machine, "machine.conf"), "name=n\ninstance=abc\nimage=/i=j\nbundles=/b\n");
    expect(readMachineFolder(machine)).toMatchObject({ instanceId: "abc", image: "/i=j", init: undefined });

    writeFileSync(join(machine, "run/init.pid"), `${process.pid}\n`);
    writeFileSync(join(machine, "run/init.start"), "1");
    expect(readMachineFolder(machine)?.init, "another process has the number now").toBeUndefined();
    const stat = execFileSync("cat", [`/proc/${process.pid}/stat`]).toString();
    writeFileSync(join(machine, "run/init.start"), startTime(stat) ?? "");
    expect(readMachineFolder(machine)?.init).toBe(process.pid);
  });

  test("that was never finished is no machine", () => {
    expect(readMachineFolder(join(folder, "nowhere"))).toBeUndefined();
    mkdirSync(join(folder, "half"));
    writeFileSync(join(folder, "half/owner"), "stack=s\nproject=/p\n");
    expect(readMachineFolder(join(folder, "half"))).toBeUndefined();
    expect(readOwner(join(folder, "half"))).toEqual({ stack: "s", project: "/p" });
  });

  test("is foreign when another stack or another checkout made it, unless that checkout was moved away", () => {
    const us = { stack: "local", project: folder };
    expect(isForeign(undefined, us)).toBe(false);
    expect(isForeign(us, us)).toBe(false);
    expect(isForeign({ ...us, stack: "other" }, us)).toBe(true);
    expect(isForeign({ ...us, project: tmpdir() }, us)).toBe(true);
    expect(isForeign({ ...us, project: join(folder, "moved-away") }, us)).toBe(false);
  });

  test("start times survive command names with spaces and brackets", () => {
    const rest = Array.from({ length: 30 }, (_, index) => index + 3).join(" ");
    expect(startTime(`42 (a) b) c) ${rest}`)).toBe("22");
  });
});

describe("control groups", () => {
  /** Runs one function of cgroup.sh. */
  const shell = (call: string) =>
    execFileSync("bash", [
      "-euc",
      `. ${projectRoot()}/infra/local/scripts/base.sh; . ${projectRoot()}/infra/local/scripts/cgroup.sh; ${call}`,
    ])
      .toString()
      .trim();
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  test("v1: one folder per hierarchy, below the caller's own", () => {
    const self = file("self1", "9:name=systemd:/user\n4:memory:/session/7\n2:cpu,cpuacct:/\n0::/\n");
    const mounts = file(
      "mounts1",
      [
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct",
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory",
        "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd",
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
      ].join("\n"),
    );
    expect(shell(`cgroup_version ${self}`)).toBe("1");
    expect(shell(`cgroup_own ${self} ${mounts}`).split("\n")).toEqual([
      "name=systemd /sys/fs/cgroup/systemd/user",
      "memory /sys/fs/cgroup/memory/session/7",
      "cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct",
    ]);
  });

  test("v1 in a container: the mount's root is taken off", () => {
    const self = file("self2", "4:memory:/docker/abc/x\n");
    const mounts = file(
      "mounts2",
      "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    );
    expect(shell(`cgroup_own ${self} ${mounts}`)).toBe("memory /sys/fs/cgroup/memory/x");
  });

  test("v2: the one folder", () => {
    const self = file("self3", "0::/user.slice/user-0.slice/session-1.scope\n");
    const mounts = file(
      "mounts3",
      "35 31 0:32 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    );
    expect(shell(`cgroup_version ${self}`)).toBe("2");
    expect(shell(`cgroup_own ${self} ${mounts}`)).toBe(
      "unified /sys/fs/cgroup/user.slice/user-0.slice/session-1.scope",
    );
  });

  test("v2: the nearest folder that hands out memory control is taken, upwards from a session", () => {
    const slice = join(folder, "cg/user.slice");
    const session = join(slice, "session.scope");
    mkdirSync(session, { recursive: true });
    writeFileSync(join(slice, "cgroup.controllers"), "cpu memory pids\n");
    writeFileSync(join(slice, "cgroup.subtree_control"), "memory pids\n");
    // No memory controller offered to the session itself: nothing can be switched on there.
    writeFileSync(join(session, "cgroup.controllers"), "pids\n");
    writeFileSync(join(session, "cgroup.subtree_control"), "\n");
    expect(shell(`cgroup_unified_base ${session}`)).toBe(slice);
  });

  test("limits go to the interface the folder has", () => {
    for (const name of ["memory.max", "memory.limit_in_bytes"]) {
      const group = join(folder, `limit-${name}`);
      mkdirSync(group);
      writeFileSync(join(group, name), "");
      shell(`cgroup_limit ${group} 1073741824`);
      expect(execFileSync("cat", [join(group, name)]).toString()).toBe("1073741824");
    }
  });
});

test("the scripts are clean for shellcheck", (context) => {
  try {
    execFileSync("shellcheck", ["--version"]);
  } catch {
    context.skip("shellcheck is not installed");
  }
  const scripts = ["base.sh", "cgroup.sh", "network.sh", "machine.sh", "enter.sh"];
  execFileSync("shellcheck", [
    "-x",
    ...scripts.map((name) => join(projectRoot(), "infra/local/scripts", name)),
  ]);
});
