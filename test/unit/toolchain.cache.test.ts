import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ChecksumMismatch, download, HostUnreachable, UnreachableHosts } from "../../tools/cache/download";
import { withLock } from "../../tools/cache/lock";
import { cacheRoot, contentKey } from "../../tools/cache/paths";
import { buildFolder, MANIFEST, verifyFolder } from "../../tools/cache/store";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cache-test-"));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("cache root", () => {
  it("is the variable, else the cache folder of the user", () => {
    expect(cacheRoot({ GOURMETGRAM_CACHE: "/a", XDG_CACHE_HOME: "/b" })).toBe("/a");
    expect(cacheRoot({ GOURMETGRAM_CACHE: "", XDG_CACHE_HOME: "/b" })).toBe("/b/gourmetgram");
    expect(cacheRoot({})).toMatch(/\/\.cache\/gourmetgram$/);
  });

  it("gives the same key whatever the order of fields, and another for another value", () => {
    expect(contentKey({ a: 1, b: [1, 2] })).toBe(contentKey({ b: [1, 2], a: 1 }));
    expect(contentKey({ a: 1, b: [1, 2] })).not.toBe(contentKey({ a: 1, b: [2, 1] }));
    expect(contentKey({ a: 1 })).toMatch(/^[0-9a-f]{12}$/);
  });
});

describe("store", () => {
  const target = () => join(folder, "thing");

  async function make(text = "content"): Promise<void> {
    await buildFolder(target(), async (draft) => {
      mkdirSync(join(draft, "deep"));
      writeFileSync(join(draft, "deep/file"), text);
    });
  }

  it("writes a manifest that sha256sum reads", async () => {
    await make();
    const sum = createHash("sha256").update("content").digest("hex");
    expect(readFileSync(join(target(), MANIFEST), "utf8")).toBe(`${sum}  deep/file\n`);
    expect(await verifyFolder(target())).toEqual([]);
  });

  it("finds changed and missing files by name", async () => {
    await make();
    writeFileSync(join(target(), "deep/file"), "CONTENT");
    expect(await verifyFolder(target())).toEqual([
      expect.stringContaining("deep/file does not have the checksum"),
    ]);
    rmSync(join(target(), "deep/file"));
    expect(await verifyFolder(target())).toEqual([expect.stringContaining("deep/file is missing")]);
  });

  it("accepts a file that was only touched or linked", async () => {
    await make();
    utimesSync(join(target(), "deep/file"), 1, 1);
    linkSync(join(target(), "deep/file"), join(folder, "link"));
    expect(await verifyFolder(target())).toEqual([]);
  });

  it("reads everything again when asked to", async () => {
    await make();
    const file = join(target(), "deep/file");
    const stamp = JSON.parse(readFileSync(join(target(), ".verified.json"), "utf8")) as Record<
      string,
      string
    >;
    const [, size, time] = (stamp["deep/file"] ?? "").split(" ");
    expect(size).toBe("7");
    writeFileSync(file, "CONTENT");
    utimesSync(file, Number(BigInt(time ?? "0")) / 1e9, Number(BigInt(time ?? "0")) / 1e9);
    expect(await verifyFolder(target(), { full: true })).toHaveLength(1);
  });

  it("says that a folder without manifest was never finished", async () => {
    mkdirSync(target());
    expect(await verifyFolder(target())).toEqual([expect.stringContaining("never finished")]);
  });

  it("keeps the old one and leaves no draft when a build fails", async () => {
    await make("old");
    const failing = buildFolder(target(), async (draft) => {
      writeFileSync(join(draft, "half"), "x");
      throw new Error("stopped");
    });
    await expect(failing).rejects.toThrow("stopped");
    expect(readFileSync(join(target(), "deep/file"), "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["thing"]);
  });

  it("removes drafts of dead processes and leaves those of living ones", async () => {
    const dead = join(folder, `.thing.${2 ** 22 + 1}.0123abcd.draft`);
    const living = join(folder, `.thing.${process.pid}.0123abcd.draft`);
    mkdirSync(dead);
    mkdirSync(living);
    await make();
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(living)).toBe(true);
  });
});

describe("lock", () => {
  const path = () => join(folder, "some.lock");
  const write = (owner: object) => writeFileSync(path(), JSON.stringify(owner));

  it("lets one in at a time", async () => {
    let inside = 0;
    const most: number[] = [];
    const enter = () =>
      withLock(
        path(),
        async () => {
          most.push(++inside);
          await new Promise((resolve) => setTimeout(resolve, 5));
          inside--;
        },
        { pollMilliseconds: 1 },
      );
    await Promise.all(Array.from({ length: 8 }, enter));
    expect(Math.max(...most)).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is given back when the work fails", async () => {
    await expect(withLock(path(), async () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(existsSync(path())).toBe(false);
  });

  it("tells a reused process number from the owner", async () => {
    write({ pid: process.pid, host: hostname(), startTicks: "1", since: "then" });
    let stale = false;
    await withLock(path(), async () => undefined, {
      onStale: () => {
        stale = true;
      },
      pollMilliseconds: 1,
    });
    expect(stale).toBe(true);
  });

  it("takes over an unreadable one", async () => {
    writeFileSync(path(), "");
    await withLock(path(), async () => undefined, { pollMilliseconds: 1 });
  });

  it("is taken over by exactly one of many", async () => {
    write({ pid: 2 ** 22 + 1, host: hostname(), startTicks: "1", since: "then" });
    let stale = 0;
    let inside = 0;
    await Promise.all(
      Array.from({ length: 8 }, () =>
        withLock(
          path(),
          async () => {
            expect(++inside).toBe(1);
            await new Promise((resolve) => setTimeout(resolve, 2));
            inside--;
          },
          { onStale: () => void stale++, pollMilliseconds: 1 },
        ),
      ),
    );
    expect(stale).toBe(1);
  });

  it("never breaks one of another host, and names file, process and host", async () => {
    write({ pid: 1, host: "elsewhere", startTicks: "1", since: "2026-01-01" });
    const waiting = withLock(path(), async () => undefined, { waitSeconds: 0.05, pollMilliseconds: 10 });
    await expect(waiting).rejects.toThrow(/some\.lock is held by process 1 on elsewhere since 2026-01-01/);
    expect(existsSync(path())).toBe(true);
  });
});

describe("download", () => {
  let server: Server;

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  async function serve(listener: RequestListener): Promise<string> {
    server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it("follows redirects and checks the sum", async () => {
    const base = await serve((request, response) => {
      if (request.url === "/from") response.writeHead(302, { location: "/to" }).end();
      else response.end("bytes");
    });
    const sum = createHash("sha256").update("bytes").digest("hex");
    await download(`${base}/from`, join(folder, "file"), { sha256: sum });
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("bytes");
    await expect(download(`${base}/to`, join(folder, "other"), { sha256: "0".repeat(64) })).rejects.toThrow(
      ChecksumMismatch,
    );
    expect(readdirSync(folder)).toEqual(["file"]);
  });

  it("keeps nothing of a download that breaks off", async () => {
    const base = await serve((_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("part");
      setTimeout(() => response.destroy(), 20);
    });
    await expect(download(`${base}/x`, join(folder, "file"))).rejects.toThrow(HostUnreachable);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("goes through the proxy of the environment, except to where it must not", async () => {
    const seen: string[] = [];
    const base = await serve((request, response) => {
      seen.push(`${request.url} ${request.headers["proxy-authorization"]}`);
      response.end("from the proxy");
    });
    vi.stubEnv("HTTP_PROXY", base.replace("http://", "http://user:word@"));
    vi.stubEnv("NO_PROXY", ".inside.invalid");
    await download("http://outside.invalid/x", join(folder, "file"));
    expect(seen).toEqual([`http://outside.invalid/x Basic ${Buffer.from("user:word").toString("base64")}`]);
    await expect(download("http://inside.invalid/x", join(folder, "other"))).rejects.toThrow(HostUnreachable);
    vi.unstubAllEnvs();
  });

  it("gives up on silence and remembers the host, but not a missing file", async () => {
    let asked = 0;
    const base = await serve((request, response) => {
      asked++;
      if (request.url === "/missing") response.writeHead(404).end();
    });
    const unreachable = new UnreachableHosts(folder);
    await expect(download(`${base}/missing`, join(folder, "a"), { unreachable })).rejects.toThrow(
      /answered 404/,
    );
    const silent = () =>
      download(`${base}/silent`, join(folder, "b"), { unreachable, connectMilliseconds: 50 });
    await expect(silent()).rejects.toThrow(/no answer within 50 ms/);
    await expect(silent()).rejects.toThrow(/was out of reach a while ago/);
    expect(asked).toBe(2);
  });
});
