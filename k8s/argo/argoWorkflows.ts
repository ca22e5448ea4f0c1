import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { ServiceEndpoint } from "../../components/contracts";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import { ProblemsError } from "../../components/problems";
import type { BucketAccess, DatabaseAccess } from "../platform/access";
import { createCredentials, secretData } from "../platform/credentials";
import { createTraffic } from "../platform/networkPolicies";
import { checksum, restrictedContainer, scratchVolume } from "../platform/restricted";
import { checkArgoWorkflows } from "./argoWorkflowsChecks";
import { API_SERVER_PORTS, controllerPod, goResources, httpProbes } from "./controllerPod";
import { createCustomResourceDefinitions } from "./crds";
import { createRestrictedNamespace } from "./namespace";
import { createAccount, type PolicyRule, READ } from "./rbac";
import { createRevisit, type Revisit } from "./revisit";
import { renderWorkflowConfig, type WorkflowRetention } from "./workflowControllerConfig";
import { createWorkflowUsers, type TokenRef, type WorkflowUser } from "./workflowUsers";

type Container = k8s.types.input.core.v1.Container;

/** Namespace of the workflows, and of the controller that runs them. */
export const WORKFLOWS_NAMESPACE = "argo";
/** Port of API and web page inside the cluster. */
export const ARGO_SERVER_PORT = 2746;
/** Port on which the controller says that it is well. */
const CONTROLLER_HEALTH_PORT = 6060;
/** User of the upstream images. */
const UID = 8737;
/** Names the processes look for. */
const CONFIG_MAP = "workflow-controller-configmap";
const ARTIFACT_REPOSITORIES = "artifact-repositories";
const CA_FOLDER = "/run/config/database-ca";

const CONTROLLER: LabelArgs = { name: "workflow-controller", component: "workflow-controller" };
const SERVER: LabelArgs = { name: "argo-server", component: "server" };
const APPLICATION: LabelArgs = { name: "argo-workflows" };

const RETENTION: WorkflowRetention = { succeededHours: 6, failedHours: 72, archiveDays: 90, podSeconds: 60 };

export interface ArgoWorkflowsArgs {
  /** Upstream images with their entry points, of which `executor` runs in each workflow pod; `python` has `python3`. */
  readonly images: Readonly<Record<"controller" | "executor" | "server" | "python", pulumi.Input<string>>>;
  /** Folder with `argo-workflows-crds.yaml` of the upstream release. */
  readonly manifestsFolder: string;
  /** Keeps the archive of workflows; its host is asked for when the database can be used. */
  readonly database: DatabaseAccess;
  /** Keeps artifacts and logs; its endpoint is asked for when the bucket can be used. */
  readonly bucket: BucketAccess;
  /** Folder of the bucket. @default "workflows" */
  readonly folder?: string;
  /** For how long what has ended is kept. @default 6 h, 72 h when failed, 90 days in the archive, pods 60 s */
  readonly retention?: Partial<WorkflowRetention>;
  /** Account of workflows that name none; it needs the executor's rights and should have no others. @default "pipeline-runner" */
  readonly defaultServiceAccount?: string;
}

/**
 * Argo Workflows in the namespace `argo`, for this namespace only: a controller, and a server with login by token. Ended
 * workflows are archived in PostgreSQL, logs and artifacts in a bucket. Workflows have to name a template of the namespace.
 *
 * Waits for: the database and the bucket, nothing else of the platform. Costs: two pods, 75 MiB.
 * ```ts
 * new ArgoWorkflows("argo-workflows", { images, manifestsFolder, database: platform.databases.argo, bucket: platform.buckets.argo });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class ArgoWorkflows extends pulumi.ComponentResource {
  /** Released at once: accounts, templates and secrets need not wait for the controller. */
  readonly namespace: pulumi.Output<string>;
  /** Done when custom resources of the group can be made. */
  readonly definitions: readonly pulumi.Resource[];
  /** API and web page, HTTP; released when it answers. */
  readonly endpoint: ServiceEndpoint;
  /** Who can log in. */
  readonly users: Readonly<Record<WorkflowUser, TokenRef>>;
  /** Done when workflows are run. */
  readonly ready: pulumi.Output<string>;

  constructor(name: string, args: ArgoWorkflowsArgs, opts?: pulumi.ComponentResourceOptions) {
    const retention = { ...RETENTION, ...args.retention };
    const folder = args.folder ?? "workflows";
    const problems = checkArgoWorkflows({ folder, retention });
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:ArgoWorkflows", name, {}, opts);
    const child = { parent: this };

    this.definitions = createCustomResourceDefinitions(
      name,
      { manifest: `${args.manifestsFolder}/argo-workflows-crds.yaml`, application: "argo-workflows" },
      child,
    );
    this.namespace = createRestrictedNamespace(
      name,
      { objectName: WORKFLOWS_NAMESPACE, labels: APPLICATION },
      child,
    );
    const secrets = createSecrets(name, args, this.namespace, child);
    const config = renderWorkflowConfig({
      database: args.database,
      bucket: args.bucket,
      databaseSecret: secrets.database,
      bucketSecret: secrets.bucket,
      folder,
      retention,
      defaultServiceAccount: args.defaultServiceAccount ?? "pipeline-runner",
    });
    const shared = createConfig(name, args, this.namespace, { config, secrets }, child);
    createPolicies(name, args, this.namespace, child);
    const controller = createController(name, args, this.namespace, shared, this.definitions, child);
    const server = createServer(name, args, this.namespace, shared, this.definitions, child);
    this.users = createWorkflowUsers(
      name,
      { namespace: this.namespace, bucketSecret: secrets.bucket },
      child,
    );

    this.endpoint = endpointOf(this.namespace, server);
    this.ready = controller.id;
    this.registerOutputs({ url: this.endpoint.url, namespace: this.namespace });
  }
}

interface Secrets {
  readonly database: pulumi.Output<string>;
  readonly bucket: pulumi.Output<string>;
}

function createSecrets(
  name: string,
  args: ArgoWorkflowsArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): Secrets {
  const { database, bucket } = args;
  return {
    database: createCredentials(
      `${name}-database`,
      {
        namespace,
        objectName: "argo-workflows-database",
        username: database.username,
        password: database.password,
      },
      opts,
    ).secretName,
    bucket: createCredentials(
      `${name}-artifacts`,
      {
        namespace,
        objectName: "argo-workflows-artifacts",
        username: bucket.accessKeyId,
        password: bucket.secretAccessKey,
      },
      opts,
    ).secretName,
  };
}

/** What controller and server have in common. */
interface Shared {
  readonly secrets: Secrets;
  readonly configMap: pulumi.Output<string>;
  /** What both read at start. */
  readonly readAtStart: Readonly<Record<string, pulumi.Input<string>>>;
  /** Mounts, volumes and variables for the database's authority; empty without one. */
  readonly env: k8s.types.input.core.v1.EnvVar[];
  readonly mounts: k8s.types.input.core.v1.VolumeMount[];
  readonly volumes: k8s.types.input.core.v1.Volume[];
}

function createConfig(
  name: string,
  args: ArgoWorkflowsArgs,
  namespace: pulumi.Input<string>,
  of: { readonly config: pulumi.Output<string>; readonly secrets: Secrets },
  opts: pulumi.CustomResourceOptions,
): Shared {
  const configMap = new k8s.core.v1.ConfigMap(
    `${name}-config`,
    {
      metadata: { name: CONFIG_MAP, namespace, labels: labels(APPLICATION) },
      data: { config: of.config },
    },
    opts,
  );
  const shared = {
    secrets: of.secrets,
    configMap: configMap.metadata.name,
    readAtStart: { config: of.config, password: args.database.password },
  };
  const caCertificate = args.database.caCertificate;
  if (caCertificate === undefined) return { ...shared, env: [], mounts: [], volumes: [] };
  const authority = new k8s.core.v1.Secret(
    `${name}-database-ca`,
    {
      metadata: { name: "argo-workflows-database-ca", namespace, labels: labels(APPLICATION) },
      type: "Opaque",
      data: secretData({ "ca.crt": caCertificate }),
    },
    opts,
  );
  return {
    ...shared,
    // The configuration has no field for it; the driver reads the variable of libpq.
    env: [{ name: "PGSSLROOTCERT", value: `${CA_FOLDER}/ca.crt` }],
    mounts: [{ name: "database-ca", mountPath: CA_FOLDER, readOnly: true }],
    volumes: [{ name: "database-ca", secret: { secretName: authority.metadata.name } }],
  };
}

function createPolicies(
  name: string,
  args: ArgoWorkflowsArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): void {
  const toApiAndDatabase = [{ ports: [...API_SERVER_PORTS, args.database.port] }];
  createTraffic(
    `${name}-controller`,
    { namespace, objectName: CONTROLLER.name, pods: CONTROLLER, egress: toApiAndDatabase },
    opts,
  );
  // Open to all: it asks for a login. It reads logs and artifacts from the bucket.
  createTraffic(
    `${name}-server`,
    {
      namespace,
      objectName: SERVER.name,
      pods: SERVER,
      ingress: [{ ports: [ARGO_SERVER_PORT] }],
      egress: [{ ports: [...API_SERVER_PORTS, args.database.port, 80, 9000] }],
    },
    opts,
  );
  // Steps talk to registry, builder, Git, MLflow, the bucket and the stages; nobody talks to them.
  new k8s.networking.v1.NetworkPolicy(
    `${name}-workflows`,
    {
      metadata: { name: "workflow-pods", namespace, labels: labels(APPLICATION) },
      spec: {
        podSelector: { matchExpressions: [{ key: "workflows.argoproj.io/workflow", operator: "Exists" }] },
        policyTypes: ["Ingress", "Egress"],
        egress: [{}],
      },
    },
    opts,
  );
}

function createController(
  name: string,
  args: ArgoWorkflowsArgs,
  namespace: pulumi.Input<string>,
  shared: Shared,
  after: readonly pulumi.Resource[],
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  const account = createAccount(
    `${name}-controller`,
    {
      namespace,
      objectName: CONTROLLER.name,
      labels: CONTROLLER,
      rules: controllerRules(shared.secrets),
    },
    opts,
  );
  const revisit = createRevisit(
    `${name}-controller-revisit`,
    { namespace, labels: CONTROLLER, image: args.images.python },
    opts,
  );
  const { resources, memoryLimit } = goResources({ cpu: 20, memory: 48, limit: 192 });
  return createDeployment(
    `${name}-controller`,
    { namespace, part: CONTROLLER, shared, account, revisit },
    {
      name: "workflow-controller",
      image: args.images.controller,
      args: [
        "--namespaced",
        "--configmap",
        shared.configMap,
        "--executor-image",
        args.images.executor,
        "--executor-image-pull-policy",
        "IfNotPresent",
        "--workflow-workers=4",
        "--workflow-ttl-workers=1",
        "--pod-cleanup-workers=2",
        "--cron-workflow-workers=1",
        "--workflow-archive-workers=1",
      ],
      env: [
        memoryLimit,
        // One replica, replaced only when the one before has ended: no lease whose end a new one would have to wait for.
        { name: "LEADER_ELECTION_DISABLE", value: "true" },
        // How long a workflow waits after an event of one of its pods; upstream's 10 s are for thousands of workflows.
        { name: "DEFAULT_REQUEUE_TIME", value: "1s" },
        ...shared.env,
      ],
      resources,
      ...httpProbes("/healthz", CONTROLLER_HEALTH_PORT),
    },
    { ...opts, dependsOn: [...after] },
  );
}

function createServer(
  name: string,
  args: ArgoWorkflowsArgs,
  namespace: pulumi.Input<string>,
  shared: Shared,
  after: readonly pulumi.Resource[],
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  const account = createAccount(
    `${name}-server`,
    { namespace, objectName: SERVER.name, labels: SERVER, rules: serverRules(shared.secrets) },
    opts,
  );
  const { resources, memoryLimit } = goResources({ cpu: 10, memory: 48, limit: 192 });
  const deployment = createDeployment(
    `${name}-server`,
    { namespace, part: SERVER, shared, account },
    {
      name: "argo-server",
      image: args.images.server,
      args: [
        "server",
        "--namespaced",
        "--auth-mode=client",
        // TLS ends at the gateway, or at the tunnel of the person who looks.
        "--secure=false",
        "--configmap",
        shared.configMap,
        "--event-worker-count=1",
      ],
      env: [memoryLimit, { name: "HOME", value: "/tmp" }, ...shared.env],
      ports: [{ containerPort: ARGO_SERVER_PORT }],
      resources,
      ...httpProbes("/", ARGO_SERVER_PORT),
    },
    { ...opts, dependsOn: [...after] },
  );
  return new k8s.core.v1.Service(
    `${name}-server`,
    {
      metadata: { name: SERVER.name, namespace, labels: labels(SERVER) },
      spec: {
        selector: selectorLabels(SERVER),
        ports: [{ name: "web", port: ARGO_SERVER_PORT, targetPort: ARGO_SERVER_PORT }],
      },
    },
    // Released when it answers.
    { ...opts, dependsOn: [deployment] },
  );
}

/** Upstream's rights for one namespace, without leases, secrets of others and what our workflows do not use. */
function controllerRules(secrets: Secrets): readonly PolicyRule[] {
  const argo = (resources: string[], verbs: readonly string[]): PolicyRule => ({
    apiGroups: ["argoproj.io"],
    resources,
    verbs: [...verbs],
  });
  const core = (resources: string[], verbs: readonly string[]): PolicyRule => ({
    apiGroups: [""],
    resources,
    verbs: [...verbs],
  });
  return [
    core(["pods"], [...READ, "create", "update", "patch", "delete"]),
    // How a container of a running pod is told to stop.
    core(["pods/exec"], ["create"]),
    core(["configmaps"], READ),
    core(["persistentvolumeclaims"], ["get", "create", "update", "delete"]),
    core(["serviceaccounts"], ["get"]),
    core(["events"], ["create", "patch"]),
    { apiGroups: [""], resources: ["secrets"], resourceNames: [secrets.database], verbs: ["get"] },
    argo(
      ["workflows", "workflows/finalizers", "workflowtasksets", "workflowartifactgctasks"],
      [...READ, "create", "update", "patch", "delete"],
    ),
    argo(["workflowtemplates"], READ),
    argo(["workflowtaskresults"], ["list", "watch", "deletecollection"]),
    argo(["cronworkflows", "cronworkflows/finalizers"], [...READ, "update", "patch"]),
  ];
}

/** The server's own rights; all else it does with those of the person who is logged in. */
function serverRules(secrets: Secrets): readonly PolicyRule[] {
  return [
    {
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: [CONFIG_MAP, ARTIFACT_REPOSITORIES],
      verbs: ["get"],
    },
    { apiGroups: [""], resources: ["secrets"], resourceNames: [secrets.database], verbs: ["get"] },
    { apiGroups: ["argoproj.io"], resources: ["workflows", "workflowtemplates"], verbs: [...READ] },
  ];
}

function createDeployment(
  name: string,
  of: {
    readonly namespace: pulumi.Input<string>;
    readonly part: LabelArgs;
    readonly shared: Shared;
    readonly account: pulumi.Input<string>;
    readonly revisit?: Revisit;
  },
  container: Container,
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  const { shared, revisit } = of;
  const annotations = checksum({ ...shared.readAtStart, ...(revisit && { revisit: revisit.script }) });
  return new k8s.apps.v1.Deployment(
    name,
    {
      metadata: { name: of.part.name, namespace: of.namespace, labels: labels(of.part) },
      spec: {
        replicas: 1,
        strategy: { type: "Recreate" },
        selector: { matchLabels: selectorLabels(of.part) },
        template: {
          metadata: { labels: labels(of.part), annotations },
          spec: {
            ...controllerPod(UID),
            serviceAccountName: of.account,
            containers: [
              {
                ...container,
                imagePullPolicy: "IfNotPresent",
                securityContext: restrictedContainer,
                volumeMounts: [{ name: "tmp", mountPath: "/tmp" }, ...shared.mounts],
              },
              ...(revisit ? [revisit.container] : []),
            ],
            volumes: [scratchVolume("tmp", "64Mi"), ...shared.volumes, ...(revisit ? [revisit.volume] : [])],
          },
        },
      },
    },
    opts,
  );
}

function endpointOf(namespace: pulumi.Input<string>, service: k8s.core.v1.Service): ServiceEndpoint {
  const host = pulumi
    .all([service.metadata.name, namespace])
    .apply(([known, inNamespace]) => `${known}.${inNamespace}.svc.cluster.local`);
  return {
    host,
    port: pulumi.output(ARGO_SERVER_PORT),
    url: pulumi.interpolate`http://${host}:${ARGO_SERVER_PORT}`,
  };
}
