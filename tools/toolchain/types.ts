import type { GoTool } from "../cache/goBuild";
import type { CachePaths } from "../cache/paths";

/** News of one step. */
export interface StepEvent {
  readonly step: string;
  readonly state: "start" | "progress" | "done";
  /** Seconds this step has taken so far. */
  readonly seconds: number;
  /** Estimate for everything that is still to do, in seconds. */
  readonly remainingSeconds?: number;
  readonly message: string;
}

export type Report = (event: StepEvent) => void;

/** What is missing and what it costs to get it. */
export interface ToolchainPlan {
  /** Names of the missing parts; empty when everything is there. */
  readonly missing: readonly string[];
  /** Estimate with everything built from source, which is the slowest way. */
  readonly seconds: number;
  /** Most disk space needed at a time meanwhile. */
  readonly peakBytes: number;
}

/** A ready engine. */
export interface Toolchain {
  /** Path of the `pulumi` program. */
  readonly pulumi: string;
  /** Variables to set for it; complete values, to be laid over the environment. */
  readonly env: Record<string, string>;
  /** Names of the plugins in use that are this project's own stand-ins for official ones. */
  readonly offline: readonly string[];
  /** One line for the user saying so; undefined when `offline` is empty. */
  readonly notice: string | undefined;
}

/** Which of the parts are wanted. */
export interface ToolchainRequest {
  /** Provider plugins besides those that every engine needs; `openstack` is the only one. @default none */
  readonly plugins?: readonly string[];
}

/** How to get a part as its makers ship it. */
export interface OfficialSource {
  readonly url: string;
  /** Text in `sha256sum` format that names the archive. */
  readonly checksumsUrl: string;
  /** Paths of the files to take out of the tar.gz archive, in the order of `files` of the part. */
  readonly members: readonly string[];
}

/** How to build one executable. */
export interface GoSource {
  /** Folder of the go.mod, below the project's root. */
  readonly moduleFolder: string;
  readonly package: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Folders (below the project's root) whose Go files the result depends on, besides the go.mod and go.sum. */
  readonly sources: readonly string[];
  /** Measured on two cores with cold caches, in order. */
  readonly seconds: number;
}

/** One thing the engine needs, made of one or several executables. */
export interface Part {
  /** As in progress lines: `pulumi`, `kubernetes plugin`. */
  readonly name: string;
  readonly version: string;
  /** Executables, in `bin` for the engine, else in the plugin's folder. */
  readonly files: readonly string[];
  /** Only there for who asks for it by this name. @default none: every engine needs the part */
  readonly optional?: string;
  /** Folder name below `plugins` where the engine looks; undefined for what lies beside the engine. */
  readonly pluginFolder?: string;
  readonly official: OfficialSource;
  /** One for each of `files`. */
  readonly builds: readonly GoSource[];
  /** Disk space its build adds, measured. @default a share of what the parts that every engine needs take together */
  readonly buildBytes?: number;
  /** Names to show when the built ones are in use. */
  readonly standIns: readonly string[];
}

/** Everything that differs between a real run and a test. */
export interface ToolchainSettings {
  readonly projectRoot: string;
  readonly paths: CachePaths;
  readonly env: NodeJS.ProcessEnv;
  readonly parts: readonly Part[];
  /** Name of the part that is the engine itself. */
  readonly enginePart: string;
  readonly findGo: () => Promise<GoTool | undefined>;
  /** Builds one executable. */
  readonly build: (
    go: GoTool,
    source: GoSource,
    output: string,
    onPackage: (done: number, total: number) => void,
  ) => Promise<void>;
  /** Folder of the compiler's caches, dropped when they are no longer needed. */
  readonly buildCache: string;
}
