/** k8s/argo/scripts/revisit.py: when it decides that a workflow needs a look, and what it does against an API server. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { projectRoot } from "../../components/sourceFile";

const folder = join(projectRoot(), "k8s/argo/scripts");
const script = join(folder, "revisit.py");

interface Look {
  /** Seconds on the script's clock. */
  readonly at: number;
  /** A new version of the workflow, when it has changed. */
  readonly version?: string;
  readonly nodes?: Readonly<Record<string, object>>;
  /** Nodes with a pod that has not ended; null when not known. */
  readonly alive?: readonly string[] | null;
}

/** At which of the looks the script would have the controller look again. */
function decide(looks: readonly Look[]): number[] {
  const program = `
import json, sys
from revisit import Limits, Seen, compare, learn, reason
seen, limits, found = Seen(), Limits(), []
for look in json.load(sys.stdin):
    now = look["at"]
    if "nodes" in look:
        learn(seen, look.get("version", "1"), look["nodes"], now)
    alive = look.get("alive", [])
    compare(seen, None if alive is None else set(alive), now)
    if reason(seen, now, limits):
        found.append(now)
        seen.revisited = now
print(json.dumps(found))
`;
  const ran = spawnSync("python3", ["-B", "-c", program], {
    env: { ...process.env, PYTHONPATH: folder },
    input: JSON.stringify(looks),
    encoding: "utf8",
  });
  expect(ran.status, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout);
}

/** Looks every 20 s, of which the first shows the nodes. */
function watch(nodes: Readonly<Record<string, object>>, alive: readonly string[] | null = []): number[] {
  const times = Array.from({ length: 11 }, (_, index) => index * 20);
  return decide(times.map((at) => ({ at, alive, ...(at === 0 && { nodes }) })));
}

describe("a workflow gets a look", () => {
  test.each(["Failed", "Error", "Succeeded"])("when the results of a pod that is %s stay away", (phase) => {
    expect(watch({ a: { type: "Pod", phase, taskResultSynced: false } })).toEqual([40, 100, 160]);
  });

  test("when a step runs without a pod and nothing changes", () => {
    expect(watch({ a: { type: "Pod", phase: "Running" } })).toEqual([60, 120, 180]);
  });

  test("for the time the results have been awaited, whatever else changes", () => {
    const nodes = { a: { type: "Pod", phase: "Failed", taskResultSynced: false } };
    const looks = [0, 20, 40].map((at) => ({ at, nodes, version: String(at) }));
    expect(decide(looks)).toEqual([40]);
  });
});

describe("a workflow is left alone", () => {
  test.each([
    ["its results are there", { type: "Pod", phase: "Failed", taskResultSynced: true }],
    ["it awaits none", { type: "Pod", phase: "Succeeded" }],
    ["it is no pod", { type: "Retry", phase: "Failed", taskResultSynced: false }],
    ["it waits for a lock", { type: "Pod", phase: "Pending", taskResultSynced: false }],
  ])("when of its node %s", (_, node) => {
    expect(watch({ a: node })).toEqual([]);
  });

  test("when its pod runs, or nobody knows whether it does", () => {
    const nodes = { a: { type: "Pod", phase: "Running", taskResultSynced: false } };
    expect(watch(nodes, ["a"])).toEqual([]);
    expect(watch(nodes, null)).toEqual([]);
  });

  test("when its pod ended just now, after long quiet", () => {
    const nodes = { a: { type: "Pod", phase: "Running" } };
    expect(
      decide([
        { at: 0, nodes, alive: ["a"] },
        { at: 500, alive: ["a"] },
        { at: 520, alive: [] },
        { at: 540, alive: [] },
      ]),
    ).toEqual([]);
  });

  test("while it changes, though a pod is missing", () => {
    const nodes = { a: { type: "Pod", phase: "Running" } };
    const looks = [0, 20, 40, 60, 80, 100].map((at) => ({ at, nodes, version: String(at) }));
    expect(decide(looks)).toEqual([]);
  });
});

describe("against an API server", () => {
  const account = mkdtempSync(join(tmpdir(), "revisit-"));
  let server: Server;
  let child: ChildProcess | undefined;
  let requests: { method: string; url: URL; headers: IncomingMessage["headers"]; body: string }[];
  let answer: (method: string, path: string) => { status?: number; body?: unknown };
  let output: string;

  const workflow = (name: string, node: object) => ({
    metadata: { name, uid: `uid-${name}`, resourceVersion: "7" },
    status: { nodes: { [`${name}-1`]: { type: "Pod", ...node } } },
  });
  const workflows = [
    workflow("stuck", { phase: "Failed", taskResultSynced: false }),
    workflow("lost", { phase: "Running", taskResultSynced: false }),
    workflow("well", { phase: "Running", taskResultSynced: false }),
  ];
  const base = "/apis/argoproj.io/v1alpha1/namespaces/argo/workflows";
  const pods = [{ metadata: { annotations: { "workflows.argoproj.io/node-id": "well-1" } } }];

  function usual(_method: string, path: string): { status?: number; body?: unknown } {
    if (path === base) {
      return { body: { metadata: {}, items: workflows.map(({ metadata }) => ({ metadata })) } };
    }
    if (path === "/api/v1/namespaces/argo/pods") return { body: { metadata: {}, items: pods } };
    const found = workflows.find(({ metadata }) => path === `${base}/${metadata.name}`);
    return found ? { body: found } : { status: 404 };
  }

  beforeEach(async () => {
    writeFileSync(join(account, "token"), "robot\n");
    requests = [];
    output = "";
    answer = usual;
    server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        const url = new URL(request.url ?? "", "http://api");
        const method = request.method ?? "";
        requests.push({ method, url, headers: request.headers, body });
        const { status = 200, body: content = {} } = answer(method, url.pathname);
        response.writeHead(status).end(typeof content === "string" ? content : JSON.stringify(content));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => {
    child?.kill("SIGKILL");
    server.closeAllConnections();
    server.close();
  });
  afterAll(() => rmSync(account, { recursive: true }));

  function start(url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`): ChildProcess {
    const started = spawn("python3", ["-I", "-S", "-B", script], {
      env: {
        PATH: process.env["PATH"],
        NAMESPACE: "argo",
        KUBERNETES: url,
        SERVICE_ACCOUNT: account,
        INTERVAL: "0.1",
        ENDED: "0.3",
        MISSING: "0.3",
      },
    });
    for (const stream of [started.stdout, started.stderr]) {
      stream.on("data", (chunk) => {
        output += chunk;
      });
    }
    child = started;
    return started;
  }

  const seen = (check: () => boolean) =>
    expect.poll(check, { timeout: 10_000, interval: 50, message: "revisit" }).toBe(true);
  const patched = () =>
    requests.filter(({ method }) => method === "PATCH").map(({ url }) => url.pathname.split("/").at(-1));

  test("annotates the two that hang, once, and no other; reads each workflow once", async () => {
    start();
    await seen(() => patched().length === 2);
    const rounds = () => requests.filter(({ url }) => url.pathname === base).length;
    const before = rounds();
    await seen(() => rounds() > before + 3);
    expect(patched().toSorted()).toEqual(["lost", "stuck"]);
    const patch = requests.find(({ method }) => method === "PATCH");
    expect(patch?.headers).toMatchObject({
      authorization: "Bearer robot",
      "content-type": "application/merge-patch+json",
    });
    expect(JSON.parse(patch?.body ?? "")).toEqual({
      metadata: { annotations: { "gourmetgram.dev/revisited-at": expect.stringMatching(/^\d{4}-.*T/) } },
    });
    const list = requests.find(({ url }) => url.pathname === base);
    expect(list?.url.searchParams.get("labelSelector")).toBe("workflows.argoproj.io/completed!=true");
    expect(list?.headers.accept).toContain("PartialObjectMetadataList");
    const read = requests.filter(
      ({ method, url }) => method === "GET" && url.pathname.startsWith(`${base}/`),
    );
    expect(read.length).toBe(workflows.length);
    expect(output).toMatch(/^revisit stuck: the pod of stuck-1 has ended/m);
  });

  test("goes on after errors of any kind, with one line each, and with the other workflows", async () => {
    const wrong = [
      { status: 500, body: "no\nleader" },
      { body: "no JSON" },
      { body: [] },
      { body: { items: [{}] } },
    ];
    let asked = 0;
    answer = (method, path) => {
      if (path === base && asked < wrong.length) return wrong[asked++] ?? {};
      if (path === `${base}/lost`) return { status: 403, body: "forbidden" };
      return usual(method, path);
    };
    start();
    await seen(() => patched().includes("stuck"));
    expect(output).not.toContain("Traceback");
    expect(output.split("\n")[0]).toMatch(/^Refused: GET .*workflows: 500 no leader$/);
    expect(output).toMatch(/^Refused: GET .*\/lost: 403 forbidden$/m);
    expect(child?.exitCode).toBeNull();
  }, 30_000);

  test("ends at once by SIGTERM, also when nobody answers", async () => {
    const started = start("http://127.0.0.1:1");
    await seen(() => output.includes("ConnectionRefusedError"));
    const begin = Date.now();
    started.kill("SIGTERM");
    const code = await new Promise<number | null>((resolve) => started.on("close", resolve));
    expect(code).toBe(0);
    expect(Date.now() - begin).toBeLessThan(2000);
    expect(output).not.toContain("Traceback");
  });
});
