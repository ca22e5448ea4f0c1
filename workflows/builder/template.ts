import type { ImageRef, ImageText } from "./image";
import { type Condition, Reference, type Value } from "./reference";

/** An input parameter of a template. Made with `input.*`. */
export interface Input<T extends string = string, Required extends boolean = boolean> {
  readonly required: Required;
  readonly type: "text" | "image";
  readonly description?: string;
  readonly default?: T;
  /** The texts allowed, where they are a closed set. */
  readonly values?: readonly T[];
}

/** The kinds of input parameters. */
export const input = {
  /** Any text; the caller has to give it. */
  text: (description?: string): Input<string, true> => ({
    required: true,
    type: "text",
    ...(description === undefined ? {} : { description }),
  }),
  /** Any text, with what is taken when the caller gives none. */
  optional: (fallback: string, description?: string): Input<string, false> => ({
    required: false,
    type: "text",
    ...(description === undefined ? {} : { description }),
    default: fallback,
  }),
  /** One of the texts; the caller has to give it. */
  oneOf: <const T extends string>(values: readonly T[], description?: string): Input<T, true> => ({
    required: true,
    type: "text",
    ...(description === undefined ? {} : { description }),
    values,
  }),
  /** One of the texts, with the one taken when the caller gives none. */
  optionalOneOf: <const T extends string>(
    values: readonly T[],
    fallback: NoInfer<T>,
    description?: string,
  ): Input<T, false> => ({
    required: false,
    type: "text",
    ...(description === undefined ? {} : { description }),
    default: fallback,
    values,
  }),
  /** An image that an earlier step resolved to an immutable reference. */
  image: (description?: string): Input<ImageText, true> => ({
    required: true,
    type: "image",
    ...(description === undefined ? {} : { description }),
  }),
} as const;

/** An output parameter of a leaf. Made with `output.*`. */
export interface Output<T extends string = string> {
  readonly description?: string;
  /** Taken when the pod ran and wrote no file, or a person resumed without a value. @default none: the step errors */
  readonly default?: string;
  readonly values?: readonly T[];
}

/** The kinds of output parameters. A container writes each to the file `/tmp/outputs/<name>`. */
export const output = {
  text: (options: { readonly default?: string; readonly description?: string } = {}): Output => options,
  oneOf: <const T extends string>(
    values: readonly T[],
    options: { readonly default?: NoInfer<T>; readonly description?: string } = {},
  ): Output<T> => ({ ...options, values }),
  /** An immutable image reference. */
  image: (description?: string): Output<ImageText> => (description === undefined ? {} : { description }),
} as const;

export type Inputs = Readonly<Record<string, Input>>;
export type Outputs = Readonly<Record<string, Output>>;

type TextOfInput<I> = I extends Input<infer T, boolean> ? T : never;
type TextOfOutput<O> = O extends Output<infer T> ? T : never;

/** Output name -> the texts it can be. */
export type OutputTexts = Readonly<Record<string, string>>;

/** What a caller gives: every required input, any optional one, nothing else. */
export type ArgumentsOf<I extends Inputs> = {
  readonly [K in keyof I as I[K]["required"] extends true ? K : never]: Value<TextOfInput<I[K]>>;
} & {
  readonly [K in keyof I as I[K]["required"] extends true ? never : K]?: Value<TextOfInput<I[K]>>;
};

/** The inputs as a template's body sees them. */
export type InputReferences<I extends Inputs> = {
  readonly [K in keyof I]: Reference<TextOfInput<I[K]>>;
};

/** The outputs of a leaf as a caller sees them. */
export type TextsOf<O extends Outputs> = { readonly [K in keyof O]: TextOfOutput<O[K]> };

/** CPU and memory of a container; Kubernetes quantities. */
export interface Resources {
  readonly requests: { readonly cpu: string; readonly memory: string };
  readonly limits: { readonly cpu: string; readonly memory: string };
}

/** Where an environment variable's value comes from. */
export type EnvSource =
  | Value
  | { readonly secret: string; readonly key: string }
  | { readonly configMap: string; readonly key: string };

/** A folder mounted into the container. The key of the surrounding record is the volume's name. */
export type Volume = { readonly mountPath: string } & (
  | { readonly emptyDir: { readonly sizeLimit: string } }
  | { readonly secret: string; readonly items?: Readonly<Record<string, string>> }
  | { readonly configMap: string; readonly items?: Readonly<Record<string, string>> }
);

/** A container: one pod. Its command is plain text; values reach it as arguments and environment only. */
export interface ContainerBody {
  readonly kind: "container";
  readonly image: ImageRef;
  /** Program and fixed arguments. Never holds a reference. */
  readonly command: readonly string[];
  readonly args: readonly Value[];
  readonly env: Readonly<Record<string, EnvSource>>;
  /** ConfigMaps whose keys become environment variables. */
  readonly envFrom: readonly string[];
  readonly volumes: Readonly<Record<string, Volume>>;
  readonly resources?: Resources;
  readonly serviceAccount: string;
  /** User and group number of the process; never 0. */
  readonly uid: number;
  /** Labels of the pod. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Makes a Kubernetes object and waits for it. */
export interface ResourceBody {
  readonly kind: "resource";
  readonly action: "get" | "create" | "apply";
  /** The object; references may stand for texts inside. */
  readonly manifest: ManifestText;
  /** Argo's condition on the object's fields, for example `status.phase == Succeeded`. */
  readonly successCondition?: string;
  readonly failureCondition?: string;
  readonly serviceAccount: string;
}

/** JSON whose texts may be references. */
export type ManifestText =
  | Value
  | number
  | boolean
  | readonly ManifestText[]
  | { readonly [key: string]: ManifestText };

/** Waits for a person, who may set the outputs. */
export interface SuspendBody {
  readonly kind: "suspend";
  /** After this many seconds it goes on by itself with the defaults of its outputs. @default waits without end */
  readonly durationSeconds?: number;
}

/** Groups of calls, one group after the other, the calls of a group at the same time. */
export interface StepsBody {
  readonly kind: "steps";
  readonly groups: readonly (readonly Call[])[];
  readonly outputs: Readonly<Record<string, Reference>>;
}

/** Calls that start when those they come after are done. */
export interface DagBody {
  readonly kind: "dag";
  readonly calls: readonly Call[];
  readonly outputs: Readonly<Record<string, Reference>>;
}

export type Body = ContainerBody | ResourceBody | SuspendBody | StepsBody | DagBody;

/** One call of a template inside a flow. */
export interface Call {
  readonly name: string;
  readonly callable: Callable;
  readonly arguments: Readonly<Record<string, Value>>;
  readonly when?: Condition;
  /** Ends of this call that do not end the flow. */
  readonly continueOn: readonly ("Failed" | "Error")[];
  /** Names of the calls that come first. Only in a DAG. */
  readonly after: readonly string[];
  readonly onExit?: ExitCall;
}

/** A call made when another one ended, also when the workflow was stopped or its pod died. */
export interface ExitCall {
  readonly callable: Callable;
  readonly arguments: Readonly<Record<string, Value>>;
  readonly when?: Condition;
}

/** A semaphore: how many may hold it stands under `key` of a ConfigMap. */
export interface Semaphore {
  readonly configMap: string;
  readonly key: string;
}

/** What every template can have. */
export interface TemplateOptions {
  /** Locks held from the start of the template to the end of its last exit call. @default none */
  readonly mutexes?: readonly Value[];
  /** @default none */
  readonly semaphores?: readonly Semaphore[];
}

/** What every leaf can have. */
export interface LeafOptions extends TemplateOptions {
  /** Seconds after which the pod is ended and the step has failed. */
  readonly deadlineSeconds?: number;
  /** A second run after a first, whole or broken off, has the same result as one. @default false */
  readonly idempotent?: boolean;
  /** How often the step is started again after its pod died of the infrastructure, never after its program failed. @default 0 */
  readonly retries?: number;
  /** What it does to the world, in words; for simulations. @default nothing */
  readonly effects?: readonly Value[];
  /** Locks that have to be held by a caller or itself while it runs. @default none */
  readonly needsMutexes?: readonly Value[];
}

/** A template: `I` is what a caller gives, `O` what it gets back. Made by `container`, `steps`, `dag`, ... */
export class Template<out I extends Inputs = Inputs, out O extends OutputTexts = OutputTexts> {
  protected declare readonly texts: O;

  constructor(
    readonly name: string,
    readonly inputs: I,
    readonly outputs: Outputs,
    readonly body: Body,
    readonly options: LeafOptions = {},
  ) {}
}

/** A template of another workflow template, called through a reference and waited for like any other. */
export class TemplateRef<out I extends Inputs = Inputs, out O extends OutputTexts = OutputTexts> {
  constructor(
    readonly workflow: string,
    readonly template: Template<I, O>,
  ) {}
}

export type Callable<I extends Inputs = Inputs, O extends OutputTexts = OutputTexts> =
  | Template<I, O>
  | TemplateRef<I, O>;

/** The template behind a callable. */
export function templateOf<I extends Inputs, O extends OutputTexts>(
  callable: Callable<I, O>,
): Template<I, O> {
  return callable instanceof TemplateRef ? callable.template : callable;
}

/** The inputs of a template as references. */
export function inputReferences<I extends Inputs>(inputs: I): InputReferences<I> {
  const references = Object.entries(inputs).map(([name, { values }]) => [
    name,
    new Reference({ kind: "input", name }, values),
  ]);
  return Object.fromEntries(references) as InputReferences<I>;
}

interface Signature<I extends Inputs, O extends Outputs> {
  readonly inputs: I;
  readonly outputs: O;
}

/** A container template's own part, computed from its inputs. */
export type ContainerParts = Omit<ContainerBody, "kind"> & LeafOptions;

/** A template that runs one container in a pod of its own. */
export function container<const I extends Inputs, const O extends Outputs>(
  name: string,
  signature: Signature<I, O>,
  body: (inputs: InputReferences<I>) => ContainerParts,
): Template<I, TextsOf<O>> {
  const { deadlineSeconds, idempotent, retries, effects, needsMutexes, mutexes, semaphores, ...parts } = body(
    inputReferences(signature.inputs),
  );
  const options = { deadlineSeconds, idempotent, retries, effects, needsMutexes, mutexes, semaphores };
  return new Template(
    name,
    signature.inputs,
    signature.outputs,
    { kind: "container", ...parts },
    defined(options),
  );
}

/** A template that waits for a person. Each output is a field the person can set; the default is taken when it is left. */
export function suspend<const O extends Outputs>(
  name: string,
  args: { readonly outputs: O; readonly durationSeconds?: number },
): Template<Readonly<Record<never, Input>>, TextsOf<O>> {
  const { outputs, ...rest } = args;
  return new Template(name, {}, outputs, { kind: "suspend", ...rest });
}

/** A template that makes or reads a Kubernetes object. */
export function resource<const I extends Inputs>(
  name: string,
  inputs: I,
  body: (inputs: InputReferences<I>) => Omit<ResourceBody, "kind"> & LeafOptions,
): Template<I, Readonly<Record<never, string>>> {
  const { deadlineSeconds, idempotent, retries, effects, needsMutexes, mutexes, semaphores, ...parts } = body(
    inputReferences(inputs),
  );
  const options = { deadlineSeconds, idempotent, retries, effects, needsMutexes, mutexes, semaphores };
  return new Template(name, inputs, {}, { kind: "resource", ...parts }, defined(options));
}

/** Without the fields that are not set. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
