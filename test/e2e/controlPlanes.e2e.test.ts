/**
 * Proves: three control planes form one etcd, two of them leave it in good order, and the cluster goes on; a machine that dies in the
 * middle of its bootstrap is named with the last lines of its log, and the next `up` makes it anew.
 * Does not prove: that the API stays reachable without the first control plane, whose address is the endpoint.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { readMachineFolder } from "../../infra/local/machineFolder";
import { machineNames, machinesRoot } from "../../infra/local/naming";
import { EnvironmentUnderTest, eventually } from "./environmentUnderTest";

const environment = new EnvironmentUnderTest("e2e-planes");
const infra = { kind: "local", cidr: "10.83.0.0/24" };
const plane = (last: number) => ({ role: "controlPlane", address: `10.83.0.${last}` });

beforeAll(async () => {
  // Only the cluster: the platform has its own test.
  process.env["GOURMETGRAM_UP_TO"] = "cluster";
  environment.configure({ infra, nodes: { node1: plane(11) } });
  await environment.tryCommand("destroy", "--yes");
});

afterAll(async () => {
  if (process.env["KEEP"] !== "1") {
    await environment.tryCommand("destroy", "--yes");
    environment.forget();
  }
  delete process.env["GOURMETGRAM_UP_TO"];
});

async function etcdMembers(): Promise<string[]> {
  const list = await environment.kubectl(
    ...["-n", "kube-system", "exec", "etcd-node1", "--", "etcdctl", "--endpoints=https://127.0.0.1:2379"],
    ...["--cacert=/etc/kubernetes/pki/etcd/ca.crt", "--cert=/etc/kubernetes/pki/etcd/server.crt"],
    ...["--key=/etc/kubernetes/pki/etcd/server.key", "member", "list"],
  );
  return list
    .trim()
    .split("\n")
    .map((line) => line.split(", ")[2] ?? "")
    .sort();
}

test("three control planes are one etcd of three", async () => {
  environment.configure({ infra, nodes: { node1: plane(11), node2: plane(12), node3: plane(13) } });
  await environment.command("up");
  expect(await etcdMembers()).toEqual(["node1", "node2", "node3"]);
});

test("two of them leave, one at a time, and the cluster goes on", async () => {
  environment.configure({ infra, nodes: { node1: plane(11) } });
  await environment.command("up");
  await eventually("etcd has one member", 60, async () => (await etcdMembers()).join() === "node1");
  expect((await environment.kubectl("get", "nodes", "-o", "name")).trim()).toBe("node/node1");
});

test("a machine that dies while it joins is named with its log; the next up makes it a node", async () => {
  environment.configure({
    infra,
    nodes: { node1: plane(11), node2: { role: "worker", address: "10.83.0.12" } },
  });
  const { child, done } = environment.startCommand("up");
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: string) => (output += text));
  await eventually(
    "node2 joins",
    120,
    async () => output.includes("node2: kubeadm join") || output.includes("node2: waiting"),
  );
  const { folder } = machineNames(machinesRoot(), environment.stack, "node2");
  process.kill(readMachineFolder(folder)?.init as number, "SIGKILL");
  const failed = await done;
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain("node2");
  expect(failed.stderr).toContain("The last lines of the log of node2:");
  await environment.command("up");
  expect((await environment.kubectl("get", "nodes", "-o", "name")).trim().split("\n")).toEqual([
    "node/node1",
    "node/node2",
  ]);
});
