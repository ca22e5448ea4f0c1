import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { dirname, join } from "node:path";
import { connect as connectTls } from "node:tls";

/** What a download reports while it runs. */
export interface DownloadProgress {
  readonly receivedBytes: number;
  /** Unknown when the server does not say. */
  readonly totalBytes: number | undefined;
}

export interface DownloadOptions {
  /** Expected SHA-256 in hex. Without it the bytes are taken as they come. */
  readonly sha256?: string;
  /** Time to a connected socket with a response, in milliseconds. @default 4000 */
  readonly connectMilliseconds?: number;
  /** Longest silence in the middle of a download, in milliseconds. @default 30000 */
  readonly idleMilliseconds?: number;
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Hosts found out of reach earlier are not asked again. */
  readonly unreachable?: UnreachableHosts;
}

/** The host did not answer: another source should be tried. */
export class HostUnreachable extends Error {
  override readonly name = "HostUnreachable";
}

/** The bytes are not the expected ones; nothing was kept. */
export class ChecksumMismatch extends Error {
  override readonly name = "ChecksumMismatch";
}

/**
 * Hosts that did not answer lately, kept in a small file in the cache root, so that a machine without access to a
 * release server waits for the timeout once and not at every start. An entry holds for an hour.
 */
export class UnreachableHosts {
  private static readonly HOLDS_MS = 3_600_000;
  private readonly file: string;

  constructor(cacheRoot: string) {
    this.file = join(cacheRoot, "unreachable-hosts.json");
  }

  /** Why `host` is not worth asking, or undefined. */
  async reason(host: string): Promise<string | undefined> {
    const entry = (await this.read())[host];
    return entry && Date.now() - entry.at < UnreachableHosts.HOLDS_MS ? entry.reason : undefined;
  }

  async note(host: string, reason: string): Promise<void> {
    const entries = { ...(await this.read()), [host]: { at: Date.now(), reason } };
    await mkdir(dirname(this.file), { recursive: true });
    await writeFile(this.file, JSON.stringify(entries)).catch(() => undefined);
  }

  private async read(): Promise<Record<string, { at: number; reason: string }>> {
    try {
      return JSON.parse(await readFile(this.file, "utf8")) as Record<string, { at: number; reason: string }>;
    } catch {
      return {};
    }
  }
}

/**
 * Fetches `url` (http or https, up to five redirects, `HTTPS_PROXY`/`HTTP_PROXY`/`NO_PROXY` respected) into `file`,
 * which appears only when complete and right.
 *
 * @throws HostUnreachable when no answer comes, ChecksumMismatch, or Error with the HTTP status.
 */
export async function download(url: string, file: string, options: DownloadOptions = {}): Promise<void> {
  const draft = `${file}.${process.pid}.part`;
  await mkdir(dirname(file), { recursive: true });
  const output = await open(draft, "w");
  try {
    const hash = createHash("sha256");
    await receive(url, options, async (chunk) => {
      hash.update(chunk);
      await output.write(chunk);
    });
    await output.close();
    const sum = hash.digest("hex");
    if (options.sha256 && sum !== options.sha256) {
      throw new ChecksumMismatch(`${url} has SHA-256 ${sum}, expected ${options.sha256}; it was not kept`);
    }
    await rename(draft, file);
  } finally {
    await output.close().catch(() => undefined);
    await rm(draft, { force: true });
  }
}

/** Like `download`, for small texts such as lists of checksums. */
export async function downloadText(url: string, options: DownloadOptions = {}): Promise<string> {
  const chunks: Buffer[] = [];
  await receive(url, options, async (chunk) => {
    chunks.push(chunk);
  });
  return Buffer.concat(chunks).toString("utf8");
}

async function receive(
  url: string,
  options: DownloadOptions,
  take: (chunk: Buffer) => Promise<void>,
): Promise<void> {
  const response = await openUrl(new URL(url), options);
  const length = response.headers["content-length"];
  const totalBytes = length === undefined ? undefined : Number(length);
  let receivedBytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      await take(chunk);
      receivedBytes += chunk.length;
      options.onProgress?.({ receivedBytes, totalBytes });
    }
  } catch (error) {
    throw new HostUnreachable(`${url} stopped after ${receivedBytes} bytes: ${(error as Error).message}`);
  }
  if (totalBytes !== undefined && receivedBytes !== totalBytes) {
    throw new HostUnreachable(`${url} stopped after ${receivedBytes} of ${totalBytes} bytes`);
  }
}

async function openUrl(url: URL, options: DownloadOptions, redirects = 5): Promise<http.IncomingMessage> {
  const known = await options.unreachable?.reason(url.host);
  if (known) throw new HostUnreachable(`${url.host} was out of reach a while ago (${known})`);
  let response: http.IncomingMessage;
  try {
    response = await request(url, options);
  } catch (error) {
    const reason = (error as Error).message;
    await options.unreachable?.note(url.host, reason);
    throw new HostUnreachable(`${url.host} is out of reach: ${reason}`);
  }
  const status = response.statusCode ?? 0;
  const location = response.headers.location;
  if (status >= 300 && status < 400 && location && redirects > 0) {
    response.resume();
    return openUrl(new URL(location, url), options, redirects - 1);
  }
  if (status !== 200) {
    response.resume();
    throw new Error(`${url} answered ${status} ${response.statusMessage ?? ""}`.trim());
  }
  return response;
}

function request(url: URL, options: DownloadOptions): Promise<http.IncomingMessage> {
  const connectMs = options.connectMilliseconds ?? 4000;
  const proxy = proxyOf(url);
  return new Promise((resolve, reject) => {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), connectMs);
    const fail = (error: Error) => {
      clearTimeout(timer);
      reject(abort.signal.aborted ? new Error(`no answer within ${connectMs} ms`) : error);
    };
    const send = (extra: https.RequestOptions) => {
      const library = url.protocol === "https:" ? https : http;
      const sent = library.get(url, { signal: abort.signal, ...extra }, (response) => {
        clearTimeout(timer);
        response.setTimeout(options.idleMilliseconds ?? 30_000, () => response.destroy(new Error("no data")));
        resolve(response);
      });
      sent.on("error", fail);
    };
    if (!proxy) return send({});
    if (url.protocol === "http:") {
      return send({
        hostname: proxy.hostname,
        port: proxy.port || 80,
        path: url.href,
        headers: { host: url.host, ...proxyAuthorization(proxy) },
      });
    }
    const tunnel = http.request({
      host: proxy.hostname,
      port: proxy.port || 80,
      method: "CONNECT",
      path: `${url.hostname}:${url.port || 443}`,
      headers: proxyAuthorization(proxy),
      signal: abort.signal,
    });
    tunnel.on("error", fail);
    tunnel.on("connect", (answer, socket) => {
      if (answer.statusCode !== 200) return fail(new Error(`the proxy answered ${answer.statusCode}`));
      send({ createConnection: () => connectTls({ socket, servername: url.hostname }) });
    });
    tunnel.end();
  });
}

function proxyAuthorization(proxy: URL): Record<string, string> {
  if (!proxy.username) return {};
  const login = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(login).toString("base64")}` };
}

function proxyOf(url: URL): URL | undefined {
  const env = process.env;
  const skip = (env.NO_PROXY ?? env.no_proxy ?? "").split(",").map((item) => item.trim().replace(/^\./, ""));
  if (
    skip.some((item) => item === "*" || url.hostname === item || (item && url.hostname.endsWith(`.${item}`)))
  ) {
    return undefined;
  }
  const text =
    url.protocol === "https:" ? (env.HTTPS_PROXY ?? env.https_proxy) : (env.HTTP_PROXY ?? env.http_proxy);
  return text ? new URL(text) : undefined;
}
