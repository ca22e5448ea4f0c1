import type { Report as BundleReport } from "../bundle";
import type { Report as ToolchainReport } from "../toolchain";

export type { Leftover } from "../../infra/local/leftovers";
export type { StepEvent } from "../toolchain";

/** Takes news of a build; the toolchain's and the bundle's builds tell the same kind. */
export type Report = ToolchainReport & BundleReport;

/** What has to be made before a command can start, and what it costs. */
export interface BuildPlan {
  /** Names of what is missing; empty when everything is there. */
  readonly missing: readonly string[];
  /** Estimate with everything built from source. */
  readonly seconds: number;
  /** Most disk space needed at a time while it is made. */
  readonly peakBytes: number;
}

// Loaded only when a command needs them, so that --help and wrong settings answer at once.

export function loadToolchain(): typeof import("../toolchain") {
  return require("../toolchain");
}

export function loadBundle(): typeof import("../bundle") {
  return require("../bundle");
}

export function loadPreflight(): typeof import("../../infra/local/preflight") {
  return require("../../infra/local/preflight");
}

export function loadHostsPreflight(): typeof import("../../infra/hosts/preflight") {
  return require("../../infra/hosts/preflight");
}

export function loadCloudProject(): typeof import("./cloudProject") {
  return require("./cloudProject");
}
