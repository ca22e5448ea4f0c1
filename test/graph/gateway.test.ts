import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import {
  createGatewayDefinitions,
  Gateway,
  type GatewayArgs,
  type GatewayService,
} from "../../k8s/gateway/gateway";
import { type Graph, recordGraph } from "../support/graph";
import { objectProblems, podTemplates } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";

const manifestsFolder = mkdtempSync(join(tmpdir(), "manifests-"));
const definition = (plural: string) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `${plural}.gateway.networking.k8s.io` },
  spec: { group: "gateway.networking.k8s.io" },
});
writeFileSync(
  join(manifestsFolder, "gateway-api-crds.yaml"),
  ["gatewayclasses", "gateways", "httproutes"]
    .map((plural) => `--- ${JSON.stringify(definition(plural))}\n`)
    .join(""),
);
afterAll(() => rmSync(manifestsFolder, { recursive: true }));

const platform = "gourmetgram-platform";
const args: GatewayArgs = {
  image: "registry.example/traefik:v3.5.0",
  definitions: [],
  edge: { node: "node1", address: "10.87.0.11" },
  services: {
    production: { port: 80, exposure: "public", routesFrom: "gourmetgram-production" },
    staging: { port: 8081, exposure: "tunnel", routesFrom: "gourmetgram-staging" },
    mlflow: {
      port: 8000,
      exposure: "tunnel",
      backend: { namespace: platform, service: "mlflow", port: 8000 },
    },
    webhook: {
      port: 12000,
      exposure: "off",
      backend: { namespace: "argo-events", service: "github", port: 12000 },
    },
  },
  weighted: {
    production: {
      production: app("production", 90),
      canary: app("canary", 10),
    },
  },
};

function app(stage: string, weight: number) {
  return {
    namespace: `gourmetgram-${stage}`,
    service: "gourmetgram-app",
    port: 8000,
    weight,
    healthPath: "/readyz",
  };
}

function gatewayGraph(change: Partial<GatewayArgs> = {}): Promise<Graph> {
  return recordGraph(() => {
    const machine = new pulumi.ComponentResource("test:Machine", "machine");
    const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
    const stage = new k8s.core.v1.Namespace("stage", { metadata: { name: "gourmetgram-production" } });
    const production = { port: 80, exposure: "public", routesFrom: stage.metadata.name } as const;
    const services = { ...args.services, production };
    const inCluster = { provider, deletedWith: machine };
    const definitions = createGatewayDefinitions("gateway-crds", manifestsFolder, inCluster);
    const gateway = new Gateway("gateway", { ...args, definitions, services, ...change }, inCluster);
    new k8s.core.v1.ConfigMap("user", { data: gateway.urls });
    return { urls: gateway.urls, tunnelPorts: gateway.tunnelPorts };
  });
}

describe("the gateway", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await gatewayGraph();
  });
  const pod = (of = graph) => of.get("gateway", "Deployment").inputs.spec.template.spec;
  const routes = () => graph.nodes.filter(({ type }) => type.endsWith(":HTTPRoute"));

  test("has exactly these children", () => {
    expect(graph.children(graph.get("gateway", "gourmetgram:k8s:Gateway"))).toEqual([
      "gateway Deployment",
      "gateway Gateway",
      "gateway Namespace",
      "gateway NetworkPolicy",
      "gateway Service",
      "gateway ServiceAccount",
      "gateway-class GatewayClass",
      "gateway-classes ClusterRole",
      "gateway-classes ClusterRoleBinding",
      "gateway-default-deny NetworkPolicy",
      "gateway-dns NetworkPolicy",
      "gateway-health HTTPRoute",
      "gateway-mlflow HTTPRoute",
      "gateway-routes ClusterRole",
      "gateway-routes-gateway RoleBinding",
      "gateway-routes-production RoleBinding",
      "gateway-routes-staging RoleBinding",
      "gateway-routing ConfigMap",
    ]);
  });

  test("waits for kinds, rights and the stages' namespaces, and they for nothing of it", () => {
    const server = graph.get("gateway", "Deployment");
    const definitions = graph.ofType("CustomResourceDefinition");
    for (const needed of [
      ...definitions,
      ...graph.ofType("RoleBinding"),
      ...graph.ofType("ClusterRoleBinding"),
    ]) {
      expect(graph.waits(server, needed), needed.name).toBe(true);
    }
    expect(graph.waits(graph.get("gateway-routes-production"), graph.get("stage"))).toBe(true);
    for (const route of routes()) {
      for (const needed of definitions) expect(graph.waits(route, needed)).toBe(true);
      expect(graph.waits(route, server)).toBe(false);
    }
    expect(graph.waits(graph.get("user"), server)).toBe(true);
  });

  test("has a listener for each open service, open to the routes of its namespace only", () => {
    const { listeners, gatewayClassName } = graph.get(
      "gateway",
      "kubernetes:gateway.networking.k8s.io/v1:Gateway",
    ).inputs.spec;
    expect(gatewayClassName).toBe(graph.get("gateway-class").inputs.metadata.name);
    const from = (namespace: string) => ({
      from: "Selector",
      selector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
    });
    expect(
      listeners.map(({ name, port, protocol, allowedRoutes }: any) => [
        name,
        port,
        protocol,
        allowedRoutes.namespaces,
      ]),
    ).toEqual([
      ["production", 80, "HTTP", from("gourmetgram-production")],
      ["staging", 8081, "HTTP", from("gourmetgram-staging")],
      ["mlflow", 8000, "HTTP", { from: "Same" }],
      ["health", 8082, "HTTP", { from: "Same" }],
    ]);
  });

  test("routes what brings no route of its own to the routing file, which has it", () => {
    const backends = routes().map(({ inputs }) => [
      inputs.spec.parentRefs[0].sectionName,
      inputs.spec.rules[0].backendRefs[0].kind,
      inputs.spec.rules[0].backendRefs[0].name,
    ]);
    expect(backends.sort()).toEqual([
      ["health", "TraefikService", "ping@internal"],
      ["mlflow", "TraefikService", "mlflow@file"],
    ]);
    const { services } = parse(graph.get("gateway-routing").inputs.data["routing.yaml"]).http;
    expect(services).toHaveProperty("mlflow.loadBalancer");
    expect(services).toHaveProperty("production.failover");
  });

  test("opens ports of the edge node for public services only, of its Service for all open ones", () => {
    const [container] = pod().containers;
    expect(container.ports).toEqual([
      { containerPort: 80, hostPort: 80 },
      { containerPort: 8081 },
      { containerPort: 8000 },
      { name: "health", containerPort: 8082 },
    ]);
    expect(pod().nodeSelector).toEqual({ "kubernetes.io/hostname": "node1" });
    const { type, ports } = graph.get("gateway", "Service").inputs.spec;
    expect(type).toBe("ClusterIP");
    expect(ports.map(({ name, port }: any) => [name, port])).toEqual([
      ["production", 80],
      ["staging", 8081],
      ["mlflow", 8000],
    ]);
  });

  test("shows Traefik the routing file once, and follows it: in a folder of the volume", () => {
    const [volume] = pod().volumes;
    const file = "routing.yaml";
    expect(volume.configMap.items).toEqual([{ key: file, path: `current/${file}` }]);
    expect(Object.keys(graph.get("gateway-routing").inputs.data)).toEqual([file]);
    expect(pod().containers[0].args).toContain(
      `--providers.file.directory=${pod().containers[0].volumeMounts[0].mountPath}`,
    );
  });

  test("breaks the level restricted by its host ports alone", () => {
    expect(objectProblems(graph).filter((line) => !/^(user|stage) /.test(line))).toEqual([]);
    for (const { spec } of podTemplates(graph)) {
      expect(restrictedViolations(spec)).toEqual(["traefik: hostPort 80"]);
      const [container] = spec.containers;
      expect(container.securityContext.readOnlyRootFilesystem).toBe(true);
      expect(container.startupProbe && container.readinessProbe && container.livenessProbe).toBeTruthy();
      expect(Object.keys(container.resources).sort()).toEqual(["limits", "requests"]);
    }
    expect(level(graph)).toBe("privileged");
  });

  test("keeps it when nothing is public", async () => {
    const production = { ...args.services["production"], exposure: "tunnel" } as GatewayService;
    const closed = await gatewayGraph({ services: { ...args.services, production } });
    expect(restrictedViolations(pod(closed))).toEqual([]);
    expect(level(closed)).toBe("restricted");
    expect(pod(closed)).not.toHaveProperty("nodeSelector");
  });

  test("reads Secrets and routes in its own and the stages' namespaces, nowhere else", () => {
    const cluster = graph
      .get("gateway-classes", "ClusterRole")
      .inputs.rules.flatMap(({ resources }: any) => resources);
    expect(cluster).toEqual(["namespaces", "gatewayclasses", "gatewayclasses/status"]);
    const verbs = graph.get("gateway-routes", "ClusterRole").inputs.rules.flatMap(({ verbs }: any) => verbs);
    expect([...new Set(verbs)].sort()).toEqual(["get", "list", "update", "watch"]);
    expect(
      graph
        .ofType("RoleBinding")
        .map(({ inputs }) => inputs.metadata.namespace)
        .sort(),
    ).toEqual(["gourmetgram-gateway", "gourmetgram-production", "gourmetgram-staging"]);
    expect(pod().containers[0].args).toContain(
      "--providers.kubernetesgateway.namespaces=gourmetgram-gateway,gourmetgram-production,gourmetgram-staging",
    );
  });

  test("other weights change the routing file and restart nothing", async () => {
    const weighted = { production: { production: app("production", 50), canary: app("canary", 50) } };
    const changed = await gatewayGraph({ weighted });
    expect(changed.get("gateway", "Deployment").inputs).toEqual(graph.get("gateway", "Deployment").inputs);
    expect(changed.get("gateway-routing").inputs).not.toEqual(graph.get("gateway-routing").inputs);
  });

  test("tells where things are", () => {
    expect(graph.outputs).toEqual({
      urls: { production: "http://10.87.0.11" },
      tunnelPorts: { staging: 8081, mlflow: 8000 },
    });
  });

  function level(of: Graph): string {
    return of.get("gateway", "Namespace").inputs.metadata.labels["pod-security.kubernetes.io/enforce"];
  }
});

test("wrong arguments are all reported at once, before anything is made", async () => {
  const backend = { namespace: "a", service: "b", port: 0 };
  const wrong: GatewayArgs = {
    ...args,
    services: {
      health: { port: 8082, exposure: "public", backend },
      one: { port: 99999, exposure: "tunnel", routesFrom: "a" },
      two: { port: 80, exposure: "tunnel", routesFrom: "a" },
      three: { port: 80, exposure: "tunnel", routesFrom: "a" },
      off: { port: 80, exposure: "off", routesFrom: "a" },
    },
    weighted: {
      health: { x: app("x", 0) },
      other: { y: { ...app("y", -1), healthPath: "readyz" }, z: app("z", 5) },
    },
  };
  const error: Error = await recordGraph(() => new Gateway("gateway", wrong)).catch((reason) => reason);
  for (const text of [
    "9 problems in the arguments of gateway",
    'services.health = "health"',
    "services.health.port = 8082",
    "services.health.backend.port = 0",
    "services.one.port = 99999",
    "services.three.port = 80\n    is the port of two too",
    "weighted.health\n    has the name of a service with a backend",
    "weighted.health = [0]",
    "weighted.other.y.weight = -1",
    'weighted.other.y.healthPath = "readyz"',
  ]) {
    expect(error.message).toContain(text);
  }
});
