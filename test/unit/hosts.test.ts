/**
 * Proves: what the check of existing machines makes of what it finds, that its SSH client is told no secret where others can see it,
 * and that the host script writes down, takes and gives back what it should, with a real bash and stand-ins for the system's programs.
 * Does not prove: SSH itself and real machines (end-to-end tests).
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Problem } from "../../components/problems";
import { renderInvocation, renderPayload } from "../../components/remoteStep";
import { readSource } from "../../components/sourceFile";
import {
  type CheckedNode,
  type HostFacts,
  hostProblems,
  parseFacts,
  portsOf,
  sameMachineProblems,
} from "../../infra/hosts/facts";
import { checkPlaces } from "../../infra/hosts/places";
import { checkHosts, type HostsCheckSpec, keyProblem, readFailure } from "../../infra/hosts/preflight";
import type { HostsNodeSpec } from "../../infra/hosts/spec";
import {
  fingerprintOf,
  renderClientConfig,
  renderKnownHosts,
  splitDebugging,
  sshArguments,
} from "../../infra/hosts/sshClient";
import { hostOfUrn, withoutGivingBack } from "../../tools/cli/hostSteps";
import { makeKeyPair } from "../../tools/provider/keyPair";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hosts-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const spec = (extra: Partial<HostsNodeSpec> = {}): HostsNodeSpec => ({
  role: "controlPlane",
  address: "192.168.1.11",
  port: 22,
  hostKey: "ssh-ed25519 AAAA",
  ...extra,
});
const node = (extra: Partial<CheckedNode> = {}): CheckedNode => ({
  name: "node1",
  spec: spec(),
  user: "cc",
  environment: "lab",
  home: "node1",
  ...extra,
});

/** A machine with nothing wrong. */
const FIT: HostFacts = {
  skewSeconds: 0.4,
  system: "Linux",
  init: "systemd",
  root: true,
  machine: "id/boot",
  distribution: "Ubuntu 24.04 LTS",
  apt: true,
  installable: ["containerd", "runc"],
  missing: [],
  addresses: ["127.0.0.1", "10.0.0.5", "192.168.1.11"],
  memory: 4e9,
  available: 3e9,
  swapped: 0,
  disks: { "/var/lib": 40e9 },
  lacks: [],
  ports: {},
  kubernetes: [],
  blocked: [],
};

const text = (problems: readonly Problem[]) =>
  problems.map(
    ({ path, value, problem, allowed }) =>
      `${path} = ${value} ${problem}${allowed === undefined ? "" : ` (${allowed})`}`,
  );

/** One thing that can be wrong with a machine, and what has to be said of it. */
const WRONG: readonly { readonly facts: Partial<HostFacts>; readonly said: readonly string[] }[] = [
  {
    facts: { root: false },
    said: ["nodes.node1.address = 192.168.1.11 lets cc in, but not become root by sudo without a password"],
  },
  { facts: { missing: ["tar", "flock"] }, said: ["nodes.node1.address = 192.168.1.11 lacks tar, flock"] },
  {
    facts: { addresses: ["127.0.0.1", "10.0.0.5"] },
    said: ["nodes.node1.address = 192.168.1.11 is on no interface of the machine at 192.168.1.11 (10.0.0.5)"],
  },
  {
    facts: { kubernetes: ["/etc/kubernetes/kubelet.conf", "kubelet.service"] },
    said: [
      "nodes.node1.address = 192.168.1.11 is a Kubernetes node that this environment did not make: /etc/kubernetes/kubelet.conf, kubelet.service",
    ],
  },
  {
    facts: { memory: 1.6e9 },
    said: [
      "nodes.node1.address = 192.168.1.11 has 1.5 GiB of memory, too little for a control plane (at least 1.7 GB)",
    ],
  },
  {
    facts: { swapped: 2 * 2 ** 30, available: 2 ** 30 },
    said: [
      "nodes.node1.address = 192.168.1.11 has 2 GiB swapped out and 1 GiB of free memory, so that its swap cannot be switched off",
    ],
  },
  {
    facts: { lacks: ["vxlan", "br_netfilter"] },
    said: [
      "nodes.node1.address = 192.168.1.11 has a kernel without vxlan tunnels",
      "nodes.node1.address = 192.168.1.11 has a kernel without bridge netfilter",
    ],
  },
  {
    facts: { skewSeconds: -61 },
    said: ["nodes.node1.address = 192.168.1.11 has a clock that is 61 s behind this host's (less than 60 s)"],
  },
  {
    facts: { blocked: [6443, 22] },
    said: ["nodes.node1.address = 192.168.1.11 does not reach node1 at its address, TCP 22, 6443"],
  },
  {
    facts: { disks: { "/var/lib": 9e9, "/opt": 40e9 } },
    said: ["nodes.node1.address = 192.168.1.11 has 8.4 GiB of free disk below /var/lib (at least 10 GB)"],
  },
  {
    facts: { ports: { 6443: "kube-apiserver", 80: "" } },
    said: [
      "nodes.node1.address = 192.168.1.11 has the port 80 in use",
      "nodes.node1.address = 192.168.1.11 has the port 6443 in use by kube-apiserver",
    ],
  },
];

describe("facts", () => {
  test("of a fit machine give no problem", () => {
    expect(hostProblems(node(), FIT)).toEqual([]);
  });

  test.each(WRONG.map(({ facts, said }) => [said[0], facts, said]))("%s", (_, facts, said) => {
    const problems = hostProblems(node(), { ...FIT, ...facts });
    expect(text(problems)).toEqual(said);
    for (const { next } of problems) expect(next).toMatch(/\w{3}/);
  });

  test("of any machine give exactly what is wrong with it, all at once", () => {
    for (let choice = 0; choice < 2 ** WRONG.length; choice += 1) {
      const wrong = WRONG.filter((_, index) => (choice >> index) % 2 === 1);
      const facts = Object.assign({ ...FIT }, ...wrong.map((entry) => entry.facts));
      // A Kubernetes that is there explains the ports.
      const explained = wrong.some((entry) => entry.facts.kubernetes) ? "has the port" : undefined;
      expect(text(hostProblems(node(), facts))).toEqual(
        wrong
          .flatMap(({ said }) => said)
          .filter((line) => explained === undefined || !line.includes(explained)),
      );
    }
  });

  test("of another system give one problem: nothing else was looked at", () => {
    const nothing = parseFacts("clock=1\nsystem=FreeBSD\ndone\n", 1) as HostFacts;
    expect(text(hostProblems(node(), nothing))).toEqual([
      "nodes.node1.address = 192.168.1.11 runs FreeBSD, not Linux",
    ]);
    expect(text(hostProblems(node(), { ...FIT, init: "runit" }))).toEqual([
      "nodes.node1.address = 192.168.1.11 runs runit as its first process, not systemd",
    ]);
  });

  test("count programs that can be installed only where nobody installs them", () => {
    const facts = { ...FIT, apt: false, distribution: "Fedora 40" };
    expect(text(hostProblems(node(), facts))).toEqual([
      "nodes.node1.address = 192.168.1.11 lacks containerd, runc, and Fedora 40 has no apt-get to install them by",
    ]);
    expect(hostProblems(node(), { ...facts, installable: [] })).toEqual([]);
  });

  test("of a machine that is ours already: Kubernetes, ports and used disk are ours, memory and clock count", () => {
    const facts = {
      ...FIT,
      owner: "lab",
      kubernetes: ["kubelet.service"],
      ports: { 6443: "kube-apiserver" },
      disks: { "/": 1e9 },
      memory: 1e9,
      skewSeconds: 100,
    };
    expect(hostProblems(node(), facts).map(({ problem }) => problem.slice(0, 12))).toEqual([
      "has 954 MiB ",
      "has a clock ",
    ]);
  });

  test("of a machine of another environment name that one, and how to get it back", () => {
    const [problem, ...more] = hostProblems(node(), {
      ...FIT,
      owner: "other",
      kubernetes: ["kubelet.service"],
    });
    expect(more).toEqual([]);
    expect(problem?.problem).toBe("belongs to the environment other");
    expect(problem?.next).toContain("/etc/gourmetgram/give-back.sh");
  });

  test("are told of the setting that names the machine", () => {
    const elsewhere = node({ spec: spec({ host: "lab.example.org" }) });
    const problems = hostProblems(elsewhere, { ...FIT, memory: 1e9, addresses: [] });
    expect(problems.map(({ path, value }) => `${path} = ${value}`)).toEqual([
      "nodes.node1.address = 192.168.1.11",
      "nodes.node1.host = lab.example.org",
    ]);
  });

  test("a worker needs less memory and fewer ports; the home node publishes, and hands out the bundle", () => {
    const worker = node({ name: "node2", spec: spec({ role: "worker" }) });
    expect(hostProblems(worker, { ...FIT, memory: 1e9 })).toEqual([]);
    expect(hostProblems(worker, { ...FIT, memory: 1e9 - 1 })).toHaveLength(1);
    expect(portsOf(worker, [80])).toEqual([10250]);
    expect(portsOf(node({ name: "node3" }), [80])).toEqual([6443, 10250, 2379, 2380]);
    expect(portsOf(node(), [80, 8080])).toEqual([6443, 10250, 2379, 2380, 80, 8080]);
    expect(portsOf(node({ handsOutBundle: true }), [80])).toEqual([6443, 10250, 2379, 2380, 8099, 80]);
  });

  test("two nodes that are one machine are told by the machine", () => {
    const nodes = ["a", "b", "c"].map((name) => node({ name }));
    const facts = { a: FIT, b: { ...FIT, machine: "other/boot" }, c: FIT };
    expect(text(sameMachineProblems(nodes, facts))).toEqual([
      "nodes.c.address = 192.168.1.11 is the machine of a too",
    ]);
  });
});

describe("the script of the check", () => {
  const run = (settings: NodeJS.ProcessEnv = {}) =>
    spawnSync("bash", ["-s"], {
      input: readSource("infra/hosts/scripts/check.sh"),
      env: { ...process.env, ...settings },
      encoding: "utf8",
    });

  test("tells facts of this very machine, and nothing on stderr", () => {
    const settings = { PORTS: "1", PROGRAMS: "python3 not-there", PEER: "127.0.0.1", PEER_PORTS: "1 2" };
    const { stdout, stderr, status } = run(settings);
    const facts = parseFacts(stdout, Date.now() / 1000) as HostFacts;
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    expect(Math.abs(facts.skewSeconds)).toBeLessThan(5);
    expect(facts.addresses).toContain("127.0.0.1");
    expect(facts.memory).toBeGreaterThan(2 ** 28);
    expect(facts.available).toBeGreaterThan(0);
    expect(Object.values(facts.disks).every((bytes) => bytes > 0)).toBe(true);
    expect(facts.machine).toMatch(/\/[-0-9a-f]{36}$/);
    expect(facts.ports).toEqual({});
    expect(facts.missing).toContain("not-there");
    expect(facts.missing).not.toContain("python3");
    // Nobody listens, and that is an answer.
    expect(facts.blocked).toEqual([]);
  });

  test("an answer that is cut is none", () => {
    const { stdout } = run();
    expect(parseFacts(stdout.slice(0, -5), 0)).toBeUndefined();
    expect(parseFacts("", 0)).toBeUndefined();
  });

  test("is read line by line, spaces and repeated keys included", () => {
    const lines = [
      "clock=100",
      "system=Linux",
      "disk=/var/lib 10",
      "disk=/opt 20",
      "port=80 nginx",
      "port=6443 ",
      "blocked=22",
      "blocked=6443",
    ];
    const facts = parseFacts(
      [...lines, "distribution=Debian GNU/Linux 12", "owner=lab", "done", ""].join("\n"),
      40,
    );
    expect(facts).toMatchObject({
      skewSeconds: 60,
      disks: { "/var/lib": 10240, "/opt": 20480 },
      ports: { 80: "nginx", 6443: "" },
      distribution: "Debian GNU/Linux 12",
      owner: "lab",
      blocked: [22, 6443],
    });
  });
});

test("one machine for two nodes is told before anybody is asked", () => {
  const nodes = { node1: spec(), node2: spec({ address: "192.168.1.12", host: "192.168.1.11" }) };
  const check = (jumpNode?: string) =>
    text(checkPlaces({ environment: "lab", spec: jumpNode === undefined ? {} : { jumpNode }, nodes }));
  expect(check()).toEqual(["nodes.node2.host = 192.168.1.11:22 is the machine of node1 too"]);
  // Behind the jump node the same address is another machine's.
  expect(check("node1")).toEqual([]);
  expect(check("node9")).toContain("infra.jumpNode = node9 is no node (node1, node2)");
});

describe("the SSH client", () => {
  const SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----";

  test("gets its key by a file that a file names, never by an argument", () => {
    const args = sshArguments("/run/x/config", "node2");
    expect(args).toEqual(["-F", "/run/x/config", "-T", "node2", "bash -s"]);
    const config = renderClientConfig(
      {
        spec: { user: "cc", jumpNode: "node1" },
        nodes: { node1: spec({ host: "a.example.org", port: 2222 }), node2: spec() },
      },
      { known: "/run/x/known_hosts", key: "/run/x/id" },
    );
    expect(config).toContain(
      "Host node1\n  HostName a.example.org\n  Port 2222\n  HostKeyAlias node1\n\n" +
        "Host node2\n  HostName 192.168.1.11\n  Port 22\n  HostKeyAlias node2\n  ProxyJump node1\n\n" +
        'Host *\n  User cc\n  IdentityFile "/run/x/id"\n  IdentitiesOnly yes\n',
    );
    expect(config).toContain('  StrictHostKeyChecking yes\n  UserKnownHostsFile "/run/x/known_hosts"\n');
    expect(`${args} ${config}`).not.toContain(SECRET);
  });

  test("uses the person's own keys when it is given none", () => {
    const config = renderClientConfig({ spec: { user: "cc" }, nodes: {} }, { known: "/k" });
    expect(config).not.toMatch(/Identit/);
  });

  test("knows each machine by its node's name", () => {
    expect(renderKnownHosts({ a: { hostKey: "ssh-ed25519 A" }, b: { hostKey: "ssh-rsa B" } })).toBe(
      "a ssh-ed25519 A\nb ssh-rsa B\n",
    );
  });

  test("writes fingerprints as OpenSSH does", () => {
    const key = makeKeyPair("ed25519").publicKeyOpenssh;
    writeFileSync(join(folder, "key.pub"), `${key}\n`);
    const said = spawnSync("ssh-keygen", ["-lf", join(folder, "key.pub")], { encoding: "utf8" }).stdout;
    expect(said.split(" ")[1]).toBe(fingerprintOf(key));
  });

  test("tells what it said to people from what it said to itself", () => {
    const said = splitDebugging(
      [
        "OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19",
        "debug1: Reading configuration data /run/x/config",
        "debug1: Server host key: ssh-ed25519 SHA256:jump",
        "debug1: Server host key: ssh-rsa SHA256:target",
        "\rHost key verification failed.\r",
      ].join("\n"),
    );
    expect(said).toEqual({ stderr: "Host key verification failed.", fingerprint: "SHA256:target" });
  });
});

describe("a failed login is read from what SSH said:", () => {
  const HOST_KEY = "ssh-ed25519 AAAA";
  test.each([
    [
      255,
      "connect to host 10.0.0.9 port 22: Connection refused",
      "reach",
      "connect to host 10.0.0.9 port 22: Connection refused",
    ],
    [
      255,
      "ssh: Could not resolve hostname nosuch: Name or service not known",
      "reach",
      "Could not resolve hostname nosuch: Name or service not known",
    ],
    [
      255,
      "channel 0: open failed: connect failed: No route to host\nstdio forwarding failed\nConnection closed by UNKNOWN port 65535",
      "reach",
      "open failed: connect failed: No route to host",
    ],
    [
      255,
      "kex_exchange_identification: read: Connection reset by peer",
      "reach",
      "read: Connection reset by peer",
    ],
    [
      255,
      "cc@10.0.0.9: Permission denied (publickey).",
      "login",
      "cc@10.0.0.9: Permission denied (publickey).",
    ],
    [
      255,
      "No ED25519 host key is known for node2 and you have requested strict checking.\nHost key verification failed.",
      "hostKey",
      "SHA256:other",
    ],
    [127, "fish: Unknown command: bash", "script", "fish: Unknown command: bash"],
    [1, "", "script", "its shell ended with 1"],
    [undefined, "", "reach", "no answer within 15 s"],
  ] as const)("%s %s", (code, stderr, kind, said) => {
    expect(readFailure({ code, stderr, fingerprint: "SHA256:other" }, HOST_KEY)).toEqual({ kind, said });
  });
});

test("a key that ssh could not use is told without showing it", () => {
  const { privateKeyOpenssh, privateKeyPem } = makeKeyPair("ed25519");
  const encrypted = join(folder, "encrypted");
  spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "a passphrase", "-f", encrypted]);
  const lines = privateKeyOpenssh.trim().split("\n");
  expect(keyProblem(privateKeyOpenssh)).toBeUndefined();
  expect(keyProblem(privateKeyPem)).toBeUndefined();
  expect(keyProblem(readFileSync(encrypted, "utf8"))).toContain("passphrase");
  expect(keyProblem(lines.slice(0, -1).join("\n"))).toBe("is cut short");
  expect(keyProblem("~/.ssh/id_ed25519")).toBe("is no private key");
  expect(keyProblem("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----")).toBeDefined();
});

describe("the whole check, with a stand-in for ssh", () => {
  const login = makeKeyPair("ed25519").privateKeyOpenssh;
  const keys = {
    node1: makeKeyPair("ed25519").publicKeyOpenssh,
    node2: makeKeyPair("ed25519").publicKeyOpenssh,
  };
  const nodes: HostsCheckSpec["nodes"] = {
    node1: spec({ hostKey: keys.node1 }),
    node2: spec({ role: "worker", address: "192.168.1.12", hostKey: keys.node2 }),
  };
  const lab = (infra: Partial<HostsCheckSpec["infra"]> = {}): HostsCheckSpec => ({
    name: "lab",
    infra: { user: "cc", ...infra },
    nodes,
  });
  const answer = (address: string, ...more: string[]) =>
    [
      `clock=${Math.floor(Date.now() / 1000)}`,
      ...["system=Linux", "init=systemd", "root=yes", `machine=${address}`, "apt=yes", `address=${address}`],
      ...["memory=4000000", "available=3000000", "swapped=0", "disk=/var/lib 40000000", ...more, "done", ""],
    ].join("\n");

  const path = process.env["PATH"];
  beforeEach(() => {
    for (const name of ["bin", "answers", "seen", "files"]) mkdirSync(join(folder, name));
    // Answers with a file, and keeps what it was given: arguments, script, and the folder of the configuration.
    const fake = [
      "#!/bin/bash",
      '[ "$1" != -V ] || exit 0',
      `printf '%s\\n' "$@" >${folder}/seen/$4.args`,
      `cat >${folder}/seen/$4.script`,
      `ls -l "$(dirname "$2")" >${folder}/seen/$4.files; cat "$(dirname "$2")/id" >${folder}/seen/$4.key 2>/dev/null`,
      `cat ${folder}/answers/$4.error >&2 2>/dev/null`,
      `cat ${folder}/answers/$4`,
      `exit $(cat ${folder}/answers/$4.code 2>/dev/null || echo 0)`,
    ];
    writeFileSync(join(folder, "bin/ssh"), fake.join("\n"), { mode: 0o755 });
    process.env["PATH"] = `${join(folder, "bin")}:${path}`;
    writeFileSync(join(folder, "answers/node1"), answer("192.168.1.11"));
    writeFileSync(join(folder, "answers/node2"), answer("192.168.1.12"));
  });
  afterEach(() => {
    process.env["PATH"] = path;
  });
  const fail = (name: string, code: number, error: string) => {
    writeFileSync(join(folder, `answers/${name}`), "");
    writeFileSync(join(folder, `answers/${name}.code`), String(code));
    writeFileSync(join(folder, `answers/${name}.error`), `${error}\n`);
  };
  const check = (infra: Partial<HostsCheckSpec["infra"]> = {}, privateKey: string | undefined = login) => {
    const notes: Problem[] = [];
    const options = { folder: join(folder, "files"), note: (note: Problem) => notes.push(note) };
    return checkHosts(lab(infra), { ...options, ...(privateKey !== "" && { privateKey }) }).then(
      (problems) => ({
        problems: text(problems),
        notes: text(notes),
      }),
    );
  };

  test("finds nothing wrong with fit machines, and leaves no file", async () => {
    expect(await check()).toEqual({ problems: [], notes: [] });
    expect(readdirSync(join(folder, "files"))).toEqual([]);
  });

  test("asks with the key in a file of the owner's own, and shows it to nobody", async () => {
    await check();
    const seen = (name: string) => readFileSync(join(folder, "seen", name), "utf8");
    expect(seen("node2.key")).toBe(`${login.trimEnd()}\n`);
    expect(seen("node2.files").match(/^-rw------- .* id$/m)).not.toBeNull();
    const secret = login.split("\n")[2] as string;
    expect(seen("node2.args")).not.toContain(secret);
    expect(seen("node2.script")).not.toContain(secret);
    expect(seen("node1.script")).toMatch(
      /^PORTS='6443 10250 2379 2380 8099 80 8080 8081' PROGRAMS=python3\nPEER='' PEER_PORTS='22 6443'\n/,
    );
    expect(seen("node2.script")).toMatch(
      /^PORTS=10250 PROGRAMS=''\nPEER=192\.168\.1\.11 PEER_PORTS='22 6443'\n/,
    );
  });

  test("tells which key a machine showed", async () => {
    fail("node2", 255, "debug1: Server host key: ssh-ed25519 SHA256:shown\nHost key verification failed.");
    expect((await check()).problems).toEqual([
      `nodes.node2.hostKey = ${fingerprintOf(keys.node2)} is not the key that 192.168.1.12:22 shows, which is SHA256:shown`,
    ]);
  });

  test("a login that is refused with the key of the settings is a problem; with the person's own keys it is a note", async () => {
    fail("node2", 255, "cc@192.168.1.12: Permission denied (publickey).");
    expect((await check()).problems).toEqual([
      "nodes.node2.address = 192.168.1.12:22 refuses cc with the key of infra.privateKey: cc@192.168.1.12: Permission denied (publickey).",
    ]);
    const own = await check({}, "");
    expect(own.problems).toEqual([]);
    expect(own.notes).toEqual([
      "nodes.node2.address = 192.168.1.12 answers with the right host key and could not be logged in to with your own keys as cc",
    ]);
    expect(existsSync(join(folder, "seen/node1.key"))).toBe(true);
    expect(readFileSync(join(folder, "seen/node1.key"), "utf8")).toBe("");
  });

  test("says nothing of machines behind a jump node that cannot be passed", async () => {
    fail("node1", 255, "ssh: connect to host 192.168.1.11 port 22: Connection timed out");
    fail("node2", 255, "Connection closed by UNKNOWN port 65535");
    expect((await check({ jumpNode: "node1" })).problems).toEqual([
      "nodes.node1.address = 192.168.1.11:22 cannot be reached by SSH: connect to host 192.168.1.11 port 22: Connection timed out",
    ]);
  });

  test("does not blame a machine that misses a home node which is not there", async () => {
    writeFileSync(join(folder, "answers/node2"), answer("192.168.1.12", "blocked=6443"));
    expect((await check()).problems).toEqual([
      "nodes.node2.address = 192.168.1.12 does not reach node1 at its address, TCP 6443",
    ]);
    writeFileSync(join(folder, "answers/node1"), answer("192.168.1.99"));
    expect((await check()).problems).toEqual([
      "nodes.node1.address = 192.168.1.11 is on no interface of the machine at 192.168.1.11 (192.168.1.99)",
    ]);
  });

  test("an answer that stops in the middle is told", async () => {
    writeFileSync(join(folder, "answers/node2"), "clock=1\nsystem=Linux\n");
    expect((await check()).problems[0]).toContain(
      "lets cc in and does not answer the questions of the check",
    );
  });
});

describe("the host script", () => {
  const root = () => join(folder, "root");
  const at = (path: string) => join(root(), path);
  const put = (path: string, content = "") => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  };
  const CONFIG = "/etc/containerd/config.toml";

  /** Programs that would touch this host: each writes down that it was called; some answer from a file. */
  const FAKES: Readonly<Record<string, string>> = {
    conntrack: "",
    ctr: "case \"$*\" in *'images ls -q'*) cat $FAKE/images 2>/dev/null ;; esac; true",
    dpkg: "",
    "dpkg-query": 'for name; do :; done; grep -qx "$name" $FAKE/packages 2>/dev/null && printf installed',
    hostname: "echo testhost",
    ip: `case "$*" in '-o link show') printf '1: lo: <UP>\\n2: eth0@if3: <UP>\\n'; [ ! -e $FAKE/noded ] || echo '9: cni0: <UP>' ;; esac; true`,
    "iptables-nft-save": "cat $FAKE/rules 2>/dev/null",
    "iptables-nft-restore": "cat >$FAKE/restored",
    "iptables-legacy-save": "",
    "ip6tables-nft-save": "",
    "ip6tables-legacy-save": "",
    kubeadm: "",
    swapoff: "",
    swapon: "",
    sysctl: '[ "$1" != -n ] || { [ "$2" = net.ipv4.ip_forward ] && echo 0; }',
    systemctl: 'case "$1" in is-*) [ -e "$FAKE/containerd-$(cut -c 4- <<<"$1")" ] ;; esac',
    umount: "",
  };

  beforeEach(() => {
    mkdirSync(join(folder, "bin"));
    mkdirSync(join(folder, "fake"));
    for (const [name, body] of Object.entries(FAKES)) {
      const path = join(folder, "bin", name);
      writeFileSync(path, `#!/bin/bash\necho "${name} $*" >>$FAKE/calls\n${body}\n`);
      chmodSync(path, 0o755);
    }
    for (const path of ["lib", "root"]) mkdirSync(at(path), { recursive: true });
    put("etc/machine-id", "0123abcd\n");
    put("etc/gourmetgram/machine.env", "GG_BUNDLES=\n");
    writeFileSync(join(folder, "fake/containerd-active"), "");
    writeFileSync(join(folder, "fake/containerd-enabled"), "");
  });

  function step(
    action: "apply" | "delete",
    options: { environment?: string; identity?: string; facts?: string } = {},
  ) {
    const script = readSource("infra/hosts/scripts/host.sh");
    const settings = {
      NODE: "node1",
      ENVIRONMENT: options.environment ?? "lab",
      IDENTITY: options.identity ?? "one",
    };
    const content = `printf '%s\\n' ${options.facts ?? "init=systemd"}`;
    const files = { [at("run/gourmetgram/check-host.sh")]: { content } };
    const invocation = { step: "host", action, rerun: "always", settings, script, user: "root" } as const;
    return spawnSync("bash", ["-c", renderInvocation(invocation)], {
      input: renderPayload({ settings, files, script }),
      env: {
        ...process.env,
        STEP_ROOT: root(),
        FAKE: join(folder, "fake"),
        PATH: `${join(folder, "bin")}:${process.env["PATH"]}`,
      },
      encoding: "utf8",
    });
  }

  /** What is there, without marks of steps, which end a moment after the step. */
  function tree(path = ""): string[] {
    return readdirSync(at(path) || root())
      .flatMap((name) => {
        const below = path === "" ? name : `${path}/${name}`;
        const stat = lstatSync(at(below));
        if (stat.isSymbolicLink()) return [`${below} -> ${readlinkSync(at(below))}`];
        return stat.isDirectory()
          ? [`${below}/`, ...tree(below)]
          : [`${below}: ${readFileSync(at(below), "utf8")}`];
      })
      .filter((line) => !/^((run|var\/lib)\/gourmetgram|(run|var|var\/lib)\/$)/.test(line));
  }
  const calls = () => readFileSync(join(folder, "fake/calls"), "utf8");

  /** What the node script, kubelet and pods do to a machine. */
  function becomeNode() {
    put(CONFIG, "version = 2 # ours");
    for (const path of [
      "etc/kubernetes/admin.conf",
      "etc/systemd/system/kubelet.service",
      "etc/gourmetgram/cluster/pki/ca.key",
    ])
      put(path);
    for (const path of [
      "var/lib/kubelet/config.yaml",
      "var/lib/etcd/member/snap",
      "var/lib/gourmetgram/bundles/key/bin/kubectl",
    ])
      put(path);
    for (const path of [
      "etc/systemd/system/gourmetgram-bundle.service",
      "etc/cni/net.d/10-gourmetgram.conflist",
    ])
      put(path);
    for (const path of [
      "opt/local-path-provisioner/pvc-1/data",
      "var/lib/cni/networks/last",
      "root/.kube/cache/x",
    ])
      put(path);
    for (const path of ["usr/local/bin", "opt/cni/bin", "lib/modules"])
      mkdirSync(at(path), { recursive: true });
    rmSync(at("usr/local/bin/kubectl"), { force: true });
    symlinkSync("/var/lib/gourmetgram/bundles/key/bin/kubectl", at("usr/local/bin/kubectl"));
    symlinkSync("/var/lib/gourmetgram/bundles/key/cni/bridge", at("opt/cni/bin/bridge"));
    writeFileSync(join(folder, "fake/noded"), "");
    writeFileSync(join(folder, "fake/images"), "mine:1\npause:1\n");
    writeFileSync(join(folder, "fake/packages"), "containerd\nsocat\n");
  }

  test("takes a machine: its answer is the machine's id and a random one, the same until it is given back", () => {
    const first = step("apply");
    expect(first.stderr).toBe("");
    expect(first.stdout).toMatch(/^> node1: taken for lab\n0123abcd-[0-9a-f]{16}\n$/);
    const again = step("apply");
    expect(again.stdout).toBe(first.stdout.split("\n").slice(1).join("\n"));
    expect(readFileSync(at("etc/gourmetgram/host.env"), "utf8")).toMatch(
      /^ENVIRONMENT=lab\nIDENTITY=one\nNODE=node1\nINSTANCE=0123abcd-\w+\nSINCE=20\d\d-\S+Z\n$/,
    );
    expect(step("delete").status).toBe(0);
    const anew = step("apply").stdout.split("\n")[1];
    expect(anew).toMatch(/^0123abcd-/);
    expect(anew).not.toBe(again.stdout.trim());
  });

  test("refuses a machine of another environment, and of one that only has the same name", () => {
    step("apply");
    const other = step("apply", { environment: "other" });
    expect(other.status).toBe(1);
    expect(other.stderr).toMatch(
      /node1 \(testhost\) belongs to the environment lab since 20\S+\n {2}next: destroy that environment, or /,
    );
    const namesake = step("apply", { identity: "two" });
    expect(namesake.stderr).toContain("belongs to another environment named lab");
    expect(step("apply").status).toBe(0);
  });

  test("refuses a Kubernetes node that we did not make, and takes nothing", () => {
    const before = tree();
    const refused = step("apply", {
      facts: "init=systemd kubernetes=/etc/kubernetes/kubelet.conf kubernetes=k3s.service",
    });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("did not make: /etc/kubernetes/kubelet.conf k3s.service\n  next: ");
    expect(step("apply", { facts: "init=runit" }).stderr).toContain("runs runit as its first process");
    expect(tree()).toEqual(before);
  });

  test("gives back exactly what was there", () => {
    put(CONFIG, "version = 2 # theirs");
    put("usr/local/bin/kubectl", "their kubectl");
    put("opt/cni/bin/bridge", "their plugin");
    put("etc/cni/net.d/87-podman.conflist", "theirs");
    put("etc/systemd/system/their.service");
    for (const path of ["var/lib/etcd", "opt/local-path-provisioner", "var/lib/cni"]) {
      mkdirSync(at(path), { recursive: true });
    }
    writeFileSync(join(folder, "fake/images"), "mine:1\n");
    writeFileSync(join(folder, "fake/packages"), "containerd\n");
    const before = tree();
    step("apply");
    rmSync(at("opt/cni/bin/bridge"));
    becomeNode();
    const given = step("delete");
    expect({ stderr: given.stderr, status: given.status }).toEqual({ stderr: "", status: 0 });
    expect(given.stdout).toContain("> node1: given back\n");
    expect(tree()).toEqual(before);
    expect(existsSync(at("var/lib/gourmetgram/bundles"))).toBe(false);
    expect(calls()).toContain("kubeadm reset --force --kubeconfig /nonexistent");
    expect(calls()).toContain("ctr -n k8s.io images remove --sync pause:1\n");
    expect(calls()).not.toContain("remove --sync mine:1");
    expect(calls()).toContain("dpkg --purge socat\n");
    expect(calls()).toContain("systemctl disable --now --quiet gourmetgram-bundle.service\n");
    expect(calls()).toContain("systemctl try-restart containerd\n");
    expect(calls()).toContain("sysctl -q -w net.ipv4.ip_forward=0\n");
    expect(calls()).toContain("ip link delete cni0\n");
  });

  test("gives back a bare machine as a bare machine", () => {
    for (const name of ["active", "enabled"]) rmSync(join(folder, `fake/containerd-${name}`));
    const before = tree();
    step("apply");
    becomeNode();
    expect(step("delete").status).toBe(0);
    expect(
      tree().filter(
        (line) => !/^(etc\/systemd|opt|usr|usr\/local|usr\/local\/bin|etc\/systemd\/system)\/$/.test(line),
      ),
    ).toEqual(before);
    expect(calls()).toContain("systemctl stop containerd\n");
    expect(calls()).toContain("systemctl disable --quiet containerd\n");
    expect(calls()).toContain("dpkg --purge containerd socat\n");
  });

  test("leaves the packet filter's rules of others, with their counters", () => {
    const theirs = [
      "*nat",
      ":PREROUTING ACCEPT [3:180]",
      ":DOCKER - [0:0]",
      "[7:420] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
      "COMMIT",
    ];
    const ours = [
      ":KUBE-SERVICES - [0:0]",
      ":FLANNEL-POSTRTG - [0:0]",
      ":CNI-HOSTPORT-DNAT - [0:0]",
      '[9:540] -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '[1:60] -A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',
      "[0:0] -A PREROUTING -d 169.254.169.254/32 -j DROP",
    ];
    step("apply");
    writeFileSync(
      join(folder, "fake/rules"),
      `${[...theirs.slice(0, 3), ...ours, ...theirs.slice(3)].join("\n")}\n`,
    );
    step("delete");
    expect(readFileSync(join(folder, "fake/restored"), "utf8")).toBe(`${theirs.join("\n")}\n`);
  });

  test("does not touch the packet filter of a machine on which nobody did", () => {
    step("apply");
    writeFileSync(join(folder, "fake/rules"), "*filter\nCOMMIT\n");
    step("delete");
    expect(existsSync(join(folder, "fake/restored"))).toBe(false);
  });

  test("gives nothing back that another environment has taken, and finds nothing on a machine it does not have", async () => {
    step("apply", { environment: "other" });
    becomeNode();
    const before = tree();
    const left = step("delete");
    expect(left.stdout).toContain("belongs to the environment other now, and is left to it");
    expect(left.status).toBe(0);
    expect(tree()).toEqual(before);
    step("delete", { environment: "other" });
    await marksGone();
    expect(step("delete").stdout).toContain("nothing of this environment is on it");
  });

  test("an interrupted giving back is finished by the next, and never starts without knowing what was there", () => {
    put("var/lib/etcd/theirs");
    step("apply");
    rmSync(at("etc/gourmetgram/before"), { recursive: true });
    expect(step("delete").status).toBe(0);
    expect(existsSync(at("var/lib/etcd/theirs"))).toBe(true);
    expect(existsSync(at("etc/gourmetgram/host.env"))).toBe(false);
  });

  test("by hand it does the same, without the graph", () => {
    const before = tree();
    step("apply");
    becomeNode();
    const { status } = spawnSync("bash", [at("etc/gourmetgram/give-back.sh")], {
      env: {
        ...process.env,
        STEP_ROOT: root(),
        FAKE: join(folder, "fake"),
        PATH: `${join(folder, "bin")}:${process.env["PATH"]}`,
      },
    });
    expect(status).toBe(0);
    expect(existsSync(at("etc/gourmetgram/host.env"))).toBe(false);
    expect(existsSync(at("run/gourmetgram"))).toBe(false);
    expect(existsSync(at("etc/kubernetes"))).toBe(false);
    expect(tree().filter((line) => before.includes(line))).toEqual(before);
  });

  /** What the step itself had there goes when whoever followed it has read its end. */
  async function marksGone() {
    const marks = ["var/lib/gourmetgram", "run/gourmetgram"];
    for (let tries = 0; tries < 50 && marks.some((mark) => existsSync(at(mark))); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(marks.filter((mark) => existsSync(at(mark)))).toEqual([]);
  }

  test("its marks are gone a moment after it", async () => {
    step("apply");
    expect(step("delete").status).toBe(0);
    await marksGone();
  });
});

describe("machines in the state", () => {
  const chain =
    "gourmetgram:stacks:Environment$gourmetgram:infra:HostsMachines$gourmetgram:components:RemoteStep";
  const urn = (node: string) =>
    `urn:pulumi:lab::gourmetgram-infra::${chain}$command:remote:Command::machines-${node}`;
  const other =
    "urn:pulumi:lab::gourmetgram-infra::gourmetgram:k8s:Cluster$gourmetgram:components:RemoteStep$command:remote:Command::machines-x";
  const step = (of: string) => ({
    urn: of,
    type: "command:remote:Command",
    inputs: { create: "take", delete: "give back" },
    outputs: { create: "take", delete: "give back", stdout: "id" },
  });

  test("are known by where their step hangs, not by its type", () => {
    expect(hostOfUrn(urn("node-2"))).toBe("node-2");
    expect(hostOfUrn(other)).toBeUndefined();
    expect(hostOfUrn(urn("node2").replace("$command:remote:Command", ""))).toBeUndefined();
  });

  test("that are gone are not given back, all others are", () => {
    const exported = {
      version: 3,
      deployment: {
        manifest: { magic: "kept" },
        resources: [step(urn("node1")), step(urn("node2")), step(other)],
      },
    };
    const changed = withoutGivingBack(exported, ["node2", "node9"]);
    expect(changed?.deployment.resources).toEqual([
      step(urn("node1")),
      { ...step(urn("node2")), inputs: { create: "take" }, outputs: { create: "take", stdout: "id" } },
      step(other),
    ]);
    expect(changed?.deployment).toHaveProperty("manifest.magic", "kept");
    expect(withoutGivingBack(exported, ["node9"])).toBeUndefined();
  });
});
