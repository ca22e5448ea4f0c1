import { execFile, execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type RepositorySeed, readSeedFolder, renderSeed, type SeedFile, seedSize } from "../../k8s/git/seed";
import { root } from "../support/sources";

const run = promisify(execFile);
const scripts = join(root, "k8s/git/scripts");
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "git-"));
});
// What the hook left running may still write for a moment.
afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 30, retryDelay: 100 }));

describe("a seed as a ConfigMap", () => {
  const seed: RepositorySeed = {
    branch: "main",
    files: { "a/model.py": "one", "b/model.py": "two", "b/data.bin": { base64: "AAEC" } },
  };

  test("has each file under a key the API server takes, and the way back to its path", () => {
    const { data, binaryData } = renderSeed(seed);
    const keys = Object.keys({ ...data, ...binaryData });
    for (const key of keys) expect(key).toMatch(/^[-._a-zA-Z0-9]+$/);
    expect(keys).toHaveLength(5);
    const paths = new Map(
      (data["paths"] ?? "")
        .trim()
        .split("\n")
        .map((line) => line.split(" ").reverse() as [string, string]),
    );
    expect([...paths.keys()]).toEqual(["a/model.py", "b/data.bin", "b/model.py"]);
    expect(data[paths.get("b/model.py") ?? ""]).toBe("two");
    expect(binaryData[paths.get("b/data.bin") ?? ""]).toBe("AAEC");
  });

  test("is measured in the bytes of its files", () => {
    const size = (files: Record<string, SeedFile>) => seedSize(renderSeed({ branch: "main", files }));
    const empty = size({ x: "" });
    expect(size({ x: "é".repeat(10) }) - empty).toBe(20);
    expect(size({ x: { base64: Buffer.alloc(30).toString("base64") } }) - empty).toBe(30);
  });

  test("is read from a folder, without what work leaves behind", () => {
    const files = readSeedFolder("k8s/git/scripts", "docs");
    expect(files["docs/git-seed.sh"]).toBe(readFileSync(join(scripts, "git-seed.sh"), "utf8"));
    const stray = join(scripts, "__pycache__");
    mkdirSync(stray);
    try {
      writeFileSync(join(stray, "x"), "");
      expect(readSeedFolder("k8s/git/scripts", "docs")).toEqual(files);
    } finally {
      rmSync(stray, { recursive: true });
    }
  });
});

describe("seeding", () => {
  const name = "demo";

  test("makes a repository with the content on its branch", () => {
    seedWith({ "docs/read me.txt": "hello\n", ".gitignore": "*.txt\n", "bytes.bin": { base64: "AP8=" } });
    expect(git("symbolic-ref", "HEAD")).toBe("refs/heads/main");
    expect(git("ls-tree", "-r", "--name-only", "main").split("\n")).toEqual([
      ".gitignore",
      "bytes.bin",
      "docs/read me.txt",
    ]);
    expect(git("show", "main:docs/read me.txt")).toBe("hello");
    expect(git("cat-file", "-s", "main:bytes.bin")).toBe("2");
  });

  test("does nothing when nothing changed, also after a commit", () => {
    seedWith({ a: "1" });
    seedWith({ a: "1" });
    expect(git("rev-list", "--count", "main")).toBe("1");
    commit("main", "mine");
    const head = git("rev-parse", "main");
    seedWith({ a: "1" });
    expect(git("rev-parse", "main")).toBe(head);
    expect(branches()).toEqual(["main"]);
  });

  test("moves a branch on that nobody committed to, with its history", () => {
    seedWith({ a: "1", gone: "x" });
    seedWith({ a: "2" });
    expect(git("show", "main:a")).toBe("2");
    expect(git("ls-tree", "--name-only", "main")).toBe("a");
    expect(git("rev-list", "--count", "main")).toBe("2");
  });

  test("leaves commits of people alone, and puts the new content beside them", () => {
    seedWith({ a: "1" });
    commit("main", "mine");
    const mine = git("rev-parse", "main");
    seedWith({ a: "2" });
    expect(git("rev-parse", "main")).toBe(mine);
    expect(git("show", "seed:a")).toBe("2");
    seedWith({ a: "3" });
    expect(git("rev-parse", "main")).toBe(mine);
    expect(git("show", "seed:a")).toBe("3");
    // Once people take the seed, it moves their branch again.
    git("update-ref", "refs/heads/main", "refs/heads/seed");
    seedWith({ a: "4" });
    expect(git("show", "main:a")).toBe("4");
  });

  test("never overwrites commits on the branch it puts content beside", () => {
    seedWith({ a: "1" });
    commit("main", "mine");
    seedWith({ a: "2" });
    commit("seed", "also mine");
    const mine = git("rev-parse", "seed");
    seedWith({ a: "3" });
    expect(git("rev-parse", "seed")).toBe(mine);
    const [third] = branches().filter((branch) => branch.startsWith("seed-"));
    expect(git("show", `${third}:a`)).toBe("3");
  });

  test("a removed branch stays removed until its seed changes, and is not made again", () => {
    seedWith({ a: "1" });
    git("update-ref", "-d", "refs/heads/main");
    seedWith({ a: "1" });
    expect(branches()).toEqual([]);
    seedWith({ a: "2" });
    expect(branches()).toEqual(["seed"]);
  });

  test("a repository that was half made is made again", () => {
    mkdirSync(join(folder, "repositories", `${name}.git.new`, "objects"), { recursive: true });
    seedWith({ a: "1" });
    expect(readdirSync(join(folder, "repositories"))).toEqual([`${name}.git`]);
  });

  test("its bookkeeping is not shown to clients", () => {
    seedWith({ a: "1" });
    const shown = execFileSync("git", ["ls-remote", join(folder, "repositories", `${name}.git`)], {
      encoding: "utf8",
    });
    expect(shown).toContain("refs/heads/main");
    expect(shown).not.toContain("refs/seeds");
  });

  function seedWith(files: RepositorySeed["files"]): void {
    const { data, binaryData } = renderSeed({ branch: "main", files });
    const seeds = join(folder, "seeds", name);
    rmSync(seeds, { recursive: true, force: true });
    mkdirSync(seeds, { recursive: true });
    mkdirSync(join(folder, "repositories"), { recursive: true });
    for (const [key, text] of Object.entries(data)) writeFileSync(join(seeds, key), text);
    for (const [key, bytes] of Object.entries(binaryData))
      writeFileSync(join(seeds, key), Buffer.from(bytes, "base64"));
    execFileSync("sh", [join(scripts, "git-seed.sh")], {
      env: {
        PATH: process.env["PATH"],
        HOME: folder,
        TMPDIR: folder,
        GIT_CONFIG_NOSYSTEM: "1",
        REPOSITORIES: join(folder, "repositories"),
        SEEDS: join(folder, "seeds"),
        HOOKS: scripts,
      },
      stdio: "pipe",
    });
    expect(readdirSync(folder).filter((entry) => entry.startsWith("tmp."))).toEqual([]);
  }

  function git(...args: string[]): string {
    return gitIn(join(folder, "repositories", `${name}.git`), ...args);
  }

  function commit(branch: string, message: string): void {
    const id = git("commit-tree", `${branch}^{tree}`, "-p", branch, "-m", message);
    git("update-ref", `refs/heads/${branch}`, id);
  }

  function branches(): string[] {
    return git("for-each-ref", "--format=%(refname:short)", "refs/heads").split("\n").filter(Boolean);
  }
});

describe("the webhook", () => {
  const secret = "canary-of-the-webhook-0123456789";
  type Received = { headers: Record<string, unknown>; body: string; url: string | undefined };

  test("gets a push event as GitHub sends it, signed, of each branch that moved", async () => {
    const received = await pushTo(secret);
    expect(received).toHaveLength(1);
    const [{ headers, body, url } = { headers: {}, body: "{}", url: "" }] = received;
    expect(url).toBe("/push");
    expect(headers["x-github-event"]).toBe("push");
    expect(headers["x-github-delivery"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(headers["content-type"]).toBe("application/json");
    expect(headers["x-hub-signature-256"]).toBe(
      `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`,
    );
    const event = JSON.parse(body);
    expect(event).toMatchObject({
      ref: "refs/heads/mlops",
      before: "0".repeat(40),
      created: true,
      deleted: false,
      head_commit: { message: 'a "quoted" message\nwith $(lines)' },
      repository: {
        full_name: "gourmetgram/demo",
        clone_url: "http://git.example/demo.git",
        default_branch: "main",
      },
      pusher: { name: "git" },
    });
    expect(event.after).toMatch(/^[0-9a-f]{40}$/);
    expect(event.head_commit.id).toBe(event.after);
  });

  test("signs with keys up to the block's length, and refuses longer ones", async () => {
    const long = "k".repeat(64);
    const [received] = await pushTo(long);
    expect(received?.headers["x-hub-signature-256"]).toBe(
      `sha256=${createHmac("sha256", long)
        .update(received?.body ?? "")
        .digest("hex")}`,
    );
    expect(await pushTo("k".repeat(65))).toEqual([]);
  });

  test("does not keep a push waiting when nobody listens", async () => {
    const repository = prepare("http://127.0.0.1:9/push", secret);
    const start = Date.now();
    await hook(repository, `${"0".repeat(40)} ${gitIn(repository, "rev-parse", "mlops")} refs/heads/mlops\n`);
    expect(Date.now() - start).toBeLessThan(3000);
  });

  test("is not there when none is set", async () => {
    const repository = prepare(undefined, secret);
    await hook(repository, `${"0".repeat(40)} ${"1".repeat(40)} refs/heads/mlops\n`);
    expect(existsSync(join(folder, "scripts", "webhook-url"))).toBe(false);
  });

  /** What a listener got within two seconds of a push of one branch and one tag. */
  async function pushTo(key: string): Promise<Received[]> {
    const received: Received[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        received.push({ headers: request.headers, body, url: request.url });
        response.end();
      });
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    try {
      const repository = prepare(`http://127.0.0.1:${(server.address() as AddressInfo).port}/push`, key);
      const after = gitIn(repository, "rev-parse", "mlops");
      const zero = "0".repeat(40);
      await hook(repository, `${zero} ${after} refs/tags/v1\n${zero} ${after} refs/heads/mlops\n`);
      const end = Date.now() + (key.length > 64 ? 1500 : 10_000);
      while (received.length === 0 && Date.now() < end) await new Promise((wake) => setTimeout(wake, 50));
      return received;
    } finally {
      server.close();
    }
  }

  /** The hook's folder as the pod has it, and a repository with one commit on `mlops`. */
  function prepare(url: string | undefined, key: string): string {
    rmSync(join(folder, "scripts"), { recursive: true, force: true });
    cpSync(scripts, join(folder, "scripts"), { recursive: true });
    for (const file of ["post-receive", "git-webhook.sh"]) chmodSync(join(folder, "scripts", file), 0o555);
    if (url) {
      writeFileSync(join(folder, "scripts", "webhook-url"), url);
      writeFileSync(join(folder, "scripts", "base-url"), "http://git.example");
    }
    writeFileSync(join(folder, "webhook-secret"), key);
    const repository = join(folder, "demo.git");
    if (!existsSync(repository)) {
      execFileSync("git", ["init", "--quiet", "--bare", "--initial-branch=main", repository]);
      const tree = gitIn(repository, "hash-object", "-t", "tree", "-w", "/dev/null");
      const id = gitIn(repository, "commit-tree", tree, "-m", 'a "quoted" message\nwith $(lines)');
      gitIn(repository, "update-ref", "refs/heads/mlops", id);
    }
    return repository;
  }

  async function hook(repository: string, input: string): Promise<void> {
    const running = run(join(folder, "scripts", "post-receive"), [], {
      cwd: repository,
      env: {
        PATH: process.env["PATH"],
        HOME: folder,
        TMPDIR: folder,
        REMOTE_USER: "git",
        WEBHOOK_SECRET_FILE: join(folder, "webhook-secret"),
      },
    });
    running.child.stdin?.end(input);
    await running;
  }
});

function gitIn(repository: string, ...args: string[]): string {
  return execFileSync("git", ["-C", repository, ...args], {
    encoding: "utf8",
    env: {
      PATH: process.env["PATH"],
      HOME: tmpdir(),
      GIT_AUTHOR_NAME: "a",
      GIT_AUTHOR_EMAIL: "a@example.org",
      GIT_COMMITTER_NAME: "a",
      GIT_COMMITTER_EMAIL: "a@example.org",
    },
  }).trim();
}
