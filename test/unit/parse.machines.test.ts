/** Proves: settings of environments on OpenStack and on existing hosts: defaults, what may be set, and how wrong ones are refused. */
import { describe, expect, it } from "vitest";
import { ProblemsError } from "../../components/problems";
import { parseEnvironment } from "../../stacks/parse";
import { publicPorts } from "../../stacks/spec";

function problemsOf(raw: Record<string, unknown>): string[] {
  try {
    parseEnvironment(raw, "lab");
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ProblemsError);
    return (error as ProblemsError).message.split("\n\n").slice(1);
  }
}

const block = (...lines: string[]) => `  ${lines.join("\n    ")}`;

describe("an environment on OpenStack", () => {
  it("has the names of Chameleon's KVM site where nothing is set", () => {
    const spec = parseEnvironment({ infra: { kind: "openstack" } }, "lab");
    expect(spec.infra).toEqual({
      kind: "openstack",
      cloud: "openstack",
      cidr: "192.168.1.0/24",
      privateNetwork: { kind: "created" },
      sharedNetwork: "sharednet1",
      floatingIp: { kind: "new", pool: "public" },
      securityGroups: { kind: "created", sources: ["0.0.0.0/0"] },
      image: "CC-Ubuntu24.04",
      user: "cc",
      spread: "none",
      pools: { default: { flavor: "m1.medium" } },
    });
    expect(spec.nodes).toEqual({
      node1: { role: "controlPlane", address: "192.168.1.11" },
      node2: { role: "worker", address: "192.168.1.12" },
      node3: { role: "worker", address: "192.168.1.13" },
    });
    expect(publicPorts(spec)).toEqual([80, 8080, 8081]);
  });

  it("takes everything that may be set", () => {
    const infra = {
      kind: "openstack",
      cloud: "uc",
      cidr: "10.20.0.0/24",
      privateNetwork: { kind: "existing", network: "lab", subnet: "lab-v4" },
      sharedNetwork: "sharednet2",
      floatingIp: { kind: "existing", address: "129.114.1.2" },
      securityGroups: { kind: "existing", names: ["allow-ssh"] },
      image: "CC-Ubuntu22.04",
      user: "ubuntu",
      keypair: "id_rsa_chameleon",
      bootVolume: { size: 80, type: "ssd", discard: true },
      spread: "soft-anti-affinity",
      pools: { default: { flavor: "m1.large", lease: { hours: 12, minimumMinutes: 30 } } },
    };
    expect(
      parseEnvironment(
        {
          infra,
          nodes: { head: { role: "controlPlane", address: "10.20.0.5" } },
          cluster: { bundleUrl: "http://10.20.0.2/bundle" },
        },
        "lab",
      ),
    ).toMatchObject({ infra, cluster: { bundleUrl: "http://10.20.0.2/bundle" } });
  });

  it("gives a lease of a day, and an hour that must be left, when it is only asked for", () => {
    const { infra } = parseEnvironment(
      { infra: { kind: "openstack", pools: { default: { lease: {} } } } },
      "lab",
    );
    expect(infra).toMatchObject({
      pools: { default: { flavor: "m1.medium", lease: { hours: 24, minimumMinutes: 60 } } },
    });
  });

  it("puts a pool's labels and taints on its nodes, whose own count more", () => {
    const spec = parseEnvironment(
      {
        infra: {
          kind: "openstack",
          pools: {
            default: {},
            gpu: {
              flavor: "g1.h100.pci.1",
              labels: { "node-role": "gpu", zone: "a" },
              taints: [{ key: "nvidia.com/gpu", value: "present", effect: "NoSchedule" }],
            },
          },
        },
        nodes: {
          node1: { role: "controlPlane", address: "192.168.1.11" },
          node4: { address: "192.168.1.14", pool: "gpu", labels: { zone: "b" } },
          node5: {
            address: "192.168.1.15",
            pool: "gpu",
            taints: [{ key: "nvidia.com/gpu", value: "shared", effect: "NoSchedule" }],
          },
        },
      },
      "lab",
    );
    expect(spec.nodes["node1"]).not.toHaveProperty("labels");
    expect(spec.nodes["node4"]).toMatchObject({
      labels: { "node-role": "gpu", zone: "b" },
      taints: [{ key: "nvidia.com/gpu", value: "present", effect: "NoSchedule" }],
    });
    expect(spec.nodes["node5"]?.taints).toEqual([
      { key: "nvidia.com/gpu", value: "shared", effect: "NoSchedule" },
    ]);
  });

  it("refuses what belongs to another kind of machines, unknown pools and a lease beside a reservation", () => {
    expect(
      problemsOf({
        infra: {
          kind: "openstack",
          memory: "4Gi",
          pools: { default: { lease: {}, reservation: "0c1d" } },
          spread: "everywhere",
        },
        nodes: {
          node1: { role: "controlPlane", address: "192.168.1.11", memory: "4Gi" },
          node2: { address: "192.168.1.12", pool: "gpu" },
        },
      }),
    ).toEqual([
      block(
        "infra.memory",
        "is an unknown key",
        "allowed: kind, cloud, cidr, privateNetwork, sharedNetwork, floatingIp, securityGroups, image, user, keypair, bootVolume, spread, pools",
        "next: remove it in Pulumi.lab.yaml",
      ),
      block(
        'infra.spread = "everywhere"',
        "is unknown",
        "allowed: none, soft-anti-affinity, anti-affinity",
        "next: set one of them in Pulumi.lab.yaml",
      ),
      block(
        "nodes.node1.memory",
        "is an unknown key",
        "allowed: role, address, pool, labels, taints",
        "next: remove it in Pulumi.lab.yaml",
      ),
      block(
        'infra.pools.default.reservation = "0c1d"',
        "is set beside lease",
        "allowed: a lease that the environment makes, or the reservation of one that exists",
        "next: remove one of the two in Pulumi.lab.yaml",
      ),
      block(
        'nodes.node2.pool = "gpu"',
        "is no pool",
        "allowed: default",
        "next: name one of them in Pulumi.lab.yaml, or add it below infra.pools",
      ),
    ]);
  });

  it("refuses networks and addresses that cannot be", () => {
    expect(
      problemsOf({
        infra: {
          kind: "openstack",
          cidr: "10.244.3.0/24",
          floatingIp: { kind: "existing", address: "my-ip" },
          securityGroups: { sources: ["0.0.0.0/0", "10.1.2.3/8"] },
        },
      }),
    ).toEqual([
      block(
        'infra.floatingIp.address = "my-ip"',
        "is not an IPv4 address",
        "allowed: a floating IP the project has already",
        "next: correct it in Pulumi.lab.yaml",
      ),
      expect.stringContaining('infra.securityGroups.sources[1] = "10.1.2.3/8"'),
      expect.stringContaining("overlaps infra.cidr (10.244.3.0/24)"),
    ]);
  });
});

describe("an environment on existing hosts", () => {
  const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Wm1Yq7bq8vT0u3m6zEJ0iKQw2Yk0m5mF1n3qJ4b1c";
  const infra = { kind: "hosts", user: "ubuntu", privateKey: { secure: "v1:abc" }, cidr: "10.0.0.0/16" };

  it("names each machine with its host key", () => {
    const spec = parseEnvironment(
      {
        infra: { ...infra, jumpNode: "a" },
        nodes: {
          a: { role: "controlPlane", address: "10.0.0.5", host: "lab.example.org", port: 2222, hostKey },
          b: { address: "10.0.0.6", hostKey },
        },
      },
      "lab",
    );
    expect(spec.nodes["a"]).toMatchObject({ host: "lab.example.org", port: 2222, hostKey });
    expect(spec.nodes["b"]).toMatchObject({ role: "worker", port: 22 });
  });

  it("guesses no machines, and takes no key in plain text", () => {
    const problems = problemsOf({ infra: { ...infra, privateKey: "-----BEGIN", jumpNode: "z" } });
    expect(problems.join("\n")).toContain("infra.privateKey");
    expect(problems.join("\n")).not.toContain("BEGIN");
    expect(problems).toEqual([
      expect.stringContaining("is written in plain text"),
      expect.stringContaining("have no control plane"),
      expect.stringContaining('infra.jumpNode = "z"'),
    ]);
  });

  it("says how a host key is had", () => {
    expect(
      problemsOf({
        infra,
        nodes: { a: { role: "controlPlane", address: "10.0.0.5", hostKey: "SHA256:abcdef" } },
      })[0],
    ).toContain("ssh-keyscan");
  });
});
