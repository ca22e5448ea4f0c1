/** Kinds of services an environment needs; the catalog knows each under one of several types. */
export type ServiceName = "identity" | "compute" | "network" | "image" | "volume" | "reservation";

/** A request OpenStack did not fulfil. */
export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    readonly service: ServiceName,
    readonly method: string,
    readonly path: string,
    /** OpenStack's own sentence, or why there was no answer. */
    readonly reason: string,
  ) {
    super(
      status === 0
        ? `The ${service} service does not answer: ${reason} (${method} ${path})`
        : `The ${service} service refused ${method} ${path}: ${reason} (${status})`,
    );
    this.name = "ApiError";
  }
}

/** True when the thing asked for does not exist. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

/** True when it cannot be done now because of something else that exists or happens. */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}

/**
 * The sentence inside an error body. Each service wraps it another way: `{"itemNotFound": {"message"}}` (nova, cinder),
 * `{"NeutronError": {"message"}}`, `{"error": {"message"}}` (keystone), `{"error_message"}` (blazar), HTML (glance).
 */
export function errorMessage(body: string, status: number): string {
  let content: unknown;
  try {
    content = JSON.parse(body);
  } catch {
    const text = body
      .replace(/<head>[\s\S]*?<\/head>/i, "")
      .replace(/<[^>]*>/g, " ")
      .replace(/\s+/g, " ")
      .trim();
    return text === "" ? `HTTP status ${status}` : text.slice(0, MAX_MESSAGE_LENGTH);
  }
  return (findMessage(content) ?? `HTTP status ${status}`).slice(0, MAX_MESSAGE_LENGTH);
}

const MAX_MESSAGE_LENGTH = 500;

function findMessage(content: unknown): string | undefined {
  if (typeof content !== "object" || content === null) return undefined;
  const record = content as Record<string, unknown>;
  for (const key of ["message", "error_message", "faultstring", "detail"]) {
    const value = record[key];
    if (typeof value === "string" && value !== "") return value.trim();
  }
  for (const value of Object.values(record)) {
    const found = findMessage(value);
    if (found !== undefined) return found;
  }
  return undefined;
}
