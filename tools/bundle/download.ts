import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { chmod, rename, rm } from "node:fs/promises";
import { once } from "node:events";

/** An official file: where it is and where its checksum is. */
export interface DownloadSource {
  readonly url: string;
  /** Serves the SHA-256, alone or in `sha256sum` format. @default unchecked: only for manifests served over TLS */
  readonly sha256Url?: string;
}

export type DownloadResult = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Seconds until a server must have begun to answer. */
const connectSeconds = 6;

/**
 * Tries official downloads, and remembers for its lifetime which hosts cannot be reached, so that a machine without
 * internet access waits once per host and not once per file.
 */
export class Downloader {
  private readonly unreachable = new Map<string, string>();

  constructor(
    private readonly connectMs = connectSeconds * 1000,
    private readonly enabled = true,
  ) {}

  /** Fetches a file and checks it. Never throws: what cannot be had this way is built. */
  async fetchFile(source: DownloadSource, target: string, mode = 0o644): Promise<DownloadResult> {
    if (!this.enabled) return { ok: false, reason: "downloads are switched off" };
    const draft = `${target}.part`;
    try {
      const expected = source.sha256Url === undefined ? undefined : await this.fetchChecksum(source);
      const response = await this.open(source.url);
      const hash = createHash("sha256");
      const out = createWriteStream(draft);
      for await (const chunk of response.body ?? []) {
        hash.update(chunk as Uint8Array);
        if (!out.write(chunk)) await once(out, "drain");
      }
      out.end();
      await once(out, "close");
      const actual = hash.digest("hex");
      if (expected !== undefined && actual !== expected) {
        throw new Error(`SHA-256 of ${source.url} is ${actual}, its checksum file says ${expected}`);
      }
      await chmod(draft, mode);
      await rename(draft, target);
      return { ok: true };
    } catch (error) {
      await rm(draft, { force: true });
      return { ok: false, reason: (error as Error).message };
    }
  }

  /** False when an earlier attempt found the host of `url` out of reach. */
  isReachable(url: string): boolean {
    return !this.unreachable.has(new URL(url).host);
  }

  /** Remembers a host that another client (skopeo) could not reach. */
  markUnreachable(url: string, reason: string): void {
    this.unreachable.set(new URL(url).host, reason);
  }

  private async fetchChecksum(source: DownloadSource): Promise<string> {
    const text = await (await this.open(source.sha256Url as string)).text();
    const file = new URL(source.url).pathname.split("/").pop() ?? "";
    const lines = text.trim().split("\n");
    const line = lines.length === 1 ? lines[0] : lines.find((entry) => entry.trim().endsWith(file));
    const sum = /^[0-9a-f]{64}/i.exec(line?.trim() ?? "")?.[0];
    if (sum === undefined) throw new Error(`${source.sha256Url} holds no SHA-256 for ${file}`);
    return sum.toLowerCase();
  }

  private async open(url: string): Promise<Response> {
    const host = new URL(url).host;
    const known = this.unreachable.get(host);
    if (known !== undefined) throw new Error(known);
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), this.connectMs);
    let response: Response;
    try {
      response = await fetch(url, { signal: controller.signal, redirect: "follow" });
    } catch (error) {
      const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).message;
      const reason = `${host} cannot be reached (${controller.signal.aborted ? "no answer in time" : cause})`;
      this.unreachable.set(host, reason);
      throw new Error(reason);
    } finally {
      clearTimeout(timer);
    }
    if (!response.ok) throw new Error(`${url} answers ${response.status}`);
    return response;
  }
}
