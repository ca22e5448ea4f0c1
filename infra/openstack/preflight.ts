import { formatProblem, type Problem, ProblemsError } from "../../components/problems";
import { atOnce } from "./api/atOnce";
import type { CloudConfig } from "./api/cloudEntry";
import { listFlavors, listKeypairs, listServerGroups, listServers, readComputeLimits } from "./api/compute";
import { findImages, listImageNames } from "./api/image";
import {
  listFloatingIps,
  listNetworks,
  listPorts,
  listRouters,
  listSecurityGroups,
  listSubnets,
  readFreeAddresses,
  readNetworkQuotas,
} from "./api/network";
import { listLeases } from "./api/reservation";
import { ApiError, openSession, type ServiceName, type Session } from "./api/session";
import { listVolumes, readVolumeLimits } from "./api/volume";
import { checkCredentials } from "./checks/credentials";
import { checkFloatingIp } from "./checks/floatingIp";
import { checkGitRepository, type GitRepository } from "./checks/gitRepositories";
import { checkFlavors, checkImage, flavorOfPool } from "./checks/images";
import { checkLeases, lastLeaseEnd } from "./checks/leases";
import { checkKeypair, checkNames } from "./checks/names";
import { checkOverlaps, checkPrivateNetwork, checkSharedNetwork } from "./checks/networks";
import {
  type Amounts,
  checkGroupMembers,
  checkQuotas,
  neededAmounts,
  quotasOf,
  RULES_OF_NEW_GROUP,
} from "./checks/quotas";
import { fail, type PreflightRow } from "./checks/row";
import { checkSecurityGroups } from "./checks/securityGroups";
import { type ExistingKind, type ExistingResources, existingIds, nothingExists } from "./existing";
import { type ProjectInventory, selectRemains } from "./remains";
import { DEFAULT_POOL, type OpenStackNodeSpec, type OpenStackSpec } from "./spec";

export type { GitRepository } from "./checks/gitRepositories";
export type { PreflightRow } from "./checks/row";

export interface PreflightArgs {
  readonly spec: {
    /** Name of the environment. */
    readonly name: string;
    readonly infra: OpenStackSpec;
    readonly nodes: Readonly<Record<string, OpenStackNodeSpec>>;
    /** TCP ports of the public services. */
    readonly publicPorts: readonly number[];
    /** Networks inside the cluster by their setting. @default none to compare with */
    readonly innerNetworks?: Readonly<Record<string, string>>;
  };
  /** What the state says is there already. */
  readonly existing: ExistingResources;
  /** Where to log in, or who is logged in. */
  readonly cloud: CloudConfig | Session;
  /** Read by the environment from outside. @default none */
  readonly repositories?: readonly GitRepository[];
  /** @default the present */
  readonly now?: Date;
}

/** A service that takes longer is one that does not answer. */
const TIMEOUT_MS = 20_000;

/**
 * Everything that would stop the environment in its OpenStack project, found before anything is made: credentials, quotas, image,
 * flavors, networks, addresses, leases, names, repositories. Reads only, all at the same time. Each service that does not answer
 * gives one failing row in place of the checks that need it.
 */
export async function checkOpenStack(args: PreflightArgs): Promise<readonly PreflightRow[]> {
  const [cloud, repositories] = await Promise.all([
    checkCloud(args),
    Promise.all((args.repositories ?? []).map(checkGitRepository)),
  ]);
  return [...cloud, ...repositories];
}

/** The table of all checks, then what is wrong with its next steps. */
export function renderPreflight(rows: readonly PreflightRow[]): string {
  const lines = [
    ["CHECK", "RESULT", "FOUND"] as const,
    ...rows.map(({ check, ok, found }) => [check, ok ? "pass" : "fail", found] as const),
  ];
  const width = Math.max(...lines.map(([check]) => check.length));
  const table = lines.map(([check, result, found]) =>
    `${check.padEnd(width)}  ${result.padEnd(6)}  ${found}`.trimEnd(),
  );
  const problems = rows.flatMap(({ problem }) => (problem === undefined ? [] : [formatProblem(problem)]));
  return [table.join("\n"), ...problems].join("\n\n");
}

async function checkCloud(args: PreflightArgs): Promise<PreflightRow[]> {
  if ("request" in args.cloud) return await runChecks(args, args.cloud);
  let session: Session;
  try {
    session = await openSession(args.cloud, { timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof ProblemsError)) throw error;
    return error.problems.map((problem) => fail("credentials", "no login", problem));
  }
  try {
    return await runChecks(args, session);
  } finally {
    session.close();
  }
}

type CheckResult = PreflightRow | readonly PreflightRow[] | undefined;

async function runChecks(args: PreflightArgs, session: Session): Promise<PreflightRow[]> {
  const checks = checksOf(args, session, factsOf(session, args));
  const results = await Promise.allSettled(checks.map((check) => check()));
  const rows: PreflightRow[] = [];
  const silent = new Set<ServiceName>();
  for (const result of results) {
    if (result.status === "fulfilled") {
      rows.push(...(result.value === undefined ? [] : [result.value].flat()));
      continue;
    }
    const error: unknown = result.reason;
    if (!(error instanceof ApiError)) throw error;
    // Every check that needs this service failed alike.
    if (!silent.has(error.service)) rows.push(serviceRow(session, error));
    silent.add(error.service);
  }
  return rows;
}

function serviceRow(session: Session, error: ApiError): PreflightRow {
  const refused = error.status === 401 || error.status === 403;
  const problem: Problem = refused
    ? {
        path: `clouds.yaml: clouds.${session.cloud.name}.auth`,
        problem: `may not read the ${error.service} service: ${error.reason}`,
        next: "make an application credential with the role member, without access rules",
      }
    : {
        path: `cloud.${error.service}`,
        problem: error.message,
        next: "try again; if it stays so, ask the site whether the service is down",
      };
  const found = refused ? "may not be read" : error.status === 0 ? "no answer" : `fails (${error.status})`;
  return fail(`${error.service} service`, found, problem);
}

type Facts = ReturnType<typeof factsOf>;

/** Each list is read at most once, when the first check asks for it. */
function factsOf(session: Session, { spec }: PreflightArgs) {
  const once = <T>(read: () => Promise<T>): (() => Promise<T>) => {
    let answer: Promise<T> | undefined;
    return () => {
      answer ??= read();
      return answer;
    };
  };
  const own = { project_id: session.projectId };
  const { privateNetwork, floatingIp } = spec.infra;
  const networks = once(() => listNetworks(session));
  return {
    limits: once(() => readComputeLimits(session)),
    flavors: once(() => listFlavors(session)),
    servers: once(() => listServers(session)),
    serverGroups: once(() => listServerGroups(session)),
    keypairs: once(() => listKeypairs(session)),
    images: once(() => findImages(session, spec.infra.image)),
    networks,
    subnets: once(() => listSubnets(session)),
    routers: once(() => listRouters(session)),
    ports: once(async () => {
      if (privateNetwork.kind === "created") return await listPorts(session, own);
      // Somebody else may have a port with a node's address on it.
      const network = (await networks()).find(({ name }) => name === privateNetwork.network);
      const [ours, there] = await Promise.all([
        listPorts(session, own),
        network === undefined ? [] : listPorts(session, { network_id: network.id }),
      ]);
      return [...ours, ...there];
    }),
    securityGroups: once(() => listSecurityGroups(session, own)),
    floatingIps: once(() => listFloatingIps(session, own)),
    quotas: once(() => readNetworkQuotas(session)),
    volumes: once(() => listVolumes(session)),
    volumeLimits: once(async () => (session.offers("volume") ? await readVolumeLimits(session) : undefined)),
    leases: once(() => listLeases(session)),
    freeAddresses: once(async () =>
      floatingIp.kind === "new" ? await readFreeAddresses(session, floatingIp.pool) : undefined,
    ),
  };
}

/** In the order of the table. */
function checksOf(
  args: PreflightArgs,
  session: Session,
  facts: Facts,
): readonly (() => Promise<CheckResult>)[] {
  const { spec, existing } = args;
  const { name, infra, nodes, publicPorts } = spec;
  const now = args.now ?? new Date();
  const leased = Object.values(infra.pools).some((pool) => pool.lease ?? pool.reservation);
  const networkFacts = async () => {
    const [networks, subnets, routers, ports] = await Promise.all([
      facts.networks(),
      facts.subnets(),
      facts.routers(),
      facts.ports(),
    ]);
    return { projectId: session.projectId, networks, subnets, routers, ports };
  };
  return [
    async () => {
      const [expiry, leases] = await Promise.all([session.credentialExpiry(), leased ? facts.leases() : []]);
      const { projectName, roles, cloud } = session;
      return checkCredentials(
        { cloud: cloud.name, projectName, roles, expiry },
        now,
        lastLeaseEnd(name, infra, leases, now),
      );
    },
    async () => missingServices(infra, session, leased),
    async () => await checkAllQuotas(args, facts),
    async () => checkGroupMembers(infra, Object.keys(nodes).length, await facts.limits()),
    async () => checkFlavors(infra, nodes, await facts.flavors()),
    async () => {
      const [images, flavors] = await Promise.all([facts.images(), facts.flavors()]);
      const others = images.length === 0 ? await listImageNames(session) : [];
      return checkImage(infra, nodes, images, flavors, others);
    },
    async () =>
      leased && session.offers("reservation")
        ? checkLeases(name, infra, nodes, await facts.leases(), now)
        : undefined,
    async () => checkSharedNetwork(infra, await networkFacts()),
    async () => checkPrivateNetwork(infra, nodes, await networkFacts(), existingIds(existing, "ports")),
    async () => checkOverlaps(infra, spec.innerNetworks ?? {}, await networkFacts()),
    async () => {
      const [networks, floatingIps, free] = await Promise.all([
        facts.networks(),
        facts.floatingIps(),
        facts.freeAddresses(),
      ]);
      return checkFloatingIp(infra, networks, floatingIps, free, {
        ports: existingIds(existing, "ports"),
        floatingIps: existingIds(existing, "floatingIps"),
      });
    },
    async () => checkSecurityGroups(infra, publicPorts, await facts.securityGroups()),
    async () => checkKeypair(infra, await facts.keypairs()),
    async () =>
      nothingExists(existing) && !existing.pendingOperations
        ? await checkFree(args, session, facts)
        : undefined,
  ];
}

function missingServices(infra: OpenStackSpec, session: Session, leased: boolean): PreflightRow[] {
  const missing = (service: ServiceName, path: string, next: string) =>
    session.offers(service)
      ? []
      : [
          fail(`${service} service`, "not there", {
            path,
            problem: `needs the ${service} service, which cloud "${session.cloud.name}" does not have`,
            next,
          }),
        ];
  return [
    ...(leased
      ? missing("reservation", "infra.pools.*.lease", "remove the lease: use flavors on demand")
      : []),
    ...(infra.bootVolume === undefined
      ? []
      : missing("volume", "infra.bootVolume", "remove it: instances boot from the flavor's disk then")),
  ];
}

async function checkFree(args: PreflightArgs, session: Session, facts: Facts): Promise<PreflightRow> {
  // Of those that an administrator sees of every project only ours are of interest.
  const ours = async <T extends { readonly project_id: string }>(list: () => Promise<readonly T[]>) =>
    (await list()).filter(({ project_id }) => project_id === session.projectId);
  const found = await atOnce<Omit<ProjectInventory, "projectId">>({
    servers: facts.servers(),
    serverGroups: facts.serverGroups(),
    keypairs: facts.keypairs(),
    volumes: facts.volumes(),
    floatingIps: facts.floatingIps(),
    ports: ours(facts.ports),
    subnets: ours(facts.subnets),
    networks: facts.networks(),
    routers: ours(facts.routers),
    securityGroups: facts.securityGroups(),
    leases: facts.leases(),
  });
  const inventory = { projectId: session.projectId, ...found };
  const known = { nodes: Object.keys(args.spec.nodes), pools: Object.keys(args.spec.infra.pools) };
  return checkNames(args.spec.name, selectRemains(inventory, args.spec.name, known));
}

async function checkAllQuotas(args: PreflightArgs, facts: Facts): Promise<PreflightRow[]> {
  const { infra, nodes, publicPorts } = args.spec;
  const withVolumes = infra.bootVolume !== undefined;
  const [limits, flavors, network, keypairs, volumeLimits, has] = await Promise.all([
    facts.limits(),
    facts.flavors(),
    facts.quotas(),
    facts.keypairs(),
    withVolumes ? facts.volumeLimits() : undefined,
    presentAmounts(args, facts),
  ]);
  const needed = neededAmounts(infra, nodes, publicPorts, ({ pool = DEFAULT_POOL }) => {
    const found = infra.pools[pool];
    return found === undefined ? undefined : flavorOfPool(found, flavors);
  });
  return checkQuotas(needed, has, quotasOf(limits, network, keypairs.length, volumeLimits));
}

/** What the environment has in the cloud already. What the state holds and the cloud lost gives nothing back. */
async function presentAmounts({ spec, existing }: PreflightArgs, facts: Facts): Promise<Amounts> {
  if (nothingExists(existing)) return {};
  const [servers, flavors, ports, networks, groups, volumes] = await Promise.all([
    facts.servers(),
    facts.flavors(),
    facts.ports(),
    facts.networks(),
    facts.securityGroups(),
    spec.infra.bootVolume === undefined ? [] : facts.volumes(),
  ]);
  const count = (kind: ExistingKind) => existing.resources[kind].length;
  const present = (kind: ExistingKind, items: readonly { readonly id: string }[]) => {
    const ids = existingIds(existing, kind);
    return items.filter(({ id }) => ids.has(id));
  };
  const serverIds = existingIds(existing, "servers");
  const ours = servers.filter(({ id }) => serverIds.has(id));
  const sizes = ours.flatMap(({ flavor }) => flavors.find(({ id }) => id === flavor.id) ?? []);
  const attached = new Set(
    ours.flatMap((server) => server["os-extended-volumes:volumes_attached"] ?? []).map(({ id }) => id),
  );
  const ourVolumes = volumes.filter(({ id }) => attached.has(id) || existingIds(existing, "volumes").has(id));
  const ourNetworks = present("networks", networks).length;
  const ourGroups = present("securityGroups", groups).length;
  return {
    instances: ours.length,
    cores: sizes.reduce((sum, { vcpus }) => sum + vcpus, 0),
    "RAM (MiB)": sizes.reduce((sum, { ram }) => sum + ram, 0),
    "server groups": count("serverGroups"),
    keypairs: count("keypairs"),
    networks: ourNetworks,
    subnets: ourNetworks === 0 ? 0 : count("subnets"),
    ports: present("ports", ports).length + count("routerInterfaces") + ourNetworks,
    "security groups": ourGroups,
    "security group rules":
      ourGroups === 0 ? 0 : count("securityGroupRules") + RULES_OF_NEW_GROUP * ourGroups,
    "floating IPs": count("floatingIps"),
    volumes: ourVolumes.length,
    "volume space (GiB)": ourVolumes.reduce((sum, { size }) => sum + size, 0),
  };
}
