import type { NodeSpec } from "./contracts";
import { homeNode } from "./homeNode";

/** Label of the nodes that keep persistent volumes, with the value `true`. */
export const STORAGE_LABEL = "gourmetgram.dev/storage";

/** Names of the nodes that keep persistent volumes: those whose settings say so, else the first control plane. */
export function storageNodes(
  nodes: Readonly<Record<string, Pick<NodeSpec, "role" | "labels">>>,
): readonly string[] {
  const labels = Object.entries(nodes).map(([name, { labels }]) => [name, labels?.[STORAGE_LABEL]] as const);
  if (labels.some(([, label]) => label !== undefined)) {
    return labels.filter(([, label]) => label === "true").map(([name]) => name);
  }
  const home = homeNode(nodes);
  return home === undefined ? [] : [home];
}
