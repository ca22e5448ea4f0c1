/** How a step of a workflow ended, in Argo's words. */
export type Phase = "Succeeded" | "Failed" | "Error" | "Skipped";

/** Where text that is known only at run time comes from. Rendered by `render.ts` and nowhere else. */
export type Source =
  | { readonly kind: "input"; readonly name: string }
  | {
      readonly kind: "output";
      readonly scope: FlowScope;
      readonly step: string;
      readonly name: string;
      /** Taken when the step did not succeed (skipped, failed, died). */
      readonly fallback?: string;
    }
  | { readonly kind: "status"; readonly scope: FlowScope; readonly step: string }
  | { readonly kind: "workflowName" }
  | { readonly kind: "workflowParameter"; readonly name: string }
  | { readonly kind: "workflowStatus" }
  | { readonly kind: "workflowFailures" }
  | { readonly kind: "text"; readonly parts: readonly Value[] };

/** What the calls of a flow are called in Argo's expressions. */
export type FlowScope = "steps" | "tasks";

/**
 * Text that is known only when the workflow runs: an input, an output of an earlier step, a name. `T` is the set of texts it can
 * be, so that a stage is not taken for a version. It becomes an argument, an environment variable or part of a name; there is
 * no way to put it into a program's source.
 */
export class Reference<out T extends string = string> {
  /** Only for the compiler: makes `Reference<"a">` and `Reference<"b">` different types. */
  protected declare readonly text: T;

  constructor(
    readonly source: Source,
    /** The texts it can be, where that is a closed set. */
    readonly values?: readonly string[],
  ) {}
}

/** Text now, or text at run time. */
export type Value<T extends string = string> = T | Reference<T>;

/**
 * An output of a step that may not have run, or may have failed and been passed over. It is no `Value`: what to take instead has
 * to be said with `orElse`.
 */
export class SkippableOutput<out T extends string = string> {
  protected declare readonly text: T;

  constructor(
    private readonly output: Extract<Source, { kind: "output" }>,
    private readonly values?: readonly string[],
  ) {}

  /** The output when its step succeeded, `fallback` in every other case. */
  orElse<const D extends string>(fallback: D): Reference<T | D> {
    return new Reference(
      { ...this.output, fallback },
      this.values === undefined ? undefined : [...this.values, fallback],
    );
  }
}

/** Name of the running workflow. */
export const workflowName: Reference = new Reference({ kind: "workflowName" });

/** A parameter of the run, which an exit template has no inputs for. Only in the exit template of a workflow. */
export function workflowParameter<const T extends string = string>(
  name: string,
  values?: readonly T[],
): Reference<T> {
  return new Reference({ kind: "workflowParameter", name }, values);
}

/** How the run ended. Only in the exit template of a workflow. */
export const workflowStatus: Reference<Phase> = new Reference({ kind: "workflowStatus" }, [
  "Succeeded",
  "Failed",
  "Error",
]);

/**
 * The nodes of the run that failed: a JSON list of `{displayName, templateName, phase, message, finishedAt, ...}` in no order, quoted as
 * a text of its own. Only in the exit template of a workflow, as an environment variable.
 */
export const workflowFailures: Reference = new Reference({ kind: "workflowFailures" });

/** Joins text and references: ``text`stage-${inputs.stage}` ``. */
export function text(strings: TemplateStringsArray, ...values: readonly Value[]): Reference {
  const parts = strings.flatMap((string, index): Value[] => {
    const value = values[index];
    return value === undefined ? [string] : [string, value];
  });
  return new Reference({ kind: "text", parts: parts.filter((part) => part !== "") });
}

/** A question about references that Argo answers when a step is about to start. */
export type Test =
  | { readonly kind: "equal"; readonly left: Reference; readonly right: string }
  | { readonly kind: "not"; readonly of: Test }
  | { readonly kind: "all"; readonly of: readonly Test[] }
  | { readonly kind: "any"; readonly of: readonly Test[] };

/** Whether a step runs. Made with `equal`, `not`, `all` and `any`; evaluated on values, which are never pasted into it. */
export class Condition {
  private declare readonly brand: never;

  constructor(readonly test: Test) {}
}

/** True when `left` is exactly `right`. A `right` that `left` can never be does not compile. */
export function equal<T extends string>(left: Reference<T>, right: NoInfer<T>): Condition {
  return new Condition({ kind: "equal", left, right });
}

export function not(condition: Condition): Condition {
  return new Condition({ kind: "not", of: condition.test });
}

export function all(...conditions: readonly Condition[]): Condition {
  return new Condition({ kind: "all", of: conditions.map(({ test }) => test) });
}

export function any(...conditions: readonly Condition[]): Condition {
  return new Condition({ kind: "any", of: conditions.map(({ test }) => test) });
}

/** Every reference inside a value, the value itself included; parts of a text come after the text. */
export function referencesIn(value: Value): readonly Reference[] {
  if (typeof value === "string") return [];
  return value.source.kind === "text" ? [value, ...value.source.parts.flatMap(referencesIn)] : [value];
}

/** Every reference a test looks at. */
export function referencesOf(test: Test): readonly Reference[] {
  switch (test.kind) {
    case "equal":
      return referencesIn(test.left);
    case "not":
      return referencesOf(test.of);
    default:
      return test.of.flatMap(referencesOf);
  }
}

/** The answer, once every reference has a text. */
export function holds(test: Test, resolve: (reference: Reference) => string): boolean {
  switch (test.kind) {
    case "equal":
      return resolve(test.left) === test.right;
    case "not":
      return !holds(test.of, resolve);
    case "all":
      return test.of.every((one) => holds(one, resolve));
    case "any":
      return test.of.some((one) => holds(one, resolve));
  }
}
