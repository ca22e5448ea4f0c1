import { readFileSync } from "node:fs";
import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { parseAllDocuments } from "yaml";
import { labels } from "./labels";

/** A Kubernetes object as a manifest has it. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: the shape is the kind's own, known to the API server alone.
  [field: string]: any;
}

/** How each line of the bundle's own manifests begins: a YAML document that is one line of JSON. */
const documentMark = "--- {";

/** The objects of a text that has one of them a line. Undefined when it is any other YAML. */
function readLines(text: string): KubernetesObject[] | undefined {
  const lines = text.trimEnd().split("\n");
  if (!lines.every((line) => line.startsWith(documentMark))) return undefined;
  try {
    return lines.map((line) => JSON.parse(line.slice(documentMark.length - 1)) as KubernetesObject);
  } catch {
    return undefined;
  }
}

/**
 * The objects of a YAML file, in its order; empty documents and `List` kinds are resolved. A file as the bundle packs it, one
 * object a line, is read without a YAML parser.
 */
export function readManifest(path: string): KubernetesObject[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(
      `the manifest ${path} is not there (${(error as Error).message}): make the bundle with \`npm run bundle\``,
    );
  }
  const quick = readLines(text);
  if (quick !== undefined) return quick;
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object): object is KubernetesObject => object !== null)
    .flatMap((object) => (object.kind === "List" ? (object.items as KubernetesObject[]) : [object]));
}

type ResourceClass = new (
  name: string,
  args: KubernetesObject,
  opts?: pulumi.CustomResourceOptions,
) => pulumi.CustomResource;

/** API groups whose kinds the SDK has as classes, by the SDK's name for the group. */
const sdkGroups: Readonly<Record<string, Record<string, unknown>>> = {
  "": k8s.core,
  apps: k8s.apps,
  batch: k8s.batch,
  policy: k8s.policy,
  "apiextensions.k8s.io": k8s.apiextensions,
  "apiregistration.k8s.io": k8s.apiregistration,
  "networking.k8s.io": k8s.networking,
  "rbac.authorization.k8s.io": k8s.rbac,
  "scheduling.k8s.io": k8s.scheduling,
  "storage.k8s.io": k8s.storage,
};

/**
 * One typed resource per object of a manifest, named `<prefix>-<kind>-<object name>` in lower case, with the standard
 * labels added. Namespaces and CRDs come first; what is in a namespace of the manifest waits for it.
 */
export function createManifest(
  prefix: string,
  application: string,
  objects: readonly KubernetesObject[],
  opts: pulumi.CustomResourceOptions,
): Record<string, pulumi.CustomResource> {
  const first = objects.filter((object) => ["Namespace", "CustomResourceDefinition"].includes(object.kind));
  const rest = objects.filter((object) => !first.includes(object));
  const created: Record<string, pulumi.CustomResource> = {};
  const create = (object: KubernetesObject, dependsOn: pulumi.Resource[]) => {
    const key = `${object.kind}/${object.metadata.name}`;
    const Kind = resourceClass(object);
    created[key] = new Kind(
      `${prefix}-${object.kind}-${object.metadata.name}`.toLowerCase().replace(/[^a-z0-9-]/g, "-"),
      {
        ...object,
        metadata: {
          ...object.metadata,
          labels: { ...object.metadata.labels, ...labels({ name: application }) },
        },
      },
      { ...opts, dependsOn: [...dependsOn, ...asList(opts.dependsOn)] },
    );
  };
  for (const object of first) create(object, []);
  const foundation = Object.values(created);
  for (const object of rest) create(object, foundation);
  return created;
}

function resourceClass(object: KubernetesObject): ResourceClass {
  const [version, group] = object.apiVersion.split("/").reverse() as [string, string | undefined];
  const versions = sdkGroups[group ?? ""] as Record<string, Record<string, unknown>> | undefined;
  const found = versions?.[version]?.[object.kind];
  return (found ?? k8s.apiextensions.CustomResource) as ResourceClass;
}

function asList(dependsOn: pulumi.CustomResourceOptions["dependsOn"]): pulumi.Resource[] {
  if (dependsOn === undefined) return [];
  return (Array.isArray(dependsOn) ? dependsOn : [dependsOn]) as pulumi.Resource[];
}
