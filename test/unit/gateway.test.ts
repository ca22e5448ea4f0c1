import { describe, expect, test } from "vitest";
import { type GatewayService, publicUrl, type WeightedBackend } from "../../k8s/gateway/gateway";
import { openServices, renderArguments, renderRouting, routedServiceName } from "../../k8s/gateway/routing";

const services: Readonly<Record<string, GatewayService>> = {
  production: { port: 80, exposure: "public", routesFrom: "gourmetgram-production" },
  mlflow: {
    port: 8000,
    exposure: "tunnel",
    backend: { namespace: "gourmetgram-platform", service: "mlflow", port: 8000 },
  },
  webhook: {
    port: 12000,
    exposure: "off",
    backend: { namespace: "argo-events", service: "github", port: 12000 },
  },
};
const app = (stage: string, weight: number): WeightedBackend => ({
  namespace: `gourmetgram-${stage}`,
  service: "gourmetgram-app",
  port: 8000,
  weight,
  healthPath: "/readyz",
});
const routing = (weights: Record<string, number>) =>
  renderRouting(services, {
    production: Object.fromEntries(
      Object.entries(weights).map(([stage, weight]) => [stage, app(stage, weight)]),
    ),
  }) as any;

describe("the routing file", () => {
  test("spreads production's requests over stages that are healthy, and keeps a client where it is", () => {
    expect(routing({ production: 90, canary: 10 }).http.services["production-healthy"].weighted).toEqual({
      healthCheck: {},
      sticky: { cookie: { name: "gourmetgram-production", path: "/", httpOnly: true, sameSite: "lax" } },
      services: [
        { name: "production-to-production", weight: 90 },
        { name: "production-to-canary", weight: 10 },
      ],
    });
    expect(routedServiceName("production")).toBe("production@file");
  });

  test("asks each of them for its health, by its whole name", () => {
    expect(routing({ production: 90, canary: 10 }).http.services["production-to-canary"]).toEqual({
      loadBalancer: {
        servers: [{ url: "http://gourmetgram-app.gourmetgram-canary.svc.cluster.local:8000" }],
        healthCheck: { path: "/readyz", interval: "1s", unhealthyInterval: "2s", timeout: "5s" },
      },
    });
  });

  test("leaves out what has no weight: Traefik would search forever when only that is healthy", () => {
    const made = routing({ production: 100, canary: 0 }).http.services;
    expect(made["production-healthy"].weighted.services).toEqual([
      { name: "production-to-production", weight: 100 },
    ]);
    expect(made).not.toHaveProperty("production-to-canary");
  });

  test("asks the heaviest one anyway when none is healthy", () => {
    const made = routing({ canary: 10, production: 90 }).http.services;
    expect(made.production).toEqual({
      failover: { service: "production-healthy", fallback: "production-anyway" },
    });
    expect(made["production-anyway"]).toEqual({
      loadBalancer: {
        servers: [{ url: "http://gourmetgram-app.gourmetgram-production.svc.cluster.local:8000" }],
      },
    });
  });

  test("leads to services in other namespaces, but for those that are off", () => {
    const made = routing({ production: 1 }).http.services;
    expect(made.mlflow).toEqual({
      loadBalancer: { servers: [{ url: "http://mlflow.gourmetgram-platform.svc.cluster.local:8000" }] },
    });
    expect(made).not.toHaveProperty("webhook");
  });

  test("has each name that other parts use", () => {
    const { middlewares, services: made } = routing({ production: 90, canary: 10 }).http;
    const used = renderArguments(services, []).flatMap(
      (line) => /middlewares=(\w+)@file/.exec(line)?.[1] ?? [],
    );
    expect(used).toEqual(Object.keys(middlewares));
    const referred = [
      ...Object.values(made.production.failover),
      ...made["production-healthy"].weighted.services.map(({ name }: { name: string }) => name),
    ];
    expect(Object.keys(made)).toEqual(expect.arrayContaining(referred));
  });
});

describe("Traefik's arguments", () => {
  const lines = renderArguments(services, ["gourmetgram-gateway", "gourmetgram-production"]);

  test("have one entry point for each open service, on its port", () => {
    const points = lines.flatMap(
      (line) => /^--entrypoints\.([\w-]+)\.address=:(\d+)$/.exec(line)?.slice(1, 3).join(" ") ?? [],
    );
    expect(points).toEqual(["health 8082", "production 80", "mlflow 8000"]);
    expect(openServices(services).map(([name]) => name)).toEqual(["production", "mlflow"]);
  });

  test("let uploads to services take their time, and try stages again", () => {
    expect(lines).toContain("--entrypoints.mlflow.transport.respondingtimeouts.readtimeout=0");
    expect(lines).not.toContain("--entrypoints.production.transport.respondingtimeouts.readtimeout=0");
    expect(lines).toContain("--entrypoints.production.http.middlewares=reconnect@file");
  });

  test("read routes in the given namespaces only", () => {
    expect(lines).toContain(
      "--providers.kubernetesgateway.namespaces=gourmetgram-gateway,gourmetgram-production",
    );
    expect(lines.filter((line) => line.includes("kubernetescrd"))).toEqual([]);
  });
});

test("addresses for browsers", () => {
  expect(publicUrl("10.87.0.11", 80)).toBe("http://10.87.0.11");
  expect(publicUrl("edge.example.org", 8081)).toBe("http://edge.example.org:8081");
  expect(publicUrl("fd00::1", 8081)).toBe("http://[fd00::1]:8081");
});
