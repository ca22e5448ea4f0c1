import type * as pulumi from "@pulumi/pulumi";

/** Where a Git repository is, and which branch counts. */
export interface SourceArgs {
  readonly url: pulumi.Input<string>;
  readonly branch: pulumi.Input<string>;
}

/** Limits of the gates and of a rollout. */
export interface PipelineLimits {
  /** Requests of the load gate. @default 100 */
  readonly loadRequests?: number;
  /** Requests at the same time. @default 10 */
  readonly loadConcurrency?: number;
  /** 95 of 100 requests must take less. @default 2000 */
  readonly loadP95Milliseconds?: number;
  /** More than this fraction must succeed. @default 0.95 */
  readonly loadSuccess?: number;
  /** Fraction of its memory limit a pod must stay below. @default 0.85 */
  readonly memoryFraction?: number;
  /** Longest time a rollout may take. @default 180 */
  readonly rolloutSeconds?: number;
}

/** What the settings are made of. */
export interface SettingsArgs {
  readonly registryHost: pulumi.Input<string>;
  readonly buildkitAddress: pulumi.Input<string>;
  readonly mlflowUrl: pulumi.Input<string>;
  readonly model: string;
  readonly sources: { readonly app: SourceArgs; readonly train: SourceArgs };
  readonly baseImages: { readonly base: pulumi.Input<string>; readonly wheels: pulumi.Input<string> };
  /** In the order of promotion. */
  readonly stages: readonly string[];
  readonly applicationNamespace: pulumi.Input<string>;
  readonly namespace: pulumi.Input<string>;
  readonly limits: Required<PipelineLimits>;
}

export const DEFAULT_LIMITS: Required<PipelineLimits> = {
  loadRequests: 100,
  loadConcurrency: 10,
  loadP95Milliseconds: 2000,
  loadSuccess: 0.95,
  memoryFraction: 0.85,
  rolloutSeconds: 180,
};

/** What the namespaces and the Applications of all stages begin with. */
export const STAGE_PREFIX = "gourmetgram-";

/** The environment of every step, as `workflows/steps/settings.py` reads it. */
export function renderSettings(args: SettingsArgs): Record<string, pulumi.Input<string>> {
  return {
    REGISTRY: args.registryHost,
    APP_REPOSITORY: "gourmetgram-app",
    TRAIN_REPOSITORY: "gourmetgram-train",
    APP_GIT_URL: args.sources.app.url,
    APP_BRANCH: args.sources.app.branch,
    TRAIN_GIT_URL: args.sources.train.url,
    TRAIN_BRANCH: args.sources.train.branch,
    MLFLOW_TRACKING_URI: args.mlflowUrl,
    MODEL_NAME: args.model,
    BUILDKIT_ADDRESS: args.buildkitAddress,
    BASE_IMAGE: args.baseImages.base,
    WHEELS_IMAGE: args.baseImages.wheels,
    STAGES: args.stages.join(","),
    STAGE_NAMESPACE_PREFIX: STAGE_PREFIX,
    APPLICATION_NAMESPACE: args.applicationNamespace,
    LEDGER_NAMESPACE: args.namespace,
    LOAD_REQUESTS: String(args.limits.loadRequests),
    LOAD_CONCURRENCY: String(args.limits.loadConcurrency),
    LOAD_P95_MS: String(args.limits.loadP95Milliseconds),
    LOAD_SUCCESS: String(args.limits.loadSuccess),
    MEMORY_FRACTION: String(args.limits.memoryFraction),
    ROLLOUT_SECONDS: String(args.limits.rolloutSeconds),
  };
}
