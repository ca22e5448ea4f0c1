import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import type { Quantity } from "../../components/quantity";
import { canonicalQuantity } from "./canonicalQuantity";
import { restrictedContainer, restrictedPod } from "./restricted";

type Container = k8s.types.input.core.v1.Container;
type Volume = k8s.types.input.core.v1.Volume;

export interface StatefulServiceArgs {
  /** Must allow the Pod Security level `restricted`. */
  readonly namespace: pulumi.Input<string>;
  /** Whose labels all objects bear; `name` is the Kubernetes name of the Service, the StatefulSet and the account. Shape: plain. */
  readonly application: LabelArgs;
  /** Ports by name, the same on the Service and in the pod unless both are given. Shape: plain. */
  readonly ports: Readonly<Record<string, number | { readonly service: number; readonly pod: number }>>;
  /** User and group of the processes, and group of the volume. */
  readonly uid: number;
  /** Size of the volume, which is named `data`. */
  readonly storage: Quantity;
  /** @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
  /** Annotations of the pod, such as the checksum of what it reads at start. @default none */
  readonly annotations?: Readonly<Record<string, pulumi.Input<string>>>;
  /** Seconds the processes have to end. */
  readonly terminationGracePeriodSeconds: number;
  /** Containers that run, one after the other, before the others. @default none */
  readonly initContainers?: readonly Container[];
  /** Without security context, pull policy and ports: those are given by this function; the ports go to the first one. */
  readonly containers: readonly Container[];
  /** Volumes beside `data`. @default none */
  readonly volumes?: readonly Volume[];
}

/** What `createStatefulService` made. */
export interface StatefulService {
  readonly service: k8s.core.v1.Service;
  /** Ready when the pod is. */
  readonly server: k8s.apps.v1.StatefulSet;
  /** Kubernetes name of the account, which has no rights; setup jobs use it too. */
  readonly serviceAccountName: pulumi.Output<string>;
}

/**
 * One pod with one volume that outlives it, its Service, and an account without rights: the shape of every server here
 * that keeps data. Never two pods on one volume: a StatefulSet ends the old one first.
 *
 * @param name prefix of the resources; the parent comes with `opts`
 */
export function createStatefulService(
  name: string,
  args: StatefulServiceArgs,
  opts: pulumi.CustomResourceOptions,
): StatefulService {
  const { application } = args;
  const metadata = (objectName: string) => ({
    name: objectName,
    namespace: args.namespace,
    labels: labels(application),
  });
  const account = new k8s.core.v1.ServiceAccount(
    name,
    { metadata: metadata(application.name), automountServiceAccountToken: false },
    opts,
  );
  const createService = (resource: string, objectName: string, headless: boolean) =>
    new k8s.core.v1.Service(
      resource,
      {
        metadata: metadata(objectName),
        spec: {
          ...(headless ? { clusterIP: "None" } : {}),
          selector: selectorLabels(application),
          ports: Object.entries(args.ports).map(([port, number]) => ({
            name: port,
            port: typeof number === "number" ? number : number.service,
            targetPort: port,
          })),
        },
      },
      opts,
    );
  const service = createService(name, application.name, false);
  createService(`${name}-headless`, `${application.name}-headless`, true);
  const server = new k8s.apps.v1.StatefulSet(
    name,
    {
      metadata: metadata(application.name),
      spec: {
        replicas: 1,
        serviceName: `${application.name}-headless`,
        selector: { matchLabels: selectorLabels(application) },
        template: {
          metadata: {
            labels: labels(application),
            ...(args.annotations ? { annotations: { ...args.annotations } } : {}),
          },
          spec: {
            ...restrictedPod(args.uid),
            serviceAccountName: account.metadata.name,
            terminationGracePeriodSeconds: args.terminationGracePeriodSeconds,
            ...(args.initContainers ? { initContainers: args.initContainers.map(hardened) } : {}),
            containers: args.containers.map(hardened).map((container, index) => ({
              ...container,
              ...(index === 0 ? { ports: containerPorts(args.ports) } : {}),
            })),
            volumes: [...(args.volumes ?? [])],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: "data", labels: labels(application) },
            spec: {
              accessModes: ["ReadWriteOnce"],
              storageClassName: args.storageClassName,
              resources: { requests: { storage: canonicalQuantity(args.storage) } },
            },
          },
        ],
      },
    },
    { ...opts, customTimeouts: { create: "10m", update: "10m", delete: "5m" } },
  );
  return { service, server, serviceAccountName: account.metadata.name };
}

function hardened(container: Container): Container {
  return { ...container, imagePullPolicy: "IfNotPresent", securityContext: restrictedContainer };
}

function containerPorts(ports: StatefulServiceArgs["ports"]): k8s.types.input.core.v1.ContainerPort[] {
  return Object.entries(ports).map(([name, port]) => ({
    name,
    containerPort: typeof port === "number" ? port : port.pod,
  }));
}
