import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { readManifest } from "../../components/manifest";
import { packManifest } from "../../tools/bundle/manifestPack";

const upstream = `# comment
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.org
spec:
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          description: A thing.
          type: object
          properties:
            description:
              description: What it is for.
              type: string
            items:
              type: array
              items:
                description: One.
                anyOf: [{ description: a, type: string }, { type: integer }]
            extra:
              additionalProperties: { description: More., type: string }
            preset:
              type: object
              default: { description: kept }
---
---
apiVersion: v1
kind: List
items:
  - { apiVersion: v1, kind: ConfigMap, metadata: { name: a }, data: { text: "one\\n--- {}\\ntwo" } }
  - { apiVersion: v1, kind: ServiceAccount, metadata: { name: b, annotations: { description: kept } } }
`;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "bundle-manifest-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function read(text: string) {
  const path = join(root, "manifest.yaml");
  writeFileSync(path, text);
  return readManifest(path);
}

describe("a packed manifest", () => {
  it("is one object a line, and still YAML", () => {
    const packed = packManifest(upstream);
    expect(packed.split("\n")).toHaveLength(4);
    expect(read(packed)).toEqual(parseAllDocuments(packed).map((document) => document.toJS()));
  });

  it("holds the same objects as the original, whose form is read as well", () => {
    const [, ...original] = read(upstream);
    const [, ...packed] = read(packManifest(upstream));
    expect(packed).toEqual(original);
    expect(packed.map((object) => object.metadata.name)).toEqual(["a", "b"]);
  });

  it("leaves out the explanations in schemas and nothing that is called like them", () => {
    const [definition] = read(packManifest(upstream));
    expect(definition?.["spec"].versions[0].schema.openAPIV3Schema).toEqual({
      type: "object",
      properties: {
        description: { type: "string" },
        items: { type: "array", items: { anyOf: [{ type: "string" }, { type: "integer" }] } },
        extra: { additionalProperties: { type: "string" } },
        preset: { type: "object", default: { description: "kept" } },
      },
    });
  });

  it("takes only the definitions when told to", () => {
    expect(read(packManifest(upstream, "definitions")).map((one) => one.kind)).toEqual([
      "CustomResourceDefinition",
    ]);
  });

  it("is not made of nothing, nor of what is no YAML", () => {
    expect(() => packManifest("kind: ConfigMap", "definitions")).toThrow("no object of the wanted kind");
    expect(() => packManifest("a: [")).toThrow();
  });
});
