import type * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../components/contracts";
import type { Quantity } from "../components/quantity";
import type { HostsNodeSpec, HostsSpec } from "../infra/hosts/spec";
import type { OpenStackNodeSpec, OpenStackSpec } from "../infra/openstack/spec";

/** All stages there are, in the order a model goes through them. */
export const STAGES = ["staging", "canary", "production"] as const;

/** An app stack inside an environment. */
export type Stage = (typeof STAGES)[number];

/** True for the name of a stage. */
export function isStage(name: string): name is Stage {
  return STAGES.some((stage) => stage === name);
}

/** What a person can connect to, with the port on the gateway: the product's ports, not settings. */
export const SERVICE_PORTS = {
  production: 80,
  canary: 8080,
  staging: 8081,
  mlflow: 8000,
  "minio-console": 9001,
  "argo-workflows": 2746,
  argocd: 8888,
  git: 3000,
  webhook: 12000,
} as const;

/** A service behind the gateway. */
export type Service = keyof typeof SERVICE_PORTS;

/** From where a service is reached: everywhere, through an SSH tunnel, or not at all. */
export const EXPOSURES = ["public", "tunnel", "off"] as const;
export type Exposure = (typeof EXPOSURES)[number];

/** Kinds of machines; the discriminator of `infra`. */
export const INFRA_KINDS = ["local", "openstack", "hosts"] as const;
export type InfraKind = (typeof INFRA_KINDS)[number];

/** Machines as system containers on this Linux host. Costs memory and disk of the host, nothing else. */
export interface LocalInfraSpec {
  readonly kind: "local";
  /** IPv4 network of the machines, `/24` to `/16`, its first address is the gateway. Unique among environments. */
  readonly cidr: string;
  /** Memory limit of a machine that sets none itself. */
  readonly memory: Quantity;
}

/** Virtual machines of an OpenStack project. */
export interface OpenStackInfraSpec extends OpenStackSpec {
  readonly kind: "openstack";
}

/** Machines that exist already, over SSH. */
export interface HostsInfraSpec extends HostsSpec {
  readonly kind: "hosts";
}

export type InfraSpec = LocalInfraSpec | OpenStackInfraSpec | HostsInfraSpec;

/** A machine on this host, and the node it becomes. */
export interface LocalEnvironmentNodeSpec extends NodeSpec {
  /** Memory limit of this machine. @default `infra.memory` */
  readonly memory?: Quantity;
}

/** One machine and the node it becomes; what else than a node it may set follows from `infra.kind`. */
export type EnvironmentNodeSpec = LocalEnvironmentNodeSpec | OpenStackNodeSpec | HostsNodeSpec;

/** Settings of Kubernetes itself. */
export interface ClusterSpec {
  /** Addresses of pods; each node takes a `/24` of it. */
  readonly podCidr: string;
  /** Addresses of Services; the tenth one is the cluster's DNS. */
  readonly serviceCidr: string;
  /** Kubernetes release, for example `v1.34.2`. */
  readonly version: string;
  /**
   * Folder on a web server with the bundle, `npm run bundle` says which: nodes take it from there. Not for `local`, whose machines
   * see the bundle of this host. @default none: it is copied to the first control plane over SSH, and the others take it from there
   */
  readonly bundleUrl?: string;
}

/** PostgreSQL inside the cluster. */
export interface InternalDatabaseSpec {
  readonly kind: "internal";
}

/** TLS modes of libpq that may be set. */
export const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"] as const;

/** A PostgreSQL that exists already; the environment makes none then. */
export interface ExternalDatabaseSpec {
  readonly kind: "external";
  /** DNS name or IP address. */
  readonly host: string;
  readonly port: number;
  /** Database, which must exist. */
  readonly name: string;
  readonly username: string;
  readonly password: pulumi.Output<string>;
  readonly sslMode: (typeof SSL_MODES)[number];
}

/** MinIO inside the cluster. */
export interface InternalObjectStoreSpec {
  readonly kind: "internal";
}

/** An S3 that exists already; the environment makes no MinIO then. */
export interface ExternalObjectStoreSpec {
  readonly kind: "external";
  /** URL with scheme, for example `https://s3.eu-west-1.amazonaws.com`. */
  readonly endpoint: string;
  /** Bucket, which must exist. */
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: pulumi.Output<string>;
}

/** PostgreSQL, object store and MLflow. */
export interface PlatformSpec {
  /** Sizes of the volumes made for internal services; fixed for the life of an environment. */
  readonly storage: { readonly postgres: Quantity; readonly minio: Quantity };
  readonly mlflow: {
    /** Server processes in the one MLflow pod. */
    readonly workers: number;
  };
  readonly database: InternalDatabaseSpec | ExternalDatabaseSpec;
  readonly objectStore: InternalObjectStoreSpec | ExternalObjectStoreSpec;
}

/** What one app stack asks for. */
export interface StageSpec {
  /** Pods; with `autoscaling` the least number of them. */
  readonly replicas: number;
  /** Of each pod. */
  readonly resources: {
    readonly requests: { readonly cpu: Quantity; readonly memory: Quantity };
    readonly limits: { readonly cpu: Quantity; readonly memory: Quantity };
  };
  /** Horizontal autoscaling by CPU. @default none */
  readonly autoscaling?: {
    readonly maxReplicas: number;
    /** Average use of the CPU request at which pods are added, percent. */
    readonly targetCpuPercent: number;
  };
}

/** The Git server inside the cluster, seeded with the project's chart and samples. */
export interface InternalGitSpec {
  readonly kind: "internal";
}

/** A Git repository that exists already. */
export interface GitRepositorySpec {
  /** HTTP(S) URL without credentials. */
  readonly url: string;
  readonly branch: string;
}

/** Git repositories that exist already, for example forks on GitHub. */
export interface ExternalGitSpec {
  readonly kind: "external";
  /** Holds the chart of the stages in the folder `path`. */
  readonly infra: GitRepositorySpec & { readonly path: string };
  readonly app: GitRepositorySpec;
  readonly train: GitRepositorySpec;
}

/** Modes of the image builder; `root` is for kernels that refuse user namespaces inside pods. */
export const BUILD_MODES = ["rootless", "root"] as const;

/** Registry, builds, Git and Argo. */
export interface DeliverySpec {
  /** Share of production's requests that a healthy canary gets, percent. */
  readonly canaryPercent: number;
  readonly registry: {
    /** Size of the volume; fixed for the life of an environment. */
    readonly storage: Quantity;
    /** Newest tags of each repository that the nightly clean-up keeps, besides those in use. */
    readonly keepTags: number;
  };
  readonly builds: { readonly mode: (typeof BUILD_MODES)[number] };
  readonly git: InternalGitSpec | ExternalGitSpec;
  readonly training: {
    /** Cron expression, UTC. */
    readonly schedule: string;
    /** Branch of the training repository. */
    readonly branch: string;
  };
}

/** Checked settings of one environment, every default filled in: one Pulumi stack, one graph, one cluster. */
export interface EnvironmentSpec {
  /** The Pulumi stack's name: a DNS-1123 label of at most 40 characters. */
  readonly name: string;
  /** Where machines come from. */
  readonly infra: InfraSpec;
  /** Keyed by node name, so that removing one never renames the others. */
  readonly nodes: Readonly<Record<string, EnvironmentNodeSpec>>;
  readonly cluster: ClusterSpec;
  readonly platform: PlatformSpec;
  readonly delivery: DeliverySpec;
  /** From where each service is reached. */
  readonly exposure: Readonly<Record<Service, Exposure>>;
  /** The stages there are, any of the three. */
  readonly stages: Readonly<Partial<Record<Stage, StageSpec>>>;
}

/** An environment of one kind of machines: its nodes were read by that kind. */
type EnvironmentOf<Infra extends InfraSpec, Node extends EnvironmentNodeSpec> = EnvironmentSpec & {
  readonly infra: Infra;
  readonly nodes: Readonly<Record<string, Node>>;
};
export type LocalEnvironmentSpec = EnvironmentOf<LocalInfraSpec, LocalEnvironmentNodeSpec>;
export type OpenStackEnvironmentSpec = EnvironmentOf<OpenStackInfraSpec, OpenStackNodeSpec>;
export type HostsEnvironmentSpec = EnvironmentOf<HostsInfraSpec, HostsNodeSpec>;

export function isLocal(spec: EnvironmentSpec): spec is LocalEnvironmentSpec {
  return spec.infra.kind === "local";
}

export function isOpenStack(spec: EnvironmentSpec): spec is OpenStackEnvironmentSpec {
  return spec.infra.kind === "openstack";
}

export function isHosts(spec: EnvironmentSpec): spec is HostsEnvironmentSpec {
  return spec.infra.kind === "hosts";
}

/** TCP ports on the edge node that everybody may reach. */
export function publicPorts(spec: EnvironmentSpec): number[] {
  return (Object.keys(SERVICE_PORTS) as Service[])
    .filter((service) => spec.exposure[service] === "public")
    .filter((service) => !isStage(service) || spec.stages[service] !== undefined)
    .map((service) => SERVICE_PORTS[service]);
}
