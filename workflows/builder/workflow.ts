import {
  type ArgumentsOf,
  type Call,
  type Callable,
  type Inputs,
  type OutputTexts,
  Template,
  TemplateRef,
} from "./template";

/** What holds for a whole run. */
export interface WorkflowOptions {
  /** Kubernetes namespace of the object. */
  readonly namespace: string;
  /** Seconds from submission after which a run is ended; has to leave room for waiting for locks and people. */
  readonly deadlineSeconds: number;
  /** Seconds a finished run stays as an object; the archive keeps it longer. */
  readonly keepSeconds: { readonly success: number; readonly failure: number };
  /** Seconds a finished pod stays; its log is archived before. */
  readonly keepPodSeconds: number;
  /** ServiceAccount of pods that name none. */
  readonly serviceAccount: string;
  /** Secrets with registry credentials in `namespace`. @default none */
  readonly pullSecrets?: readonly string[];
  /** Labels of the object. @default none */
  readonly labels?: Readonly<Record<string, string>>;
  /** What it is for, shown in Argo's pages. */
  readonly description?: string;
}

/** A template that can be started, and what else others may call in it. Made by `workflowTemplate`. */
export interface WorkflowTemplate<I extends Inputs = Inputs, O extends OutputTexts = OutputTexts> {
  readonly kind: "WorkflowTemplate";
  readonly name: string;
  readonly entrypoint: Template<I, O>;
  /** Templates for other workflows to call, besides the entrypoint. */
  readonly exports: readonly Template[];
  /** Made once when a run ended, whatever the end; not when the entrypoint is called by another workflow. */
  readonly onExit?: Template;
  readonly options: WorkflowOptions;
}

/** Starts a workflow template at set times. */
export interface CronWorkflow {
  readonly kind: "CronWorkflow";
  readonly name: string;
  readonly workflow: WorkflowTemplate;
  readonly arguments: Readonly<Record<string, string>>;
  /** Cron expressions. */
  readonly schedules: readonly string[];
  /** IANA time zone of the schedules. */
  readonly timezone: string;
  readonly concurrencyPolicy: "Allow" | "Forbid" | "Replace";
  /** Seconds after a missed time during which the run is still started. */
  readonly startingDeadlineSeconds: number;
  readonly historyLimit: { readonly successful: number; readonly failed: number };
}

/** Makes a workflow template. The inputs of its entrypoint are the parameters of a run; `onExit` reads them with `workflowParameter`. */
export function workflowTemplate<I extends Inputs, O extends OutputTexts>(
  name: string,
  args: WorkflowOptions & {
    readonly entrypoint: Template<I, O>;
    readonly exports?: readonly Template[];
    readonly onExit?: Template;
  },
): WorkflowTemplate<I, O> {
  const { entrypoint, exports = [], onExit, ...options } = args;
  return {
    kind: "WorkflowTemplate",
    name,
    entrypoint,
    exports,
    ...(onExit === undefined ? {} : { onExit }),
    options,
  };
}

/** A template of another workflow template, for a call that waits for it. */
export function refer<I extends Inputs, O extends OutputTexts>(
  workflow: { readonly name: string },
  template: Template<I, O>,
): TemplateRef<I, O> {
  return new TemplateRef(workflow.name, template);
}

/** Makes a cron workflow. */
export function cronWorkflow<I extends Inputs>(
  name: string,
  args: Omit<CronWorkflow, "kind" | "name" | "workflow" | "arguments"> & {
    readonly workflow: WorkflowTemplate<I>;
    readonly arguments: TextsFor<ArgumentsOf<I>>;
  },
): CronWorkflow {
  return {
    kind: "CronWorkflow",
    name,
    ...args,
    arguments: args.arguments as Readonly<Record<string, string>>,
  };
}

/** Arguments of a run are texts: nothing has run yet that could be referred to. */
export type TextsFor<A> = { readonly [K in keyof A]: Extract<A[K], string> };

/** Every template of a workflow: what its entrypoint, exports and exit call, by name, references to other workflows left out. */
export function templatesOf(workflow: WorkflowTemplate): ReadonlyMap<string, Template> {
  const found = new Map<string, Template>();
  const visit = (template: Template): void => {
    const known = found.get(template.name);
    if (known === template) return;
    if (known !== undefined) {
      throw new Error(`workflow template ${workflow.name} has two templates named ${template.name}`);
    }
    found.set(template.name, template);
    for (const callable of callablesOf(template)) if (callable instanceof Template) visit(callable);
  };
  for (const template of [workflow.entrypoint, ...workflow.exports, ...exitOf(workflow)]) visit(template);
  return found;
}

/** The exit template, if there is one. */
export function exitOf({ onExit }: WorkflowTemplate): readonly Template[] {
  return onExit === undefined ? [] : [onExit];
}

/** All calls of a template's body, in order. */
export function callsOf(template: Template): readonly Call[] {
  const { body } = template;
  if (body.kind === "steps") return body.groups.flat();
  return body.kind === "dag" ? body.calls : [];
}

/** What a template calls, exit calls included. */
export function callablesOf(template: Template): readonly Callable[] {
  return callsOf(template).flatMap((call) => [
    call.callable,
    ...(call.onExit === undefined ? [] : [call.onExit.callable]),
  ]);
}
