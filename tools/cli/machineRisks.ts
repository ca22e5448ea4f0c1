import { homeNode } from "../../components/homeNode";
import { storageNodes } from "../../components/storageNodes";
import { DEFAULT_POOL } from "../../infra/openstack/spec";
import { type EnvironmentSpec, isOpenStack } from "../../stacks/spec";
import type { Change } from "./changes";
import { nodeOfMachine } from "./pending";

/** What a change of a machine means for the data on it. */
export interface MachineRisk {
  readonly node: string;
  /** True when data ends that nobody asked to give up. */
  readonly loses: boolean;
  readonly text: string;
}

/** True for a change that makes a machine, the first one of a node or another. */
export function makesMachine({ op, urn }: Change): boolean {
  return (op === "create" || op === "replace") && nodeOfMachine(urn) !== undefined;
}

/** Properties whose change resizes an instance in place. */
const RESIZED_BY = /^flavor(Id|Name)$/;

/** For each machine that would be replaced, removed or resized: what becomes of what it holds. In the order of the nodes' names. */
export function machineRisks(changes: readonly Change[], spec: EnvironmentSpec): MachineRisk[] {
  return risksOf(changes, spec).sort((a, b) => (a.node < b.node ? -1 : 1));
}

function risksOf(changes: readonly Change[], spec: EnvironmentSpec): MachineRisk[] {
  const home = homeNode(spec.nodes);
  const keepers = storageNodes(spec.nodes);
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
    const lease = change.op === "replace" ? changes.find((other) => isLeaseOf(other, node, spec)) : undefined;
    if (lease?.properties.includes("amount")) {
      return [
        { node, loses: true, text: `${node} ${verb}: its lease is made anew for more instances, ${WAY_OUT}` },
      ];
    }
    if (node === home && change.op === "replace") {
      const network = changes.some((other) => isBelow(other, node));
      const uprooted = network || lease !== undefined;
      const cause = network ? "its network changes too" : "its lease is made anew";
      const text = uprooted
        ? `${cause}, so etcd and the volumes on it are lost`
        : "etcd and the volumes on it are taken along, it keeps its address; meanwhile the cluster does not answer";
      return [{ node, loses: uprooted, text: `${node} ${verb}${why}: ${text}` }];
    }
    if (keepers.includes(node)) {
      return [{ node, loses: true, text: `${node} ${verb}${why}: the volumes on it are lost` }];
    }
    return [{ node, loses: false, text: `${node} ${verb}${why}: it is drained first, and holds no volumes` }];
  });
}

/** Blazar takes more instances only while none runs, and gives no promise that there is room for all of them afterwards. */
const WAY_OUT =
  "which ends all that run in it. A new node in a pool of its own, with a lease of its own, leaves them alone: " +
  "infra.pools.<pool>.lease, nodes.<node>.pool";

/** True for a new lease of the node's pool. */
function isLeaseOf({ op, type, urn }: Change, node: string, spec: EnvironmentSpec): boolean {
  if (op !== "replace" || type !== "gourmetgram:openstack:Lease" || !isOpenStack(spec)) return false;
  const pool = spec.nodes[node]?.pool ?? DEFAULT_POOL;
  return urn.endsWith(pool === DEFAULT_POOL ? "::machines-lease" : `::machines-${pool}-lease`);
}

/** True for the network a machine is on: with a new one, nobody reaches the old machine any more. */
function isBelow({ op, type, urn }: Change, node: string): boolean {
  if (op !== "replace" && op !== "create") return false;
  if (/^openstack:networking\/(network|subnet):/.test(type)) return true;
  return type === "openstack:networking/port:Port" && urn.includes(`::machines-${node}-`);
}

/** Lines for people; empty when nothing is at stake. */
export function renderRisks(risks: readonly MachineRisk[]): string {
  return risks.map(({ loses, text }) => `  ${loses ? "DATA LOSS" : "note     "}  ${text}`).join("\n");
}
