/**
 * Proves: what a remote step asks the command provider for. Does not prove: that it runs (unit and end-to-end tests).
 */
import { beforeAll, describe, expect, test } from "vitest";
import { RemoteStep } from "../../components/remoteStep";
import { type Graph, type GraphNode, recordGraph } from "../support/graph";

const ssh = { user: "ubuntu", privateKey: "key", hostKey: "ssh-ed25519 AAAA" };

describe("a step on a machine behind a jump host", () => {
  let graph: Graph;
  let command: GraphNode;
  beforeAll(async () => {
    graph = await recordGraph(() => {
      new RemoteStep("step", {
        ssh: { ...ssh, host: "10.0.0.12", proxy: { ...ssh, host: "192.0.2.1", port: 2222 } },
        step: "demo",
        script: "k8s/cluster/scripts/membership.sh",
        environment: { NODE: "node2" },
        files: { "/etc/plain": { content: "not secret by itself" } },
        triggers: ["instance-1"],
        timeout: "3m",
      });
    });
    command = graph.get("step", "command:remote:Command");
  });

  test("sends its files as a secret, whatever they are", () => {
    expect(command.secretPaths).toContain("stdin");
    expect(command.inputs.create).not.toContain("not secret by itself");
  });

  test("checks both host keys and goes through the jump host", () => {
    expect(command.inputs.connection).toMatchObject({
      host: "10.0.0.12",
      port: 22,
      hostKey: "ssh-ed25519 AAAA",
      proxy: { host: "192.0.2.1", port: 2222, hostKey: "ssh-ed25519 AAAA" },
    });
  });

  test("runs nothing on delete unless told, and never beside its predecessor", () => {
    expect(command.inputs.delete).toBeUndefined();
    expect(command.deleteBeforeReplace).toBe(true);
    expect(command.inputs.triggers).toEqual(["instance-1"]);
  });

  test("is bounded in time", () => {
    expect(command.timeouts).toEqual({ create: "3m", update: "3m", pb_delete: "3m" });
  });
});
