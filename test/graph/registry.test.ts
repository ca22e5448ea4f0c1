/**
 * Proves: what the registry, its clean-up and the base images make, who waits for whom, what is secret, and how little each
 * pod and role may do. Does not prove: that images can be pushed and pulled (end-to-end tests).
 */
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { CertificateAuthority } from "../../components/certificates";
import { BaseImages } from "../../k8s/registry/baseImages";
import { createClusterCa } from "../../k8s/registry/clusterCa";
import { Registry, type RegistryArgs } from "../../k8s/registry/registry";
import { createRegistrySecret } from "../../k8s/registry/registryLogin";
import { RegistryRetention } from "../../k8s/registry/registryRetention";
import { fakePassword } from "../support/fakeOutputs";
import { type Graph, recordGraph } from "../support/graph";
import { objectProblems, openSecrets, podTemplates } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";

const HOST = "registry.kube-system.svc.cluster.local:5000";

function registryGraph(change: Partial<RegistryArgs> = {}): Promise<Graph> {
  return recordGraph(() => {
    const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
    const machine = new pulumi.ComponentResource("test:Machine", "machine");
    const opts = { provider, deletedWith: machine };
    const authority = new CertificateAuthority("ca", { commonName: "demo" });
    const registry = new Registry(
      "registry",
      {
        image: "registry.example/registry:3",
        authority,
        clusterIp: "10.96.0.50",
        storage: "20480Mi",
        storageClassName: "local-path",
        ...change,
      },
      opts,
    );
    const baseImages = new BaseImages(
      "base-images",
      {
        image: "registry.example/base-images:1",
        registry,
        authority,
        images: { "/images/python": "base/python:3.11", "/images/python-wheels": "base/python-wheels:1" },
      },
      opts,
    );
    const namespace = new k8s.core.v1.Namespace(
      "staging",
      { metadata: { name: "gourmetgram-staging" } },
      opts,
    );
    new RegistryRetention(
      "retention",
      {
        image: "registry.example/pipeline:1",
        registry,
        authority,
        keepTags: 5,
        stages: { staging: namespace.metadata.name },
        ledgerNamespace: "argo",
      },
      opts,
    );
    return {
      pullSecret: createRegistrySecret(
        "staging-pull",
        { namespace: namespace.metadata.name, login: registry.pull },
        opts,
      ),
      ca: createClusterCa(
        "staging-ca",
        { namespace: "argo", certificatePem: authority.certificatePem },
        opts,
      ),
      references: baseImages.references,
    };
  });
}

const decoded = (graph: Graph, name: string, key: string): string =>
  Buffer.from(graph.get(name, "Secret").inputs.data[key], "base64").toString();

describe("registry", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await registryGraph();
  });

  test("has exactly these children", () => {
    expect(graph.children(graph.get("registry", "Registry"))).toEqual([
      "registry Certificate",
      "registry Deployment",
      "registry NetworkPolicy",
      "registry PersistentVolumeClaim",
      "registry Secret",
      "registry Service",
      "registry-config ConfigMap",
      "registry-pull Password",
      "registry-push Password",
      "registry-uploads Password",
    ]);
    expect(graph.children(graph.get("base-images", "BaseImages"))).toEqual([
      "base-images Secret",
      "base-images ServiceAccount",
      "base-images SetupJob",
    ]);
    expect(graph.children(graph.get("retention", "RegistryRetention"))).toEqual([
      "retention ConfigMap",
      "retention CronJob",
      "retention ServiceAccount",
      "retention-ledger Role",
      "retention-ledger RoleBinding",
      "retention-login Secret",
      "retention-registry Role",
      "retention-registry RoleBinding",
      "retention-staging Role",
      "retention-staging RoleBinding",
    ]);
  });

  test("every object and every pod keeps the rules, without an exception", () => {
    expect(
      objectProblems(graph).filter(
        (problem) => !problem.startsWith("staging (kubernetes:core/v1:Namespace)"),
      ),
    ).toEqual([]);
    const templates = podTemplates(graph);
    expect(templates.map(({ node }) => node.name).sort()).toEqual(["base-images", "registry", "retention"]);
    for (const { node, spec } of templates) {
      expect({ [node.name]: restrictedViolations(spec) }).toEqual({ [node.name]: [] });
      for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
        expect(container.imagePullPolicy).toBe("IfNotPresent");
        expect(container.resources.limits.memory).toBeDefined();
        expect(container.securityContext.readOnlyRootFilesystem).toBe(true);
      }
    }
    expect(openSecrets(graph)).toEqual([]);
  });

  test("its certificate is good for the name pods use and for the address nodes dial", () => {
    const certificate = graph.get("registry", "Certificate");
    expect(certificate.inputs.dnsNames).toContain("registry.kube-system.svc.cluster.local");
    expect(certificate.inputs.ipAddresses).toEqual([
      graph.get("registry", "kubernetes:core/v1:Service").inputs.spec.clusterIP,
    ]);
    expect(certificate.inputs.usages).toEqual(["serverAuth"]);
  });

  test("both logins may read, only push may write", () => {
    const readers = decoded(graph, "registry", "readers");
    const writers = decoded(graph, "registry", "writers");
    expect(readers.match(/^\w+/gm)).toEqual(["pull", "push"]);
    expect(writers.match(/^\w+/gm)).toEqual(["push"]);
    expect(readers + writers).not.toContain(fakePassword("registry-push"));
    const nginx = graph.get("registry-config", "ConfigMap").inputs.data["nginx.conf"] as string;
    const [reading, writing] = nginx.split("limit_except GET");
    expect(reading).toContain("auth_basic_user_file /run/secrets/registry/readers");
    expect(writing).toContain("auth_basic_user_file /run/secrets/registry/writers");
  });

  test("secrets for pods hold one login for the one host", () => {
    const secret = graph.get("staging-pull", "Secret");
    expect(secret.inputs.metadata).toMatchObject({ name: "registry-pull", namespace: "gourmetgram-staging" });
    expect(secret.inputs.type).toBe("kubernetes.io/dockerconfigjson");
    expect(JSON.parse(decoded(graph, "staging-pull", ".dockerconfigjson"))).toEqual({
      auths: {
        [HOST]: {
          username: "pull",
          password: fakePassword("registry-pull"),
          auth: Buffer.from(`pull:${fakePassword("registry-pull")}`).toString("base64"),
        },
      },
    });
    expect(graph.get("staging-ca", "ConfigMap").inputs.data).toEqual({ "ca.crt": "ca certificate" });
  });

  test("one pod writes to the volume, and what it collects it collects before it serves", () => {
    const { spec } = graph.get("registry", "Deployment").inputs;
    expect(spec.replicas).toBe(1);
    expect(spec.strategy).toEqual({ type: "Recreate" });
    const [collect] = spec.template.spec.initContainers;
    expect(collect.command.at(-1)).toMatch(/collect-garbage\.sh$/);
    // Asked for by the annotation that the nightly script writes, never by a restart alone.
    const script = graph.get("retention", "ConfigMap").inputs.data["prune_registry.py"] as string;
    const annotation = /annotations\['(.+)'\]/.exec(collect.env[0].valueFrom.fieldRef.fieldPath)?.[1];
    expect(annotation).toBeDefined();
    expect(script).toContain(`"${annotation}"`);
    expect(spec.template.metadata.annotations).not.toHaveProperty([annotation as string]);
    expect(graph.get("registry", "PersistentVolumeClaim").inputs.spec.resources.requests.storage).toBe(
      "20Gi",
    );
  });

  test("a new password, certificate or configuration makes the pod anew", async () => {
    const checksumOf = (of: Graph) =>
      of.get("registry", "Deployment").inputs.spec.template.metadata.annotations[
        "gourmetgram.dev/secret-checksum"
      ];
    const secret = graph.get("registry", "Secret");
    const deployment = graph.get("registry", "Deployment");
    expect(checksumOf(graph)).toMatch(/^[0-9a-f]{32}$/);
    for (const name of ["registry-pull", "registry-push"]) {
      expect(graph.waits(deployment, graph.get(name, "Password"))).toBe(true);
    }
    expect(graph.waits(deployment, graph.get("registry", "Certificate"))).toBe(true);
    expect(secret.secretPaths.filter((path) => path.startsWith("data")).length).toBeGreaterThan(0);
  });

  test("base images wait for the registry, and their references for the push", () => {
    const job = graph.get("base-images", "Job");
    expect(graph.waits(job, graph.get("registry", "Deployment"))).toBe(true);
    expect(job.inputs.spec.template.spec.containers[0].env).toContainEqual({
      name: "IMAGES",
      value: `/images/python ${HOST}/base/python:3.11\n/images/python-wheels ${HOST}/base/python-wheels:1`,
    });
    expect(graph.outputs["references"]).toEqual({
      "/images/python": `${HOST}/base/python:3.11`,
      "/images/python-wheels": `${HOST}/base/python-wheels:1`,
    });
  });

  test("the clean-up may list what is used and restart the registry, nothing else", () => {
    const rules = Object.fromEntries(
      graph.ofType("Role").map(({ name, inputs }) => [name, [inputs.metadata.namespace, inputs.rules]]),
    );
    expect(rules).toEqual({
      "retention-registry": [
        "kube-system",
        [{ apiGroups: ["apps"], resources: ["deployments"], resourceNames: ["registry"], verbs: ["patch"] }],
      ],
      "retention-staging": [
        "gourmetgram-staging",
        [{ apiGroups: ["apps"], resources: ["deployments"], verbs: ["list"] }],
      ],
      "retention-ledger": [
        "argo",
        [{ apiGroups: ["gourmetgram.dev"], resources: ["ledgerentries"], verbs: ["list"] }],
      ],
    });
    expect(graph.ofType("ClusterRole")).toEqual([]);
    const cron = graph.get("retention", "CronJob").inputs.spec;
    expect(cron.concurrencyPolicy).toBe("Forbid");
    const env = Object.fromEntries(
      cron.jobTemplate.spec.template.spec.containers[0].env.map((entry: { name: string; value: string }) => [
        entry.name,
        entry.value,
      ]),
    );
    expect(env).toMatchObject({
      REGISTRY: HOST,
      KEEP: "5",
      STAGE_NAMESPACES: "gourmetgram-staging",
      LEDGER_NAMESPACE: "argo",
      DEPLOYMENT: "kube-system/registry",
    });
  });
});

test("wrong arguments are all reported before anything is made", async () => {
  await expect(registryGraph({ clusterIp: "registry", storage: "20" })).rejects.toThrow(
    /2 problems[\s\S]*clusterIp = "registry"[\s\S]*storage = "20"/,
  );
});
