import type * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CredentialsRef, ServiceEndpoint } from "../../components/contracts";
import type { LabelArgs } from "../../components/labels";
import type { Quantity } from "../../components/quantity";
import { Password } from "../../components/random";
import { readSource } from "../../components/sourceFile";
import type { BucketAccess } from "./access";
import { createCredentials, secretEnv } from "./credentials";
import { createTraffic, type Peer, podsOf } from "./networkPolicies";
import { checksum, scratchVolume } from "./restricted";
import { SetupJob } from "./setupJob";
import { createStatefulService, type StatefulService } from "./statefulService";

/** Ports of the S3 API and of the web console inside the cluster. */
export const S3_PORT = 9000;
export const CONSOLE_PORT = 9001;
/** Region MinIO reports when none is set. */
const REGION = "us-east-1";
/** MinIO needs no certain user; this one is in its image. */
const UID = 1000;
const ROOT = "root";
const APPLICATION: LabelArgs = { name: "minio", component: "object-store" };
const SETUP: LabelArgs = { name: "minio-setup", component: "object-store" };
const ROOT_FOLDER = "/run/secrets/minio";
const USER_FOLDER = "/run/secrets/bucket-user";

export interface MinioArgs {
  /** Must allow the Pod Security level `restricted`. */
  readonly namespace: pulumi.Input<string>;
  /** MinIO server with the interface of quay.io/minio/minio. */
  readonly image: pulumi.Input<string>;
  /** MinIO client with a POSIX shell. */
  readonly clientImage: pulumi.Input<string>;
  /** Size of the data volume. */
  readonly storage: Quantity;
  /** @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
  /** Buckets to make, by name, each with a user that can use this bucket only. Shape: plain. */
  readonly buckets: Readonly<Record<string, { readonly user: string }>>;
  /** Who may use the S3 API, for the network policy. */
  readonly clients: Peer[];
  /** Who may open the web console. */
  readonly consoleClients: Peer[];
}

/** One bucket of `Minio`: how to reach it and who waits for what. */
export interface MinioBucket {
  readonly access: BucketAccess & { readonly secretAccessKey: pulumi.Output<string> };
  /** Secret with the access key and the secret access key of the bucket's user. */
  readonly credentials: CredentialsRef;
  /** Done when the bucket can be used. */
  readonly ready: pulumi.CustomResource;
}

/**
 * MinIO in one pod with a persistent volume, and the buckets and users that are asked for.
 *
 * Waits for: a node that has the volume. A bucket is usable when its `ready` is done. Costs: one volume, one pod.
 * ```ts
 * new Minio("minio", { ..., storage: "10Gi", buckets: { "mlflow-artifacts": { user: "mlflow" } } });
 * ```
 */
export class Minio extends pulumi.ComponentResource {
  /** The S3 API inside the cluster, released when it answers. */
  readonly endpoint: ServiceEndpoint;
  readonly buckets: Readonly<Record<string, MinioBucket>>;
  /** The administrator, also the login of the console. */
  readonly credentials: CredentialsRef;
  readonly rootUser: string = ROOT;
  /** Password of the administrator. A secret. */
  readonly rootPassword: pulumi.Output<string>;

  constructor(name: string, args: MinioArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:Minio", name, {}, opts);
    const child = { parent: this };

    this.rootPassword = new Password(`${name}-root`, { length: 32 }, child).result;
    this.credentials = createCredentials(
      `${name}-root`,
      {
        namespace: args.namespace,
        objectName: "minio-root",
        username: ROOT,
        password: this.rootPassword,
      },
      child,
    );
    createPolicies(name, args, child);
    const { server, serviceAccountName: account } = createServer(
      name,
      args,
      { credentials: this.credentials, password: this.rootPassword },
      child,
    );

    this.buckets = Object.fromEntries(
      Object.entries(args.buckets).map(([bucket, { user }]) => [
        bucket,
        this.createBucket(name, args, { bucket, user, account, server }),
      ]),
    );
    this.endpoint = endpointOf(args.namespace, server);
    this.registerOutputs({ url: this.endpoint.url, secretName: this.credentials.secretName });
  }

  private createBucket(
    name: string,
    args: MinioArgs,
    of: {
      bucket: string;
      user: string;
      account: pulumi.Input<string>;
      server: k8s.apps.v1.StatefulSet;
    },
  ): MinioBucket {
    const part = `${name}-${of.bucket}`;
    const password = new Password(part, { length: 32 }, { parent: this }).result;
    const credentials = createCredentials(
      part,
      { namespace: args.namespace, objectName: `minio-${of.bucket}`, username: of.user, password },
      { parent: this },
    );
    const setup = new SetupJob(
      part,
      {
        namespace: args.namespace,
        objectName: `minio-setup-${of.bucket}`,
        labels: setupLabels(of.bucket),
        image: args.clientImage,
        uid: UID,
        serviceAccountName: of.account,
        files: {
          "minio-bucket.sh": readSource("k8s/platform/scripts/minio-bucket.sh"),
          "minio-policy.json": renderBucketPolicy(of.bucket),
        },
        script: "minio-bucket.sh",
        env: [
          secretEnv("ROOT_USER", this.credentials.secretName, "username"),
          secretEnv("ROOT_PASSWORD", this.credentials.secretName, "password"),
          // Kubernetes puts the two values in; letters and digits only, so nothing needs escaping.
          { name: "MC_HOST_minio", value: `http://$(ROOT_USER):$(ROOT_PASSWORD)@minio:${S3_PORT}` },
          { name: "BUCKET", value: of.bucket },
          secretEnv("USER_NAME", credentials.secretName, "username"),
          { name: "USER_PASSWORD_FILE", value: `${USER_FOLDER}/password` },
        ],
        secrets: { password, root: this.rootPassword },
        secretFolders: { [USER_FOLDER]: credentials.secretName },
      },
      // The script talks to the server.
      { parent: this, dependsOn: [of.server] },
    );
    return {
      access: {
        endpoint: pulumi.interpolate`http://${serviceHost(args.namespace)}:${S3_PORT}`,
        bucket: of.bucket,
        region: REGION,
        accessKeyId: of.user,
        secretAccessKey: password,
      },
      credentials,
      ready: setup.job,
    };
  }
}

/** Policy of a user that may do with the objects of one bucket what S3 clients do, and nothing else. */
export function renderBucketPolicy(bucket: string): string {
  const arn = `arn:aws:s3:::${bucket}`;
  const policy = {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
        Resource: [arn],
      },
      {
        Effect: "Allow",
        Action: [
          "s3:GetObject",
          "s3:PutObject",
          "s3:DeleteObject",
          "s3:AbortMultipartUpload",
          "s3:ListMultipartUploadParts",
        ],
        Resource: [`${arn}/*`],
      },
    ],
  };
  return `${JSON.stringify(policy, undefined, 2)}\n`;
}

function setupLabels(bucket: string): LabelArgs {
  return { ...SETUP, instance: `minio-setup-${bucket}` };
}

function createPolicies(name: string, args: MinioArgs, opts: pulumi.CustomResourceOptions): void {
  const setups = Object.keys(args.buckets).map((bucket) => podsOf(setupLabels(bucket)));
  createTraffic(
    name,
    {
      namespace: args.namespace,
      objectName: "minio",
      pods: APPLICATION,
      ingress: [
        { peers: [...args.clients, ...setups], ports: [S3_PORT] },
        ...(args.consoleClients.length > 0 ? [{ peers: args.consoleClients, ports: [CONSOLE_PORT] }] : []),
      ],
    },
    opts,
  );
  for (const bucket of Object.keys(args.buckets)) {
    createTraffic(
      `${name}-setup-${bucket}`,
      {
        namespace: args.namespace,
        objectName: `minio-setup-${bucket}`,
        pods: setupLabels(bucket),
        egress: [{ peers: [podsOf(APPLICATION)], ports: [S3_PORT] }],
      },
      opts,
    );
  }
}

function createServer(
  name: string,
  args: MinioArgs,
  root: { readonly credentials: CredentialsRef; readonly password: pulumi.Output<string> },
  opts: pulumi.CustomResourceOptions,
): StatefulService {
  const ask = (path: string) => ({ httpGet: { path: `/minio/health/${path}`, port: "s3" } });
  return createStatefulService(
    name,
    {
      namespace: args.namespace,
      application: APPLICATION,
      ports: { s3: S3_PORT, console: CONSOLE_PORT },
      uid: UID,
      storage: args.storage,
      storageClassName: args.storageClassName,
      // The server reads the administrator's password at start only.
      annotations: checksum({ root: root.password }),
      terminationGracePeriodSeconds: 30,
      containers: [
        {
          name: "minio",
          image: args.image,
          args: ["server", "/data", "--address", `:${S3_PORT}`, "--console-address", `:${CONSOLE_PORT}`],
          env: [
            { name: "MINIO_ROOT_USER_FILE", value: `${ROOT_FOLDER}/${root.credentials.usernameKey}` },
            {
              name: "MINIO_ROOT_PASSWORD_FILE",
              value: `${ROOT_FOLDER}/${root.credentials.passwordKey}`,
            },
            { name: "MINIO_UPDATE", value: "off" },
            { name: "HOME", value: "/tmp" },
          ],
          resources: {
            requests: { cpu: "100m", memory: "256Mi" },
            limits: { cpu: "1", memory: "1Gi" },
          },
          startupProbe: { ...ask("live"), periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 180 },
          readinessProbe: { ...ask("ready"), periodSeconds: 5, timeoutSeconds: 3 },
          livenessProbe: { ...ask("live"), periodSeconds: 15, timeoutSeconds: 5, failureThreshold: 4 },
          volumeMounts: [
            { name: "data", mountPath: "/data" },
            { name: "tmp", mountPath: "/tmp" },
            { name: "root", mountPath: ROOT_FOLDER, readOnly: true },
          ],
        },
      ],
      volumes: [
        scratchVolume("tmp", "256Mi"),
        { name: "root", secret: { secretName: root.credentials.secretName } },
      ],
    },
    opts,
  );
}

function endpointOf(namespace: pulumi.Input<string>, server: k8s.apps.v1.StatefulSet): ServiceEndpoint {
  // Through the server's id, which there is only when it is ready.
  const host = pulumi.all([serviceHost(namespace), server.id]).apply(([known]) => known);
  return { host, port: pulumi.output(S3_PORT), url: pulumi.interpolate`http://${host}:${S3_PORT}` };
}

function serviceHost(namespace: pulumi.Input<string>): pulumi.Output<string> {
  return pulumi.interpolate`minio.${namespace}.svc.cluster.local`;
}
