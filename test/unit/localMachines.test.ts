import { beforeAll, describe, expect, test } from "vitest";
import { LocalMachines } from "../../infra/local/machines";
import { fakeSecret } from "../support/fakeOutputs";
import { type Graph, recordGraph } from "../support/graph";

/** The graph of the component, on the recording engine. */
let graph: Graph;

beforeAll(async () => {
  graph = await recordGraph(
    () => {
      const local = new LocalMachines("machines", {
        environment: "local",
        cidr: "10.87.0.0/24",
        memory: "3Gi",
        nodes: {
          node1: { role: "controlPlane", address: "10.87.0.11" },
          node2: { role: "worker", address: "10.87.0.12", memory: "5Gi" },
        },
        imageDir: "/cache/machine/x",
        bundlesDir: "/cache/bundle",
      });
      return {
        hosts: Object.fromEntries(Object.entries(local.machines).map(([name, { ssh }]) => [name, ssh.host])),
        hostKey: local.machines.node2?.ssh.hostKey,
        privateKey: local.privateKey,
        sshConfig: local.sshConfig,
      };
    },
    {
      fakes: {
        "gourmetgram:tls:KeyPair": (name, inputs) => ({
          ...inputs,
          privateKeyOpenssh: fakeSecret(`private ${name}`),
          publicKeyOpenssh: `ssh-ed25519 ${name}`,
        }),
        "gourmetgram:local:Network": (_name, inputs) => ({ ...inputs, network: inputs.cidr }),
      },
    },
  );
});

describe("local machines", () => {
  test("are a network, a login key, and per node a host key and a machine", () => {
    expect(graph.children(graph.get("machines"))).toEqual([
      "machines-login KeyPair",
      "machines-network Network",
      "machines-node1 Machine",
      "machines-node1-host-key KeyPair",
      "machines-node2 Machine",
      "machines-node2-host-key KeyPair",
    ]);
  });

  test("wait for the network, the login key and their own host key, never for each other", () => {
    const [one, two] = [graph.get("machines-node1"), graph.get("machines-node2")];
    for (const name of ["machines-network", "machines-login", "machines-node1-host-key"]) {
      expect(graph.waits(one, graph.get(name)), name).toBe(true);
    }
    expect(graph.waits(one, graph.get("machines-node2-host-key"))).toBe(false);
    expect(graph.waits(one, two) || graph.waits(two, one)).toBe(false);
  });

  test("hand their private host key over as a secret and are known by its public half", () => {
    const machine = graph.get("machines-node2");
    expect(machine.secretPaths).toEqual(["sshHostKey"]);
    expect(machine.inputs.sshHostKey).toBe("private machines-node2-host-key");
    expect(machine.additionalSecretOutputs).toContain("sshHostKey");
    expect(graph.outputs.hostKey).toBe("ssh-ed25519 machines-node2-host-key");
    expect(graph.secretOutputs).toEqual(["privateKey"]);
  });

  test("are deleted before they are replaced: two cannot have one address", () => {
    for (const name of ["machines-network", "machines-node1", "machines-node2"]) {
      expect(graph.get(name).deleteBeforeReplace, name).toBe(true);
    }
  });

  test("know their own name, and take the environment's memory unless they set their own", () => {
    expect(graph.get("machines-node1").inputs).toMatchObject({
      memory: "3Gi",
      hosts: { node1: "10.87.0.11" },
    });
    expect(graph.get("machines-node2").inputs.memory).toBe("5Gi");
  });

  test("are in the SSH configuration with their own host key, checked", () => {
    const config = graph.outputs.sshConfig as string;
    expect(config).toContain("KnownHostsCommand /bin/echo 10.87.0.12 ssh-ed25519 machines-node2-host-key");
    expect(config.match(/StrictHostKeyChecking yes/g)).toHaveLength(2);
  });

  test("with wrong arguments make nothing", async () => {
    const wrong = () =>
      recordGraph(() => {
        new LocalMachines("machines", {
          environment: "local",
          cidr: "10.87.0.0/24",
          memory: "3",
          nodes: { node1: { role: "worker", address: "10.88.0.11" } },
          imageDir: "/i",
          bundlesDir: "/b",
        });
      });
    await expect(wrong()).rejects.toThrow(
      /2 problems[\s\S]*nodes.node1.address = "10.88.0.11"[\s\S]*memory = "3"/,
    );
  });
});
