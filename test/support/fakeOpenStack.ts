import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseCloud } from "../../infra/openstack/api/cloudEntry";

/** A request as the fake saw it. */
export interface Seen {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: any;
}

type Reply = { readonly status?: number; readonly body?: unknown; readonly delayMs?: number } | "hang up";
type Handler = (request: Seen) => Reply | undefined;

/**
 * An identity service on loopback whose catalog leads every other service back to itself, below `/<service>`. Requests that
 * `answer` does not know get 404.
 */
export class FakeOpenStack {
  readonly seen: Seen[] = [];
  /** Tokens given out so far; the last one is the valid one. */
  tokens = 0;
  answer: Handler = () => undefined;
  catalog: (url: string) => readonly unknown[] = defaultCatalog;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FakeOpenStack> {
    const server = createServer();
    const fake = new FakeOpenStack(server);
    server.on("request", (request, response) => void fake.reply(request, response));
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  cloud(entry: Record<string, unknown> = {}) {
    return parseCloud(
      "fake",
      {
        auth_type: "v3applicationcredential",
        auth: {
          auth_url: `${this.url}/identity`,
          application_credential_id: "cred-id",
          application_credential_secret: "cred-secret",
        },
        ...entry,
      },
      "/etc/clouds.yaml",
      "/root",
    );
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  private async reply(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const seen: Seen = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    this.seen.push(seen);
    const reply = this.answer(seen) ?? this.identity(seen) ?? { status: 404, body: notFound(seen.path) };
    if (reply === "hang up") {
      request.socket.destroy();
      return;
    }
    if (reply.delayMs !== undefined) await new Promise((wake) => setTimeout(wake, reply.delayMs));
    response.statusCode = reply.status ?? 200;
    if (seen.path === "/identity/v3/auth/tokens")
      response.setHeader("X-Subject-Token", `token-${this.tokens}`);
    response.end(typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body));
  }

  private identity({ method, path }: Seen): Reply | undefined {
    if (method !== "POST" || path !== "/identity/v3/auth/tokens") return undefined;
    this.tokens += 1;
    return {
      status: 201,
      body: {
        token: {
          expires_at: "2030-01-01T00:00:00.000000Z",
          user: { id: "user-1" },
          project: { id: "project-1", name: "CHI-test" },
          roles: [{ name: "member" }, { name: "reader" }],
          application_credential: { id: "cred-id" },
          catalog: this.catalog(this.url),
        },
      },
    };
  }
}

export function catalogEntry(type: string, url: string, region = "RegionOne", name = "public") {
  return { type, endpoints: [{ interface: name, region_id: region, region, url }] };
}

function defaultCatalog(url: string) {
  return [
    catalogEntry("compute", `${url}/compute/v2.1`),
    catalogEntry("network", `${url}/network`),
    catalogEntry("image", `${url}/image`),
    catalogEntry("reservation", `${url}/reservation/v1`),
  ];
}

function notFound(path: string) {
  return { itemNotFound: { code: 404, message: `${path} does not exist` } };
}
