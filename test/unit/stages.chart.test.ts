/**
 * The chart of a stage: its values, its schema and the settings that become values agree, and what Helm makes of it. Helm is
 * taken from PATH or from the bundle; without it the second half is skipped. Not: that the API server takes the objects.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { MANAGED_KINDS } from "../../k8s/argo/argoCdAccess";
import { APP_NAME, APP_PORT } from "../../k8s/stages/appStage";
import { renderQuota } from "../../k8s/stages/stageQuota";
import { renderStageValues } from "../../k8s/stages/stageValues";
import { cachePaths } from "../../tools/cache/paths";
import { imageProblem } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";
import { root } from "../support/sources";

const chart = join(root, "k8s/stages/chart");
const DIGEST = `sha256:${"a".repeat(64)}`;
const resources = {
  requests: { cpu: "200m", memory: "256Mi" },
  limits: { cpu: "500m", memory: "512Mi" },
} as const;
const stage = {
  stage: "canary",
  replicas: 1,
  resources,
  imageRepository: "registry.example:5000/gourmetgram-app",
  pullSecret: "registry-pull",
  serviceAccount: APP_NAME,
  route: { gateway: { name: "gourmetgram", namespace: "gourmetgram-gateway" }, listener: "canary" },
} as const;
const values: any = parse(readFileSync(join(chart, "values.yaml"), "utf8"));
const schema: any = JSON.parse(readFileSync(join(chart, "values.schema.json"), "utf8"));

/** Every key of an object, as paths; the parameters promotions write, and the amounts by definition, are leaves. */
function paths(object: any, prefix = ""): string[] {
  return Object.entries(object)
    .flatMap(([key, value]) =>
      typeof value === "object" && value !== null ? paths(value, `${prefix}${key}.`) : [`${prefix}${key}`],
    )
    .sort();
}

function schemaPaths(node: any, prefix = ""): string[] {
  const resolved = node.$ref === "#/definitions/amounts" ? schema.definitions.amounts : node;
  return Object.entries(resolved.properties as Record<string, any>)
    .filter(([key]) => key !== "global")
    .flatMap(([key, child]) =>
      child.type === "object" || child.$ref ? schemaPaths(child, `${prefix}${key}.`) : [`${prefix}${key}`],
    )
    .sort();
}

describe("values", () => {
  test("of the chart are those its schema knows", () => {
    expect(schemaPaths(schema)).toEqual(paths(values));
  });

  test("set by a stage are all but those promotions write", () => {
    const promoted = ["image.digest", "modelVersion"];
    const ours = paths(renderStageValues(stage));
    expect(ours).toEqual(paths(values).filter((path) => !promoted.includes(path)));
  });

  test("that are unknown or missing are refused, at every level", () => {
    const objects = (node: any): any[] => [
      ...(node.properties ? [node, ...Object.values(node.properties).flatMap(objects)] : []),
    ];
    const closed = [...objects(schema), schema.definitions.amounts];
    expect(closed.length).toBeGreaterThan(6);
    for (const node of closed) {
      expect(node.additionalProperties).toBe(false);
      expect([...node.required].sort()).toEqual(
        Object.keys(node.properties)
          .filter((key) => key !== "global")
          .sort(),
      );
    }
  });

  test("of a budget: only where a pod can go", () => {
    expect(renderStageValues(stage).pdb.enabled).toBe(false);
    expect(renderStageValues({ ...stage, replicas: 2 }).pdb.enabled).toBe(true);
  });
});

test("a quota is written as the API server writes it", () => {
  const size = { replicas: 2, resources };
  expect(renderQuota(size)).toMatchObject({ pods: "5", "requests.cpu": "1", "requests.memory": "1280Mi" });
  const big = { requests: { cpu: "0.5", memory: "1Gi" }, limits: { cpu: "2", memory: "1.5Gi" } };
  expect(renderQuota({ replicas: 1, resources: big })).toMatchObject({
    "requests.cpu": "1500m",
    "requests.memory": "3Gi",
    "limits.cpu": "6",
    "limits.memory": "4608Mi",
  });
});

const helm = findHelm();
if (helm === undefined) {
  console.warn("the chart is not rendered: helm is neither on PATH nor in the bundle's store");
}

describe.skipIf(helm === undefined)("rendered by Helm", () => {
  const folder = mkdtempSync(join(tmpdir(), "gourmetgram-chart-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** As Argo CD renders it: our values in a file, the promotion's as parameters. */
  function render(change: object = {}, parameters: Record<string, string> = deployed): any[] {
    const file = join(folder, "values.json");
    writeFileSync(file, JSON.stringify(renderStageValues({ ...stage, ...change })));
    const set = Object.entries(parameters).flatMap(([key, value]) => ["--set-string", `${key}=${value}`]);
    const command = ["template", APP_NAME, chart, "--namespace", "gourmetgram-canary", "--values", file];
    const text = execFileSync(helm as string, [...command, ...set], { encoding: "utf8", stdio: "pipe" });
    return parseAllDocuments(text)
      .map((document) => document.toJS())
      .filter(Boolean);
  }
  const deployed = { "image.digest": DIGEST, modelVersion: "1.0.10" };
  const kinds = (objects: any[]) => objects.map((object) => object.kind).sort();
  const only = (objects: any[], kind: string) => objects.find((object) => object.kind === kind);

  test("lints without a word", () => {
    const text = execFileSync(helm as string, ["lint", "--strict", chart], { encoding: "utf8" });
    expect(text).toContain("0 chart(s) failed");
  });

  test("before the first promotion: a Service and a route, no Deployment", () => {
    expect(kinds(render({ replicas: 2 }, {}))).toEqual(["HTTPRoute", "Service"]);
  });

  test("after it: a Deployment of exactly that image", () => {
    const objects = render();
    expect(kinds(objects)).toEqual(["Deployment", "HTTPRoute", "Service"]);
    const { metadata, spec } = only(objects, "Deployment");
    expect(metadata.name).toBe(APP_NAME);
    expect(spec.replicas).toBe(1);
    expect(spec.template.spec.containers[0].image).toBe(`registry.example:5000/gourmetgram-app@${DIGEST}`);
    expect(spec.template.metadata.labels).toMatchObject({
      app: APP_NAME,
      "app.kubernetes.io/version": "1.0.10",
    });
    expect(spec.template.spec.imagePullSecrets).toEqual([{ name: "registry-pull" }]);
  });

  test("the old version goes only when the new one is ready", () => {
    const { spec } = only(render(), "Deployment");
    expect(spec.strategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: 0, maxSurge: 1 },
    });
    expect(spec.progressDeadlineSeconds).toBe(120);
    const [app] = spec.template.spec.containers;
    expect(app.lifecycle.preStop.sleep.seconds).toBeGreaterThan(0);
    // preStop, the app's own draining, and requests under way.
    expect(spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(3 + 5 + 20);
    for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
      expect(app[probe].httpGet.port).toBe("http");
    }
  });

  test("pods keep the level restricted, are pinned, and their selectors match", () => {
    const objects = render({ replicas: 2 });
    const { spec } = only(objects, "Deployment");
    const pod = spec.template.spec;
    expect(restrictedViolations(pod)).toEqual([]);
    expect(imageProblem(pod.containers[0].image)).toBeUndefined();
    expect(pod.containers[0].resources).toEqual(resources);
    expect(pod.automountServiceAccountToken).toBe(false);
    const selectors = [
      spec.selector.matchLabels,
      only(objects, "Service").spec.selector,
      only(objects, "PodDisruptionBudget").spec.selector.matchLabels,
      pod.topologySpreadConstraints[0].labelSelector.matchLabels,
    ];
    for (const selector of selectors) {
      expect(spec.template.metadata.labels).toMatchObject(selector);
      expect(Object.keys(selector)).not.toContain("app.kubernetes.io/version");
    }
    for (const object of objects) {
      expect(object.metadata).toMatchObject({
        namespace: "gourmetgram-canary",
        labels: { "app.kubernetes.io/part-of": "gourmetgram", "app.kubernetes.io/instance": "canary" },
      });
    }
  });

  test("the route leads to the stage, or to what spreads requests over stages", () => {
    const own = only(render(), "HTTPRoute").spec;
    expect(own.parentRefs[0]).toMatchObject({
      name: "gourmetgram",
      namespace: "gourmetgram-gateway",
      sectionName: "canary",
    });
    expect(own.rules[0].backendRefs).toEqual([
      { group: "", kind: "Service", name: APP_NAME, port: APP_PORT, weight: 1 },
    ]);
    const weighted = only(render({ route: { ...stage.route, weighted: "production@file" } }), "HTTPRoute");
    expect(weighted.spec.rules[0].backendRefs).toEqual([
      { group: "traefik.io", kind: "TraefikService", name: "production@file", weight: 1 },
    ]);
    expect(kinds(render({ route: undefined }))).toEqual(["Deployment", "Service"]);
  });

  test("with autoscaling nobody else sets the number of pods", () => {
    const objects = render({ replicas: 2, autoscaling: { maxReplicas: 5, targetCpuPercent: 60 } });
    expect(only(objects, "Deployment").spec).not.toHaveProperty("replicas");
    expect(only(objects, "HorizontalPodAutoscaler").spec).toMatchObject({
      scaleTargetRef: { kind: "Deployment", name: APP_NAME },
      minReplicas: 2,
      maxReplicas: 5,
    });
    expect(kinds(objects)).toContain("PodDisruptionBudget");
  });

  test("only kinds Argo CD may write", () => {
    const objects = render({ replicas: 2, autoscaling: { maxReplicas: 5, targetCpuPercent: 60 } });
    const allowed = MANAGED_KINDS.map(({ kind }) => kind);
    expect(kinds(objects).filter((kind) => !allowed.includes(kind))).toEqual([]);
  });

  test("wrong values are refused", () => {
    const cases: Record<string, string>[] = [
      { "image.digest": "latest" },
      { "image.digest": "", modelVersion: "newest" },
      { "image.tag": "1.0.1" },
    ];
    for (const wrong of cases) {
      expect(() => render({}, wrong), JSON.stringify(wrong)).toThrow(/schema/);
    }
  });
});

function findHelm(): string | undefined {
  const { store } = cachePaths();
  const bundled = existsSync(store)
    ? readdirSync(store)
        .filter((entry) => entry.startsWith("helm-"))
        .map((entry) => join(store, entry))
    : [];
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...bundled];
  return folders.map((folder) => join(folder, "helm")).find((file) => existsSync(file));
}
