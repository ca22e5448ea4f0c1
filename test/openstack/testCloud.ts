import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";
import { startTime } from "../../infra/local/machineFolder";
import { cacheRoot } from "../../tools/cache/paths";
import { root } from "../support/sources";

const run = promisify(execFile);
const script = join(root, "test", "openstack", "cloud.sh");

export interface TestCloudOptions {
  /**
   * A cloud as its operator made it, with nothing else in it.
   *
   * @default false
   */
  readonly fresh?: boolean;
  /**
   * Life of a token, seconds.
   *
   * @default 86400
   */
  readonly tokenSeconds?: number;
  /**
   * Whether servers get machines on this host.
   *
   * @default false
   */
  readonly machines?: boolean;
  /** Folder of the machine image, when it is not the bundle's. */
  readonly machineDir?: string;
}

export type CloudService = "keystone" | "nova" | "placement" | "glance" | "neutron" | "blazar";

/** A fault of region `RegionFaulty`; every field but `action` narrows it. See `faults/fault_rules.py`. */
export interface FaultRule {
  readonly service?: CloudService;
  readonly method?: string;
  /** Regular expression searched in path and query. */
  readonly path?: string;
  readonly action: "status" | "delay" | "hang" | "reset";
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly milliseconds?: number;
  /** The service gets the request; only its answer is lost. */
  readonly forward?: boolean;
  /** So many matching requests pass first. */
  readonly skip?: number;
  /** So many requests meet it. */
  readonly times?: number;
  readonly seconds?: number;
}

/** A request that came to region `RegionFaulty`. */
export interface ProxiedRequest {
  readonly at: number;
  readonly service: CloudService;
  readonly method: string;
  readonly path: string;
  /** 0 when there was no answer. */
  readonly status: number;
  readonly ms: number;
  /** Place of the rule it met in the list, from 0. */
  readonly rule: number | null;
}

export interface CloudObject {
  readonly id: string;
  readonly name: string;
}

/** Kinds of things a project can have, and where to ask for them. */
const KINDS = {
  servers: { service: "compute", path: "/servers/detail", key: "servers" },
  serverGroups: { service: "compute", path: "/os-server-groups", key: "server_groups" },
  keypairs: { service: "compute", path: "/os-keypairs", key: "keypairs" },
  networks: { service: "network", path: "/v2.0/networks", key: "networks" },
  subnets: { service: "network", path: "/v2.0/subnets", key: "subnets" },
  ports: { service: "network", path: "/v2.0/ports", key: "ports" },
  routers: { service: "network", path: "/v2.0/routers", key: "routers" },
  floatingIps: { service: "network", path: "/v2.0/floatingips", key: "floatingips" },
  securityGroups: { service: "network", path: "/v2.0/security-groups", key: "security_groups" },
  images: { service: "image", path: "/v2/images", key: "images" },
  leases: { service: "reservation", path: "/leases", key: "leases" },
} as const;
export type ObjectKind = keyof typeof KINDS;

/** Security groups that a site gives its members, and neutron's own. */
const OPERATORS_GROUPS = /^(default|allow-(ssh|http-80|\d+))$/;

const COMPUTE_QUOTAS = ["instances", "cores", "ram", "key_pairs", "server_groups"] as const;
const NETWORK_QUOTAS = [
  "network",
  "subnet",
  "port",
  "router",
  "floatingip",
  "security_group",
  "security_group_rule",
] as const;
export type Quota = (typeof COMPUTE_QUOTAS | typeof NETWORK_QUOTAS)[number];

/** The test cloud's folder: `$GOURMETGRAM_TESTCLOUD`, else `testcloud` in the cache. */
export function testCloudFolder(env: NodeJS.ProcessEnv = process.env): string {
  return env.GOURMETGRAM_TESTCLOUD ? resolve(env.GOURMETGRAM_TESTCLOUD) : join(cacheRoot(env), "testcloud");
}

/**
 * Starts the test cloud, or finds it started. Takes a minute or less once everything is installed, some minutes before.
 *
 * @throws Error with what the script said
 */
export async function startTestCloud(options: TestCloudOptions = {}): Promise<TestCloud> {
  const folder = testCloudFolder();
  const found = { cloud: isUp(folder, "nova-api"), machines: isUp(folder, "watcher") };
  const args = ["up"];
  if (options.fresh) args.push("--fresh");
  if (options.machines) args.push("--machines");
  if (options.tokenSeconds !== undefined) args.push("--token-seconds", String(options.tokenSeconds));
  await runScript(
    args,
    options.machineDir === undefined ? {} : { GOURMETGRAM_MACHINE_DIR: options.machineDir },
  );
  return new TestCloud(folder, found);
}

async function runScript(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  try {
    await run(script, [...args], { env: { ...process.env, ...env }, maxBuffer: 1 << 24 });
  } catch (problem) {
    const said = (problem as { stderr?: string }).stderr?.trim();
    throw new Error(`cloud.sh ${args.join(" ")}: ${said || problem}`);
  }
}

/** Whether a service of the cloud runs: its number is in a file, with the time it started. */
function isUp(folder: string, service: string): boolean {
  const file = join(folder, "run", `${service}.pid`);
  if (!existsSync(file)) return false;
  const [pid, start] = readFileSync(file, "utf8").trim().split(" ");
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && startTime(readFileSync(stat, "utf8")) === start;
}

/** A running test cloud. */
export class TestCloud {
  /** For `OS_CLIENT_CONFIG_FILE`: clouds `openstack` (application credential), `faulty`, `user`, `admin`. */
  readonly cloudsFile: string;
  /** One login per cloud entry; a token that is not accepted any more is replaced. */
  readonly #sessions = new Map<string, Promise<Session>>();

  constructor(
    readonly folder: string,
    /** What ran before this object was made; `stop` leaves that. */
    private readonly found: { readonly cloud: boolean; readonly machines: boolean },
  ) {
    this.cloudsFile = join(folder, "clouds.yaml");
  }

  /** Ends what `startTestCloud` started, and all faults. A cloud that was up before stays up. */
  async stop(): Promise<void> {
    await this.setFaults([]);
    if (!this.found.cloud) await runScript(["down"]);
    else if (!this.found.machines) await runScript(["down", "--machines"]);
  }

  /** Replaces all rules of region `RegionFaulty`; counting begins anew. */
  async setFaults(rules: readonly FaultRule[]): Promise<void> {
    const file = join(this.folder, "faults.json");
    if (rules.length === 0) return rm(file, { force: true });
    await writeFile(`${file}.new`, JSON.stringify(rules));
    await rename(`${file}.new`, file);
  }

  /** Requests that came to region `RegionFaulty`, the latest last. */
  proxiedRequests(since = 0): ProxiedRequest[] {
    const file = join(this.folder, "logs", "faults.jsonl");
    if (!existsSync(file)) return [];
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as ProxiedRequest)
      .filter(({ at }) => at >= since);
  }

  /** Everything in the project but what the cloud's operator put there, by kind. */
  async listAll(): Promise<Record<ObjectKind, CloudObject[]>> {
    const kinds = Object.keys(KINDS) as ObjectKind[];
    const { project } = await this.#session("user");
    const lists = await Promise.all(
      kinds.map(async (kind) => {
        const { service, path, key } = KINDS[kind];
        const answer = await this.request("user", service, "GET", path);
        return (answer[key] as Record<string, any>[])
          .map((entry) => (kind === "keypairs" ? entry.keypair : entry))
          .filter((entry) => [undefined, project].includes(entry.project_id ?? entry.owner))
          .filter((entry) => kind !== "securityGroups" || !OPERATORS_GROUPS.test(entry.name))
          .map((entry) => ({
            id: entry.id ?? entry.name,
            name: entry.name || entry.floating_ip_address || "",
          }));
      }),
    );
    return Object.fromEntries(kinds.map((kind, at) => [kind, lists[at]])) as Record<
      ObjectKind,
      CloudObject[]
    >;
  }

  /**
   * One request to an API, as a user of `clouds.yaml`.
   *
   * @returns the answer, `{}` for one without content
   * @throws Error with status and text of a refusal
   */
  async request(
    cloud: "user" | "admin",
    service: "compute" | "network" | "image" | "reservation",
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Record<string, any>> {
    const send = async () => {
      const session = await this.#session(cloud);
      return fetch(`${session.endpoints[service]}${path}`, {
        method,
        headers: {
          "X-Auth-Token": session.token,
          "Content-Type": "application/json",
          ...(service === "compute" ? { "OpenStack-API-Version": "compute 2.87" } : {}),
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
    };
    let answer = await send();
    if (answer.status === 401) {
      this.#sessions.delete(cloud);
      answer = await send();
    }
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${service} ${path}: ${answer.status} ${text}`);
    return text === "" ? {} : JSON.parse(text);
  }

  /** A new token of a user of `clouds.yaml`. */
  async token(cloud: "user" | "admin"): Promise<string> {
    return (await logIn(this.cloudsFile, cloud)).token;
  }

  /** Limits of the project; those not named stay as they are. */
  async setQuota(limits: Partial<Record<Quota, number>>): Promise<void> {
    const { project } = await this.#session("user");
    const some = (names: readonly string[]) =>
      Object.fromEntries(Object.entries(limits).filter(([name]) => names.includes(name)));
    const [compute, network] = [some(COMPUTE_QUOTAS), some(NETWORK_QUOTAS)];
    if (Object.keys(compute).length > 0) {
      await this.request("admin", "compute", "PUT", `/os-quota-sets/${project}`, { quota_set: compute });
    }
    if (Object.keys(network).length > 0) {
      await this.request("admin", "network", "PUT", `/v2.0/quotas/${project}`, { quota: network });
    }
  }

  /** Deletes a server behind its owner's back and waits until it is gone. */
  async deleteServer(id: string): Promise<void> {
    await this.request("admin", "compute", "DELETE", `/servers/${id}`);
    await until(`server ${id} is gone`, 60, async () => {
      const answer = await this.request("admin", "compute", "GET", `/servers/${id}`).catch(String);
      return typeof answer === "string" && answer.includes(": 404 ");
    });
  }

  /** What a broken host does to a server. */
  async setServerError(id: string): Promise<void> {
    await this.request("admin", "compute", "POST", `/servers/${id}/action`, {
      "os-resetState": { state: "error" },
    });
  }

  /** Takes a floating IP from its port; with `release` also from the project. */
  async takeFloatingIp(address: string, { release = false } = {}): Promise<void> {
    const path = "/v2.0/floatingips";
    const found = await this.request("admin", "network", "GET", `${path}?floating_ip_address=${address}`);
    const id = found.floatingips[0]?.id;
    if (id === undefined) throw new Error(`there is no floating IP ${address}`);
    if (release) await this.request("admin", "network", "DELETE", `${path}/${id}`);
    else await this.request("admin", "network", "PUT", `${path}/${id}`, { floatingip: { port_id: null } });
  }

  /** Lets a lease end as if its time were over, and waits until its servers are gone with it; takes up to 15 s. */
  async endLease(id: string): Promise<void> {
    if (!/^[-0-9a-f]+$/.test(id)) throw new Error(`no lease: ${id}`);
    // The interface takes whole minutes that are not over yet.
    await this.sql(
      `update blazar.events set time = utc_timestamp() where lease_id = '${id}' and status = 'UNDONE';
       update blazar.leases set end_date = utc_timestamp() where id = '${id}'`,
    );
    await until(`lease ${id} has ended`, 60, async () => {
      const { lease } = await this.request("user", "reservation", "GET", `/leases/${id}`);
      return lease.status === "TERMINATED";
    });
  }

  /** Rows of a query to the cloud's databases (keystone, nova, neutron, glance, placement, blazar). */
  async sql(query: string): Promise<string[][]> {
    const socket = `--socket=${join(this.folder, "run", "mysql.sock")}`;
    const { stdout } = await run("mariadb", [
      ...["--no-defaults", socket, "--user=root", "--batch", "--skip-column-names"],
      ...["--execute", query],
    ]);
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split("\t"));
  }

  /** Servers with a machine on this host, running or not. */
  machines(): { readonly server: string; readonly folder: string }[] {
    const folder = join(this.folder, "machines");
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .map((server) => ({ server, folder: join(folder, server, "machine") }))
      .filter((machine) => existsSync(machine.folder));
  }

  #session(cloud: string): Promise<Session> {
    let session = this.#sessions.get(cloud);
    if (session === undefined) {
      session = logIn(this.cloudsFile, cloud);
      this.#sessions.set(cloud, session);
    }
    return session;
  }
}

interface Session {
  readonly token: string;
  readonly project: string;
  readonly endpoints: Readonly<Record<string, string>>;
}

async function logIn(file: string, name: string): Promise<Session> {
  const entry = parse(readFileSync(file, "utf8")).clouds[name];
  const { auth_url, username, password, project_name } = entry.auth;
  const domain = { id: "default" };
  const answer = await fetch(`${auth_url}/auth/tokens`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      auth: {
        identity: {
          methods: ["password"],
          password: { user: { name: username, domain, password } },
        },
        scope: { project: { name: project_name, domain } },
      },
    }),
  });
  if (!answer.ok) throw new Error(`login as ${name}: ${answer.status} ${await answer.text()}`);
  const { token } = (await answer.json()) as { token: any };
  const endpoints = token.catalog.map((service: any) => [
    service.type,
    service.endpoints.find((one: any) => one.interface === "public" && one.region_id === entry.region_name)
      ?.url,
  ]);
  return {
    token: answer.headers.get("X-Subject-Token") ?? "",
    project: token.project.id,
    endpoints: Object.fromEntries(endpoints),
  };
}

/** Waits for something to become true. */
export async function until(
  what: string,
  seconds: number,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}
