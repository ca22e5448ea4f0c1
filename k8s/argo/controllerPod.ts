import type { types } from "@pulumi/kubernetes";
import { restrictedPod } from "../platform/restricted";

type PodSpec = types.input.core.v1.PodSpec;
type Container = types.input.core.v1.Container;

/** Ports of the API server: of its Service, and of the control planes behind it. */
export const API_SERVER_PORTS = [443, 6443] as const;

/** Seconds on a node that does not answer before the pod is made elsewhere; Kubernetes' own default is 300. */
const EVICTION_SECONDS = 30;

/** A restricted pod that talks to the Kubernetes API, and is not missed for long when its node is lost. */
export function controllerPod(
  uid: number,
): Pick<PodSpec, "automountServiceAccountToken" | "enableServiceLinks" | "securityContext" | "tolerations"> {
  return { ...restrictedPod(uid), automountServiceAccountToken: true, tolerations: quickEviction() };
}

/** Tolerations that end soon after the node stopped answering. Only for pods without a volume of that node. */
export function quickEviction(): types.input.core.v1.Toleration[] {
  return ["not-ready", "unreachable"].map((condition) => ({
    key: `node.kubernetes.io/${condition}`,
    operator: "Exists",
    effect: "NoExecute",
    tolerationSeconds: EVICTION_SECONDS,
  }));
}

/** An HTTP endpoint as all three probes: asked every second until it answers, then seldom. */
export function httpProbes(
  path: string,
  port: number,
): Pick<Container, "startupProbe" | "readinessProbe" | "livenessProbe"> {
  const ask = { httpGet: { path, port }, timeoutSeconds: 5 };
  return {
    startupProbe: { ...ask, periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: { ...ask, periodSeconds: 10 },
    // Patient: on a machine with too much to do, killing what is slow makes it worse.
    livenessProbe: { ...ask, periodSeconds: 20, failureThreshold: 6 },
  };
}

/**
 * Resources of a Go program. The runtime is told to stay well below the limit, so that it collects garbage instead of being
 * killed; without that a heap may grow to twice of what it holds.
 */
export function goResources(size: {
  /** Requested CPU, millicores. */
  readonly cpu: number;
  /** Requested memory, MiB. */
  readonly memory: number;
  /** Memory limit, MiB. */
  readonly limit: number;
}): { readonly resources: Container["resources"]; readonly memoryLimit: { name: string; value: string } } {
  return {
    resources: {
      requests: { cpu: `${size.cpu}m`, memory: `${size.memory}Mi` },
      limits: { cpu: "1", memory: `${size.limit}Mi` },
    },
    memoryLimit: { name: "GOMEMLIMIT", value: `${Math.round(size.limit * 0.75)}MiB` },
  };
}
