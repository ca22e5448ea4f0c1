import type { NodeSpec } from "./contracts";

/** TCP port at which the home node hands the bundle to the others. */
export const BUNDLE_PORT = 8099;

/**
 * Name of the node that everything else hangs on: the first control plane by name. The cluster begins on it, the world reaches the
 * environment through it, and what is in the cluster ends with it. `undefined` when there is no control plane.
 */
export function homeNode(nodes: Readonly<Record<string, Pick<NodeSpec, "role">>>): string | undefined {
  return Object.keys(nodes)
    .sort()
    .find((name) => nodes[name]?.role === "controlPlane");
}
