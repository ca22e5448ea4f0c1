import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { stringify } from "yaml";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import { ProblemsError } from "../../components/problems";
import type { Quantity } from "../../components/quantity";
import { Password } from "../../components/random";
import { secretData } from "../platform/credentials";
import { createTraffic, podsOf } from "../platform/networkPolicies";
import { checksum, restrictedContainer, scratchVolume } from "../platform/restricted";
import { checkArgoEvents } from "./argoEventsChecks";
import { API_SERVER_PORTS, controllerPod, goResources, httpProbes } from "./controllerPod";
import { createCustomResourceDefinitions } from "./crds";
import { createRestrictedNamespace } from "./namespace";
import { NATS_PORT, NatsBus } from "./natsBus";
import {
  type PushWorkflow,
  renderEventSource,
  renderSensor,
  SENSOR,
  SENSOR_PODS,
  SOURCE,
  SOURCE_PODS,
  SOURCE_SELECTOR,
  WEBHOOK_PATH,
  WEBHOOK_PORT,
  WEBHOOK_SECRET_KEY,
} from "./pushTrigger";
import { createAccount, grant, READ } from "./rbac";

export const EVENTS_NAMESPACE = "argo-events";
/** User of the upstream image. */
const UID = 9731;
const HEALTH_PORT = 8081;
const APPLICATION: LabelArgs = { name: "argo-events" };
const CONTROLLER: LabelArgs = { name: "argo-events-controller", component: "controller" };
const STORAGE: Quantity = "1Gi";

export interface ArgoEventsArgs {
  /** Both with the entry points of their upstream images. */
  readonly images: Readonly<Record<"argoEvents" | "nats", pulumi.Input<string>>>;
  /** Folder with `argo-events-crds.yaml` of the upstream release. */
  readonly manifestsFolder: string;
  /** Repository whose pushes count: `repository.full_name` of the events, `<owner>/<name>`. Shape: plain. */
  readonly repository: string;
  /** What a push starts. */
  readonly workflow: PushWorkflow;
  /** Size of the event bus' volume. @default "1Gi" */
  readonly storage?: Quantity;
  /** @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
}

/** Where a Git server sends its pushes. */
export interface Webhook {
  /** Known at once: a Git server that starts first just finds nobody there. */
  readonly url: pulumi.Output<string>;
  /** Service and its port, for routes. */
  readonly serviceName: string;
  readonly port: number;
  /** Key of the signature `X-Hub-Signature-256`. A secret. */
  readonly secret: pulumi.Output<string>;
}

/**
 * Argo Events in the namespace `argo-events`, for this namespace only: controller, event bus on NATS, a webhook for GitHub's
 * push events that refuses what is not signed, and a sensor that makes a workflow of each push to a branch.
 *
 * Waits for: nothing but the cluster and the workflows' namespace. Costs: four pods of 80 MiB together, one volume.
 * ```ts
 * new ArgoEvents("argo-events", { images, manifestsFolder, repository: "gourmetgram/gourmetgram-train",
 *   workflow: { namespace: workflows.namespace, template: "train-model" } });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class ArgoEvents extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  readonly webhook: Webhook;
  /** Done when the webhook listens. */
  readonly ready: pulumi.Output<string>;

  constructor(name: string, args: ArgoEventsArgs, opts?: pulumi.ComponentResourceOptions) {
    const storage = args.storage ?? STORAGE;
    const problems = checkArgoEvents({
      repository: args.repository,
      template: args.workflow.template,
      storage,
    });
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:ArgoEvents", name, {}, opts);
    const child = { parent: this };

    const crds = createCustomResourceDefinitions(
      name,
      { manifest: `${args.manifestsFolder}/argo-events-crds.yaml`, application: "argo-events" },
      child,
    );
    this.namespace = createRestrictedNamespace(
      name,
      { objectName: EVENTS_NAMESPACE, labels: APPLICATION },
      child,
    );
    const bus = new NatsBus(
      `${name}-bus`,
      {
        namespace: this.namespace,
        image: args.images.nats,
        storage,
        storageClassName: args.storageClassName,
        clients: [SOURCE_PODS, SENSOR_PODS],
      },
      child,
    );
    createPolicies(name, this.namespace, child);
    const controller = createController(name, args, this.namespace, crds, child);
    // The controller comes first so that it goes last: it takes its finalizers off what is deleted.
    const eventBus = createEventBus(name, this.namespace, bus, { ...child, dependsOn: [controller] });
    const secret = new Password(`${name}-webhook`, { length: 40 }, child).result;
    // Their pods end when they find no bus.
    const onBus = { ...child, dependsOn: [eventBus] };
    const source = createSource(name, args, this.namespace, secret, child, onBus);
    createSensor(name, args, this.namespace, child, onBus);
    const service = createService(name, this.namespace, { ...child, dependsOn: [source] });

    this.webhook = {
      url: pulumi.output(
        `http://${SOURCE_PODS.name}.${EVENTS_NAMESPACE}.svc.cluster.local:${WEBHOOK_PORT}${WEBHOOK_PATH}`,
      ),
      serviceName: SOURCE_PODS.name,
      port: WEBHOOK_PORT,
      secret,
    };
    this.ready = service.id;
    this.registerOutputs({ url: this.webhook.url });
  }
}

function createPolicies(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): void {
  const toBus = { peers: [podsOf({ name: "nats" })], ports: [NATS_PORT] };
  createTraffic(
    `${name}-controller`,
    { namespace, objectName: CONTROLLER.name, pods: CONTROLLER, egress: [{ ports: API_SERVER_PORTS }] },
    opts,
  );
  // Open to all: it believes only what is signed.
  createTraffic(
    `${name}-source`,
    {
      namespace,
      objectName: SOURCE_PODS.name,
      pods: SOURCE_PODS,
      ingress: [{ ports: [WEBHOOK_PORT] }],
      egress: [toBus],
    },
    opts,
  );
  createTraffic(
    `${name}-sensor`,
    {
      namespace,
      objectName: SENSOR_PODS.name,
      pods: SENSOR_PODS,
      egress: [toBus, { ports: API_SERVER_PORTS }],
    },
    opts,
  );
}

function createController(
  name: string,
  args: ArgoEventsArgs,
  namespace: pulumi.Input<string>,
  crds: readonly pulumi.Resource[],
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  const owned = ["eventbus", "eventsources", "sensors"];
  const account = createAccount(
    `${name}-controller`,
    {
      namespace,
      objectName: CONTROLLER.name,
      labels: CONTROLLER,
      rules: [
        {
          apiGroups: ["argoproj.io"],
          resources: owned.flatMap((kind) => [kind, `${kind}/status`, `${kind}/finalizers`]),
          verbs: [...READ, "update", "patch"],
        },
        {
          apiGroups: ["apps"],
          resources: ["deployments"],
          verbs: [...READ, "create", "update", "patch", "delete"],
        },
        // Watched because it could own them; ours are made by Pulumi.
        { apiGroups: ["apps"], resources: ["statefulsets"], verbs: [...READ] },
        { apiGroups: [""], resources: ["configmaps", "services"], verbs: [...READ] },
        { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
      ],
    },
    opts,
  );
  const config = renderControllerConfig();
  const configMap = new k8s.core.v1.ConfigMap(
    `${name}-controller`,
    {
      metadata: { name: "argo-events-controller-config", namespace, labels: labels(CONTROLLER) },
      data: { "controller-config.yaml": config },
    },
    opts,
  );
  const { resources, memoryLimit } = goResources({ cpu: 10, memory: 32, limit: 128 });
  return new k8s.apps.v1.Deployment(
    `${name}-controller`,
    {
      metadata: { name: CONTROLLER.name, namespace, labels: labels(CONTROLLER) },
      spec: {
        replicas: 1,
        strategy: { type: "Recreate" },
        selector: { matchLabels: selectorLabels(CONTROLLER) },
        template: {
          metadata: { labels: labels(CONTROLLER) },
          spec: {
            ...controllerPod(UID),
            serviceAccountName: account,
            containers: [
              {
                name: "controller",
                image: args.images.argoEvents,
                imagePullPolicy: "IfNotPresent",
                // One replica, replaced only when the one before has ended: there is nothing to elect.
                args: ["controller", "--namespaced", "--leader-election=false"],
                env: [
                  { name: "NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
                  // Of the pods it makes.
                  { name: "ARGO_EVENTS_IMAGE", value: args.images.argoEvents },
                  { name: "IMAGE_PULL_POLICY", value: "IfNotPresent" },
                  memoryLimit,
                ],
                securityContext: restrictedContainer,
                resources,
                ...httpProbes("/healthz", HEALTH_PORT),
                volumeMounts: [
                  { name: "config", mountPath: "/etc/argo-events", readOnly: true },
                  { name: "tmp", mountPath: "/tmp" },
                ],
              },
            ],
            volumes: [
              { name: "config", configMap: { name: configMap.metadata.name } },
              scratchVolume("tmp", "16Mi"),
            ],
          },
        },
      },
    },
    { ...opts, dependsOn: [...crds] },
  );
}

/** Versions of buses the controller could make itself. It insists on having some; ours it finds ready-made. */
function renderControllerConfig(): string {
  const version = { version: "none" };
  return stringify({ eventBus: { nats: { versions: [version] }, jetstream: { versions: [version] } } });
}

function customResource(
  name: string,
  kind: string,
  of: {
    readonly namespace: pulumi.Input<string>;
    readonly objectName: string;
    readonly labels: LabelArgs;
    readonly spec: object;
  },
  opts: pulumi.CustomResourceOptions,
): k8s.apiextensions.CustomResource {
  return new k8s.apiextensions.CustomResource(
    name,
    {
      apiVersion: "argoproj.io/v1alpha1",
      kind,
      metadata: { name: of.objectName, namespace: of.namespace, labels: labels(of.labels) },
      spec: of.spec,
    },
    opts,
  );
}

function createEventBus(
  name: string,
  namespace: pulumi.Input<string>,
  bus: NatsBus,
  opts: pulumi.CustomResourceOptions,
): k8s.apiextensions.CustomResource {
  return customResource(
    `${name}-event-bus`,
    "EventBus",
    {
      namespace,
      objectName: "default",
      labels: APPLICATION,
      spec: {
        jetstreamExotic: {
          url: bus.url,
          accessSecret: { name: bus.clientSecret, key: "auth.yaml" },
          tls: { caCertSecret: { name: bus.clientSecret, key: "ca.crt" } },
          // Of the stream that the first client makes: three days of pushes, at most 100 MB.
          streamConfig: stringify({
            replicas: 1,
            maxMsgs: 1000,
            maxAge: "72h",
            maxBytes: 100_000_000,
            duplicates: "300s",
          }),
        },
      },
    },
    opts,
  );
}

function createSource(
  name: string,
  args: ArgoEventsArgs,
  namespace: pulumi.Input<string>,
  secret: pulumi.Output<string>,
  opts: pulumi.CustomResourceOptions,
  onBus: pulumi.CustomResourceOptions,
): k8s.apiextensions.CustomResource {
  const webhookSecret = new k8s.core.v1.Secret(
    `${name}-webhook`,
    {
      metadata: { name: "github-webhook", namespace, labels: labels(SOURCE_PODS) },
      type: "Opaque",
      data: secretData({ [WEBHOOK_SECRET_KEY]: secret }),
    },
    opts,
  );
  // It never talks to Kubernetes.
  const serviceAccountName = createAccount(
    `${name}-source`,
    { namespace, objectName: SOURCE_PODS.name, labels: SOURCE_PODS },
    opts,
  );
  return customResource(
    `${name}-source`,
    "EventSource",
    {
      namespace,
      objectName: SOURCE,
      labels: SOURCE_PODS,
      spec: {
        ...renderEventSource({
          labels: SOURCE_PODS,
          serviceAccountName,
          // It reads the key at start only.
          annotations: checksum({ secret }),
          repository: args.repository,
          secretName: webhookSecret.metadata.name,
        }),
      },
    },
    onBus,
  );
}

function createSensor(
  name: string,
  args: ArgoEventsArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
  onBus: pulumi.CustomResourceOptions,
): void {
  const account = createAccount(
    `${name}-submitter`,
    { namespace, objectName: "event-submitter", labels: SENSOR_PODS, automountToken: true },
    opts,
  );
  const binding = grant(
    `${name}-submitter`,
    {
      namespace: args.workflow.namespace,
      objectName: "event-submitter",
      labels: SENSOR_PODS,
      rules: [{ apiGroups: ["argoproj.io"], resources: ["workflows"], verbs: ["create"] }],
      account: { name: account, namespace },
    },
    opts,
  );
  customResource(
    `${name}-sensor`,
    "Sensor",
    {
      namespace,
      objectName: SENSOR,
      labels: SENSOR_PODS,
      spec: {
        ...renderSensor({
          labels: SENSOR_PODS,
          serviceAccountName: account,
          repository: args.repository,
          workflow: args.workflow,
        }),
      },
    },
    pulumi.mergeOptions(onBus, { dependsOn: [binding] }),
  );
}

/** The webhook under a name of ours; the pods are made by the controller. */
function createService(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  return new k8s.core.v1.Service(
    `${name}-webhook`,
    {
      metadata: { name: SOURCE_PODS.name, namespace, labels: labels(SOURCE_PODS) },
      spec: {
        selector: SOURCE_SELECTOR,
        ports: [{ name: "webhook", port: WEBHOOK_PORT, targetPort: WEBHOOK_PORT }],
      },
    },
    opts,
  );
}
