import { DEFAULT_POOL } from "../../infra/openstack/spec";
import { defaultNodes, OPENSTACK_DEFAULTS } from "../../stacks/defaults";
import { CommandError, ExitCode } from "./commandError";
import { PROJECT_ROOT } from "./project";
import { projectSettings, readSettingsFile } from "./settings";

/** What commands need to know to look at an environment's OpenStack project, whatever else its settings say. */
export interface CloudSettings {
  /** Entry of clouds.yaml. */
  readonly cloud: string;
  readonly nodes: readonly string[];
  readonly pools: readonly string[];
}

/**
 * Reads the few settings that lead to the project, without checking any: an audit must work after a destroy, with settings that were
 * changed, broken or removed since.
 *
 * @param cloud entry of clouds.yaml to use whatever the settings say
 * @throws CommandError when nothing says which cloud it is
 */
export function readCloudSettings(
  stack: string,
  cloud: string | undefined,
  root: string = PROJECT_ROOT,
): CloudSettings {
  const settings = readLeniently(stack, root, cloud !== undefined);
  const infra = mapping(settings["infra"]);
  const named = typeof infra["cloud"] === "string" ? infra["cloud"] : undefined;
  const chosen = cloud ?? named ?? (infra["kind"] === "openstack" ? OPENSTACK_DEFAULTS.cloud : undefined);
  if (chosen === undefined) {
    throw new CommandError(
      `The machines of "${stack}" are not in a cloud: infra.kind of Pulumi.${stack}.yaml is not openstack.\n  next: name another environment, or the entry of clouds.yaml with --cloud`,
      ExitCode.refused,
    );
  }
  const nodes = Object.keys(mapping(settings["nodes"]));
  const pools = Object.keys(mapping(infra["pools"]));
  return {
    cloud: chosen,
    nodes: nodes.length > 0 ? nodes : Object.keys(defaultNodes(OPENSTACK_DEFAULTS.cidr)),
    pools: [...new Set([DEFAULT_POOL, ...pools])],
  };
}

function readLeniently(stack: string, root: string, mayBeBroken: boolean): Readonly<Record<string, unknown>> {
  try {
    return projectSettings(readSettingsFile(stack, root).content["config"]);
  } catch (error) {
    if (mayBeBroken) return {};
    throw error;
  }
}

function mapping(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
