/**
 * Proves: `up` killed with SIGKILL at three random moments is finished by the next `up`, with nothing doubled or orphaned.
 * Does not prove: the loss of the host itself at such a moment.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { EnvironmentUnderTest } from "./environmentUnderTest";

const environment = new EnvironmentUnderTest("e2e-killed");
const settings = {
  infra: { kind: "local", cidr: "10.85.0.0/24" },
  nodes: {
    node1: { role: "controlPlane", address: "10.85.0.11" },
    node2: { role: "worker", address: "10.85.0.12" },
  },
};
/** The first second and the spread of each kill: while machines are made, while nodes join, while the platform starts. */
const moments = [
  { from: 3, spread: 8 },
  { from: 8, spread: 15 },
  { from: 10, spread: 30 },
];

beforeAll(async () => {
  environment.configure(settings);
  await environment.tryCommand("destroy", "--yes");
});

afterAll(async () => {
  if (process.env["KEEP"] === "1") return;
  await environment.tryCommand("destroy", "--yes");
  environment.forget();
});

/** SIGKILL to the process and all its descendants, as the end of a terminal or a full memory does it. */
async function killTree(pid: number): Promise<void> {
  const { readdirSync, readFileSync } = await import("node:fs");
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // The process ended while we looked.
    }
  }
  const tree = [pid];
  for (const member of tree)
    tree.push(...[...parents].filter(([, parent]) => parent === member).map(([child]) => child));
  for (const member of tree) {
    try {
      process.kill(member, "SIGKILL");
    } catch {
      // Gone already.
    }
  }
}

test("a killed up is finished by the next", async () => {
  for (const { from, spread } of moments) {
    const seconds = from + Math.random() * spread;
    const { child, done } = environment.startCommand("up");
    const timer = setTimeout(() => void killTree(child.pid as number), seconds * 1000);
    const result = await done;
    clearTimeout(timer);
    console.log(`killed after ${seconds.toFixed(1)} s: exit ${result.code}`);
  }
  const up = await environment.command("up");
  expect(up.code).toBe(0);
  const list = await environment.kubectlJson<{ items: { metadata: { name: string } }[] }>("get", "nodes");
  expect(list.items.map((node) => node.metadata.name).sort()).toEqual(["node1", "node2"]);
  await environment.command("preview", "--expect-no-changes");
});

test("its destroy leaves nothing", async () => {
  await environment.command("destroy", "--yes");
  expect((await environment.command("leftovers")).code).toBe(0);
});
