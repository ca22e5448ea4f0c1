import {
  type Condition,
  equal,
  type FlowScope,
  type Phase,
  Reference,
  referencesIn,
  referencesOf,
  SkippableOutput,
  type Value,
} from "./reference";
import {
  type ArgumentsOf,
  type Call,
  type Callable,
  type ExitCall,
  type InputReferences,
  type Inputs,
  inputReferences,
  type Outputs,
  type OutputTexts,
  Template,
  type TemplateOptions,
  templateOf,
} from "./template";

/** A call that ran and succeeded whenever later ones run. */
export interface Step<O extends OutputTexts = OutputTexts> {
  readonly name: string;
  readonly outputs: { readonly [K in keyof O]: Reference<O[K]> };
}

/** A call that may have been skipped, or have failed, when later ones run. */
export interface SkippableStep<O extends OutputTexts = OutputTexts> {
  readonly name: string;
  readonly outputs: { readonly [K in keyof O]: SkippableOutput<O[K]> };
  readonly status: Reference<Phase>;
  /** True when it ran and succeeded. */
  readonly succeeded: Condition;
}

/** The call an exit call belongs to. */
export interface WatchedStep {
  readonly status: Reference<Phase>;
  readonly succeeded: Condition;
}

/** Options of a call that keep its outputs certain. */
export interface CertainOptions {
  /** Made after the call ended, whatever the end, also when the workflow is stopped. @default nothing */
  readonly onExit?: (watched: WatchedStep) => ExitCall;
  readonly when?: undefined;
  readonly continueOn?: undefined;
}

/** Options of a call. */
export interface UncertainOptions {
  readonly onExit?: (watched: WatchedStep) => ExitCall;
  /** The call is skipped when this does not hold. @default always made */
  readonly when?: Condition;
  /** Ends that do not end the flow. @default none */
  readonly continueOn?: readonly ("Failed" | "Error")[];
}

/** Makes calls; what it returns is used by later calls. */
export interface Caller {
  step<I extends Inputs, O extends OutputTexts>(
    name: string,
    callable: Callable<I, O>,
    args: ArgumentsOf<I>,
    options?: CertainOptions,
  ): Step<O>;
  step<I extends Inputs, O extends OutputTexts>(
    name: string,
    callable: Callable<I, O>,
    args: ArgumentsOf<I>,
    options: UncertainOptions,
  ): SkippableStep<O>;
}

/** Steps one after the other. */
export interface StepsCaller extends Caller {
  /** Steps at the same time; the flow goes on when all ended. */
  parallel<R>(calls: (group: Caller) => R): R;
}

/** Tasks that start when those they read from, and those named in `after`, ended well. */
export interface DagCaller {
  task<I extends Inputs, O extends OutputTexts>(
    name: string,
    callable: Callable<I, O>,
    args: ArgumentsOf<I>,
    options?: CertainOptions & AfterOption,
  ): Step<O>;
  task<I extends Inputs, O extends OutputTexts>(
    name: string,
    callable: Callable<I, O>,
    args: ArgumentsOf<I>,
    options: UncertainOptions & AfterOption,
  ): SkippableStep<O>;
}

interface AfterOption {
  /** Tasks it waits for besides those whose outputs it reads. @default none */
  readonly after?: readonly { readonly name: string }[];
}

/** What a flow gives back to its caller. */
export type FlowOutputs = Readonly<Record<string, Reference>>;
type TextsOfFlow<R> = { readonly [K in keyof R]: R[K] extends Reference<infer T> ? T : never };

/** An exit call; `when` narrows it to some ends. */
export function exitCall<I extends Inputs, O extends OutputTexts>(
  callable: Callable<I, O>,
  args: ArgumentsOf<I>,
  when?: Condition,
): ExitCall {
  return { callable, arguments: given(args), ...(when === undefined ? {} : { when }) };
}

interface FlowSignature<I extends Inputs> {
  readonly inputs: I;
  /** Locks, computed from the inputs. */
  readonly options?: (inputs: InputReferences<I>) => TemplateOptions;
}

/** A template made of steps. What `body` returns are its outputs. */
export function steps<const I extends Inputs, R extends FlowOutputs = Readonly<Record<never, Reference>>>(
  name: string,
  signature: FlowSignature<I>,
  // biome-ignore lint/suspicious/noConfusingVoidType: a flow without outputs returns nothing
  body: (flow: StepsCaller, inputs: InputReferences<I>) => R | void,
): Template<I, TextsOfFlow<R>> {
  const groups: Call[][] = [];
  const inputs = inputReferences(signature.inputs);
  const caller = (add: (call: Call) => void): Caller => ({
    step: (
      stepName: string,
      callable: Callable,
      args: Readonly<Record<string, Value>>,
      options: UncertainOptions = {},
    ) => {
      add(callOf("steps", stepName, callable, args, options, []));
      return stepOf("steps", stepName, callable, options) as never;
    },
  });
  const flow: StepsCaller = {
    ...caller((call) => groups.push([call])),
    parallel: (calls) => {
      const group: Call[] = [];
      groups.push(group);
      return calls(caller((call) => group.push(call)));
    },
  };
  const outputs = body(flow, inputs) ?? {};
  const options = signature.options?.(inputs) ?? {};
  return new Template(
    name,
    signature.inputs,
    flowOutputs(outputs),
    { kind: "steps", groups, outputs },
    options,
  );
}

/** A template made of tasks that wait for each other. What `body` returns are its outputs. */
export function dag<const I extends Inputs, R extends FlowOutputs = Readonly<Record<never, Reference>>>(
  name: string,
  signature: FlowSignature<I>,
  // biome-ignore lint/suspicious/noConfusingVoidType: a flow without outputs returns nothing
  body: (flow: DagCaller, inputs: InputReferences<I>) => R | void,
): Template<I, TextsOfFlow<R>> {
  const calls: Call[] = [];
  const inputs = inputReferences(signature.inputs);
  const flow: DagCaller = {
    task: (
      taskName: string,
      callable: Callable,
      args: Readonly<Record<string, Value>>,
      options: UncertainOptions & AfterOption = {},
    ) => {
      const read = [
        ...Object.values(given(args)).flatMap(referencesIn),
        ...(options.when === undefined ? [] : referencesOf(options.when.test)),
      ].flatMap(({ source }) => (source.kind === "output" || source.kind === "status" ? [source.step] : []));
      const named = (options.after ?? []).map((task) => task.name);
      const after = calls.map((call) => call.name).filter((one) => named.includes(one) || read.includes(one));
      calls.push(callOf("tasks", taskName, callable, args, options, after));
      return stepOf("tasks", taskName, callable, options) as never;
    },
  };
  const outputs = body(flow, inputs) ?? {};
  const options = signature.options?.(inputs) ?? {};
  return new Template(name, signature.inputs, flowOutputs(outputs), { kind: "dag", calls, outputs }, options);
}

function callOf(
  scope: FlowScope,
  name: string,
  callable: Callable,
  args: Readonly<Record<string, Value>>,
  options: UncertainOptions,
  after: readonly string[],
): Call {
  const onExit = options.onExit?.(watched(scope, name));
  return {
    name,
    callable,
    arguments: given(args),
    ...(options.when === undefined ? {} : { when: options.when }),
    continueOn: options.continueOn ?? [],
    after,
    ...(onExit === undefined ? {} : { onExit }),
  };
}

function watched(scope: FlowScope, step: string): WatchedStep {
  const phases: readonly Phase[] = ["Succeeded", "Failed", "Error", "Skipped"];
  const status: Reference<Phase> = new Reference({ kind: "status", scope, step }, phases);
  return { status, succeeded: equal(status, "Succeeded") };
}

function stepOf(
  scope: FlowScope,
  step: string,
  callable: Callable,
  options: UncertainOptions,
): Step | SkippableStep {
  const uncertain = options.when !== undefined || (options.continueOn ?? []).length > 0;
  const outputs = Object.entries(templateOf(callable).outputs).map(([name, { values }]) => {
    const source = { kind: "output", scope, step, name } as const;
    return [name, uncertain ? new SkippableOutput(source, values) : new Reference(source, values)] as const;
  });
  return { name: step, outputs: Object.fromEntries(outputs), ...watched(scope, step) } as
    | Step
    | SkippableStep;
}

function flowOutputs(outputs: FlowOutputs): Outputs {
  const entries = Object.entries(outputs).map(([name, { values }]) => [
    name,
    values === undefined ? {} : { values },
  ]);
  return Object.fromEntries(entries);
}

/** Arguments without those left open. */
function given(args: Readonly<Record<string, Value | undefined>>): Readonly<Record<string, Value>> {
  return Object.fromEntries(
    Object.entries(args).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
