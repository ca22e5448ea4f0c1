import type { Quantity } from "../../components/quantity";
import { parseBytes } from "../../components/quantity";

export interface BuildKitConfig {
  /** Registry the builds pull from and push to, host and port. */
  readonly registryHost: string;
  /** File in the pod with the authority of its certificate. */
  readonly registryCaFile: string;
  /** Size of the cache volume. */
  readonly cache: Quantity;
  /** Steps that run at the same time. */
  readonly parallelism: number;
}

/** Share of the cache volume that finished steps may take; the rest is for those that run. */
const CACHE_SHARE = 0.75;

/** The daemon's `buildkitd.toml`. */
export function renderBuildKitConfig(config: BuildKitConfig): string {
  const cacheMegabytes = Math.floor(((parseBytes(config.cache) ?? 0) * CACHE_SHARE) / 1e6);
  return [
    "[worker.oci]",
    "  enabled = true",
    "  gc = true",
    `  maxUsedSpace = "${cacheMegabytes}MB"`,
    `  reservedSpace = "${Math.floor(cacheMegabytes / 2)}MB"`,
    `  max-parallelism = ${config.parallelism}`,
    "[worker.containerd]",
    "  enabled = false",
    `[registry.${JSON.stringify(config.registryHost)}]`,
    `  ca = [${JSON.stringify(config.registryCaFile)}]`,
    "",
  ].join("\n");
}
