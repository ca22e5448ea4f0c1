import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import {
  type CloudObject,
  type FaultRule,
  type ObjectKind,
  startTestCloud,
  TestCloud,
  until,
} from "../openstack/testCloud";
import { type CommandResult, EnvironmentUnderTest, killTree, run, start } from "./environmentUnderTest";

/** Enough for every test; those about limits lower what they are about. */
export const LIMITS = {
  ...{ instances: 10, cores: 20, ram: 51200, key_pairs: 10, server_groups: 10, router: 5, floatingip: 5 },
  ...{ network: 10, subnet: 10, port: 50, security_group: 10, security_group_rule: 100 },
} as const;

/** Ids by kind and name; an address is its own name. */
export type Ids = Partial<Record<ObjectKind, Readonly<Record<string, string>>>>;

/**
 * A project of the test cloud that belongs to one test file: its limits and contents meet nobody else's work on the same cloud.
 * Everything of the driver is about this project; `clouds.yaml` has the same entries.
 */
export class ProjectUnderTest extends TestCloud {
  override readonly cloudsFile: string;
  private readonly password = randomBytes(16).toString("hex");

  private constructor(
    private readonly cloud: TestCloud,
    private readonly project: string,
    private readonly home: string,
  ) {
    super(cloud.folder, { cloud: true, machines: true });
    this.cloudsFile = join(home, "clouds.yaml");
  }

  /** The project and its one user; a project that a killed run left is taken. The cloud is started when it is not up. */
  static async open(name: string): Promise<ProjectUnderTest> {
    const cloud = await startTestCloud();
    const project = new ProjectUnderTest(cloud, name, mkdtempSync(join(tmpdir(), `${name}-`)));
    await project.make();
    await project.setQuota(LIMITS);
    return project;
  }

  /** Removes project and user, not what is in it, and stops the cloud if it was started for it. */
  async close(): Promise<void> {
    await this.setFaults([]);
    for (const kind of ["user", "project"] as const) await this.removeNamed(kind);
    await this.cloud.stop();
    rmSync(this.home, { recursive: true, force: true });
  }

  /** An image whose servers become no machines on this host. */
  async addImage(name: string): Promise<void> {
    const described = { name, disk_format: "raw", container_format: "bare" };
    const { id } = await this.request("user", "image", "POST", "/v2/images", described);
    const answer = await fetch(`http://127.0.0.1:9292/v2/images/${id}/file`, {
      method: "PUT",
      headers: { "X-Auth-Token": await this.token("user"), "Content-Type": "application/octet-stream" },
      body: Buffer.alloc(65536),
    });
    if (!answer.ok) throw new Error(`image ${name}: ${answer.status} ${await answer.text()}`);
  }

  /** What a site does to old images. */
  async removeImage(name: string): Promise<void> {
    const { images } = await this.request("user", "image", "GET", `/v2/images?name=${name}`);
    for (const { id } of images) await this.request("user", "image", "DELETE", `/v2/images/${id}`);
  }

  /** Ids of everything in the project but images. */
  async ids(): Promise<Ids> {
    const { images: _, ...all } = await this.listAll();
    const byName = (objects: readonly CloudObject[]) =>
      Object.fromEntries(objects.map(({ id, name }) => [name, id]));
    return Object.fromEntries(Object.entries(all).map(([kind, objects]) => [kind, byName(objects)]));
  }

  /** Names of everything in the project but images, by the kinds there are; each as often as it is there. */
  async contents(): Promise<Partial<Record<ObjectKind, readonly string[]>>> {
    const { images: _, ...all } = await this.listAll();
    return Object.fromEntries(
      Object.entries(all)
        .filter(([, objects]) => objects.length > 0)
        .map(([kind, objects]) => [kind, objects.map(({ name }) => name).sort()]),
    );
  }

  network(method: string, path: string, body?: object): Promise<Record<string, any>> {
    return this.request("user", "network", method, `/v2.0${path}`, body);
  }

  /** Name of the port an address leads to. */
  async leadsTo(address: string): Promise<string | undefined> {
    const { floatingips } = await this.network("GET", `/floatingips?floating_ip_address=${address}`);
    const port = floatingips[0].port_id;
    return port === null ? undefined : (await this.network("GET", `/ports/${port}`)).port.name;
  }

  /** What may come in through the groups that were made here: port and source. */
  async openPorts(): Promise<string[]> {
    const groups = Object.values((await this.ids()).securityGroups ?? {});
    const { security_group_rules: rules } = await this.network(
      "GET",
      "/security-group-rules?direction=ingress",
    );
    return rules
      .filter((rule: any) => groups.includes(rule.security_group_id))
      .map((rule: any) => `${rule.port_range_min} from ${rule.remote_ip_prefix}`)
      .sort();
  }

  /** Removes what tests put there by hand, in the order in which the cloud lets go. */
  async empty(): Promise<void> {
    const all = await this.listAll();
    for (const kind of ["floatingIps", "ports", "networks"] as const) {
      for (const { id } of all[kind]) await this.network("DELETE", `/${kind.toLowerCase()}/${id}`);
    }
    for (const { id } of all.keypairs) await this.request("user", "compute", "DELETE", `/os-keypairs/${id}`);
    for (const { id } of all.images) await this.request("user", "image", "DELETE", `/v2/images/${id}`);
  }

  /** Waits until a server that is being made is ACTIVE, then lets its host break. */
  async breakServer(name: string): Promise<void> {
    const find = async () => {
      const { servers } = await this.request("user", "compute", "GET", "/servers/detail");
      return servers.find((server: any) => server.name === name && server.status === "ACTIVE")?.id;
    };
    await until(`${name} is ACTIVE`, 120, async () => (await find()) !== undefined);
    await this.setServerError(await find());
  }

  /** Faults while something runs; they are about region `RegionFaulty`, whoever uses it. */
  async withFaults<T>(rules: readonly FaultRule[], use: () => Promise<T>): Promise<T> {
    await this.setFaults(rules);
    try {
      return await use();
    } finally {
      await this.setFaults([]);
    }
  }

  /** Requests through the fault proxy that could have changed something. */
  writes(since: number): string[] {
    return this.proxiedRequests(since)
      .filter(({ service, method }) => service !== "keystone" && method !== "GET")
      .map(({ method, path }) => `${method} ${path}`);
  }

  private async make(): Promise<void> {
    const found = await this.identity("GET", `/projects?name=${this.project}`);
    const project = found.projects[0]?.id ?? (await this.create("project", {}));
    await this.removeNamed("user");
    const user = await this.create("user", { password: this.password });
    const { roles } = await this.identity("GET", "/roles");
    for (const { id } of roles.filter(({ name }: { name: string }) => ["member", "reader"].includes(name))) {
      await this.identity("PUT", `/projects/${project}/users/${user}/roles/${id}`);
    }
    this.writeClouds();
    const secret = randomBytes(16).toString("hex");
    const { application_credential: made } = await this.identity(
      "POST",
      `/users/${user}/application_credentials`,
      { application_credential: { name: "e2e", secret } },
      await this.token("user"),
    );
    this.writeClouds({ id: made.id, secret });
  }

  private async create(kind: "project" | "user", more: object): Promise<string> {
    const made = await this.identity("POST", `/${kind}s`, { [kind]: { name: this.project, ...more } });
    return made[kind].id;
  }

  private async removeNamed(kind: "project" | "user"): Promise<void> {
    const found = await this.identity("GET", `/${kind}s?name=${this.project}`);
    for (const { id } of found[`${kind}s`]) await this.identity("DELETE", `/${kind}s/${id}`);
  }

  /** The cloud's own file with another login. */
  private writeClouds(credential?: { readonly id: string; readonly secret: string }): void {
    const { clouds } = parse(readFileSync(this.cloud.cloudsFile, "utf8"));
    const { project, password } = this;
    Object.assign(clouds.user.auth, { username: project, password, project_name: project });
    for (const name of ["openstack", "faulty"]) {
      clouds[name].auth.application_credential_id = credential?.id;
      clouds[name].auth.application_credential_secret = credential?.secret;
    }
    writeFileSync(this.cloudsFile, stringify({ clouds }), { mode: 0o600 });
  }

  private async identity(method: string, path: string, body?: unknown, token?: string): Promise<any> {
    const answer = await fetch(`http://127.0.0.1:5000/v3${path}`, {
      method,
      headers: {
        "X-Auth-Token": token ?? (await this.cloud.token("admin")),
        "Content-Type": "application/json",
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? {} : JSON.parse(text);
  }
}

/** Settings as a user writes them. */
export type Settings = Parameters<EnvironmentUnderTest["configure"]>[0];

/** An environment whose machines are in a project under test: nothing else runs on them, so a graph ends there. */
export class ProjectEnvironment extends EnvironmentUnderTest {
  constructor(
    stack: string,
    readonly project: ProjectUnderTest,
    /** What else the shell of its user has set. */
    private readonly shell: NodeJS.ProcessEnv = {},
  ) {
    super(stack);
  }

  override command(name: string, ...args: string[]): Promise<CommandResult> {
    return run("node", ["tools/run.mjs", name, this.stack, ...args], { env: this.env });
  }

  override tryCommand(name: string, ...args: string[]): Promise<CommandResult> {
    return run("node", ["tools/run.mjs", name, this.stack, ...args], { env: this.env, allowFailure: true });
  }

  override startCommand(name: string, ...args: string[]): ReturnType<typeof start> {
    return start("node", ["tools/run.mjs", name, this.stack, ...args], { env: this.env });
  }

  /** What `preview` says of settings: operation, type and name of each resource, and the nodes that lose data. */
  async plan(settings: Settings): Promise<{ changes: string[]; loses: string[] }> {
    this.configure(settings);
    const { stdout, stderr } = await this.command("preview");
    return {
      changes: [...stdout.matchAll(/^ {2}\S+ +(\w+) +(\w+) machines-(\S+)/gm)]
        .map(([, op, type, name]) => `${op} ${type} ${name}`)
        .sort(),
      loses: [...stderr.matchAll(/DATA LOSS {2}(\w+)/g)].map(([, node]) => node as string),
    };
  }

  /** Starts a command and waits until the fault proxy has seen a request of it. */
  async startUntil(method: string, path: RegExp, name: string, ...args: string[]) {
    const since = Date.now() / 1000;
    const started = this.startCommand(name, ...args);
    const seen = () =>
      this.project
        .proxiedRequests(since)
        .some((request) => request.method === method && path.test(request.path));
    await until(`${method} ${path}`, 300, () => started.child.exitCode !== null || seen());
    if (started.child.exitCode !== null) throw new Error((await started.done).stderr);
    return started;
  }

  /** Kills a command, its engine and its plugins right after a request of it was answered. */
  async killAfter(method: string, path: RegExp, name: string, ...args: string[]): Promise<void> {
    const { child, done } = await this.startUntil(method, path, name, ...args);
    killTree(child.pid as number);
    await done;
  }

  /** Removes whatever is there of it and else in its project, however a former run ended. */
  async remove(): Promise<void> {
    await this.project.setQuota(LIMITS);
    const { code } = await this.tryCommand("destroy", "--yes");
    await this.tryCommand("audit", "--remove", "--yes");
    await this.project.empty();
    // Of a former run in a project that is no more.
    if (code !== 0) await this.command("destroy", "--forget", "--yes");
  }

  private get env(): NodeJS.ProcessEnv {
    const { cloudsFile } = this.project;
    return { OS_CLIENT_CONFIG_FILE: cloudsFile, GOURMETGRAM_UP_TO: "machines", ...this.shell };
  }
}

/** Kind and name of what is another thing now, or gone. */
export function changedIds(before: Ids, after: Ids): string[] {
  return (Object.entries(before) as [ObjectKind, Record<string, string>][])
    .flatMap(([kind, objects]) =>
      Object.keys(objects)
        .filter((name) => after[kind]?.[name] !== objects[name])
        .map((name) => `${kind} ${name}`),
    )
    .sort();
}

/** Errors of a run by resource, each with its next step; the name is a pattern. */
export function errorIn(resource: string, stderr: string): string {
  const found = new RegExp(`^Error in ${resource}:\n[\\s\\S]*?^ {2}next: .*$`, "m").exec(stderr)?.[0];
  if (found === undefined) throw new Error(`no error of ${resource} in:\n${stderr}`);
  return found;
}

/** Steps one after another, beside the tests, because most of their time is waiting. Each test waits for its own. */
export class Story {
  private last: Promise<unknown> = Promise.resolve();

  step<T>(tell: () => Promise<T>): Promise<T> {
    const told = this.last.then(tell);
    // A failure is reported by the test that waits for it.
    told.catch(() => undefined);
    this.last = told;
    return told;
  }

  /** When it has ended, well or not. */
  get ended(): Promise<unknown> {
    return this.last.catch(() => undefined);
  }
}
