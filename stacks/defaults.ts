import { createHash } from "node:crypto";
import { kubernetesVersion } from "./pins";
import {
  type EnvironmentNodeSpec,
  type EnvironmentSpec,
  type LocalInfraSpec,
  STAGES,
  type StageSpec,
} from "./spec";

/** Kubernetes releases an environment can run: those the bundle holds. */
export const SUPPORTED_KUBERNETES_VERSIONS: readonly string[] = [kubernetesVersion];

/** Port and TLS mode of an external PostgreSQL that sets none, and the region of an external S3. */
export const EXTERNAL_DEFAULTS = {
  databasePort: 5432,
  databaseName: "mlflowdb",
  sslMode: "require",
  region: "us-east-1",
} as const;

/** An app stack that sets nothing. */
export const defaultStage: StageSpec = {
  replicas: 1,
  resources: { requests: { cpu: "200m", memory: "256Mi" }, limits: { cpu: "500m", memory: "512Mi" } },
};

/** An environment on OpenStack that sets nothing else: names as on Chameleon's KVM site. */
export const OPENSTACK_DEFAULTS = {
  cloud: "openstack",
  cidr: "192.168.1.0/24",
  sharedNetwork: "sharednet1",
  pool: "public",
  sources: ["0.0.0.0/0"],
  image: "CC-Ubuntu24.04",
  user: "cc",
  flavor: "m1.medium",
  spread: "none",
} as const;

/** A lease that sets nothing: a day, and an hour that must be left for an `up`. */
export const LEASE_DEFAULTS = { hours: 24, minimumMinutes: 60 } as const;

/** Machines that exist already. */
export const HOSTS_DEFAULTS = { cidr: "192.168.1.0/24", user: "root", port: 22 } as const;

/** Parts of settings that have a value only once their parent is set. */
export const DELIVERY_DEFAULTS = {
  chartPath: "chart",
  infraBranch: "main",
  appBranch: "main",
  trainBranch: "mlops",
  targetCpuPercent: 70,
} as const;

/**
 * Every default in one place: what an environment with an empty settings file is.
 * `nodes` is not here because its addresses follow `infra.cidr`: see `defaultNodes`.
 */
export function defaultSettings(
  stackName: string,
): Omit<EnvironmentSpec, "name" | "nodes" | "infra"> & { readonly infra: LocalInfraSpec } {
  return {
    infra: { kind: "local", cidr: defaultCidr(stackName), memory: "4Gi" },
    cluster: { podCidr: "10.244.0.0/16", serviceCidr: "10.96.0.0/16", version: kubernetesVersion },
    platform: {
      storage: { postgres: "5Gi", minio: "10Gi" },
      mlflow: { workers: 1 },
      database: { kind: "internal" },
      objectStore: { kind: "internal" },
    },
    delivery: {
      canaryPercent: 10,
      registry: { storage: "20Gi", keepTags: 10 },
      builds: { mode: "rootless" },
      git: { kind: "internal" },
      training: { schedule: "0 2 * * *", branch: "mlops" },
    },
    exposure: {
      production: "public",
      canary: "public",
      staging: "public",
      mlflow: "tunnel",
      "minio-console": "tunnel",
      "argo-workflows": "tunnel",
      argocd: "tunnel",
      git: "tunnel",
      webhook: "off",
    },
    stages: Object.fromEntries(STAGES.map((stage) => [stage, defaultStage])),
  };
}

/** One control plane that also runs workloads, and two workers, at .11, .12 and .13 of `cidr`. */
export function defaultNodes(cidr: string): Readonly<Record<string, EnvironmentNodeSpec>> {
  const prefix = cidr.split(".").slice(0, 3).join(".");
  return {
    node1: { role: "controlPlane", address: `${prefix}.11` },
    node2: { role: "worker", address: `${prefix}.12` },
    node3: { role: "worker", address: `${prefix}.13` },
  };
}

/**
 * A network of its own for every environment, the same on every run: `local` has 10.87.0.0/24, others one of
 * 25600 networks chosen by their name. 10.100 to 10.199 is clear of the default pod and service networks.
 */
export function defaultCidr(stackName: string): string {
  if (stackName === "local") {
    return "10.87.0.0/24";
  }
  const hash = createHash("sha256").update(stackName).digest();
  return `10.${100 + (hash.readUInt16BE(0) % 100)}.${hash.readUInt8(2)}.0/24`;
}
