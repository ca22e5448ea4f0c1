/** A value that is not known yet, as the engine writes it in previews. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Key and value by which the engine marks a wrapped value, and the mark of a secret. */
const SIGNATURE_KEY = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";

/** Takes the secret marks off, and tells which top-level properties held any. */
export function unwrapSecrets(wrapped: Readonly<Record<string, unknown>>): {
  plain: Record<string, unknown>;
  secretKeys: string[];
} {
  const secretKeys: string[] = [];
  const plain: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(wrapped)) {
    let secret = false;
    plain[key] = strip(value, () => {
      secret = true;
    });
    if (secret) secretKeys.push(key);
  }
  return { plain, secretKeys };
}

function strip(value: unknown, onSecret: () => void): unknown {
  if (Array.isArray(value)) return value.map((item) => strip(item, onSecret));
  if (typeof value !== "object" || value === null) return value;
  const record = value as Record<string, unknown>;
  if (record[SIGNATURE_KEY] === SECRET_SIGNATURE) {
    onSecret();
    return strip(record.value, onSecret);
  }
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, strip(item, onSecret)]));
}

/** Marks the named top-level properties secret; an unknown value stays bare, as the engine wants it. */
export function wrapSecrets(
  plain: Readonly<Record<string, unknown>>,
  secretKeys: Iterable<string>,
): Record<string, unknown> {
  const wrapped: Record<string, unknown> = { ...plain };
  for (const key of secretKeys) {
    if (wrapped[key] !== undefined && wrapped[key] !== UNKNOWN) {
      wrapped[key] = { [SIGNATURE_KEY]: SECRET_SIGNATURE, value: wrapped[key] };
    }
  }
  return wrapped;
}
