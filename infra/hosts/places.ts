import { isDnsLabel } from "../../components/naming";
import type { Problem } from "../../components/problems";
import type { HostsNodeSpec, HostsSpec } from "./spec";

/** Where SSH reaches a node. */
export function hostOf(node: Pick<HostsNodeSpec, "host" | "address">): string {
  return node.host ?? node.address;
}

/** The node through which another one is reached; `undefined` when it is dialled directly. */
export function jumpOf(spec: Pick<HostsSpec, "jumpNode">, node: string): string | undefined {
  return spec.jumpNode === node ? undefined : spec.jumpNode;
}

/** The setting that says where SSH reaches a node. */
export function placePath(node: string, spec: Pick<HostsNodeSpec, "host">): string {
  return `nodes.${node}.${spec.host === undefined ? "address" : "host"}`;
}

/** Everything wrong with the arguments that can be told without asking a machine. */
export function checkPlaces(args: {
  readonly environment: string;
  readonly spec: Pick<HostsSpec, "jumpNode">;
  readonly nodes: Readonly<Record<string, HostsNodeSpec>>;
}): Problem[] {
  const problems: Problem[] = [];
  if (!isDnsLabel(args.environment, 40)) {
    problems.push({
      path: "environment",
      value: args.environment,
      problem: "is no DNS-1123 label of at most 40 characters",
      next: "name the environment with lower-case letters, digits and '-'",
    });
  }
  const { jumpNode } = args.spec;
  if (jumpNode !== undefined && args.nodes[jumpNode] === undefined) {
    problems.push({
      path: "infra.jumpNode",
      value: jumpNode,
      problem: "is no node",
      allowed: Object.keys(args.nodes).join(", "),
      next: "name one of the nodes",
    });
  }
  const owners = new Map<string, string>();
  for (const [node, spec] of Object.entries(args.nodes)) {
    // The same address is another machine when it is reached through another one.
    const place = `${hostOf(spec)}:${spec.port}${jumpOf(args.spec, node) === undefined ? "" : " by jump"}`;
    const owner = owners.get(place);
    if (owner !== undefined) {
      problems.push({
        path: placePath(node, spec),
        value: `${hostOf(spec)}:${spec.port}`,
        problem: `is the machine of ${owner} too`,
        next: "give each node a machine of its own",
      });
    }
    owners.set(place, owner ?? node);
  }
  return problems;
}
