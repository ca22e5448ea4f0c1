import { Agent, get } from "node:http";

/** Requests a second, as the bar for promotions has it. */
export const LOAD_RATE = 50;

/** A request without a whole answer by then is lost. */
const ANSWER_MS = 10_000;

/** Longer than any request may take. */
const IDLE_MS = 15_000;

/** What became of the requests. */
export interface LoadResult {
  readonly url: string;
  readonly rate: number;
  readonly seconds: number;
  readonly sent: number;
  readonly answered: number;
  /** Requests without a good answer, by what happened. */
  readonly lost: Readonly<Record<string, number>>;
  readonly lostCount: number;
  /** Milliseconds. */
  readonly latency: { readonly p50: number; readonly p95: number; readonly max: number };
  /** Answers by the version that gave them, in the order first seen. */
  readonly versions: Readonly<Record<string, number>>;
  /** Times at which requests were lost, the first ones, RFC 3339. */
  readonly lostAt: readonly string[];
}

/** Most times of lost requests kept. */
const MAX_LOST_AT = 20;

/**
 * Asks a stage for its version at a fixed rate, whether it answers or not, over connections that stay open. A request is sent
 * when it is due: slow answers do not slow it down, so a stall is counted in full.
 */
export class LoadClient {
  // An idle connection is closed from this side, long before the server would close it under a request.
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 256, timeout: IDLE_MS });
  private readonly latencies: number[] = [];
  private readonly lost: Record<string, number> = {};
  private readonly versions: Record<string, number> = {};
  private readonly lostAt: string[] = [];
  private readonly open = new Set<Promise<void>>();
  private readonly begun = performance.now();
  private readonly timer: NodeJS.Timeout;
  private sent = 0;
  private stopped: Promise<LoadResult> | undefined;

  /** @param url of the stage, without path */
  constructor(
    private readonly url: string,
    private readonly rate: number = LOAD_RATE,
  ) {
    this.timer = setInterval(() => this.sendDue(), 1000 / rate);
  }

  /** Sends no more, waits for what is under way. The second call gives what the first one gave. */
  stop(): Promise<LoadResult> {
    this.stopped ??= this.finish();
    return this.stopped;
  }

  private async finish(): Promise<LoadResult> {
    clearInterval(this.timer);
    const elapsed = (performance.now() - this.begun) / 1000;
    await Promise.all(this.open);
    this.agent.destroy();
    const sorted = this.latencies.toSorted((left, right) => left - right);
    const at = (share: number) =>
      Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
    return {
      url: this.url,
      rate: this.rate,
      seconds: elapsed,
      sent: this.sent,
      answered: this.latencies.length,
      lost: this.lost,
      lostCount: Object.values(this.lost).reduce((left, right) => left + right, 0),
      latency: { p50: at(0.5), p95: at(0.95), max: at(1) },
      versions: this.versions,
      lostAt: this.lostAt,
    };
  }

  private sendDue(): void {
    const due = Math.floor(((performance.now() - this.begun) / 1000) * this.rate);
    while (this.sent < due) {
      this.sent += 1;
      const request = this.send();
      this.open.add(request);
      void request.finally(() => this.open.delete(request));
    }
  }

  private send(): Promise<void> {
    const sentAt = performance.now();
    return new Promise((settle) => {
      let over = false;
      const end = (fault: string | undefined, version?: string) => {
        if (over) {
          return;
        }
        over = true;
        clearTimeout(timer);
        if (fault === undefined) {
          this.latencies.push(performance.now() - sentAt);
          const name = version ?? "?";
          this.versions[name] = (this.versions[name] ?? 0) + 1;
        } else {
          this.lost[fault] = (this.lost[fault] ?? 0) + 1;
          if (this.lostAt.length < MAX_LOST_AT) {
            this.lostAt.push(new Date().toISOString());
          }
        }
        settle();
      };
      const request = get(`${this.url.replace(/\/$/, "")}/version`, { agent: this.agent }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => {
          body += text;
        });
        response.on("end", () =>
          response.statusCode === 200 ? end(undefined, versionIn(body)) : end(`HTTP ${response.statusCode}`),
        );
        response.on("error", (error) => end(faultOf(error)));
      });
      const timer = setTimeout(() => {
        end(`no answer in ${ANSWER_MS / 1000} s`);
        request.destroy();
      }, ANSWER_MS);
      request.on("error", (error) => end(faultOf(error)));
    });
  }
}

function faultOf(error: Error & { code?: string }): string {
  return error.code ?? error.message;
}

function versionIn(body: string): string | undefined {
  try {
    const { model_version } = JSON.parse(body) as { model_version?: unknown };
    return typeof model_version === "string" ? model_version : undefined;
  } catch {
    return undefined;
  }
}
