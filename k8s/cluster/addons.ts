import * as pulumi from "@pulumi/pulumi";
import { parse, stringify } from "yaml";
import { createManifest, type KubernetesObject, readManifest } from "../../components/manifest";

export interface AddonImages {
  readonly localPathProvisioner: string;
  /** Image with a shell, `mkdir` and `rm`, run by the provisioner. */
  readonly localPathHelper: string;
  readonly metricsServer: string;
}

export interface AddonsArgs {
  readonly images: AddonImages;
  /** Folder with `local-path.yaml` and `metrics-server.yaml` of the upstream releases. */
  readonly manifestsFolder: string;
  /** Label of the nodes on which volumes may lie. */
  readonly storageLabel: string;
}

/** Name of the default storage class. */
export const storageClassName = "local-path";

/**
 * What a cluster needs before it is of use: a default storage class (local-path) and resource metrics. DNS is kubeadm's.
 *
 * Waits for: the pod network and the nodes. Costs: about 60 MiB of memory. Volumes are folders of the nodes that bear
 * the storage label: a node without it can be replaced and loses nothing.
 */
export class Addons extends pulumi.ComponentResource {
  /** Resolves when the storage class can be used and metrics are served. */
  readonly ready: pulumi.Output<string>;

  constructor(name: string, args: AddonsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:Addons", name, {}, opts);
    const parent = { parent: this };
    const storage = createManifest(
      `${name}-storage`,
      "local-path-provisioner",
      readManifest(`${args.manifestsFolder}/local-path.yaml`).map((object) => adaptStorage(object, args)),
      parent,
    );
    const metrics = createManifest(
      `${name}-metrics`,
      "metrics-server",
      readManifest(`${args.manifestsFolder}/metrics-server.yaml`).map((object) => adaptMetrics(object, args)),
      parent,
    );
    this.ready = pulumi
      .all([...Object.values(storage), ...Object.values(metrics)].map((resource) => resource.id))
      .apply((ids) => ids.join(" "));
    this.registerOutputs({});
  }
}

const limits = { requests: { cpu: "20m", memory: "32Mi" }, limits: { memory: "128Mi" } };

/** The upstream manifest with our images, volumes on the storage nodes only, and the class as the default one. */
export function adaptStorage(object: KubernetesObject, args: AddonsArgs): KubernetesObject {
  switch (object.kind) {
    case "Namespace":
      // The provisioner's helper makes folders on the node: hostPath, which no stricter level allows.
      return withLabels(object, { "pod-security.kubernetes.io/enforce": "privileged" });
    case "Deployment":
      return withPodSpec(object, (spec) => ({
        ...spec,
        containers: spec.containers.map((container: object) => ({
          ...container,
          image: args.images.localPathProvisioner,
          imagePullPolicy: "IfNotPresent",
          resources: limits,
        })),
      }));
    case "StorageClass":
      return {
        ...object,
        metadata: {
          ...object.metadata,
          annotations: {
            ...object.metadata.annotations,
            "storageclass.kubernetes.io/is-default-class": "true",
          },
        },
        allowedTopologies: [{ matchLabelExpressions: [{ key: args.storageLabel, values: ["true"] }] }],
      };
    case "ConfigMap": {
      const helper = parse(object.data["helperPod.yaml"]) as KubernetesObject;
      for (const container of helper.spec.containers) {
        container.image = args.images.localPathHelper;
        container.imagePullPolicy = "IfNotPresent";
      }
      return { ...object, data: { ...object.data, "helperPod.yaml": stringify(helper) } };
    }
    default:
      return object;
  }
}

/**
 * The upstream manifest with our image, and the kubelets' certificates verified against the cluster's authority. The
 * selector is written out: in the module's `manifests/` it is kustomize that adds it, in the release it is there.
 */
export function adaptMetrics(object: KubernetesObject, args: AddonsArgs): KubernetesObject {
  const selector = { "k8s-app": "metrics-server" };
  if (object.kind === "Service") return { ...object, spec: { ...object.spec, selector } };
  if (object.kind !== "Deployment") return object;
  const adapted = withPodSpec(object, (spec) => ({
    ...spec,
    containers: spec.containers.map((container: KubernetesObject) => ({
      ...container,
      image: args.images.metricsServer,
      imagePullPolicy: "IfNotPresent",
      args: [
        "--cert-dir=/tmp",
        "--secure-port=10250",
        "--kubelet-preferred-address-types=InternalIP",
        "--kubelet-use-node-status-port",
        "--kubelet-certificate-authority=/etc/kubelet-ca/ca.crt",
        "--metric-resolution=15s",
      ],
      resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { memory: "256Mi" } },
      // Asked every two seconds from the start: it is Ready with its first scrape, and the upstream's 20 s are a guess.
      readinessProbe: {
        ...container.readinessProbe,
        initialDelaySeconds: 2,
        periodSeconds: 2,
        failureThreshold: 15,
      },
      volumeMounts: [...(container.volumeMounts ?? []), { name: "kubelet-ca", mountPath: "/etc/kubelet-ca" }],
    })),
    volumes: [...(spec.volumes ?? []), { name: "kubelet-ca", configMap: { name: "kube-root-ca.crt" } }],
  }));
  const { template } = adapted.spec;
  return {
    ...adapted,
    spec: {
      ...adapted.spec,
      selector: { matchLabels: selector },
      template: {
        ...template,
        metadata: { ...template.metadata, labels: { ...template.metadata?.labels, ...selector } },
      },
    },
  };
}

function withLabels(object: KubernetesObject, added: Record<string, string>): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, labels: { ...object.metadata.labels, ...added } } };
}

// biome-ignore lint/suspicious/noExplicitAny: a pod spec as the manifest has it.
function withPodSpec(object: KubernetesObject, change: (spec: any) => any): KubernetesObject {
  const template = object.spec.template;
  return { ...object, spec: { ...object.spec, template: { ...template, spec: change(template.spec) } } };
}
