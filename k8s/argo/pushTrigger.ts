import type { types } from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";
import { restrictedContainer, restrictedPod } from "../platform/restricted";
import { goResources, quickEviction } from "./controllerPod";

/** Name of the event source, and of the events in it. */
export const SOURCE = "github";
const EVENT = "push";
export const SENSOR = "train-on-push";
/** Port and path of the webhook. */
export const WEBHOOK_PORT = 12000;
export const WEBHOOK_PATH = "/push";
/** Key of the webhook's Secret. */
export const WEBHOOK_SECRET_KEY = "secret";

export const SOURCE_PODS: LabelArgs = { name: "github-webhook", component: "event-source" };
export const SENSOR_PODS: LabelArgs = { name: SENSOR, component: "sensor" };

/** Labels Argo Events gives the pods of our event source. */
export const SOURCE_SELECTOR = { "eventsource-name": SOURCE, "owner-name": SOURCE } as const;

/** User of the pods; the image needs no certain one. */
const UID = 9731;

export interface PodArgs {
  readonly labels: LabelArgs;
  readonly serviceAccountName: pulumi.Input<string>;
  /** Annotations that change with what the pod reads at start. @default none */
  readonly annotations?: pulumi.Input<Record<string, pulumi.Input<string>>>;
}

/** Pods Argo Events makes of a custom resource. It takes no probes: what is not connected to the bus ends by itself. */
function renderTemplate(args: PodArgs): object {
  const { resources, memoryLimit } = goResources({ cpu: 10, memory: 24, limit: 96 });
  const pod = restrictedPod(UID);
  return {
    metadata: { labels: labels(args.labels), annotations: args.annotations },
    serviceAccountName: args.serviceAccountName,
    securityContext: pod.securityContext,
    tolerations: quickEviction(),
    container: {
      imagePullPolicy: "IfNotPresent",
      env: [memoryLimit],
      resources,
      securityContext: restrictedContainer,
    } satisfies Partial<types.input.core.v1.Container>,
  };
}

/** Specification of the EventSource: GitHub's pushes, signed with the Secret; it asks GitHub nothing. */
export function renderEventSource(
  args: PodArgs & { readonly repository: string; readonly secretName: pulumi.Input<string> },
): object {
  const [owner, repository] = args.repository.split("/");
  return {
    eventBusName: "default",
    replicas: 1,
    template: renderTemplate(args),
    github: {
      [EVENT]: {
        // Where hooks would be registered if it had a token; the sensor is what filters.
        repositories: [{ owner, names: [repository] }],
        events: ["push"],
        contentType: "json",
        webhook: { endpoint: WEBHOOK_PATH, port: String(WEBHOOK_PORT), method: "POST" },
        webhookSecret: { name: args.secretName, key: WEBHOOK_SECRET_KEY },
      },
    },
  };
}

/** The workflow a push starts. */
export interface PushWorkflow {
  readonly namespace: pulumi.Input<string>;
  /** WorkflowTemplate with the parameters `branch` and `requested-by`. */
  readonly template: string;
}

/**
 * Specification of the Sensor: a push to a branch of the repository makes one workflow. What comes from the event is put into
 * values of parameters, never into code.
 */
export function renderSensor(
  args: PodArgs & { readonly repository: string; readonly workflow: PushWorkflow },
): object {
  const is = (path: string, pattern: string) => ({ path, type: "string", value: [pattern] });
  const parameter = (dataTemplate: string, dest: string) => ({
    src: { dependencyName: EVENT, dataTemplate },
    dest,
  });
  const annotation = (name: string) => `metadata.annotations.gourmetgram\\.dev/${name}`;
  return {
    eventBusName: "default",
    replicas: 1,
    template: renderTemplate(args),
    dependencies: [
      {
        name: EVENT,
        eventSourceName: SOURCE,
        eventName: EVENT,
        filters: {
          data: [
            is("body.X-GitHub-Event", "^push$"),
            is("body.repository.full_name", `^${escapePattern(args.repository)}$`),
            is("body.ref", "^refs/heads/.+$"),
            // A deleted branch has the commit 000...
            is("body.after", "[1-9a-f]"),
          ],
        },
      },
    ],
    triggers: [
      {
        template: {
          name: args.workflow.template,
          k8s: {
            operation: "create",
            source: {
              resource: {
                apiVersion: "argoproj.io/v1alpha1",
                kind: "Workflow",
                metadata: {
                  generateName: `${args.workflow.template}-push-`,
                  namespace: args.workflow.namespace,
                  labels: labels({ name: args.workflow.template, component: "workflow" }),
                  annotations: {},
                },
                spec: {
                  workflowTemplateRef: { name: args.workflow.template },
                  arguments: {
                    parameters: [
                      { name: "branch", value: "" },
                      { name: "requested-by", value: "" },
                    ],
                  },
                },
              },
            },
            parameters: [
              parameter(
                `{{ trimPrefix "refs/heads/" .Input.body.ref }}`,
                "spec.arguments.parameters.0.value",
              ),
              parameter(
                `push by {{ dig "pusher" "name" "somebody" .Input.body | trunc 80 }}`,
                "spec.arguments.parameters.1.value",
              ),
              parameter("{{ .Input.body.after }}", annotation("commit")),
            ],
          },
        },
        // The API server may be away for a moment. Each attempt makes a workflow only when none was made before it.
        retryStrategy: { steps: 6, duration: "2s", factor: 2, jitter: 0.2 },
      },
    ],
  };
}

/** A text as a regular expression of Go that matches just this text. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}
