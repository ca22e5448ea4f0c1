/**
 * What the rest of the project and the samples rely on in each other, read from their files. Not: that the samples work; their
 * own tests (`pytest` in samples/app and samples/train) and the end-to-end tests show that.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { APP_PORT } from "../../k8s/stages/appStage";
import { root } from "../support/sources";

const read = (path: string) => readFileSync(join(root, path), "utf8");

/** The product's classes, in the order of the model's outputs: see the list of capabilities. */
const CLASSES = [
  "Bread",
  "Dairy product",
  "Dessert",
  "Egg",
  "Fried food",
  "Meat",
  "Noodles/Pasta",
  "Rice",
  "Seafood",
  "Soup",
  "Vegetable/Fruit",
];

/** Texts in double quotes between two marks of a Python file. */
function quoted(path: string, from: string, to: string): string[] {
  const text = read(path);
  const part = text.slice(text.indexOf(from), text.indexOf(to, text.indexOf(from)));
  return [...part.matchAll(/^ {4}"([^"]+)"/gm)].map(([, name]) => name ?? "");
}

/** `name==version` of each line, names as package indexes compare them. */
function pins(path: string): Map<string, string> {
  const lines = read(path)
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
  return new Map(
    lines.map((line) => {
      const match = /^([A-Za-z0-9._-]+)==([0-9][^\s;]*)$/.exec(line);
      if (!match) throw new Error(`${path}: ${line} is not pinned`);
      return [(match[1] ?? "").toLowerCase().replace(/[._]/g, "-"), match[2] ?? ""];
    }),
  );
}

describe("the classes are the same", () => {
  test("in the app", () => {
    expect(quoted("samples/app/gourmetgram/classes.py", "CLASSES", ")\n")).toEqual(CLASSES);
  });
  test("in training", () => {
    expect(quoted("samples/train/training/pictures.py", "KINDS: dict", "\n}")).toEqual(CLASSES);
  });
  test("in the pipeline's checks", () => {
    expect(read("workflows/steps/settings.py")).toContain("CLASSES");
    for (const name of CLASSES) expect(read("workflows/steps/settings.py")).toContain(`"${name}"`);
  });
});

describe("the app", () => {
  const routes = [...read("samples/app/gourmetgram/web.py").matchAll(/Route\("([^"]+)"/g)].map(
    ([, path]) => path,
  );

  test("has the routes others ask", () => {
    expect(routes).toEqual(["/", "/predict", "/test", "/version", "/healthz", "/readyz", "/metrics"]);
  });

  test("is probed on routes it has", () => {
    const probed = [...read("k8s/stages/chart/templates/deployment.yaml").matchAll(/path: (\S+),/g)].map(
      ([, path]) => path,
    );
    expect(probed).toEqual(["/readyz", "/readyz", "/healthz"]);
    for (const path of probed) expect(routes).toContain(path);
  });

  test("listens where its Service leads", () => {
    expect(read("samples/app/gourmetgram/settings.py")).toContain(`port: int = ${APP_PORT}`);
    expect(read("samples/app/Dockerfile")).toContain(`EXPOSE ${APP_PORT}`);
    const chart = read("k8s/stages/chart/templates/deployment.yaml");
    expect(chart).toContain(`containerPort: ${APP_PORT}`);
  });

  test("gets its model where it looks for it", () => {
    expect(read("samples/app/gourmetgram/settings.py")).toContain('Path("model/model.onnx")');
    expect(read("workflows/steps/build_app.py")).toContain('"model" / "model.onnx"');
  });

  test("ends later than the pod's proxies learn of it, and earlier than it is killed", () => {
    const seconds = (name: string) =>
      Number(
        new RegExp(`${name}: (?:int|float) = ([0-9.]+)`).exec(
          read("samples/app/gourmetgram/settings.py"),
        )?.[1],
      );
    const chart = read("k8s/stages/chart/templates/deployment.yaml");
    const grace = Number(/terminationGracePeriodSeconds: (\d+)/.exec(chart)?.[1]);
    const sleep = Number(/sleep:\s+seconds: (\d+)/.exec(chart)?.[1]);
    expect(grace).toBeGreaterThanOrEqual(sleep + seconds("drain_seconds") + seconds("shutdown_seconds") + 10);
  });
});

describe("training", () => {
  test("registers what the pipeline asks for", () => {
    const registry = read("samples/train/training/registry.py");
    expect(registry).toContain('MODEL_NAME = "GourmetGramFood11Model"');
    expect(registry).toContain('EXPERIMENT = "food11-classifier"');
  });

  test("reads the settings the pipeline sets", () => {
    const flow = read("samples/train/training/__main__.py");
    for (const name of ["SCENARIO", "MODEL_VERSION_FILE", "MLFLOW_TRACKING_URI"]) {
      expect(flow).toContain(`"${name}"`);
    }
    expect(flow).toContain('"/tmp/model_version"');
  });

  test("knows the scenarios of the drills", () => {
    const names = quoted("samples/train/training/scenarios.py", "SCENARIOS: dict", "\n}\n");
    expect(names).toEqual(["normal", "bad-architecture", "oversized", "slow"]);
  });
});

describe.each([
  ["app", ["MODEL_VERSION", "APP_REVISION"], "build_app.py"],
  ["train", ["REVISION"], "build_train.py"],
])("the image of %s", (sample, own, step) => {
  const dockerfile = read(`samples/${sample}/Dockerfile`);
  const args = [...dockerfile.matchAll(/^ARG ([A-Z_]+)/gm)].map(([, name]) => name);

  test("takes the arguments its build gives, and no others", () => {
    expect(args).toEqual(["BASE_IMAGE", "WHEELS_IMAGE", ...own]);
    const given = [...read(`workflows/steps/${step}`).matchAll(/^ {20}"([A-Z_]+)":/gm)].map(
      ([, name]) => name,
    );
    expect([...given].sort()).toEqual([...args].sort());
  });

  test("comes from the bundle's images only, runs as a user, and asks no package index", () => {
    const from = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
    expect(from).toEqual(["WHEELS_IMAGE", "BASE_IMAGE"].map((name) => `\${${name}}`));
    expect(dockerfile).toMatch(/^USER 1000:1000$/m);
    expect(dockerfile).toContain("--no-index");
  });

  test("has its packages below the code, and the model above it", () => {
    const order = ["requirements.txt", sample === "app" ? "gourmetgram/" : "training/"];
    if (sample === "app") order.push("model/");
    const places = order.map((part) => dockerfile.indexOf(`COPY ${part}`));
    expect(places).not.toContain(-1);
    expect([...places].sort((a, b) => a - b)).toEqual(places);
  });

  test("copies only what its .dockerignore lets through", () => {
    const allowed = read(`samples/${sample}/.dockerignore`)
      .split("\n")
      .filter((line) => line.startsWith("!"))
      .map((line) => line.slice(1));
    const copied = [...dockerfile.matchAll(/^COPY (\S+?)\/? /gm)].map(([, path]) => path);
    expect([...copied].sort()).toEqual([...allowed].sort());
    const files = readdirSync(join(root, "samples", sample));
    for (const path of copied) expect(files).toContain(path);
  });
});

describe("packages", () => {
  const samples = ["app", "train"].map((sample) => pins(`samples/${sample}/requirements.txt`));
  const lock = "tools/bundle/images/python-wheels/requirements.lock";

  test("are pinned, and to the same versions in both", () => {
    const [app, train] = samples as [Map<string, string>, Map<string, string>];
    expect(app.size).toBeGreaterThan(8);
    expect(train.size).toBeGreaterThan(4);
    for (const [name, version] of app) {
      if (train.has(name)) expect(train.get(name), name).toBe(version);
    }
  });

  test("are in the image of wheels, in these versions", () => {
    const wheels = new Map(
      [...read(lock).matchAll(/^([A-Za-z0-9._-]+)==(\S+)/gm)].map(([, name, version]) => [
        (name ?? "").toLowerCase().replace(/[._]/g, "-"),
        version,
      ]),
    );
    const wrong = samples
      .flatMap((pinned) => [...pinned])
      .filter(([name, version]) => wheels.get(name) !== version)
      .map(([name, version]) => `${name}==${version}, in the image: ${wheels.get(name)}`);
    expect(wrong).toEqual([]);
  });
});
