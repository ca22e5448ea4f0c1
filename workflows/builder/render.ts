import type { Condition, FlowScope, Reference, Test, Value } from "./reference";
import {
  type Call,
  type Callable,
  type ContainerBody,
  type EnvSource,
  type ExitCall,
  type Input,
  type LeafOptions,
  type ManifestText,
  type ResourceBody,
  type Resources,
  type Template,
  TemplateRef,
  type Volume,
} from "./template";
import { type CronWorkflow, templatesOf, type WorkflowOptions, type WorkflowTemplate } from "./workflow";

/** A JSON object, keys in the order they are written. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** A Kubernetes object. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: JsonObject & { readonly name?: string; readonly namespace: string };
  readonly spec: JsonObject;
}

const API_VERSION = "argoproj.io/v1alpha1";

/** Folder of a container's outputs, one file each. */
export const OUTPUT_FOLDER = "/tmp/outputs";

/**
 * How Argo 3.7 tells that a pod died of the infrastructure. `Error`: the pod was deleted with its node, or a container of Argo's
 * own failed. `Failed` with the kubelet's message: evicted, preempted, refused, or shut down with the node; killed from outside
 * (137 without the reason OOMKilled, 143); lost in a power cut (Unknown, ContainerStatusUnknown). A program that failed says
 * `main: Error (exit code 1)`, one too large `OOMKilled`, one too late `active on the node longer`: none is tried again.
 */
const INFRASTRUCTURE =
  "lastRetry.status == 'Error' || lastRetry.message matches " +
  "'(?i)(low on resource|evicted|preempt|node shutdown|shutting down|pod was rejected|nodelost|node lost" +
  "|main: Error [(]exit code (137|143)[)]|ContainerStatusUnknown|main: Unknown [(]exit code)'";

/** Seconds before the first repetition; doubled each time. */
const RETRY_WAIT_SECONDS = 5;

/** The `WorkflowTemplate` object. */
export function renderWorkflowTemplate(workflow: WorkflowTemplate): Manifest {
  return object("WorkflowTemplate", { name: workflow.name }, workflow.options, {
    entrypoint: workflow.entrypoint.name,
    // Not as a hook: Argo 3.7 does not look at the expression of a workflow's own exit hook.
    ...(workflow.onExit === undefined ? {} : { onExit: workflow.onExit.name }),
    ...optional("arguments", parameters(workflow.entrypoint.inputs, "value")),
    ...runSpec(workflow.options),
    templates: [...templatesOf(workflow).values()].map(renderTemplate),
  });
}

/** The `CronWorkflow` object. */
export function renderCronWorkflow(cron: CronWorkflow): Manifest {
  return object("CronWorkflow", { name: cron.name }, cron.workflow.options, {
    schedules: cron.schedules,
    timezone: cron.timezone,
    concurrencyPolicy: cron.concurrencyPolicy,
    startingDeadlineSeconds: cron.startingDeadlineSeconds,
    successfulJobsHistoryLimit: cron.historyLimit.successful,
    failedJobsHistoryLimit: cron.historyLimit.failed,
    workflowSpec: {
      workflowTemplateRef: { name: cron.workflow.name },
      ...optional("arguments", runArguments(cron.arguments)),
    },
  });
}

/** A `Workflow` object that runs a workflow template once. With a name it runs once ever, without one each time it is made. */
export function renderRun(
  workflow: WorkflowTemplate,
  args: Readonly<Record<string, string>>,
  name?: string,
): Manifest {
  const named: JsonObject = name === undefined ? { generateName: `${workflow.name}-` } : { name };
  return object("Workflow", named, workflow.options, {
    workflowTemplateRef: { name: workflow.name },
    ...optional("arguments", runArguments(args)),
  });
}

function object(kind: string, named: JsonObject, options: WorkflowOptions, spec: JsonObject): Manifest {
  const { labels, description } = options;
  return {
    apiVersion: API_VERSION,
    kind,
    metadata: {
      ...named,
      namespace: options.namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(description === undefined || kind === "Workflow"
        ? {}
        : { annotations: { "workflows.argoproj.io/description": description } }),
    },
    spec,
  };
}

function runArguments(args: Readonly<Record<string, string>>): JsonObject | undefined {
  const entries = Object.entries(args).map(([name, value]) => ({ name, value: literal(value) }));
  return entries.length === 0 ? undefined : { parameters: entries };
}

function runSpec(options: WorkflowOptions): JsonObject {
  return {
    activeDeadlineSeconds: options.deadlineSeconds,
    archiveLogs: true,
    serviceAccountName: options.serviceAccount,
    ...(options.pullSecrets === undefined
      ? {}
      : { imagePullSecrets: options.pullSecrets.map((name) => ({ name })) }),
    ttlStrategy: {
      secondsAfterSuccess: options.keepSeconds.success,
      secondsAfterFailure: options.keepSeconds.failure,
    },
    podGC: { strategy: "OnPodCompletion", deleteDelayDuration: `${options.keepPodSeconds}s` },
  };
}

function renderTemplate(template: Template): JsonObject {
  return {
    name: template.name,
    ...optional(
      "inputs",
      template.body.kind === "suspend" ? form(template) : parameters(template.inputs, "default"),
    ),
    ...optional("outputs", outputs(template)),
    ...leaf(template.options),
    ...synchronization(template.options),
    ...body(template),
  };
}

function body({ body }: Template): JsonObject {
  switch (body.kind) {
    case "container":
      return container(body);
    case "resource":
      return resource(body);
    case "suspend":
      return { suspend: body.durationSeconds === undefined ? {} : { duration: `${body.durationSeconds}s` } };
    case "steps":
      return { steps: body.groups.map((group) => group.map((call) => renderCall(call, "steps"))) };
    case "dag":
      return {
        // One task that fails does not end the others: each stage comes to its own end.
        dag: { failFast: false, tasks: body.calls.map((call) => renderCall(call, "tasks")) },
      };
  }
}

/** Inputs; those of a workflow's entrypoint are its parameters, whose default is called their value. */
function parameters(
  inputs: Readonly<Record<string, Input>>,
  key: "default" | "value",
): JsonObject | undefined {
  const entries = Object.entries(inputs).map(([name, { default: fallback, values, description }]) => ({
    name,
    ...(fallback === undefined ? {} : { [key]: literal(fallback) }),
    ...(values === undefined || key === "default" ? {} : { enum: values.map(literal) }),
    ...(description === undefined ? {} : { description: literal(description) }),
  }));
  return entries.length === 0 ? undefined : { parameters: entries };
}

/** What a person is asked: Argo's page shows an input field for each output of the same name. */
function form({ outputs }: Template): JsonObject | undefined {
  const entries = Object.entries(outputs).map(([name, { default: fallback, values, description }]) => ({
    name,
    default: literal(fallback ?? values?.[0] ?? ""),
    ...(values === undefined ? {} : { enum: values.map(literal) }),
    ...(description === undefined ? {} : { description: literal(description) }),
  }));
  return entries.length === 0 ? undefined : { parameters: entries };
}

function outputs({ body, outputs }: Template): JsonObject | undefined {
  const entries = Object.entries(outputs).map(([name, { default: fallback }]): JsonObject => {
    const preset: JsonObject = fallback === undefined ? {} : { default: literal(fallback) };
    switch (body.kind) {
      case "container":
        return { name, valueFrom: { ...preset, path: `${OUTPUT_FOLDER}/${name}` } };
      case "suspend":
        return { name, valueFrom: { ...preset, supplied: {} } };
      case "resource":
        return { name };
      default: {
        const reference = body.outputs[name];
        return { name, valueFrom: reference === undefined ? {} : flowOutput(reference) };
      }
    }
  });
  return entries.length === 0 ? undefined : { parameters: entries };
}

function flowOutput(reference: Reference): JsonObject {
  const { source } = reference;
  return source.kind === "output" && source.fallback === undefined
    ? { parameter: renderValue(reference) }
    : { expression: expressionOf(reference) };
}

function leaf(options: LeafOptions): JsonObject {
  return {
    ...(options.deadlineSeconds === undefined ? {} : { activeDeadlineSeconds: options.deadlineSeconds }),
    ...(options.retries === undefined || options.retries === 0
      ? {}
      : {
          retryStrategy: {
            limit: `${options.retries}`,
            retryPolicy: "Always",
            backoff: { duration: `${RETRY_WAIT_SECONDS}s`, factor: "2" },
            expression: INFRASTRUCTURE,
          },
        }),
  };
}

function synchronization({ mutexes = [], semaphores = [] }: LeafOptions): JsonObject {
  if (mutexes.length + semaphores.length === 0) return {};
  return {
    synchronization: {
      ...(mutexes.length === 0 ? {} : { mutexes: mutexes.map((name) => ({ name: renderValue(name) })) }),
      ...(semaphores.length === 0
        ? {}
        : {
            semaphores: semaphores.map(({ configMap, key }) => ({
              configMapKeyRef: { name: configMap, key },
            })),
          }),
    },
  };
}

/** A pod on the level `restricted`; nothing in a template can loosen it. */
function container(body: ContainerBody): JsonObject {
  const volumes = Object.entries(body.volumes);
  return {
    ...(Object.keys(body.labels).length === 0 ? {} : { metadata: { labels: body.labels } }),
    serviceAccountName: body.serviceAccount,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: body.uid,
      runAsGroup: body.uid,
      fsGroup: body.uid,
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
    ...(volumes.length === 0 ? {} : { volumes: volumes.map(([name, volume]) => volumeOf(name, volume)) }),
    container: {
      image: renderValue(body.image),
      imagePullPolicy: "IfNotPresent",
      command: body.command.map(literal),
      ...(body.args.length === 0 ? {} : { args: body.args.map(renderValue) }),
      ...(body.envFrom.length === 0
        ? {}
        : { envFrom: body.envFrom.map((name) => ({ configMapRef: { name } })) }),
      ...(Object.keys(body.env).length === 0
        ? {}
        : { env: Object.entries(body.env).map(([name, source]) => environment(name, source)) }),
      ...(body.resources === undefined ? {} : { resources: resourcesOf(body.resources) }),
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      },
      terminationMessagePolicy: "FallbackToLogsOnError",
      ...(volumes.length === 0
        ? {}
        : { volumeMounts: volumes.map(([name, volume]) => mountOf(name, volume)) }),
    },
  };
}

function resourcesOf({ requests, limits }: Resources): JsonObject {
  return {
    requests: { cpu: requests.cpu, memory: requests.memory },
    limits: { cpu: limits.cpu, memory: limits.memory },
  };
}

function environment(name: string, source: EnvSource): JsonObject {
  if (typeof source === "string" || "source" in source) return { name, value: renderValue(source) };
  return "secret" in source
    ? { name, valueFrom: { secretKeyRef: { name: source.secret, key: source.key } } }
    : { name, valueFrom: { configMapKeyRef: { name: source.configMap, key: source.key } } };
}

function volumeOf(name: string, volume: Volume): JsonObject {
  if ("emptyDir" in volume) return { name, emptyDir: { sizeLimit: volume.emptyDir.sizeLimit } };
  const items: JsonObject =
    volume.items === undefined
      ? {}
      : { items: Object.entries(volume.items).map(([key, path]) => ({ key, path })) };
  return "secret" in volume
    ? { name, secret: { secretName: volume.secret, ...items } }
    : { name, configMap: { name: volume.configMap, ...items } };
}

function mountOf(name: string, volume: Volume): JsonObject {
  return { name, mountPath: volume.mountPath, ...("emptyDir" in volume ? {} : { readOnly: true }) };
}

function resource(body: ResourceBody): JsonObject {
  return {
    serviceAccountName: body.serviceAccount,
    resource: {
      action: body.action,
      ...(body.successCondition === undefined ? {} : { successCondition: literal(body.successCondition) }),
      ...(body.failureCondition === undefined ? {} : { failureCondition: literal(body.failureCondition) }),
      // Argo replaces references in JSON text with JSON-escaped values: a value ends inside its string.
      manifest: JSON.stringify(manifestOf(body.manifest)),
    },
  };
}

function manifestOf(value: ManifestText): Json {
  if (typeof value === "string" || isReference(value)) return renderValue(value);
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item: ManifestText) => manifestOf(item));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, manifestOf(item)]));
}

function isReference(value: ManifestText): value is Reference {
  return typeof value === "object" && "source" in value && "values" in value && !Array.isArray(value);
}

function renderCall(call: Call, scope: FlowScope): JsonObject {
  const { continueOn } = call;
  return {
    name: call.name,
    ...callee(call.callable),
    ...callArguments(call.arguments),
    ...(scope === "tasks" && call.after.length > 0 ? { dependencies: call.after } : {}),
    ...(call.when === undefined ? {} : { when: `{{=${test(call.when.test)}}}` }),
    ...(continueOn.length === 0
      ? {}
      : {
          continueOn: {
            ...(continueOn.includes("Error") ? { error: true } : {}),
            ...(continueOn.includes("Failed") ? { failed: true } : {}),
          },
        }),
    ...(call.onExit === undefined ? {} : { hooks: { exit: exitHook(call.onExit) } }),
  };
}

function exitHook(exit: ExitCall): JsonObject {
  return {
    ...callee(exit.callable),
    ...callArguments(exit.arguments),
    ...(exit.when === undefined ? {} : { expression: renderExpression(exit.when) }),
  };
}

function callee(callable: Callable): JsonObject {
  return callable instanceof TemplateRef
    ? { templateRef: { name: callable.workflow, template: callable.template.name } }
    : { template: callable.name };
}

function callArguments(args: Readonly<Record<string, Value>>): JsonObject {
  const entries = Object.entries(args).map(([name, value]) => ({ name, value: renderValue(value) }));
  return entries.length === 0 ? {} : { arguments: { parameters: entries } };
}

/** A value as Argo reads it. Two values are the same when their renderings are. */
export function renderValue(value: Value): string {
  if (typeof value === "string") return literal(value);
  const { source } = value;
  switch (source.kind) {
    case "input":
      return `{{inputs.parameters.${source.name}}}`;
    case "status":
      return `{{${source.scope}.${source.step}.status}}`;
    case "workflowName":
      return "{{workflow.name}}";
    case "workflowParameter":
      return `{{workflow.parameters.${source.name}}}`;
    case "workflowStatus":
      return "{{workflow.status}}";
    case "workflowFailures":
      return "{{workflow.failures}}";
    case "text":
      return source.parts.map(renderValue).join("");
    case "output":
      return source.fallback === undefined
        ? `{{${source.scope}.${source.step}.outputs.parameters.${source.name}}}`
        : `{{=${expressionOf(value)}}}`;
  }
}

/** A condition in the language of Argo's expressions. */
export function renderExpression(condition: Condition): string {
  return test(condition.test);
}

function test(one: Test): string {
  switch (one.kind) {
    case "equal":
      return `${expressionOf(one.left)} == ${quote(one.right)}`;
    case "not":
      return one.of.kind === "equal"
        ? `${expressionOf(one.of.left)} != ${quote(one.of.right)}`
        : `!(${test(one.of)})`;
    case "all":
      return one.of.length === 0 ? "true" : one.of.map(inner).join(" && ");
    case "any":
      return one.of.length === 0 ? "false" : one.of.map(inner).join(" || ");
  }
}

function inner(one: Test): string {
  return one.kind === "equal" || (one.kind === "not" && one.of.kind === "equal")
    ? test(one)
    : `(${test(one)})`;
}

/**
 * A reference inside an expression. A step that did not succeed has no outputs in Argo 3.7, and its version of optional access
 * would also take the default while the step is still to come; its status is there exactly when it ended.
 */
function expressionOf({ source }: Reference): string {
  switch (source.kind) {
    case "input":
      return `inputs.parameters[${quote(source.name)}]`;
    case "status":
      return `${source.scope}[${quote(source.step)}].status`;
    case "workflowName":
      return "workflow.name";
    case "workflowParameter":
      return `workflow.parameters[${quote(source.name)}]`;
    case "workflowStatus":
      return "workflow.status";
    case "workflowFailures":
      return "workflow.failures";
    case "text":
      return source.parts
        .map((part) => (typeof part === "string" ? quote(part) : expressionOf(part)))
        .join(" + ");
    case "output": {
      const step = `${source.scope}[${quote(source.step)}]`;
      const plain = `${step}.outputs.parameters[${quote(source.name)}]`;
      return source.fallback === undefined
        ? plain
        : `(${step}.status == 'Succeeded' ? ${plain} : ${quote(source.fallback)})`;
    }
  }
}

/** Plain text that Argo does not read as a reference. */
function literal(text: string): string {
  if (text.includes("{{"))
    throw new Error(`${JSON.stringify(text)} would be read as a reference: use references`);
  return text;
}

function quote(text: string): string {
  if (/['"\\{}\n]/.test(text)) throw new Error(`${JSON.stringify(text)} cannot stand in a condition`);
  return `'${text}'`;
}

function optional(key: string, value: JsonObject | undefined): JsonObject {
  return value === undefined ? {} : { [key]: value };
}
