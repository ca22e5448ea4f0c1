/**
 * Proves: what the image builder makes, that everything about it is as tight as its mode allows, and that only clients with a
 * certificate of its own authority reach it. Does not prove: that builds work (end-to-end tests).
 */
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { BuildKit, type BuildKitArgs } from "../../k8s/buildkit/buildKit";
import { BuildKitClient } from "../../k8s/buildkit/buildKitClient";
import { type Graph, recordGraph } from "../support/graph";
import { objectProblems, openSecrets, podTemplates } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";

function buildGraph(change: Partial<BuildKitArgs> = {}): Promise<Graph> {
  return recordGraph(() => {
    const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
    const buildKit = new BuildKit(
      "buildkit",
      {
        image: "registry.example/buildkit:1",
        registryHost: "registry.kube-system.svc.cluster.local:5000",
        caCertificatePem: "cluster ca",
        ...change,
      },
      { provider },
    );
    const client = new BuildKitClient(
      "build-client",
      { namespace: "argo", authority: buildKit.authority },
      { provider },
    );
    return { address: buildKit.address, secretName: client.secretName };
  });
}

const pod = (graph: Graph) => podTemplates(graph)[0]?.spec;
const container = (graph: Graph) => pod(graph).containers[0];

describe("rootless", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await buildGraph();
  });

  test("has exactly these children", () => {
    expect(graph.children(graph.get("buildkit", "BuildKit"))).toEqual([
      "buildkit Certificate",
      "buildkit ConfigMap",
      "buildkit Deployment",
      "buildkit Namespace",
      "buildkit NetworkPolicy",
      "buildkit Secret",
      "buildkit Service",
      "buildkit-ca CertificateAuthority",
    ]);
    expect(objectProblems(graph)).toEqual([]);
    expect(openSecrets(graph)).toEqual([]);
  });

  test("breaks `restricted` in exactly the ways that are written down", () => {
    expect(restrictedViolations(pod(graph))).toEqual([
      "buildkitd: seccompProfile is Unconfined",
      "buildkitd: appArmorProfile is Unconfined",
      "buildkitd: allowPrivilegeEscalation is not false",
      "buildkitd: adds capability SETUID",
      "buildkitd: adds capability SETGID",
      "buildkitd: seccompProfile is not RuntimeDefault or Localhost",
    ]);
    expect(pod(graph).securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 });
    expect(container(graph).securityContext.readOnlyRootFilesystem).toBe(true);
    expect(pod(graph).automountServiceAccountToken).toBe(false);
  });

  test("nothing of the node is inside: no host folder, socket, network or device", () => {
    const spec = pod(graph);
    for (const field of ["hostNetwork", "hostPID", "hostIPC"]) expect(spec[field]).toBeUndefined();
    expect(spec.volumes.map((volume: object) => Object.keys(volume).filter((key) => key !== "name"))).toEqual(
      [["configMap"], ["secret"], ["emptyDir"], ["emptyDir"], ["emptyDir"]],
    );
    expect(container(graph).securityContext.privileged).toBeUndefined();
  });

  test("listens with mutual TLS of an authority that signs nothing else", () => {
    const authority = graph.get("buildkit-ca");
    const server = graph.get("buildkit", "Certificate");
    const client = graph.get("build-client", "Certificate");
    for (const certificate of [server, client]) {
      expect(certificate.propertyDeps["caCertificatePem"]).toEqual([authority.urn]);
    }
    expect(server.inputs.usages).toEqual(["serverAuth"]);
    expect(client.inputs.usages).toEqual(["clientAuth"]);
    const { args } = container(graph);
    expect(args[args.indexOf("--tlscacert") + 1]).toBe("/run/secrets/buildkit/ca.pem");
    expect(graph.outputs["address"]).toBe(`tcp://${server.inputs.dnsNames[0]}:1234`);
    const secret = graph.get("build-client", "Secret");
    expect(Object.keys(secret.inputs.data)).toEqual(["ca.pem", "cert.pem", "key.pem"]);
    expect(secret.inputs.metadata).toMatchObject({ name: "buildkit-client", namespace: "argo" });
    expect(secret.secretPaths).toContain("data");
  });

  test("only the namespaces of clients may connect", () => {
    expect(graph.get("buildkit", "NetworkPolicy").inputs.spec.ingress).toEqual([
      {
        from: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "argo" } } }],
        ports: [{ protocol: "TCP", port: 1234 }],
      },
    ]);
  });

  test("trusts the registry by the cluster's authority and keeps its cache smaller than its volume", () => {
    const { data } = graph.get("buildkit", "ConfigMap").inputs;
    expect(data["registry-ca.crt"]).toBe("cluster ca");
    expect(data["buildkitd.toml"]).toContain(
      '[registry."registry.kube-system.svc.cluster.local:5000"]\n  ca = ["/etc/buildkit/registry-ca.crt"]',
    );
    // Three quarters of 10 GiB.
    expect(data["buildkitd.toml"]).toContain('maxUsedSpace = "8053MB"');
    expect(pod(graph).volumes).toContainEqual({ name: "cache", emptyDir: { sizeLimit: "10Gi" } });
  });
});

test("as root it has the right to mount and is still not privileged", async () => {
  const graph = await buildGraph({ mode: "root" });
  const { securityContext, env } = container(graph);
  expect(securityContext.privileged).toBeUndefined();
  expect(securityContext.capabilities.drop).toEqual(["ALL"]);
  expect(securityContext.capabilities.add).toContain("SYS_ADMIN");
  expect(pod(graph).securityContext).toMatchObject({ runAsNonRoot: false, runAsUser: 0 });
  expect(env).toContainEqual({ name: "MODE", value: "root" });
});

test("wrong arguments are all reported before anything is made", async () => {
  await expect(
    buildGraph({ cache: "lots", memory: "2", parallelism: 0, mode: "docker" as "root" }),
  ).rejects.toThrow(
    /4 problems[\s\S]*cache = "lots"[\s\S]*memory = "2"[\s\S]*parallelism = 0[\s\S]*mode = "docker"/,
  );
});
