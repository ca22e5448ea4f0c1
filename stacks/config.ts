import * as pulumi from "@pulumi/pulumi";
import { allConfig } from "@pulumi/pulumi/runtime/config";
import { ProblemsError } from "../components/problems";
import { foreignVariables } from "../infra/openstack/api/foreignVariables";
import { locateBundle } from "../tools/bundle";
import { parseEnvironment } from "./parse";
import type { EnvironmentSpec, InfraKind } from "./spec";

/** Secrets of the settings; they become secret Outputs before anything else sees them. */
const SECRET_PATHS = [
  ["platform", "database", "password"],
  ["platform", "objectStore", "secretAccessKey"],
  ["infra", "privateKey"],
] as const;

/** Folders of the bundle on this host. */
export interface BundleLocation {
  /** `bin/ cni/ images/ manifests/ SHA256SUMS`: what nodes are made of. */
  readonly bundleDir: string;
  /** Root file system and baked containerd root of local machines. */
  readonly machineDir: string;
}

/**
 * The settings of the stack that runs: the only reader of Pulumi config.
 *
 * @throws ProblemsError with every problem of the settings
 */
export function readEnvironment(environment: NodeJS.ProcessEnv = process.env): EnvironmentSpec {
  const raw = wrapSecrets(rawSettings(pulumi.getProject(), allConfig()));
  const spec = parseEnvironment(raw, pulumi.getStack());
  if (spec.infra.kind === "openstack") refuseForeignVariables(spec.infra.cloud, environment);
  return spec;
}

/** The provider would take parts of the cloud from them, whatever the settings name. The commands leave them out. */
function refuseForeignVariables(cloud: string, environment: NodeJS.ProcessEnv): void {
  const names = foreignVariables(environment);
  if (names.length === 0) return;
  throw new ProblemsError("this shell", [
    {
      path: "environment",
      value: names.join(", "),
      problem: `would override parts of the cloud ${cloud} of the settings`,
      allowed: "OS_CLIENT_CONFIG_FILE only",
      next: `unset ${names.join(" ")}, or use the commands of this project (npm run up), which leave them out`,
    },
  ]);
}

/**
 * Where the bundle is. The commands pass it by environment variables; without them (plain `pulumi up`) the same
 * folders are computed from the pins.
 *
 * @throws Error naming `npm run bundle` when there is no bundle
 */
export function readBundleLocation(
  environment: NodeJS.ProcessEnv = process.env,
  locate: () => BundleLocation | undefined = locateBundle,
  kind: InfraKind = "local",
): BundleLocation {
  if (kind !== "local" && readLastLayer(environment) === "machines") return { bundleDir: "", machineDir: "" };
  const located: Partial<BundleLocation> = { ...locate() };
  const bundleDir = environment["GOURMETGRAM_BUNDLE_DIR"] || located.bundleDir;
  const machineDir = environment["GOURMETGRAM_MACHINE_DIR"] || located.machineDir;
  if (bundleDir === undefined || machineDir === undefined) {
    throw new Error(
      "There is no bundle on this host: Kubernetes and the platform's images have not been built or downloaded. " +
        "Next: npm run bundle",
    );
  }
  return { bundleDir, machineDir };
}

/** The project's settings out of all config: mappings and lists arrive as JSON text. */
export function rawSettings(
  project: string,
  config: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const prefix = `${project}:`;
  return Object.fromEntries(
    Object.entries(config)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), parseValue(value)]),
  );
}

function parseValue(value: string): unknown {
  if (!/^[[{]/.test(value)) {
    return value;
  }
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function wrapSecrets(raw: Record<string, unknown>): Record<string, unknown> {
  for (const path of SECRET_PATHS) {
    const parent = path.slice(0, -1).reduce<unknown>((value, key) => property(value, key), raw);
    const key = path[path.length - 1] as string;
    const value = property(parent, key);
    if (typeof value === "string" && value !== "") {
      (parent as Record<string, unknown>)[key] = pulumi.secret(value);
    }
  }
  return raw;
}

function property(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

/** How far the graph of an environment can go. */
const LAYERS = ["machines", "cluster", "platform", "delivery"] as const;
export type Layer = (typeof LAYERS)[number];

/**
 * The last layer to make, for measurements: `GOURMETGRAM_UP_TO`. An environment cut short is not a supported one.
 *
 * @throws Error naming the layers, when it is none of them
 */
export function readLastLayer(environment: NodeJS.ProcessEnv = process.env): Layer {
  const value = environment["GOURMETGRAM_UP_TO"] || "delivery";
  const layer = LAYERS.find((candidate) => candidate === value);
  if (layer === undefined) {
    throw new Error(`GOURMETGRAM_UP_TO = ${value} is no layer. Allowed: ${LAYERS.join(", ")}`);
  }
  return layer;
}
