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
  "image-mlflow": { seconds: 4, megabytes: 215 },
  bundle: { seconds: 2, megabytes: 1 },
  machine: { seconds: 35, megabytes: 1900 },
};

/** Compiler and module caches at their largest, in MB; dropped when everything is built. */
export const compilerCacheMegabytes = 9000;

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
