import { homedir } from "node:os";
import { readCloud } from "../../infra/openstack/api/clouds";
import { Connections } from "../../infra/openstack/api/exchange";
import { findImages } from "../../infra/openstack/api/image";
import { fetchToken } from "../../infra/openstack/api/keystone";
import { listSecurityGroupRules } from "../../infra/openstack/api/network";
import { openSession, type Session } from "../../infra/openstack/api/session";
import { findRemains, type KnownNames, readInventory, removeRemains } from "../../infra/openstack/audit";
import { PROJECT_ROOT } from "../cli/project";
import { describeThings, type Thing, thingsOf } from "./projectThings";

/** Entries of the test cloud's clouds.yaml: who makes environments, and who may raise quotas. */
export const MEMBER = "openstack";
const OPERATOR = "admin";

/** Not a name that the test cloud gives machines to: their start would take the processors the programs are measured on. */
export const IMAGE = "bench-disk";
const IMAGE_BYTES = 65_536;
const TIMEOUT_MS = 120_000;

/** Limits of a project that the bench needs raised, by nova's and neutron's own names. */
export interface Limits {
  readonly compute: Readonly<Record<string, number>>;
  readonly network: Readonly<Record<string, number>>;
}

/** The project of the test cloud in which both engines are measured. */
export class BenchProject {
  private constructor(private readonly session: Session) {}

  static async open(): Promise<BenchProject> {
    return new BenchProject(await openSession(configOf(MEMBER), { timeoutMs: TIMEOUT_MS }));
  }

  close(): void {
    this.session.close();
  }

  /** Makes the image instances are made from, unless it is there. */
  async makeImage(): Promise<void> {
    const there = await findImages(this.session, IMAGE);
    if (there.some(({ status }) => status === "active")) return;
    const body = { name: IMAGE, disk_format: "raw", container_format: "bare", visibility: "private" };
    const { id } = await this.session.request<{ id: string }>("image", "POST", "/images", { body });
    // The session speaks JSON only.
    const cloud = configOf(MEMBER);
    const connections = new Connections(cloud);
    const token = await fetchToken(cloud, connections, TIMEOUT_MS);
    const { status } = await connections.send({
      method: "PUT",
      url: new URL(`${token.endpoints.image}/images/${id}/file`),
      headers: { "X-Auth-Token": token.value, "Content-Type": "application/octet-stream" },
      body: "\0".repeat(IMAGE_BYTES),
      timeoutMs: TIMEOUT_MS,
    });
    connections.close();
    if (status >= 300) throw new Error(`The image ${IMAGE} cannot be uploaded: ${status}.`);
  }

  async removeImage(): Promise<void> {
    for (const { id } of await findImages(this.session, IMAGE)) {
      await this.session.request("image", "DELETE", `/images/${id}`);
    }
  }

  /** What an environment has in the project, a line each, comparable between environments. */
  async made(environment: string, known: KnownNames): Promise<readonly string[]> {
    const [remains, rules] = await Promise.all([
      findRemains(this.session, environment, known),
      listSecurityGroupRules(this.session),
    ]);
    return describeThings(environment, remains, rules);
  }

  /** Removes whatever an environment has, whoever made it. */
  async clear(environment: string, known: KnownNames): Promise<void> {
    await removeRemains(this.session, await findRemains(this.session, environment, known));
  }

  /** Everything in the project that no other environment marked as its own. */
  async things(environment: string): Promise<readonly Thing[]> {
    return thingsOf(await readInventory(this.session), environment);
  }

  /** Raises limits that are lower, while `work` runs. */
  async withLimits<T>(wanted: Limits, work: () => Promise<T>): Promise<T> {
    const operator = await openSession(configOf(OPERATOR), { timeoutMs: TIMEOUT_MS });
    const { projectId } = this.session;
    const compute = `/os-quota-sets/${projectId}`;
    const network = `/quotas/${projectId}`;
    try {
      const before = {
        compute: await readLimits(operator, "compute", compute, "quota_set"),
        network: await readLimits(operator, "network", network, "quota"),
      };
      await writeLimits(operator, "compute", compute, "quota_set", raised(before.compute, wanted.compute));
      await writeLimits(operator, "network", network, "quota", raised(before.network, wanted.network));
      try {
        return await work();
      } finally {
        await writeLimits(operator, "compute", compute, "quota_set", pick(before.compute, wanted.compute));
        await writeLimits(operator, "network", network, "quota", pick(before.network, wanted.network));
      }
    } finally {
      operator.close();
    }
  }
}

type LimitsOfService = Readonly<Record<string, number>>;

async function readLimits(
  session: Session,
  service: "compute" | "network",
  path: string,
  key: string,
): Promise<LimitsOfService> {
  return (await session.request<Record<string, LimitsOfService>>(service, "GET", path))[key] ?? {};
}

async function writeLimits(
  session: Session,
  service: "compute" | "network",
  path: string,
  key: string,
  limits: LimitsOfService,
): Promise<void> {
  await session.request(service, "PUT", path, { body: { [key]: limits } });
}

/** A limit of -1 is none. */
function raised(before: LimitsOfService, wanted: LimitsOfService): LimitsOfService {
  return Object.fromEntries(
    Object.entries(wanted).map(([name, least]) => {
      const limit = before[name] ?? least;
      return [name, limit === -1 ? -1 : Math.max(limit, least)];
    }),
  );
}

function pick(before: LimitsOfService, wanted: LimitsOfService): LimitsOfService {
  return Object.fromEntries(Object.entries(before).filter(([name]) => name in wanted));
}

function configOf(entry: string) {
  return readCloud(entry, { env: process.env, cwd: PROJECT_ROOT, home: homedir() });
}
