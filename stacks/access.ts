import * as pulumi from "@pulumi/pulumi";
import { ARGOCD_PORT } from "../k8s/argo/argoCd";
import { ARGOCD_NAMESPACE } from "../k8s/argo/argoCdAccess";
import { EVENTS_NAMESPACE } from "../k8s/argo/argoEvents";
import { ARGO_SERVER_PORT, WORKFLOWS_NAMESPACE } from "../k8s/argo/argoWorkflows";
import { SOURCE_PODS, WEBHOOK_PORT } from "../k8s/argo/pushTrigger";
import type { Cluster } from "../k8s/cluster/cluster";
import {
  Gateway,
  type GatewayService,
  type ServiceBackend,
  type WeightedBackend,
} from "../k8s/gateway/gateway";
import { GIT_NAMESPACE, GIT_PORT } from "../k8s/git/gitServer";
import { CONSOLE_PORT } from "../k8s/platform/minio";
import { MLFLOW_PORT } from "../k8s/platform/mlflow";
import { PLATFORM_NAMESPACE } from "../k8s/platform/platform";
import { APP_NAME, APP_PORT, type AppStage, stageNamespace } from "../k8s/stages/appStage";
import { imageRef } from "./pins";
import { type EnvironmentSpec, SERVICE_PORTS, type Service, type Stage } from "./spec";

/** The gateway's own service that spreads production's requests over production and canary. */
export const PRODUCTION = "production";
/** Path on the app that says whether it can answer. */
const READY_PATH = "/readyz";

/** What a person connects to, as `npm run access` reads it. */
export interface AccessOutput {
  /** Node whose address the public services have, and to which tunnels go. */
  readonly edge: string;
  /** Address of the gateway inside the cluster, the end of each tunnel. */
  readonly gatewayIp: string;
  readonly services: Readonly<
    Record<
      string,
      { readonly port: number; readonly exposure: "public" | "tunnel"; readonly localPort?: number }
    >
  >;
}

export interface AccessArgs {
  readonly spec: EnvironmentSpec;
  /** Kinds of Gateway API. */
  readonly definitions: readonly pulumi.Resource[];
  readonly cluster: Cluster;
  /** The stages there are, by name. */
  readonly stages: Readonly<Record<string, AppStage>>;
}

/** The one door to all services of an environment, and how people get to it. */
export class Access extends pulumi.ComponentResource {
  /** Where each reachable service answers, from outside or at the near end of the tunnel. */
  readonly urls: pulumi.Output<Record<string, string>>;
  readonly output: pulumi.Output<AccessOutput>;

  constructor(name: string, args: AccessArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:stacks:Access", name, {}, opts);
    const { spec, cluster, stages } = args;
    const gateway = new Gateway(
      "gateway",
      {
        image: imageRef("traefik"),
        definitions: args.definitions,
        edge: { node: cluster.home.name, address: homeAddress(cluster) },
        services: gatewayServices(spec, stages),
        weighted: weightedServices(spec),
      },
      { parent: this },
    );
    this.output = gateway.clusterAddress.apply((gatewayIp) => ({
      edge: cluster.home.name,
      gatewayIp,
      services: accessServices(spec),
    }));
    this.urls = pulumi.all([gateway.urls, this.output]).apply(([urls, { services }]) => ({
      ...urls,
      ...Object.fromEntries(
        Object.entries(services)
          .filter(([, { exposure }]) => exposure === "tunnel")
          .map(([service, { localPort }]) => [service, `http://127.0.0.1:${localPort}`]),
      ),
    }));
    this.registerOutputs({ urls: this.urls, access: this.output });
  }
}

/** The address people reach the environment at. */
export function homeAddress({ home }: Cluster): pulumi.Output<string> {
  return pulumi.output(home.publicAddress ?? home.spec.address);
}

/** Where the services that are no stages run. Plain: Services are named before they exist. */
function backends(spec: EnvironmentSpec): Readonly<Partial<Record<Service, ServiceBackend>>> {
  const delivers = Object.keys(spec.stages).length > 0;
  return {
    mlflow: { namespace: PLATFORM_NAMESPACE, service: "mlflow", port: MLFLOW_PORT },
    ...(spec.platform.objectStore.kind === "internal" && {
      "minio-console": { namespace: PLATFORM_NAMESPACE, service: "minio", port: CONSOLE_PORT },
    }),
    ...(delivers && {
      "argo-workflows": { namespace: WORKFLOWS_NAMESPACE, service: "argo-server", port: ARGO_SERVER_PORT },
      argocd: { namespace: ARGOCD_NAMESPACE, service: "argocd-server", port: ARGOCD_PORT },
      webhook: { namespace: EVENTS_NAMESPACE, service: SOURCE_PODS.name, port: WEBHOOK_PORT },
    }),
    ...(delivers &&
      spec.delivery.git.kind === "internal" && {
        git: { namespace: GIT_NAMESPACE, service: "git", port: GIT_PORT },
      }),
  };
}

function gatewayServices(
  spec: EnvironmentSpec,
  stages: Readonly<Record<string, AppStage>>,
): Record<string, GatewayService> {
  const services = backends(spec);
  const opened: Record<string, GatewayService> = {};
  for (const service of Object.keys(SERVICE_PORTS) as Service[]) {
    const of = { port: SERVICE_PORTS[service], exposure: spec.exposure[service] };
    const stage = stages[service];
    const backend = services[service];
    if (stage !== undefined) opened[service] = { ...of, routesFrom: stage.namespace };
    else if (backend !== undefined) opened[service] = { ...of, backend };
  }
  return opened;
}

/** Production's requests: most to production, some to a healthy canary. */
function weightedServices(spec: EnvironmentSpec): Record<string, Record<string, WeightedBackend>> {
  const backend = (stage: Stage, weight: number) => ({
    namespace: stageNamespace(stage),
    service: APP_NAME,
    port: APP_PORT,
    weight,
    healthPath: READY_PATH,
  });
  const { canaryPercent } = spec.delivery;
  if (spec.stages.production === undefined) return {};
  return {
    [PRODUCTION]: {
      production: backend("production", 100 - canaryPercent),
      ...(spec.stages.canary && canaryPercent > 0 && { canary: backend("canary", canaryPercent) }),
    },
  };
}

function accessServices(spec: EnvironmentSpec): AccessOutput["services"] {
  const known = new Set<string>([...Object.keys(spec.stages), ...Object.keys(backends(spec))]);
  return Object.fromEntries(
    (Object.keys(SERVICE_PORTS) as Service[]).flatMap((service) => {
      const [port, exposure] = [SERVICE_PORTS[service], spec.exposure[service]];
      if (!known.has(service) || exposure === "off") return [];
      // Ports below 1024 are the administrator's on a laptop.
      const local = port < 1024 ? { localPort: 18000 + port } : { localPort: port };
      return [[service, { port, exposure, ...(exposure === "tunnel" && local) }] as const];
    }),
  );
}
