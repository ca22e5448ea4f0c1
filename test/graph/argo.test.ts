/** Argo CD, Workflows and Events as graphs: what is made, in which order, who may do what, what is secret. No cluster. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse, stringify } from "yaml";
import * as sourceFile from "../../components/sourceFile";
import { ArgoCd } from "../../k8s/argo/argoCd";
import { createArgoCdAccess } from "../../k8s/argo/argoCdAccess";
import { ArgoEvents } from "../../k8s/argo/argoEvents";
import { ArgoWorkflows, type ArgoWorkflowsArgs } from "../../k8s/argo/argoWorkflows";
import { fakePassword, fakeSecret } from "../support/fakeOutputs";
import { type Graph, type GraphNode, recordGraph } from "../support/graph";
import { kubernetesObjects, objectProblems, openSecrets, podTemplates } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";

const manifestsFolder = mkdtempSync(join(tmpdir(), "argo-manifests-"));
afterAll(() => rmSync(manifestsFolder, { recursive: true }));

const database: ArgoWorkflowsArgs["database"] = {
  host: "postgres.platform",
  port: 5432,
  name: "argo",
  username: "argo",
  password: pulumi.secret("database-password"),
  sslMode: "disable",
};
const bucket: ArgoWorkflowsArgs["bucket"] = {
  endpoint: "http://minio.platform:9000",
  bucket: "argo-workflows",
  region: "us-east-1",
  accessKeyId: "argo",
  secretAccessKey: pulumi.secret("bucket-key"),
};

interface Changes {
  readonly workflows?: Partial<ArgoWorkflowsArgs>;
  readonly namespaces?: readonly string[];
}

/** All three, beside a database, a bucket and an MLflow that stand for the platform. */
function argoGraph(changes: Changes = {}, options: { preview?: boolean } = {}): Promise<Graph> {
  writeDefinitions();
  return recordGraph(
    () => {
      const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
      const stand = (name: string) => new k8s.core.v1.ConfigMap(name, { metadata: { name } }, { provider });
      const done = (name: string, text: pulumi.Input<string>) =>
        pulumi.all([text, stand(name).id]).apply(([known]) => known);
      stand("mlflow-server");
      const argoCd = new ArgoCd(
        "argo-cd",
        {
          images: { argocd: "registry.example/argocd:v3.1.9", redis: "registry.example/redis:7" },
          manifestsFolder,
          repositories: ["http://git.example/infra.git"],
          namespaces: changes.namespaces ?? ["gourmetgram-staging", "gourmetgram-production"],
        },
        { provider },
      );
      createArgoCdAccess(
        "stage-staging",
        { namespace: "gourmetgram-staging", labels: { name: "gourmetgram-app" } },
        { provider },
      );
      const workflows = new ArgoWorkflows(
        "argo-workflows",
        {
          images: {
            controller: "registry.example/workflow-controller:v3.7.3",
            executor: "registry.example/argoexec:v3.7.3",
            server: "registry.example/argocli:v3.7.3",
            python: "registry.example/pipeline:1",
          },
          manifestsFolder,
          database: { ...database, host: done("database", database.host) },
          bucket: { ...bucket, endpoint: done("bucket", bucket.endpoint) },
          ...changes.workflows,
        },
        { provider },
      );
      const events = new ArgoEvents(
        "argo-events",
        {
          images: { argoEvents: "registry.example/argo-events:v1.9.7", nats: "registry.example/nats:2.11.8" },
          manifestsFolder,
          repository: "gourmetgram/gourmetgram-train",
          workflow: { namespace: workflows.namespace, template: "train-model" },
        },
        { provider },
      );
      return {
        argoCdUrl: argoCd.endpoint.url,
        project: argoCd.project,
        workflowsUrl: workflows.endpoint.url,
        operatorToken: workflows.users.operator.token,
        webhookUrl: events.webhook.url,
        webhookSecret: events.webhook.secret,
      };
    },
    { ...options, fakes: { "kubernetes:core/v1:Secret": fakeTokens } },
  );
}

/** Kubernetes fills in the tokens of service accounts. */
function fakeTokens(_name: string, inputs: any): Record<string, unknown> {
  if (inputs.type !== "kubernetes.io/service-account-token") return inputs;
  const account = inputs.metadata.annotations["kubernetes.io/service-account.name"];
  return { ...inputs, data: fakeSecret({ token: Buffer.from(`token of ${account}`).toString("base64") }) };
}

function writeDefinitions(): void {
  const kinds: Record<string, string[]> = {
    "argo-cd": ["Application", "ApplicationSet", "AppProject"],
    "argo-workflows": ["Workflow", "WorkflowTemplate"],
    "argo-events": ["EventBus", "EventSource", "Sensor"],
  };
  mkdirSync(manifestsFolder, { recursive: true });
  for (const [name, list] of Object.entries(kinds)) {
    const documents = list.map((kind) => ({
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${kind.toLowerCase()}s.argoproj.io` },
      spec: {
        group: "argoproj.io",
        names: { kind },
        versions: [{ name: "v1alpha1", schema: { openAPIV3Schema: { type: "object", required: ["spec"] } } }],
      },
    }));
    writeFileSync(
      join(manifestsFolder, `${name}-crds.yaml`),
      documents.map((document) => stringify(document)).join("---\n"),
    );
  }
}

function secretValue(graph: Graph, name: string, key: string): string {
  return Buffer.from(graph.get(name, "Secret").inputs.data[key], "base64").toString();
}

function workflowConfig(graph: Graph): any {
  return parse(graph.get("argo-workflows-config", "ConfigMap").inputs.data.config);
}

/** Component class by component class, for rules that hold for all. */
const COMPONENTS = { "argo-cd": "ArgoCd", "argo-workflows": "ArgoWorkflows", "argo-events": "ArgoEvents" };

/** Pods Argo Events makes of a custom resource, as its controller does it. */
function generatedPods(graph: Graph): { node: GraphNode; spec: any }[] {
  return [graph.get("argo-events-source", "EventSource"), graph.get("argo-events-sensor", "Sensor")].map(
    (node) => {
      const { container, metadata: _, ...pod } = node.inputs.spec.template;
      return { node, spec: { ...pod, containers: [{ name: "main", ...container }] } };
    },
  );
}

describe("all three", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await argoGraph();
  });
  const ofComponent = (name: string) =>
    graph.descendants(graph.get(name, COMPONENTS[name as keyof typeof COMPONENTS]));

  test.each(
    Object.keys(COMPONENTS),
  )("%s: what needs its custom resources waits for all of their CRDs", (name) => {
    const parts = ofComponent(name);
    const definitions = parts.filter((node) => node.type.endsWith(":CustomResourceDefinition"));
    expect(definitions.length).toBeGreaterThan(1);
    const waiting = parts.filter(
      (node) =>
        node.inputs.apiVersion === "argoproj.io/v1alpha1" ||
        (node.type.endsWith(":Deployment") && /controller|server/.test(node.name) && !/repo/.test(node.name)),
    );
    expect(waiting.length).toBeGreaterThan(1);
    for (const node of waiting) {
      for (const definition of definitions) expect(graph.waits(node, definition), node.name).toBe(true);
    }
    for (const definition of definitions) {
      expect(parts.filter((node) => graph.waits(definition, node)).map((node) => node.name)).toEqual([]);
    }
  });

  test("none waits for another, nor for MLflow; only workflows wait for database and bucket", () => {
    const platform = ["mlflow-server", "database", "bucket"].map((name) => graph.get(name, "ConfigMap"));
    const waitsFor = (name: string) =>
      platform
        .filter((stand) => ofComponent(name).some((node) => graph.waits(node, stand)))
        .map((stand) => stand.name);
    expect(waitsFor("argo-cd")).toEqual([]);
    expect(waitsFor("argo-workflows")).toEqual(["database", "bucket"]);
    expect(waitsFor("argo-events")).toEqual([]);
    // Of the workflows, Argo Events knows the namespace alone.
    const namespace = graph.get("argo-workflows", "Namespace");
    const reached = new Set(
      ofComponent("argo-events").flatMap((node) =>
        [...ofComponent("argo-cd"), ...ofComponent("argo-workflows")].filter((other) =>
          graph.waits(node, other),
        ),
      ),
    );
    expect([...reached]).toEqual([namespace]);
  });

  test("objects are labelled, named and pinned; Secrets are secret", () => {
    expect(objectProblems(graph).filter((line) => !/^(database|bucket|mlflow-server) /.test(line))).toEqual(
      [],
    );
    expect(openSecrets(graph)).toEqual([]);
  });

  test("no password is in anything but Secrets", () => {
    const passwords = graph
      .ofType("Password")
      .map((node) => fakePassword(node.name, node.inputs.length))
      .concat("database-password", "bucket-key");
    expect(passwords.length).toBeGreaterThan(5);
    for (const node of kubernetesObjects(graph).filter(({ type }) => !type.endsWith(":Secret"))) {
      const text = JSON.stringify(node.inputs);
      for (const password of passwords) expect(text.includes(password), node.name).toBe(false);
    }
    expect(graph.secretOutputs.toSorted()).toEqual(["operatorToken", "webhookSecret"]);
  });

  test("every pod keeps the level restricted, also those Argo Events makes", () => {
    const pods = [...podTemplates(graph), ...generatedPods(graph)];
    expect(pods.length).toBe(10);
    const wrong = pods.flatMap(({ node, spec }) =>
      restrictedViolations(spec).map((text) => `${node.name}: ${text}`),
    );
    expect(wrong).toEqual([]);
    const namespaces = graph
      .ofType("Namespace")
      .map(({ inputs }) => [
        inputs.metadata.name,
        inputs.metadata.labels["pod-security.kubernetes.io/enforce"],
      ]);
    expect(Object.fromEntries(namespaces)).toEqual({
      argocd: "restricted",
      argo: "restricted",
      "argo-events": "restricted",
    });
  });

  test("every container has resources and keeps its image, every server is asked how it is", () => {
    for (const { node, spec } of [...podTemplates(graph), ...generatedPods(graph)]) {
      for (const container of spec.containers) {
        expect(container.imagePullPolicy, node.name).toBe("IfNotPresent");
        expect(container.securityContext.readOnlyRootFilesystem, node.name).toBe(true);
        expect(container.resources.requests.memory, node.name).toBeDefined();
        expect(container.resources.limits.memory, node.name).toBeDefined();
        const millicores = Number.parseInt(container.resources.requests.cpu, 10);
        expect(millicores, node.name).toBeLessThanOrEqual(50);
      }
    }
    for (const { node, spec } of podTemplates(graph)) {
      for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
        expect(spec.containers[0][probe], `${node.name} ${probe}`).toBeDefined();
      }
    }
  });

  test("a controller never runs twice, and leaves a lost node soon", () => {
    const controllers = graph.ofType("Deployment");
    expect(controllers.length).toBe(7);
    for (const { name, inputs } of controllers) {
      expect(inputs.spec.replicas, name).toBe(1);
      expect(inputs.spec.strategy, name).toEqual({ type: "Recreate" });
      const tolerations = inputs.spec.template.spec.tolerations;
      expect(
        tolerations.map((toleration: any) => [toleration.key, toleration.tolerationSeconds]),
        name,
      ).toEqual([
        ["node.kubernetes.io/not-ready", 30],
        ["node.kubernetes.io/unreachable", 30],
      ]);
    }
  });
});

describe("rights", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await argoGraph();
  });
  const rules = (name: string): any[] => graph.get(name, "Role").inputs.rules;
  const may = (name: string, verb: string, resource: string, objectName?: string) =>
    rules(name).some(
      (rule) =>
        rule.verbs.includes(verb) &&
        rule.resources.includes(resource) &&
        (rule.resourceNames === undefined || rule.resourceNames.includes(objectName)),
    );

  test("nothing holds for the whole cluster, and nothing is everything", () => {
    expect(graph.ofType("ClusterRole")).toEqual([]);
    expect(graph.ofType("ClusterRoleBinding")).toEqual([]);
    for (const { name, inputs } of graph.ofType("Role")) {
      for (const rule of inputs.rules) {
        const all = [...rule.apiGroups, ...rule.resources, ...rule.verbs];
        expect(all, name).not.toContain("*");
        for (const verb of ["escalate", "bind", "impersonate"]) expect(all, name).not.toContain(verb);
      }
    }
  });

  test("pods have a token only where they talk to the API", () => {
    const withToken = podTemplates(graph)
      .filter(({ spec }) => spec.automountServiceAccountToken !== false)
      .map(({ node }) => node.name);
    expect(withToken.toSorted()).toEqual([
      "argo-cd-controller",
      "argo-cd-server",
      "argo-events-controller",
      "argo-workflows-controller",
      "argo-workflows-server",
    ]);
    // Pods of custom resources cannot say it themselves: their accounts do.
    const automount = (name: string) => graph.get(name, "ServiceAccount").inputs.automountServiceAccountToken;
    expect(automount("argo-events-source")).toBe(false);
    expect(automount("argo-events-submitter")).toBe(true);
  });

  test("the sensor may make workflows where they run, and nothing else anywhere", () => {
    const bound = graph
      .ofType("RoleBinding")
      .filter(({ inputs }) => inputs.subjects.some((subject: any) => subject.name === "event-submitter"));
    expect(bound.map(({ inputs }) => inputs.metadata.namespace)).toEqual(["argo"]);
    expect(bound[0]?.inputs.subjects).toEqual([
      { kind: "ServiceAccount", name: "event-submitter", namespace: "argo-events" },
    ]);
    expect(rules("argo-events-submitter")).toEqual([
      { apiGroups: ["argoproj.io"], resources: ["workflows"], verbs: ["create"] },
    ]);
  });

  test("an operator runs and decides, a viewer looks; neither changes templates or reads secrets of others", () => {
    for (const verb of ["create", "update", "patch"]) {
      expect(may("argo-workflows-operator", verb, "workflows")).toBe(true);
      expect(may("argo-workflows-operator", verb, "workflowtemplates")).toBe(false);
      expect(may("argo-workflows-viewer", verb, "workflows")).toBe(false);
    }
    expect(may("argo-workflows-operator", "delete", "workflows")).toBe(false);
    expect(may("argo-workflows-viewer", "list", "workflows")).toBe(true);
    expect(may("argo-workflows-operator", "get", "secrets", "argo-workflows-artifacts")).toBe(true);
    expect(may("argo-workflows-operator", "get", "secrets", "argo-workflows-database")).toBe(false);
    expect(may("argo-workflows-viewer", "get", "secrets", "argo-workflows-artifacts")).toBe(false);
    for (const verb of new Set(rules("argo-workflows-viewer").flatMap((rule) => rule.verbs))) {
      expect(["get", "list", "watch"]).toContain(verb);
    }
  });

  test("controller and server of the workflows read the one Secret they need", () => {
    for (const name of ["argo-workflows-controller", "argo-workflows-server"]) {
      expect(may(name, "get", "secrets", "argo-workflows-database"), name).toBe(true);
      expect(may(name, "get", "secrets", "mlflow-pipeline"), name).toBe(false);
      expect(may(name, "list", "secrets"), name).toBe(false);
    }
    expect(may("argo-workflows-server", "create", "pods")).toBe(false);
  });

  test("Argo CD changes the chart's kinds in a stage, looks at pods, and has no right there to Secrets or roles", () => {
    for (const resource of ["deployments", "services", "httproutes"]) {
      expect(may("stage-staging-argocd-controller", "delete", resource), resource).toBe(true);
      expect(may("stage-staging-argocd-server", "get", resource), resource).toBe(true);
      expect(may("stage-staging-argocd-server", "update", resource), resource).toBe(false);
    }
    expect(may("stage-staging-argocd-controller", "watch", "pods")).toBe(true);
    expect(may("stage-staging-argocd-controller", "delete", "pods")).toBe(false);
    expect(may("stage-staging-argocd-server", "get", "pods/log")).toBe(true);
    for (const resource of ["secrets", "roles", "rolebindings", "networkpolicies", "resourcequotas"]) {
      expect(may("stage-staging-argocd-controller", "get", resource), resource).toBe(false);
    }
    const binding = graph.get("stage-staging-argocd-controller", "RoleBinding").inputs;
    expect(binding.metadata.namespace).toBe("gourmetgram-staging");
    expect(binding.subjects).toEqual([
      { kind: "ServiceAccount", name: "argocd-application-controller", namespace: "argocd" },
    ]);
  });

  test("Argo CD's server neither makes nor removes Applications, and writes its own Secrets only", () => {
    expect(may("argo-cd-server", "create", "applications")).toBe(false);
    expect(may("argo-cd-server", "delete", "applications")).toBe(false);
    expect(may("argo-cd-server", "patch", "applications")).toBe(true);
    expect(may("argo-cd-server", "update", "secrets", "argocd-secret")).toBe(true);
    expect(may("argo-cd-server", "update", "secrets", "argocd-redis")).toBe(false);
    expect(may("argo-cd-controller", "create", "secrets")).toBe(false);
  });
});

describe("Argo CD", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await argoGraph();
  });

  test("finds its settings by the label it asks for", () => {
    for (const name of ["argo-cd-cm", "argo-cd-rbac-cm", "argo-cd-secret", "argo-cd-cluster"]) {
      const { labels } = graph.nodes.find(
        (node) => node.name === name && /:(ConfigMap|Secret)$/.test(node.type),
      )?.inputs.metadata ?? { labels: {} };
      expect(labels["app.kubernetes.io/part-of"], name).toBe("argocd");
    }
  });

  test("nobody can use the default project, and only the administrator logs in", () => {
    const project = graph.get("argo-cd-default-project", "AppProject").inputs;
    expect(project.metadata.name).toBe("default");
    expect(project.spec).toMatchObject({ sourceRepos: [], destinations: [] });
    expect(graph.get("argo-cd-cm", "ConfigMap").inputs.data["users.anonymous.enabled"]).toBe("false");
    expect(graph.get("argo-cd-rbac-cm", "ConfigMap").inputs.data["policy.default"]).toBe("");
  });

  test("server and controller start with settings, cluster and projects; the cache and Git do not wait for those", () => {
    const settings = [
      graph.get("argo-cd-cm", "ConfigMap"),
      graph.get("argo-cd-secret", "Secret"),
      graph.get("argo-cd-cluster", "Secret"),
      graph.get("argo-cd-project", "AppProject"),
    ];
    for (const node of settings) {
      for (const part of ["server", "controller"]) {
        expect(graph.waits(graph.get(`argo-cd-${part}`, "Deployment"), node), `${part} ${node.name}`).toBe(
          true,
        );
      }
      for (const part of ["redis", "repo-server"]) {
        expect(graph.waits(graph.get(`argo-cd-${part}`, "Deployment"), node), `${part} ${node.name}`).toBe(
          false,
        );
      }
    }
    const [server, controller] = ["server", "controller"].map((part) =>
      graph.get(`argo-cd-${part}`, "Deployment"),
    ) as [GraphNode, GraphNode];
    expect(graph.waits(server, controller) || graph.waits(controller, server)).toBe(false);
  });

  test("the cache asks for a password that is in no argument", () => {
    const password = fakePassword("argo-cd-redis");
    expect(secretValue(graph, "argo-cd-redis", "redis.conf")).toContain(`requirepass ${password}\n`);
    expect(secretValue(graph, "argo-cd-redis", "auth")).toBe(password);
    const [container] = graph.get("argo-cd-redis", "Deployment").inputs.spec.template.spec.containers;
    expect(container.command).toEqual(["redis-server", "/run/secrets/redis/redis.conf"]);
  });

  test("a push is seen within a minute", () => {
    const flag = (deployment: string, name: string) => {
      const [container] = graph.get(deployment, "Deployment").inputs.spec.template.spec.containers;
      const found = container.args.find((arg: string) => arg.startsWith(`--${name}=`));
      return Number.parseInt(found.split("=")[1], 10);
    };
    const seconds =
      flag("argo-cd-controller", "app-resync") +
      flag("argo-cd-controller", "app-resync-jitter") +
      flag("argo-cd-repo-server", "revision-cache-expiration");
    expect(seconds).toBeLessThan(60);
  });

  test("its address", () => {
    expect(graph.outputs).toMatchObject({
      argoCdUrl: "http://argocd-server.argocd.svc.cluster.local",
      project: "gourmetgram",
    });
  });
});

describe("Argo Workflows", () => {
  test("archives in the database, keeps logs in the bucket, by Secrets and not by values", async () => {
    const graph = await argoGraph();
    const config = workflowConfig(graph);
    expect(config.persistence).toMatchObject({
      archive: true,
      nodeStatusOffLoad: false,
      postgresql: {
        host: "postgres.platform",
        port: 5432,
        database: "argo",
        userNameSecret: { name: "argo-workflows-database", key: "username" },
        passwordSecret: { name: "argo-workflows-database", key: "password" },
        ssl: true,
        sslMode: "disable",
      },
    });
    expect(config.artifactRepository).toMatchObject({
      archiveLogs: true,
      s3: {
        endpoint: "minio.platform:9000",
        insecure: true,
        bucket: "argo-workflows",
        accessKeySecret: { name: "argo-workflows-artifacts", key: "username" },
      },
    });
    expect(secretValue(graph, "argo-workflows-database", "password")).toBe("database-password");
    expect(secretValue(graph, "argo-workflows-artifacts", "password")).toBe("bucket-key");
  });

  test("workflows end, are cleaned up, name a template and run restricted by default", async () => {
    const config = workflowConfig(
      await argoGraph({ workflows: { retention: { succeededHours: 1 }, defaultServiceAccount: "plain" } }),
    );
    expect(config.workflowRestrictions).toEqual({ templateReferencing: "Strict" });
    const { spec } = config.workflowDefaults;
    expect(spec).toMatchObject({
      serviceAccountName: "plain",
      ttlStrategy: { secondsAfterSuccess: 3600, secondsAfterFailure: 72 * 3600 },
      podGC: { strategy: "OnPodCompletion", deleteDelayDuration: "60s" },
      volumeClaimGC: { strategy: "OnWorkflowCompletion" },
    });
    expect(spec.activeDeadlineSeconds).toBeGreaterThan(0);
    const pod = {
      securityContext: spec.securityContext,
      initContainers: [{ name: "init", ...config.executor }],
      containers: [
        { name: "wait", ...config.executor },
        { name: "main", ...config.mainContainer },
      ],
    };
    expect(restrictedViolations(pod)).toEqual([]);
    for (const container of pod.containers) expect(container.resources.limits.memory).toBeDefined();
  });

  test("the server wants a login, and the controller knows the executor's image", async () => {
    const graph = await argoGraph();
    const args = (part: string) =>
      graph.get(`argo-workflows-${part}`, "Deployment").inputs.spec.template.spec.containers[0].args;
    expect(args("server")).toEqual(
      expect.arrayContaining(["--auth-mode=client", "--namespaced", "--secure=false"]),
    );
    expect(args("controller")).toEqual(
      expect.arrayContaining(["--namespaced", "--executor-image", "registry.example/argoexec:v3.7.3"]),
    );
  });

  test("beside the controller stands what has it look again, with the rights for that", async () => {
    const graph = await argoGraph();
    const deployment = graph.get("argo-workflows-controller", "Deployment");
    const { containers, volumes } = deployment.inputs.spec.template.spec;
    expect(containers.map((container: any) => container.name)).toEqual(["workflow-controller", "revisit"]);
    const revisit = containers[1];
    expect(revisit.image).toBe("registry.example/pipeline:1");
    expect(revisit.resources).toEqual({
      requests: { cpu: "5m", memory: "24Mi" },
      limits: { cpu: "200m", memory: "64Mi" },
    });
    // Its script is where its command looks for it.
    const files = graph.get("argo-workflows-controller-revisit", "ConfigMap").inputs;
    const [mount] = revisit.volumeMounts;
    const volume = volumes.find((entry: any) => entry.name === mount.name);
    expect(volume.configMap.name).toBe(files.metadata.name);
    const [file, ...more] = Object.keys(files.data);
    expect(more).toEqual([]);
    expect(revisit.command.at(-1)).toBe(`${mount.mountPath}/${file}`);
    expect(files.data[file as string]).toContain("gourmetgram.dev/revisited-at");
    const { rules } = graph.get("argo-workflows-controller", "Role").inputs;
    for (const [resource, verb] of [
      ["workflows", "get"],
      ["workflows", "list"],
      ["workflows", "patch"],
      ["pods", "list"],
    ]) {
      const allowed = rules.some(
        (rule: any) => rule.resources.includes(resource) && rule.verbs.includes(verb),
      );
      expect(allowed, `${verb} ${resource}`).toBe(true);
    }
    const server = graph.get("argo-workflows-server", "Deployment").inputs.spec.template.spec;
    expect(server.containers.map((container: any) => container.name)).toEqual(["argo-server"]);
  });

  test("a changed script starts the controller anew, and it alone", async () => {
    const template = (graph: Graph, part: string) =>
      graph.get(`argo-workflows-${part}`, "Deployment").inputs.spec.template.metadata.annotations[
        "gourmetgram.dev/secret-checksum"
      ];
    const before = await argoGraph();
    const { readSource } = sourceFile;
    const script = vi
      .spyOn(sourceFile, "readSource")
      .mockImplementation((path) => (path.endsWith("/revisit.py") ? "other" : readSource(path)));
    const after = await argoGraph().finally(() => script.mockRestore());
    expect(template(after, "controller")).not.toBe(template(before, "controller"));
    expect(template(after, "server")).toBe(template(before, "server"));
  });

  test("people log in with tokens of their accounts", async () => {
    const graph = await argoGraph();
    expect(graph.outputs["operatorToken"]).toBe("token of argo-operator");
    expect(graph.get("argo-workflows-operator-token", "Secret").additionalSecretOutputs).toContain("data");
  });

  test("a preview knows no token and does not fail", async () => {
    const graph = await argoGraph({}, { preview: true });
    expect(graph.get("argo-workflows-operator-token", "Secret").inputs.type).toBe(
      "kubernetes.io/service-account-token",
    );
  });

  test("a changed password or setting starts both anew", async () => {
    const annotation = (graph: Graph, part: string) =>
      graph.get(`argo-workflows-${part}`, "Deployment").inputs.spec.template.metadata.annotations[
        "gourmetgram.dev/secret-checksum"
      ];
    const before = await argoGraph();
    const changed = [
      await argoGraph({ workflows: { database: { ...database, password: pulumi.secret("other") } } }),
      await argoGraph({ workflows: { retention: { archiveDays: 1 } } }),
    ];
    for (const part of ["controller", "server"]) {
      for (const graph of changed) expect(annotation(graph, part)).not.toBe(annotation(before, part));
    }
  });

  test("an external database is checked against its authority, and `prefer` is left to the driver", async () => {
    const graph = await argoGraph({
      workflows: { database: { ...database, sslMode: "verify-full", caCertificate: "authority" } },
    });
    expect(workflowConfig(graph).persistence.postgresql).toMatchObject({ ssl: true, sslMode: "verify-full" });
    for (const part of ["controller", "server"]) {
      const { containers, volumes } = graph.get(`argo-workflows-${part}`, "Deployment").inputs.spec.template
        .spec;
      const path = containers[0].env.find((entry: any) => entry.name === "PGSSLROOTCERT").value;
      const mount = containers[0].volumeMounts.find((entry: any) => path === `${entry.mountPath}/ca.crt`);
      const volume = volumes.find((entry: any) => entry.name === mount.name);
      expect(volume.secret.secretName).toBe("argo-workflows-database-ca");
    }
    const prefer = workflowConfig(
      await argoGraph({ workflows: { database: { ...database, sslMode: "prefer" } } }),
    );
    expect(prefer.persistence.postgresql.ssl).toBe(false);
    expect(prefer.persistence.postgresql.sslMode).toBeUndefined();
  });

  test("wrong arguments are refused together", async () => {
    await expect(argoGraph({ workflows: { folder: "/", retention: { podSeconds: -1 } } })).rejects.toThrow(
      /2 problems in the arguments of argo-workflows/,
    );
    await expect(argoGraph({ namespaces: ["No Namespace"] })).rejects.toThrow(
      /namespaces\[0\] = "No Namespace"/,
    );
  });
});

describe("Argo Events", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await argoGraph();
  });

  test("controller, then bus, then what hangs on it, then the webhook's address", () => {
    const order: GraphNode[] = [
      graph.get("argo-events-controller", "Deployment"),
      graph.get("argo-events-event-bus", "EventBus"),
      graph.get("argo-events-source", "EventSource"),
      graph.get("argo-events-webhook", "Service"),
    ];
    for (const [index, node] of order.entries()) {
      for (const before of order.slice(0, index)) {
        expect(graph.waits(node, before), `${node.name} ${before.name}`).toBe(true);
      }
    }
    const nats = graph.get("argo-events-bus", "StatefulSet");
    expect(graph.waits(graph.get("argo-events-event-bus", "EventBus"), nats)).toBe(true);
    expect(graph.waits(graph.get("argo-events-controller", "Deployment"), nats)).toBe(false);
    const sensor = graph.get("argo-events-sensor", "Sensor");
    expect(graph.waits(sensor, graph.get("argo-events-submitter", "RoleBinding"))).toBe(true);
    expect(graph.waits(sensor, graph.get("argo-events-source", "EventSource"))).toBe(false);
  });

  test("the bus has TLS and one login, which the clients get by a Secret", () => {
    const { jetstreamExotic } = graph.get("argo-events-event-bus", "EventBus").inputs.spec;
    expect(jetstreamExotic).toMatchObject({
      url: "nats://nats.argo-events.svc.cluster.local:4222",
      accessSecret: { name: "nats-client", key: "auth.yaml" },
      tls: { caCertSecret: { name: "nats-client", key: "ca.crt" } },
    });
    expect(parse(jetstreamExotic.streamConfig).replicas).toBe(1);
    const password = fakePassword("argo-events-bus");
    expect(parse(secretValue(graph, "argo-events-bus-client", "auth.yaml"))).toEqual({
      username: "argo-events",
      password,
    });
    expect(secretValue(graph, "argo-events-bus", "auth.conf")).toContain(`password: "${password}"`);
    expect(graph.get("argo-events-bus", "Certificate").inputs.dnsNames).toEqual([
      "nats.argo-events.svc.cluster.local",
    ]);
    const config: string = graph.get("argo-events-bus", "ConfigMap").inputs.data["nats.conf"];
    expect(config).toContain('include "auth.conf"');
    expect(config).toContain('key_file: "/etc/nats/tls.key"');
  });

  test("the webhook believes what is signed with its key, and asks GitHub nothing", () => {
    const { push } = graph.get("argo-events-source", "EventSource").inputs.spec.github;
    expect(push.webhookSecret).toEqual({ name: "github-webhook", key: "secret" });
    expect(push.webhook).toEqual({ endpoint: "/push", port: "12000", method: "POST" });
    expect(push.apiToken).toBeUndefined();
    expect(secretValue(graph, "argo-events-webhook", "secret")).toBe(fakePassword("argo-events-webhook", 40));
    expect(graph.outputs["webhookUrl"]).toBe(
      "http://github-webhook.argo-events.svc.cluster.local:12000/push",
    );
    const service = graph.get("argo-events-webhook", "Service").inputs.spec;
    expect(service.selector).toEqual({ "eventsource-name": "github", "owner-name": "github" });
  });

  test("a push makes one workflow of the template, in the workflows' namespace", () => {
    const [trigger] = graph.get("argo-events-sensor", "Sensor").inputs.spec.triggers;
    const { operation, source } = trigger.template.k8s;
    expect(operation).toBe("create");
    expect(source.resource).toMatchObject({
      kind: "Workflow",
      metadata: { namespace: "argo", generateName: "train-model-push-" },
      spec: { workflowTemplateRef: { name: "train-model" } },
    });
  });

  test("the controller's pods come from our image", () => {
    const [container] = graph.get("argo-events-controller", "Deployment").inputs.spec.template.spec
      .containers;
    const env = Object.fromEntries(container.env.map((entry: any) => [entry.name, entry.value]));
    expect(env).toMatchObject({
      ARGO_EVENTS_IMAGE: "registry.example/argo-events:v1.9.7",
      IMAGE_PULL_POLICY: "IfNotPresent",
    });
  });
});
