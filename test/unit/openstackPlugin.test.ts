import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";

/**
 * The stand-in for the openstack plugin against the npm package it serves. Its own Go tests hold what it does to the
 * embedded schema; these hold the schema to the package, without a Go compiler.
 */

interface Properties {
  readonly [name: string]: { readonly secret?: boolean };
}

interface PackageSchema {
  readonly version: string;
  readonly provider: { readonly inputProperties: Properties };
  readonly resources: Readonly<
    Record<string, { readonly properties: Properties; readonly inputProperties: Properties }>
  >;
  readonly functions: Readonly<Record<string, { readonly inputs?: { readonly properties: Properties } }>>;
}

const PACKAGE = "node_modules/@pulumi/openstack";

const schema = JSON.parse(
  gunzipSync(readFileSync("tools/plugins/openstack/schema.json.gz")).toString("utf8"),
) as PackageSchema;

/** What the package's compiled files say, by token. */
const sources = new Map<string, string>();
for (const path of readdirSync(PACKAGE, { recursive: true, encoding: "utf8" })) {
  if (!path.endsWith(".js") || path.startsWith("node_modules")) continue;
  const text = readFileSync(join(PACKAGE, path), "utf8");
  for (const [, token] of text.matchAll(/(?:__pulumiType = '|runtime\.invoke\(")([^'"]+)['"]/g)) {
    sources.set(token as string, text);
  }
}

const ofPackage = [...sources.keys()];
const isFunction = (token: string) => /:get[A-Z]\w*$/.test(token);

/** Names of all matches, each once. */
function names(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map((match) => match[1] as string))].sort();
}

function secretsOf(properties: Properties): string[] {
  return Object.keys(properties)
    .filter((name) => properties[name]?.secret)
    .sort();
}

describe("the openstack plugin's schema", () => {
  it("has the version, the resources and the functions of the package", () => {
    const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as { version: string };
    expect(`v${schema.version}`).toBe(manifest.version);
    const resources = ofPackage.filter((token) => token.includes(":") && !isFunction(token));
    expect(Object.keys(schema.resources).sort()).toEqual(resources.sort());
    const functions = Object.keys(schema.functions).filter((token) => !token.startsWith("pulumi:"));
    expect(functions.sort()).toEqual(ofPackage.filter(isFunction).sort());
    expect(resources.length).toBeGreaterThan(100);
  });

  it("takes the provider's arguments", () => {
    const text = sources.get("openstack") ?? "";
    expect(Object.keys(schema.provider.inputProperties).sort()).toEqual(
      names(text, /resourceInputs\["(\w+)"\]/g).filter((name) => name !== "version"),
    );
  });

  it.each(Object.keys(schema.resources))("%s has the properties and secrets of its class", (token) => {
    const { properties, inputProperties } = schema.resources[token] as PackageSchema["resources"][string];
    const text = sources.get(token) ?? "";
    expect(Object.keys(properties).sort()).toEqual(names(text, /resourceInputs\["(\w+)"\] = state \?/g));
    expect(Object.keys(inputProperties).sort()).toEqual(
      names(text, /resourceInputs\["(\w+)"\] = (?!state \?)(?!undefined)/g),
    );
    const secrets = /additionalSecretOutputs: \[([^\]]*)\]/.exec(text)?.[1] ?? "";
    expect(secretsOf(properties)).toEqual(names(secrets, /"(\w+)"/g));
  });

  it.each(
    Object.keys(schema.functions).filter((token) => !token.startsWith("pulumi:")),
  )("%s has the arguments of its function", (token) => {
    const inputs = schema.functions[token]?.inputs?.properties ?? {};
    expect(Object.keys(inputs).sort()).toEqual(names(sources.get(token) ?? "", /"(\w+)": args\./g));
  });
});
