import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { ServiceEndpoint } from "../../components/contracts";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import { ProblemsError } from "../../components/problems";
import { Password } from "../../components/random";
import { secretData, secretEnv } from "../platform/credentials";
import { createTraffic, podsOf } from "../platform/networkPolicies";
import { checksum, restrictedContainer, restrictedPod, scratchVolume } from "../platform/restricted";
import { ARGOCD_NAMESPACE, CONTROLLER_ACCOUNT, SERVER_ACCOUNT } from "./argoCdAccess";
import { checkArgoCd } from "./argoCdChecks";
import {
  CLOSED_PROJECT,
  PROJECT,
  renderCluster,
  renderProject,
  renderRbac,
  renderSettings,
} from "./argoCdSettings";
import { API_SERVER_PORTS, controllerPod, goResources, httpProbes, quickEviction } from "./controllerPod";
import { createCustomResourceDefinitions } from "./crds";
import { createRestrictedNamespace } from "./namespace";
import { createAccount, READ } from "./rbac";

type Container = k8s.types.input.core.v1.Container;
type PodSpec = k8s.types.input.core.v1.PodSpec;

/** User of the image. */
const UID = 999;
/** Port of the API and web page inside the cluster. */
export const ARGOCD_PORT = 80;
const REDIS_PORT = 6379;
const REPO_SERVER_PORT = 8081;
const SERVER_PORT = 8080;
/** Where each process answers health questions. */
const HEALTH_PORTS = { controller: 8082, repoServer: 8084, server: SERVER_PORT } as const;
const REDIS_SECRET = "argocd-redis";
const REDIS_FOLDER = "/run/secrets/redis";

/**
 * Seconds. A push is seen when the Application is compared the next time and the remembered head of the branch is too old:
 * after their sum at the latest.
 */
const COMPARE_SECONDS = 40;
const REMEMBER_HEAD_SECONDS = 15;

/** Argo CD finds its own ConfigMaps and Secrets by this label. */
const READ_BY_ARGOCD = { "app.kubernetes.io/part-of": "argocd" };

const APPLICATION: LabelArgs = { name: "argocd" };
const PARTS = {
  controller: { name: CONTROLLER_ACCOUNT, component: "application-controller" },
  repoServer: { name: "argocd-repo-server", component: "repo-server" },
  server: { name: SERVER_ACCOUNT, component: "server" },
  redis: { name: "argocd-redis", component: "redis" },
} as const satisfies Record<string, LabelArgs>;

export interface ArgoCdArgs {
  /** Argo CD with git, helm and the entry point `tini --`; Redis. */
  readonly images: Readonly<Record<"argocd" | "redis", pulumi.Input<string>>>;
  /** Folder with `argo-cd-crds.yaml` of the upstream release. */
  readonly manifestsFolder: string;
  /** Git repositories Applications may come from, HTTP(S) URLs without credentials. Shape: plain. */
  readonly repositories: readonly string[];
  /** Namespaces Applications may deploy into; each needs `createArgoCdAccess`. Shape: plain. */
  readonly namespaces: readonly string[];
}

/**
 * Argo CD in the namespace `argocd`: API server with login, repository server, application controller and their cache. It
 * sees and changes the given namespaces only, and there only the kinds of `MANAGED_KINDS`.
 *
 * Waits for: nothing but the cluster. Applications need `project` and `createArgoCdAccess`. Costs: four pods, 140 MiB.
 * ```ts
 * new ArgoCd("argo-cd", { images, manifestsFolder, repositories: ["http://git/infra.git"], namespaces: ["gourmetgram-staging"] });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class ArgoCd extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  /** Project for our Applications; released when Applications can be made. */
  readonly project: pulumi.Output<string>;
  /** API and web page, HTTP; released when it answers. */
  readonly endpoint: ServiceEndpoint;
  /** Secret, made by Argo CD itself, with the first password of the user `admin`. Nobody copies it. */
  readonly adminSecret = { name: "argocd-initial-admin-secret", passwordKey: "password" } as const;
  /** Done when changes of Applications are acted on. */
  readonly ready: pulumi.Output<string>;

  constructor(name: string, args: ArgoCdArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkArgoCd(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:ArgoCd", name, {}, opts);
    const child = { parent: this };

    const crds = createCustomResourceDefinitions(
      name,
      {
        manifest: `${args.manifestsFolder}/argo-cd-crds.yaml`,
        application: "argocd",
        // Its controller does not run; the server asks for the kind all the same.
        withoutSchema: ["ApplicationSet"],
      },
      child,
    );
    this.namespace = createRestrictedNamespace(
      name,
      { objectName: ARGOCD_NAMESPACE, labels: APPLICATION },
      child,
    );
    const settings = createSettings(name, args, this.namespace, child);
    const projects = createProjects(name, args, this.namespace, { ...child, dependsOn: crds });
    createPolicies(name, this.namespace, child);
    const redis = createRedis(name, args, this.namespace, child);
    const repoServer = createRepoServer(name, args, this.namespace, redis, child);
    // Both start by listing custom resources, and read the settings and the cluster's Secret.
    const after = [...crds, ...settings, ...projects.all];
    const controller = createController(name, args, this.namespace, { redis, after }, child);
    const server = createServer(name, args, this.namespace, { redis, after }, child);

    this.project = projects.ours.metadata.name;
    this.endpoint = endpointOf(this.namespace, server);
    this.ready = pulumi
      .all([controller.id, repoServer.id, redis.deployment.id])
      .apply((ids) => ids.join(" "));
    this.registerOutputs({ url: this.endpoint.url, project: this.project });
  }
}

/** ConfigMaps and Secrets under the names Argo CD knows. */
function createSettings(
  name: string,
  args: ArgoCdArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.Resource[] {
  const metadata = (objectName: string, more: Record<string, string> = {}) => ({
    name: objectName,
    namespace,
    labels: { ...labels(APPLICATION), ...READ_BY_ARGOCD, ...more },
  });
  const configMap = (objectName: string, data: Record<string, string>) =>
    new k8s.core.v1.ConfigMap(
      `${name}-${objectName}`,
      { metadata: metadata(`argocd-${objectName}`), data },
      opts,
    );
  const signingKey = new Password(`${name}-signing-key`, { length: 48 }, opts).result;
  return [
    configMap("cm", renderSettings()),
    configMap("rbac-cm", renderRbac()),
    // The server adds the administrator's password hash; the key is ours so that the controller need not wait for it.
    new k8s.core.v1.Secret(
      `${name}-secret`,
      {
        metadata: metadata("argocd-secret"),
        type: "Opaque",
        data: secretData({ "server.secretkey": signingKey }),
      },
      opts,
    ),
    new k8s.core.v1.Secret(
      `${name}-cluster`,
      {
        metadata: metadata("argocd-cluster", { "argocd.argoproj.io/secret-type": "cluster" }),
        type: "Opaque",
        data: secretData(renderCluster(args.namespaces)),
      },
      opts,
    ),
  ];
}

function createProjects(
  name: string,
  args: ArgoCdArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): { readonly ours: k8s.apiextensions.CustomResource; readonly all: pulumi.Resource[] } {
  const project = (part: string, objectName: string, spec: object) =>
    new k8s.apiextensions.CustomResource(
      part,
      {
        apiVersion: "argoproj.io/v1alpha1",
        kind: "AppProject",
        metadata: { name: objectName, namespace, labels: labels(APPLICATION) },
        spec,
      },
      opts,
    );
  const ours = project(`${name}-project`, PROJECT, renderProject(args));
  return { ours, all: [ours, project(`${name}-default-project`, "default", CLOSED_PROJECT)] };
}

function createPolicies(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): void {
  const { controller, repoServer, server, redis } = PARTS;
  const toCache = { peers: [podsOf(redis)], ports: [REDIS_PORT] };
  const toRepoServer = { peers: [podsOf(repoServer)], ports: [REPO_SERVER_PORT] };
  const toApi = { ports: API_SERVER_PORTS };
  const traffic = (pods: LabelArgs, rules: Pick<Parameters<typeof createTraffic>[1], "ingress" | "egress">) =>
    createTraffic(`${name}-${pods.component}`, { namespace, objectName: pods.name, pods, ...rules }, opts);
  traffic(controller, { egress: [toCache, toRepoServer, toApi] });
  // Open to all: it asks for a login.
  traffic(server, { ingress: [{ ports: [SERVER_PORT] }], egress: [toCache, toRepoServer, toApi] });
  traffic(repoServer, {
    ingress: [{ peers: [podsOf(controller), podsOf(server)], ports: [REPO_SERVER_PORT] }],
    // Git over HTTP, wherever it is.
    egress: [toCache, { ports: [80, 443] }],
  });
  traffic(redis, {
    ingress: [{ peers: [podsOf(controller), podsOf(server), podsOf(repoServer)], ports: [REDIS_PORT] }],
  });
}

/** The cache, and what its clients need. */
interface Cache {
  readonly deployment: k8s.apps.v1.Deployment;
  readonly password: pulumi.Output<string>;
  readonly secretName: pulumi.Output<string>;
}

function createRedis(
  name: string,
  args: ArgoCdArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): Cache {
  const password = new Password(`${name}-redis`, { length: 32 }, opts).result;
  // Nothing is kept: what is lost is computed again. Evicted when full, so that a cache never is the reason for a failure.
  const config = pulumi.interpolate`requirepass ${password}
port ${REDIS_PORT}
save ""
appendonly no
maxmemory 48mb
maxmemory-policy allkeys-lru
protected-mode no
dir /tmp
`;
  const secret = new k8s.core.v1.Secret(
    `${name}-redis`,
    {
      metadata: { name: REDIS_SECRET, namespace, labels: labels(PARTS.redis) },
      type: "Opaque",
      data: secretData({ auth: password, "redis.conf": config }),
    },
    opts,
  );
  const account = createAccount(
    `${name}-redis`,
    { namespace, objectName: PARTS.redis.name, labels: PARTS.redis },
    opts,
  );
  const probe = { tcpSocket: { port: REDIS_PORT }, timeoutSeconds: 3 };
  const deployment = createDeployment(
    `${name}-redis`,
    { namespace, part: PARTS.redis, checksum: { password } },
    {
      ...restrictedPod(UID),
      tolerations: quickEviction(),
      serviceAccountName: account,
      containers: [
        {
          name: "redis",
          image: args.images.redis,
          imagePullPolicy: "IfNotPresent",
          command: ["redis-server", `${REDIS_FOLDER}/redis.conf`],
          ports: [{ containerPort: REDIS_PORT }],
          securityContext: restrictedContainer,
          resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "96Mi" } },
          startupProbe: { ...probe, periodSeconds: 1, failureThreshold: 60 },
          readinessProbe: { ...probe, periodSeconds: 10 },
          livenessProbe: { ...probe, periodSeconds: 20, failureThreshold: 6 },
          volumeMounts: [
            { name: "config", mountPath: REDIS_FOLDER, readOnly: true },
            { name: "tmp", mountPath: "/tmp" },
          ],
        },
      ],
      volumes: [
        {
          name: "config",
          secret: { secretName: secret.metadata.name, items: [{ key: "redis.conf", path: "redis.conf" }] },
        },
        scratchVolume("tmp", "16Mi"),
      ],
    },
    opts,
  );
  createService(`${name}-redis`, namespace, PARTS.redis, { port: REDIS_PORT, targetPort: REDIS_PORT }, opts);
  return { deployment, password, secretName: secret.metadata.name };
}

function createRepoServer(
  name: string,
  args: ArgoCdArgs,
  namespace: pulumi.Input<string>,
  redis: Cache,
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  const account = createAccount(
    `${name}-repo-server`,
    { namespace, objectName: PARTS.repoServer.name, labels: PARTS.repoServer },
    opts,
  );
  const deployment = createDeployment(
    `${name}-repo-server`,
    { namespace, part: PARTS.repoServer, checksum: { redis: redis.password } },
    {
      ...restrictedPod(UID),
      tolerations: quickEviction(),
      serviceAccountName: account,
      containers: [
        container(args, {
          name: "repo-server",
          args: [
            "argocd-repo-server",
            "--disable-tls",
            "--parallelismlimit=2",
            `--revision-cache-expiration=${REMEMBER_HEAD_SECONDS}s`,
          ],
          redis,
          env: [
            // Commits are not signed; without this it would make a keyring at each start.
            { name: "ARGOCD_GPG_ENABLED", value: "false" },
            { name: "ARGOCD_GIT_REQUEST_TIMEOUT", value: "10s" },
            ...["CACHE", "CONFIG", "DATA"].map((part) => ({ name: `HELM_${part}_HOME`, value: "/helm" })),
          ],
          size: { cpu: 20, memory: 48, limit: 320 },
          ports: [REPO_SERVER_PORT],
          healthPort: HEALTH_PORTS.repoServer,
          folders: { helm: "/helm" },
        }),
      ],
      volumes: [scratchVolume("tmp", "1Gi"), scratchVolume("helm", "64Mi")],
    },
    opts,
  );
  createService(
    `${name}-repo-server`,
    namespace,
    PARTS.repoServer,
    { port: REPO_SERVER_PORT, targetPort: REPO_SERVER_PORT },
    opts,
  );
  return deployment;
}

function createController(
  name: string,
  args: ArgoCdArgs,
  namespace: pulumi.Input<string>,
  { redis, after }: { readonly redis: Cache; readonly after: pulumi.Resource[] },
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  const account = createAccount(
    `${name}-controller`,
    {
      namespace,
      objectName: CONTROLLER_ACCOUNT,
      labels: PARTS.controller,
      rules: [
        { apiGroups: [""], resources: ["secrets", "configmaps"], verbs: [...READ] },
        { apiGroups: [""], resources: ["events"], verbs: ["create"] },
        {
          apiGroups: ["argoproj.io"],
          resources: ["applications"],
          verbs: [...READ, "update", "patch"],
        },
        { apiGroups: ["argoproj.io"], resources: ["appprojects"], verbs: [...READ] },
      ],
    },
    opts,
  );
  // A Deployment, not upstream's StatefulSet: a StatefulSet's pod stays with a lost node until a person removes it.
  return createDeployment(
    `${name}-controller`,
    { namespace, part: PARTS.controller, checksum: { redis: redis.password } },
    {
      ...controllerPod(UID),
      serviceAccountName: account,
      containers: [
        container(args, {
          name: "application-controller",
          args: [
            "argocd-application-controller",
            "--status-processors=4",
            "--operation-processors=4",
            "--kubectl-parallelism-limit=4",
            `--app-resync=${COMPARE_SECONDS}`,
            "--app-resync-jitter=0",
            "--self-heal-backoff-timeout-seconds=1",
            "--self-heal-backoff-factor=2",
            "--self-heal-backoff-cap-seconds=30",
            "--repo-server-plaintext",
          ],
          redis,
          env: [
            { name: "ARGOCD_CONTROLLER_REPLICAS", value: "1" },
            // Seconds between the waves of a sync; the chart has one wave.
            { name: "ARGOCD_SYNC_WAVE_DELAY", value: "0" },
            { name: "KUBECACHEDIR", value: "/tmp/kubecache" },
          ],
          size: { cpu: 30, memory: 96, limit: 256 },
          ports: [],
          healthPort: HEALTH_PORTS.controller,
        }),
      ],
      volumes: [scratchVolume("tmp", "64Mi")],
    },
    { ...opts, dependsOn: after },
  );
}

function createServer(
  name: string,
  args: ArgoCdArgs,
  namespace: pulumi.Input<string>,
  { redis, after }: { readonly redis: Cache; readonly after: pulumi.Resource[] },
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  const account = createAccount(
    `${name}-server`,
    {
      namespace,
      objectName: SERVER_ACCOUNT,
      labels: PARTS.server,
      rules: [
        { apiGroups: [""], resources: ["secrets", "configmaps"], verbs: [...READ] },
        // The first password of the administrator, and its hash. A create cannot be limited to names.
        { apiGroups: [""], resources: ["secrets"], verbs: ["create"] },
        {
          apiGroups: [""],
          resources: ["secrets"],
          resourceNames: ["argocd-secret", "argocd-initial-admin-secret"],
          verbs: ["update", "patch"],
        },
        { apiGroups: [""], resources: ["events"], verbs: ["create", "list"] },
        // Sync, refresh and roll back; Applications are made and removed by Pulumi.
        { apiGroups: ["argoproj.io"], resources: ["applications"], verbs: [...READ, "update", "patch"] },
        { apiGroups: ["argoproj.io"], resources: ["appprojects", "applicationsets"], verbs: [...READ] },
      ],
    },
    opts,
  );
  const deployment = createDeployment(
    `${name}-server`,
    { namespace, part: PARTS.server, checksum: { redis: redis.password } },
    {
      ...controllerPod(UID),
      serviceAccountName: account,
      containers: [
        container(args, {
          name: "server",
          // TLS ends at the gateway, or at the tunnel of the person who looks.
          args: ["argocd-server", "--insecure", "--repo-server-plaintext"],
          redis,
          env: [],
          size: { cpu: 10, memory: 64, limit: 192 },
          ports: [SERVER_PORT],
          healthPort: HEALTH_PORTS.server,
        }),
      ],
      volumes: [scratchVolume("tmp", "64Mi")],
    },
    { ...opts, dependsOn: after },
  );
  return createService(
    `${name}-server`,
    namespace,
    PARTS.server,
    { port: ARGOCD_PORT, targetPort: SERVER_PORT },
    // Released when it answers.
    { ...opts, dependsOn: [deployment] },
  );
}

function container(
  args: ArgoCdArgs,
  of: {
    readonly name: string;
    readonly args: string[];
    readonly redis: Cache;
    readonly env: k8s.types.input.core.v1.EnvVar[];
    readonly size: Parameters<typeof goResources>[0];
    readonly ports: readonly number[];
    readonly healthPort: number;
    /** Writable folders besides /tmp: volume -> path. */
    readonly folders?: Readonly<Record<string, string>>;
  },
): Container {
  const { resources, memoryLimit } = goResources(of.size);
  return {
    name: of.name,
    image: args.images.argocd,
    imagePullPolicy: "IfNotPresent",
    args: of.args,
    env: [
      secretEnv("REDIS_PASSWORD", of.redis.secretName, "auth"),
      { name: "HOME", value: "/tmp" },
      memoryLimit,
      ...of.env,
    ],
    ports: of.ports.map((containerPort) => ({ containerPort })),
    securityContext: restrictedContainer,
    resources,
    ...httpProbes("/healthz", of.healthPort),
    volumeMounts: Object.entries({ tmp: "/tmp", ...of.folders }).map(([volume, mountPath]) => ({
      name: volume,
      mountPath,
    })),
  };
}

function createDeployment(
  name: string,
  of: {
    readonly namespace: pulumi.Input<string>;
    readonly part: LabelArgs;
    /** What the processes read at start. */
    readonly checksum: Readonly<Record<string, pulumi.Input<string>>>;
  },
  spec: PodSpec,
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  return new k8s.apps.v1.Deployment(
    name,
    {
      metadata: { name: of.part.name, namespace: of.namespace, labels: labels(of.part) },
      spec: {
        replicas: 1,
        // Never two controllers; and no second copy of anything where memory is short.
        strategy: { type: "Recreate" },
        selector: { matchLabels: selectorLabels(of.part) },
        template: {
          metadata: { labels: labels(of.part), annotations: checksum(of.checksum) },
          spec,
        },
      },
    },
    opts,
  );
}

function createService(
  name: string,
  namespace: pulumi.Input<string>,
  part: LabelArgs,
  port: { readonly port: number; readonly targetPort: number },
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  return new k8s.core.v1.Service(
    name,
    {
      metadata: { name: part.name, namespace, labels: labels(part) },
      spec: { selector: selectorLabels(part), ports: [port] },
    },
    opts,
  );
}

function endpointOf(namespace: pulumi.Input<string>, service: k8s.core.v1.Service): ServiceEndpoint {
  const host = pulumi
    .all([service.metadata.name, namespace])
    .apply(([known, inNamespace]) => `${known}.${inNamespace}.svc.cluster.local`);
  return { host, port: pulumi.output(ARGOCD_PORT), url: pulumi.interpolate`http://${host}` };
}
