import * as http from "node:http";
import * as https from "node:https";
import { rootCertificates } from "node:tls";

/** Requests to one host at a time; more make the services of a small site wait for their databases. */
const MAX_SOCKETS = 16;

/** One HTTP request and what came back. */
export interface Exchange {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Already JSON. */
  readonly body?: string;
  /** From the start to the last byte of the answer. */
  readonly timeoutMs: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** No answer came: the network, the name, TLS or the time. */
export class NoAnswerError extends Error {
  constructor(
    message: string,
    /** For example `ECONNREFUSED`, `ENOTFOUND`, `TIMEOUT`. */
    readonly code: string,
  ) {
    super(message);
    this.name = "NoAnswerError";
  }
}

/** How the TLS certificate of the other side is judged. */
export interface Trust {
  readonly verify: boolean;
  /** PEM, besides the authorities Node trusts. */
  readonly caCertificate?: string;
}

/** Sends requests over kept connections. */
export class Connections {
  private readonly plain = new http.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  private readonly secure: https.Agent;
  private readonly tls: https.AgentOptions;

  constructor(trust: Trust) {
    this.tls = {
      rejectUnauthorized: trust.verify,
      // Added to those of Node: `ca` alone would replace them.
      ...(trust.caCertificate === undefined ? {} : { ca: [...rootCertificates, trust.caCertificate] }),
    };
    this.secure = new https.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, ...this.tls });
  }

  /** @throws NoAnswerError */
  send(exchange: Exchange): Promise<Answer> {
    const { method, url, headers, body, timeoutMs } = exchange;
    const overTls = url.protocol === "https:";
    // A kept connection may be closed by the other side just now. A read is sent again then; for anything else nobody could
    // tell whether it was done, so it gets a connection of its own.
    const kept = method === "GET" ? (overTls ? this.secure : this.plain) : undefined;
    const options = {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) }),
      },
      agent: kept ?? (overTls ? new https.Agent(this.tls) : false),
    };
    return new Promise((done, fail) => {
      const request = (overTls ? https : http).request(url, options, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", lost);
        response.on("end", () => {
          clearTimeout(timer);
          done({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          });
        });
      });
      const lost = (error: NodeJS.ErrnoException) => {
        clearTimeout(timer);
        fail(error instanceof NoAnswerError ? error : new NoAnswerError(reasonOf(error), error.code ?? ""));
      };
      const timer = setTimeout(() => {
        request.destroy(new NoAnswerError(`no answer within ${timeoutMs / 1000} s`, "TIMEOUT"));
      }, timeoutMs);
      request.on("error", lost);
      request.end(body);
    });
  }

  /** Closes what is idle, so that the process can end at once. */
  close(): void {
    this.plain.destroy();
    this.secure.destroy();
  }
}

/** Words for the codes people meet. */
function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ECONNREFUSED":
      return "nothing listens there (connection refused)";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "its name is not known (DNS)";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "no route leads there";
    case "ECONNRESET":
      return "the connection was closed without an answer";
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return `its TLS certificate is from an authority that is not trusted here (${error.code})`;
    case "CERT_HAS_EXPIRED":
      return "its TLS certificate has expired";
    default:
      return error.message || error.code || "no answer";
  }
}
