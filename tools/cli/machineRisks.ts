import { homeNode } from "../../components/homeNode";
import type { EnvironmentSpec } from "../../stacks/spec";
import type { Change } from "./changes";
import { nodeOfMachine } from "./pending";

/** What a change of a machine means for the data on it. */
export interface MachineRisk {
  readonly node: string;
  /** True when data ends that nobody asked to give up. */
  readonly loses: boolean;
  readonly text: string;
}

/** Label of the nodes that keep volumes; k8s/cluster gives it to the first control plane when no node has it. */
const STORAGE_LABEL = "gourmetgram.dev/storage";

/** Properties whose change resizes an instance in place. */
const RESIZED_BY = /^flavor(Id|Name)$/;

/** For each machine that would be replaced, removed or resized: what becomes of what it holds. */
export function machineRisks(changes: readonly Change[], spec: EnvironmentSpec): MachineRisk[] {
  const home = homeNode(spec.nodes);
  const keepers = Object.keys(spec.nodes).filter((node) => spec.nodes[node]?.labels?.[STORAGE_LABEL]);
  const keepsVolumes = (node: string) => (keepers.length > 0 ? keepers.includes(node) : node === home);
  return changes.flatMap((change): MachineRisk[] => {
    const node = nodeOfMachine(change.urn);
    if (node === undefined) return [];
    const why = change.properties.length > 0 ? ` (${change.properties.join(", ")})` : "";
    if (change.op === "update") {
      return change.properties.some((property) => RESIZED_BY.test(property))
        ? [{ node, loses: false, text: `${node} is resized${why}: it restarts, its disk stays` }]
        : [];
    }
    if (change.op !== "replace" && change.op !== "delete") return [];
    const verb = change.op === "replace" ? "is made anew" : "is removed";
    if (node === home && change.op === "replace") {
      const uprooted = changes.some(({ op, type, urn }) => op === "replace" && isBelow(type, urn, node));
      const text = uprooted
        ? "its network changes too, so etcd and the volumes on it are lost"
        : "etcd and the volumes on it are taken along, it keeps its address; meanwhile the cluster does not answer";
      return [{ node, loses: uprooted, text: `${node} ${verb}${why}: ${text}` }];
    }
    if (keepsVolumes(node)) {
      return [{ node, loses: true, text: `${node} ${verb}${why}: the volumes on it are lost` }];
    }
    return [{ node, loses: false, text: `${node} ${verb}${why}: it is drained first, and holds no volumes` }];
  });
}

/** True for what a machine stands on: with a new one of it, the old machine ends without a word. */
function isBelow(type: string, urn: string, node: string): boolean {
  if (type === "gourmetgram:openstack:Lease" || type === "openstack:networking/network:Network") return true;
  return type === "openstack:networking/port:Port" && urn.includes(`::machines-${node}-`);
}

/** Lines for people; empty when nothing is at stake. */
export function renderRisks(risks: readonly MachineRisk[]): string {
  return risks.map(({ loses, text }) => `  ${loses ? "DATA LOSS" : "note     "}  ${text}`).join("\n");
}
