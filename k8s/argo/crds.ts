import type * as pulumi from "@pulumi/pulumi";
import { createManifest, type KubernetesObject, readManifest } from "../../components/manifest";

export interface CustomResourceDefinitionsArgs {
  /** File with the CRDs of the upstream release. */
  readonly manifest: string;
  /** The application they belong to, for the labels. */
  readonly application: string;
  /** Kinds that must be known to the API server and that nobody here uses: their schema is left out. @default none */
  readonly withoutSchema?: readonly string[];
}

/** The CRDs of an upstream release, one resource each; what uses them waits for all of these. */
export function createCustomResourceDefinitions(
  name: string,
  args: CustomResourceDefinitionsArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource[] {
  const definitions = readManifest(args.manifest)
    .filter((object) => object.kind === "CustomResourceDefinition")
    .map((object) => (args.withoutSchema?.includes(object.spec.names.kind) ? withoutSchema(object) : object));
  return Object.values(createManifest(`${name}-crds`, args.application, definitions, opts));
}

/** The same names and versions, any content: ApplicationSet's schema alone is larger than all others together. */
export function withoutSchema(definition: KubernetesObject): KubernetesObject {
  const schema = {
    openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  };
  const versions = (definition.spec.versions as object[]).map((version) => ({ ...version, schema }));
  return { ...definition, spec: { ...definition.spec, versions } };
}
