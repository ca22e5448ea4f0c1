import { atOnce } from "./api/atOnce";
import { listKeypairs, listServerGroups, listServers } from "./api/compute";
import {
  listFloatingIps,
  listNetworks,
  listPorts,
  listRouters,
  listSecurityGroups,
  listSubnets,
} from "./api/network";
import { deleteLease, listLeases } from "./api/reservation";
import { isConflict, isGone, type Session } from "./api/session";
import { listVolumes } from "./api/volume";
import {
  type KnownNames,
  type ProjectInventory,
  type Remain,
  type RemainKind,
  selectRemains,
} from "./remains";

export { type KnownNames, REMAIN_KINDS, type Remain } from "./remains";

/**
 * Everything in the project that belongs to an environment. While it is up this is what it consists of; after `destroy` an empty
 * list is the only pass. Reads only. A floating IP that was only borrowed has no mark and is not among it.
 *
 * @param known names of nodes and pools; they find what a killed run had no time to mark
 */
export async function findRemains(
  session: Session,
  environment: string,
  known: KnownNames = {},
): Promise<Remain[]> {
  return selectRemains(await readInventory(session), environment, known);
}

/** All the project has, read at the same time. */
export async function readInventory(session: Session): Promise<ProjectInventory> {
  // An administrator would otherwise see those of every project.
  const own = { project_id: session.projectId };
  const inventory = await atOnce<Omit<ProjectInventory, "projectId">>({
    servers: listServers(session),
    serverGroups: listServerGroups(session),
    keypairs: listKeypairs(session),
    volumes: listVolumes(session),
    floatingIps: listFloatingIps(session, own),
    ports: listPorts(session, own),
    subnets: listSubnets(session, own),
    networks: listNetworks(session),
    routers: listRouters(session, own),
    securityGroups: listSecurityGroups(session, own),
    leases: listLeases(session),
  });
  return { projectId: session.projectId, ...inventory };
}

export interface RemovalOptions {
  /** Told each time something is gone. */
  readonly onProgress?: (message: string) => void;
  /** For each kind: how long a thing may take to go, and be in use by others that are going. @default 120000 */
  readonly timeoutMs?: number;
}

/** Kinds removed at the same time; each group after the one before it is gone. */
const REMOVAL_ORDER: readonly (readonly RemainKind[])[] = [
  ["server"],
  ["volume", "floating IP"],
  ["router interface", "port"],
  ["subnet"],
  ["network", "router"],
  ["security group", "server group", "keypair"],
  ["lease"],
];

/** Pause before something in use is tried again, and between looks at what is going. */
const PAUSE_MS = 500;

/**
 * Removes what `findRemains` found, in the order in which OpenStack lets go, and waits until it is gone. What is gone already is
 * fine, so it can be run again at any time.
 *
 * @throws Error that names all of a kind that cannot be removed; the kinds after it stay
 */
export async function removeRemains(
  session: Session,
  remains: readonly Remain[],
  options: RemovalOptions = {},
): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 120_000;
  for (const kinds of REMOVAL_ORDER) {
    const group = remains.filter(({ kind }) => kinds.includes(kind));
    const results = await Promise.allSettled(
      group.map(async (remain) => {
        await removeOne(session, remain, Date.now() + timeoutMs);
        options.onProgress?.(`removed ${remain.kind} ${remain.name}`);
      }),
    );
    const failures = results.flatMap((result, index) =>
      result.status === "rejected"
        ? [`${group[index]?.kind} ${group[index]?.name}: ${(result.reason as Error).message}`]
        : [],
    );
    if (failures.length > 0) throw new Error(`Cannot be removed:\n${failures.join("\n")}`);
  }
}

async function removeOne(session: Session, { kind, id }: Remain, deadline: number): Promise<void> {
  switch (kind) {
    case "server":
      await removeUntilGone(session, "compute", `/servers/${id}`, deadline);
      return;
    case "volume":
      await removeUntilGone(session, "volume", `/volumes/${id}`, deadline);
      return;
    case "lease":
      await deleteLease(session, id);
      return;
    case "server group":
      await remove(session, "compute", "DELETE", `/os-server-groups/${id}`, deadline);
      return;
    case "keypair":
      await remove(session, "compute", "DELETE", `/os-keypairs/${encodeURIComponent(id)}`, deadline);
      return;
    case "router interface": {
      const [router = "", subnet = ""] = id.split("/");
      const body = { subnet_id: subnet };
      await remove(session, "network", "PUT", `/routers/${router}/remove_router_interface`, deadline, body);
      return;
    }
    default: {
      const collection = NETWORK_COLLECTIONS[kind];
      await remove(session, "network", "DELETE", `/${collection}/${id}`, deadline);
    }
  }
}

const NETWORK_COLLECTIONS = {
  "floating IP": "floatingips",
  port: "ports",
  subnet: "subnets",
  network: "networks",
  router: "routers",
  "security group": "security-groups",
} as const;

/** Asks for the removal, again while the thing is in use by something that is going too. */
async function remove(
  session: Session,
  service: "compute" | "network" | "volume",
  method: "DELETE" | "PUT",
  path: string,
  deadline: number,
  body?: unknown,
): Promise<void> {
  for (;;) {
    try {
      await session.request(service, method, path, body === undefined ? {} : { body });
      return;
    } catch (error) {
      if (isGone(error)) return;
      // Cinder says 400 for a volume that is still attached.
      const busy =
        isConflict(error) || (service === "volume" && (error as { status?: number }).status === 400);
      if (!busy || Date.now() > deadline) throw error;
    }
    await pause();
  }
}

/** For what goes after the answer: looks until it is gone. */
async function removeUntilGone(
  session: Session,
  service: "compute" | "volume",
  path: string,
  deadline: number,
): Promise<void> {
  await remove(session, service, "DELETE", path, deadline);
  for (;;) {
    try {
      await session.request(service, "GET", path);
    } catch (error) {
      if (isGone(error)) return;
      throw error;
    }
    if (Date.now() > deadline) {
      throw new Error(`${path} of the ${service} service was asked to go and is still there.`);
    }
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, PAUSE_MS));
}
