import { nearest } from "../components/nearest";
import type { ProblemCollector } from "../components/problems";
import { BYTE_UNIT_NAMES, parseBytes, parseCpu } from "../components/quantity";

/** Where problems go while settings are read, and the file the user edits to put them right. */
export interface ReadContext {
  readonly problems: ProblemCollector;
  /** For example `Pulumi.local.yaml`. */
  readonly file: string;
  /** Name of the stack the file belongs to. */
  readonly stack: string;
}

/**
 * Reads one value of the settings. Adds a problem and gives `undefined` when the value is wrong, so that reading
 * goes on and every problem is found in one pass. Missing values arrive as `undefined`.
 */
export type Field<T> = (value: unknown, path: string, context: ReadContext) => T | undefined;

/** What `object` gives: any part may be undefined, and is only when a problem was added for it or it is optional. */
export type Draft<Fields> = {
  [Key in keyof Fields]: Fields[Key] extends Field<infer T> ? T | undefined : never;
};

/** A value that may be left out. */
export function optional<T>(field: Field<T>): Field<T> {
  return (value, path, context) => (isMissing(value) ? undefined : field(value, path, context));
}

/** A value that is `fallback` when left out. */
export function withDefault<T>(field: Field<T>, fallback: T): Field<T> {
  return (value, path, context) => (isMissing(value) ? fallback : field(value, path, context));
}

/** A mapping with exactly these keys. Left out, it is read as an empty one, so that its parts' defaults apply. */
export function object<Fields extends Record<string, Field<unknown>>>(fields: Fields): Field<Draft<Fields>> {
  return (value, path, context) => {
    const source = readMapping(isMissing(value) ? {} : value, path, context);
    if (source === undefined) {
      return undefined;
    }
    addUnknownKeys(source, Object.keys(fields), path, context);
    const entries = Object.entries(fields).map(([key, field]) => [
      key,
      field(source[key], join(path, key), context),
    ]);
    return Object.fromEntries(entries.filter(([, part]) => part !== undefined)) as Draft<Fields>;
  };
}

/** A mapping from names to values of one kind. */
export function record<T>(checkName: Field<string>, field: Field<T>): Field<Record<string, T>> {
  return (value, path, context) => {
    const source = readMapping(value, path, context);
    if (source === undefined) {
      return undefined;
    }
    const result: Record<string, T> = {};
    for (const [name, part] of Object.entries(source)) {
      checkName(name, join(path, name), context);
      const read = field(part, join(path, name), context);
      if (read !== undefined) {
        result[name] = read;
      }
    }
    return result;
  };
}

/** A list of values of one kind. */
export function list<T>(field: Field<T>): Field<T[]> {
  return (value, path, context) => {
    if (!Array.isArray(value)) {
      return addWrongType(value, path, "a list", context);
    }
    return value
      .map((part, index) => field(part, `${path}[${index}]`, context))
      .filter((part): part is NonNullable<typeof part> => part !== undefined) as T[];
  };
}

/** One of several kinds of mapping, told apart by the key `kind`. */
export function union<Kinds extends Record<string, Record<string, Field<unknown>>>>(
  kinds: Kinds,
  fallback: keyof Kinds & string,
): Field<{ [Kind in keyof Kinds]: { kind: Kind } & Draft<Kinds[Kind]> }[keyof Kinds]> {
  return (value, path, context) => {
    const source = readMapping(isMissing(value) ? {} : value, path, context);
    if (source === undefined) {
      return undefined;
    }
    const names = Object.keys(kinds);
    const kind = oneOf(names, fallback)(source["kind"], join(path, "kind"), context);
    if (kind === undefined) {
      return undefined;
    }
    return object({ kind: oneOf(names), ...kinds[kind] })({ ...source, kind }, path, context) as never;
  };
}

/** One of these words. */
export function oneOf<Word extends string>(words: readonly Word[], fallback?: Word): Field<Word> {
  return (value, path, context) => {
    if (isMissing(value) && fallback !== undefined) {
      return fallback;
    }
    if (isMissing(value)) {
      return addMissing(path, words.join(", "), context);
    }
    const word = words.find((candidate) => candidate === value);
    if (word === undefined) {
      const close = nearest(String(value), words);
      context.problems.add({
        path,
        value,
        problem: `is unknown${close === undefined ? "" : `; did you mean "${close}"?`}`,
        allowed: words.join(", "),
        next: `set one of them in ${context.file}`,
      });
    }
    return word;
  };
}

/** What a text must be like. */
export interface TextRule {
  /** Gives what is wrong, continuing "X = value ...", or `undefined`. */
  readonly problem: (text: string) => string | undefined;
  readonly allowed: string;
  readonly next?: string;
}

/** A text that keeps a rule. */
export function text(rule: TextRule): Field<string> {
  return (value, path, context) => {
    if (isMissing(value)) {
      return addMissing(path, rule.allowed, context);
    }
    if (typeof value !== "string") {
      return addWrongType(value, path, "a text", context, rule.allowed);
    }
    const problem = rule.problem(value);
    if (problem === undefined) {
      return value;
    }
    context.problems.add({
      path,
      // A URL may hold a password where none belongs.
      value: value.replace(/\/\/[^/@]*@/, "//...@"),
      problem,
      allowed: rule.allowed,
      next: rule.next ?? `correct it in ${context.file}`,
    });
    return undefined;
  };
}

/** A whole number of a range, both ends included. */
export function integer(range: { readonly min: number; readonly max: number }): Field<number> {
  const allowed = `a whole number from ${range.min} to ${range.max}`;
  return (value, path, context) => {
    if (isMissing(value)) {
      return addMissing(path, allowed, context);
    }
    if (typeof value !== "number" || !Number.isInteger(value)) {
      return addWrongType(value, path, "a whole number", context, allowed);
    }
    if (value >= range.min && value <= range.max) {
      return value;
    }
    const problem = value < range.min ? `is below ${range.min}` : `is above ${range.max}`;
    context.problems.add({ path, value, problem, allowed, next: `correct it in ${context.file}` });
    return undefined;
  };
}

/** `true` or `false`. */
export function flag(): Field<boolean> {
  return (value, path, context) =>
    typeof value === "boolean" ? value : addWrongType(value, path, "true or false", context);
}

/** An amount of bytes with a unit, at least `minimum` when given. */
export function byteQuantity(minimum?: string): Field<string> {
  const units = BYTE_UNIT_NAMES.join(", ");
  const least = minimum === undefined ? "" : `, at least ${minimum}`;
  return (value, path, context) => {
    const allowed = `a number with a unit (${units}), for example "4Gi"${least}`;
    if (isMissing(value)) {
      return addMissing(path, allowed, context);
    }
    const bytes = typeof value === "string" ? parseBytes(value) : undefined;
    if (bytes === undefined) {
      const bare = typeof value === "number" || /^\d+$/.test(String(value));
      context.problems.add({
        path,
        value,
        problem: bare ? "has no unit" : "is not an amount of bytes",
        allowed,
        next: bare ? `write "${value}Gi" if gibibytes were meant` : `correct it in ${context.file}`,
      });
      return undefined;
    }
    if (minimum !== undefined && bytes < (parseBytes(minimum) ?? 0)) {
      context.problems.add({
        path,
        value,
        problem: `is below ${minimum}`,
        allowed,
        next: `raise it in ${context.file}`,
      });
      return undefined;
    }
    return value as string;
  };
}

/** An amount of CPU: `500m`, `"2"` or 2. */
export function cpuQuantity(): Field<string> {
  const allowed = 'an amount of CPU, for example "500m" or "2"';
  return (value, path, context) => {
    if (isMissing(value)) {
      return addMissing(path, allowed, context);
    }
    const written = typeof value === "number" ? String(value) : value;
    if (typeof written === "string" && parseCpu(written) !== undefined) {
      return written;
    }
    context.problems.add({
      path,
      value,
      problem: "is not an amount of CPU",
      allowed,
      next: `correct it in ${context.file}`,
    });
    return undefined;
  };
}

/**
 * A secret. It arrives encrypted (`secure:`, when a command reads the file) or as a secret Output (in the
 * program); plain text is refused because the settings file is committed. The value is never shown.
 */
export function secret(): Field<never> {
  return (value, path, context) => {
    // The value is asked for on the terminal: as an argument it would stay in the shell's history.
    const next =
      `run: eval "$(npm run -s toolchain -- ${context.stack} --env)", ` +
      `then: pulumi config set --stack ${context.stack} --secret --path 'gourmetgram-infra:${path}'`;
    if (isMissing(value) || value === "") {
      context.problems.add({ path, problem: "is missing", allowed: "a secret", next });
      return undefined;
    }
    if (isSecure(value) || isOutput(value)) {
      return value as never;
    }
    context.problems.add({ path, problem: "is written in plain text", allowed: "an encrypted value", next });
    return undefined;
  };
}

/** `nodes` and `node2` to `nodes.node2`. */
export function join(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null;
}

/** The form in which a settings file holds an encrypted value. */
function isSecure(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as { secure?: unknown }).secure === "string" &&
    Object.keys(value).length === 1
  );
}

function isOutput(value: unknown): boolean {
  return typeof value === "object" && (value as { __pulumiOutput?: unknown }).__pulumiOutput === true;
}

function readMapping(
  value: unknown,
  path: string,
  context: ReadContext,
): Readonly<Record<string, unknown>> | undefined {
  if (isSecure(value)) {
    context.problems.add({
      path,
      problem: "is encrypted as a whole, so it cannot be checked before the run",
      allowed: "a mapping in which only passwords and keys are encrypted",
      next: `write it plainly in ${context.file} and encrypt single values with: pulumi config set --secret --path`,
    });
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return addWrongType(value, path, "a mapping", context);
  }
  return value as Readonly<Record<string, unknown>>;
}

function addUnknownKeys(
  source: Readonly<Record<string, unknown>>,
  known: readonly string[],
  path: string,
  context: ReadContext,
): void {
  for (const key of Object.keys(source).filter((candidate) => !known.includes(candidate))) {
    const close = nearest(key, known);
    // The value is not shown: behind a misspelt key may be a password.
    context.problems.add({
      path: join(path, key),
      problem: `is an unknown key${close === undefined ? "" : `; did you mean "${close}"?`}`,
      allowed: known.join(", "),
      next: `${close === undefined ? "remove" : "rename"} it in ${context.file}`,
    });
  }
}

function addMissing(path: string, allowed: string, context: ReadContext): undefined {
  context.problems.add({ path, problem: "is missing", allowed, next: `add it to ${context.file}` });
  return undefined;
}

function addWrongType(
  value: unknown,
  path: string,
  wanted: string,
  context: ReadContext,
  allowed: string = wanted,
): undefined {
  if (isMissing(value)) {
    return addMissing(path, allowed, context);
  }
  // A wrong text in place of a mapping may be a URL with a password in it: show only what is certainly harmless.
  const harmless = typeof value === "number" || typeof value === "boolean";
  const shown = harmless || wanted !== "a mapping" ? value : undefined;
  context.problems.add({
    path,
    ...(shown === undefined || isSecure(shown) ? {} : { value: shown }),
    problem: `is ${isSecure(value) ? "an encrypted value" : nameType(value)}, not ${wanted}`,
    allowed,
    next: `correct it in ${context.file}`,
  });
  return undefined;
}

function nameType(value: unknown): string {
  if (Array.isArray(value)) {
    return "a list";
  }
  const names: Readonly<Record<string, string>> = {
    string: "a text",
    number: "a number",
    boolean: "true or false",
    object: "a mapping",
  };
  return names[typeof value] ?? typeof value;
}
