import { describe, expect, it } from "vitest";
import { isLabelValue, labelKeyProblem, labels, selectorLabels } from "../../components/labels";
import { dnsLabel, isDnsLabel } from "../../components/naming";
import { nearest } from "../../components/nearest";

describe("dnsLabel", () => {
  it("joins parts and leaves short names as they are", () => {
    expect(dnsLabel(["local", "", "node1"])).toBe("local-node1");
    expect(dnsLabel(["a".repeat(63)])).toBe("a".repeat(63));
  });

  it("shortens to a valid label of the wanted length that keeps its start", () => {
    const name = dnsLabel(["environment-with-a-long-name", "node-with-a-long-name-too", "bootstrap-step"]);
    expect(name).toHaveLength(63);
    expect(name).toMatch(/^environment-with-a-long-name-node-with-a-long-name-too/);
    expect(isDnsLabel(name)).toBe(true);
    expect(dnsLabel(["gourmetgram-local", "node1"], 15)).toMatch(/^gourme-[0-9a-f]{8}$/);
  });

  it("gives the same name for the same parts, another for others that share the start", () => {
    const long = "x".repeat(80);
    expect(dnsLabel([long, "a"])).toBe(dnsLabel([long, "a"]));
    expect(dnsLabel([long, "a"])).not.toBe(dnsLabel([long, "b"]));
  });

  it("never ends the readable part with a dash", () => {
    expect(dnsLabel(["abcde", "fghijklmnopq"], 15)).toMatch(/^abcde-[0-9a-f]{8}$/);
  });

  it.each(["Upper", "under_score", "-start", "end-", "dot.ted", ""])("refuses %j", (part) => {
    expect(() => dnsLabel([part])).toThrow("Cannot make a DNS-1123 label of");
  });
});

describe("labels", () => {
  it("are the recommended ones, and selectors hold only what never changes", () => {
    const args = { name: "postgres", instance: "mlflow-db", component: "database", version: "15" };
    expect(labels(args)).toEqual({
      "app.kubernetes.io/name": "postgres",
      "app.kubernetes.io/instance": "mlflow-db",
      "app.kubernetes.io/component": "database",
      "app.kubernetes.io/version": "15",
      "app.kubernetes.io/part-of": "gourmetgram",
      "app.kubernetes.io/managed-by": "pulumi",
    });
    expect(selectorLabels(args)).toEqual(selectorLabels({ ...args, version: "16", component: "other" }));
    expect(labels(args)).toMatchObject(selectorLabels(args));
  });

  it.each([
    ["a", undefined],
    ["example.com/a_b.c", undefined],
    ["", "is not a label key"],
    ["a/b/c", "has more than one '/'"],
    ["Exa_mple/a", "has a prefix that is not a DNS name"],
    [`${"a".repeat(64)}`, "is not a label key"],
  ])("key %j: %s", (key, problem) => {
    expect(labelKeyProblem(key)).toBe(problem);
  });

  it("values may be empty, at most 63 long, without spaces", () => {
    expect(["", "a", "A_b.c-1", "a".repeat(63)].every(isLabelValue)).toBe(true);
    expect(["a b", "-a", "a-", "a".repeat(64)].some(isLabelValue)).toBe(false);
  });
});

describe("nearest", () => {
  const words = ["address", "role", "memory"];
  it.each([
    ["adress", "address"],
    ["Role", "role"],
    ["memroy", "memory"],
    ["frobnicate", undefined],
    ["x", undefined],
  ])("%j means %j", (word, expected) => {
    expect(nearest(word, words)).toBe(expected);
  });
});
