import type { GatewayService, WeightedBackend } from "./gateway";

/** Where the readiness of the gateway is asked; no service may have this port. */
export const HEALTH_PORT = 8082;
/** Folder of the file provider in the pod. */
export const ROUTING_FOLDER = "/etc/traefik/routing";
/** Name of the listener, the route and the entry point behind the readiness probe. */
export const HEALTH = "health";
/** Middleware that tries again what reached no server. */
const RECONNECT = "reconnect";

/** The services that have a listener, by name. */
export function openServices(
  services: Readonly<Record<string, GatewayService>>,
): readonly (readonly [string, GatewayService])[] {
  return Object.entries(services).filter(([, { exposure }]) => exposure !== "off");
}

/** How a route names a service of the routing file: a `TraefikService` of this name, group `traefik.io`. */
export function routedServiceName(service: string): string {
  return `${service}@file`;
}

/** URL of a Service inside the cluster. The whole name: Traefik's pod does not search domains, see the gateway's README. */
export function serviceUrl(namespace: string, service: string, port: number): string {
  return `http://${service}.${namespace}.svc.cluster.local:${port}`;
}

/**
 * Traefik's arguments: an entry point for each listener, of the same name and port. Traefik joins a listener to the entry
 * point by its port.
 *
 * @param namespaces those whose routes are read, and whose Secrets and Services Traefik therefore lists
 */
export function renderArguments(
  services: Readonly<Record<string, GatewayService>>,
  namespaces: readonly string[],
): string[] {
  return [
    "--global.checknewversion=false",
    "--global.sendanonymoususage=false",
    // Below errors, each check of a canary that is not there is a warning.
    "--log.level=ERROR",
    `--entrypoints.${HEALTH}.address=:${HEALTH_PORT}`,
    "--ping=true",
    // Asked through a route: ready means that Gateway API objects are read and lead somewhere.
    "--ping.manualrouting=true",
    ...openServices(services).flatMap(([name, service]) => [
      `--entrypoints.${name}.address=:${service.port}`,
      `--entrypoints.${name}.transport.lifecycle.gracetimeout=20s`,
      ...("routesFrom" in service
        ? [`--entrypoints.${name}.http.middlewares=${RECONNECT}@file`]
        : // Uploads of models and Git packs take as long as they take.
          [`--entrypoints.${name}.transport.respondingtimeouts.readtimeout=0`]),
    ]),
    "--providers.providersthrottleduration=500ms",
    `--providers.file.directory=${ROUTING_FOLDER}`,
    "--providers.file.watch=true",
    "--providers.kubernetesgateway=true",
    `--providers.kubernetesgateway.namespaces=${namespaces.join(",")}`,
    // Through the Service's address: with the pods' addresses each new pod would be a new configuration, and each new
    // configuration forgets which weighted service was healthy.
    "--providers.kubernetesgateway.nativelbbydefault=true",
    // A connection for each request: none is left to a pod that ends, and every pod of a Service gets its share.
    "--serverstransport.maxidleconnsperhost=-1",
    "--serverstransport.forwardingtimeouts.dialtimeout=2s",
  ];
}

/** The routing file: what Gateway API has no words for, and the backends outside the namespaces Traefik reads. */
export function renderRouting(
  services: Readonly<Record<string, GatewayService>>,
  weighted: Readonly<Record<string, Readonly<Record<string, WeightedBackend>>>>,
): object {
  return {
    http: {
      middlewares: {
        // Only what reached no server is tried again, so no request is done twice. Six seconds in all: longer than it takes to
        // find a server gone whose node is, too (a check each second, two to connect). Then its clients go elsewhere.
        [RECONNECT]: { retry: { attempts: 10, initialInterval: "500ms" } },
      },
      services: {
        ...Object.fromEntries(
          openServices(services).flatMap(([name, service]) =>
            "backend" in service
              ? [
                  [
                    name,
                    loadBalancer(
                      serviceUrl(service.backend.namespace, service.backend.service, service.backend.port),
                    ),
                  ],
                ]
              : [],
          ),
        ),
        ...Object.fromEntries(Object.entries(weighted).flatMap(weightedServices)),
      },
    },
  };
}

function weightedServices([name, all]: [string, Readonly<Record<string, WeightedBackend>>]): [
  string,
  object,
][] {
  // Traefik 3.5 skips a child of weight 0 but counts its health: with only that one healthy it would search forever.
  const backends = Object.entries(all).filter(([, { weight }]) => weight > 0);
  const url = (backend: WeightedBackend) => serviceUrl(backend.namespace, backend.service, backend.port);
  const [heaviest] = backends.map(([, backend]) => backend).sort((one, other) => other.weight - one.weight);
  if (!heaviest) return [];
  return [
    [name, { failover: { service: `${name}-healthy`, fallback: `${name}-anyway` } }],
    [
      `${name}-healthy`,
      {
        weighted: {
          // Without it a child that is down would keep its share.
          healthCheck: {},
          sticky: { cookie: { name: `gourmetgram-${name}`, path: "/", httpOnly: true, sameSite: "lax" } },
          services: backends.map(([backend, { weight }]) => ({ name: `${name}-to-${backend}`, weight })),
        },
      },
    ],
    // One failed check ends a child's turn. When it was the last one, to ask it is better than to refuse everybody.
    [`${name}-anyway`, loadBalancer(url(heaviest))],
    ...backends.map(([backend, of]): [string, object] => [
      `${name}-to-${backend}`,
      loadBalancer(url(of), {
        path: of.healthPath,
        interval: "1s",
        unhealthyInterval: "2s",
        // A server with all it may compute in use answers late, and is not down.
        timeout: "5s",
      }),
    ]),
  ];
}

function loadBalancer(url: string, healthCheck?: object): object {
  return { loadBalancer: { servers: [{ url }], ...(healthCheck ? { healthCheck } : {}) } };
}
