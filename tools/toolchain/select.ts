import type { Part, ToolchainRequest, ToolchainSettings } from "./types";

/**
 * The parts that every engine needs and those that were asked for.
 *
 * @throws Error naming a plugin that there is none of, and the allowed ones.
 */
export function selectParts(settings: ToolchainSettings, request: ToolchainRequest): Part[] {
  const wanted = request.plugins ?? [];
  const known = settings.parts.flatMap(({ optional }) => optional ?? []);
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new Error(`there is no plugin "${unknown}" to ask for; allowed: ${known.join(", ")}`);
  }
  return settings.parts.filter(({ optional }) => optional === undefined || wanted.includes(optional));
}
