/**
 * Proves: machines that exist already become a cluster over SSH, a second environment does not get them, and a destroy gives them
 * back as they were, so that they can be taken again. The machines are those of a local environment that stops at machines.
 * Does not prove: machines without containerd and a bundle, jump nodes, Ubuntu.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { withSsh } from "../../tools/provider/ssh";
import { EnvironmentUnderTest, run } from "./environmentUnderTest";

const CIDR = "10.82.0.0/24";
const ADDRESSES = { node1: "10.82.0.11", node2: "10.82.0.12" } as const;
type Node = keyof typeof ADDRESSES;
const NODES = Object.keys(ADDRESSES) as Node[];

/** Whose machines exist already. */
const owner = new EnvironmentUnderTest("e2e-machines");
const environment = new EnvironmentUnderTest("e2e-hosts");
const rival = new EnvironmentUnderTest("e2e-rival");

let login: string;
let hostKeys: Record<Node, string>;
let before: Record<Node, string>;

beforeAll(async () => {
  owner.configure({
    infra: { kind: "local", cidr: CIDR },
    nodes: {
      node1: { role: "controlPlane", address: ADDRESSES.node1 },
      node2: { address: ADDRESSES.node2 },
    },
  });
  await destroyAll();
  upTo("machines");
  await owner.command("up");
  const { ssh } = (await owner.outputs()) as unknown as { ssh: { config: string; privateKey: string } };
  login = ssh.privateKey;
  hostKeys = Object.fromEntries(
    NODES.map((node) => [node, hostKeyIn(ssh.config, ADDRESSES[node])]),
  ) as typeof hostKeys;
  before = await states();
  upTo("cluster");
  await settle(environment, {});
  await settle(rival, {});
});

afterAll(async () => {
  if (process.env["KEEP"] !== "1") {
    await destroyAll();
    for (const each of [environment, rival, owner]) each.forget();
  }
  delete process.env["GOURMETGRAM_UP_TO"];
});

/** The last to come goes first: a machine that ends cannot be given back. */
async function destroyAll(): Promise<void> {
  for (const each of [rival, environment, owner]) await each.tryCommand("destroy", "--yes");
}

function upTo(layer: string): void {
  process.env["GOURMETGRAM_UP_TO"] = layer;
}

function hostKeyIn(config: string, address: string): string {
  return new RegExp(`KnownHostsCommand /bin/echo ${address} (\\S+ \\S+)`).exec(config)?.[1] ?? "";
}

/** Writes the settings, and encrypts the login's key as the error message of a missing one says. */
async function settle(
  target: EnvironmentUnderTest,
  changes: Readonly<Partial<Record<Node, object>>>,
): Promise<void> {
  target.configure({
    infra: { kind: "hosts", cidr: CIDR, user: "root" },
    nodes: Object.fromEntries(
      NODES.map((node) => [
        node,
        {
          role: node === "node1" ? "controlPlane" : "worker",
          address: ADDRESSES[node],
          hostKey: hostKeys[node],
          ...changes[node],
        },
      ]),
    ),
  });
  const set = [
    `eval "$(node tools/run.mjs toolchain ${target.stack} --env)"`,
    `pulumi config set --stack ${target.stack} --secret --path gourmetgram-infra:infra.privateKey`,
  ];
  await run("bash", ["-euc", set.join("\n")], { input: login });
}

async function onMachine(node: Node, script: string): Promise<string> {
  const machine = {
    host: ADDRESSES[node],
    port: 22,
    user: "root",
    privateKey: login,
    hostKey: hostKeys[node],
  };
  return withSsh(machine, (ssh) => ssh.run({ script }));
}

async function states(): Promise<Record<Node, string>> {
  const script = readFileSync(join(projectRoot(), "test/e2e/fixtures/machine_state.sh"), "utf8");
  const found = await Promise.all(
    NODES.map(async (node) => [node, await onMachine(node, `set +e\n${script}`)] as const),
  );
  return Object.fromEntries(found) as Record<Node, string>;
}

async function readyNodes(): Promise<string[]> {
  const { items } = await environment.kubectlJson<{
    items: { metadata: { name: string }; status: { conditions: { type: string; status: string }[] } }[];
  }>("get", "nodes");
  return items
    .filter(({ status }) =>
      status.conditions.some(({ type, status: is }) => type === "Ready" && is === "True"),
    )
    .map(({ metadata }) => metadata.name)
    .sort();
}

test("what is wrong with the machines is told before anything is made", async () => {
  await settle(environment, {
    node1: { address: "10.82.0.77", host: ADDRESSES.node1 },
    node2: { hostKey: hostKeys.node1 },
  });
  const refused = await environment.tryCommand("up");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain(
    'nodes.node1.address = "10.82.0.77"\n    is on no interface of the machine at 10.82.0.11',
  );
  expect(refused.stderr).toMatch(
    /nodes\.node2\.hostKey = "SHA256:\S+"\n {4}is not the key that 10\.82\.0\.12:22 shows/,
  );
  expect(refused.stderr + refused.stdout).not.toContain(login.split("\n")[1]);
  expect(await states()).toEqual(before);
  await settle(environment, {});
});

test("they become a cluster", async () => {
  await environment.command("up");
  expect(await readyNodes()).toEqual(NODES);
});

test("a second preview is quiet", async () => {
  await environment.command("preview", "--expect-no-changes");
});

test("another environment does not get them", async () => {
  const refused = await rival.tryCommand("up");
  expect(refused.code).toBe(2);
  for (const node of NODES) {
    expect(refused.stderr).toContain(
      `nodes.${node}.address = "${ADDRESSES[node]}"\n    belongs to the environment e2e-hosts`,
    );
  }
  expect(await readyNodes()).toEqual(NODES);
});

test("a destroy gives them back as they were, and containerd works", async () => {
  await environment.command("destroy", "--yes");
  expect(await states()).toEqual(before);
  for (const node of NODES) {
    expect(
      await onMachine(node, "systemctl is-active containerd; ctr version >/dev/null && echo answers"),
    ).toBe("active\nanswers\n");
  }
  await environment.command("leftovers");
});

test("they can be taken again", async () => {
  await environment.command("up");
  expect(await readyNodes()).toEqual(NODES);
});

test("both environments go and leave nothing", async () => {
  await environment.command("destroy", "--yes");
  expect(await states()).toEqual(before);
  await owner.command("destroy", "--yes");
  await environment.command("leftovers");
  await owner.command("leftovers");
});
