import type { Graph, GraphNode } from "./graph";

type Loose = any;

/** A pod template of a workload, wherever the kind has it. */
export interface PodTemplate {
  readonly node: GraphNode;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: Loose;
}

/** Labels every Kubernetes object of this project carries. */
const STANDARD_LABELS = [
  "app.kubernetes.io/name",
  "app.kubernetes.io/instance",
  "app.kubernetes.io/part-of",
  "app.kubernetes.io/managed-by",
];

/** Every Kubernetes object that is created, no provider and no component. */
export function kubernetesObjects(graph: Graph): readonly GraphNode[] {
  return graph.nodes.filter((node) => node.type.startsWith("kubernetes:"));
}

/** The pod templates of all workloads, pods themselves included. */
export function podTemplates(graph: Graph): readonly PodTemplate[] {
  return kubernetesObjects(graph).flatMap((node) => {
    const spec = node.inputs.spec ?? {};
    const found = [
      ...(node.inputs.kind === "Pod" || node.type.endsWith(":Pod") ? [node.inputs] : []),
      ...(spec.template?.spec?.containers ? [spec.template] : []),
      ...(spec.jobTemplate ? [spec.jobTemplate.spec.template] : []),
    ];
    return found.map((template) => ({ node, labels: template.metadata?.labels ?? {}, spec: template.spec }));
  });
}

/** What is wrong with an image reference; undefined when it is pinned. */
export function imageProblem(image: unknown): string | undefined {
  if (typeof image !== "string" || image === "") return "has no image";
  if (/@sha256:[0-9a-f]{64}$/.test(image)) return undefined;
  const tag = /:([^:/]+)$/.exec(image)?.[1];
  if (tag === undefined) return `${image} has no tag`;
  return tag === "latest" ? `${image} is not pinned` : undefined;
}

/** Breaches of the rules every Kubernetes object follows, one line each; empty when there is none. */
export function objectProblems(graph: Graph): readonly string[] {
  const problems: string[] = [];
  const report = (node: GraphNode, text: string) => problems.push(`${node.name} (${node.type}): ${text}`);
  for (const node of kubernetesObjects(graph)) {
    const { metadata } = node.inputs;
    if (!metadata?.name) report(node, "has no name of its own");
    for (const label of STANDARD_LABELS)
      if (!metadata?.labels?.[label]) report(node, `lacks the label ${label}`);
    if (node.type.endsWith(":Secret")) {
      for (const field of ["data", "stringData"]) {
        if (node.inputs[field] !== undefined && !node.secretPaths.some((path) => path.startsWith(field))) {
          report(node, `${field} is no secret`);
        }
      }
    }
  }
  for (const { node, labels, spec } of podTemplates(graph)) {
    for (const label of STANDARD_LABELS) if (!labels[label]) report(node, `its pods lack the label ${label}`);
    for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
      const problem = imageProblem(container.image);
      if (problem) report(node, `container ${container.name}: ${problem}`);
    }
    const selector = node.inputs.spec.selector?.matchLabels ?? {};
    for (const [label, value] of Object.entries(selector)) {
      if (labels[label] !== value) report(node, `its selector ${label}=${value} does not match its pods`);
    }
  }
  return problems;
}

/** Inputs whose name says they hold something confidential. */
const CONFIDENTIAL = /(password|passphrase|privatekey|secretaccesskey|kubeconfig|token|secretkey)$/i;
/** Fields of that kind of name which only point somewhere, or are settings. */
const HARMLESS = /^(automountServiceAccountToken|serviceAccountToken|enableServiceLinks)$/i;

/** Inputs that hold something confidential and are not secret, as `name: path`; empty when there is none. */
export function openSecrets(graph: Graph): readonly string[] {
  const found: string[] = [];
  for (const node of graph.nodes.filter((candidate) => candidate.custom)) {
    const visit = (value: unknown, path: string, key: string): void => {
      if (node.secretPaths.some((secret) => path === secret || path.startsWith(`${secret}.`))) return;
      if (Array.isArray(value)) value.forEach((item, index) => void visit(item, `${path}[${index}]`, key));
      else if (typeof value === "object" && value !== null) {
        for (const [field, item] of Object.entries(value))
          visit(item, path ? `${path}.${field}` : field, field);
      } else if (typeof value === "string" && value !== "" && CONFIDENTIAL.test(key) && !HARMLESS.test(key)) {
        found.push(`${node.name} (${node.type}): ${path}`);
      }
    };
    visit(node.inputs, "", "");
  }
  return found;
}
