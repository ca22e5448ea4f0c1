/**
 * Proves: nothing of the whole environment's graph changes unseen: each resource with its parent, what it waits for and its
 * inputs stands in a file that is reviewed. Does not prove: that what stands there is right.
 */
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { projectSettings, readSettingsFile } from "../../tools/cli/settings";
import { environmentGraph } from "../support/environmentGraph";
import type { Graph, GraphNode } from "../support/graph";

test("the default environment", async () => {
  const resources = render(await environmentGraph());
  await expect(text(resources)).toMatchFileSnapshot("local.golden.yaml");
});

test("what the chameleon example has other than the default environment", async () => {
  const settings = projectSettings(readSettingsFile("chameleon").content["config"]);
  const local = new Set(render(await environmentGraph()).map((resource) => text(resource)));
  // Under the same name, so that only what the machines are makes a difference.
  const resources = render(await environmentGraph(settings));
  const other = resources.filter((resource) => !local.has(text(resource)));
  expect(other.length).toBeLessThan(resources.length / 3);
  await expect(text(other)).toMatchFileSnapshot("chameleon.golden.yaml");
});

function render(graph: Graph): readonly object[] {
  const name = (urn: string) => urn.split("::").at(-1) ?? "";
  return [...graph.nodes]
    .sort((a, b) => (a.urn < b.urn ? -1 : 1))
    .map((node) => ({
      resource: `${node.name} (${node.type})`,
      parent: name(node.parent),
      ...(node.deps.length > 0 ? { waitsFor: [...new Set(node.deps.map(name))].sort() } : {}),
      ...(node.provider ? { provider: name(node.provider) } : {}),
      ...(node.deletedWith ? { deletedWith: name(node.deletedWith) } : {}),
      ...(node.deleteBeforeReplace ? { deleteBeforeReplace: true } : {}),
      ...(node.ignoreChanges.length > 0 ? { ignoreChanges: node.ignoreChanges } : {}),
      ...(node.replaceOnChanges.length > 0 ? { replaceOnChanges: node.replaceOnChanges } : {}),
      ...(node.replacementTrigger !== undefined ? { replacementTrigger: node.replacementTrigger } : {}),
      ...(node.custom ? { inputs: inputsOf(node) } : {}),
    }));
}

function text(resources: object): string {
  return stringify(resources, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** Secrets masked; of a remote command the lines that differ: its settings, not the runner that is the same for all. */
function inputsOf(node: GraphNode): unknown {
  const mask = (value: unknown, path: string): unknown => {
    if (node.secretPaths.includes(path)) return "[secret]";
    if (path === "create" || path === "delete") {
      return String(value)
        .split("\n")
        .filter((line) => /^# (step|[A-Z_]+=)/.test(line))
        .map(stable);
    }
    if (Array.isArray(value)) return value.map((item, index) => mask(item, `${path}[${index}]`));
    if (typeof value !== "object" || value === null) return stable(value);
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [key, mask(item, path === "" ? key : `${path}.${key}`)]),
    );
  };
  return mask(node.inputs, "");
}

/** Without the name of the temporary folder that stands for the bundle. */
function stable(value: unknown): unknown {
  return typeof value === "string"
    ? value.replace(/\/\S*\/bundle-\w+|\bbundle-\w{6}\b/g, "BUNDLE").replace(/^\/tmp$/, "BUNDLES")
    : value;
}
