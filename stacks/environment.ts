import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { MachineSet } from "../components/contracts";
import { WORKFLOWS_NAMESPACE } from "../k8s/argo/argoWorkflows";
import { Cluster, type ClusterArgs } from "../k8s/cluster/cluster";
import { createGatewayDefinitions, GATEWAY_NAMESPACE } from "../k8s/gateway/gateway";
import { type Login, Platform } from "../k8s/platform/platform";
import { Access, type AccessOutput, homeAddress } from "./access";
import type { BundleLocation, Layer } from "./config";
import { Delivery, registryOf } from "./delivery";
import { createMachines } from "./machines";
import { bundleRegistry, imageRef, pins } from "./pins";
import { type EnvironmentSpec, SERVICE_PORTS } from "./spec";

/** What a stack exports. */
export interface EnvironmentOutputs {
  /** Admin kubeconfig, YAML; released when the cluster is usable. A secret. */
  readonly kubeconfig?: pulumi.Output<string>;
  /** Where each service answers; those for tunnels while the tunnel is open. */
  readonly urls?: pulumi.Output<Record<string, string>>;
  /** What `npm run access` makes tunnels and URLs of. */
  readonly access?: pulumi.Output<AccessOutput>;
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
  /** The last layer that is made. @default "delivery": all of them */
  readonly upTo?: Layer;
}

/**
 * One environment: machines -> Kubernetes -> platform -> delivery and its stages, composed here and nowhere else. The layers do not
 * know each other; what one hands to the next is a type of `components/contracts.ts`.
 */
export class Environment extends pulumi.ComponentResource {
  readonly outputs: EnvironmentOutputs;

  constructor(name: string, args: EnvironmentArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:stacks:Environment", name, {}, opts);
    const { spec, bundle } = args;
    const parent = { parent: this };

    const machines = createMachines("machines", spec, bundle, parent);
    const layer = layers.indexOf(args.upTo ?? "delivery");
    const cluster = layer < 1 ? undefined : createCluster(args, machines, parent);
    // All that is in the cluster ends with the machine it lives on: a destroy does not ask the API server.
    const inCluster = cluster && {
      ...parent,
      provider: cluster.access.provider,
      deletedWith: cluster.home.resource,
      dependsOn: [cluster],
    };
    const platform = layer < 2 || !cluster ? undefined : createPlatform(args, cluster, inCluster);
    const manifestsFolder = join(bundle.bundleDir, "manifests");
    const definitions =
      layer < 3 || !inCluster ? [] : createGatewayDefinitions("gateway-api", manifestsFolder, inCluster);
    const delivery =
      layer < 3 || !cluster || !platform || Object.keys(spec.stages).length === 0
        ? undefined
        : new Delivery("delivery", { spec, manifestsFolder, definitions, cluster, platform }, inCluster);
    const access =
      layer < 3 || !cluster
        ? undefined
        : new Access("access", { spec, definitions, cluster, stages: delivery?.stages ?? {} }, inCluster);

    this.outputs = {
      ...(cluster && { kubeconfig: cluster.access.kubeconfig }),
      ...(access && { urls: access.urls, access: access.output }),
      ...(platform && { credentials: credentialsOf(platform, delivery) }),
      nodes: Object.fromEntries(Object.entries(spec.nodes).map(([node, { address }]) => [node, address])),
      ssh: { config: machines.sshConfig, privateKey: machines.privateKey },
    };
    this.registerOutputs(this.outputs);
  }
}

const layers: readonly Layer[] = ["machines", "cluster", "platform", "delivery"];

function credentialsOf(
  platform: Platform,
  delivery: Delivery | undefined,
): pulumi.Output<Record<string, Login>> {
  return pulumi.secret(
    pulumi
      .all([platform.credentials, delivery?.credentials])
      .apply(([ofPlatform, ofDelivery]) => ({ ...ofPlatform, ...ofDelivery })),
  );
}

function createCluster(
  { spec, bundle }: EnvironmentArgs,
  machines: MachineSet,
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
      ...bundleSource(spec, bundle),
      registry: registryOf(spec),
    },
    opts,
  );
}

function createPlatform(
  { spec }: EnvironmentArgs,
  cluster: Cluster,
  opts: pulumi.ComponentResourceOptions | undefined,
): Platform {
  return new Platform(
    "platform",
    {
      images: {
        postgres: imageRef("postgres"),
        minio: imageRef("minio"),
        mc: imageRef("mc"),
        mlflow: imageRef("mlflow"),
      },
      storageClassName: cluster.storageClassName,
      allowedHosts: [pulumi.interpolate`${homeAddress(cluster)}:${SERVICE_PORTS.mlflow}`],
      ...spec.platform,
      // Those of delivery, whose volumes and users are the platform's.
      databases: { argo: { owner: "argo", namespaces: [WORKFLOWS_NAMESPACE] } },
      buckets: { "argo-artifacts": { user: "argo", namespaces: [WORKFLOWS_NAMESPACE] } },
      clients: {
        mlflow: { namespaces: [WORKFLOWS_NAMESPACE, GATEWAY_NAMESPACE] },
        minioConsole: { namespaces: [GATEWAY_NAMESPACE] },
      },
    },
    opts,
  );
}

/** Local machines see the bundle of this host. All others take it from a web server, or get a copy of it over SSH. */
function bundleSource(
  { infra, cluster }: EnvironmentSpec,
  { bundleDir }: BundleLocation,
): Pick<ClusterArgs, "bundle" | "bundleChecksum"> {
  if (infra.kind === "local") return {};
  const sums = join(bundleDir, "SHA256SUMS");
  return {
    bundle: cluster.bundleUrl === undefined ? { folder: bundleDir } : { url: cluster.bundleUrl },
    ...(existsSync(sums) && {
      bundleChecksum: createHash("sha256").update(readFileSync(sums)).digest("hex"),
    }),
  };
}
