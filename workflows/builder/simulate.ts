import { holds, type Phase, type Reference, type Value } from "./reference";
import { renderValue } from "./render";
import { type Call, type Callable, type ExitCall, type Template, templateOf } from "./template";
import type { WorkflowTemplate } from "./workflow";

/** How one run of a leaf ends. */
export interface Outcome {
  /**
   * `Stopped`: the whole workflow is stopped while this leaf runs; from then on exit calls are all that is made.
   * @default "Succeeded"
   */
  readonly phase?: "Succeeded" | "Failed" | "Error" | "Stopped";
  /** True when a `Failed` pod died of the infrastructure (evicted, its node shut down); `Error` always counts as such. */
  readonly infrastructure?: boolean;
  /** @default the declared default of each output, else `<name>` */
  readonly outputs?: Readonly<Record<string, string>>;
}

/**
 * Outcomes by path of the step (`roll-out/trial/change`), or by the end of it (`change`); the longest one that fits counts. A list is
 * one outcome per attempt; the last one goes on. Steps not named succeed.
 */
export type Outcomes = Readonly<Record<string, Outcome | readonly Outcome[]>>;

/** One attempt of a leaf. */
export interface Execution {
  /** Names of the calls that lead to it, joined by `/`. */
  readonly path: string;
  readonly template: string;
  readonly attempt: number;
  readonly phase: Phase;
  /** Its inputs, complete. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Locks held by itself and its callers while it ran. */
  readonly mutexes: readonly string[];
  readonly effects: readonly string[];
}

/** What a workflow did. */
export interface Simulation {
  readonly phase: Phase;
  /** Attempts of leaves in the order they are made; those of a parallel group in the order they are written. */
  readonly executed: readonly Execution[];
  /** Effects of the attempts that succeeded, in order. */
  readonly effects: readonly string[];
  readonly outputs: Readonly<Record<string, string>>;
}

interface Result {
  readonly phase: Phase;
  /** Absent when the template gave none because it failed. */
  readonly outputs: Readonly<Record<string, string>>;
}

interface Frame {
  readonly path: readonly string[];
  readonly mutexes: readonly string[];
  /** Part of an exit call, which runs in a stopped workflow too. */
  readonly exit: boolean;
}

/** What references of one template's body stand for. */
interface Scope {
  readonly inputs: Readonly<Record<string, string>>;
  readonly results: Map<string, Result>;
}

/** What a simulation is given. */
export interface SimulatedRun {
  readonly arguments?: Readonly<Record<string, string>>;
  readonly outcomes?: Outcomes;
  /** @default "run" */
  readonly workflowName?: string;
}

/**
 * Runs a template's graph in memory, with Argo's rules on conditions, retries, passed-over failures, exit calls and locks.
 *
 * @throws Error when an argument is missing or unknown, a value is read that is not there, or a lock is taken by one who holds it
 */
export function simulate(callable: Callable, run: SimulatedRun = {}): Simulation {
  return simulated(callable, undefined, run);
}

/** Runs a workflow: its entrypoint, then its exit template with the parameters of the run, under the path `onExit`. */
export function simulateWorkflow(workflow: WorkflowTemplate, run: SimulatedRun = {}): Simulation {
  return simulated(workflow.entrypoint, workflow.onExit, run);
}

function simulated(callable: Callable, onExit: Template | undefined, run: SimulatedRun): Simulation {
  const executed: Execution[] = [];
  const simulator = new Simulator(run.outcomes ?? {}, run.workflowName ?? "run", executed);
  const frame: Frame = { path: [], mutexes: [], exit: false };
  const { phase, outputs } = simulator.template(callable, run.arguments ?? {}, frame);
  if (onExit !== undefined) simulator.end(onExit, { ...defaults(callable), ...run.arguments }, phase);
  const unused = simulator.unusedOutcomes();
  if (unused.length > 0) throw new Error(`no step was made that ends with ${unused.join(", ")}`);
  const effects = executed.flatMap((one) => (one.phase === "Succeeded" ? one.effects : []));
  return { phase, executed, effects, outputs };
}

class Simulator {
  private stopped = false;
  private ended: Phase | undefined;
  private parameters: Readonly<Record<string, string>> = {};
  private readonly used = new Set<string>();

  constructor(
    private readonly outcomes: Outcomes,
    private readonly workflowName: string,
    private readonly executed: Execution[],
  ) {}

  unusedOutcomes(): readonly string[] {
    return Object.keys(this.outcomes).filter((key) => !this.used.has(key));
  }

  /** The exit template of the workflow; its end does not change how the run ended. */
  end(onExit: Template, args: Readonly<Record<string, string>>, phase: Phase): void {
    this.ended = phase;
    this.parameters = args;
    this.template(onExit, {}, { path: ["onExit"], mutexes: [], exit: true });
  }

  template(callable: Callable, args: Readonly<Record<string, string>>, frame: Frame): Result {
    const template = templateOf(callable);
    const inputs = inputsOf(template, args, frame);
    const scope: Scope = { inputs, results: new Map() };
    const locks = (template.options.mutexes ?? []).map((value) => this.resolve(value, scope));
    for (const lock of locks) {
      if (frame.mutexes.includes(lock)) {
        throw new Error(`${where(frame)} waits for the lock ${lock}, which its caller holds`);
      }
    }
    const inside: Frame = { ...frame, mutexes: [...frame.mutexes, ...locks] };
    const { body } = template;
    switch (body.kind) {
      case "steps":
        return this.flow(template, scope, inside, () => this.steps(body.groups, scope, inside));
      case "dag":
        return this.flow(template, scope, inside, () => this.dag(body.calls, scope, inside));
      default:
        return this.leaf(template, scope, inside);
    }
  }

  private leaf(template: Template, scope: Scope, frame: Frame): Result {
    const { retries = 0, effects = [] } = template.options;
    for (let attempt = 1; ; attempt += 1) {
      if (this.stopped && !frame.exit) return { phase: "Failed", outputs: {} };
      const outcome = this.outcomeOf(frame.path, attempt);
      const stopped = outcome.phase === "Stopped";
      const phase = stopped ? "Failed" : (outcome.phase ?? "Succeeded");
      if (stopped) this.stopped = true;
      const outputs = leafOutputs(template, outcome, phase, frame);
      this.executed.push({
        path: where(frame),
        template: template.name,
        attempt,
        phase,
        inputs: scope.inputs,
        mutexes: frame.mutexes,
        effects: effects.map((effect) => this.resolve(effect, scope)),
      });
      const again =
        !stopped && (phase === "Error" || (phase === "Failed" && outcome.infrastructure === true));
      if (!again || attempt > retries) return { phase, outputs };
    }
  }

  private flow(template: Template, scope: Scope, frame: Frame, run: () => boolean): Result {
    if (!run()) return { phase: "Failed", outputs: {} };
    const { body } = template;
    const declared = body.kind === "steps" || body.kind === "dag" ? body.outputs : {};
    const outputs = Object.entries(declared).map(([name, value]) => [
      name,
      this.resolve(value, scope, frame),
    ]);
    return { phase: "Succeeded", outputs: Object.fromEntries(outputs) };
  }

  /** @returns false when the flow failed */
  private steps(groups: readonly (readonly Call[])[], scope: Scope, frame: Frame): boolean {
    for (const group of groups) {
      if (this.stopped && !frame.exit) return false;
      // Conditions and arguments of a group are read before any of its steps starts.
      const made = group.map((call) => ({ call, run: this.prepare(call, scope, frame) }));
      const results = made.map(({ call, run }) => ({ call, result: run() }));
      for (const { call, result } of results) scope.results.set(call.name, result);
      if (results.some(({ call, result }) => ends(call, result))) return false;
    }
    return true;
  }

  /** @returns false when the flow failed */
  private dag(calls: readonly Call[], scope: Scope, frame: Frame): boolean {
    let good = true;
    for (const call of calls) {
      const before = call.after.map((name) => {
        const result = scope.results.get(name);
        const earlier = calls.find((one) => one.name === name);
        return earlier !== undefined && result !== undefined && !ends(earlier, result);
      });
      const reachable = before.every((ok) => ok) && !(this.stopped && !frame.exit);
      const omitted: Result = { phase: "Error", outputs: {} };
      const result = reachable ? this.prepare(call, scope, frame)() : omitted;
      scope.results.set(call.name, result);
      if (ends(call, result)) good = false;
    }
    return good;
  }

  private prepare(call: Call, scope: Scope, frame: Frame): () => Result {
    const inside: Frame = { ...frame, path: [...frame.path, call.name] };
    if (call.when !== undefined && !holds(call.when.test, (one) => this.resolve(one, scope, inside))) {
      return () => ({ phase: "Skipped", outputs: {} });
    }
    const args = this.resolveAll(call.arguments, scope, inside);
    return () => {
      const result = this.template(call.callable, args, inside);
      if (call.onExit !== undefined) this.exit(call.onExit, call.name, result, scope, inside);
      return result;
    };
  }

  private exit(exit: ExitCall, name: string, result: Result, scope: Scope, frame: Frame): void {
    const results = new Map(scope.results).set(name, result);
    const watching: Scope = { ...scope, results };
    const inside: Frame = { ...frame, path: [...frame.path, "onExit"], exit: true };
    if (exit.when !== undefined && !holds(exit.when.test, (one) => this.resolve(one, watching, inside))) {
      return;
    }
    this.template(exit.callable, this.resolveAll(exit.arguments, watching, inside), inside);
  }

  private resolveAll(
    values: Readonly<Record<string, Value>>,
    scope: Scope,
    frame: Frame,
  ): Readonly<Record<string, string>> {
    const entries = Object.entries(values).map(([name, value]) => [name, this.resolve(value, scope, frame)]);
    return Object.fromEntries(entries);
  }

  private resolve(value: Value, scope: Scope, frame?: Frame): string {
    if (typeof value === "string") return value;
    const { source } = value;
    const found = ((): string | undefined => {
      switch (source.kind) {
        case "workflowName":
          return this.workflowName;
        case "workflowParameter":
          return this.parameters[source.name];
        case "workflowStatus":
          return this.ended;
        case "workflowFailures":
          return this.ended === undefined ? undefined : this.failures();
        case "input":
          return scope.inputs[source.name];
        case "status":
          return scope.results.get(source.step)?.phase;
        case "text":
          return source.parts.map((part) => this.resolve(part, scope, frame)).join("");
        case "output": {
          const result = scope.results.get(source.step);
          if (source.fallback !== undefined && result !== undefined && result.phase !== "Succeeded") {
            return source.fallback;
          }
          return result?.outputs[source.name];
        }
      }
    })();
    if (found === undefined) throw new Error(`${where(frame)} reads ${describe(value)}, which is not there`);
    return found;
  }

  private failures(): string {
    const failed = this.executed.filter(({ phase }) => phase === "Failed" || phase === "Error");
    const nodes = failed.map(({ path, template, phase }) => ({
      displayName: path.split("/").at(-1),
      templateName: template,
      phase,
    }));
    return JSON.stringify(JSON.stringify(nodes));
  }

  private outcomeOf(path: readonly string[], attempt: number): Outcome {
    const keys = path.map((_, index) => path.slice(index).join("/")).filter((key) => key in this.outcomes);
    const [key] = keys;
    if (key === undefined) return {};
    this.used.add(key);
    const outcome = this.outcomes[key] ?? {};
    return isList(outcome) ? (outcome[Math.min(attempt, outcome.length) - 1] ?? {}) : outcome;
  }
}

function isList(outcome: Outcome | readonly Outcome[]): outcome is readonly Outcome[] {
  return Array.isArray(outcome);
}

function ends(call: Call, { phase }: Result): boolean {
  return (phase === "Failed" || phase === "Error") && !call.continueOn.includes(phase);
}

function defaults(callable: Callable): Readonly<Record<string, string>> {
  const entries = Object.entries(templateOf(callable).inputs).flatMap(([name, declared]) =>
    declared.default === undefined ? [] : [[name, declared.default] as const],
  );
  return Object.fromEntries(entries);
}

function inputsOf(
  template: Template,
  args: Readonly<Record<string, string>>,
  frame: Frame,
): Readonly<Record<string, string>> {
  const unknown = Object.keys(args).filter((name) => !(name in template.inputs));
  if (unknown.length > 0)
    throw new Error(`${where(frame)} is given ${unknown.join(", ")}, which it does not take`);
  const entries = Object.entries(template.inputs).map(([name, declared]) => {
    const value = args[name] ?? declared.default;
    if (value === undefined) throw new Error(`${where(frame)} is not given ${name}`);
    if (declared.values !== undefined && !declared.values.includes(value)) {
      throw new Error(
        `${where(frame)} is given ${name} = ${value}; allowed are ${declared.values.join(", ")}`,
      );
    }
    return [name, value];
  });
  return Object.fromEntries(entries);
}

function leafOutputs(
  template: Template,
  outcome: Outcome,
  phase: Phase,
  frame: Frame,
): Readonly<Record<string, string>> {
  const unknown = Object.keys(outcome.outputs ?? {}).filter((name) => !(name in template.outputs));
  if (unknown.length > 0) throw new Error(`${where(frame)} has no output ${unknown.join(", ")}`);
  const entries = Object.entries(template.outputs).flatMap(([name, declared]) => {
    // A pod that died wrote nothing that could be read.
    const given = outcome.outputs?.[name] ?? (phase === "Error" ? undefined : declared.default);
    if (given !== undefined) return [[name, given]];
    return phase === "Succeeded" ? [[name, declared.values?.[0] ?? `<${name}>`]] : [];
  });
  return Object.fromEntries(entries);
}

function where(frame: Frame | undefined): string {
  return frame === undefined || frame.path.length === 0 ? "the workflow" : frame.path.join("/");
}

function describe(reference: Reference): string {
  return renderValue(reference).replace(/[{}]/g, "");
}
