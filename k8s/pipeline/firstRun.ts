import { createHash } from "node:crypto";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";
import { API_SERVER_PORTS } from "../argo/controllerPod";
import { createAccount } from "../argo/rbac";
import { createTraffic } from "../platform/networkPolicies";
import { restrictedContainer, restrictedPod, scratchVolume } from "../platform/restricted";
import { replaceWhenFailed } from "../platform/setupJob";

const UID = 1000;
const STARTER: LabelArgs = { name: "pipeline-starter", component: "pipeline" };

export interface FirstRunArgs {
  /** Namespace of the workflows. */
  readonly namespace: pulumi.Input<string>;
  /** Image with Python. */
  readonly image: pulumi.Input<string>;
  /** ConfigMap with the steps, of which `start_workflow.py` is run. Shape: plain. */
  readonly stepsConfigMap: string;
  /** WorkflowTemplate to run. Shape: plain. */
  readonly template: string;
  /** What the run is for: another key is another run, the same key is done once. Shape: plain. */
  readonly key: string;
  /** Longest time the workflow may take. @default 1800 */
  readonly timeoutSeconds?: number;
}

/**
 * One run of a WorkflowTemplate as part of the graph: done when the workflow has succeeded, failed with the workflow's own message as soon
 * as it has not. After a failure the next `up` makes another attempt.
 *
 * A Job follows the workflow, and not the graph itself, because a Workflow that failed stays so, and one that succeeded is removed
 * some hours later: neither agrees with a state that says it is there.
 *
 * Waits for: what `opts.dependsOn` names. Costs: a pod as long as the workflow runs.
 */
export class FirstRun extends pulumi.ComponentResource {
  /** Done when the workflow has succeeded. */
  readonly done: pulumi.Resource;

  constructor(name: string, args: FirstRunArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:FirstRun", name, {}, opts);
    const child = { parent: this };
    const timeout = args.timeoutSeconds ?? 1800;
    const workflow = `${args.template}-${hashOf(args.key)}`;
    const account = createAccount(
      name,
      {
        namespace: args.namespace,
        objectName: STARTER.name,
        labels: STARTER,
        rules: [{ apiGroups: ["argoproj.io"], resources: ["workflows"], verbs: ["create", "get"] }],
      },
      child,
    );
    createTraffic(
      name,
      {
        namespace: args.namespace,
        objectName: STARTER.name,
        pods: STARTER,
        egress: [{ ports: API_SERVER_PORTS }],
      },
      child,
    );
    this.done = new k8s.batch.v1.Job(
      name,
      {
        metadata: {
          // The template of a Job cannot change: what is in it makes the name.
          name: pulumi
            .output(args.image)
            .apply((image) => `${args.template}-${hashOf(`${image} ${args.key} ${timeout}`)}`),
          namespace: args.namespace,
          labels: labels(STARTER),
          annotations: replaceWhenFailed,
        },
        spec: {
          backoffLimit: 3,
          activeDeadlineSeconds: timeout + 60,
          // A workflow that failed is not followed again; a pod that was lost with its node is.
          podFailurePolicy: {
            rules: [
              { action: "FailJob", onExitCodes: { containerName: "start", operator: "In", values: [1] } },
              { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
            ],
          },
          template: {
            metadata: { labels: labels(STARTER) },
            spec: podSpec(args, account, workflow, timeout),
          },
        },
      },
      {
        parent: this,
        customTimeouts: { create: `${timeout + 120}s`, update: `${timeout + 120}s`, delete: "2m" },
      },
    );
    this.registerOutputs({ workflow });
  }
}

function podSpec(
  args: FirstRunArgs,
  account: pulumi.Input<string>,
  workflow: string,
  timeout: number,
): k8s.types.input.core.v1.PodSpec {
  return {
    ...restrictedPod(UID),
    automountServiceAccountToken: true,
    serviceAccountName: account,
    restartPolicy: "Never",
    containers: [
      {
        name: "start",
        image: args.image,
        imagePullPolicy: "IfNotPresent",
        command: ["python3", "-B", "/opt/steps/start_workflow.py"],
        env: [
          { name: "HOME", value: "/tmp" },
          { name: "WORKFLOW_NAMESPACE", value: args.namespace },
          { name: "TEMPLATE", value: args.template },
          { name: "WORKFLOW_NAME", value: workflow },
          { name: "STEP_DEADLINE_SECONDS", value: String(timeout) },
        ],
        securityContext: restrictedContainer,
        resources: { requests: { cpu: "20m", memory: "32Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
        terminationMessagePolicy: "FallbackToLogsOnError",
        volumeMounts: [
          { name: "steps", mountPath: "/opt/steps", readOnly: true },
          { name: "tmp", mountPath: "/tmp" },
        ],
      },
    ],
    volumes: [{ name: "steps", configMap: { name: args.stepsConfigMap } }, scratchVolume("tmp", "16Mi")],
  };
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
