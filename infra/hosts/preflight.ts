import { spawnSync } from "node:child_process";
import { homeNode } from "../../components/homeNode";
import type { Problem } from "../../components/problems";
import { shellQuote } from "../../components/shellQuote";
import { readSource } from "../../components/sourceFile";
import {
  type CheckedNode,
  type HostFacts,
  hostProblems,
  PEER_PORTS,
  parseFacts,
  portsOf,
  programsOf,
  sameMachineProblems,
} from "./facts";
import { checkPlaces, hostOf, jumpOf, placePath } from "./places";
import type { HostsNodeSpec, HostsSpec } from "./spec";
import { fingerprintOf, SshClient, type SshResult } from "./sshClient";

/** The settings that the check looks at, those of an environment of kind `hosts`. */
export interface HostsCheckSpec {
  /** Name of the environment. */
  readonly name: string;
  readonly infra: Pick<HostsSpec, "user" | "jumpNode">;
  readonly nodes: Readonly<Record<string, HostsNodeSpec>>;
}

export interface HostsCheckOptions {
  /**
   * The private key of the settings, decrypted. @default none: the person's own keys are tried, and machines that they do not open
   * are not looked into
   */
  readonly privateKey?: string;
  /** Ports that the first control plane will publish. @default 80, 8080 and 8081 */
  readonly publicPorts?: readonly number[];
  /** Where the nodes take the bundle from. @default the first control plane */
  readonly bundleUrl?: string;
  /** Folder for files that must not outlive the check, readable by its owner only. @default a new one for temporary files */
  readonly folder?: string;
  /** Takes what could not be looked at; nothing is wrong with it. @default nobody hears of it */
  readonly note?: (note: Problem) => void;
}

/** Longest that one machine is waited for, seconds. */
const LIMIT_SECONDS = 15;

/** Logins through a jump node at a time: an SSH server drops some when there are more than ten that have not finished. */
const JUMPS_AT_A_TIME = 8;

/** Where a machine publishes the stages. */
const PUBLIC_PORTS: readonly number[] = [80, 8080, 8081];

/**
 * Everything about the machines that would stop the environment, found over SSH before anything is made; it changes nothing on
 * them. All machines are asked at the same time, eight at a time through a jump node, each for at most 15 s.
 */
export async function checkHosts(spec: HostsCheckSpec, options: HostsCheckOptions = {}): Promise<Problem[]> {
  const problems = [
    ...checkPlaces({ environment: spec.name, spec: spec.infra, nodes: spec.nodes }),
    ...checkClient(options.privateKey),
  ];
  if (problems.length > 0) return problems;
  const nodes = checkedNodes(spec, options);
  const client = new SshClient({ spec: spec.infra, ...spec, ...options });
  try {
    const limit = spec.infra.jumpNode === undefined ? nodes.length : JUMPS_AT_A_TIME;
    const results = await inTurns(nodes, limit, (node) => ask(client, node, nodes, options));
    return judge(spec, nodes, results, options);
  } finally {
    client.close();
  }
}

function checkedNodes(
  { name, infra, nodes }: HostsCheckSpec,
  { bundleUrl }: HostsCheckOptions,
): CheckedNode[] {
  const home = homeNode(nodes);
  return Object.entries(nodes).map(([node, spec]) => ({
    name: node,
    spec,
    user: infra.user,
    environment: name,
    ...(home !== undefined && { home }),
    handsOutBundle: node === home && bundleUrl === undefined,
  }));
}

/** What is missing on this host, or wrong with the key itself, which each machine would only refuse. */
function checkClient(privateKey: string | undefined): Problem[] {
  if (spawnSync("ssh", ["-V"], { stdio: "ignore" }).error !== undefined) {
    return [
      {
        path: "host.commands.ssh",
        problem: "is not installed",
        next: "install it, on Debian: apt-get install openssh-client",
      },
    ];
  }
  const found = privateKey === undefined ? undefined : keyProblem(privateKey);
  if (found === undefined) return [];
  return [
    {
      path: "infra.privateKey",
      problem: found,
      allowed: "a private key as ssh-keygen writes it, without a passphrase",
      next: "set one whose public half is in the machines' authorized_keys",
    },
  ];
}

/** What can be told of a private key by looking at it; its text is nowhere shown. */
export function keyProblem(privateKey: string): string | undefined {
  const lines = privateKey.trim().split("\n");
  if (!/^-----BEGIN [A-Z ]*PRIVATE KEY-----$/.test(lines[0]?.trim() ?? "")) return "is no private key";
  if (!/^-----END [A-Z ]*PRIVATE KEY-----$/.test(lines.at(-1)?.trim() ?? "")) return "is cut short";
  const encrypted = lines[0]?.includes("OPENSSH")
    ? cipherOf(lines.slice(1, -1).join("")) !== "none"
    : /ENCRYPTED/.test(privateKey);
  return encrypted ? "has a passphrase, which nobody could be asked for" : undefined;
}

/** How the body of an OpenSSH key is encrypted: the first text behind the magic word and a zero byte. */
function cipherOf(body: string): string {
  const bytes = Buffer.from(body, "base64").subarray("openssh-key-v1".length + 1);
  return bytes.length < 4 ? "" : bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString();
}

/** Maps all items, at most `limit` at a time, in the order given. */
async function inTurns<Item, Result>(
  items: readonly Item[],
  limit: number,
  map: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const rest = items.entries();
  const work = async () => {
    for (const [index, item] of rest) results[index] = await map(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  return results;
}

/** Runs the script on a machine, a second time when the server had too many logins at once. */
async function ask(
  client: SshClient,
  node: CheckedNode,
  nodes: readonly CheckedNode[],
  options: HostsCheckOptions,
): Promise<SshResult> {
  const peer = nodes.find(({ name }) => name === node.home && name !== node.name)?.spec.address ?? "";
  const script = [
    `PORTS=${shellQuote(portsOf(node, options.publicPorts ?? PUBLIC_PORTS).join(" "))} PROGRAMS=${shellQuote(programsOf(node).join(" "))}`,
    `PEER=${shellQuote(peer)} PEER_PORTS=${shellQuote(PEER_PORTS.join(" "))}`,
    readSource("infra/hosts/scripts/check.sh"),
  ].join("\n");
  const began = Date.now();
  const result = await client.run(node.name, script, LIMIT_SECONDS);
  const crowded = /kex_exchange_identification|Connection (closed|reset) by/.test(result.stderr);
  const left = LIMIT_SECONDS - (Date.now() - began) / 1000;
  if (result.code === 0 || !crowded || left < 3) return result;
  await new Promise((resolve) => setTimeout(resolve, 500 + Math.random() * 1000));
  return client.run(node.name, script, left - 1.5);
}

function judge(
  spec: HostsCheckSpec,
  nodes: readonly CheckedNode[],
  results: readonly SshResult[],
  options: HostsCheckOptions,
): Problem[] {
  const facts: Record<string, HostFacts> = {};
  const failures: Record<string, SshFailure> = {};
  nodes.forEach((node, index) => {
    const result = results[index] as SshResult;
    const found = result.code === 0 ? parseFacts(result.stdout, result.arrival) : undefined;
    if (found === undefined) failures[node.name] = readFailure(result, node.spec.hostKey);
    else facts[node.name] = found;
  });
  const problems = nodes.flatMap((node) => {
    const failure = failures[node.name];
    if (failure !== undefined) {
      const jump = jumpOf(spec.infra, node.name);
      // Nobody knows what is wrong with a machine whose jump node cannot be passed; that one has its own problem.
      if (jump !== undefined && failures[jump] !== undefined) return [];
      if (failure.kind === "login" && options.privateKey === undefined) {
        options.note?.(closedNote(node));
        return [];
      }
      return [failureProblem(node, failure, jump)];
    }
    const found = facts[node.name] as HostFacts;
    // That nobody reaches a home node that is down, or elsewhere, says nothing new.
    return hostProblems(node, isHomeRight(nodes, facts) ? found : { ...found, blocked: [] });
  });
  return [...problems, ...sameMachineProblems(nodes, facts)];
}

function isHomeRight(nodes: readonly CheckedNode[], facts: Readonly<Record<string, HostFacts>>): boolean {
  const home = nodes.find(({ name, home: homeName }) => name === homeName);
  return home !== undefined && facts[home.name]?.addresses.includes(home.spec.address) === true;
}

/** Why a machine gave no facts. */
export interface SshFailure {
  /**
   * `hostKey`: it showed another key; `login`: it does not let us in; `script`: it let us in and did not answer to the end;
   * `reach`: everything before that.
   */
  readonly kind: "hostKey" | "login" | "script" | "reach";
  /** What was said about it, one line; for `hostKey` the fingerprint of the key it showed. */
  readonly said: string;
}

/** Tells by what SSH said how far it came. */
export function readFailure(
  result: Pick<SshResult, "code" | "stderr" | "fingerprint">,
  expectedKey: string,
): SshFailure {
  const { code, stderr, fingerprint } = result;
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const last = lines.at(-1) ?? "";
  const line = (pattern: RegExp) => lines.find((candidate) => pattern.test(candidate));
  if (line(/Host key verification failed|key is known for .* requested strict checking/) !== undefined) {
    // The jump node's key is another problem of another node.
    return { kind: "hostKey", said: fingerprint === fingerprintOf(expectedKey) ? "" : (fingerprint ?? "") };
  }
  const denied = line(/Permission denied \(|Too many authentication failures|no such identity|Load key /);
  if (denied !== undefined && code === 255) return { kind: "login", said: last };
  if (code === undefined) return { kind: "reach", said: `no answer within ${LIMIT_SECONDS} s` };
  if (code !== 255) return { kind: "script", said: last || `its shell ended with ${code}` };
  // With a jump node the first to fail says why, and the second only that it was left alone.
  const cause = line(/^channel \d+: open failed|^ssh: |^kex_exchange_identification: /) ?? last;
  return {
    kind: "reach",
    said: cause.replace(/^(ssh: |kex_exchange_identification: |channel \d+: )/, ""),
  };
}

function failureProblem(node: CheckedNode, failure: SshFailure, jump: string | undefined): Problem {
  const { name, spec, user } = node;
  const place = { path: placePath(name, spec), value: `${hostOf(spec)}:${spec.port}` };
  const by = jump === undefined ? "" : ` (through ${jump})`;
  switch (failure.kind) {
    case "hostKey":
      return {
        path: `nodes.${name}.hostKey`,
        value: fingerprintOf(spec.hostKey),
        problem: `is not the key that ${hostOf(spec)}:${spec.port} shows${failure.said === "" ? "" : `, which is ${failure.said}`}`,
        next:
          `compare with what the machine itself says: ssh-keygen -lf /etc/ssh/ssh_host_${keyKind(spec.hostKey)}_key.pub; ` +
          "if it was installed anew, set the new key; if not, somebody stands between",
      };
    case "login":
      return {
        ...place,
        problem: `refuses ${user} with the key of infra.privateKey${by}: ${failure.said}`,
        next: `add the public half of the key to ~${user}/.ssh/authorized_keys on it, or correct infra.user`,
      };
    case "script":
      return {
        ...place,
        problem: `lets ${user} in${by} and does not answer the questions of the check: ${failure.said}`,
        allowed: "a login whose shell runs commands, and bash",
        next: `look what this prints: ssh ${user}@${hostOf(spec)} -p ${spec.port} bash --version`,
      };
    case "reach":
      return {
        ...place,
        problem: `cannot be reached by SSH${by}: ${failure.said}`,
        next: `start the machine and its SSH server, look at firewalls between, or correct ${place.path}`,
      };
  }
}

/** As sshd names its files: ed25519, rsa or ecdsa. */
function keyKind(hostKey: string): string {
  return /^(?:ssh-)?(ed25519|rsa|ecdsa)/.exec(hostKey)?.[1] ?? "*";
}

function closedNote(node: CheckedNode): Problem {
  return {
    path: placePath(node.name, node.spec),
    value: hostOf(node.spec),
    problem: `answers with the right host key and could not be logged in to with your own keys as ${node.user}`,
    next: "nothing: the rest is checked during up, with the key of the settings",
  };
}
