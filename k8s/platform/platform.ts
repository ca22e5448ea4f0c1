import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CredentialsRef, ServiceEndpoint } from "../../components/contracts";
import { labels } from "../../components/labels";
import { ProblemsError } from "../../components/problems";
import type { Quantity } from "../../components/quantity";
import type { BucketAccess, DatabaseAccess } from "./access";
import { createCredentials } from "./credentials";
import { Minio, S3_PORT } from "./minio";
import { MLFLOW_LABELS, Mlflow } from "./mlflow";
import { createDefaultDeny, podsOf } from "./networkPolicies";
import { checkPlatform } from "./platformChecks";
import { Postgres } from "./postgres";

/** Database and bucket made when they are internal; capabilities of the product, not settings. */
const DATABASE = "mlflowdb";
const BUCKET = "mlflow-artifacts";
const MLFLOW_LOGIN = "mlflow";

/** A PostgreSQL that exists already; its database does too. */
export interface ExternalDatabaseArgs extends DatabaseAccess {
  readonly kind: "external";
  readonly host: string;
  readonly port: number;
}

/** An S3 that exists already; its bucket does too. */
export interface ExternalObjectStoreArgs extends BucketAccess {
  readonly kind: "external";
  /** URL with scheme, no path. */
  readonly endpoint: string;
}

export interface PlatformArgs {
  /** Image references; `minio` and `mc` are used when the object store is internal, `postgres` likewise. */
  readonly images: Readonly<Record<"postgres" | "minio" | "mc" | "mlflow", pulumi.Input<string>>>;
  /** Class of the volumes. @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
  /** Sizes of the volumes of internal services. */
  readonly storage: { readonly postgres: Quantity; readonly minio: Quantity };
  /** Node address or name that clients outside use. */
  readonly exposedHost: pulumi.Input<string>;
  /** More names and addresses under which nodes are reached: MLflow refuses what is not listed. @default none */
  readonly additionalHosts?: readonly pulumi.Input<string>[];
  readonly mlflow: {
    /** Server processes in the pod. */
    readonly workers: number;
    /** Port on every node, 30000-32767. */
    readonly nodePort: number;
  };
  readonly minio: {
    /** Port of the S3 API on every node, 30000-32767. */
    readonly nodePort: number;
    /** Port of the web console on every node, 30000-32767. */
    readonly consoleNodePort: number;
  };
  readonly database: { readonly kind: "internal" } | ExternalDatabaseArgs;
  readonly objectStore: { readonly kind: "internal" } | ExternalObjectStoreArgs;
}

/** User name and password of one service. */
export interface Login {
  readonly username: string;
  readonly password: string;
}

/**
 * Where experiments, models and artifacts live: MLflow with its PostgreSQL and MinIO, in the namespace
 * `gourmetgram-platform`, closed by network policies and held to the Pod Security level `restricted`.
 *
 * Waits for: the cluster of its provider, with a storage class. MLflow waits for its database and its bucket, which
 * do not wait for each other. Costs: two volumes and three pods, fewer with external services.
 * ```ts
 * new Platform("platform", { images, storage, exposedHost: "10.87.0.11", mlflow, minio,
 *   database: { kind: "internal" }, objectStore: { kind: "internal" } }, { provider });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class Platform extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  /** MLflow inside the cluster; released when it answers. */
  readonly mlflow: ServiceEndpoint;
  /** PostgreSQL, internal or external. */
  readonly database: ServiceEndpoint;
  /** S3 API, internal or external. */
  readonly objectStore: ServiceEndpoint;
  /** Secrets in `namespace`: MLflow's administrator, the owner of MLflow's database, the user of its bucket. */
  readonly mlflowCredentials: CredentialsRef;
  readonly databaseCredentials: CredentialsRef;
  readonly objectStoreCredentials: CredentialsRef;
  /** Addresses for browsers and clients outside the cluster: `mlflow`, and `s3`, `minioConsole` when internal. */
  readonly urls: pulumi.Output<Record<string, string>>;
  /** Administrators by service. A secret. */
  readonly credentials: pulumi.Output<Record<string, Login>>;

  constructor(name: string, args: PlatformArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkPlatform(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:Platform", name, {}, opts);

    const namespace = createNamespace(name, { parent: this });
    this.namespace = namespace.metadata.name;
    createDefaultDeny(name, { namespace: this.namespace, labels: { name: "platform" } }, { parent: this });
    const database = createDatabase(name, args, this.namespace, { parent: this });
    const objectStore = createObjectStore(name, args, this.namespace, { parent: this });
    const mlflow = new Mlflow(
      `${name}-mlflow`,
      {
        namespace: this.namespace,
        image: args.images.mlflow,
        database: database.access,
        databasePeers: database.internal && [podsOf({ name: "postgres" })],
        bucket: objectStore.access,
        bucketPeers: objectStore.internal && [podsOf({ name: "minio" })],
        bucketPort: objectStore.port,
        workers: args.mlflow.workers,
        nodePort: args.mlflow.nodePort,
        exposedHosts: [args.exposedHost, ...(args.additionalHosts ?? [])],
        after: [...database.ready, ...objectStore.ready],
      },
      { parent: this },
    );

    this.mlflow = mlflow.endpoint;
    this.database = database.endpoint;
    this.objectStore = objectStore.endpoint;
    this.mlflowCredentials = mlflow.credentials;
    this.databaseCredentials = database.credentials;
    this.objectStoreCredentials = objectStore.credentials;
    this.urls = urlsOf(args, mlflow, objectStore.internal);
    this.credentials = credentialsOf(mlflow, database.internal, objectStore.internal);
    this.registerOutputs({
      mlflow: this.mlflow.url,
      urls: this.urls,
      credentials: this.credentials,
    });
  }
}

function createNamespace(name: string, opts: pulumi.CustomResourceOptions): k8s.core.v1.Namespace {
  return new k8s.core.v1.Namespace(
    name,
    {
      metadata: {
        name: "gourmetgram-platform",
        labels: {
          ...labels({ name: "platform" }),
          "pod-security.kubernetes.io/enforce": "restricted",
          "pod-security.kubernetes.io/audit": "restricted",
          "pod-security.kubernetes.io/warn": "restricted",
        },
      },
    },
    opts,
  );
}

interface Backend<Access, Internal> {
  readonly access: Access;
  readonly endpoint: ServiceEndpoint;
  readonly credentials: CredentialsRef;
  /** The component, when it is ours. */
  readonly internal: Internal | undefined;
  readonly port: number;
  readonly ready: readonly pulumi.Resource[];
}

function createDatabase(
  name: string,
  args: PlatformArgs,
  namespace: pulumi.Output<string>,
  opts: { readonly parent: pulumi.Resource },
): Backend<DatabaseAccess, Postgres> {
  if (args.database.kind === "external") {
    const { host, port, username, password } = args.database;
    return {
      access: args.database,
      endpoint: {
        host: pulumi.output(host),
        port: pulumi.output(port),
        url: pulumi.output(`postgresql://${host.includes(":") ? `[${host}]` : host}:${port}`),
      },
      credentials: createCredentials(
        `${name}-database`,
        { namespace, objectName: "database-external", username, password },
        opts,
      ),
      internal: undefined,
      port,
      ready: [],
    };
  }
  const postgres = new Postgres(
    `${name}-postgres`,
    {
      namespace,
      image: args.images.postgres,
      storage: args.storage.postgres,
      storageClassName: args.storageClassName,
      databases: { [DATABASE]: { owner: MLFLOW_LOGIN } },
      clients: [MLFLOW_LABELS],
    },
    opts,
  );
  const database = postgres.databases[DATABASE];
  if (database === undefined) throw new Error(`Postgres made no database ${DATABASE}`);
  return {
    access: database.access,
    endpoint: postgres.endpoint,
    credentials: database.credentials,
    internal: postgres,
    port: 5432,
    ready: [database.ready],
  };
}

function createObjectStore(
  name: string,
  args: PlatformArgs,
  namespace: pulumi.Output<string>,
  opts: { readonly parent: pulumi.Resource },
): Backend<BucketAccess, Minio> {
  if (args.objectStore.kind === "external") {
    const { endpoint, accessKeyId, secretAccessKey } = args.objectStore;
    const url = new URL(endpoint);
    const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
    return {
      access: args.objectStore,
      endpoint: {
        host: pulumi.output(url.hostname),
        port: pulumi.output(port),
        url: pulumi.output(endpoint),
      },
      credentials: createCredentials(
        `${name}-object-store`,
        {
          namespace,
          objectName: "object-store-external",
          username: accessKeyId,
          password: secretAccessKey,
        },
        opts,
      ),
      internal: undefined,
      port,
      ready: [],
    };
  }
  const minio = new Minio(
    `${name}-minio`,
    {
      namespace,
      image: args.images.minio,
      clientImage: args.images.mc,
      storage: args.storage.minio,
      storageClassName: args.storageClassName,
      nodePort: args.minio.nodePort,
      consoleNodePort: args.minio.consoleNodePort,
      buckets: { [BUCKET]: { user: MLFLOW_LOGIN } },
    },
    opts,
  );
  const bucket = minio.buckets[BUCKET];
  if (bucket === undefined) throw new Error(`Minio made no bucket ${BUCKET}`);
  return {
    access: bucket.access,
    endpoint: minio.endpoint,
    credentials: bucket.credentials,
    internal: minio,
    port: S3_PORT,
    ready: [bucket.ready],
  };
}

function urlsOf(
  args: PlatformArgs,
  mlflow: Mlflow,
  minio: Minio | undefined,
): pulumi.Output<Record<string, string>> {
  const outside = {
    mlflow: args.mlflow.nodePort,
    ...(minio && { minioConsole: args.minio.consoleNodePort, s3: args.minio.nodePort }),
  };
  // The inner URLs are asked for too, so that an address is shown only when somebody answers there.
  return pulumi
    .all([args.exposedHost, mlflow.endpoint.url, minio?.endpoint.url])
    .apply(([host]) =>
      Object.fromEntries(
        Object.entries(outside).map(([service, port]) => [service, `http://${host}:${port}`]),
      ),
    );
}

function credentialsOf(
  mlflow: Mlflow,
  postgres: Postgres | undefined,
  minio: Minio | undefined,
): pulumi.Output<Record<string, Login>> {
  const logins: Record<string, pulumi.Output<Login>> = {
    mlflow: login(mlflow.adminUser, mlflow.adminPassword),
  };
  if (minio) logins["minio"] = login(minio.rootUser, minio.rootPassword);
  if (postgres) logins["postgres"] = login(postgres.superuser, postgres.superuserPassword);
  return pulumi.secret(pulumi.output(logins));
}

function login(username: string, password: pulumi.Output<string>): pulumi.Output<Login> {
  return password.apply((known) => ({ username, password: known }));
}
