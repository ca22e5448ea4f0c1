import type * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CredentialsRef, ServiceEndpoint } from "../../components/contracts";
import type { LabelArgs } from "../../components/labels";
import type { Quantity } from "../../components/quantity";
import { Password } from "../../components/random";
import { readSource } from "../../components/sourceFile";
import type { DatabaseAccess } from "./access";
import { createCredentials, secretEnv } from "./credentials";
import { createTraffic, type Peer, podsOf } from "./networkPolicies";
import { scratchVolume } from "./restricted";
import { SetupJob } from "./setupJob";
import { createStatefulService, type StatefulService } from "./statefulService";

/** Port of PostgreSQL everywhere. */
export const POSTGRES_PORT = 5432;
/** User `postgres` of the upstream image. */
const UID = 999;
const SUPERUSER = "postgres";
const APPLICATION: LabelArgs = { name: "postgres", component: "database" };
const SETUP: LabelArgs = { name: "postgres-setup", component: "database" };
const SECRET_FOLDER = "/run/secrets/postgres";

export interface PostgresArgs {
  /** Must allow the Pod Security level `restricted`. */
  readonly namespace: pulumi.Input<string>;
  /** PostgreSQL 15 or later with the interface of docker.io/library/postgres; `getenv` of its psql is used. */
  readonly image: pulumi.Input<string>;
  /** Size of the data volume. */
  readonly storage: Quantity;
  /** @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
  /** Databases to make, by name; the owner is a role of its own. Shape: plain. */
  readonly databases: Readonly<Record<string, { readonly owner: string }>>;
  /** Who may connect, for the network policy. */
  readonly clients: Peer[];
}

/** One database of `Postgres`: how to reach it and who waits for what. */
export interface PostgresDatabase {
  readonly access: DatabaseAccess & { readonly password: pulumi.Output<string> };
  /** Secret with the owner's name and password. */
  readonly credentials: CredentialsRef;
  /** Done when the database can be used. */
  readonly ready: pulumi.CustomResource;
}

/**
 * PostgreSQL in one pod with a persistent volume, and the databases and roles that are asked for.
 *
 * Waits for: a node that has the volume. A database is usable when its `ready` is done. Costs: one volume, one pod.
 * The superuser's password is set when the data directory is made, and is used by the setup jobs only.
 * ```ts
 * new Postgres("postgres", { namespace, image, storage: "5Gi", databases: { mlflowdb: { owner: "mlflow" } }, clients: [] });
 * ```
 */
export class Postgres extends pulumi.ComponentResource {
  /** The server inside the cluster, released when it accepts connections. */
  readonly endpoint: ServiceEndpoint;
  readonly databases: Readonly<Record<string, PostgresDatabase>>;
  /** The superuser. */
  readonly credentials: CredentialsRef;
  readonly superuser: string = SUPERUSER;
  /** Password of the superuser. A secret. */
  readonly superuserPassword: pulumi.Output<string>;

  constructor(name: string, args: PostgresArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:Postgres", name, {}, opts);
    const child = { parent: this };

    this.superuserPassword = new Password(`${name}-superuser`, { length: 32 }, child).result;
    const superuser = createCredentials(
      `${name}-superuser`,
      {
        namespace: args.namespace,
        objectName: "postgres-superuser",
        username: SUPERUSER,
        password: this.superuserPassword,
      },
      child,
    );
    this.credentials = superuser;
    createPolicies(name, args, child);
    const { server, serviceAccountName: account } = createServer(name, args, superuser.secretName, child);

    this.databases = Object.fromEntries(
      Object.entries(args.databases).map(([database, { owner }]) => [
        database,
        this.createDatabase(name, args, { database, owner, account, server }),
      ]),
    );
    this.endpoint = endpointOf(args.namespace, server);
    this.registerOutputs({ url: this.endpoint.url, secretName: this.credentials.secretName });
  }

  private createDatabase(
    name: string,
    args: PostgresArgs,
    of: {
      database: string;
      owner: string;
      account: pulumi.Input<string>;
      server: k8s.apps.v1.StatefulSet;
    },
  ): PostgresDatabase {
    const part = `${name}-${of.database}`;
    const password = new Password(part, { length: 32 }, { parent: this }).result;
    const credentials = createCredentials(
      part,
      {
        namespace: args.namespace,
        objectName: `postgres-${of.database}`,
        username: of.owner,
        password,
      },
      { parent: this },
    );
    const setup = new SetupJob(
      part,
      {
        namespace: args.namespace,
        objectName: `postgres-setup-${of.database}`,
        labels: setupLabels(of.database),
        image: args.image,
        uid: UID,
        serviceAccountName: of.account,
        files: {
          "postgres-database.sh": readSource("k8s/platform/scripts/postgres-database.sh"),
          "postgres-database.sql": readSource("k8s/platform/scripts/postgres-database.sql"),
        },
        script: "postgres-database.sh",
        env: [
          { name: "PGHOST", value: "postgres" },
          { name: "PGPORT", value: String(POSTGRES_PORT) },
          secretEnv("PGUSER", this.credentials.secretName, "username"),
          secretEnv("PGPASSWORD", this.credentials.secretName, "password"),
          { name: "DATABASE_NAME", value: of.database },
          secretEnv("DATABASE_OWNER", credentials.secretName, "username"),
          secretEnv("DATABASE_PASSWORD", credentials.secretName, "password"),
        ],
        secrets: { password },
      },
      // The script talks to the server.
      { parent: this, dependsOn: [of.server] },
    );
    return {
      access: {
        host: serviceHost(args.namespace),
        port: POSTGRES_PORT,
        name: of.database,
        username: of.owner,
        password,
        // Traffic stays inside the cluster's network, and the server has no certificate.
        sslMode: "disable",
      },
      credentials,
      ready: setup.job,
    };
  }
}

function createPolicies(name: string, args: PostgresArgs, opts: pulumi.CustomResourceOptions): void {
  const databases = Object.keys(args.databases);
  createTraffic(
    name,
    {
      namespace: args.namespace,
      objectName: "postgres",
      pods: APPLICATION,
      ingress: [
        {
          peers: [...args.clients, ...databases.map((database) => podsOf(setupLabels(database)))],
          ports: [POSTGRES_PORT],
        },
      ],
    },
    opts,
  );
  for (const database of databases) {
    createTraffic(
      `${name}-setup-${database}`,
      {
        namespace: args.namespace,
        objectName: `postgres-setup-${database}`,
        pods: setupLabels(database),
        egress: [{ peers: [podsOf(APPLICATION)], ports: [POSTGRES_PORT] }],
      },
      opts,
    );
  }
}

function setupLabels(database: string): LabelArgs {
  return { ...SETUP, instance: `postgres-setup-${database}` };
}

function createServer(
  name: string,
  args: PostgresArgs,
  superuserSecret: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): StatefulService {
  // Over TCP: while the data directory is made the server listens on its socket only, and must not count as ready.
  const ask = { exec: { command: ["pg_isready", "-h", "127.0.0.1", "-U", SUPERUSER, "-q"] } };
  return createStatefulService(
    name,
    {
      namespace: args.namespace,
      application: APPLICATION,
      ports: { postgres: POSTGRES_PORT },
      uid: UID,
      storage: args.storage,
      storageClassName: args.storageClassName,
      // Time to write out what is in memory; a fast shutdown takes a second, a busy disk longer.
      terminationGracePeriodSeconds: 60,
      containers: [
        {
          name: "postgres",
          image: args.image,
          env: [
            { name: "POSTGRES_USER", value: SUPERUSER },
            { name: "POSTGRES_PASSWORD_FILE", value: `${SECRET_FOLDER}/password` },
            { name: "POSTGRES_INITDB_ARGS", value: "--data-checksums" },
            // A folder below the mount: a fresh file system's lost+found would stop the first start.
            { name: "PGDATA", value: "/var/lib/postgresql/data/pgdata" },
          ],
          resources: {
            requests: { cpu: "100m", memory: "256Mi" },
            limits: { cpu: "1", memory: "1Gi" },
          },
          // Each question starts a process in the container, so it is asked no more often than it helps.
          startupProbe: { ...ask, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 90 },
          readinessProbe: { ...ask, periodSeconds: 10, timeoutSeconds: 5 },
          livenessProbe: { ...ask, periodSeconds: 30, timeoutSeconds: 10, failureThreshold: 3 },
          lifecycle: {
            // SIGINT is PostgreSQL's fast shutdown. The SIGTERM that follows alone would wait for every client to
            // leave, and MLflow's pool never does.
            preStop: { exec: { command: ["/bin/sh", "-c", "kill -INT 1"] } },
          },
          volumeMounts: [
            { name: "data", mountPath: "/var/lib/postgresql/data" },
            { name: "run", mountPath: "/var/run/postgresql" },
            { name: "tmp", mountPath: "/tmp" },
            { name: "superuser", mountPath: SECRET_FOLDER, readOnly: true },
          ],
        },
      ],
      volumes: [
        scratchVolume("run", "16Mi"),
        scratchVolume("tmp", "256Mi"),
        { name: "superuser", secret: { secretName: superuserSecret } },
      ],
    },
    opts,
  );
}

function endpointOf(namespace: pulumi.Input<string>, server: k8s.apps.v1.StatefulSet): ServiceEndpoint {
  // Through the server's id, which there is only when it is ready.
  const host = pulumi.all([serviceHost(namespace), server.id]).apply(([known]) => known);
  return {
    host,
    port: pulumi.output(POSTGRES_PORT),
    url: pulumi.interpolate`postgresql://${host}:${POSTGRES_PORT}`,
  };
}

function serviceHost(namespace: pulumi.Input<string>): pulumi.Output<string> {
  return pulumi.interpolate`postgres.${namespace}.svc.cluster.local`;
}
