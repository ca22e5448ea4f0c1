/**
 * Proves: what the bootstrap makes, what waits for what, what must not wait, and that keys are secrets.
 * Does not prove: that the scripts work on a machine (end-to-end tests).
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { Machine, NodeRole, NodeSpec } from "../../components/contracts";
import { Cluster, type ClusterArgs, checkCluster, nodeLabels } from "../../k8s/cluster/cluster";
import { type Graph, type GraphNode, recordGraph } from "../support/graph";

let manifests: string;
beforeAll(() => {
  manifests = mkdtempSync(join(tmpdir(), "manifests-"));
  const pod = { spec: { containers: [{ name: "main", image: "upstream" }] } };
  const objects = (name: string) => [
    { apiVersion: "v1", kind: "Namespace", metadata: { name } },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: name },
      spec: { template: pod },
    },
    { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name }, provisioner: "x" },
  ];
  for (const [file, name] of [
    ["local-path.yaml", "local-path"],
    ["metrics-server.yaml", "metrics"],
  ] as const) {
    writeFileSync(
      join(manifests, file),
      objects(name)
        .map((object) => stringify(object))
        .join("---\n"),
    );
  }
});
afterAll(() => rmSync(manifests, { recursive: true, force: true }));

/** Stands for a machine of any infra: a resource that ends it, and its address. */
class FakeMachine extends pulumi.CustomResource {
  declare readonly instanceId: pulumi.Output<string>;
  constructor(name: string) {
    super("gourmetgram:local:Machine", name, { instanceId: `${name}-1` });
  }
}

function machine(name: string, spec: NodeSpec): Machine {
  const resource = new FakeMachine(name);
  return {
    name,
    spec,
    ssh: {
      host: spec.address,
      user: "root",
      privateKey: pulumi.secret("key"),
      hostKey: `ssh-ed25519 ${name}`,
    },
    instanceId: resource.instanceId,
    resource,
  };
}

function clusterGraph(
  roles: Readonly<Record<string, NodeRole>>,
  registry?: ClusterArgs["registry"],
): Promise<Graph> {
  return recordGraph(() => {
    const machines = Object.fromEntries(
      Object.entries(roles).map(([name, role], index) => [
        name,
        machine(name, { role, address: `10.87.0.${11 + index}` }),
      ]),
    );
    const cluster = new Cluster("cluster", {
      clusterName: "demo",
      machines,
      kubernetesVersion: "v1.34.2",
      podCidr: "10.244.0.0/16",
      serviceCidr: "10.96.0.0/16",
      imageRepository: "registry.example",
      etcdTag: "3.6.4-0",
      corednsTag: "v1.12.4",
      images: {
        flannel: "flannel:1",
        pause: "pause:1",
        localPathProvisioner: "local-path:1",
        localPathHelper: "busybox:1",
        metricsServer: "metrics:1",
      },
      manifestsFolder: manifests,
      bundleKey: "abc",
      ...(registry && { registry }),
    });
    return { kubeconfig: cluster.access.kubeconfig, authorityKey: cluster.authority.privateKeyPem };
  });
}

const command = (graph: Graph, name: string): GraphNode => graph.get(name, "command:remote:Command");

describe("three nodes", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await clusterGraph({ node1: "controlPlane", node2: "worker", node3: "worker" });
  });

  test("there is one script per node and one membership per node", () => {
    const commands = graph.ofType("command:remote:Command").map((node) => node.name);
    expect(commands.sort()).toEqual(
      ["node1", "node2", "node3"].flatMap((node) => [`cluster-${node}`, `cluster-${node}-membership`]),
    );
  });

  test("no node's script waits for another node's", () => {
    for (const from of ["node1", "node2", "node3"]) {
      for (const to of ["node1", "node2", "node3"].filter((other) => other !== from)) {
        expect(
          graph.path(command(graph, `cluster-${from}`), command(graph, `cluster-${to}`)),
        ).toBeUndefined();
        expect(graph.path(command(graph, `cluster-${from}`), graph.get(to))).toBeUndefined();
      }
    }
  });

  test("the pod network waits for the API server and for no worker", () => {
    const network = graph.get("cluster-network", "DaemonSet");
    expect(graph.waits(network, command(graph, "cluster-node1"))).toBe(true);
    expect(graph.waits(network, command(graph, "cluster-node2"))).toBe(false);
    expect(graph.waits(network, command(graph, "cluster-node2-membership"))).toBe(false);
  });

  test("a node counts as a member without waiting for the others", () => {
    const second = command(graph, "cluster-node2-membership");
    expect(graph.waits(second, command(graph, "cluster-node3-membership"))).toBe(false);
    expect(graph.waits(second, command(graph, "cluster-node3"))).toBe(false);
    expect(graph.waits(second, command(graph, "cluster-node1"))).toBe(true);
  });

  test("storage and metrics wait until every node is Ready", () => {
    const storage = graph.get("cluster-addons-storage-deployment-local-path");
    for (const node of ["node1", "node2", "node3"]) {
      expect(graph.waits(storage, command(graph, `cluster-${node}-membership`))).toBe(true);
    }
  });

  test("all that is in the cluster, and each membership, ends with the first control plane's machine", () => {
    const home = graph.get("node1");
    const inside = ["cluster-network", "cluster-addons"].map((name) =>
      graph.nodes.find((node) => node.name === name && !node.custom),
    );
    for (const node of inside) expect(node?.deletedWith).toBe(home.urn);
    for (const node of ["node1", "node2", "node3"]) {
      // The engine hands a component's deletedWith on to its children.
      expect(graph.get(`cluster-${node}-membership`, "RemoteStep").deletedWith).toBe(home.urn);
      expect(graph.get(`cluster-${node}`, "RemoteStep").deletedWith).toBe("");
    }
  });

  test("a machine made anew runs its script again and is admitted again", () => {
    expect(command(graph, "cluster-node2").inputs.triggers).toEqual(["node2-1"]);
    expect(command(graph, "cluster-node2-membership").inputs.triggers).toEqual(["node2-1"]);
    expect(command(graph, "cluster-node2-membership").deleteBeforeReplace).toBe(true);
  });

  test("a new first control plane admits the others again without draining them", () => {
    const membership = command(graph, "cluster-node2-membership");
    expect(membership.inputs.create).toContain("# HOME_INSTANCE=node1-1");
    expect(membership.inputs.triggers).not.toContain("node1-1");
  });

  test("a new first control plane gets what the old one held before its own script runs", () => {
    const snapshot = graph.get("cluster-home-snapshot");
    expect(snapshot.inputs).toMatchObject({
      instanceId: "node1-1",
      clusterId: expect.stringMatching(/^sha256:/),
    });
    expect(snapshot.secretPaths).toContain("privateKey");
    expect(snapshot.deletedWith).toBe(graph.get("node1").urn);
    expect(graph.waits(command(graph, "cluster-node1"), snapshot)).toBe(true);
    expect(graph.waits(command(graph, "cluster-node2"), snapshot)).toBe(false);
  });

  test("only memberships run something when they go: the drain", () => {
    expect(command(graph, "cluster-node2-membership").inputs.delete).toContain("membership-node2-delete");
    expect(command(graph, "cluster-node2").inputs.delete).toBeUndefined();
  });

  test("workers get no private key of any authority, and the host key is checked everywhere", () => {
    const worker = Buffer.from(command(graph, "cluster-node2").inputs.stdin, "utf8").toString();
    expect(worker).not.toContain("/pki/ca.key");
    expect(worker).not.toContain("encryption.yaml");
    expect(command(graph, "cluster-node1").inputs.stdin).toContain("/pki/ca.key");
    for (const node of graph.ofType("command:remote:Command")) {
      expect(node.inputs.connection.hostKey).toMatch(/^ssh-ed25519 /);
      expect(node.secretPaths).toContain("stdin");
    }
  });

  test("the provider keeps its identity while the authority does, and its kubeconfig is a secret", () => {
    const provider = graph.get("cluster-provider");
    expect(provider.inputs.clusterIdentifier).toMatch(/^sha256:/);
    expect(provider.secretPaths).toContain("kubeconfig");
    expect(graph.secretOutputs).toContain("kubeconfig");
  });

  test("the authority that signs for services is the cluster's, and its key a secret", () => {
    expect(graph.outputs["authorityKey"]).toBe("cluster-pki-ca private key");
    expect(graph.secretOutputs).toContain("authorityKey");
  });

  test("volumes lie on the storage nodes only", () => {
    const storageClass = graph.get("cluster-addons-storage-storageclass-local-path");
    expect(storageClass.inputs.allowedTopologies).toEqual([
      { matchLabelExpressions: [{ key: "gourmetgram.dev/storage", values: ["true"] }] },
    ]);
    expect(command(graph, "cluster-node1-membership").inputs.create).toContain(
      "gourmetgram.dev/storage=true",
    );
    expect(command(graph, "cluster-node2-membership").inputs.create).not.toContain("gourmetgram.dev/storage");
  });
});

describe("three control planes", () => {
  test("join one after another, workers still at once", async () => {
    const graph = await clusterGraph({
      a: "controlPlane",
      b: "controlPlane",
      c: "controlPlane",
      d: "worker",
    });
    expect(graph.waits(command(graph, "cluster-b"), command(graph, "cluster-a"))).toBe(true);
    expect(graph.waits(command(graph, "cluster-c"), command(graph, "cluster-b"))).toBe(true);
    expect(graph.waits(command(graph, "cluster-d"), command(graph, "cluster-a"))).toBe(false);
    expect(graph.waits(command(graph, "cluster-c-membership"), command(graph, "cluster-b-membership"))).toBe(
      true,
    );
    expect(graph.waits(command(graph, "cluster-d-membership"), command(graph, "cluster-b-membership"))).toBe(
      false,
    );
    expect(command(graph, "cluster-a").inputs.create).toContain("# ROLE=init");
    expect(command(graph, "cluster-b").inputs.create).toContain("# ROLE=controlPlane");
  });

  test.each([0, 2, 4])("%i control planes are refused", (count) => {
    const machines = Object.fromEntries(
      Array.from({ length: count }, (_, index) => [
        `n${index}`,
        { spec: { role: "controlPlane" } } as unknown as Machine,
      ]),
    );
    const problems = checkCluster({ machines } as unknown as Parameters<typeof checkCluster>[0]);
    expect(problems.map(({ path, value }) => `${path} = ${value}`)).toEqual([
      `machines = ${count} with the role controlPlane`,
    ]);
  });
});

test("every node trusts the registry inside the cluster by name and address", async () => {
  const registry = { host: "registry.kube-system.svc.cluster.local:5000", clusterIp: "10.96.0.50" };
  const roles = { node1: "controlPlane", node2: "worker" } as const;
  const [withRegistry, without] = [await clusterGraph(roles, registry), await clusterGraph(roles)];
  for (const node of ["node1", "node2"]) {
    const step = command(withRegistry, `cluster-${node}`).inputs;
    expect(step.create).toContain(`# REGISTRY=${registry.host}\n# REGISTRY_IP=${registry.clusterIp}\n`);
    // The authority it is trusted by.
    expect(step.stdin).toContain("/etc/gourmetgram/cluster/ca.crt");
    expect(command(without, `cluster-${node}`).inputs.create).toContain("# REGISTRY=\n# REGISTRY_IP=\n");
  }
});

test("a storage label of the user's own decides where volumes lie", () => {
  const labelled = (name: string, role: NodeRole, labels?: Record<string, string>) =>
    ({ name, spec: { role, address: "10.87.0.11", ...(labels ? { labels } : {}) } }) as unknown as Machine;
  const machines = {
    node1: labelled("node1", "controlPlane"),
    node2: labelled("node2", "worker", { "gourmetgram.dev/storage": "true" }),
  };
  expect(nodeLabels(machines, machines.node1)).toEqual({});
  expect(nodeLabels(machines, machines.node2)).toEqual({ "gourmetgram.dev/storage": "true" });
});
