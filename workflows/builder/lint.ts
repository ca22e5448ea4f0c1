import { imageProblem } from "./image";
import { type Condition, holds, type Reference, referencesIn, referencesOf, type Value } from "./reference";
import { renderValue } from "./render";
import { type Call, type Callable, type ExitCall, type Template, TemplateRef, templateOf } from "./template";
import { callablesOf, callsOf, exitOf, templatesOf, type WorkflowTemplate } from "./workflow";

/** The rules. Each is a defect that Argo itself does not report. */
export type LintRule =
  /** A condition that cannot hold, or a step behind one that the flow never passes. */
  | "unreachable-branch"
  /** An output read of a step that may not have run, or may have failed. */
  | "skippable-output"
  /** A reference to an input or a step that is not there (yet). */
  | "unknown-reference"
  /** A call that gives what is not taken, leaves out what is needed, or gives a text that is not allowed. */
  | "wrong-argument"
  /** An object made without waiting for what becomes of it. */
  | "fire-and-forget"
  | "unpinned-image"
  /** A template that needs a lock which nobody on some way to it holds. */
  | "missing-mutex"
  /** A lock taken inside a template that holds it: it would wait for itself. */
  | "deadlock"
  | "missing-deadline"
  | "missing-resources"
  /** Repetition of a template that is not declared idempotent. */
  | "unsafe-retry"
  /** A template that nothing calls, or a call to one that is not there. */
  | "unused-template"
  | "unknown-template";

/** One defect. */
export interface LintProblem {
  readonly rule: LintRule;
  /** `<workflow>/<template>` or `<workflow>/<template>/<step>`. */
  readonly path: string;
  readonly problem: string;
}

/** Combinations of values a condition is tried on; more are taken as reachable. */
const MAX_COMBINATIONS = 10_000;

/**
 * Every defect of workflow templates that call each other: pass all of them together.
 */
export function lint(workflows: readonly WorkflowTemplate[]): readonly LintProblem[] {
  return workflows.flatMap((workflow) => [
    ...[...templatesOf(workflow).values()].flatMap((template) => lintTemplate(workflow, template)),
    ...unusedExports(workflow, workflows),
    ...unknownTemplates(workflow, workflows),
    ...lintExit(workflow),
    ...lintLocks(workflow),
  ]);
}

function lintTemplate(workflow: WorkflowTemplate, template: Template): readonly LintProblem[] {
  const path = `${workflow.name}/${template.name}`;
  return [...lintLeaf(template, path), ...lintFlow(template, path), ...lintReferences(template, path)];
}

function lintLeaf({ body, options }: Template, path: string): readonly LintProblem[] {
  const problems: LintProblem[] = [];
  if (body.kind !== "container" && body.kind !== "resource") return problems;
  if (!((options.deadlineSeconds ?? 0) > 0)) {
    problems.push({ rule: "missing-deadline", path, problem: "may run without end" });
  }
  if ((options.retries ?? 0) > 0 && options.idempotent !== true) {
    problems.push({
      rule: "unsafe-retry",
      path,
      problem: "is started again after a fault, and not declared idempotent",
    });
  }
  if (body.kind === "resource") {
    if (body.action === "create" && body.successCondition === undefined) {
      problems.push({ rule: "fire-and-forget", path, problem: "creates an object and does not wait for it" });
    }
    return problems;
  }
  const { resources, image } = body;
  const amounts = [resources?.requests, resources?.limits].flatMap((part) => [part?.cpu, part?.memory]);
  if (amounts.some((amount) => amount === undefined || amount === "")) {
    problems.push({
      rule: "missing-resources",
      path,
      problem: "lacks requests or limits of processor or memory",
    });
  }
  const problem = typeof image === "string" ? imageProblem(image) : undefined;
  if (problem !== undefined) problems.push({ rule: "unpinned-image", path, problem: `${image} ${problem}` });
  return problems;
}

function lintFlow(template: Template, path: string): readonly LintProblem[] {
  return callsOf(template).flatMap((call) => {
    const here = `${path}/${call.name}`;
    const watching = call.onExit?.when;
    return [
      ...(call.when === undefined ? [] : unreachable(template, call.when, here, undefined)),
      ...(watching === undefined ? [] : unreachable(template, watching, `${here}/onExit`, call)),
      ...argumentsGiven(call, here),
      ...(call.onExit === undefined ? [] : argumentsGiven(call.onExit, `${here}/onExit`)),
    ];
  });
}

/** What the compiler cannot see: arguments that come from a spread, and images given as text. */
function argumentsGiven(call: Call | ExitCall, path: string): readonly LintProblem[] {
  const { inputs } = templateOf(call.callable);
  const given = Object.entries(call.arguments).flatMap(([name, value]): LintProblem[] => {
    const declared = inputs[name];
    if (declared === undefined) {
      return [{ rule: "wrong-argument", path, problem: `is given ${name}, which it does not take` }];
    }
    if (typeof value !== "string") return [];
    if (declared.values !== undefined && !declared.values.includes(value)) {
      return [{ rule: "wrong-argument", path, problem: `is given ${name} = ${value}, which is not allowed` }];
    }
    const image = declared.type === "image" ? imageProblem(value) : undefined;
    return image === undefined ? [] : [{ rule: "unpinned-image", path, problem: `${value} ${image}` }];
  });
  const missing = Object.entries(inputs)
    .filter(([name, { required }]) => required && !(name in call.arguments))
    .map(([name]): LintProblem => ({ rule: "wrong-argument", path, problem: `is not given ${name}` }));
  return [...given, ...missing];
}

/** A condition no combination of possible values fulfils. */
function unreachable(
  template: Template,
  { test }: Condition,
  path: string,
  watched: Call | undefined,
): readonly LintProblem[] {
  const domains = new Map<string, readonly string[]>();
  const compared = literals(test);
  for (const reference of referencesOf(test)) {
    const known = possible(template, reference, watched);
    const key = renderValue(reference);
    // Where any text is possible, the ones compared with and one other stand for all.
    domains.set(key, known ?? [...compared, "\u0000"]);
  }
  const count = [...domains.values()].reduce((product, { length }) => product * length, 1);
  if (count > MAX_COMBINATIONS) return [];
  const reachable = combinations([...domains]).some((values) =>
    holds(test, (reference) => values.get(renderValue(reference)) ?? ""),
  );
  return reachable
    ? []
    : [{ rule: "unreachable-branch", path, problem: "runs on a condition that cannot hold" }];
}

function literals(test: Condition["test"]): readonly string[] {
  if (test.kind === "equal") return [test.right];
  return test.kind === "not" ? literals(test.of) : test.of.flatMap(literals);
}

/** The texts a reference can be when a later step looks at it, or `undefined` for any. */
function possible(
  template: Template,
  { source, values }: Reference,
  watched: Call | undefined,
): readonly string[] | undefined {
  if (source.kind === "input") return template.inputs[source.name]?.values;
  if (source.kind !== "status") return values;
  if (watched?.name === source.step) return ["Succeeded", "Failed", "Error"];
  const call = callsOf(template).find(({ name }) => name === source.step);
  // A step that fails ends its flow: later ones see its failure only when it is passed over.
  return ["Succeeded", ...(call?.when === undefined ? [] : ["Skipped"]), ...(call?.continueOn ?? [])];
}

function combinations(
  domains: readonly (readonly [string, readonly string[]])[],
): readonly ReadonlyMap<string, string>[] {
  return domains.reduce<readonly ReadonlyMap<string, string>[]>(
    (found, [key, values]) => found.flatMap((one) => values.map((value) => new Map(one).set(key, value))),
    [new Map()],
  );
}

/** References of a template to what is not there, or may not be there. */
function lintReferences(template: Template, path: string): readonly LintProblem[] {
  const { body } = template;
  const calls = callsOf(template);
  const order = new Map(
    body.kind === "steps"
      ? body.groups.flatMap((group, index) => group.map((call) => [call.name, index] as const))
      : calls.map((call, index) => [call.name, index] as const),
  );
  const check = (values: readonly Value[], here: string, before: (step: string) => boolean) =>
    values.flatMap(referencesIn).flatMap((reference) => referenceProblem(template, reference, here, before));
  const own = check(leafValues(template), path, () => false);
  const made = calls.flatMap((call) => {
    const here = `${path}/${call.name}`;
    const earlier = (step: string): boolean =>
      body.kind === "dag"
        ? ancestors(calls, call).has(step)
        : (order.get(step) ?? Number.POSITIVE_INFINITY) < (order.get(call.name) ?? 0);
    return [
      ...check([...Object.values(call.arguments), ...tested(call.when)], here, earlier),
      ...check(
        call.onExit === undefined
          ? []
          : [...Object.values(call.onExit.arguments), ...tested(call.onExit.when)],
        `${here}/onExit`,
        (step) => step === call.name || earlier(step),
      ),
    ];
  });
  const outputs = body.kind === "steps" || body.kind === "dag" ? Object.values(body.outputs) : [];
  return [...own, ...made, ...check(outputs, path, (step) => order.has(step))];
}

function tested(condition: Condition | undefined): readonly Reference[] {
  return condition === undefined ? [] : referencesOf(condition.test);
}

function referenceProblem(
  template: Template,
  reference: Reference,
  path: string,
  before: (step: string) => boolean,
): readonly LintProblem[] {
  const { source } = reference;
  const named = renderValue(reference).replace(/[{}=]/g, "");
  const unknown: LintProblem = {
    rule: "unknown-reference",
    path,
    problem: `reads ${named}, which is not there`,
  };
  if (source.kind === "input") return source.name in template.inputs ? [] : [unknown];
  if (source.kind !== "output" && source.kind !== "status") return [];
  const call = callsOf(template).find(({ name }) => name === source.step);
  if (call === undefined || !before(source.step)) return [unknown];
  if (source.kind === "status") return [];
  if (!(source.name in templateOf(call.callable).outputs)) return [unknown];
  const certain =
    call.when === undefined && call.continueOn.length === 0 && !path.endsWith(`/${call.name}/onExit`);
  return certain || source.fallback !== undefined
    ? []
    : [
        {
          rule: "skippable-output",
          path,
          problem: `reads ${named} of a step that may not have succeeded, without a default`,
        },
      ];
}

function ancestors(calls: readonly Call[], call: Call): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    found.add(name);
    calls.find((one) => one.name === name)?.after.forEach(visit);
  };
  call.after.forEach(visit);
  return found;
}

function leafValues({ body, options }: Template): readonly Value[] {
  const locks = [...(options.mutexes ?? []), ...(options.needsMutexes ?? []), ...(options.effects ?? [])];
  if (body.kind !== "container") return locks;
  const env = Object.values(body.env).filter(
    (source): source is Value => typeof source === "string" || "source" in source,
  );
  return [...locks, body.image, ...body.args, ...env];
}

function unusedExports(
  workflow: WorkflowTemplate,
  workflows: readonly WorkflowTemplate[],
): readonly LintProblem[] {
  const called = workflows.flatMap((one) => [...templatesOf(one).values()].flatMap(callablesOf));
  return workflow.exports
    .filter((template) => !called.some((callable) => templateOf(callable) === template))
    .map((template) => ({
      rule: "unused-template",
      path: `${workflow.name}/${template.name}`,
      problem: "is called by nothing",
    }));
}

function unknownTemplates(
  workflow: WorkflowTemplate,
  workflows: readonly WorkflowTemplate[],
): readonly LintProblem[] {
  return [...templatesOf(workflow).values()].flatMap((template) =>
    callablesOf(template).flatMap((callable): LintProblem[] => {
      if (!(callable instanceof TemplateRef)) return [];
      const other = workflows.find(({ name }) => name === callable.workflow);
      const found = other === undefined ? undefined : templatesOf(other).get(callable.template.name);
      if (found === callable.template) return [];
      const problem = `calls ${callable.workflow}/${callable.template.name}, which is not there`;
      return [{ rule: "unknown-template", path: `${workflow.name}/${template.name}`, problem }];
    }),
  );
}

/** An exit template has no inputs, and only it knows how the run ended. */
function lintExit(workflow: WorkflowTemplate): readonly LintProblem[] {
  const { onExit, ...withoutExit } = workflow;
  const early = [...templatesOf(withoutExit).values()]
    .filter((template) => ofRun(template).length > 0)
    .map(
      ({ name }): LintProblem => ({
        rule: "unknown-reference",
        path: `${workflow.name}/${name}`,
        problem: "reads how the run ended while it has not",
      }),
    );
  if (onExit === undefined) return early;
  const path = `${workflow.name}/${onExit.name}`;
  const inputs = Object.keys(onExit.inputs).map(
    // Argo checks it before a run has values.
    (name): LintProblem => ({ rule: "wrong-argument", path, problem: `is not given ${name}` }),
  );
  const unknown = ofRun(onExit).flatMap(({ source }): LintProblem[] =>
    source.kind === "workflowParameter" && workflow.entrypoint.inputs[source.name] === undefined
      ? [
          {
            rule: "unknown-reference",
            path,
            problem: `reads ${source.name}, which is no parameter of the run`,
          },
        ]
      : [],
  );
  return [...early, ...inputs, ...unknown];
}

/** References that only an exit template may read. */
function ofRun(template: Template): readonly Reference[] {
  const called = callsOf(template).flatMap((call) => [
    ...Object.values(call.arguments).flatMap(referencesIn),
    ...tested(call.when),
    ...(call.onExit === undefined ? [] : Object.values(call.onExit.arguments).flatMap(referencesIn)),
    ...tested(call.onExit?.when),
  ]);
  return [...leafValues(template).flatMap(referencesIn), ...called].filter(({ source }) =>
    ["workflowParameter", "workflowStatus", "workflowFailures"].includes(source.kind),
  );
}

/** Follows every way from the entrypoint to a leaf, with the locks held on it. */
function lintLocks(workflow: WorkflowTemplate): readonly LintProblem[] {
  const problems = new Map<string, LintProblem>();
  const report = (problem: LintProblem) => problems.set(`${problem.rule} ${problem.path}`, problem);
  const visit = (
    callable: Callable,
    args: ReadonlyMap<string, string>,
    held: readonly string[],
    path: string,
  ) => {
    const template = templateOf(callable);
    const resolve = (value: Value): string => symbolic(value, args);
    const taken = (template.options.mutexes ?? []).map(resolve);
    for (const lock of taken.filter((one) => held.includes(one))) {
      report({ rule: "deadlock", path, problem: `waits for the lock ${lock}, which its caller holds` });
    }
    const now = [...held, ...taken];
    for (const lock of (template.options.needsMutexes ?? []).map(resolve)) {
      if (!now.includes(lock))
        report({ rule: "missing-mutex", path, problem: `runs without the lock ${lock}` });
    }
    for (const call of callsOf(template)) {
      const calls: [string, Call | ExitCall][] = [[call.name, call]];
      if (call.onExit !== undefined) calls.push([`${call.name}/onExit`, call.onExit]);
      for (const [name, made] of calls) {
        visit(made.callable, argumentsOf(made, resolve), now, `${path}/${name}`);
      }
    }
  };
  const entries = [workflow.entrypoint, ...workflow.exports.filter(takesItsLocks), ...exitOf(workflow)];
  for (const template of entries) {
    const inputs = Object.keys(template.inputs).map((name) => [name, `<${name}>`] as const);
    visit(template, new Map(inputs), [], `${workflow.name}/${template.name}`);
  }
  return [...problems.values()];
}

/** Exports that take no lock are parts: they are judged where they are called. */
function takesItsLocks({ options }: Template): boolean {
  return (options.mutexes ?? []).length > 0;
}

function argumentsOf(
  { callable, arguments: args }: Call | ExitCall,
  resolve: (value: Value) => string,
): ReadonlyMap<string, string> {
  const entries = Object.entries(templateOf(callable).inputs).map(([name, declared]) => {
    const value = args[name] ?? declared.default;
    return [name, value === undefined ? `<${name}>` : resolve(value)] as const;
  });
  return new Map(entries);
}

/** A value with inputs replaced by what the caller gave; what is known only at run time keeps its name. */
function symbolic(value: Value, args: ReadonlyMap<string, string>): string {
  if (typeof value === "string") return value;
  const { source } = value;
  if (source.kind === "input") return args.get(source.name) ?? `<${source.name}>`;
  if (source.kind === "text") return source.parts.map((part) => symbolic(part, args)).join("");
  return renderValue(value);
}
