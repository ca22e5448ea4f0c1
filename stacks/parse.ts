import type { NodeRole } from "../components/contracts";
import { DNS_LABEL_RULE, isDnsLabel } from "../components/naming";
import { ProblemCollector } from "../components/problems";
import { parseBytes, parseCpu } from "../components/quantity";
import { type CidrRange, cidrRange, formatRange, overlaps } from "./cidr";
import {
  DELIVERY_DEFAULTS,
  defaultNodes,
  defaultSettings,
  defaultStage,
  EXTERNAL_DEFAULTS,
  SUPPORTED_KUBERNETES_VERSIONS,
} from "./defaults";
import {
  byteQuantity,
  cpuQuantity,
  type Field,
  integer,
  object,
  oneOf,
  optional,
  type ReadContext,
  record,
  secret,
  text,
  union,
  withDefault,
} from "./fields";
import { checkInfra, infraField, kindOf, nodeFields, withPools } from "./infraFields";
import {
  BUILD_MODES,
  type DeliverySpec,
  type EnvironmentSpec,
  EXPOSURES,
  type Exposure,
  type InfraKind,
  SERVICE_PORTS,
  type Service,
  SSL_MODES,
  STAGES,
} from "./spec";
import { hostProblem, network, nodeName, notEmpty } from "./textFields";

/** Longest environment name: it becomes part of host names, bridge names and cgroup names. */
const MAX_NAME_LENGTH = 40;

/** Least memory a machine can work with: kubeadm refuses a control plane below 1700 MB. */
const LEAST_MEMORY: Readonly<Record<NodeRole, string>> = { controlPlane: "2Gi", worker: "1Gi" };

/** Prefix length of each node's part of the pod network (kube-controller-manager's default). */
const NODE_POD_PREFIX = 24;

/**
 * Checks the raw settings of an environment and fills in the defaults.
 *
 * @param raw values by key as in `Pulumi.<stack>.yaml`, without the project's namespace
 * @throws ProblemsError with every problem there is, not only the first
 */
export function parseEnvironment(raw: Readonly<Record<string, unknown>>, stackName: string): EnvironmentSpec {
  const context: ReadContext = {
    problems: new ProblemCollector(),
    file: `Pulumi.${stackName}.yaml`,
    stack: stackName,
  };
  checkName(stackName, context);
  const kind = kindOf(raw["infra"], defaultSettings(stackName).infra.kind);
  const settings = settingsFields(stackName, kind)(raw, "", context);
  const infra = settings?.infra;
  // Machines that exist are named by the user: there is nothing to guess.
  const nodes =
    settings?.nodes ??
    (kind === "hosts" ? {} : defaultNodes(infra?.cidr ?? defaultSettings(stackName).infra.cidr));
  checkNetworks(settings, nodes, context);
  checkNodes(infra, nodes, context);
  checkInfra(infra, nodes as Readonly<Record<string, { readonly pool?: string }>>, context);
  checkStages(settings?.stages, context);
  context.problems.throwIfAny(`the settings of environment "${stackName}"`);
  // Every part that is undefined has added a problem, so here all required parts are there.
  const spec = { ...settings, name: stackName, nodes } as EnvironmentSpec;
  return spec.infra.kind === "openstack" ? { ...spec, nodes: withPools(spec.nodes, spec.infra.pools) } : spec;
}

function settingsFields(stackName: string, kind: InfraKind) {
  const defaults = defaultSettings(stackName);
  const { infra, cluster, platform } = defaults;
  return object({
    infra: infraField(infra),
    nodes: optional(record(nodeName(), object(nodeFields(kind)))),
    cluster: object({
      podCidr: withDefault(network(8, NODE_POD_PREFIX), cluster.podCidr),
      serviceCidr: withDefault(network(12, 24), cluster.serviceCidr),
      version: withDefault(oneOf(SUPPORTED_KUBERNETES_VERSIONS), cluster.version),
      bundleUrl: optional(
        text({
          problem: endpointProblem,
          allowed: "the http or https URL of a folder with a bundle, for example http://192.168.1.2/bundle",
        }),
      ),
    }),
    platform: object({
      storage: object({
        postgres: withDefault(byteQuantity("256Mi"), platform.storage.postgres),
        minio: withDefault(byteQuantity("256Mi"), platform.storage.minio),
      }),
      mlflow: object({
        workers: withDefault(integer({ min: 1, max: 16 }), platform.mlflow.workers),
      }),
      database: union({ internal: {}, external: externalDatabaseFields() }, platform.database.kind),
      objectStore: union({ internal: {}, external: externalObjectStoreFields() }, platform.objectStore.kind),
    }),
    delivery: deliveryFields(defaults.delivery),
    exposure: object(
      Object.fromEntries(
        (Object.keys(SERVICE_PORTS) as Service[]).map((service) => [
          service,
          withDefault(oneOf(EXPOSURES), defaults.exposure[service]),
        ]),
      ) as Record<Service, Field<Exposure>>,
    ),
    stages: withDefault<unknown>(record(oneOf(STAGES), stageFields()), defaults.stages) as Field<StageDrafts>,
  });
}

function externalDatabaseFields() {
  return {
    host: text({ problem: hostProblem, allowed: "a DNS name or an IP address, without scheme and port" }),
    port: withDefault(integer({ min: 1, max: 65535 }), EXTERNAL_DEFAULTS.databasePort),
    name: withDefault(notEmpty("the name of an existing database"), EXTERNAL_DEFAULTS.databaseName),
    username: notEmpty("a PostgreSQL role that may log in"),
    password: secret(),
    sslMode: withDefault(oneOf(SSL_MODES), EXTERNAL_DEFAULTS.sslMode),
  };
}

function externalObjectStoreFields() {
  return {
    endpoint: text({
      problem: endpointProblem,
      allowed: "a URL without credentials, for example https://s3.eu-west-1.amazonaws.com",
    }),
    bucket: text({
      problem: (name) =>
        /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) ? undefined : "is not a bucket name",
      allowed: "3 to 63 lower-case letters, digits, '.' and '-'",
    }),
    region: withDefault(notEmpty("a region, for example us-east-1"), EXTERNAL_DEFAULTS.region),
    accessKeyId: notEmpty("the id of an access key"),
    secretAccessKey: secret(),
  };
}

function deliveryFields(defaults: DeliverySpec) {
  const { registry, builds, git, training } = defaults;
  return object({
    canaryPercent: withDefault(integer({ min: 0, max: 100 }), defaults.canaryPercent),
    registry: object({
      storage: withDefault(byteQuantity("1Gi"), registry.storage),
      keepTags: withDefault(integer({ min: 1, max: 1000 }), registry.keepTags),
    }),
    builds: object({ mode: withDefault(oneOf(BUILD_MODES), builds.mode) }),
    git: union({ internal: {}, external: externalGitFields() }, git.kind),
    training: object({
      schedule: withDefault(
        text({ problem: scheduleProblem, allowed: "five cron fields, UTC, for example 0 2 * * *" }),
        training.schedule,
      ),
      branch: withDefault(branch(), training.branch),
    }),
  });
}

function externalGitFields() {
  const url = () =>
    text({
      problem: repositoryProblem,
      allowed: "an http or https URL of a Git repository, without credentials",
    });
  return {
    infra: object({
      url: url(),
      branch: withDefault(branch(), DELIVERY_DEFAULTS.infraBranch),
      path: withDefault(notEmpty("the chart's folder, for example chart"), DELIVERY_DEFAULTS.chartPath),
    }),
    app: object({ url: url(), branch: withDefault(branch(), DELIVERY_DEFAULTS.appBranch) }),
    train: object({ url: url(), branch: withDefault(branch(), DELIVERY_DEFAULTS.trainBranch) }),
  };
}

function stageFields() {
  const { replicas, resources } = defaultStage;
  return object({
    replicas: withDefault(integer({ min: 1, max: 50 }), replicas),
    resources: object({
      requests: object({
        cpu: withDefault(cpuQuantity(), resources.requests.cpu),
        memory: withDefault(byteQuantity("16Mi"), resources.requests.memory),
      }),
      limits: object({
        cpu: withDefault(cpuQuantity(), resources.limits.cpu),
        memory: withDefault(byteQuantity("16Mi"), resources.limits.memory),
      }),
    }),
    autoscaling: optional(
      object({
        maxReplicas: integer({ min: 2, max: 100 }),
        targetCpuPercent: withDefault(integer({ min: 1, max: 100 }), DELIVERY_DEFAULTS.targetCpuPercent),
      }),
    ),
  });
}

function branch(): Field<string> {
  return text({
    problem: (name) =>
      /^(?![-/.])(?!.*(\.\.|\/\/|@\{))[^\s~^:?*[\\]+(?<![/.])$/.test(name)
        ? undefined
        : "is not a branch name",
    allowed: "a Git branch name",
  });
}

function endpointProblem(value: string): string | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url?.protocol === "http:" || url?.protocol === "https:" ? undefined : "is not an http or https URL";
}

function checkName(stackName: string, context: ReadContext): void {
  if (!isDnsLabel(stackName, MAX_NAME_LENGTH)) {
    context.problems.add({
      path: "stack",
      value: stackName,
      problem: stackName.length > MAX_NAME_LENGTH ? "is too long" : "is not a DNS-1123 label",
      allowed: `at most ${MAX_NAME_LENGTH} ${DNS_LABEL_RULE}`,
      next: "choose another stack name",
    });
  }
}

interface NetworkSettings {
  readonly infra?: { readonly cidr?: string };
  readonly cluster?: { readonly podCidr?: string; readonly serviceCidr?: string };
}

/** Nodes while problems are still being collected: a part is undefined when it was wrong. */
type NodeDrafts = Readonly<
  Record<string, { readonly role?: NodeRole; readonly address?: string; readonly memory?: string }>
>;

function checkNetworks(settings: NetworkSettings | undefined, nodes: NodeDrafts, context: ReadContext): void {
  const networks = [
    { path: "infra.cidr", cidr: settings?.infra?.cidr },
    { path: "cluster.podCidr", cidr: settings?.cluster?.podCidr },
    { path: "cluster.serviceCidr", cidr: settings?.cluster?.serviceCidr },
  ].filter((entry): entry is { path: string; cidr: string } => entry.cidr !== undefined);
  networks.forEach((left, index) => {
    for (const right of networks.slice(index + 1)) {
      if (overlaps(cidrRange(left.cidr), cidrRange(right.cidr))) {
        context.problems.add({
          path: right.path,
          value: right.cidr,
          problem: `overlaps ${left.path} (${left.cidr})`,
          allowed: "machines, pods and services need three separate networks",
          next: `change one of the two in ${context.file}`,
        });
      }
    }
  });
  const podCidr = settings?.cluster?.podCidr;
  const room = podCidr === undefined ? undefined : 2 ** (NODE_POD_PREFIX - cidrRange(podCidr).prefix);
  const count = Object.keys(nodes).length;
  if (room !== undefined && count > room) {
    context.problems.add({
      path: "cluster.podCidr",
      value: podCidr,
      problem: `has room for ${room} nodes of /${NODE_POD_PREFIX} each, but there are ${count}`,
      allowed: `a network of /${NODE_POD_PREFIX - Math.ceil(Math.log2(count))} or larger`,
      next: `use a larger network in ${context.file}`,
    });
  }
}

function checkNodes(
  infra: { readonly kind?: InfraKind; readonly cidr?: string; readonly memory?: string } | undefined,
  nodes: NodeDrafts,
  context: ReadContext,
): void {
  const controlPlanes = Object.keys(nodes).filter((name) => nodes[name]?.role === "controlPlane");
  // A wrong role has its own problem already; counting would only guess what it was meant to be.
  const rolesKnown = Object.values(nodes).every((node) => node.role !== undefined);
  if (rolesKnown && controlPlanes.length !== 1 && controlPlanes.length !== 3) {
    context.problems.add({
      path: "nodes",
      problem: `${controlPlanes.length === 0 ? "have no control plane" : `have ${controlPlanes.length} control planes (${controlPlanes.join(", ")})`}`,
      allowed: "1 or 3 nodes with role controlPlane (etcd needs an odd number to keep a majority)",
      next: `set the role of the nodes in ${context.file}`,
    });
  }
  checkAddresses(infra?.cidr, nodes, context);
  if (infra?.kind === "local") checkMemory(infra.memory, nodes, context);
}

function checkAddresses(cidr: string | undefined, nodes: NodeDrafts, context: ReadContext): void {
  const range = cidr === undefined ? undefined : cidrRange(cidr);
  const owners = new Map<string, string>();
  for (const [name, { address }] of Object.entries(nodes)) {
    if (address === undefined) {
      continue;
    }
    const path = `nodes.${name}.address`;
    const problem = range === undefined ? undefined : placeProblem(address, range);
    if (problem !== undefined && range !== undefined) {
      const allowed = formatRange(range.first + 2, range.last - 1);
      const next = `set an address of that range in ${context.file}, or change infra.cidr`;
      context.problems.add({ path, value: address, problem, allowed, next });
    }
    const owner = owners.get(address);
    if (owner !== undefined) {
      context.problems.add({
        path,
        value: address,
        problem: `is also the address of ${owner}`,
        allowed: "an address no other node has",
        next: `change one of the two in ${context.file}`,
      });
    }
    owners.set(address, owner ?? name);
  }
}

/** Why a node cannot have this address of the network, or `undefined` when it can. */
function placeProblem(address: string, range: CidrRange): string | undefined {
  const number = cidrRange(`${address}/32`).first;
  if (number < range.first || number > range.last) {
    return `is outside the subnet ${range.cidr} (infra.cidr)`;
  }
  if (number === range.first) {
    return `is the network address of ${range.cidr}`;
  }
  if (number === range.first + 1) {
    return `is the gateway of ${range.cidr}`;
  }
  return number === range.last ? `is the broadcast address of ${range.cidr}` : undefined;
}

function checkMemory(common: string | undefined, nodes: NodeDrafts, context: ReadContext): void {
  for (const [name, node] of Object.entries(nodes)) {
    const memory = node.memory ?? common;
    const least = LEAST_MEMORY[node.role ?? "worker"];
    if (memory !== undefined && (parseBytes(memory) ?? 0) < (parseBytes(least) ?? 0)) {
      context.problems.add({
        path: node.memory === undefined ? "infra.memory" : `nodes.${name}.memory`,
        value: memory,
        problem: `is too little for ${name}, a ${node.role === "controlPlane" ? "control plane" : "worker"}`,
        allowed: `at least ${least}`,
        next: `raise it in ${context.file}`,
      });
    }
  }
}

/** Stages while problems are still being collected. */
type StageDrafts = Readonly<
  Record<
    string,
    {
      readonly replicas?: number;
      readonly resources?: {
        readonly requests?: { readonly cpu?: string; readonly memory?: string };
        readonly limits?: { readonly cpu?: string; readonly memory?: string };
      };
      readonly autoscaling?: { readonly maxReplicas?: number };
    }
  >
>;

function checkStages(stages: StageDrafts | undefined, context: ReadContext): void {
  const amounts = { cpu: parseCpu, memory: parseBytes } as const;
  const names = Object.keys(stages ?? {});
  if (names.length > 0 && !names.includes("staging")) {
    context.problems.add({
      path: "stages",
      problem: `are ${names.join(", ")} without staging, where every model is tested first`,
      allowed: "none, or staging and any of the others",
      next: `add staging: {} in ${context.file}`,
    });
  }
  for (const [name, { replicas, resources, autoscaling }] of Object.entries(stages ?? {})) {
    for (const kind of ["cpu", "memory"] as const) {
      const [request, limit] = [resources?.requests?.[kind], resources?.limits?.[kind]];
      if (
        request !== undefined &&
        limit !== undefined &&
        (amounts[kind](request) ?? 0) > (amounts[kind](limit) ?? 0)
      ) {
        context.problems.add({
          path: `stages.${name}.resources.requests.${kind}`,
          value: request,
          problem: `is above the limit ${limit}`,
          allowed: `at most stages.${name}.resources.limits.${kind}`,
          next: `change one of the two in ${context.file}`,
        });
      }
    }
    const most = autoscaling?.maxReplicas;
    if (replicas !== undefined && most !== undefined && most < replicas) {
      context.problems.add({
        path: `stages.${name}.autoscaling.maxReplicas`,
        value: most,
        problem: `is below the ${replicas} replicas the stage has at least`,
        allowed: `${replicas} or more`,
        next: `change one of the two in ${context.file}`,
      });
    }
  }
}

function scheduleProblem(value: string): string | undefined {
  const fields = value.trim().split(/\s+/);
  return fields.length === 5 && fields.every((field) => /^[\d*,/A-Za-z-]+$/.test(field))
    ? undefined
    : "is not a cron expression";
}

function repositoryProblem(value: string): string | undefined {
  const problem = endpointProblem(value);
  if (problem !== undefined) return problem;
  const url = new URL(value);
  return url.username || url.password ? "holds credentials" : undefined;
}
