/** The pure parts of k8s/argo: what is rendered for Argo, and which arguments are refused. Nothing runs. */
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { MANAGED_KINDS } from "../../k8s/argo/argoCdAccess";
import { checkArgoCd } from "../../k8s/argo/argoCdChecks";
import { renderCluster, renderProject, renderSettings } from "../../k8s/argo/argoCdSettings";
import { checkArgoEvents } from "../../k8s/argo/argoEventsChecks";
import { checkArgoWorkflows } from "../../k8s/argo/argoWorkflowsChecks";
import { goResources } from "../../k8s/argo/controllerPod";
import { withoutSchema } from "../../k8s/argo/crds";
import { escapePattern, renderSensor } from "../../k8s/argo/pushTrigger";
import { parseEndpoint } from "../../k8s/argo/workflowControllerConfig";

const retention = { succeededHours: 6, failedHours: 72, archiveDays: 90, podSeconds: 60 };

describe("refused arguments", () => {
  test.each([
    ["ftp://git.example/infra.git", "is not reached over HTTP"],
    ["git.example/infra.git", "is not a URL"],
    ["https://github.com/*", "is a pattern"],
    ["https://eva:geheim@git.example/infra.git", "holds credentials"],
  ])("the repository %s", (url, problem) => {
    const [found, ...more] = checkArgoCd({ repositories: [url], namespaces: [] });
    expect(more).toEqual([]);
    expect(found?.problem).toBe(problem);
    expect(JSON.stringify(found)).not.toContain("geheim");
  });

  test("a namespace that is none", () => {
    const found = checkArgoCd({ repositories: [], namespaces: ["gourmetgram-staging", "Staging", "*"] });
    expect(found.map(({ path }) => path)).toEqual(["namespaces[1]", "namespaces[2]"]);
  });

  test("folder and lengths of time, all at once", () => {
    const found = checkArgoWorkflows({
      folder: "{{workflow.name}}",
      retention: { ...retention, archiveDays: -1, podSeconds: 1.5 },
    });
    expect(found.map(({ path }) => path)).toEqual([
      "folder",
      "retention.archiveDays",
      "retention.podSeconds",
    ]);
    expect(checkArgoWorkflows({ folder: "argo/runs", retention })).toEqual([]);
  });

  test("repository, template and size, all at once", () => {
    const found = checkArgoEvents({ repository: "train", template: "Train", storage: "1" });
    expect(found.map(({ path }) => path)).toEqual(["repository", "workflow.template", "storage"]);
    expect(checkArgoEvents({ repository: "a/b.c", template: "train-model", storage: "1Gi" })).toEqual([]);
  });
});

describe("Argo CD", () => {
  test("the project allows the given repositories and namespaces, and nothing of the whole cluster", () => {
    expect(renderProject({ repositories: ["http://git/infra.git"], namespaces: ["a", "b"] })).toMatchObject({
      sourceRepos: ["http://git/infra.git"],
      destinations: [
        { server: "https://kubernetes.default.svc", namespace: "a" },
        { server: "https://kubernetes.default.svc", namespace: "b" },
      ],
      clusterResourceWhitelist: [],
    });
  });

  test("it is held to the namespaces and to the kinds it may manage", () => {
    expect(renderCluster(["a", "b"])).toMatchObject({ namespaces: "a,b", clusterResources: "false" });
    const included = parse(renderSettings()["resource.inclusions"] ?? "") as {
      apiGroups: string[];
      kinds: string[];
    }[];
    const kinds = included.flatMap(({ apiGroups, kinds }) => kinds.map((kind) => `${apiGroups[0]}/${kind}`));
    expect(kinds).toEqual(expect.arrayContaining(MANAGED_KINDS.map(({ group, kind }) => `${group}/${kind}`)));
    expect(kinds).not.toContain("/Secret");
    // Argo CD compares it with the address it dials, which is not the one it knows the cluster by: nothing would match.
    for (const inclusion of included) expect(Object.keys(inclusion)).toEqual(["apiGroups", "kinds"]);
  });
});

describe("the push trigger", () => {
  const sensor = renderSensor({
    labels: { name: "train-on-push" },
    serviceAccountName: "event-submitter",
    repository: "gourmetgram/gourmetgram.train",
    workflow: { namespace: "argo", template: "train-model" },
  }) as any;
  const filters: { path: string; value: string[] }[] = sensor.dependencies[0].filters.data;
  const passes = (path: string, text: string) => {
    const filter = filters.find((candidate) => candidate.path === path);
    return filter?.value.some((pattern) => new RegExp(pattern).test(text)) ?? true;
  };

  test.each([
    ["body.X-GitHub-Event", "push", "ping"],
    ["body.X-GitHub-Event", "push", "push_other"],
    ["body.repository.full_name", "gourmetgram/gourmetgram.train", "gourmetgram/gourmetgramXtrain"],
    ["body.repository.full_name", "gourmetgram/gourmetgram.train", "eva/gourmetgram/gourmetgram.train"],
    ["body.ref", "refs/heads/feature/x", "refs/tags/v1"],
    ["body.after", "0".repeat(39).concat("1"), "0".repeat(40)],
  ])("%s: %s starts a training, %s does not", (path, good, bad) => {
    expect(passes(path, good)).toBe(true);
    expect(passes(path, bad)).toBe(false);
  });

  test("what the event says becomes values of parameters and annotations, and no other field", () => {
    const { parameters, source } = sensor.triggers[0].template.k8s;
    for (const { dest } of parameters) {
      expect(dest).toMatch(/^(spec\.arguments\.parameters\.\d\.value|metadata\.annotations\..+)$/);
    }
    expect(source.resource.spec).toEqual({
      workflowTemplateRef: { name: "train-model" },
      arguments: {
        parameters: [
          { name: "branch", value: "" },
          { name: "requested-by", value: "" },
        ],
      },
    });
  });

  test("a name is matched as it is", () => {
    const name = "a.b+c(d)[e]{f}|g^h$i*j?k\\l";
    expect(new RegExp(`^${escapePattern(name)}$`).test(name)).toBe(true);
    expect(new RegExp(`^${escapePattern("a.b")}$`).test("aXb")).toBe(false);
  });
});

test("an S3 URL is split into host and whether it has TLS", () => {
  expect(parseEndpoint("http://minio.platform.svc:9000")).toEqual({
    endpoint: "minio.platform.svc:9000",
    insecure: true,
  });
  expect(parseEndpoint("https://s3.example.org")).toEqual({ endpoint: "s3.example.org", insecure: false });
});

test("the Go runtime is told of less memory than the container has", () => {
  const { resources, memoryLimit } = goResources({ cpu: 10, memory: 32, limit: 128 });
  expect(memoryLimit).toEqual({ name: "GOMEMLIMIT", value: "96MiB" });
  expect(resources).toMatchObject({ limits: { memory: "128Mi" } });
});

test("a definition without schema keeps names and versions", () => {
  const definition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "toys.example.org" },
    spec: {
      names: { kind: "Toy" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", properties: {} } },
        },
      ],
    },
  };
  const slim = withoutSchema(definition);
  expect(slim.spec.names).toEqual({ kind: "Toy" });
  expect(slim.spec.versions).toEqual([
    {
      name: "v1",
      served: true,
      storage: true,
      schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
    },
  ]);
});
