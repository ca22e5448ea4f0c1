import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchOfficial, parseChecksum } from "../../tools/bundle/officialDownload";
import { UnreachableHosts } from "../../tools/cache/download";

const content = Buffer.from("#!/bin/sh\necho official\n");
const sum = createHash("sha256").update(content).digest("hex");

let root: string;
let server: Server;
let base: string;
let asked: string[];
let files: Record<string, Buffer>;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bundle-download-"));
  asked = [];
  files = { "/tool": content, "/tool.sha256": Buffer.from(sum) };
  server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const file = files[request.url ?? ""];
    response.statusCode = file === undefined ? 404 : 200;
    response.end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.close();
  await rm(root, { recursive: true, force: true });
});

const fetchTool = (source = { url: `${base}/tool`, sha256Url: `${base}/tool.sha256` }) =>
  fetchOfficial(source, join(root, "tool"), new UnreachableHosts(root), join(root, "log"));

describe("an official download", () => {
  it("is taken, checked and executable", async () => {
    expect(await fetchTool()).toBeUndefined();
    expect(await readFile(join(root, "tool"))).toEqual(content);
    expect((await stat(join(root, "tool"))).mode & 0o777).toBe(0o755);
  });

  it("is refused and not kept when the checksum is another one", async () => {
    files["/tool.sha256"] = Buffer.from("0".repeat(64));
    expect(await fetchTool()).toContain(sum);
    expect((await readdir(root)).filter((name) => name.startsWith("tool"))).toEqual([]);
  });

  it("is refused when the checksum file does not name it", async () => {
    files["/tool.sha256"] = Buffer.from(`${sum}  other\n${sum}  another\n`);
    expect(await fetchTool()).toContain("holds no SHA-256 for tool");
    expect(asked).not.toContain("/tool");
  });

  it("gives the reason when the file is not there", async () => {
    delete files["/tool"];
    expect(await fetchTool()).toContain("404");
  });

  it("takes one member out of an archive", async () => {
    await mkdir(join(root, "in/release"), { recursive: true });
    await writeFile(join(root, "in/release/tool"), content);
    execFileSync("tar", ["-C", join(root, "in"), "-czf", join(root, "all.tar.gz"), "release"]);
    const archive = await readFile(join(root, "all.tar.gz"));
    files["/all.tar.gz"] = archive;
    files["/SHA256SUMS"] = Buffer.from(
      `${"0".repeat(64)}  x.tar.gz\n${createHash("sha256").update(archive).digest("hex")}  all.tar.gz\n`,
    );
    const source = { url: `${base}/all.tar.gz`, sha256Url: `${base}/SHA256SUMS`, member: "release/tool" };
    expect(await fetchTool(source)).toBeUndefined();
    expect(await readFile(join(root, "tool"))).toEqual(content);
  });

  it("is unpacked when it is one compressed file", async () => {
    const packed = gzipSync(content);
    files["/tool.gz"] = packed;
    files["/sums"] = Buffer.from(`${createHash("sha256").update(packed).digest("hex")}  tool.gz\n`);
    expect(await fetchTool({ url: `${base}/tool.gz`, sha256Url: `${base}/sums` })).toBeUndefined();
    expect(await readFile(join(root, "tool"))).toEqual(content);
    expect((await stat(join(root, "tool"))).mode & 0o777).toBe(0o755);
  });

  it("does not ask a host again that was out of reach", async () => {
    const unreachable = new UnreachableHosts(root);
    const port = (server.address() as AddressInfo).port;
    await new Promise((resolve) => server.close(resolve));
    const source = { url: `http://127.0.0.1:${port}/tool` };
    const first = await fetchOfficial(source, join(root, "tool"), unreachable, join(root, "log"));
    const second = await fetchOfficial(source, join(root, "tool"), unreachable, join(root, "log"));
    expect(first).toContain("out of reach");
    expect(second).toContain("a while ago");
  });
});

describe("parseChecksum", () => {
  it("reads a bare sum, and the line of the file among many, never a file with a longer name", () => {
    const other = "1".repeat(64);
    expect(parseChecksum(`${sum}\n`, "tool")).toBe(sum);
    expect(parseChecksum(`${other}  x-tool\n${sum} *tool\n`, "tool")).toBe(sum);
    expect(parseChecksum(`${other}  x-tool\n${other}  tool.gz\n`, "tool")).toBeUndefined();
    expect(parseChecksum("<html>not found</html>", "tool")).toBeUndefined();
  });
});
