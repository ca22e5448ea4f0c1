import { createHash } from "node:crypto";

/** Longest DNS-1123 label (RFC 1123, and every Kubernetes name that becomes a host name). */
export const MAX_LABEL_LENGTH = 63;

/** Length of the hash that replaces the cut end of a long name: 32 bits keep sibling names apart. */
const HASH_LENGTH = 8;

/** What `isDnsLabel` takes, in words for error messages. */
export const DNS_LABEL_RULE =
  "lower-case letters, digits and '-', starting and ending with a letter or digit";

/** True when `text` is a DNS-1123 label of at most `maxLength` characters. */
export function isDnsLabel(text: string, maxLength: number = MAX_LABEL_LENGTH): boolean {
  return text.length <= maxLength && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
}

/**
 * Joins parts to one DNS-1123 label and shortens it when it is too long: the start stays readable, the end
 * becomes a hash of the whole, so that two long names never become the same one. Same parts, same name, always.
 * This is the only place that shortens names.
 *
 * @throws Error when a part has characters a label cannot have
 */
export function dnsLabel(parts: readonly string[], maxLength: number = MAX_LABEL_LENGTH): string {
  const whole = parts.filter((part) => part !== "").join("-");
  if (!isDnsLabel(whole, Number.POSITIVE_INFINITY)) {
    throw new Error(
      `Cannot make a DNS-1123 label of ${JSON.stringify(whole)}: allowed are ${DNS_LABEL_RULE}.`,
    );
  }
  if (whole.length <= maxLength) {
    return whole;
  }
  const hash = createHash("sha256").update(whole).digest("hex").slice(0, HASH_LENGTH);
  const start = whole.slice(0, maxLength - HASH_LENGTH - 1).replace(/-+$/, "");
  return start === "" ? hash.slice(0, maxLength) : `${start}-${hash}`;
}
