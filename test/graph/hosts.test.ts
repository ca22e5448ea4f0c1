/**
 * Proves: what machines that exist already are in the graph: a step each that takes and gives back, how they are reached, what
 * waits for what, what ends with what, and that the login key is a secret everywhere.
 * Does not prove: that the scripts take a machine and give it back (unit and end-to-end tests).
 */
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { HostsMachines } from "../../infra/hosts/machines";
import type { HostsNodeSpec } from "../../infra/hosts/spec";
import { environmentGraph } from "../support/environmentGraph";
import { type Graph, type GraphNode, recordGraph } from "../support/graph";

const KEY = "the login's private key";
const node = (last: number, extra: Partial<HostsNodeSpec> = {}): HostsNodeSpec => ({
  role: "worker",
  address: `192.168.1.${last}`,
  port: 22,
  hostKey: `ssh-ed25519 AAAA${last}`,
  ...extra,
});
const NODES = {
  node1: node(11, { role: "controlPlane", host: "lab.example.org", port: 2222 }),
  node2: node(12),
  node3: node(13, { host: "192.168.1.13" }),
};

function hostsGraph(
  nodes: Readonly<Record<string, HostsNodeSpec>> = NODES,
  jumpNode?: string,
): Promise<Graph> {
  return recordGraph(() => {
    const machines = new HostsMachines("machines", {
      environment: "lab",
      spec: {
        cidr: "192.168.1.0/24",
        user: "cc",
        privateKey: pulumi.secret(KEY),
        ...(jumpNode && { jumpNode }),
      },
      nodes,
    });
    return {
      sshConfig: machines.sshConfig,
      privateKey: machines.privateKey,
      public: Object.fromEntries(
        Object.entries(machines.machines).map(([name, { publicAddress }]) => [name, publicAddress ?? "none"]),
      ),
      instances: Object.fromEntries(
        Object.entries(machines.machines).map(([name, { instanceId }]) => [name, instanceId]),
      ),
      resources: Object.fromEntries(
        Object.entries(machines.machines).map(([name, { resource }]) => [name, resource.urn]),
      ),
    };
  });
}

const step = (graph: Graph, name: string): GraphNode =>
  graph.get(`machines-${name}`, "command:remote:Command");

describe("three machines, dialled directly", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await hostsGraph();
  });

  test("are a step each, and one identity", () => {
    const top = graph.get("machines", "gourmetgram:infra:HostsMachines");
    expect(graph.children(top)).toEqual([
      "machines-identity Password",
      "machines-node1 RemoteStep",
      "machines-node2 RemoteStep",
      "machines-node3 RemoteStep",
    ]);
    expect(graph.ofType("command:remote:Command")).toHaveLength(3);
  });

  test("are taken at the same time", () => {
    for (const from of Object.keys(NODES)) {
      for (const to of Object.keys(NODES).filter((other) => other !== from)) {
        expect(graph.waits(step(graph, from), step(graph, to))).toBe(false);
      }
    }
  });

  test("are told whose they are, in plain sight", () => {
    const { create } = step(graph, "node2").inputs;
    const identity = graph.get("machines-identity").name;
    expect(create).toContain("# ENVIRONMENT=lab\n");
    expect(create).toContain("# NODE=node2\n");
    expect(create).toMatch(/# IDENTITY=\w+\n/);
    expect(identity).toBe("machines-identity");
    expect(step(graph, "node2").secretPaths).not.toContain("create");
  });

  test("are given back by the same script when the step goes, before another machine takes their place", () => {
    const command = step(graph, "node2");
    expect(command.inputs.delete).toContain(" step host-delete delete always");
    expect(command.inputs.create).toContain(" step host apply always");
    expect(command.deleteBeforeReplace).toBe(true);
    expect(command.inputs.triggers).toEqual(["192.168.1.12:22", "192.168.1.12"]);
    expect(step(graph, "node1").inputs.triggers).toEqual(["lab.example.org:2222", "192.168.1.11"]);
  });

  test("bring the questions of the check along", () => {
    expect(step(graph, "node1").inputs.stdin).toContain("gg_file /run/gourmetgram/check-host.sh 0600 ");
  });

  test("are dialled at their host, else their address, and their host key is checked", () => {
    expect(step(graph, "node1").inputs.connection).toMatchObject({
      host: "lab.example.org",
      port: 2222,
      user: "cc",
      hostKey: "ssh-ed25519 AAAA11",
    });
    expect(step(graph, "node2").inputs.connection).toMatchObject({
      host: "192.168.1.12",
      port: 22,
      hostKey: "ssh-ed25519 AAAA12",
    });
    for (const name of Object.keys(NODES)) expect(step(graph, name).inputs.connection.proxy).toBeUndefined();
  });

  test("are known by their step: it ends what is on them, and its answer changes when they are taken anew", () => {
    expect(graph.outputs["instances"]).toEqual({
      node1: "machines-node1.stdout",
      node2: "machines-node2.stdout",
      node3: "machines-node3.stdout",
    });
    for (const name of Object.keys(NODES)) {
      expect((graph.outputs["resources"] as Record<string, string>)[name]).toBe(step(graph, name).urn);
    }
  });

  test("only the first control plane has a public address, where it differs", () => {
    expect(graph.outputs["public"]).toEqual({ node1: "lab.example.org", node2: "none", node3: "none" });
  });

  test("keep the login's key a secret", () => {
    for (const command of graph.ofType("command:remote:Command")) {
      expect(command.inputs.connection.privateKey).toBe(KEY);
      expect(command.secretPaths).toContain("connection");
      expect(command.inputs.create).not.toContain(KEY);
    }
    expect(graph.secretOutputs).toEqual(["privateKey"]);
    expect(graph.outputs["privateKey"]).toBe(KEY);
  });

  test("have an SSH configuration", () => {
    const config = graph.outputs["sshConfig"] as string;
    expect(config).toContain("Host node1\n  HostName lab.example.org\n  Port 2222\n  User cc\n");
    expect(config).not.toContain("ProxyJump");
    expect(config).not.toContain(KEY);
  });
});

describe("a jump node", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await hostsGraph(NODES, "node1");
  });

  test("is dialled directly, and the others through it, with its host key checked", () => {
    expect(step(graph, "node1").inputs.connection.proxy).toBeUndefined();
    for (const name of ["node2", "node3"]) {
      const command = step(graph, name);
      expect(command.inputs.connection.proxy).toMatchObject({
        host: "lab.example.org",
        port: 2222,
        user: "cc",
        hostKey: "ssh-ed25519 AAAA11",
      });
      expect(command.secretPaths).toContain("connection");
    }
    const config = graph.outputs["sshConfig"] as string;
    expect(config.match(/ProxyJump node1/g)).toHaveLength(2);
  });

  test("is waited for by nobody: it need not be taken to be passed", () => {
    expect(graph.waits(step(graph, "node2"), step(graph, "node1"))).toBe(false);
  });
});

test("two nodes on one machine, and a jump node that is none, are refused before anything is made", async () => {
  const nodes = { node1: NODES.node1, node2: node(12, { host: "lab.example.org", port: 2222 }) };
  await expect(hostsGraph(nodes, "node9")).rejects.toThrow(
    /2 problems in the machines of lab:\n\n {2}infra\.jumpNode = "node9"[\s\S]*nodes\.node2\.host = "lab\.example\.org:2222"\n\s+is the machine of node1 too/,
  );
});

describe("a whole environment on them", () => {
  let graph: Graph;
  beforeAll(async () => {
    const { node1, node2 } = NODES;
    graph = await environmentGraph(
      {
        // The machines take the bundle by URL: nobody waits for a copy on the first one.
        cluster: { bundleUrl: "http://192.168.1.2/bundle" },
        infra: { kind: "hosts", cidr: "192.168.1.0/24", user: "cc", privateKey: pulumi.secret(KEY) },
        nodes: {
          node1: { ...node1, hostKey: "ssh-ed25519 AAAA" },
          node2: { ...node2, hostKey: "ssh-ed25519 AAAB" },
        },
      },
      { stack: "lab" },
    );
  });

  test("ends with the step of the first control plane", () => {
    const home = step(graph, "node1").urn;
    const kubernetes = graph.nodes.filter(
      ({ type, custom }) => custom && /^kubernetes:(?!.*provider)/.test(type),
    );
    expect(kubernetes.length).toBeGreaterThan(30);
    expect(kubernetes.filter((object) => graph.deletedWith(object) !== home).map(({ name }) => name)).toEqual(
      [],
    );
    expect(graph.deletedWith(graph.get("cluster-node2-membership", "command:remote:Command"))).toBe(home);
  });

  test("makes a node anew when its machine was given back and taken again", () => {
    const membership = graph.get("cluster-node2-membership", "command:remote:Command");
    expect(graph.get("cluster-node2", "command:remote:Command").inputs.triggers).toContain(
      "machines-node2.stdout",
    );
    expect(membership.inputs.triggers).toContain("machines-node2.stdout");
  });

  test("drains a node before its machine is given back", () => {
    const membership = graph.get("cluster-node2-membership", "command:remote:Command");
    expect(graph.waits(membership, step(graph, "node2"))).toBe(true);
    expect(graph.waits(graph.get("cluster-node2", "command:remote:Command"), step(graph, "node2"))).toBe(
      true,
    );
    // A worker is a node without waiting for the other machines.
    expect(graph.waits(graph.get("cluster-node2", "command:remote:Command"), step(graph, "node1"))).toBe(
      false,
    );
  });

  test("shows the login's key to nobody", () => {
    const shown = graph.nodes.filter(({ inputs, secretPaths }) =>
      paths(inputs).some(
        ([path, value]) =>
          String(value).includes(KEY) && !secretPaths.some((secret) => path.startsWith(secret)),
      ),
    );
    expect(shown.map(({ name }) => name)).toEqual([]);
  });
});

function paths(value: unknown, path = ""): [string, unknown][] {
  if (typeof value !== "object" || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, item]) =>
    paths(item, Array.isArray(value) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`),
  );
}
