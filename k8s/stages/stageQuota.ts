import { parseBytes, parseCpu } from "../../components/quantity";
import { canonicalQuantity } from "../platform/canonicalQuantity";
import type { StageSize } from "./stageValues";

/**
 * What a stage may use at most: every pod twice, because those of the old version end while the new ones serve, and one
 * more, which a rollout starts first.
 */
export function renderQuota(size: StageSize): Record<string, string> {
  const pods = 2 * (size.autoscaling?.maxReplicas ?? size.replicas) + 1;
  const { requests, limits } = size.resources;
  return {
    pods: String(pods),
    "requests.cpu": cpu(requests.cpu, pods),
    "requests.memory": memory(requests.memory, pods),
    "limits.cpu": cpu(limits.cpu, pods),
    "limits.memory": memory(limits.memory, pods),
    // A stage keeps nothing.
    persistentvolumeclaims: "0",
    "services.loadbalancers": "0",
    "services.nodeports": "0",
  };
}

/** As the API server writes it: any other spelling would come back changed. */
function cpu(amount: string, times: number): string {
  const millis = Math.round((parseCpu(amount) ?? 0) * 1000) * times;
  return millis % 1000 === 0 ? String(millis / 1000) : `${millis}m`;
}

function memory(amount: string, times: number): string {
  const kibibytes = Math.ceil(((parseBytes(amount) ?? 0) * times) / 1024);
  return canonicalQuantity(`${kibibytes}Ki`);
}
