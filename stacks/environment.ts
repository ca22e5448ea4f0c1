import { basename, dirname, join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { LocalMachines } from "../infra/local/machines";
import { Cluster } from "../k8s/cluster/cluster";
import { type Login, Platform } from "../k8s/platform/platform";
import { StageNamespace } from "../k8s/stages/stageNamespace";
import type { BundleLocation, Layer } from "./config";
import { bundleRegistry, imageRef, pins } from "./pins";
import { type EnvironmentSpec, SERVICE_PORTS } from "./spec";

/** What a stack exports. */
export interface EnvironmentOutputs {
  /** Admin kubeconfig, YAML; released when the cluster is usable. A secret. */
  readonly kubeconfig?: pulumi.Output<string>;
  /** Where each service answers. */
  readonly urls?: pulumi.Output<Record<string, string>>;
  /** User name and password of each service. A secret. */
  readonly credentials?: pulumi.Output<Record<string, Login>>;
  /** Address of each node. */
  readonly nodes: Readonly<Record<string, string>>;
  /** OpenSSH client configuration of all nodes, and the key it names. The key is a secret. */
  readonly ssh: { readonly config: pulumi.Output<string>; readonly privateKey: pulumi.Output<string> };
}

export interface EnvironmentArgs {
  readonly spec: EnvironmentSpec;
  readonly bundle: BundleLocation;
  /** The last layer that is made. @default "platform": all of them */
  readonly upTo?: Layer;
}

/**
 * One environment: machines -> Kubernetes -> platform and stages, composed here and nowhere else. The layers do not
 * know each other; what one hands to the next is a type of `components/contracts.ts`.
 */
export class Environment extends pulumi.ComponentResource {
  readonly outputs: EnvironmentOutputs;

  constructor(name: string, args: EnvironmentArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:stacks:Environment", name, {}, opts);
    const { spec, bundle } = args;
    const parent = { parent: this };

    const machines = new LocalMachines(
      "machines",
      {
        environment: spec.name,
        cidr: spec.infra.cidr,
        memory: spec.infra.memory,
        nodes: spec.nodes,
        imageDir: bundle.machineDir,
        bundlesDir: dirname(bundle.bundleDir),
      },
      parent,
    );
    const layer = layers.indexOf(args.upTo ?? "platform");
    const cluster = layer < 1 ? undefined : createCluster(args, machines, parent);
    const platform = layer < 2 || !cluster ? undefined : createPlatform(args, cluster, parent);

    this.outputs = {
      ...(cluster && { kubeconfig: cluster.access.kubeconfig }),
      ...(platform && { credentials: pulumi.secret(platform.credentials) }),
      nodes: Object.fromEntries(Object.entries(spec.nodes).map(([node, { address }]) => [node, address])),
      ssh: { config: machines.sshConfig, privateKey: machines.privateKey },
    };
    this.registerOutputs(this.outputs);
  }
}

const layers: readonly Layer[] = ["machines", "cluster", "platform"];

function createCluster(
  { spec, bundle }: EnvironmentArgs,
  machines: LocalMachines,
  opts: pulumi.ComponentResourceOptions,
): Cluster {
  return new Cluster(
    "cluster",
    {
      clusterName: spec.name,
      machines: machines.machines,
      kubernetesVersion: spec.cluster.version,
      podCidr: spec.cluster.podCidr,
      serviceCidr: spec.cluster.serviceCidr,
      imageRepository: bundleRegistry,
      etcdTag: pins["image-etcd"].version,
      corednsTag: pins["image-coredns"].version,
      images: {
        pause: imageRef("pause"),
        flannel: imageRef("flannel"),
        localPathProvisioner: imageRef("local-path-provisioner"),
        localPathHelper: imageRef("busybox"),
        metricsServer: imageRef("metrics-server"),
      },
      manifestsFolder: join(bundle.bundleDir, "manifests"),
      bundleKey: basename(bundle.bundleDir),
    },
    opts,
  );
}

function createPlatform(
  { spec }: EnvironmentArgs,
  cluster: Cluster,
  opts: pulumi.ComponentResourceOptions,
): Platform {
  // All that is in the cluster ends with the machine it lives on: a destroy does not ask the API server.
  const inCluster = {
    ...opts,
    provider: cluster.access.provider,
    deletedWith: cluster.home.resource,
    dependsOn: [cluster],
  };
  const platform = new Platform(
    "platform",
    {
      images: {
        postgres: imageRef("postgres"),
        minio: imageRef("minio"),
        mc: imageRef("mc"),
        mlflow: imageRef("mlflow"),
      },
      storageClassName: cluster.storageClassName,
      allowedHosts: [`${cluster.home.spec.address}:${SERVICE_PORTS.mlflow}`],
      ...spec.platform,
    },
    inCluster,
  );
  for (const stage of Object.keys(spec.stages)) new StageNamespace(`stage-${stage}`, { stage }, inCluster);
  return platform;
}
