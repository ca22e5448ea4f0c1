import type { Problem } from "../../components/problems";
import type { EnvironmentSpec } from "../../stacks/spec";

/** News of a step that takes time: the toolchain's and the bundle's builds tell these. */
export interface StepEvent {
  readonly step: string;
  readonly state: "start" | "progress" | "done";
  /** Seconds this step has taken so far. */
  readonly seconds: number;
  /** Estimate for everything that is still to do. */
  readonly remainingSeconds?: number;
  readonly message: string;
}

export type Report = (event: StepEvent) => void;

/** What has to be made before a command can start, and what it costs. */
export interface BuildPlan {
  /** Names of what is missing; empty when everything is there. */
  readonly missing: readonly string[];
  readonly seconds: number;
  /** Most disk space needed at a time while it is made. */
  readonly peakBytes: number;
}

interface ToolchainModule {
  ensureToolchain(args: { readonly report: Report }): Promise<{
    readonly pulumi: string;
    readonly env: Record<string, string>;
    /** Plugins in use that are this project's own, for hosts that cannot download. */
    readonly offline: readonly string[];
  }>;
  planToolchain(): BuildPlan | Promise<BuildPlan>;
}

interface BundleModule {
  ensureBundle(args: { readonly report: Report }): Promise<{
    readonly bundleDir: string;
    readonly machineDir: string;
    readonly manifestsDir: string;
    readonly key: string;
  }>;
  planBundle(): BuildPlan | Promise<BuildPlan>;
  locateBundle(): { readonly bundleDir: string; readonly machineDir: string } | undefined;
}

interface PreflightModule {
  checkLocalHost(spec: EnvironmentSpec): readonly Problem[] | Promise<readonly Problem[]>;
  findLeftovers(environment?: string): readonly Leftover[] | Promise<readonly Leftover[]>;
}

/** Something of a local environment that is on this host though the environment is gone. */
export interface Leftover {
  readonly kind: string;
  readonly name: string;
}

// Loaded only when a command needs them, so that --help and wrong settings answer at once.

export function loadToolchain(): ToolchainModule {
  return require("../toolchain") as ToolchainModule;
}

export function loadBundle(): BundleModule {
  return require("../bundle") as BundleModule;
}

export function loadPreflight(): PreflightModule {
  return require("../../infra/local/preflight") as PreflightModule;
}
