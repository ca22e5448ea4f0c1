import * as pulumi from "@pulumi/pulumi";
import { type FakeOutputs, fakeLookup, fakeOutputs } from "./fakeOutputs";

/** One resource as it was sent to the engine. */
export interface GraphNode {
  readonly urn: string;
  readonly type: string;
  readonly name: string;
  readonly custom: boolean;
  /** URN of the parent; the root stack's parent is "". */
  readonly parent: string;
  /** URNs of everything this resource names as dependency: `dependsOn` and all inputs together. */
  readonly deps: readonly string[];
  /** Input property -> URNs its value came from. */
  readonly propertyDeps: Readonly<Record<string, readonly string[]>>;
  /** URN of the explicit provider, "" when the default one is used. */
  readonly provider: string;
  /** Version of the provider plugin asked for, "" when any will do. */
  readonly version: string;
  /** Inputs with secrets unwrapped. An unknown value is `UNKNOWN`. */
  readonly inputs: any;
  /** Paths of inputs that are secret, for example `stringData.password`. */
  readonly secretPaths: readonly string[];
  readonly protect: boolean;
  /** URN of the resource whose deletion takes this one along, or ""; see `Graph.deletedWith` for what is inherited. */
  readonly deletedWith: string;
  readonly deleteBeforeReplace: boolean;
  readonly ignoreChanges: readonly string[];
  readonly replaceOnChanges: readonly string[];
  /** What makes it anew when it changes. */
  readonly replacementTrigger?: unknown;
  readonly additionalSecretOutputs: readonly string[];
  readonly aliases: readonly object[];
  /** create, update, delete as given, for example `10m`. */
  readonly timeouts: Readonly<Record<string, string>>;
  /** What `registerOutputs` got; undefined when it was never called. */
  registeredOutputs?: Readonly<Record<string, unknown>>;
}

/** Stands for an unknown value in `GraphNode.inputs`. */
export const UNKNOWN = "<unknown>";

export interface RecordOptions {
  /** Run as a preview: own resources and commands give unknown outputs. @default false */
  readonly preview?: boolean;
  /** Stack name. @default "local" */
  readonly stack?: string;
  /** Stack configuration, full keys such as `gourmetgram-infra:infra`; values as the file stores them. @default none */
  readonly config?: Readonly<Record<string, string>>;
  /** Outputs of resource types beyond the built-in ones, by type token. @default none */
  readonly fakes?: Readonly<Record<string, FakeOutputs>>;
}

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";
const UNKNOWN_VALUE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** What a program asked the engine for, with the questions tests ask about it. */
export class Graph {
  constructor(
    /** In the order of registration. */
    readonly nodes: readonly GraphNode[],
    /** Outputs of the stack, secrets unwrapped. */
    readonly outputs: Readonly<Record<string, unknown>>,
    /** Names of stack outputs that are secret. */
    readonly secretOutputs: readonly string[],
  ) {}

  /** The one resource of that name, and of that type or type suffix such as `Deployment`; throws when none or several fit. */
  get(name: string, type?: string): GraphNode {
    const found = this.nodes.filter((node) => node.name === name && (!type || fitsType(node, type)));
    if (found.length === 1 && found[0]) return found[0];
    const names = this.nodes.map((node) => `${node.name} (${node.type})`).join("\n  ");
    throw new Error(
      `${found.length} resources are named ${name}${type ? ` of type ${type}` : ""}; there are\n  ${names}`,
    );
  }

  /** All resources of a type token or of a type suffix such as `Deployment`. */
  ofType(type: string): readonly GraphNode[] {
    return this.nodes.filter((node) => fitsType(node, type));
  }

  /** Direct children, as `name type`, sorted: two graphs have the same shape when these lists are equal. */
  children(of: GraphNode): readonly string[] {
    return this.childNodes(of)
      .map((node) => `${node.name} ${shortType(node.type)}`)
      .sort();
  }

  childNodes(of: GraphNode): readonly GraphNode[] {
    return this.nodes.filter((node) => node.parent === of.urn);
  }

  /** Everything below a resource, at any depth. */
  descendants(of: GraphNode): readonly GraphNode[] {
    return this.childNodes(of).flatMap((node) => [node, ...this.descendants(node)]);
  }

  /**
   * Why `from` cannot start before `to` is done: the names on the shortest way, or undefined when `from` does not wait.
   * An edge is a dependency, the provider, or the parent (a child is registered after its parent, and so waits for
   * what the parent depends on).
   */
  path(from: GraphNode, to: GraphNode): readonly string[] | undefined {
    const cameFrom = new Map<string, string | undefined>([[from.urn, undefined]]);
    const queue = [from];
    for (const node of queue) {
      for (const urn of [...node.deps, node.provider, node.parent, node.deletedWith]) {
        if (urn === "" || cameFrom.has(urn)) continue;
        cameFrom.set(urn, node.urn);
        const next = this.byUrn(urn);
        if (next) queue.push(next);
      }
    }
    if (!cameFrom.has(to.urn) || from === to) return undefined;
    const names: string[] = [];
    for (let urn: string | undefined = to.urn; urn !== undefined; urn = cameFrom.get(urn)) {
      names.unshift(this.byUrn(urn)?.name ?? urn);
    }
    return names;
  }

  /** Whether `from` waits for `to`. */
  waits(from: GraphNode, to: GraphNode): boolean {
    return this.path(from, to) !== undefined;
  }

  /** URN of what takes this resource along when it is deleted: its own `deletedWith`, or the nearest parent's, as the engine has it. */
  deletedWith(node: GraphNode): string {
    const parent = this.byUrn(node.parent);
    return node.deletedWith || (parent ? this.deletedWith(parent) : "");
  }

  byUrn(urn: string): GraphNode | undefined {
    return this.nodes.find((node) => node.urn === urn);
  }
}

/**
 * Runs a Pulumi program against a recording engine: nothing is created, every resource is noted with its parent,
 * dependencies, secrets and options. An object the program returns becomes the stack's outputs.
 *
 * Limits of the fake engine: `transforms` never run, and an error inside `apply` surfaces as an unhandled rejection.
 */
export async function recordGraph(program: () => unknown, options: RecordOptions = {}): Promise<Graph> {
  const preview = options.preview ?? false;
  await pulumi.runtime.setMocks(
    {
      newResource: (args) => fakeOutputs(args, { preview, fakes: options.fakes ?? {} }),
      call: fakeLookup,
    },
    "gourmetgram-infra",
    options.stack ?? "local",
    preview,
  );
  pulumi.runtime.setAllConfig({ ...options.config });

  const nodes: GraphNode[] = [];
  const stackOutputs: { value: Record<string, unknown>; secrets: string[] } = { value: {}, secrets: [] };
  // The monitor's type leaves out the generated gRPC message classes.
  const monitor = pulumi.runtime.getMonitor() as any;
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request: any, callback: any) =>
    register(request, (error: unknown, response: any) => {
      if (response) nodes.push(nodeOf(request, response.getUrn()));
      callback(error, response);
    });
  const registerOutputs = monitor.registerResourceOutputs.bind(monitor);
  monitor.registerResourceOutputs = (request: any, callback: any) => {
    const node = nodes.find((candidate) => candidate.urn === request.getUrn());
    const { value, secretPaths } = unwrap(request.getOutputs()?.toJavaScript() ?? {});
    if (node) node.registeredOutputs = value as Record<string, unknown>;
    if (node?.type === "pulumi:pulumi:Stack") {
      stackOutputs.value = value as Record<string, unknown>;
      stackOutputs.secrets = secretPaths;
    }
    return registerOutputs(request, callback);
  };

  // The program's own error is kept back until the run has ended: thrown inside, the SDK would report it a second
  // time as an unhandled rejection.
  let failure: { readonly error: unknown } | undefined;
  try {
    await pulumi.runtime.runInPulumiStack(async () => {
      try {
        return (await program()) ?? {};
      } catch (error) {
        failure = { error };
        return {};
      }
    });
  } finally {
    await pulumi.runtime.disconnect();
  }
  if (failure) throw failure.error;
  return new Graph(nodes, stackOutputs.value, stackOutputs.secrets);
}

function nodeOf(request: any, urn: string): GraphNode {
  const { value, secretPaths } = unwrap(request.getObject()?.toJavaScript() ?? {});
  const provider: string = request.getProvider();
  const timeouts = request.getCustomtimeouts()?.toObject() ?? {};
  return {
    urn,
    type: request.getType(),
    name: request.getName(),
    custom: request.getCustom(),
    parent: request.getParent(),
    deps: [...request.getDependenciesList()].sort(),
    propertyDeps: Object.fromEntries(
      [...request.getPropertydependenciesMap().entries()].map(([key, list]: [string, any]) => [
        key,
        [...list.getUrnsList()].sort(),
      ]),
    ),
    provider: provider.slice(0, Math.max(0, provider.lastIndexOf("::"))),
    version: request.getVersion(),
    inputs: value,
    secretPaths,
    protect: request.getProtect() ?? false,
    deletedWith: request.getDeletedwith(),
    deleteBeforeReplace: request.getDeletebeforereplace(),
    ignoreChanges: request.getIgnorechangesList(),
    replaceOnChanges: request.getReplaceonchangesList(),
    replacementTrigger: request.getReplacementTrigger()?.toJavaScript() ?? undefined,
    additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
    aliases: request.getAliasesList().map((alias: { toObject(): object }) => alias.toObject()),
    timeouts: Object.fromEntries(Object.entries(timeouts).filter(([, length]) => length !== "")) as Record<
      string,
      string
    >,
  };
}

function unwrap(raw: unknown): { value: unknown; secretPaths: string[] } {
  const secretPaths: string[] = [];
  const visit = (value: unknown, path: string): unknown => {
    if (value === UNKNOWN_VALUE) return UNKNOWN;
    if (Array.isArray(value)) return value.map((item, index) => visit(item, `${path}[${index}]`));
    if (typeof value !== "object" || value === null) return value;
    const record = value as Record<string, unknown>;
    if (record[SIGNATURE] === SECRET_SIGNATURE) {
      secretPaths.push(path);
      return visit(record["value"], path);
    }
    return Object.fromEntries(
      Object.entries(record).map(([key, item]) => [key, visit(item, path ? `${path}.${key}` : key)]),
    );
  };
  return { value: visit(raw, ""), secretPaths };
}

function fitsType(node: GraphNode, type: string): boolean {
  return node.type === type || shortType(node.type) === type;
}

function shortType(type: string): string {
  return type.slice(type.lastIndexOf(":") + 1);
}
