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
import { createDefaultDeny, namespaceOf, type Peer, podsOf } from "./networkPolicies";
import { checkPlatform } from "./platformChecks";
import { POSTGRES_PORT, Postgres } from "./postgres";

/** Database and bucket made when they are internal; capabilities of the product, not settings. */
const DATABASE = "mlflowdb";
const BUCKET = "mlflow-artifacts";
const MLFLOW_LOGIN = "mlflow";
/** Namespace of the platform. */
export const PLATFORM_NAMESPACE = "gourmetgram-platform";

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
  /**
   * Host headers of browsers outside the cluster, `10.87.0.11:8000`: MLflow refuses what is not listed. Its Service's names
   * and tunnels (`localhost`, `127.0.0.1`, any port) always are. @default none
   */
  readonly allowedHosts?: readonly pulumi.Input<string>[];
  readonly mlflow: {
    /** Server processes in the pod. */
    readonly workers: number;
  };
  readonly database: { readonly kind: "internal" } | ExternalDatabaseArgs;
  readonly objectStore: { readonly kind: "internal" } | ExternalObjectStoreArgs;
  /**
   * Databases for others, by name, each with an owner of its own. An external PostgreSQL gives everybody its one database:
   * those who share it must not have tables of the same name. Shape: plain. @default none
   */
  readonly databases?: Readonly<Record<string, { readonly owner: string } & ClientNamespaces>>;
  /**
   * Buckets for others, by name, each with a user of its own. An external S3 gives everybody its one bucket: those who
   * share it need a folder of their own. Shape: plain. @default none
   */
  readonly buckets?: Readonly<Record<string, { readonly user: string } & ClientNamespaces>>;
  /** Who may connect to the web servers from other namespaces. @default nobody */
  readonly clients?: {
    readonly mlflow?: ClientNamespaces;
    readonly minioConsole?: ClientNamespaces;
  };
}

/** Namespaces whose pods may connect, for the network policies. Shape: plain. */
export interface ClientNamespaces {
  readonly namespaces: readonly string[];
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
 * new Platform("platform", { images, storage, mlflow: { workers: 1 }, database: { kind: "internal" },
 *   objectStore: { kind: "internal" }, databases: { argo: { owner: "argo", namespaces: ["argo"] } } }, { provider });
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
  /** Each of `args.databases`; its `host` is released when the database can be used. */
  readonly databases: Readonly<Record<string, DatabaseAccess>>;
  /** Each of `args.buckets`; its `endpoint` is released when the bucket can be used. */
  readonly buckets: Readonly<Record<string, BucketAccess>>;
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
        allowedHosts: args.allowedHosts,
        clients: peersOf(args.clients?.mlflow),
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
    this.databases = database.others;
    this.buckets = objectStore.others;
    this.credentials = credentialsOf(mlflow, database.internal, objectStore.internal);
    this.registerOutputs({
      mlflow: this.mlflow.url,
      credentials: this.credentials,
    });
  }
}

function createNamespace(name: string, opts: pulumi.CustomResourceOptions): k8s.core.v1.Namespace {
  return new k8s.core.v1.Namespace(
    name,
    {
      metadata: {
        name: PLATFORM_NAMESPACE,
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
  /** What others than MLflow get, by name. */
  readonly others: Readonly<Record<string, Access>>;
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
      others: mapValues(args.databases ?? {}, () => args.database as ExternalDatabaseArgs),
    };
  }
  const postgres = new Postgres(
    `${name}-postgres`,
    {
      namespace,
      image: args.images.postgres,
      storage: args.storage.postgres,
      storageClassName: args.storageClassName,
      databases: { [DATABASE]: { owner: MLFLOW_LOGIN }, ...args.databases },
      clients: [podsOf(MLFLOW_LABELS), ...peersOf(...Object.values(args.databases ?? {}))],
    },
    opts,
  );
  const database = entryOf(postgres.databases, DATABASE);
  return {
    access: database.access,
    endpoint: postgres.endpoint,
    credentials: database.credentials,
    internal: postgres,
    port: POSTGRES_PORT,
    ready: [database.ready],
    others: mapValues(args.databases ?? {}, (_, other) => {
      const { access, ready } = entryOf(postgres.databases, other);
      return { ...access, host: whenDone(access.host, ready) };
    }),
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
      others: mapValues(args.buckets ?? {}, () => args.objectStore as ExternalObjectStoreArgs),
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
      buckets: { [BUCKET]: { user: MLFLOW_LOGIN }, ...args.buckets },
      clients: [podsOf(MLFLOW_LABELS), ...peersOf(...Object.values(args.buckets ?? {}))],
      consoleClients: peersOf(args.clients?.minioConsole),
    },
    opts,
  );
  const bucket = entryOf(minio.buckets, BUCKET);
  return {
    access: bucket.access,
    endpoint: minio.endpoint,
    credentials: bucket.credentials,
    internal: minio,
    port: S3_PORT,
    ready: [bucket.ready],
    others: mapValues(args.buckets ?? {}, (_, other) => {
      const { access, ready } = entryOf(minio.buckets, other);
      return { ...access, endpoint: whenDone(access.endpoint, ready) };
    }),
  };
}

/** The pods of all these namespaces, each namespace once. */
function peersOf(...clients: readonly (ClientNamespaces | undefined)[]): Peer[] {
  return [...new Set(clients.flatMap((client) => client?.namespaces ?? []))].map(namespaceOf);
}

/** A value that is released when a resource is done. */
function whenDone(value: pulumi.Input<string>, done: pulumi.CustomResource): pulumi.Output<string> {
  return pulumi.all([value, done.id]).apply(([known]) => known);
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  to: (value: From, key: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, to(value, key)]));
}

function entryOf<Value>(record: Readonly<Record<string, Value>>, key: string): Value {
  const value = record[key];
  if (value === undefined)
    throw new Error(`${key} was not made; there are ${Object.keys(record).join(", ")}`);
  return value;
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
