import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CredentialsRef, ServiceEndpoint } from "../../components/contracts";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import { Password } from "../../components/random";
import { readSource } from "../../components/sourceFile";
import type { BucketAccess, DatabaseAccess } from "./access";
import { canonicalQuantity } from "./canonicalQuantity";
import { createCredentials, secretData, secretEnv } from "./credentials";
import { createTraffic, type Peer } from "./networkPolicies";
import { checksum, restrictedContainer, restrictedPod, scratchVolume } from "./restricted";

type Container = k8s.types.input.core.v1.Container;

/** Port of MLflow inside the cluster. */
export const MLFLOW_PORT = 8000;
/** MLflow needs no certain user; this one is in its image. */
const UID = 1000;
const ADMIN = "admin";
/** Labels by which other parts' network policies name MLflow. */
export const MLFLOW_LABELS: LabelArgs = { name: "mlflow", component: "tracking-server" };
const CONFIG_FOLDER = "/run/secrets/mlflow";
const SCRIPTS_FOLDER = "/scripts";

export interface MlflowArgs {
  /** Must allow the Pod Security level `restricted`. */
  readonly namespace: pulumi.Input<string>;
  /** MLflow with psycopg2, boto3 and the packages of its basic-auth app; commands `mlflow` and `python3`. */
  readonly image: pulumi.Input<string>;
  /** Keeps runs, models and logins. */
  readonly database: DatabaseAccess;
  /** Where the database's traffic goes to, for the network policy. @default anywhere */
  readonly databasePeers?: Peer[];
  /** Keeps artifacts. */
  readonly bucket: BucketAccess;
  /** Where the object store's traffic goes to, for the network policy. @default anywhere */
  readonly bucketPeers?: Peer[];
  /** Port the object store listens on. */
  readonly bucketPort: number;
  /** Server processes. Each takes about 250 MB. @default 1 */
  readonly workers?: number;
  /**
   * Host headers beyond the Service's names and tunnels (`localhost`, `127.0.0.1`) that the server accepts, as browsers
   * send them: `10.87.0.11:8000`. It refuses any other. @default none
   */
  readonly allowedHosts?: readonly pulumi.Input<string>[];
  /** Who may connect, for the network policy. */
  readonly clients: Peer[];
  /** What must be done before the server starts. @default nothing */
  readonly after?: readonly pulumi.Resource[];
}

/**
 * MLflow's tracking server and model registry with login, in one pod: metadata in PostgreSQL, artifacts in a bucket,
 * which clients reach through the server and need no key for.
 *
 * Waits for: `after`, which are the database and the bucket. `endpoint` is released when the server answers.
 * Every login may read; experiments and models are changed by those who made them and by the administrator.
 */
export class Mlflow extends pulumi.ComponentResource {
  /** The server inside the cluster. */
  readonly endpoint: ServiceEndpoint;
  /** The administrator. */
  readonly credentials: CredentialsRef;
  readonly adminUser: string = ADMIN;
  /** Password of the administrator. A secret. */
  readonly adminPassword: pulumi.Output<string>;

  constructor(name: string, args: MlflowArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:Mlflow", name, {}, opts);
    const child = { parent: this };

    this.adminPassword = new Password(`${name}-admin`, { length: 32 }, child).result;
    this.credentials = createCredentials(
      `${name}-admin`,
      {
        namespace: args.namespace,
        objectName: "mlflow-admin",
        username: ADMIN,
        password: this.adminPassword,
      },
      child,
    );
    const flaskKey = new Password(`${name}-flask-key`, { length: 48 }, child).result;
    const encryptionKey = new Password(`${name}-encryption-key`, { length: 48 }, child).result;
    const settings = {
      "backend-store-uri": databaseUri(args.database),
      "auth.ini": authConfig(databaseUri(args.database), ADMIN, this.adminPassword),
      "flask-secret-key": flaskKey,
      "encryption-key": encryptionKey,
      "access-key-id": args.bucket.accessKeyId,
      "secret-access-key": args.bucket.secretAccessKey,
      ...(args.database.caCertificate === undefined
        ? {}
        : { "database-ca.crt": args.database.caCertificate }),
    };
    const secret = new k8s.core.v1.Secret(
      name,
      {
        metadata: { name: "mlflow-server", namespace: args.namespace, labels: labels(MLFLOW_LABELS) },
        type: "Opaque",
        data: secretData(settings),
      },
      child,
    );
    const scripts = createScripts(name, args.namespace, child);
    const account = createServiceAccount(name, args.namespace, child);
    createPolicies(name, args, child);
    const service = createService(name, args.namespace, child);
    const server = createServer(
      name,
      args,
      {
        secretName: secret.metadata.name,
        // The scripts too: the server has loaded them, and would not see new ones.
        checksum: checksum({ ...settings, scripts: JSON.stringify(scriptFiles()) }),
        scripts: scripts.metadata.name,
        account: account.metadata.name,
      },
      // Without these it would start, fail and wait longer and longer between attempts.
      { parent: this, dependsOn: [...(args.after ?? [])] },
    );

    this.endpoint = endpointOf(args.namespace, service, server);
    this.registerOutputs({ url: this.endpoint.url, secretName: this.credentials.secretName });
  }
}

/**
 * SQLAlchemy URI of a database. The driver is named because SQLAlchemy 2.1 took another default, which the image
 * does not have.
 */
export function databaseUri(database: DatabaseAccess): pulumi.Output<string> {
  return pulumi.secret(
    pulumi
      .output([database.host, database.port, database.name, database.username, database.password])
      .apply(([host, port, name, username, password]) => {
        const login = `${encodeURIComponent(String(username))}:${encodeURIComponent(String(password))}`;
        const address = String(host).includes(":") ? `[${host}]` : host;
        const options = new URLSearchParams({ sslmode: database.sslMode });
        if (database.caCertificate !== undefined) {
          options.set("sslrootcert", `${CONFIG_FOLDER}/database-ca.crt`);
        } else if (database.sslMode.startsWith("verify-")) {
          options.set("sslrootcert", "/etc/ssl/certs/ca-certificates.crt");
        }
        return `postgresql+psycopg2://${login}@${address}:${port}/${encodeURIComponent(String(name))}?${options}`;
      }),
  );
}

/**
 * Configuration of MLflow's login app. It keeps its tables beside MLflow's own: names and version table differ, and an
 * external PostgreSQL needs one database only.
 */
function authConfig(
  databaseUriOutput: pulumi.Output<string>,
  username: string,
  password: pulumi.Output<string>,
): pulumi.Output<string> {
  // Python's configparser reads % as the start of a reference.
  const escaped = (text: string) => text.replaceAll("%", "%%");
  return pulumi
    .all([databaseUriOutput, password])
    .apply(([uri, adminPassword]) =>
      [
        "[mlflow]",
        "default_permission = READ",
        `database_uri = ${escaped(uri)}`,
        `admin_username = ${username}`,
        `admin_password = ${escaped(adminPassword)}`,
        "authorization_function = mlflow_login:authenticate",
        "",
      ].join("\n"),
    );
}

/**
 * Host headers the server accepts, exactly as clients send them: name and port. MLflow compares the whole header, and a
 * page that resolves its own name to this server (DNS rebinding) is refused.
 */
function allowedHosts(args: MlflowArgs): pulumi.Output<string> {
  const inside = pulumi
    .output(args.namespace)
    .apply((namespace) =>
      [
        "mlflow",
        `mlflow.${namespace}`,
        `mlflow.${namespace}.svc`,
        `mlflow.${namespace}.svc.cluster.local`,
      ].map((host) => `${host}:${MLFLOW_PORT}`),
    );
  return pulumi.all([inside, pulumi.all([...(args.allowedHosts ?? [])])]).apply(([names, more]) =>
    [
      ...names,
      ...more,
      // Tunnels and `kubectl port-forward`, whatever local port they take.
      "localhost:*",
      "127.0.0.1:*",
    ].join(","),
  );
}

function createScripts(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.ConfigMap {
  return new k8s.core.v1.ConfigMap(
    `${name}-scripts`,
    {
      metadata: { name: "mlflow-scripts", namespace, labels: labels(MLFLOW_LABELS) },
      data: scriptFiles(),
    },
    opts,
  );
}

function scriptFiles(): Record<string, string> {
  const files = ["mlflow_database.py", "mlflow_login.py", "mlflow_stop.py"];
  return Object.fromEntries(files.map((file) => [file, readSource(`k8s/platform/scripts/${file}`)]));
}

function createServiceAccount(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.ServiceAccount {
  return new k8s.core.v1.ServiceAccount(
    name,
    {
      metadata: { name: "mlflow", namespace, labels: labels(MLFLOW_LABELS) },
      automountServiceAccountToken: false,
    },
    opts,
  );
}

function createPolicies(name: string, args: MlflowArgs, opts: pulumi.CustomResourceOptions): void {
  createTraffic(
    name,
    {
      namespace: args.namespace,
      objectName: "mlflow",
      pods: MLFLOW_LABELS,
      ingress: args.clients.length > 0 ? [{ peers: args.clients, ports: [MLFLOW_PORT] }] : [],
      egress: [
        { peers: args.databasePeers, ports: [args.database.port] },
        { peers: args.bucketPeers, ports: [args.bucketPort] },
      ],
    },
    opts,
  );
}

function createService(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  return new k8s.core.v1.Service(
    name,
    {
      metadata: { name: "mlflow", namespace, labels: labels(MLFLOW_LABELS) },
      spec: {
        selector: selectorLabels(MLFLOW_LABELS),
        ports: [{ name: "http", port: MLFLOW_PORT, targetPort: "http" }],
      },
    },
    opts,
  );
}

function createServer(
  name: string,
  args: MlflowArgs,
  of: {
    secretName: pulumi.Input<string>;
    checksum: Record<string, pulumi.Input<string>>;
    scripts: pulumi.Input<string>;
    account: pulumi.Input<string>;
  },
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  const workers = args.workers ?? 1;
  return new k8s.apps.v1.Deployment(
    name,
    {
      metadata: { name: "mlflow", namespace: args.namespace, labels: labels(MLFLOW_LABELS) },
      spec: {
        replicas: 1,
        revisionHistoryLimit: 3,
        // The new pod serves before the old one goes: no moment without an answer.
        strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        selector: { matchLabels: selectorLabels(MLFLOW_LABELS) },
        template: {
          metadata: { labels: labels(MLFLOW_LABELS), annotations: of.checksum },
          spec: {
            ...restrictedPod(UID),
            serviceAccountName: of.account,
            terminationGracePeriodSeconds: 30,
            initContainers: [databaseContainer(args, of.secretName, workers)],
            containers: [serverContainer(args, of.secretName, workers)],
            volumes: [
              { name: "config", secret: { secretName: of.secretName } },
              { name: "scripts", configMap: { name: of.scripts } },
              // An uploaded artifact passes through here whole.
              scratchVolume("tmp", "4Gi"),
            ],
          },
        },
      },
    },
    { ...opts, customTimeouts: { create: "10m", update: "10m", delete: "5m" } },
  );
}

function environment(
  args: MlflowArgs,
  secretName: pulumi.Input<string>,
  workers: number,
): k8s.types.input.core.v1.EnvVar[] {
  return [
    secretEnv("MLFLOW_BACKEND_STORE_URI", secretName, "backend-store-uri"),
    secretEnv("MLFLOW_FLASK_SERVER_SECRET_KEY", secretName, "flask-secret-key"),
    // Encrypts the credentials users store in MLflow; the built-in one is public.
    secretEnv("MLFLOW_CRYPTO_KEK_PASSPHRASE", secretName, "encryption-key"),
    secretEnv("AWS_ACCESS_KEY_ID", secretName, "access-key-id"),
    secretEnv("AWS_SECRET_ACCESS_KEY", secretName, "secret-access-key"),
    { name: "AWS_DEFAULT_REGION", value: args.bucket.region },
    { name: "MLFLOW_S3_ENDPOINT_URL", value: args.bucket.endpoint },
    { name: "MLFLOW_AUTH_CONFIG_PATH", value: `${CONFIG_FOLDER}/auth.ini` },
    { name: "MLFLOW_SERVER_ALLOWED_HOSTS", value: allowedHosts(args) },
    { name: "MLFLOW_WORKERS", value: String(workers) },
    // Background jobs only evaluate language models; their runner takes as much memory as the server.
    { name: "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", value: "false" },
    { name: "MLFLOW_DISABLE_TELEMETRY", value: "true" },
    { name: "GIT_PYTHON_REFRESH", value: "quiet" },
    { name: "PYTHONUNBUFFERED", value: "1" },
    { name: "PYTHONDONTWRITEBYTECODE", value: "1" },
    { name: "HOME", value: "/tmp" },
  ];
}

const mounts = [
  { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
  { name: "scripts", mountPath: SCRIPTS_FOLDER, readOnly: true },
  { name: "tmp", mountPath: "/tmp" },
];

function databaseContainer(args: MlflowArgs, secretName: pulumi.Input<string>, workers: number): Container {
  return {
    name: "database",
    image: args.image,
    imagePullPolicy: "IfNotPresent",
    command: ["python3", `${SCRIPTS_FOLDER}/mlflow_database.py`],
    workingDir: "/tmp",
    env: environment(args, secretName, workers),
    securityContext: restrictedContainer,
    resources: { requests: { cpu: "200m", memory: "256Mi" }, limits: { cpu: "1", memory: "768Mi" } },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: mounts,
  };
}

function serverContainer(args: MlflowArgs, secretName: pulumi.Input<string>, workers: number): Container {
  const health = { httpGet: { path: "/health", port: "http" } };
  return {
    name: "mlflow",
    image: args.image,
    imagePullPolicy: "IfNotPresent",
    command: ["mlflow"],
    args: [
      "server",
      "--host",
      "0.0.0.0",
      "--port",
      String(MLFLOW_PORT),
      "--app-name",
      "basic-auth",
      "--serve-artifacts",
      "--artifacts-destination",
      pulumi.interpolate`s3://${args.bucket.bucket}/`,
      "--workers",
      String(workers),
    ],
    workingDir: "/tmp",
    ports: [{ name: "http", containerPort: MLFLOW_PORT }],
    // Where the login function of auth.ini is.
    env: [...environment(args, secretName, workers), { name: "PYTHONPATH", value: SCRIPTS_FOLDER }],
    securityContext: restrictedContainer,
    // Measured with MLflow 3.9.0: 240 MB for the parent process and 235 MB for each worker, at rest.
    resources: {
      requests: { cpu: "200m", memory: canonicalQuantity(`${256 + 256 * workers}Mi`) },
      limits: { cpu: "1", memory: canonicalQuantity(`${1024 + 512 * workers}Mi`) },
    },
    // A start takes 6 s of processor time; three minutes is a node with every core taken.
    startupProbe: { ...health, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 180 },
    readinessProbe: { ...health, periodSeconds: 5, timeoutSeconds: 3 },
    livenessProbe: { ...health, periodSeconds: 15, timeoutSeconds: 5, failureThreshold: 4 },
    lifecycle: {
      preStop: { exec: { command: ["python3", "-I", "-S", `${SCRIPTS_FOLDER}/mlflow_stop.py`] } },
    },
    volumeMounts: mounts,
  };
}

function endpointOf(
  namespace: pulumi.Input<string>,
  service: k8s.core.v1.Service,
  server: k8s.apps.v1.Deployment,
): ServiceEndpoint {
  // Through the server's id, which there is only when it is ready.
  const host = pulumi
    .all([service.metadata.name, namespace, server.id])
    .apply(([known, inNamespace]) => `${known}.${inNamespace}.svc.cluster.local`);
  return { host, port: pulumi.output(MLFLOW_PORT), url: pulumi.interpolate`http://${host}:${MLFLOW_PORT}` };
}
