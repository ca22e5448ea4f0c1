/** Rules that hold across the whole project; each would be lost in silence without a test. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { environmentGraph } from "./support/environmentGraph";
import type { Graph, GraphNode } from "./support/graph";
import { imageProblem, objectProblems, openSecrets, podTemplates } from "./support/kubernetesRules";
import { restrictedViolations } from "./support/podSecurity";
import { codeOnly, globPattern, root, type SourceFile, sourceFiles } from "./support/sources";

const LAYERS = ["stacks", "infra", "k8s", "workflows", "components"] as const;

/** Layer -> what it may import. The middle three never import each other: they meet in components/contracts.ts. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  // Of tools, the location of the bundle on this host only.
  stacks: ["stacks", "infra", "k8s", "workflows", "components", "tools/bundle"],
  infra: ["infra", "components"],
  k8s: ["k8s", "components"],
  workflows: ["workflows", "components"],
  components: ["components"],
  // Tools serve the program: they know its settings, pins and machines, never what runs in the cluster.
  tools: ["tools", "stacks", "infra", "components"],
};

/** Files outside stacks/ and tools/ that read the process environment, and why. */
const READS_THE_ENVIRONMENT: Readonly<Record<string, string>> = {
  "infra/local/naming.ts":
    "where machines live is a property of the host, and provider and commands must agree on it",
};

const program = sourceFiles(LAYERS);
const tools = sourceFiles(["tools"]);

describe("sources", () => {
  test("are found", () => {
    expect(program.length).toBeGreaterThan(20);
    expect(tools.length).toBeGreaterThan(10);
  });

  test.each([...LAYERS, "tools"])("%s imports only what lies below it", (layer) => {
    const wrong = [...program, ...tools]
      .filter((file) => file.layer === layer)
      .flatMap((file) => file.imports.map((imported) => ({ file: file.path, imported })))
      .filter(
        ({ imported }) => !MAY_IMPORT[layer]?.some((allowed) => `${imported}/`.startsWith(`${allowed}/`)),
      )
      .map(({ file, imported }) => `${file} imports ${imported}`);
    expect(wrong).toEqual([]);
  });

  test("settings are read in stacks/ and tools/ only", () => {
    const wrong = program
      .filter((file) => file.layer !== "stacks" && !(file.path in READS_THE_ENVIRONMENT))
      .filter((file) => /\bprocess\.env\b|\bpulumi\.Config\b|\bnew Config\b/.test(codeOnly(file.text)))
      .map((file) => file.path);
    expect(wrong).toEqual([]);
  });

  test("names say what a thing is", () => {
    const vague = /(^|\/)(utils?|helpers?|misc|common|manager|handler?)(\.|\/|$)/i;
    const files = [...program, ...tools, ...sourceFiles(["test"])].map((file) => file.path);
    expect(files.filter((path) => vague.test(path))).toEqual([]);
  });

  test("no unfinished work, no test switched off", () => {
    const own = "test/conventions.test.ts";
    const wrong = [...program, ...tools, ...sourceFiles(["test"])]
      .filter((file) => file.path !== own)
      .filter((file) => /\b(TODO|FIXME|XXX)\b|\b(test|describe|it)\.(only|skip|todo)\(/.test(file.text))
      .map((file) => file.path);
    expect(wrong).toEqual([]);
  });
});

describe("components in the sources", () => {
  const components = program.flatMap(componentsOf);

  test("are found", () => {
    expect(components.length).toBeGreaterThan(8);
  });

  test("have the token gourmetgram:<folder>:<Class>", () => {
    const wrong = components.filter(({ name, file, text }) => {
      const token = /super\(\s*"([^"]+)"/.exec(text)?.[1];
      return token !== `gourmetgram:${file.layer}:${name}`;
    });
    expect(wrong.map(({ name, file }) => `${name} in ${file.path}`)).toEqual([]);
  });

  test("register their outputs", () => {
    const wrong = components.filter(({ text }) => !/this\.registerOutputs\(/.test(text));
    expect(wrong.map(({ name, file }) => `${name} in ${file.path}`)).toEqual([]);
  });

  test("stand one in a file", () => {
    const crowded = program.filter((file) => componentsOf(file).length > 1);
    expect(crowded.map((file) => file.path)).toEqual([]);
  });
});

type Project = { readonly test: { readonly name: string; readonly include: readonly string[] } };

describe("test files", () => {
  let projects: { name: string; patterns: RegExp[] }[];
  beforeAll(async () => {
    const { default: config } = await import(/* @vite-ignore */ join(root, "vitest.config.mts"));
    projects = config.test.projects.map(({ test: { name, include } }: Project) => ({
      name,
      patterns: include.map(globPattern),
    }));
  });
  const files = sourceFiles(["test"]).map((file) => file.path);

  test("of each layer are there to be run", () => {
    expect(projects.map(({ name }) => name)).toEqual(["unit", "graph", "golden", "preview", "e2e"]);
  });

  test("belong to exactly one project", () => {
    const wrong = files
      .filter((path) => path.endsWith(".test.ts"))
      .map((path) => ({
        path,
        in: projects
          .filter(({ patterns }) => patterns.some((pattern) => pattern.test(path)))
          .map(({ name }) => name),
      }))
      .filter((found) => found.in.length !== 1);
    expect(wrong).toEqual([]);
  });

  test("that hold tests are named as tests", () => {
    const wrong = sourceFiles(["test"])
      .filter((file) => !file.path.endsWith(".test.ts"))
      .filter((file) => /^\s*(test|describe|it)(\.each\(.*\))?\(/m.test(file.text))
      .map((file) => file.path);
    expect(wrong).toEqual([]);
  });
});

/**
 * Pods that may break the level `restricted`, and why. Every other pod of an environment keeps it.
 * The key is the name of the component below which they are made.
 */
const PRIVILEGED: Readonly<Record<string, string>> = {
  FlannelNetwork: "builds the pod network: it needs the node's network and its CNI folders",
  Addons: "upstream manifests; the storage provisioner's helper makes folders on the node",
  BuildKit: "builds images as many users, which needs a user namespace",
  Gateway: "publishes ports of the edge node",
};

/** Compose the layers and name them for what they are; everywhere else children bear their parent's name. */
const COMPOSERS = [
  "gourmetgram:stacks:Environment",
  "gourmetgram:stacks:Delivery",
  "gourmetgram:stacks:Access",
];

describe("a whole environment", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await environmentGraph();
  });
  const ours = () => graph.nodes.filter((node) => !node.type.startsWith("pulumi:pulumi:"));

  test("is there", () => {
    expect(ours().length).toBeGreaterThan(60);
  });

  test("every component registered its outputs", () => {
    const wrong = ours().filter((node) => !node.custom && node.registeredOutputs === undefined);
    expect(wrong.map((node) => `${node.name} (${node.type})`)).toEqual([]);
  });

  test("everything hangs below the environment", () => {
    const stray = ours().filter((node) => graph.byUrn(node.parent)?.type === "pulumi:pulumi:Stack");
    expect(stray.map((node) => node.type)).toEqual(COMPOSERS.slice(0, 1));
  });

  test("children bear their parent's name", () => {
    const wrong = ours().filter((node) => {
      const parent = graph.byUrn(node.parent);
      if (!parent || parent.type === "pulumi:pulumi:Stack" || COMPOSERS.includes(parent.type)) return false;
      return node.name !== parent.name && !node.name.startsWith(`${parent.name}-`);
    });
    expect(wrong.map((node) => `${node.name} below ${graph.byUrn(node.parent)?.name}`)).toEqual([]);
  });

  test("objects are labelled, named and pinned; Secrets are secret", () => {
    // Pods of upstream manifests keep the labels upstream selects them by.
    const upstream = (line: string) => /^cluster-addons-.* its pods lack the label/.test(line);
    expect(objectProblems(graph).filter((line) => !upstream(line))).toEqual([]);
  });

  test("what is confidential is secret", () => {
    expect(openSecrets(graph)).toEqual([]);
    expect(graph.secretOutputs).toEqual(expect.arrayContaining(["kubeconfig", "credentials"]));
  });

  test("every pod keeps the level restricted, but for the written exceptions", () => {
    const wrong = podTemplates(graph)
      .filter(({ node }) => !below(node, Object.keys(PRIVILEGED)))
      .flatMap(({ node, spec }) => restrictedViolations(spec).map((text) => `${node.name}: ${text}`));
    expect(wrong).toEqual([]);
  });

  test("every exception is in use", () => {
    const used = Object.keys(PRIVILEGED).filter((component) =>
      podTemplates(graph).some(
        ({ node, spec }) => below(node, [component]) && restrictedViolations(spec).length > 0,
      ),
    );
    expect(used).toEqual(Object.keys(PRIVILEGED));
  });

  test("its namespaces enforce a Pod Security level", () => {
    const wrong = graph
      .ofType("Namespace")
      .filter(({ inputs }) => inputs.metadata.name !== "kube-system")
      .filter(({ inputs }) => !inputs.metadata.labels["pod-security.kubernetes.io/enforce"]);
    expect(wrong.map((node) => node.name)).toEqual([]);
  });

  function below(node: GraphNode, components: readonly string[]): boolean {
    const parent = graph.byUrn(node.parent);
    if (!parent) return false;
    return components.some((component) => parent.type.endsWith(`:${component}`)) || below(parent, components);
  }
});

describe("the rules themselves can fail", () => {
  test("images", () => {
    for (const image of ["nginx", "nginx:latest", "registry.example:5000/nginx", "", undefined]) {
      expect(imageProblem(image), String(image)).toBeDefined();
    }
    for (const image of ["nginx:1.27", "registry.example:5000/nginx:1", `nginx@sha256:${"a".repeat(64)}`]) {
      expect(imageProblem(image), image).toBeUndefined();
    }
  });

  test("Pod Security", () => {
    const context = {
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
      capabilities: { drop: ["ALL"] },
    };
    const good = { containers: [{ name: "a", securityContext: context }] };
    expect(restrictedViolations(good)).toEqual([]);
    const container = (change: object) => ({
      containers: [{ name: "a", securityContext: context, ...change }],
    });
    const bad = [
      { ...good, hostNetwork: true },
      { ...good, hostPID: true },
      { ...good, volumes: [{ name: "v", hostPath: { path: "/" } }] },
      { ...good, securityContext: { runAsUser: 0 } },
      { ...good, securityContext: { sysctls: [{ name: "kernel.msgmax" }] } },
      { containers: [{ name: "a" }] },
      { ...good, initContainers: [{ name: "b" }] },
      container({ securityContext: { ...context, privileged: true } }),
      container({ securityContext: { ...context, allowPrivilegeEscalation: undefined } }),
      container({ securityContext: { ...context, runAsNonRoot: undefined } }),
      container({ securityContext: { ...context, runAsUser: 0 } }),
      container({ securityContext: { ...context, seccompProfile: { type: "Unconfined" } } }),
      container({ securityContext: { ...context, capabilities: { drop: ["NET_RAW"] } } }),
      container({ securityContext: { ...context, capabilities: { drop: ["ALL"], add: ["SYS_ADMIN"] } } }),
      container({ ports: [{ hostPort: 80 }] }),
      container({ livenessProbe: { httpGet: { host: "169.254.169.254" } } }),
    ];
    for (const spec of bad) expect(restrictedViolations(spec), JSON.stringify(spec)).not.toEqual([]);
  });

  test("code without comments and quotes", () => {
    expect(codeOnly('a; // process.env\nb("process.env"); /* process.env */ c')).not.toContain("process.env");
    expect(codeOnly("const a = process.env.HOME;")).toContain("process.env");
  });
});

/** The component classes of a file, each with its text up to the next class. */
function componentsOf(file: SourceFile): { name: string; file: SourceFile; text: string }[] {
  return file.text
    .split(/^(?=(?:export )?class )/m)
    .map((text) => ({
      name: /^(?:export )?class (\w+) extends pulumi\.ComponentResource/.exec(text)?.[1] ?? "",
      file,
      text,
    }))
    .filter(({ name }) => name !== "");
}
