import type * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../components/contracts";
import type { Quantity } from "../components/quantity";

/** All stages there are, in the order a model goes through them. */
export const STAGES = ["staging", "canary", "production"] as const;

/** An app stack inside an environment. */
export type Stage = (typeof STAGES)[number];

/** Kinds of machines there are now; the discriminator of `infra`. */
export const INFRA_KINDS = ["local"] as const;

/** Machines as system containers on this Linux host. Costs memory and disk of the host, nothing else. */
export interface LocalInfraSpec {
  readonly kind: "local";
  /** IPv4 network of the machines, `/24` to `/16`, its first address is the gateway. Unique among environments. */
  readonly cidr: string;
  /** Memory limit of a machine that sets none itself. */
  readonly memory: Quantity;
}

/** One machine and the node it becomes. */
export interface EnvironmentNodeSpec extends NodeSpec {
  /** Memory limit of this machine. @default `infra.memory` */
  readonly memory?: Quantity;
}

/** Settings of Kubernetes itself. */
export interface ClusterSpec {
  /** Addresses of pods; each node takes a `/24` of it. */
  readonly podCidr: string;
  /** Addresses of Services; the tenth one is the cluster's DNS. */
  readonly serviceCidr: string;
  /** Kubernetes release, for example `v1.34.2`. */
  readonly version: string;
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
    /** Port of MLflow on every node. */
    readonly nodePort: number;
  };
  readonly minio: {
    /** Port of the S3 API on every node. */
    readonly nodePort: number;
    /** Port of the web console on every node. */
    readonly consoleNodePort: number;
  };
  readonly database: InternalDatabaseSpec | ExternalDatabaseSpec;
  readonly objectStore: InternalObjectStoreSpec | ExternalObjectStoreSpec;
}

/** Checked settings of one environment, every default filled in: one Pulumi stack, one graph, one cluster. */
export interface EnvironmentSpec {
  /** The Pulumi stack's name: a DNS-1123 label of at most 40 characters. */
  readonly name: string;
  readonly infra: LocalInfraSpec;
  /** Keyed by node name, so that removing one never renames the others. */
  readonly nodes: Readonly<Record<string, EnvironmentNodeSpec>>;
  readonly cluster: ClusterSpec;
  readonly platform: PlatformSpec;
  readonly stages: readonly Stage[];
}
