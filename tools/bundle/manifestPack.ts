import { parseAllDocuments } from "yaml";
import type { ManifestRow } from "../../stacks/pins";

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type JsonObject = { readonly [name: string]: Json };

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Schema fields whose value is one schema, a list of them, or schemas by name. */
const oneSchema = ["items", "additionalProperties", "not"];
const manySchemas = ["allOf", "anyOf", "oneOf"];
const namedSchemas = ["properties", "patternProperties", "definitions"];

/** A schema without its explanations. A property that is called `description` stays: it is a name there, not a text. */
export function withoutDescriptions(schema: Json): Json {
  if (!isObject(schema)) return schema;
  const kept = Object.entries(schema).filter(([name]) => name !== "description");
  return Object.fromEntries(
    kept.map(([name, value]): [string, Json] => {
      if (oneSchema.includes(name)) return [name, withoutDescriptions(value)];
      if (manySchemas.includes(name) && Array.isArray(value)) return [name, value.map(withoutDescriptions)];
      if (namedSchemas.includes(name) && isObject(value)) {
        const inner = Object.entries(value).map(([key, one]) => [key, withoutDescriptions(one)] as const);
        return [name, Object.fromEntries(inner)];
      }
      return [name, value];
    }),
  );
}

function isDefinition(object: JsonObject): boolean {
  return object["kind"] === "CustomResourceDefinition";
}

function slimDefinition(object: JsonObject): JsonObject {
  const spec = object["spec"];
  if (!isObject(spec) || !Array.isArray(spec["versions"])) return object;
  const versions = spec["versions"].map((version: Json): Json => {
    if (!isObject(version) || !isObject(version["schema"])) return version;
    const schema = withoutDescriptions(version["schema"]["openAPIV3Schema"] ?? null);
    return { ...version, schema: { openAPIV3Schema: schema } };
  });
  return { ...object, spec: { ...spec, versions } };
}

/**
 * A manifest as the bundle holds it: one object a line, as `--- {...}`. That is YAML for everybody else and read twenty times as
 * fast by who knows it (`readManifest`). Definitions lose the explanations in their schemas, two thirds of their size.
 */
export function packManifest(text: string, select?: ManifestRow["select"]): string {
  const objects = parseAllDocuments(text)
    .map((document) => {
      if (document.errors[0] !== undefined) throw document.errors[0];
      return document.toJS() as Json;
    })
    .filter(isObject)
    .flatMap((object) =>
      object["kind"] === "List" ? ((object["items"] as readonly JsonObject[] | undefined) ?? []) : [object],
    )
    .filter((object) => select === undefined || isDefinition(object));
  if (objects.length === 0) throw new Error("the manifest holds no object of the wanted kind");
  return objects
    .map((object) => `--- ${JSON.stringify(isDefinition(object) ? slimDefinition(object) : object)}\n`)
    .join("");
}
