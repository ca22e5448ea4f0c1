/** Proves: password lines as nginx reads them, and which tags the nightly clean-up takes, by running its script against fake services. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { passwordLine } from "../../k8s/registry/registryLogin";
import { checkRetention } from "../../k8s/registry/registryRetention";

describe("password lines", () => {
  test("are salted SHA-1 as nginx computes it", () => {
    const line = passwordLine("push", "geheim");
    const stored = Buffer.from(/^push:\{SSHA\}(.+)\n$/.exec(line)?.[1] ?? "", "base64");
    const [digest, salt] = [stored.subarray(0, 20), stored.subarray(20)];
    expect(salt).toHaveLength(8);
    expect(digest).toEqual(createHash("sha1").update("geheim").update(salt).digest());
  });

  test("are the same for the same password, and differ by user", () => {
    expect(passwordLine("pull", "a")).toBe(passwordLine("pull", "a"));
    expect(passwordLine("pull", "a").slice(5)).not.toBe(passwordLine("push", "a").slice(5));
  });
});

test("retention reports every wrong argument", () => {
  expect(checkRetention({ keepTags: 0, schedule: "daily" }).map(({ path }) => path)).toEqual([
    "keepTags",
    "schedule",
  ]);
  expect(checkRetention({})).toEqual([]);
});

describe("prune_registry.py", () => {
  const digest = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`;
  const commit = (text: string) => createHash("sha1").update(text).digest("hex");
  /** Repository -> tag -> what the tag's digest is made of. */
  let repositories: Record<string, Record<string, string>>;
  let deployments: string[];
  let ledger: object[] | undefined;
  let requests: { method: string; url: string; authorization: string; body: string }[];
  let server: Server;
  let folder: string;

  beforeEach(async () => {
    repositories = {};
    deployments = [];
    ledger = [];
    requests = [];
    folder = mkdtempSync(join(tmpdir(), "prune-"));
    server = createServer(async (request, response) => {
      const body = await textOf(request);
      const { method = "", url = "" } = request;
      requests.push({ method, url, authorization: request.headers.authorization ?? "", body });
      const answer = answerTo(method, url);
      response.writeHead(answer.status ?? 200, answer.headers).end(JSON.stringify(answer.body ?? {}));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterEach(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Answer {
    status?: number;
    headers?: Record<string, string>;
    body?: unknown;
  }

  function answerTo(method: string, url: string): Answer {
    const path = url.split("?")[0] ?? "";
    if (path === "/v2/_catalog") {
      const names = Object.keys(repositories);
      // Two pages, as a registry with many repositories answers.
      return url.includes("last=")
        ? { body: { repositories: names.slice(1) } }
        : {
            body: { repositories: names.slice(0, 1) },
            headers: names.length > 1 ? { Link: `</v2/_catalog?n=100&last=x>; rel="next"` } : {},
          };
    }
    if (path.endsWith("/deployments")) return { body: { items: deployments.map((image) => ({ image })) } };
    if (path.endsWith("/ledgerentries")) {
      return ledger ? { body: { items: ledger } } : { status: 404 };
    }
    if (method === "PATCH") return { body: {} };
    const tags = /^\/v2\/(.+)\/tags\/list$/.exec(path);
    if (tags?.[1]) {
      const found = Object.keys(repositories[tags[1]] ?? {});
      return found.length > 0 ? { body: { tags: found } } : { status: 404 };
    }
    const manifest = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(path);
    if (manifest?.[1] && manifest[2]) {
      const tag = manifest[2];
      const content = repositories[manifest[1]]?.[tag] ?? "";
      if (method === "DELETE") delete repositories[manifest[1]]?.[tag];
      return {
        headers: { "Docker-Content-Digest": digest(content) },
        body: { config: { digest: `config-${content}` } },
      };
    }
    // The configuration of an image says when it was made: here, its content.
    const blob = /\/blobs\/config-(.+)$/.exec(path);
    return blob ? { body: { created: blob[1] } } : { status: 500 };
  }

  async function prune(keep: number): Promise<{ code: number | null; output: string }> {
    const host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const login = { username: "push", password: "geheim" };
    const auths = { [host.replace("http://", "")]: login };
    writeFileSync(join(folder, "config.json"), JSON.stringify({ auths }));
    writeFileSync(join(folder, "token"), "robot\n");
    const script = join(projectRoot(), "k8s/registry/scripts/prune_registry.py");
    const child = spawn("python3", ["-B", script], {
      env: {
        PATH: process.env["PATH"],
        REGISTRY: host,
        REGISTRY_CA: "",
        LOGIN: join(folder, "config.json"),
        KEEP: String(keep),
        STAGE_NAMESPACES: "gourmetgram-staging gourmetgram-production",
        LEDGER_NAMESPACE: "argo",
        DEPLOYMENT: "kube-system/registry",
        KUBERNETES: host,
        SERVICE_ACCOUNT: folder,
      },
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { code, output };
  }

  test("keeps the highest numbers of each family, and what has no number", async () => {
    repositories = {
      app: { "app-1.0.2": "a2", "app-1.0.10": "a10", "app-1.0.9": "a9", "staging-1.0.2": "s2", cache: "c" },
      "base/python": { "3.11": "p" },
    };
    expect(await prune(2)).toMatchObject({ code: 0 });
    expect(Object.keys(repositories["app"] ?? {})).toEqual([
      "app-1.0.10",
      "app-1.0.9",
      "staging-1.0.2",
      "cache",
    ]);
    expect(Object.keys(repositories["base/python"] ?? {})).toEqual(["3.11"]);
  });

  test("keeps the newest commits by the time their images were made", async () => {
    repositories = {
      train: { [commit("x")]: "2026-01-03", [commit("y")]: "2026-01-01", [commit("z")]: "2026-01-02" },
    };
    await prune(2);
    expect(Object.keys(repositories["train"] ?? {}).sort()).toEqual([commit("x"), commit("z")].sort());
  });

  test("keeps what a stage runs, and what the ledger names in the last two changes of a stage", async () => {
    repositories = { app: Object.fromEntries([1, 2, 3, 4, 5, 6].map((n) => [`app-1.0.${n}`, `d${n}`])) };
    deployments = [`host/app@${digest("d1")}`];
    const entry = (at: string, action: string, to: string) => ({
      spec: { stage: "staging", at, action, to: { digest: digest(to) } },
    });
    ledger = [
      entry("2026-01-04", "failed", "d5"),
      entry("2026-01-03", "deployed", "d4"),
      entry("2026-01-02", "reverted", "d3"),
      entry("2026-01-01", "deployed", "d2"),
    ];
    const { output } = await prune(1);
    expect(Object.keys(repositories["app"] ?? {})).toEqual([
      "app-1.0.1",
      "app-1.0.3",
      "app-1.0.4",
      "app-1.0.6",
    ]);
    expect(output).toContain("kept app:app-1.0.1: in use");
  });

  test("asks the registry's pod to collect, with its own login at each service", async () => {
    repositories = { app: { "app-1.0.1": "a", "app-1.0.2": "b" } };
    ledger = undefined;
    expect(await prune(1)).toMatchObject({ code: 0 });
    const patch = requests.at(-1);
    expect(patch).toMatchObject({ method: "PATCH", authorization: "Bearer robot" });
    expect(patch?.url).toMatch(/^\/apis\/apps\/v1\/namespaces\/kube-system\/deployments\/registry\?/);
    expect(JSON.parse(patch?.body ?? "{}").spec.template.metadata.annotations).toEqual({
      "gourmetgram.dev/collect": expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    const deletion = requests.find(({ method }) => method === "DELETE");
    expect(deletion?.authorization).toBe(`Basic ${Buffer.from("push:geheim").toString("base64")}`);
  });

  test("removes nothing when it cannot learn what is in use", async () => {
    repositories = { app: { "app-1.0.1": "a", "app-1.0.2": "b" } };
    const listed = answerTo;
    server.removeAllListeners("request");
    server.on("request", (request, response) => {
      const answer = request.url?.includes("/deployments")
        ? { status: 403 }
        : listed(request.method ?? "", request.url ?? "");
      response.writeHead(answer.status ?? 200).end(JSON.stringify({}));
    });
    const { code, output } = await prune(1);
    expect(code).toBe(1);
    expect(output).toContain("403");
    expect(Object.keys(repositories["app"] ?? {})).toHaveLength(2);
  });
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}
