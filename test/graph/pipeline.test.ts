import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { CertificateAuthority } from "../../components/certificates";
import { Pipeline, type PipelineArgs } from "../../k8s/pipeline/pipeline";
import { type Graph, type GraphNode, recordGraph } from "../support/graph";
import { objectProblems, openSecrets, podTemplates } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";

const CA = "-----BEGIN CERTIFICATE-----\n";
const DIGEST = `sha256:${"a".repeat(64)}`;
const template = (name: string) => ({
  apiVersion: "argoproj.io/v1alpha1",
  kind: "WorkflowTemplate",
  metadata: { name, namespace: "argo", labels: { own: "label" } },
  spec: { entrypoint: "main" },
});

type Change = Partial<PipelineArgs>;

function graphOf(change: Change = {}, options: { preview?: boolean } = {}): Promise<Graph> {
  return recordGraph(() => {
    const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
    const definition = new k8s.core.v1.Namespace("definitions", {}, { provider });
    const registry = new k8s.core.v1.Namespace("registry-ready", {}, { provider });
    const namespace = new k8s.core.v1.Namespace(
      "staging",
      { metadata: { name: "gourmetgram-staging" } },
      { provider },
    );
    const login = (username: "pull" | "push") => ({
      host: "registry.example:5000",
      username,
      password: pulumi.secret(pulumi.output(`password-of-${username}`)),
    });
    const pipeline = new Pipeline(
      "pipeline",
      {
        image: "registry.example/pipeline:1",
        namespace: "argo",
        definitions: [definition],
        applicationNamespace: "argocd",
        stages: {
          staging: namespace.metadata.name,
          canary: "gourmetgram-canary",
          production: "gourmetgram-production",
        },
        manifests: { "build-initial": template("build-initial"), "train-model": template("train-model") },
        steps: { "start_workflow.py": "print()", "errors.py": "pass" },
        sources: {
          app: { url: "http://git.example/gourmetgram-app.git", branch: "main" },
          train: { url: "http://git.example/gourmetgram-train.git", branch: "mlops" },
        },
        registry: { push: login("push"), pull: login("pull") },
        buildkit: {
          address: "tcp://buildkitd.example:1234",
          authority: new CertificateAuthority("buildkit-ca", { commonName: "buildkit" }, {}),
        },
        baseImages: {
          base: `registry.example:5000/base/python@${DIGEST}`,
          wheels: `registry.example:5000/base/python-wheels@${DIGEST}`,
        },
        caCertificatePem: CA,
        mlflow: {
          url: "http://mlflow.example:8000",
          namespace: "gourmetgram-platform",
          admin: {
            secretName: pulumi.output("mlflow-admin"),
            usernameKey: "username",
            passwordKey: "password",
          },
        },
        after: [registry],
        ...change,
      },
      { provider },
    );
    return { ready: pulumi.all([...pipeline.ready]).apply((all) => all.length) };
  }, options);
}

/** What an account may do: `namespace: verb,verb group/resource[name,name]`, sorted. */
function rightsOf(graph: Graph, account: string): string[] {
  const bindings = graph
    .ofType("RoleBinding")
    .filter(({ inputs }) => inputs.subjects.some((subject: { name: string }) => subject.name === account));
  return bindings
    .flatMap(({ name }) => {
      const role = graph.get(name, "Role");
      return role.inputs.rules.map((rule: any) => {
        const names = rule.resourceNames ? `[${rule.resourceNames.join(",")}]` : "";
        const group = rule.apiGroups.join(",") || "core";
        return `${role.inputs.metadata.namespace}: ${rule.verbs.join(",")} ${group}/${rule.resources.join(",")}${names}`;
      });
    })
    .sort();
}

describe("the pipeline", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await graphOf();
  });
  const secretValue = (node: GraphNode, key: string) =>
    Buffer.from(node.inputs.data[key], "base64").toString();

  test("has exactly these children", () => {
    expect(graph.children(graph.get("pipeline", "Pipeline"))).toEqual([
      "pipeline-build-initial WorkflowTemplate",
      "pipeline-builder Role",
      "pipeline-builder RoleBinding",
      "pipeline-builder ServiceAccount",
      "pipeline-buildkit BuildKitClient",
      "pipeline-ca ConfigMap",
      "pipeline-deployer Role",
      "pipeline-deployer RoleBinding",
      "pipeline-deployer ServiceAccount",
      "pipeline-deployer-applications Role",
      "pipeline-deployer-applications RoleBinding",
      "pipeline-deployer-canary Role",
      "pipeline-deployer-canary RoleBinding",
      "pipeline-deployer-production Role",
      "pipeline-deployer-production RoleBinding",
      "pipeline-deployer-staging Role",
      "pipeline-deployer-staging RoleBinding",
      "pipeline-first-run FirstRun",
      "pipeline-ledger CustomResourceDefinition",
      "pipeline-mlflow Password",
      "pipeline-mlflow Secret",
      "pipeline-mlflow-user MlflowUser",
      "pipeline-registry-pull Secret",
      "pipeline-registry-push Secret",
      "pipeline-runner Role",
      "pipeline-runner RoleBinding",
      "pipeline-runner ServiceAccount",
      "pipeline-settings ConfigMap",
      "pipeline-steps ConfigMap",
      "pipeline-tester Role",
      "pipeline-tester RoleBinding",
      "pipeline-tester ServiceAccount",
      "pipeline-tester-staging Role",
      "pipeline-tester-staging RoleBinding",
      "pipeline-train-model WorkflowTemplate",
    ]);
    expect(graph.children(graph.get("pipeline-first-run", "FirstRun"))).toEqual([
      "pipeline-first-run Job",
      "pipeline-first-run NetworkPolicy",
      "pipeline-first-run Role",
      "pipeline-first-run RoleBinding",
      "pipeline-first-run ServiceAccount",
    ]);
    expect(graph.children(graph.get("pipeline-mlflow-user", "MlflowUser"))).toEqual([
      "pipeline-mlflow-user NetworkPolicy",
      "pipeline-mlflow-user Secret",
      "pipeline-mlflow-user ServiceAccount",
      "pipeline-mlflow-user SetupJob",
    ]);
  });

  test("keeps the rules of all objects", () => {
    expect(
      objectProblems(graph).filter((line) => !/^(registry-ready|definitions|staging) /.test(line)),
    ).toEqual([]);
    expect(openSecrets(graph)).toEqual([]);
    const pods = podTemplates(graph);
    expect(pods.map(({ node }) => node.name).sort()).toEqual(["pipeline-first-run", "pipeline-mlflow-user"]);
    for (const { node, spec } of pods) expect(restrictedViolations(spec), node.name).toEqual([]);
  });

  describe("rights", () => {
    const executor = "argo: create,patch argoproj.io/workflowtaskresults";
    const ledger = "argo: create,get,list gourmetgram.dev/ledgerentries";
    const applications = "[gourmetgram-staging,gourmetgram-canary,gourmetgram-production]";

    test("are exactly these", () => {
      const rollout = (stage: string) => [
        `gourmetgram-${stage}: get apps/deployments[gourmetgram-app]`,
        `gourmetgram-${stage}: list core/pods`,
      ];
      expect(rightsOf(graph, "pipeline-runner")).toEqual([executor]);
      expect(rightsOf(graph, "pipeline-builder")).toEqual([executor]);
      expect(rightsOf(graph, "pipeline-deployer")).toEqual([
        ledger,
        executor,
        `argocd: get,patch argoproj.io/applications${applications}`,
        ...rollout("canary"),
        ...rollout("production"),
        ...rollout("staging"),
      ]);
      expect(rightsOf(graph, "pipeline-tester")).toEqual([
        ledger,
        executor,
        "gourmetgram-staging: get apps/deployments[gourmetgram-app]",
        "gourmetgram-staging: list apps/replicasets",
        "gourmetgram-staging: list core/pods",
        "gourmetgram-staging: list metrics.k8s.io/pods",
      ]);
      expect(rightsOf(graph, "pipeline-starter")).toEqual(["argo: create,get argoproj.io/workflows"]);
    });

    test("hold in single namespaces, reach no Secret, and never what is written in the ledger", () => {
      expect(graph.ofType("ClusterRole")).toEqual([]);
      expect(graph.ofType("ClusterRoleBinding")).toEqual([]);
      const rules = graph.ofType("Role").flatMap(({ inputs }) => inputs.rules);
      expect(rules.length).toBeGreaterThan(10);
      for (const rule of rules) {
        expect(rule.resources).not.toContain("secrets");
        expect([...rule.resources, ...rule.verbs, ...rule.apiGroups]).not.toContain("*");
        expect(rule.verbs).not.toContain("delete");
        if (rule.resources.includes("ledgerentries")) {
          expect(rule.verbs).not.toEqual(expect.arrayContaining(["update"]));
          expect(rule.verbs).not.toEqual(expect.arrayContaining(["patch"]));
        }
        if (rule.resources.includes("applications")) expect(rule.resourceNames).toHaveLength(3);
      }
    });

    test("in a stage wait for its namespace, and for nothing of another stage", () => {
      const namespace = graph.get("staging");
      expect(graph.waits(graph.get("pipeline-deployer-staging", "Role"), namespace)).toBe(true);
      expect(graph.waits(graph.get("pipeline-deployer-canary", "Role"), namespace)).toBe(false);
      expect(graph.waits(graph.get("pipeline-train-model"), namespace)).toBe(false);
    });

    test("are given to accounts of the workflows' namespace only", () => {
      for (const { inputs } of graph.ofType("RoleBinding")) {
        expect(inputs.subjects).toHaveLength(1);
        expect(inputs.subjects[0].namespace).toBe("argo");
      }
    });
  });

  test("steps are told where everything is", () => {
    const { data } = graph.get("pipeline-settings", "ConfigMap").inputs;
    expect(data).toMatchObject({
      REGISTRY: "registry.example:5000",
      STAGES: "staging,canary,production",
      BUILDKIT_ADDRESS: "tcp://buildkitd.example:1234",
      MLFLOW_TRACKING_URI: "http://mlflow.example:8000",
      APP_BRANCH: "main",
      TRAIN_GIT_URL: "http://git.example/gourmetgram-train.git",
      LOAD_P95_MS: "2000",
      LOAD_SUCCESS: "0.95",
    });
    for (const value of Object.values(data)) expect(typeof value).toBe("string");
    expect(JSON.stringify(data)).not.toContain("password-of");
  });

  test("logins are where the templates look for them", () => {
    const push = graph.get("pipeline-registry-push", "Secret");
    expect(push.inputs).toMatchObject({
      type: "kubernetes.io/dockerconfigjson",
      metadata: { name: "registry-push", namespace: "argo" },
    });
    expect(secretValue(push, ".dockerconfigjson")).toContain("password-of-push");
    expect(graph.get("pipeline-registry-pull", "Secret").inputs.metadata.name).toBe("registry-pull");
    expect(graph.get("pipeline-ca", "ConfigMap").inputs).toMatchObject({
      metadata: { name: "cluster-ca", namespace: "argo" },
      data: { "ca.crt": CA },
    });
    const login = graph.get("pipeline-mlflow", "Secret");
    expect(login.inputs.metadata).toMatchObject({ name: "mlflow-pipeline", namespace: "argo" });
    expect(secretValue(login, "username")).toBe("pipeline");
    // The same password is set in MLflow.
    const user = graph.get("pipeline-mlflow-user", "Secret");
    expect(user.inputs.metadata.namespace).toBe("gourmetgram-platform");
    expect(user.inputs.data.password).toBe(login.inputs.data.password);
  });

  test("the user of MLflow is made beside it, by the administrator, who is known by files only", () => {
    const [{ spec, node } = { spec: undefined, node: undefined }] = podTemplates(graph).filter(
      ({ node }) => node.name === "pipeline-mlflow-user",
    );
    expect(node?.inputs.metadata.namespace).toBe("gourmetgram-platform");
    expect(spec.automountServiceAccountToken).toBe(false);
    const mounted = spec.volumes.flatMap((volume: any) => volume.secret?.secretName ?? []).sort();
    expect(mounted).toEqual(["mlflow-admin", "mlflow-user-pipeline"]);
    expect(spec.containers[0].env.some((entry: any) => /PASSWORD/i.test(entry.name))).toBe(false);
  });

  describe("templates", () => {
    test("are made in the workflows' namespace, once their kind is known", () => {
      const made = graph.get("pipeline-train-model");
      expect(made.inputs).toMatchObject({
        kind: "WorkflowTemplate",
        metadata: { name: "train-model", namespace: "argo", labels: { own: "label" } },
        spec: { entrypoint: "main" },
      });
      expect(graph.waits(made, graph.get("definitions"))).toBe(true);
    });

    test("do not wait for registry or MLflow", () => {
      const made = graph.get("pipeline-train-model");
      expect(graph.waits(made, graph.get("registry-ready"))).toBe(false);
      expect(graph.waits(made, graph.get("pipeline-mlflow-user", "Job"))).toBe(false);
    });
  });

  describe("the first run", () => {
    const job = (of: Graph) => of.get("pipeline-first-run", "Job");

    test("waits for all it needs", () => {
      const needed = [
        graph.get("registry-ready"),
        graph.get("pipeline-mlflow-user", "Job"),
        graph.get("pipeline-ledger"),
        graph.get("pipeline-steps"),
        graph.get("pipeline-settings"),
        graph.get("pipeline-build-initial"),
        graph.get("pipeline-train-model"),
        graph.get("pipeline-registry-push"),
        graph.get("pipeline-buildkit", "Secret"),
        graph.get("pipeline-ca"),
        ...["runner", "builder", "deployer", "tester"].map((name) =>
          graph.get(`pipeline-${name}`, "RoleBinding"),
        ),
        ...["applications", "staging", "canary", "production"].map((name) =>
          graph.get(`pipeline-deployer-${name}`, "RoleBinding"),
        ),
        graph.get("pipeline-tester-staging", "RoleBinding"),
      ];
      const missing = needed.filter((node) => !graph.waits(job(graph), node));
      expect(missing.map(({ name, type }) => `${name} ${type}`)).toEqual([]);
    });

    test("fails at once with the workflow, and not with its pod", () => {
      const { spec } = job(graph).inputs;
      expect(spec.podFailurePolicy.rules).toEqual([
        { action: "FailJob", onExitCodes: { containerName: "start", operator: "In", values: [1] } },
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
      ]);
      expect(spec.template.spec.containers[0].name).toBe("start");
      expect(spec.template.spec.restartPolicy).toBe("Never");
    });

    test("is another one for other stages, and the same one for other steps, limits and templates", async () => {
      const name = (of: Graph) => job(of).inputs.metadata.name;
      const started = (of: Graph) =>
        job(of).inputs.spec.template.spec.containers[0].env.find(
          (entry: any) => entry.name === "WORKFLOW_NAME",
        ).value;
      const other = await graphOf({
        steps: { "start_workflow.py": "print(1)" },
        limits: { loadRequests: 7, loadConcurrency: 2 },
        manifests: { "build-initial": { ...template("build-initial"), spec: { entrypoint: "x" } } },
      });
      expect(name(other)).toBe(name(graph));
      const fewer = await graphOf({ stages: { staging: "gourmetgram-staging" } });
      expect(started(fewer)).not.toBe(started(graph));
      expect(name(fewer)).not.toBe(name(graph));
      // Another image makes another Job, which finds the workflow done.
      const newer = await graphOf({ image: "registry.example/pipeline:2" });
      expect(name(newer)).not.toBe(name(graph));
      expect(started(newer)).toBe(started(graph));
    });

    test("can be left out", async () => {
      const without = await graphOf({ firstRun: false });
      expect(without.nodes.filter(({ name }) => name.startsWith("pipeline-first-run"))).toEqual([]);
    });
  });

  test("the ledger's entries never change", () => {
    const { spec } = graph.get("pipeline-ledger").inputs;
    expect(spec).toMatchObject({ group: "gourmetgram.dev", scope: "Namespaced" });
    const [version] = spec.versions;
    const schema = version.schema.openAPIV3Schema.properties.spec;
    expect(schema["x-kubernetes-validations"][0].rule).toBe("self == oldSelf");
    expect(Object.keys(schema.properties).sort()).toEqual([...schema.required].sort());
    expect(version.selectableFields).toContainEqual({ jsonPath: ".spec.stage" });
    // Comparing texts without a longest length costs more than the API server allows.
    const texts = Object.values<any>({ ...schema.properties, ...schema.properties.from.properties })
      .filter((property) => property.type === "string" && !property.enum)
      .filter((property) => property.maxLength === undefined);
    expect(texts).toEqual([]);
  });

  test("shows everything in a preview", async () => {
    const preview = await graphOf({}, { preview: true });
    expect(preview.nodes.map(({ name, type }) => `${name} ${type}`).sort()).toEqual(
      graph.nodes.map(({ name, type }) => `${name} ${type}`).sort(),
    );
  });
});

describe("wrong arguments", () => {
  const refused: Readonly<Record<string, [Change, string]>> = {
    "an unknown stage": [{ stages: { qa: "gourmetgram-qa" } }, "stages"],
    "stages in another order": [
      { stages: { canary: "gourmetgram-canary", staging: "gourmetgram-staging" } },
      "stages",
    ],
    "another namespace": [{ stages: { staging: "staging" } }, "stages.staging"],
    "a step that is no module": [{ steps: { "a/b.py": "x", "start_workflow.py": "y" } }, "steps.a/b.py"],
    "no steps": [{ steps: {} }, "steps"],
    "too many steps": [{ steps: { "start_workflow.py": "x".repeat(1_000_000) } }, "steps"],
    "a first run that is no template": [{ firstRun: "nothing" }, "firstRun"],
    "a fraction of more than all": [{ limits: { loadSuccess: 1 } }, "limits.loadSuccess"],
    "half a request": [{ limits: { loadRequests: 0.5 } }, "limits.loadRequests"],
  };
  test.each(Object.entries(refused))("%s", async (_, [change, path]) => {
    await expect(graphOf(change)).rejects.toThrow(path);
  });
});
