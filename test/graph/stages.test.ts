/** A stage: its objects, what waits for what, who may do what, and what Pulumi never writes. Not: what Argo CD makes of it. */
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { AppStage, type AppStageArgs } from "../../k8s/stages/appStage";
import { checkAppStage } from "../../k8s/stages/appStageChecks";
import { type Graph, recordGraph } from "../support/graph";
import { objectProblems, openSecrets } from "../support/kubernetesRules";

const PASSWORD = "canary-string-of-the-pull-password";

const args: AppStageArgs = {
  stage: "staging",
  replicas: 1,
  resources: { requests: { cpu: "200m", memory: "256Mi" }, limits: { cpu: "500m", memory: "512Mi" } },
  imageRepository: "registry.example:5000/gourmetgram-app",
  chart: { repository: "http://git.example/gourmetgram-infra.git", revision: "main", path: "chart" },
  argoCd: { namespace: "argocd", project: "gourmetgram" },
  registryLogin: {
    host: "registry.example:5000",
    username: "pull",
    password: pulumi.secret(PASSWORD),
  },
  route: { gateway: { name: "gourmetgram", namespace: "gourmetgram-gateway" }, listener: "staging" },
  pipelineNamespace: "argo",
};

function stageGraph(change: Partial<AppStageArgs> = {}): Promise<Graph> {
  return recordGraph(() => {
    const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
    const project = new k8s.apiextensions.CustomResource(
      "project",
      {
        apiVersion: "argoproj.io/v1alpha1",
        kind: "AppProject",
        metadata: { name: "gourmetgram", namespace: "argocd" },
      },
      { provider },
    );
    const argoCd = { namespace: "argocd", project: project.metadata.name };
    const stage = new AppStage("stage", { ...args, argoCd, ...change }, { provider });
    return { namespace: stage.namespace, application: stage.application, url: stage.endpoint.url };
  });
}

describe("a stage", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await stageGraph();
  });
  const application = () => graph.get("stage", "kubernetes:argoproj.io/v1alpha1:Application").inputs;

  test("has exactly these children", () => {
    expect(graph.children(graph.get("stage", "AppStage"))).toEqual([
      "stage Application",
      "stage LimitRange",
      "stage Namespace",
      "stage NetworkPolicy",
      "stage ResourceQuota",
      "stage ServiceAccount",
      "stage-argocd-controller Role",
      "stage-argocd-controller RoleBinding",
      "stage-argocd-server Role",
      "stage-argocd-server RoleBinding",
      "stage-default-deny NetworkPolicy",
      "stage-dns NetworkPolicy",
      "stage-pull Secret",
    ]);
  });

  test("tells where it is", () => {
    expect(graph.outputs).toEqual({
      namespace: "gourmetgram-staging",
      application: "gourmetgram-staging",
      url: "http://gourmetgram-app.gourmetgram-staging.svc.cluster.local:8000",
    });
  });

  test("its namespace keeps the level restricted", () => {
    expect(graph.get("stage", "Namespace").inputs.metadata.labels).toMatchObject({
      "gourmetgram.dev/stage": "staging",
      "pod-security.kubernetes.io/enforce": "restricted",
      "pod-security.kubernetes.io/audit": "restricted",
      "pod-security.kubernetes.io/warn": "restricted",
    });
  });

  test("takes over the namespace StageNamespace made", () => {
    const aliases = JSON.stringify(graph.get("stage", "AppStage").aliases);
    expect(aliases).toContain("gourmetgram:k8s:StageNamespace");
  });

  test("the Application comes when its pods have all they need", () => {
    const from = graph.get("stage", "kubernetes:argoproj.io/v1alpha1:Application");
    for (const [name, type] of [
      ["project", "AppProject"],
      ["stage", "Namespace"],
      ["stage", "ServiceAccount"],
      ["stage-pull", "Secret"],
      ["stage", "ResourceQuota"],
      ["stage", "LimitRange"],
      ["stage-argocd-controller", "RoleBinding"],
    ] as const) {
      expect(graph.path(from, graph.get(name, type)), `${name} ${type}`).toBeDefined();
    }
  });

  test("what has nothing to do with Argo CD does not wait for it", () => {
    for (const [name, type] of [
      ["stage", "Namespace"],
      ["stage-pull", "Secret"],
      ["stage", "ResourceQuota"],
    ] as const) {
      expect(graph.waits(graph.get(name, type), graph.get("project")), `${name} ${type}`).toBe(false);
    }
  });

  test("the Application is the chart with the stage's values", () => {
    expect(application()).toMatchObject({
      metadata: { name: "gourmetgram-staging", namespace: "argocd" },
      spec: {
        project: "gourmetgram",
        destination: { server: "https://kubernetes.default.svc", namespace: "gourmetgram-staging" },
        source: {
          repoURL: "http://git.example/gourmetgram-infra.git",
          targetRevision: "main",
          path: "chart",
          helm: {
            valuesObject: {
              stage: "staging",
              image: { repository: "registry.example:5000/gourmetgram-app" },
              replicas: 1,
              pullSecret: "registry-pull",
              resources: args.resources,
              route: { enabled: true, gateway: "gourmetgram", listener: "staging", weighted: "" },
            },
          },
        },
        syncPolicy: { automated: { prune: true, selfHeal: true } },
      },
    });
  });

  test("what promotions write is nowhere in it", () => {
    const { helm } = application().spec.source;
    expect(Object.keys(helm).sort()).toEqual(["releaseName", "valuesObject"]);
    expect(JSON.stringify(helm)).not.toMatch(/digest|modelVersion/);
  });

  test("leaves room for a whole second set of pods", () => {
    expect(graph.get("stage", "ResourceQuota").inputs.spec.hard).toMatchObject({
      pods: "3",
      "requests.cpu": "600m",
      "requests.memory": "768Mi",
      "limits.cpu": "1500m",
      "limits.memory": "1536Mi",
      persistentvolumeclaims: "0",
    });
  });

  test("lets in the gateway and workflows, at the app's port, and lets nothing out but questions to the DNS", () => {
    const policies = graph.ofType("NetworkPolicy").map(({ inputs }) => inputs);
    expect(policies.map(({ metadata }) => metadata.name).sort()).toEqual([
      "allow-dns",
      "default-deny",
      "gourmetgram-app",
    ]);
    const app = graph.get("stage", "NetworkPolicy").inputs.spec;
    expect(app.policyTypes).toEqual(["Ingress"]);
    expect(app.podSelector.matchLabels).toEqual({
      "app.kubernetes.io/name": "gourmetgram-app",
      "app.kubernetes.io/instance": "staging",
    });
    expect(app.ingress).toEqual([
      {
        from: [
          {
            namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "gourmetgram-gateway" } },
          },
          {
            namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "argo" } },
            podSelector: {
              matchExpressions: [{ key: "workflows.argoproj.io/workflow", operator: "Exists" }],
            },
          },
        ],
        ports: [{ protocol: "TCP", port: 8000 }],
      },
    ]);
  });

  test("the pods' account has no token", () => {
    expect(graph.get("stage", "ServiceAccount").inputs.automountServiceAccountToken).toBe(false);
  });

  test("objects are labelled and named; Secrets are secret", () => {
    const own = (line: string) => !line.startsWith("project ");
    expect(objectProblems(graph).filter(own)).toEqual([]);
    expect(openSecrets(graph)).toEqual([]);
    const open = graph.nodes.filter((node) => node.type !== "kubernetes:core/v1:Secret");
    expect(JSON.stringify(open)).not.toContain(PASSWORD);
  });
});

describe("variants", () => {
  test("without gateway and login", async () => {
    const graph = await stageGraph({ route: undefined, registryLogin: undefined });
    const { valuesObject } = graph.get("stage", "kubernetes:argoproj.io/v1alpha1:Application").inputs.spec
      .source.helm;
    expect(valuesObject).toMatchObject({ pullSecret: "", route: { enabled: false } });
    expect(graph.ofType("Secret")).toEqual([]);
    expect(JSON.stringify(graph.get("stage", "NetworkPolicy").inputs)).not.toContain("gateway");
  });

  test("with autoscaling the quota follows the most pods", async () => {
    const autoscaling = { maxReplicas: 4, targetCpuPercent: 60 };
    const graph = await stageGraph({ replicas: 2, autoscaling });
    expect(graph.get("stage", "ResourceQuota").inputs.spec.hard).toMatchObject({
      pods: "9",
      "requests.cpu": "1800m",
      "limits.memory": "4608Mi",
    });
    expect(
      graph.get("stage", "kubernetes:argoproj.io/v1alpha1:Application").inputs.spec.source.helm.valuesObject,
    ).toMatchObject({
      hpa: { enabled: true, minReplicas: 2, maxReplicas: 4, targetCpuPercent: 60 },
      pdb: { enabled: true },
    });
  });

  test("wrong arguments are told at once, before anything is made", async () => {
    const wrong = {
      stage: "Staging_1",
      imageRepository: "app:1",
      replicas: 0,
      autoscaling: { maxReplicas: 0, targetCpuPercent: 0 },
      resources: { requests: { cpu: "1", memory: "256" }, limits: { cpu: "500m", memory: "512Mi" } },
    };
    expect(checkAppStage({ ...args, ...wrong }).map(({ path }) => path)).toEqual([
      "stage",
      "imageRepository",
      "replicas",
      "autoscaling.maxReplicas",
      "autoscaling.targetCpuPercent",
      "resources.requests.cpu",
      "resources.requests.memory",
    ]);
    await expect(stageGraph(wrong)).rejects.toThrow("7 problems in the arguments of stage");
  });
});
