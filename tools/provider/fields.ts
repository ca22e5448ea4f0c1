import { UNKNOWN } from "./values";

/** What a change means; "keep": it matters for the next creation only and is no difference for what exists. */
export type Consequence = "update" | "replace" | "keep";

/** How one input is checked, and what a change of it means. */
export interface Field {
  readonly type: "string" | "integer" | "strings" | "stringMap";
  /** A function is told what the thing has now, in the state, and what is wanted. */
  readonly onChange: Consequence | ((has: never, wanted: never) => Consequence);
  /** Makes the field optional. */
  readonly default?: unknown;
  /** Says what is wrong with a value of the right type, or nothing. Never repeats a secret. */
  readonly check?: (value: never) => string | undefined;
}

export interface FieldFailure {
  readonly property: string;
  readonly reason: string;
}

/** Inputs with defaults filled in, and everything that is wrong with them. */
export function checkFields(
  fields: Readonly<Record<string, Field>>,
  given: Readonly<Record<string, unknown>>,
): { inputs: Record<string, unknown>; failures: FieldFailure[] } {
  const failures: FieldFailure[] = [];
  const inputs: Record<string, unknown> = {};
  for (const property of Object.keys(given)) {
    if (fields[property] === undefined && property !== "__defaults") {
      failures.push({
        property,
        reason: `${property} is unknown; allowed are ${Object.keys(fields).join(", ")}`,
      });
    }
  }
  for (const [property, field] of Object.entries(fields)) {
    const value = given[property] ?? field.default;
    const reason = value === undefined ? "is required" : reasonAgainst(field, value);
    if (reason === undefined) {
      inputs[property] = value;
    } else {
      failures.push({ property, reason: `${property} ${reason}` });
    }
  }
  return { inputs, failures };
}

function reasonAgainst(field: Field, value: unknown): string | undefined {
  if (containsUnknown(value)) return undefined;
  const fits = {
    string: () => typeof value === "string",
    integer: () => Number.isSafeInteger(value),
    strings: () => Array.isArray(value) && value.every((item) => typeof item === "string"),
    stringMap: () =>
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((item) => typeof item === "string"),
  }[field.type]();
  if (!fits) {
    const wanted = { string: "a string", integer: "a whole number", strings: "a list of strings" };
    return `must be ${field.type === "stringMap" ? "a map of strings" : wanted[field.type]}`;
  }
  return field.check?.(value as never);
}

/** True when the value, or anything in it, is not known yet (previews). */
export function containsUnknown(value: unknown): boolean {
  if (value === UNKNOWN) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some(containsUnknown);
}

/** What it means that the field of a thing that has one value shall have another. */
export function consequenceOf({ onChange }: Field, has: unknown, wanted: unknown): Consequence {
  return typeof onChange === "function" ? onChange(has as never, wanted as never) : onChange;
}

/**
 * Fields whose value changed, with what that means. A value not known yet counts as changed.
 *
 * @param state what the thing has; differs from the former inputs where a change was kept for the next creation
 */
export function changedFields(
  fields: Readonly<Record<string, Field>>,
  state: Readonly<Record<string, unknown>>,
  inputs: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): Record<string, "update" | "replace"> {
  const changed: Record<string, "update" | "replace"> = {};
  for (const [property, field] of Object.entries(fields)) {
    const has =
      typeof field.onChange === "function" ? state[property] : (inputs[property] ?? state[property]);
    if (sameValue(has, wanted[property])) continue;
    const consequence = consequenceOf(field, has, wanted[property]);
    if (consequence !== "keep") changed[property] = consequence;
  }
  return changed;
}

function sameValue(a: unknown, b: unknown): boolean {
  if (containsUnknown(b)) return false;
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}
