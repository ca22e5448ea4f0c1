import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { recordGraph, UNKNOWN } from "../support/graph";

class Made extends pulumi.CustomResource {
  declare readonly result: pulumi.Output<string>;
  constructor(name: string, props: pulumi.Inputs, opts?: pulumi.CustomResourceOptions) {
    super("gourmetgram:random:Password", name, { ...props, result: undefined }, opts);
  }
}

class Group extends pulumi.ComponentResource {
  readonly first: Made;
  constructor(name: string, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:test:Group", name, {}, opts);
    this.first = new Made(`${name}-first`, { length: 8 }, { parent: this });
    new Made(`${name}-second`, { length: 8, text: this.first.result }, { parent: this });
    this.registerOutputs({ first: this.first.result });
  }
}

describe("recordGraph", () => {
  test("notes parents, dependencies, secrets and outputs", async () => {
    const graph = await recordGraph(() => {
      const group = new Group("a");
      new Made("late", {}, { dependsOn: group });
      return { password: group.first.result, shown: "x" };
    });
    const group = graph.get("a", "Group");
    expect(graph.children(group)).toEqual(["a-first Password", "a-second Password"]);
    expect(graph.get("a-second").secretPaths).toEqual(["text"]);
    expect(graph.get("a-second").propertyDeps["text"]).toEqual([graph.get("a-first").urn]);
    expect(graph.get("a-second").inputs.text).toHaveLength(8);
    expect(graph.path(graph.get("late"), graph.get("a-second"))).toEqual(["late", "a-second"]);
    expect(graph.waits(graph.get("a-first"), graph.get("a-second"))).toBe(false);
    expect(graph.secretOutputs).toEqual(["password"]);
    expect(group.registeredOutputs).toBeDefined();
  });

  test("children wait for what their parent depends on", async () => {
    const graph = await recordGraph(() => {
      const first = new Made("first", {});
      new Group("b", { dependsOn: first });
    });
    expect(graph.path(graph.get("b-first"), graph.get("first"))).toEqual(["b-first", "b", "first"]);
  });

  test("a preview has unknown outputs, and runs do not see each other", async () => {
    const graph = await recordGraph(
      () => {
        new Group("c");
      },
      { preview: true },
    );
    expect(graph.get("c-second").inputs.text).toBe(UNKNOWN);
    expect(graph.nodes.some((node) => node.name.startsWith("b"))).toBe(false);
  });

  test("get names what there is", async () => {
    const graph = await recordGraph(() => {
      new Made("only", {});
    });
    expect(() => graph.get("other")).toThrow(
      /0 resources are named other[\s\S]*only \(gourmetgram:random:Password\)/,
    );
  });

  test("an error thrown by the program reaches the caller", async () => {
    await expect(
      recordGraph(() => {
        throw new Error("wrong settings");
      }),
    ).rejects.toThrow("wrong settings");
  });
});
