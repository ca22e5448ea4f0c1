import type { Quantity } from "../../components/quantity";

/** CPU and memory of a pod. */
export interface StageResources {
  readonly requests: { readonly cpu: Quantity; readonly memory: Quantity };
  readonly limits: { readonly cpu: Quantity; readonly memory: Quantity };
}

/**
 * Values of the chart in `chart/`, those Pulumi sets. Not in here are `image.digest` and `modelVersion`: the promotion
 * workflow writes them, as parameters of the Application, which Helm puts above these.
 */
export interface StageValues {
  readonly stage: string;
  readonly image: { readonly repository: string };
  readonly replicas: number;
  readonly resources: StageResources;
  readonly pullSecret: string;
  readonly serviceAccount: string;
  readonly progressDeadlineSeconds: number;
  readonly hpa: {
    readonly enabled: boolean;
    readonly minReplicas: number;
    readonly maxReplicas: number;
    readonly targetCpuPercent: number;
  };
  readonly pdb: { readonly enabled: boolean };
  readonly route: {
    readonly enabled: boolean;
    readonly gateway: string;
    readonly gatewayNamespace: string;
    readonly listener: string;
    readonly weighted: string;
  };
}

/** Horizontal scaling by CPU. */
export interface StageAutoscaling {
  readonly maxReplicas: number;
  /** Share of the requested CPU the pods are to use. */
  readonly targetCpuPercent: number;
}

/** What a stage asks for. */
export interface StageSize {
  /** Pods; with `autoscaling` the least number of them. */
  readonly replicas: number;
  /** Of each pod. */
  readonly resources: StageResources;
  /** @default none: always `replicas` */
  readonly autoscaling?: StageAutoscaling;
}

/** How requests reach a stage through the gateway. */
export interface StageRoute {
  /** Name and namespace of the Gateway. */
  readonly gateway: { readonly name: string; readonly namespace: string };
  /** Listener of the Gateway. */
  readonly listener: string;
  /** The gateway's own service that spreads the requests over stages. @default none: all go to this stage */
  readonly weighted?: string;
}

/** Seconds without progress after which a rollout counts as failed. A pull and a start take 10 to 30. */
const PROGRESS_DEADLINE_SECONDS = 120;

/** The chart's values for a stage. */
export function renderStageValues(
  args: StageSize & {
    readonly stage: string;
    readonly imageRepository: string;
    readonly pullSecret: string;
    readonly serviceAccount: string;
    readonly route?: StageRoute;
  },
): StageValues {
  const { autoscaling, replicas, route } = args;
  return {
    stage: args.stage,
    image: { repository: args.imageRepository },
    replicas,
    resources: args.resources,
    pullSecret: args.pullSecret,
    serviceAccount: args.serviceAccount,
    progressDeadlineSeconds: PROGRESS_DEADLINE_SECONDS,
    hpa: {
      enabled: autoscaling !== undefined,
      minReplicas: replicas,
      maxReplicas: autoscaling?.maxReplicas ?? replicas,
      targetCpuPercent: autoscaling?.targetCpuPercent ?? 70,
    },
    // With one pod a budget would only keep nodes from being drained.
    pdb: { enabled: replicas > 1 },
    route: {
      enabled: route !== undefined,
      gateway: route?.gateway.name ?? "none",
      gatewayNamespace: route?.gateway.namespace ?? "none",
      listener: route?.listener ?? args.stage,
      weighted: route?.weighted ?? "",
    },
  };
}
