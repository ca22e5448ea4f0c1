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
  kubernetes: { seconds: 370, megabytes: 560 },
  etcd: { seconds: 20, megabytes: 25 },
  etcdctl: { seconds: 5, megabytes: 18 },
  "machine-rootfs": { seconds: 60, megabytes: 380 },
  cni: { seconds: 15, megabytes: 50 },
  busybox: { seconds: 10, megabytes: 2 },
  pause: { seconds: 1, megabytes: 1 },
  debian: { seconds: 25, megabytes: 40 },
  "debian-netfilter": { seconds: 15, megabytes: 5 },
  "debian-postgres": { seconds: 30, megabytes: 30 },
  "debian-mlflow": { seconds: 180, megabytes: 250 },
  coredns: { seconds: 60, megabytes: 50 },
  flannel: { seconds: 45, megabytes: 40 },
  "local-path-provisioner": { seconds: 60, megabytes: 40 },
  "metrics-server": { seconds: 100, megabytes: 60 },
  minio: { seconds: 115, megabytes: 110 },
  mc: { seconds: 60, megabytes: 30 },
  "image-mlflow": { seconds: 5, megabytes: 280 },
  bundle: { seconds: 3, megabytes: 1 },
  machine: { seconds: 60, megabytes: 1900 },
};

/** Compiler and module caches at their largest, in MB; dropped when everything is built. */
export const compilerCacheMegabytes = 9000;

/** Cores the estimates were measured on; more help the compiler, fewer hurt. */
const measuredCores = 2;

/** Seconds to make `name` on this machine. */
export function estimateSeconds(name: string, cores = cpus().length): number {
  const scale = measuredCores / Math.min(Math.max(cores, 1), 8);
  return Math.ceil((measured[name]?.seconds ?? 3) * scale);
}

/** MB that stay on disk. */
export function estimateMegabytes(name: string): number {
  return measured[name]?.megabytes ?? 30;
}
