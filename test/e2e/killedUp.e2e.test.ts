/**
 * Proves: `up` killed with SIGKILL at three random moments is finished by the next `up`, with nothing doubled or orphaned.
 * Does not prove: the loss of the host itself at such a moment.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { EnvironmentUnderTest, killTree } from "./environmentUnderTest";

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
  // A kill while delivery starts is part of delivery's own test.
  process.env["GOURMETGRAM_UP_TO"] = "platform";
  environment.configure(settings);
  await environment.tryCommand("destroy", "--yes");
});

afterAll(async () => {
  if (process.env["KEEP"] !== "1") {
    await environment.tryCommand("destroy", "--yes");
    environment.forget();
  }
  delete process.env["GOURMETGRAM_UP_TO"];
});

test("a killed up is finished by the next", async () => {
  for (const { from, spread } of moments) {
    const seconds = from + Math.random() * spread;
    const { child, done } = environment.startCommand("up");
    const timer = setTimeout(() => killTree(child.pid as number), seconds * 1000);
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
