/**
 * Proves: what the typed builder refuses to compile, what it renders, what its lint finds and how its simulation follows Argo's
 * rules. Does not prove: that Argo reads the manifests (test/unit/workflows.argoLint.test.ts), nor that it acts like the simulation.
 */
import { describe, expect, test } from "vitest";
import { dag, exitCall, steps } from "../../workflows/builder/flow";
import { imageProblem } from "../../workflows/builder/image";
import { lint } from "../../workflows/builder/lint";
import {
  all,
  any,
  type Condition,
  equal,
  not,
  Reference,
  text,
  workflowName,
} from "../../workflows/builder/reference";
import {
  renderExpression,
  renderRun,
  renderValue,
  renderWorkflowTemplate,
} from "../../workflows/builder/render";
import { type Outcomes, simulate } from "../../workflows/builder/simulate";
import {
  type ContainerParts,
  container,
  input,
  output,
  resource,
  suspend,
  Template,
} from "../../workflows/builder/template";
import { refer, type WorkflowTemplate, workflowTemplate } from "../../workflows/builder/workflow";
import { sourceFiles } from "../support/sources";

const image = "registry.example:5000/pipeline:1.0.0";

function pod(parts: Partial<ContainerParts> = {}): ContainerParts {
  return {
    image,
    command: ["run"],
    args: [],
    env: {},
    envFrom: [],
    volumes: {},
    labels: {},
    serviceAccount: "runner",
    uid: 1000,
    resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "1", memory: "64Mi" } },
    deadlineSeconds: 60,
    ...parts,
  };
}

const build = container(
  "build",
  {
    inputs: { commit: input.text(), kind: input.optionalOneOf(["app", "train"], "app") },
    outputs: { digest: output.text(), fresh: output.oneOf(["yes", "no"]) },
  },
  (inputs) =>
    pod({ env: { COMMIT: inputs.commit, KIND: inputs.kind }, effects: [text`build ${inputs.commit}`] }),
);

const deploy = container(
  "deploy",
  { inputs: { stage: input.oneOf(["staging", "canary"]), digest: input.text() }, outputs: {} },
  (inputs) => pod({ args: [inputs.digest], needsMutexes: [text`stage-${inputs.stage}`] }),
);

const clean = container("clean", { inputs: { verdict: input.text() }, outputs: {} }, (inputs) =>
  pod({ env: { VERDICT: inputs.verdict }, effects: [text`clean after ${inputs.verdict}`] }),
);

function workflow(
  entrypoint: Template,
  exports: readonly Template[] = [],
  name = "sample",
): WorkflowTemplate {
  return workflowTemplate(name, {
    namespace: "argo",
    deadlineSeconds: 600,
    keepSeconds: { success: 60, failure: 120 },
    keepPodSeconds: 10,
    serviceAccount: "runner",
    entrypoint,
    exports,
  });
}

function rules(entrypoint: Template, exports: readonly Template[] = []): readonly string[] {
  return lint([workflow(entrypoint, exports)]).map(({ rule }) => rule);
}

describe("what does not compile", () => {
  // The compiler checks each marked line: a mark above a line that compiles is an error. Nothing here is run but the last line.
  test("arguments, outputs and conditions that do not fit", () => {
    const flow = () =>
      steps(
        "flow",
        { inputs: { stage: input.oneOf(["staging", "canary"]), name: input.text() } },
        (call, inputs) => {
          const built = call.step("build", build, { commit: "abc" });
          // @ts-expect-error a missing argument
          call.step("missing", build, {});
          // @ts-expect-error an argument it does not take
          call.step("unknown", build, { commit: "abc", branch: "main" });
          // @ts-expect-error a text that is not allowed
          call.step("value", build, { commit: "abc", kind: "database" });
          // @ts-expect-error any text where one of a set is needed
          call.step("open", deploy, { stage: inputs.name, digest: "d" });
          // @ts-expect-error a stage that the input cannot name
          call.step("wrong-stage", deploy, { stage: "production", digest: "d" });
          // @ts-expect-error an output it does not have
          call.step("output", deploy, { stage: inputs.stage, digest: built.outputs.image });
          // @ts-expect-error an input the flow does not have
          call.step("input", deploy, { stage: inputs.target, digest: "d" });
          const skipped = call.step(
            "skipped",
            build,
            { commit: "abc" },
            { when: equal(inputs.stage, "canary") },
          );
          // @ts-expect-error an output that may not be there
          call.step("skippable", deploy, { stage: inputs.stage, digest: skipped.outputs.digest });
          call.step("with-default", deploy, {
            stage: inputs.stage,
            digest: skipped.outputs.digest.orElse("none"),
          });
          const passed = call.step("passed", build, { commit: "abc" }, { continueOn: ["Failed"] });
          // @ts-expect-error an output of a step that may have failed
          call.step("failed", deploy, { stage: inputs.stage, digest: passed.outputs.digest });
          // @ts-expect-error a comparison that can never hold
          equal(built.outputs.fresh, "perhaps");
          // @ts-expect-error a condition made by hand
          call.step("text-condition", build, { commit: "abc" }, { when: "a == b" });
          // @ts-expect-error a reference inside the program
          pod({ command: ["sh", "-c", inputs.name] });
          // @ts-expect-error an image without tag or digest
          pod({ image: "nginx" });
          // @ts-expect-error any text as an image
          pod({ image: inputs.name });
          // @ts-expect-error a value that only looks like a reference
          call.step("forged", build, { commit: { source: { kind: "workflowName" } } });
        },
      );
    expect(flow).toBeTypeOf("function");
  });
});

describe("rendering", () => {
  const pipeline = steps(
    "pipeline",
    {
      inputs: { stage: input.oneOf(["staging", "canary"]), commit: input.text() },
      options: ({ stage }) => ({
        mutexes: [text`stage-${stage}`],
        semaphores: [{ configMap: "limits", key: "all" }],
      }),
    },
    (call, inputs) => {
      const built = call.step("build", build, { commit: inputs.commit });
      const again = call.step(
        "again",
        build,
        { commit: inputs.commit, kind: "train" },
        {
          when: all(equal(built.outputs.fresh, "yes"), not(equal(inputs.stage, "canary"))),
          continueOn: ["Error"],
        },
      );
      call.step(
        "deploy",
        deploy,
        { stage: inputs.stage, digest: again.outputs.digest.orElse("none") },
        { onExit: (watched) => exitCall(clean, { verdict: watched.status }, not(watched.succeeded)) },
      );
      return { digest: built.outputs.digest, again: again.outputs.digest.orElse("none") };
    },
  );
  const manifest = renderWorkflowTemplate(workflow(pipeline));
  const templates = manifest.spec["templates"] as readonly Record<string, any>[];

  test("values go into arguments and environment", () => {
    expect(templates.map(({ name }) => name)).toEqual(["pipeline", "build", "deploy", "clean"]);
    expect(templates[1]?.["container"]).toMatchObject({
      image,
      imagePullPolicy: "IfNotPresent",
      command: ["run"],
      env: [
        { name: "COMMIT", value: "{{inputs.parameters.commit}}" },
        { name: "KIND", value: "{{inputs.parameters.kind}}" },
      ],
    });
    expect(templates[2]?.["container"].args).toEqual(["{{inputs.parameters.digest}}"]);
  });

  test("steps, conditions, defaults, exit calls", () => {
    expect(templates[0]?.["steps"]).toEqual([
      [
        {
          name: "build",
          template: "build",
          arguments: { parameters: [{ name: "commit", value: "{{inputs.parameters.commit}}" }] },
        },
      ],
      [
        {
          name: "again",
          template: "build",
          arguments: {
            parameters: [
              { name: "commit", value: "{{inputs.parameters.commit}}" },
              { name: "kind", value: "train" },
            ],
          },
          when: "{{=steps['build'].outputs.parameters['fresh'] == 'yes' && inputs.parameters['stage'] != 'canary'}}",
          continueOn: { error: true },
        },
      ],
      [
        {
          name: "deploy",
          template: "deploy",
          arguments: {
            parameters: [
              { name: "stage", value: "{{inputs.parameters.stage}}" },
              {
                name: "digest",
                value:
                  "{{=(steps['again'].status == 'Succeeded' ? steps['again'].outputs.parameters['digest'] : 'none')}}",
              },
            ],
          },
          hooks: {
            exit: {
              template: "clean",
              arguments: { parameters: [{ name: "verdict", value: "{{steps.deploy.status}}" }] },
              expression: "steps['deploy'].status != 'Succeeded'",
            },
          },
        },
      ],
    ]);
    expect(templates[0]?.["outputs"].parameters).toEqual([
      { name: "digest", valueFrom: { parameter: "{{steps.build.outputs.parameters.digest}}" } },
      {
        name: "again",
        valueFrom: {
          expression:
            "(steps['again'].status == 'Succeeded' ? steps['again'].outputs.parameters['digest'] : 'none')",
        },
      },
    ]);
  });

  test("locks", () => {
    expect(templates[0]?.["synchronization"]).toEqual({
      mutexes: [{ name: "stage-{{inputs.parameters.stage}}" }],
      semaphores: [{ configMapKeyRef: { name: "limits", key: "all" } }],
    });
  });

  test("what holds for the whole run", () => {
    expect(manifest.spec).toMatchObject({
      entrypoint: "pipeline",
      arguments: { parameters: [{ name: "stage", enum: ["staging", "canary"] }, { name: "commit" }] },
      activeDeadlineSeconds: 600,
      archiveLogs: true,
      ttlStrategy: { secondsAfterSuccess: 60, secondsAfterFailure: 120 },
      podGC: { strategy: "OnPodCompletion", deleteDelayDuration: "10s" },
    });
  });

  test("is the same text each time", () => {
    expect(JSON.stringify(renderWorkflowTemplate(workflow(pipeline)))).toBe(JSON.stringify(manifest));
  });

  test("repetition is for faults of the infrastructure", () => {
    const repeated = container("repeated", { inputs: {}, outputs: {} }, () =>
      pod({ retries: 3, idempotent: true }),
    );
    const [template] = renderWorkflowTemplate(workflow(repeated)).spec["templates"] as any[];
    expect(template.retryStrategy).toMatchObject({ limit: "3", retryPolicy: "Always" });
    const pattern = /'\(\?i\)(.*)'/.exec(template.retryStrategy.expression)?.[1] ?? "";
    const infrastructure = new RegExp(pattern, "i");
    for (const message of [
      "The node was low on resource: memory. Threshold quantity: 100Mi",
      "Pod was terminated in response to imminent node shutdown.",
      "Preempted in order to admit critical pod",
      "Pod was rejected: Node didn't have enough resource: cpu",
      "main: Error (exit code 137)",
      "main: Error (exit code 143): terminated",
      "main: Unknown (exit code 255)",
      "main: ContainerStatusUnknown (exit code 137): The container could not be located when the pod was terminated",
    ]) {
      expect(message).toMatch(infrastructure);
    }
    for (const message of [
      "main: Error (exit code 1): StageFrozen: staging is frozen",
      "main: OOMKilled (exit code 137)",
      "main: Error (exit code 1): VersionNotServed: canary runs 1.0.1",
      "Pod was active on the node longer than the specified deadline",
    ]) {
      expect(message).not.toMatch(infrastructure);
    }
  });

  test("a DAG names what it waits for", () => {
    const graph = dag("graph", { inputs: { commit: input.text() } }, (call, inputs) => {
      const built = call.task("build", build, { commit: inputs.commit });
      const other = call.task("other", build, { commit: "x" }, { when: equal(built.outputs.fresh, "yes") });
      call.task(
        "deploy",
        deploy,
        { stage: "staging", digest: other.outputs.digest.orElse("") },
        { after: [built] },
      );
    });
    const [template] = renderWorkflowTemplate(workflow(graph)).spec["templates"] as any[];
    expect(template.dag.tasks.map(({ name, dependencies }: any) => [name, dependencies])).toEqual([
      ["build", undefined],
      ["other", ["build"]],
      ["deploy", ["build", "other"]],
    ]);
    expect(template.dag.tasks[1].when).toContain("tasks['build']");
  });

  test("a template of another workflow is called by reference", () => {
    const other = workflow(deploy, [], "other");
    const caller = steps("caller", { inputs: {} }, (call) => {
      call.step("deploy", refer(other, deploy), { stage: "staging", digest: "d" });
    });
    const spec = renderWorkflowTemplate(workflow(caller)).spec as any;
    expect(spec.templates).toHaveLength(1);
    expect(spec.templates[0].steps[0][0].templateRef).toEqual({ name: "other", template: "deploy" });
  });

  test("a person's decision has a form", () => {
    const decide = suspend("decide", {
      durationSeconds: 60,
      outputs: { decision: output.oneOf(["reject", "approve"], { default: "reject" }) },
    });
    const [template] = renderWorkflowTemplate(workflow(decide)).spec["templates"] as any[];
    expect(template).toEqual({
      name: "decide",
      inputs: { parameters: [{ name: "decision", default: "reject", enum: ["reject", "approve"] }] },
      outputs: { parameters: [{ name: "decision", valueFrom: { default: "reject", supplied: {} } }] },
      suspend: { duration: "60s" },
    });
  });

  test("an object is made with values inside its texts", () => {
    const make = resource("make", { name: input.text() }, ({ name }) => ({
      action: "create",
      manifest: { kind: "ConfigMap", data: { name, list: [text`a-${name}`, 1, true] } },
      successCondition: "data.done == yes",
      serviceAccount: "runner",
      deadlineSeconds: 60,
    }));
    const [template] = renderWorkflowTemplate(workflow(make)).spec["templates"] as any[];
    expect(JSON.parse(template.resource.manifest).data).toEqual({
      name: "{{inputs.parameters.name}}",
      list: ["a-{{inputs.parameters.name}}", 1, true],
    });
  });

  test("plain text is never read as a reference", () => {
    expect(() => renderValue("{{workflow.name}}")).toThrow(/use references/);
    expect(() => renderValue("{{=1+1}}")).toThrow(/use references/);
    expect(() => renderRun(workflow(build), { commit: "{{workflow.name}}" })).toThrow(/use references/);
    const forged = equal(workflowName, "a' || 'b' == 'b" as string);
    expect(() => renderExpression(forged)).toThrow(/cannot stand in a condition/);
  });

  test("conditions keep their grouping", () => {
    const a = equal(workflowName, "a");
    expect(renderExpression(any(all(a, not(a)), not(any(a, a))))).toBe(
      "(workflow.name == 'a' && workflow.name != 'a') || (!(workflow.name == 'a' || workflow.name == 'a'))",
    );
  });

  test("only the renderer writes references", () => {
    const wrong = sourceFiles(["workflows"])
      .filter((file) => file.path !== "workflows/builder/render.ts")
      .filter((file) => /\{\{/.test(file.text))
      .map((file) => file.path);
    expect(wrong).toEqual([]);
  });
});

describe("lint", () => {
  const good = steps(
    "good",
    {
      inputs: { stage: input.oneOf(["staging", "canary"]), commit: input.text() },
      options: ({ stage }) => ({ mutexes: [text`stage-${stage}`] }),
    },
    (call, inputs) => {
      const built = call.step("build", build, { commit: inputs.commit });
      call.step("deploy", deploy, { stage: inputs.stage, digest: built.outputs.digest });
    },
  );

  test("a good workflow is clean", () => {
    expect(lint([workflow(good)])).toEqual([]);
  });

  test("images", () => {
    for (const floating of ["a/b:latest", "a/b:main", "a/b:stable", "a/b@sha256:12"] as const) {
      const leaf = container("leaf", { inputs: {}, outputs: {} }, () => pod({ image: floating }));
      expect(rules(leaf), floating).toEqual(["unpinned-image"]);
    }
    expect(imageProblem("registry:5000/nginx")).toMatch(/neither/);
    expect(imageProblem(`registry:5000/nginx@sha256:${"a".repeat(64)}`)).toBeUndefined();
    const train = container("train", { inputs: { image: input.image() }, outputs: {} }, (inputs) =>
      pod({ image: inputs.image }),
    );
    const caller = steps("caller", { inputs: {} }, (call) => {
      call.step("train", train, { image: "a/train:latest" });
    });
    expect(rules(caller)).toEqual(["unpinned-image"]);
  });

  test("deadlines, resources, repetition", () => {
    const endless = pod();
    delete (endless as any).deadlineSeconds;
    expect(rules(container("leaf", { inputs: {}, outputs: {} }, () => endless))).toEqual([
      "missing-deadline",
    ]);
    const hungry = pod();
    delete (hungry as any).resources;
    expect(rules(container("leaf", { inputs: {}, outputs: {} }, () => hungry))).toEqual([
      "missing-resources",
    ]);
    expect(rules(container("leaf", { inputs: {}, outputs: {} }, () => pod({ retries: 1 })))).toEqual([
      "unsafe-retry",
    ]);
  });

  test("objects that are made and forgotten", () => {
    const make = (successCondition?: string) =>
      resource("make", {}, () => ({
        action: "create",
        manifest: { kind: "Workflow" },
        serviceAccount: "runner",
        deadlineSeconds: 60,
        ...(successCondition === undefined ? {} : { successCondition }),
      }));
    expect(rules(make())).toEqual(["fire-and-forget"]);
    expect(rules(make("status.phase == Succeeded"))).toEqual([]);
  });

  test("a stage changed without its lock", () => {
    const open = steps("open", { inputs: {} }, (call) => {
      call.step("deploy", deploy, { stage: "staging", digest: "d" });
    });
    expect(rules(open)).toEqual(["missing-mutex"]);
    const other = steps("other", { inputs: {}, options: () => ({ mutexes: ["stage-canary"] }) }, (call) => {
      call.step("deploy", deploy, { stage: "staging", digest: "d" });
    });
    expect(rules(other)).toEqual(["missing-mutex"]);
    const inExit = steps("in-exit", { inputs: {} }, (call) => {
      call.step(
        "build",
        build,
        { commit: "a" },
        { onExit: () => exitCall(deploy, { stage: "staging", digest: "d" }) },
      );
    });
    expect(lint([workflow(inExit)]).map(({ path }) => path)).toEqual(["sample/in-exit/build/onExit"]);
  });

  test("a lock taken twice", () => {
    const outer = steps("outer", { inputs: {}, options: () => ({ mutexes: ["stage-staging"] }) }, (call) => {
      call.step("good", good, { stage: "staging", commit: "a" });
    });
    expect(rules(outer)).toEqual(["deadlock"]);
  });

  test("branches that are never taken", () => {
    const branch = (condition: (inputs: any, built: any) => Condition, continueOn?: readonly "Failed"[]) =>
      steps("branch", { inputs: { kind: input.oneOf(["a", "b"]) } }, (call, inputs) => {
        const built = call.step("build", build, { commit: "x" }, { continueOn: continueOn ?? [] });
        call.step("then", clean, { verdict: "x" }, { when: condition(inputs, built) });
      });
    // The original's defect: a test that fails ends the flow before the branch that asks for its failure.
    expect(rules(branch((_, built) => equal(built.status, "Failed")))).toEqual(["unreachable-branch"]);
    expect(rules(branch((_, built) => equal(built.status, "Failed"), ["Failed"]))).toEqual([]);
    expect(rules(branch(({ kind }) => equal(kind, "c" as never)))).toEqual(["unreachable-branch"]);
    expect(rules(branch(({ kind }) => all(equal(kind, "a"), equal(kind, "b"))))).toEqual([
      "unreachable-branch",
    ]);
    expect(rules(branch(({ kind }) => any(equal(kind, "a"), equal(kind, "b"))))).toEqual([]);
    expect(rules(branch(() => not(equal(workflowName, "a"))))).toEqual([]);
  });

  test("an output that may not be there", () => {
    const flow = steps("flow", { inputs: { kind: input.oneOf(["a", "b"]) } }, (call, inputs) => {
      call.step("build", build, { commit: "x" }, { when: equal(inputs.kind, "a") });
      const forged = new Reference({ kind: "output", scope: "steps", step: "build", name: "digest" });
      call.step("clean", clean, { verdict: forged });
    });
    expect(rules(flow)).toEqual(["skippable-output"]);
  });

  test("references that lead nowhere", () => {
    const flow = (source: Reference["source"]) =>
      steps("flow", { inputs: {} }, (call) => {
        call.step("clean", clean, { verdict: new Reference(source) });
        call.step("build", build, { commit: "x" });
      });
    expect(rules(flow({ kind: "input", name: "stage" }))).toEqual(["unknown-reference"]);
    expect(rules(flow({ kind: "output", scope: "steps", step: "build", name: "digest" }))).toEqual([
      "unknown-reference",
    ]);
    expect(rules(flow({ kind: "output", scope: "steps", step: "gone", name: "digest" }))).toEqual([
      "unknown-reference",
    ]);
  });

  test("arguments that come from a spread", () => {
    const flow = (args: object) =>
      steps("flow", { inputs: {} }, (call) => {
        call.step("build", build, { ...(args as { commit: string }) });
      });
    expect(rules(flow({ commit: "a", more: "b" }))).toEqual(["wrong-argument"]);
    expect(rules(flow({}))).toEqual(["wrong-argument"]);
    expect(rules(flow({ commit: "a", kind: "none" }))).toEqual(["wrong-argument"]);
  });

  test("templates that nothing calls, and calls to none", () => {
    expect(rules(good, [clean])).toEqual(["unused-template"]);
    const caller = steps("caller", { inputs: {} }, (call) => {
      call.step("clean", refer({ name: "elsewhere" }, clean), { verdict: "x" });
    });
    expect(rules(caller)).toEqual(["unknown-template"]);
    expect(lint([workflow(caller), workflow(good, [clean], "elsewhere")])).toEqual([]);
  });

  test("two templates of one name are refused", () => {
    const twin = new Template("build", {}, {}, build.body);
    const flow = steps("flow", { inputs: {} }, (call) => {
      call.step("a", build, { commit: "x" });
      call.step("b", twin, {});
    });
    expect(() => lint([workflow(flow)])).toThrow(/two templates named build/);
  });
});

describe("simulation", () => {
  const flow = steps(
    "flow",
    { inputs: { kind: input.optionalOneOf(["a", "b"], "a") }, options: () => ({ mutexes: ["lock"] }) },
    (call, inputs) => {
      const built = call.step("build", build, { commit: "x" }, { continueOn: ["Error"] });
      call.parallel((group) => {
        group.step(
          "left",
          clean,
          { verdict: built.outputs.digest.orElse("nothing") },
          { when: equal(inputs.kind, "a") },
        );
        group.step("right", clean, { verdict: built.status });
      });
      const inner = steps("inner", { inputs: {} }, (nested) => {
        nested.step("last", build, { commit: "y" });
      });
      call.step(
        "nested",
        inner,
        {},
        { onExit: (watched) => exitCall(clean, { verdict: watched.status }, not(watched.succeeded)) },
      );
    },
  );
  const run = (outcomes: Outcomes = {}, args: Record<string, string> = {}) =>
    simulate(flow, { arguments: args, outcomes });
  const made = (outcomes: Outcomes = {}, args: Record<string, string> = {}) =>
    run(outcomes, args).executed.map(({ path, phase }) => `${path} ${phase}`);

  test("everything succeeds", () => {
    const { phase, executed, effects } = run({ build: { outputs: { digest: "d" } } });
    expect(phase).toBe("Succeeded");
    expect(executed.map(({ path }) => path)).toEqual(["build", "left", "right", "nested/last"]);
    expect(effects).toEqual(["build x", "clean after d", "clean after Succeeded", "build y"]);
    expect(executed[0]?.mutexes).toEqual(["lock"]);
  });

  test("a condition skips a step", () => {
    expect(made({}, { kind: "b" })).not.toContain("left Succeeded");
  });

  test("a failure ends the flow, its neighbours come to their end", () => {
    expect(run({ left: { phase: "Failed" } }).phase).toBe("Failed");
    expect(made({ left: { phase: "Failed" } })).toEqual([
      "build Succeeded",
      "left Failed",
      "right Succeeded",
    ]);
    expect(made({ build: { phase: "Failed" } })).toEqual(["build Failed"]);
  });

  test("an error that is passed over leaves the default", () => {
    expect(run({ build: { phase: "Error" } }).effects).toEqual([
      "clean after nothing",
      "clean after Error",
      "build y",
    ]);
  });

  test("an exit call runs after a failure, and not after a success", () => {
    expect(made({ last: { phase: "Failed" } }).slice(-2)).toEqual([
      "nested/last Failed",
      "nested/onExit Succeeded",
    ]);
    expect(run({ last: { phase: "Failed" } }).phase).toBe("Failed");
  });

  test("a stopped workflow makes exit calls only", () => {
    expect(made({ last: { phase: "Stopped" } }).slice(-2)).toEqual([
      "nested/last Failed",
      "nested/onExit Succeeded",
    ]);
    expect(made({ build: { phase: "Stopped" } })).toEqual(["build Failed"]);
  });

  test("repetition: for faults of the infrastructure, to its limit", () => {
    const repeated = container("repeated", { inputs: {}, outputs: {} }, () =>
      pod({ retries: 1, idempotent: true }),
    );
    const caller = steps("caller", { inputs: {} }, (call) => {
      call.step("leaf", repeated, {});
    });
    const attempts = (leaf: Outcomes[string]) => simulate(caller, { outcomes: { leaf } }).executed.length;
    expect(attempts({ phase: "Failed" })).toBe(1);
    expect(attempts({ phase: "Failed", infrastructure: true })).toBe(2);
    expect(attempts([{ phase: "Error" }, {}])).toBe(2);
    expect(simulate(caller, { outcomes: { leaf: [{ phase: "Error" }, {}] } }).phase).toBe("Succeeded");
    expect(simulate(caller, { outcomes: { leaf: { phase: "Error" } } }).phase).toBe("Failed");
  });

  test("a DAG leaves out what comes after a failure, and nothing else", () => {
    const graph = dag("graph", { inputs: {} }, (call) => {
      const a = call.task("a", build, { commit: "a" });
      const b = call.task("b", build, { commit: "b" });
      call.task("after-a", clean, { verdict: a.outputs.digest });
      call.task("after-b", clean, { verdict: "x" }, { after: [b] });
    });
    const { executed, phase } = simulate(graph, { outcomes: { a: { phase: "Failed" } } });
    expect(executed.map(({ path }) => path)).toEqual(["a", "b", "after-b"]);
    expect(phase).toBe("Failed");
  });

  test("what cannot be is refused", () => {
    expect(() => run({}, { kind: "c" })).toThrow(/allowed are a, b/);
    expect(() => run({}, { more: "c" })).toThrow(/does not take/);
    expect(() => run({ nobody: { phase: "Failed" } })).toThrow(/no step was made that ends with nobody/);
    expect(() => run({ build: { outputs: { size: "1" } } })).toThrow(/has no output size/);
    const twice = steps("twice", { inputs: {}, options: () => ({ mutexes: ["lock"] }) }, (call) => {
      call.step("flow", flow, {});
    });
    expect(() => simulate(twice)).toThrow(/waits for the lock lock/);
  });
});
