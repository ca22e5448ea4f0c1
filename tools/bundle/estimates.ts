import { cpus } from "node:os";

/**
 * What making an artifact from source takes: seconds on two cores with nothing cached, measured, and MB of disk that
 * its finished folder keeps.
 */
interface Estimate {
  readonly seconds: number;
  readonly megabytes: number;
}

const measured: Readonly<Record<string, Estimate>> = {
  kubernetes: { seconds: 360, megabytes: 560 },
  etcd: { seconds: 17, megabytes: 27 },
  etcdctl: { seconds: 3, megabytes: 18 },
  "machine-rootfs": { seconds: 50, megabytes: 310 },
  cni: { seconds: 4, megabytes: 46 },
  busybox: { seconds: 5, megabytes: 2 },
  pause: { seconds: 1, megabytes: 1 },
  debian: { seconds: 40, megabytes: 25 },
  "debian-netfilter": { seconds: 10, megabytes: 2 },
  "debian-postgres": { seconds: 25, megabytes: 22 },
  "debian-mlflow": { seconds: 130, megabytes: 190 },
  coredns: { seconds: 55, megabytes: 55 },
  flannel: { seconds: 55, megabytes: 46 },
  "local-path-provisioner": { seconds: 57, megabytes: 43 },
  "metrics-server": { seconds: 200, megabytes: 58 },
  minio: { seconds: 114, megabytes: 112 },
  mc: { seconds: 22, megabytes: 31 },
  rootlesskit: { seconds: 6, megabytes: 10 },
  crane: { seconds: 6, megabytes: 12 },
  buildkit: { seconds: 150, megabytes: 69 },
  registry: { seconds: 50, megabytes: 25 },
  "nats-server": { seconds: 15, megabytes: 14 },
  traefik: { seconds: 150, megabytes: 94 },
  "argo-workflows": { seconds: 215, megabytes: 193 },
  argo: { seconds: 20, megabytes: 109 },
  "argo-events": { seconds: 150, megabytes: 106 },
  kustomize: { seconds: 12, megabytes: 16 },
  helm: { seconds: 75, megabytes: 57 },
  argocd: { seconds: 190, megabytes: 190 },
  "debian-git": { seconds: 8, megabytes: 9 },
  "debian-buildkit": { seconds: 6, megabytes: 4 },
  "debian-nginx": { seconds: 6, megabytes: 3 },
  "debian-git-server": { seconds: 10, megabytes: 8 },
  "debian-python": { seconds: 21, megabytes: 19 },
  "debian-python-wheels": { seconds: 18, megabytes: 121 },
  "debian-pipeline": { seconds: 38, megabytes: 36 },
  "debian-redis": { seconds: 6, megabytes: 2 },
  "debian-argocd": { seconds: 6, megabytes: 2 },
  "image-buildkit": { seconds: 3, megabytes: 60 },
  "image-python-wheels": { seconds: 1, megabytes: 121 },
  "image-base-images": { seconds: 5, megabytes: 168 },
  "image-pipeline": { seconds: 4, megabytes: 95 },
  "image-traefik": { seconds: 4, megabytes: 53 },
  "image-argocd": { seconds: 5, megabytes: 87 },
  "image-mlflow": { seconds: 4, megabytes: 215 },
  bundle: { seconds: 4, megabytes: 1 },
  machine: { seconds: 50, megabytes: 3800 },
};

/** Compiler and module caches at their largest, in MB; dropped when everything is built. */
export const compilerCacheMegabytes = 17000;

/** Unpacked root file systems while layers are made, in MB. */
export const scratchMegabytes = 2000;

/** Cores the estimates were measured on; more help the compiler, fewer hurt. */
const measuredCores = 2;

/** Seconds to make `name` on this machine. */
export function estimateSeconds(name: string, cores = cpus().length): number {
  const scale = measuredCores / Math.min(Math.max(cores, 1), 8);
  return Math.ceil((measured[name]?.seconds ?? 3) * scale);
}

/** MB that stay on disk. */
export function estimateMegabytes(name: string): number {
  return measured[name]?.megabytes ?? 22;
}
