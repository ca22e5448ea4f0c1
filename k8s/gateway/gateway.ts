import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { stringify } from "yaml";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import { createManifest, readManifest } from "../../components/manifest";
import { ProblemsError } from "../../components/problems";
import { createDefaultDeny, createTraffic, namespaceOf } from "../platform/networkPolicies";
import { restrictedContainer, restrictedPod } from "../platform/restricted";
import { createGatewayAccess } from "./gatewayAccess";
import { checkGateway } from "./gatewayChecks";
import {
  HEALTH,
  HEALTH_PORT,
  openServices,
  ROUTING_FOLDER,
  renderArguments,
  renderRouting,
  routedServiceName,
} from "./routing";

/** Namespace of the gateway. */
export const GATEWAY_NAMESPACE = "gourmetgram-gateway";
/** Kubernetes name of the Gateway, which routes name as their parent. */
export const GATEWAY_NAME = "gourmetgram";
const GATEWAY_CLASS = "traefik";
/** What Traefik calls itself; it takes care of the classes that name it. */
const CONTROLLER = "traefik.io/gateway-controller";
const APPLICATION: LabelArgs = { name: "gateway", component: "gateway" };
const ROUTING_FILE = "routing.yaml";
/** Traefik needs no certain user. */
const UID = 65532;
/** Ports of the Kubernetes API: its Service's, and the one behind it. */
const API_PORTS = [443, 6443];

/**
 * From where a service is reached: on the edge node's address and so by everyone, on the gateway's cluster address and so
 * through an SSH tunnel to a node, or not at all.
 */
export type GatewayExposure = "public" | "tunnel" | "off";

/** A service behind the gateway, with a listener and a port of its own. */
export type GatewayService = {
  /** The same on the node, on the gateway's Service and at the end of a tunnel. Shape: plain. */
  readonly port: number;
  readonly exposure: GatewayExposure;
} & (
  | {
      /** Namespace whose HTTPRoutes may join this listener, and no others. Give the Namespace's own output: it must be there. */
      readonly routesFrom: pulumi.Input<string>;
    }
  | {
      /** Where all requests go. Shape: plain. */
      readonly backend: ServiceBackend;
    }
);

/** A Service inside the cluster. */
export interface ServiceBackend {
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
}

/** One of several Services that share requests. */
export interface WeightedBackend extends ServiceBackend {
  /** Its share is its weight by the sum of the weights of those that are healthy. */
  readonly weight: number;
  /** Asked every second; an answer other than 2xx or 3xx, or none, means unhealthy. */
  readonly healthPath: string;
}

export interface GatewayArgs {
  /** Traefik 3.5. */
  readonly image: pulumi.Input<string>;
  /** Kinds of Gateway API, by `createGatewayDefinitions`. */
  readonly definitions: readonly pulumi.Resource[];
  /** Node that opens the public ports, and the address or name by which people reach it. */
  readonly edge: { readonly node: pulumi.Input<string>; readonly address: pulumi.Input<string> };
  /** By name, which is also the listener's. Shape: plain but for `routesFrom`. */
  readonly services: Readonly<Record<string, GatewayService>>;
  /**
   * Services of the gateway itself that spread requests over others, by name: who comes again gets the same one, and one that
   * is not healthy gets nothing. A route names it as `routedServiceName(name)`. Shape: plain. @default none
   */
  readonly weighted?: Readonly<Record<string, Readonly<Record<string, WeightedBackend>>>>;
}

/**
 * The one door to everything a person may open: Traefik with Gateway API, on one node. Listener `<service>` of Gateway
 * `gourmetgram` has the service's port. Stages bring their own HTTPRoute; the other services get one here.
 *
 * Waits for: the cluster of its provider and the namespaces in `routesFrom`; `ready` when routes are served. Costs: one pod of
 * about 60 MiB and, on the edge node, a port for each public service.
 * ```ts
 * new Gateway("gateway", { image, definitions, edge: { node: "node1", address: "10.87.0.11" },
 *   services: { mlflow: { port: 8000, exposure: "tunnel", backend: { namespace: "platform", service: "mlflow", port: 8000 } } } });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class Gateway extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  /** Done when the gateway serves its routes. */
  readonly ready: pulumi.CustomResource;
  /** Address of the gateway inside the cluster, known to every node: where SSH tunnels lead to. */
  readonly clusterAddress: pulumi.Output<string>;
  /** Addresses of public services, by name. */
  readonly urls: pulumi.Output<Record<string, string>>;
  /** Ports of the services that are reached through a tunnel to `clusterAddress`, by name. */
  readonly tunnelPorts: Readonly<Record<string, number>>;

  constructor(name: string, args: GatewayArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkGateway(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:Gateway", name, {}, opts);
    const child = { parent: this };
    const open = openServices(args.services);
    const stages = Object.fromEntries(
      open.flatMap(([service, of]) => ("routesFrom" in of ? [[service, of.routesFrom]] : [])),
    );

    const namespace = createNamespace(name, args, child);
    this.namespace = namespace.metadata.name;
    createDefaultDeny(name, { namespace: this.namespace, labels: APPLICATION }, child);
    createPolicies(name, args, this.namespace, child);
    // The API server refuses objects of kinds it does not know yet.
    const gateway = createGateway(name, args, this.namespace, {
      ...child,
      dependsOn: [...args.definitions],
    });
    const account = createGatewayAccess(name, { namespace: this.namespace, stages }, child);
    const routing = createRouting(name, args, this.namespace, child);
    const service = createService(name, args, this.namespace, child);
    this.ready = createServer(
      name,
      args,
      {
        namespace: this.namespace,
        account: account.name,
        routing: routing.metadata.name,
        watched: pulumi.all([this.namespace, ...Object.values(stages)]),
      },
      // Without kinds and rights its first questions fail, and it waits longer and longer before it asks again.
      { ...child, dependsOn: [...args.definitions, ...account.bindings, ...gateway] },
    );

    this.clusterAddress = pulumi.all([service.spec.clusterIP, this.ready.id]).apply(([address]) => address);
    this.urls = pulumi
      .all([args.edge.address, this.ready.id])
      .apply(([address]) =>
        Object.fromEntries(
          open
            .filter(([, { exposure }]) => exposure === "public")
            .map(([service, { port }]) => [service, publicUrl(address, port)]),
        ),
      );
    this.tunnelPorts = Object.fromEntries(
      open.filter(([, { exposure }]) => exposure === "tunnel").map(([service, { port }]) => [service, port]),
    );
    this.registerOutputs({ urls: this.urls, clusterAddress: this.clusterAddress });
  }
}

/**
 * The kinds of Gateway API's standard channel, one resource each. Apart from the gateway, because routes of the stages need
 * them, and the gateway needs the stages' namespaces.
 *
 * @param manifestsFolder folder with `gateway-api-crds.yaml`
 */
export function createGatewayDefinitions(
  name: string,
  manifestsFolder: string,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource[] {
  return Object.values(
    createManifest(name, "gateway-api", readManifest(`${manifestsFolder}/gateway-api-crds.yaml`), opts),
  );
}

/** `http://10.87.0.11`, with the port unless it is HTTP's own. */
export function publicUrl(address: string, port: number): string {
  const host = address.includes(":") ? `[${address}]` : address;
  return port === 80 ? `http://${host}` : `http://${host}:${port}`;
}

function createNamespace(
  name: string,
  args: GatewayArgs,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Namespace {
  const isPublic = Object.values(args.services).some(({ exposure }) => exposure === "public");
  return new k8s.core.v1.Namespace(
    name,
    {
      metadata: {
        name: GATEWAY_NAMESPACE,
        labels: {
          ...labels(APPLICATION),
          // A port of the node is the one thing the pod has that `restricted` and `baseline` forbid.
          "pod-security.kubernetes.io/enforce": isPublic ? "privileged" : "restricted",
          "pod-security.kubernetes.io/warn": isPublic ? "privileged" : "restricted",
        },
      },
    },
    opts,
  );
}

function createPolicies(
  name: string,
  args: GatewayArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): void {
  const open = openServices(args.services);
  const backends = open.flatMap(([, service]) => ("backend" in service ? [service.backend] : []));
  const weighted = Object.values(args.weighted ?? {}).flatMap((shared) => Object.values(shared));
  createTraffic(
    name,
    {
      namespace,
      objectName: "gateway",
      pods: APPLICATION,
      // Open to all: what is public is for everybody, and a tunnel comes from a node, which no rule can name.
      ingress: [{ ports: [...open.map(([, { port }]) => port), HEALTH_PORT] }],
      egress: [
        { ports: API_PORTS },
        ...[...backends, ...weighted].map((backend) => ({
          peers: [namespaceOf(backend.namespace)],
          ports: [backend.port],
        })),
        // The port is the route's to choose.
        ...open.flatMap(([, service]) =>
          "routesFrom" in service ? [{ peers: [namespaceOf(service.routesFrom)] }] : [],
        ),
      ],
    },
    opts,
  );
}

/** The class, the Gateway with a listener for each service, and the routes of services that have none of their own. */
function createGateway(
  name: string,
  args: GatewayArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource[] {
  const open = openServices(args.services);
  const gatewayClass = new k8s.apiextensions.CustomResource(
    `${name}-class`,
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "GatewayClass",
      metadata: { name: GATEWAY_CLASS, labels: labels(APPLICATION) },
      spec: { controllerName: CONTROLLER },
    },
    opts,
  );
  const gateway = new k8s.apiextensions.CustomResource(
    name,
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: GATEWAY_NAME, namespace, labels: labels(APPLICATION) },
      spec: {
        gatewayClassName: GATEWAY_CLASS,
        listeners: [
          ...open.map(([service, of]) => ({
            name: service,
            protocol: "HTTP",
            port: of.port,
            allowedRoutes: { namespaces: allowedNamespaces(of) },
          })),
          {
            name: HEALTH,
            protocol: "HTTP",
            port: HEALTH_PORT,
            allowedRoutes: { namespaces: { from: "Same" } },
          },
        ],
      },
    },
    { ...opts, dependsOn: [...((opts.dependsOn as pulumi.Resource[]) ?? []), gatewayClass] },
  );
  const route = (service: string, backend: string, path: string) =>
    new k8s.apiextensions.CustomResource(
      `${name}-${service}`,
      {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "HTTPRoute",
        metadata: { name: service, namespace, labels: labels({ ...APPLICATION, instance: service }) },
        spec: {
          parentRefs: [
            {
              group: "gateway.networking.k8s.io",
              kind: "Gateway",
              name: GATEWAY_NAME,
              sectionName: service,
            },
          ],
          rules: [
            {
              matches: [{ path: { type: "PathPrefix", value: path } }],
              backendRefs: [{ group: "traefik.io", kind: "TraefikService", name: backend, weight: 1 }],
            },
          ],
        },
      },
      opts,
    );
  const routes = open
    .filter(([, service]) => "backend" in service)
    .map(([service]) => route(service, routedServiceName(service), "/"));
  return [gateway, route(HEALTH, "ping@internal", "/ping"), ...routes];
}

function allowedNamespaces(service: GatewayService): object {
  if (!("routesFrom" in service)) return { from: "Same" };
  return {
    from: "Selector",
    selector: { matchLabels: { "kubernetes.io/metadata.name": service.routesFrom } },
  };
}

function createRouting(
  name: string,
  args: GatewayArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.ConfigMap {
  return new k8s.core.v1.ConfigMap(
    `${name}-routing`,
    {
      metadata: { name: "gateway-routing", namespace, labels: labels(APPLICATION) },
      // Followed while Traefik runs: other weights need no restart, which would close every port for a moment.
      data: { [ROUTING_FILE]: stringify(renderRouting(args.services, args.weighted ?? {})) },
    },
    opts,
  );
}

function createService(
  name: string,
  args: GatewayArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  return new k8s.core.v1.Service(
    name,
    {
      metadata: { name: "gateway", namespace, labels: labels(APPLICATION) },
      spec: {
        type: "ClusterIP",
        selector: selectorLabels(APPLICATION),
        ports: openServices(args.services).map(([service, { port }]) => ({
          name: service,
          port,
          targetPort: port,
        })),
      },
    },
    opts,
  );
}

function createServer(
  name: string,
  args: GatewayArgs,
  of: {
    readonly namespace: pulumi.Input<string>;
    readonly account: pulumi.Input<string>;
    readonly routing: pulumi.Input<string>;
    readonly watched: pulumi.Output<string[]>;
  },
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  const open = openServices(args.services);
  const isPublic = open.some(([, { exposure }]) => exposure === "public");
  const pod = restrictedPod(UID);
  return new k8s.apps.v1.Deployment(
    name,
    {
      metadata: { name: "gateway", namespace: of.namespace, labels: labels(APPLICATION) },
      spec: {
        replicas: 1,
        revisionHistoryLimit: 3,
        // Two pods cannot have the same ports of one node.
        strategy: { type: "Recreate" },
        selector: { matchLabels: selectorLabels(APPLICATION) },
        template: {
          metadata: { labels: labels(APPLICATION) },
          spec: {
            ...pod,
            securityContext: {
              ...pod.securityContext,
              // Lets a user that is not root listen on port 80, in this pod's network only.
              sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
            },
            // Traefik reads routes from the API.
            automountServiceAccountToken: true,
            serviceAccountName: of.account,
            terminationGracePeriodSeconds: 30,
            ...(isPublic
              ? {
                  nodeSelector: { "kubernetes.io/hostname": args.edge.node },
                  // The edge node was chosen; what keeps others off it does not keep off its gateway.
                  tolerations: [{ operator: "Exists", effect: "NoSchedule" }],
                }
              : {}),
            // Names in the routing file are complete: no searching, which would ask DNS four times for each request.
            dnsConfig: { options: [{ name: "ndots", value: "1" }] },
            containers: [
              {
                name: "traefik",
                image: args.image,
                imagePullPolicy: "IfNotPresent",
                args: of.watched.apply((namespaces) => renderArguments(args.services, namespaces)),
                ports: [
                  ...open.map(([, { port, exposure }]) => ({
                    containerPort: port,
                    ...(exposure === "public" ? { hostPort: port } : {}),
                  })),
                  { name: HEALTH, containerPort: HEALTH_PORT },
                ],
                securityContext: restrictedContainer,
                resources: {
                  requests: { cpu: "50m", memory: "64Mi" },
                  limits: { cpu: "1", memory: "256Mi" },
                },
                startupProbe: { tcpSocket: { port: HEALTH }, periodSeconds: 1, failureThreshold: 60 },
                readinessProbe: {
                  httpGet: { path: "/ping", port: HEALTH },
                  periodSeconds: 2,
                  timeoutSeconds: 2,
                },
                // Not through the route: who removes that must not stop the others.
                livenessProbe: { tcpSocket: { port: HEALTH }, periodSeconds: 10, failureThreshold: 3 },
                volumeMounts: [{ name: "routing", mountPath: ROUTING_FOLDER, readOnly: true }],
              },
            ],
            volumes: [
              {
                name: "routing",
                configMap: {
                  name: of.routing,
                  // In a folder, of which the volume shows a link: Traefik follows folders, not links to them, and so finds
                  // the file once, among the volume's own versions.
                  items: [{ key: ROUTING_FILE, path: `current/${ROUTING_FILE}` }],
                },
              },
            ],
          },
        },
      },
    },
    { ...opts, customTimeouts: { create: "5m", update: "5m", delete: "2m" } },
  );
}
