import { ApiError, errorMessage, type ServiceName } from "./apiError";
import type { CloudConfig } from "./cloudEntry";
import { type Answer, Connections, NoAnswerError } from "./exchange";
import { fetchToken, type Token } from "./keystone";

export { ApiError, isConflict, isGone, type ServiceName } from "./apiError";

export interface RequestOptions {
  /** Sent as JSON. */
  readonly body?: unknown;
  /** A list is sent as a repeated key. */
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  /** For example `2.61`; compute and volume only. */
  readonly microversion?: string;
  /** @default `timeoutMs` of the session */
  readonly timeoutMs?: number;
}

/** When the credential in use stops working. */
export interface CredentialExpiry {
  /** `undefined`: never. */
  readonly at: Date | undefined;
  /** False when only the end of the present token could be seen, which is no later. */
  readonly exact: boolean;
}

/** Somebody logged in to one project of a cloud. */
export interface Session {
  readonly cloud: CloudConfig;
  readonly userId: string;
  readonly projectId: string;
  readonly projectName: string;
  readonly roles: readonly string[];
  /** End of the present token; a new one is fetched when it is refused. */
  readonly expiresAt: Date;
  /** End of the application credential. A password has none. */
  credentialExpiry(): Promise<CredentialExpiry>;
  /** True when the catalog of the region has this service. */
  offers(service: ServiceName): boolean;
  /**
   * One request. Reads are repeated when no answer came or the service failed (5xx, 429).
   *
   * @param path below the service's versioned endpoint, starting with `/`
   * @returns the decoded answer; `undefined` when it is empty
   * @throws ApiError
   */
  request<T>(service: ServiceName, method: string, path: string, options?: RequestOptions): Promise<T>;
  /** Closes idle connections. */
  close(): void;
}

export interface SessionOptions {
  /** For each request. @default 30000 */
  readonly timeoutMs?: number;
  /** Before each repetition of a read. @default 300 and 1000 */
  readonly retryDelaysMs?: readonly number[];
}

/** Logs in. @throws ProblemsError when the cloud does not answer or refuses the credentials */
export async function openSession(cloud: CloudConfig, options: SessionOptions = {}): Promise<Session> {
  const connections = new Connections(cloud);
  const timeoutMs = options.timeoutMs ?? 30_000;
  const token = await fetchToken(cloud, connections, timeoutMs);
  return new OpenSession(cloud, connections, token, timeoutMs, options.retryDelaysMs ?? [300, 1000]);
}

class OpenSession implements Session {
  /** One for all who need a new token at the same time. */
  private renewal: Promise<Token> | undefined;
  /** First request with the present token to each service; settled once the service knows the token. */
  private readonly introductions = new Map<ServiceName, Promise<unknown>>();

  constructor(
    readonly cloud: CloudConfig,
    private readonly connections: Connections,
    private token: Token,
    private readonly timeoutMs: number,
    private readonly retryDelaysMs: readonly number[],
  ) {}

  get userId(): string {
    return this.token.userId;
  }

  get projectId(): string {
    return this.token.projectId;
  }

  get projectName(): string {
    return this.token.projectName;
  }

  get roles(): readonly string[] {
    return this.token.roles;
  }

  get expiresAt(): Date {
    return this.token.expiresAt;
  }

  async credentialExpiry(): Promise<CredentialExpiry> {
    const id = this.token.applicationCredentialId;
    if (id === undefined) {
      const token = this.cloud.auth.kind === "token";
      return token ? { at: this.token.expiresAt, exact: true } : { at: undefined, exact: true };
    }
    try {
      const { application_credential: credential } = await this.request<{
        application_credential: { expires_at: string | null };
      }>("identity", "GET", `/users/${this.userId}/application_credentials/${id}`);
      // Keystone writes this time without a zone; it is UTC.
      const at = credential.expires_at?.replace(/Z?$/, "Z");
      return { at: at === undefined ? undefined : new Date(at), exact: true };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return { at: this.token.expiresAt, exact: false };
    }
  }

  offers(service: ServiceName): boolean {
    return this.token.endpoints[service] !== undefined;
  }

  async request<T>(
    service: ServiceName,
    method: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<T> {
    const base = this.token.endpoints[service];
    if (base === undefined) {
      throw new ApiError(0, service, method, path, `cloud "${this.cloud.name}" has no such service`);
    }
    let answer = await this.introduced(service, () =>
      this.sendRepeatedly(service, method, path, base, options),
    );
    if (answer.status === 401) {
      await this.renew();
      answer = await this.sendRepeatedly(service, method, path, base, options);
    }
    if (answer.status >= 400) {
      throw new ApiError(answer.status, service, method, path, errorMessage(answer.body, answer.status));
    }
    return (answer.body.trim() === "" ? undefined : JSON.parse(answer.body)) as T;
  }

  close(): void {
    this.connections.close();
  }

  /**
   * A service asks keystone about a token it sees for the first time. Many requests at once would make it ask as often, which takes
   * longer than to wait for the first.
   */
  private async introduced(service: ServiceName, send: () => Promise<Answer>): Promise<Answer> {
    const first = this.introductions.get(service);
    if (first !== undefined) {
      await first;
      return await send();
    }
    const answer = send();
    this.introductions.set(
      service,
      answer.catch(() => undefined),
    );
    return await answer;
  }

  private async sendRepeatedly(
    service: ServiceName,
    method: string,
    path: string,
    base: string,
    options: RequestOptions,
  ): Promise<Answer> {
    const delays = method === "GET" ? this.retryDelaysMs : [];
    for (let attempt = 0; ; attempt += 1) {
      const delay = delays[attempt];
      try {
        const answer = await this.send(service, method, new URL(`${base}${path}`), options);
        if (delay === undefined || !(answer.status >= 500 || answer.status === 429)) return answer;
      } catch (error) {
        if (!(error instanceof NoAnswerError)) throw error;
        // Nothing listens there, or it took all its time: another try would only make the user wait.
        if (delay === undefined || error.code === "TIMEOUT" || error.code === "ENOTFOUND") {
          throw new ApiError(0, service, method, path, error.message);
        }
      }
      await new Promise((wake) => setTimeout(wake, delay));
    }
  }

  private send(service: ServiceName, method: string, url: URL, options: RequestOptions): Promise<Answer> {
    for (const [key, value] of Object.entries(options.query ?? {})) {
      for (const item of Array.isArray(value) ? value : [value]) {
        if (item !== undefined) url.searchParams.append(key, String(item));
      }
    }
    return this.connections.send({
      method,
      url,
      headers: {
        Accept: "application/json",
        "X-Auth-Token": this.token.value,
        ...(options.body === undefined ? {} : { "Content-Type": "application/json" }),
        ...microversionHeaders(service, options.microversion),
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      timeoutMs: options.timeoutMs ?? this.timeoutMs,
    });
  }

  private async renew(): Promise<void> {
    this.renewal ??= fetchToken(this.cloud, this.connections, this.timeoutMs).finally(() => {
      this.renewal = undefined;
    });
    this.token = await this.renewal;
  }
}

function microversionHeaders(
  service: ServiceName,
  microversion: string | undefined,
): Readonly<Record<string, string>> {
  if (microversion === undefined) return {};
  return { "OpenStack-API-Version": `${service} ${microversion}` };
}
