import { createHash } from "node:crypto";

/** JSON with sorted keys, so that the same recipe always gives the same text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((entry) => canonicalJson(entry)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const fields = Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`);
    return `{${fields.join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** Key of an artifact: SHA-256 (hex) of its recipe, which includes the keys of its inputs. */
export function artifactKey(recipe: unknown): string {
  return createHash("sha256").update(canonicalJson(recipe)).digest("hex");
}

/** What names a key in a path. */
export function shortKey(key: string): string {
  return key.slice(0, 12);
}
