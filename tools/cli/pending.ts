/** The parts of an exported deployment (`pulumi stack export`) that commands look at. */
export interface ExportedDeployment {
  readonly version: number;
  readonly deployment: {
    readonly resources?: readonly ExportedResource[];
    readonly pending_operations?: readonly {
      readonly type: string;
      readonly resource: { readonly urn: string };
    }[];
  };
}

export interface ExportedResource {
  readonly urn: string;
  readonly type: string;
  /** False for components, which have no plugin behind them. */
  readonly custom?: boolean;
  /** Neither replaced nor destroyed by the engine. */
  readonly protect?: boolean;
}

/**
 * A killed run leaves the operations it was in the middle of. The engine cannot know whether they happened and asks
 * for it. Here the answer is always the same: every create of this project finds and takes over what is there already,
 * so the note is dropped and the next `up` does the operation again.
 *
 * @returns the deployment without them, or `undefined` when there are none
 */
export function withoutPendingOperations(
  exported: ExportedDeployment,
): { readonly deployment: ExportedDeployment; readonly dropped: readonly string[] } | undefined {
  const pending = exported.deployment.pending_operations ?? [];
  if (pending.length === 0) {
    return undefined;
  }
  const { pending_operations: _, ...rest } = exported.deployment;
  return {
    deployment: { ...exported, deployment: rest },
    dropped: pending.map(({ type, resource }) => `${type} ${resource.urn.split("::").at(-1)}`),
  };
}

/** Names of resources that are kept from removal. */
export function protectedNames(exported: ExportedDeployment): readonly string[] {
  return (exported.deployment.resources ?? [])
    .filter(({ protect }) => protect === true)
    .map(({ urn }) => urn.split("::").at(-1) ?? urn);
}

/** Resources with a plugin behind them, without the providers themselves. */
export function countResources(exported: ExportedDeployment): number {
  return (exported.deployment.resources ?? []).filter(
    (resource) => resource.custom === true && !resource.type.startsWith("pulumi:"),
  ).length;
}

/** The resource that is a node's machine, by where machines come from; the node's name is the group. */
const MACHINES: readonly RegExp[] = [
  /\$gourmetgram:local:Machine::machines-(.+)$/,
  /\$openstack:compute\/instance:Instance::machines-(.+)$/,
  /\$gourmetgram:infra:HostsMachines\$gourmetgram:components:RemoteStep\$command:remote:Command::machines-(.+)$/,
];

/** The node whose machine a URN is; `undefined` for everything else. */
export function nodeOfMachine(urn: string): string | undefined {
  return MACHINES.map((pattern) => pattern.exec(urn)?.[1]).find((node) => node !== undefined);
}

/** URN of each node's machine, by node name. */
export function machineUrns(exported: ExportedDeployment): Readonly<Record<string, string>> {
  return Object.fromEntries(
    (exported.deployment.resources ?? []).flatMap(({ urn }) => {
      const node = nodeOfMachine(urn);
      return node === undefined ? [] : [[node, urn]];
    }),
  );
}
