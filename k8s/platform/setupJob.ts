import { createHash } from "node:crypto";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";
import { checksum, restrictedContainer, restrictedPod, scratchVolume } from "./restricted";

/** A Job that failed stays failed: the next `up` makes it anew. */
export const replaceWhenFailed = { "pulumi.com/replaceUnready": "true" } as const;

export interface SetupJobArgs {
  readonly namespace: pulumi.Input<string>;
  /** Kubernetes name, to which a hash is added; at most 54 characters. Shape: plain. */
  readonly objectName: string;
  /** Labels of the pod, by which network policies find it. */
  readonly labels: LabelArgs;
  readonly image: pulumi.Input<string>;
  /** User and group of the process. */
  readonly uid: number;
  readonly serviceAccountName: pulumi.Input<string>;
  /** Files beside the script, by name. Plain: no secrets. */
  readonly files: Readonly<Record<string, string>>;
  /** Name of the file that is run by `/bin/sh`. Must be idempotent. */
  readonly script: string;
  readonly env: k8s.types.input.core.v1.EnvVar[];
  /** Secret values the script uses: the job runs again when one changes. At least one is generated. */
  readonly secrets: Readonly<Record<string, pulumi.Input<string>>>;
  /** Secrets the script reads as files: folder -> Secret name. @default none */
  readonly secretFolders?: Readonly<Record<string, pulumi.Input<string>>>;
}

/**
 * An idempotent script that runs once inside the cluster, as a Job, and again when its files, image or secrets change.
 * The Job's name carries a hash of files and image, because the template of a Job cannot be changed.
 *
 * Waits for: what `opts.dependsOn` names; is done when the script has ended with 0. Costs: a pod for some seconds.
 */
export class SetupJob extends pulumi.ComponentResource {
  readonly job: k8s.batch.v1.Job;

  constructor(name: string, args: SetupJobArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:SetupJob", name, {}, opts);
    const metadataLabels = labels(args.labels);
    const hash = pulumi.output(args.image).apply((image) =>
      createHash("sha256")
        .update(JSON.stringify([image, args.files, args.script]))
        .digest("hex")
        .slice(0, 8),
    );

    const scripts = new k8s.core.v1.ConfigMap(
      `${name}-scripts`,
      {
        metadata: {
          name: `${args.objectName}-scripts`,
          namespace: args.namespace,
          labels: metadataLabels,
        },
        data: { ...args.files },
      },
      { parent: this },
    );
    this.job = new k8s.batch.v1.Job(
      name,
      {
        metadata: {
          name: pulumi.interpolate`${args.objectName}-${hash}`,
          namespace: args.namespace,
          labels: metadataLabels,
          annotations: replaceWhenFailed,
        },
        spec: {
          // No ttlSecondsAfterFinished: a Job that removes itself looks deleted by hand to the next refresh.
          backoffLimit: 3,
          template: {
            metadata: { labels: metadataLabels, annotations: checksum(args.secrets) },
            spec: podSpec(args, scripts.metadata.name),
          },
        },
      },
      { parent: this, customTimeouts: { create: "5m", update: "5m", delete: "2m" } },
    );
    this.registerOutputs({ jobName: this.job.metadata.name });
  }
}

function podSpec(args: SetupJobArgs, scripts: pulumi.Input<string>): k8s.types.input.core.v1.PodSpec {
  const folders = Object.entries(args.secretFolders ?? {});
  return {
    ...restrictedPod(args.uid),
    serviceAccountName: args.serviceAccountName,
    // A failed attempt stays to be read; the Job makes a new pod.
    restartPolicy: "Never",
    containers: [
      {
        name: "setup",
        image: args.image,
        imagePullPolicy: "IfNotPresent",
        command: ["/bin/sh", `/scripts/${args.script}`],
        env: [{ name: "HOME", value: "/tmp" }, ...args.env],
        securityContext: restrictedContainer,
        resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { cpu: "500m", memory: "256Mi" } },
        terminationMessagePolicy: "FallbackToLogsOnError",
        volumeMounts: [
          { name: "scripts", mountPath: "/scripts", readOnly: true },
          { name: "tmp", mountPath: "/tmp" },
          ...folders.map(([mountPath], index) => ({ name: `secret-${index}`, mountPath, readOnly: true })),
        ],
      },
    ],
    volumes: [
      { name: "scripts", configMap: { name: scripts } },
      scratchVolume("tmp", "64Mi"),
      ...folders.map(([, secretName], index) => ({ name: `secret-${index}`, secret: { secretName } })),
    ],
  };
}
