/**
 * Proves: Argo's own linter, of the version that runs in the cluster, accepts every template of the pipeline and every construct of
 * the builder, and refuses a broken one. Does not prove: that they do what they should.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { cachePaths } from "../../tools/cache/paths";
import { dag, exitCall, steps } from "../../workflows/builder/flow";
import { equal, not, text } from "../../workflows/builder/reference";
import { type Manifest, renderRun, renderWorkflowTemplate } from "../../workflows/builder/render";
import { container, input, output, resource, suspend } from "../../workflows/builder/template";
import { workflowTemplate } from "../../workflows/builder/workflow";
import { createPipeline, renderPipeline } from "../../workflows/pipeline/pipeline";

const run = promisify(execFile);
const settings = { image: "bundle.gourmetgram.internal/pipeline:1" };

/** `$GOURMETGRAM_ARGO`, else the newest `argo` among what was built or downloaded for the bundle. */
function findArgo(): string | undefined {
  const named = process.env["GOURMETGRAM_ARGO"];
  if (named) return named;
  const { store, bundle } = cachePaths();
  const below = (folder: string) =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return [...below(store).filter((path) => /\/argo-v[^/]*$/.test(path)), ...below(bundle)]
    .flatMap((folder) => [join(folder, "bin", "argo"), join(folder, "argo")])
    .filter((path) => existsSync(path))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

const argo = findArgo();

/** Everything the builder can render, whether the pipeline uses it or not. */
function allConstructs(): readonly Manifest[] {
  const pod = {
    image: "registry.example:5000/pipeline:1",
    command: ["run"],
    envFrom: [],
    volumes: {},
    labels: {},
    serviceAccount: "runner",
    uid: 1000,
    resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "1", memory: "64Mi" } },
    deadlineSeconds: 60,
    idempotent: true,
    retries: 1,
  } as const;
  const leaf = container(
    "leaf",
    { inputs: { a: input.text(), image: input.image() }, outputs: { b: output.text({ default: "" }) } },
    (inputs) => ({ ...pod, image: inputs.image, args: [inputs.a], env: { A: text`<${inputs.a}>` } }),
  );
  const make = resource("make", { name: input.text() }, ({ name }) => ({
    action: "create",
    manifest: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { generateName: text`${name}-` },
      data: { name },
    },
    successCondition: "data.name",
    serviceAccount: "runner",
    deadlineSeconds: 60,
  }));
  const decide = suspend("decide", { outputs: { answer: output.oneOf(["no", "yes"], { default: "no" }) } });
  const image = "registry.example:5000/leaf:1";
  const flow = steps(
    "flow",
    {
      inputs: { kind: input.optionalOneOf(["a", "b"], "a") },
      options: ({ kind }) => ({
        mutexes: [text`lock-${kind}`],
        semaphores: [{ configMap: "limits", key: "flows" }],
      }),
    },
    (call, inputs) => {
      const first = call.step("first", leaf, { a: inputs.kind, image }, { continueOn: ["Failed", "Error"] });
      const { outputs } = call.step("decide", decide, {});
      const second = call.step(
        "second",
        leaf,
        { a: first.outputs.b.orElse("none"), image },
        {
          when: equal(outputs.answer, "yes"),
          onExit: (watched) => exitCall(leaf, { a: watched.status, image }, not(watched.succeeded)),
        },
      );
      return { second: second.outputs.b.orElse("none"), answer: outputs.answer };
    },
  );
  const graph = dag("graph", { inputs: {} }, (call) => {
    const made = call.task("make", make, { name: "x" });
    const asked = call.task("flow", flow, {}, { after: [made] });
    const last = call.task(
      "last",
      leaf,
      { a: asked.outputs.answer, image },
      { when: equal(asked.outputs.answer, "yes") },
    );
    return { last: last.outputs.b.orElse("none") };
  });
  const workflow = workflowTemplate("all-constructs", {
    namespace: "argo",
    deadlineSeconds: 600,
    keepSeconds: { success: 60, failure: 60 },
    keepPodSeconds: 10,
    serviceAccount: "runner",
    entrypoint: graph,
  });
  return [renderWorkflowTemplate(workflow), renderRun(workflow, {})];
}

describe("argo lint --offline", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "argo-lint-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What the linter says; empty when it is content. */
  async function problems(manifests: readonly Manifest[]): Promise<string> {
    const file = join(folder, "manifests.yaml");
    writeFileSync(file, manifests.map((manifest) => stringify(manifest)).join("---\n"));
    try {
      await run(argo ?? "", ["lint", "--offline", "--no-color", "--output", "simple", file], {
        env: { ...process.env, KUBECONFIG: join(folder, "none") },
        timeout: 60_000,
      });
      return "";
    } catch (error) {
      const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message: string };
      return [stdout, stderr, message].filter(Boolean).join("\n");
    }
  }

  function unlessMissing(skip: (why: string) => void): void {
    if (argo !== undefined) return;
    console.log("argo lint is skipped: no argo among the bundle's artifacts; set GOURMETGRAM_ARGO to one");
    skip("no argo");
  }

  test("accepts the pipeline, and runs of it", async ({ skip }) => {
    unlessMissing(skip);
    const { templates } = createPipeline(settings);
    const args: Record<string, Record<string, string>> = {
      "build-container-image": { "model-version": "1" },
      "deploy-container-image": { stage: "staging", version: "1.0.1", digest: "sha256:1" },
      "test-staging": { version: "1.0.1" },
      "promote-model": { source: "staging", target: "canary", version: "1.0.1" },
      revert: { stage: "staging" },
    };
    const runs = Object.values(templates).map((one) => renderRun(one, args[one.name] ?? {}));
    expect(await problems([...Object.values(renderPipeline(settings)), ...runs])).toBe("");
  });

  test.for([
    ["staging"],
    ["staging", "canary"],
  ] as const)("accepts the pipeline with the stages %j", async (stages, { skip }) => {
    unlessMissing(skip);
    expect(await problems(Object.values(renderPipeline({ ...settings, stages })))).toBe("");
  });

  test("accepts every construct of the builder", async ({ skip }) => {
    unlessMissing(skip);
    expect(await problems(allConstructs())).toBe("");
  });

  test("refuses a call to a template that is not there, and a reference to an output that is not", async ({
    skip,
  }) => {
    unlessMissing(skip);
    const manifests = renderPipeline(settings);
    const { "test-staging": _, ...others } = manifests;
    expect(await problems(Object.values(others))).toMatch(/test-staging/);
    const text = JSON.stringify(manifests["build-container-image"]);
    const broken = JSON.parse(
      text.replaceAll("build-app.outputs.parameters.digest", "build-app.outputs.parameters.size"),
    );
    const renamed = { ...broken, metadata: { ...broken.metadata, name: "broken" } };
    expect(await problems([...Object.values(manifests), renamed])).toMatch(/failed to resolve.*size/);
  });
});
