import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { Environment } from "../../stacks/environment";
import { parseEnvironment } from "../../stacks/parse";
import { type Graph, type RecordOptions, recordGraph } from "./graph";

/**
 * The graph of a whole environment, made from settings as the stack file has them. The manifests the bundle would hold are
 * replaced by small ones of the same kinds.
 */
export async function environmentGraph(
  settings: Readonly<Record<string, unknown>> = {},
  options: Omit<RecordOptions, "config"> = {},
): Promise<Graph> {
  const bundleDir = mkdtempSync(join(tmpdir(), "bundle-"));
  try {
    writeManifests(join(bundleDir, "manifests"));
    return await recordGraph(() => {
      const spec = parseEnvironment(settings, options.stack ?? "local");
      const environment = new Environment(spec.name, {
        spec,
        bundle: { bundleDir, machineDir: "/machine-image" },
      });
      return { ...environment.outputs };
    }, options);
  } finally {
    rmSync(bundleDir, { recursive: true, force: true });
  }
}

function writeManifests(folder: string): void {
  mkdirSync(folder);
  const namespaces = { "local-path": "local-path-storage", "metrics-server": "kube-system" };
  for (const [name, namespace] of Object.entries(namespaces)) {
    const labels = { app: name };
    const container = { name, image: `upstream.example/${name}:v1` };
    const objects = [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name, namespace },
        spec: {
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [container] } },
        },
      },
      {
        apiVersion: "storage.k8s.io/v1",
        kind: "StorageClass",
        metadata: { name },
        provisioner: "example.org/x",
      },
    ];
    writeFileSync(join(folder, `${name}.yaml`), objects.map((object) => stringify(object)).join("---\n"));
  }
  for (const [name, kinds] of Object.entries(definitions)) {
    const objects = kinds.map((kind) => definition(kind));
    writeFileSync(join(folder, `${name}.yaml`), objects.map((object) => stringify(object)).join("---\n"));
  }
}

/** Kinds of the upstream releases, by manifest. */
const definitions = {
  "argo-cd-crds": ["applications.argoproj.io", "applicationsets.argoproj.io", "appprojects.argoproj.io"],
  "argo-workflows-crds": [
    "clusterworkflowtemplates.argoproj.io",
    "cronworkflows.argoproj.io",
    "workflowartifactgctasks.argoproj.io",
    "workfloweventbindings.argoproj.io",
    "workflows.argoproj.io",
    "workflowtaskresults.argoproj.io",
    "workflowtasksets.argoproj.io",
    "workflowtemplates.argoproj.io",
  ],
  "argo-events-crds": ["eventbus.argoproj.io", "eventsources.argoproj.io", "sensors.argoproj.io"],
  "gateway-api-crds": [
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
  ],
};

function definition(name: string): object {
  const [plural, ...group] = name.split(".");
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name },
    spec: {
      group: group.join("."),
      names: { plural, kind: plural },
      scope: "Namespaced",
      versions: [
        { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } },
      ],
    },
  };
}
