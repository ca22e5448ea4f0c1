import * as pulumi from "@pulumi/pulumi";
import { stringify } from "yaml";
import type { BucketAccess, DatabaseAccess } from "../platform/access";
import { restrictedContainer } from "../platform/restricted";

/** User of workflow pods whose templates name none. */
const WORKFLOW_UID = 1000;

export interface WorkflowControllerConfigArgs {
  readonly database: DatabaseAccess;
  readonly bucket: BucketAccess;
  /** Secrets in the workflows' namespace with the keys `username` and `password`. */
  readonly databaseSecret: pulumi.Input<string>;
  readonly bucketSecret: pulumi.Input<string>;
  /** Folder of the bucket; others may share it. */
  readonly folder: string;
  readonly retention: WorkflowRetention;
  readonly defaultServiceAccount: string;
}

/** For how long what has ended is kept. */
export interface WorkflowRetention {
  /** Workflow objects in the cluster, hours after success and after failure; afterwards they are in the archive. */
  readonly succeededHours: number;
  readonly failedHours: number;
  /** Workflows in the archive, days. */
  readonly archiveDays: number;
  /** Pods that ended, seconds: long enough to follow their last lines. Logs are in the bucket by then. */
  readonly podSeconds: number;
}

/** `config` of `workflow-controller-configmap`, which controller and server read at start. */
export function renderWorkflowConfig(args: WorkflowControllerConfigArgs): pulumi.Output<string> {
  const { database, bucket, retention } = args;
  return pulumi
    .all([
      pulumi.output(database.host),
      pulumi.output(database.name),
      pulumi.output(bucket.endpoint),
      pulumi.output(bucket.bucket),
      pulumi.output(bucket.region),
      pulumi.output(args.databaseSecret),
      pulumi.output(args.bucketSecret),
    ])
    .apply(([host, databaseName, endpoint, bucketName, region, databaseSecret, bucketSecret]) =>
      stringify({
        // Whoever may submit may not run just anything under any account: a workflow names one of the templates.
        workflowRestrictions: { templateReferencing: "Strict" },
        metricsConfig: { enabled: false },
        telemetryConfig: { enabled: false },
        executor: {
          imagePullPolicy: "IfNotPresent",
          securityContext: EXECUTOR_CONTEXT,
          resources: {
            requests: { cpu: "10m", memory: "32Mi" },
            limits: { cpu: "500m", memory: "256Mi" },
          },
        },
        mainContainer: {
          imagePullPolicy: "IfNotPresent",
          securityContext: restrictedContainer,
          resources: {
            requests: { cpu: "20m", memory: "64Mi" },
            limits: { cpu: "1", memory: "512Mi" },
          },
        },
        workflowDefaults: {
          spec: {
            serviceAccountName: args.defaultServiceAccount,
            securityContext: {
              runAsNonRoot: true,
              runAsUser: WORKFLOW_UID,
              runAsGroup: WORKFLOW_UID,
              fsGroup: WORKFLOW_UID,
              seccompProfile: { type: "RuntimeDefault" },
            },
            // The last resort; templates have deadlines of their own. Long enough for a person's decision.
            activeDeadlineSeconds: 24 * 3600,
            archiveLogs: true,
            ttlStrategy: {
              secondsAfterSuccess: retention.succeededHours * 3600,
              secondsAfterFailure: retention.failedHours * 3600,
            },
            podGC: {
              strategy: "OnPodCompletion",
              deleteDelayDuration: `${retention.podSeconds}s`,
            },
            volumeClaimGC: { strategy: "OnWorkflowCompletion" },
          },
        },
        retentionPolicy: { completed: 100, failed: 100, errored: 100 },
        artifactRepository: {
          archiveLogs: true,
          s3: {
            ...parseEndpoint(endpoint),
            bucket: bucketName,
            region,
            keyFormat: `${args.folder}/{{workflow.creationTimestamp.Y}}-{{workflow.creationTimestamp.m}}/{{workflow.name}}/{{pod.name}}`,
            accessKeySecret: { name: bucketSecret, key: "username" },
            secretKeySecret: { name: bucketSecret, key: "password" },
          },
        },
        persistence: {
          archive: true,
          nodeStatusOffLoad: false,
          archiveTTL: `${retention.archiveDays}d`,
          clusterName: "gourmetgram",
          connectionPool: { maxIdleConns: 2, maxOpenConns: 5, connMaxLifetime: "10m" },
          postgresql: {
            host,
            port: database.port,
            database: databaseName,
            tableName: "argo_workflows",
            userNameSecret: { name: databaseSecret, key: "username" },
            passwordSecret: { name: databaseSecret, key: "password" },
            // Without `ssl` the driver's own default holds, which is `prefer`.
            ssl: database.sslMode !== "prefer",
            ...(database.sslMode === "prefer" ? {} : { sslMode: database.sslMode }),
          },
        },
      }),
    );
}

/** The executor writes into the folders it shares with the main container, so its own file system stays writable. */
const EXECUTOR_CONTEXT = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };

/** An S3 URL as Argo has it: host and port, and whether without TLS. */
export function parseEndpoint(endpoint: string): { readonly endpoint: string; readonly insecure: boolean } {
  const url = new URL(endpoint);
  return { endpoint: url.host, insecure: url.protocol === "http:" };
}
