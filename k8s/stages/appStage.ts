import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { ServiceEndpoint } from "../../components/contracts";
import { type LabelArgs, labels } from "../../components/labels";
import { ProblemsError } from "../../components/problems";
import { createArgoCdAccess } from "../argo/argoCdAccess";
import { IN_CLUSTER } from "../argo/argoCdSettings";
import { createDefaultDeny, createTraffic, namespaceOf, type Peer } from "../platform/networkPolicies";
import { createRegistrySecret, type RegistryLogin } from "../registry/registryLogin";
import { checkAppStage } from "./appStageChecks";
import { renderQuota } from "./stageQuota";
import { renderStageValues, type StageRoute, type StageSize, type StageValues } from "./stageValues";

/** Name of the app: of its Deployment, its Service and its label `app`. */
export const APP_NAME = "gourmetgram-app";
/** Port of the app, in the container and of its Service. */
export const APP_PORT = 8000;
const PULL_SECRET = "registry-pull";
/** Label Argo Workflows puts on every pod of a workflow. */
const WORKFLOW_LABEL = "workflows.argoproj.io/workflow";

/** Namespace, and name of the Application, of a stage. */
export function stageNamespace(stage: string): string {
  return `gourmetgram-${stage}`;
}

export interface AppStageArgs extends StageSize {
  /** `staging`, `canary` or `production`; becomes part of names. Shape: plain. */
  readonly stage: string;
  /** Registry and repository of the app's image, without tag. */
  readonly imageRepository: string;
  /** Where the chart is. */
  readonly chart: {
    /** Git repository, HTTP(S) URL without credentials; one of the project's. */
    readonly repository: pulumi.Input<string>;
    /** Branch, tag or commit. */
    readonly revision: string;
    /** Folder in the repository. */
    readonly path: string;
  };
  /** Where Applications live, and the project of ours; released when Applications can be made. */
  readonly argoCd: { readonly namespace: pulumi.Input<string>; readonly project: pulumi.Input<string> };
  /** Login with which nodes pull the image. @default none: the registry asks for none */
  readonly registryLogin?: RegistryLogin;
  /** How requests arrive through the gateway. @default none: inside the cluster only */
  readonly route?: StageRoute;
  /** Namespace of the workflows that ask and test the app. */
  readonly pipelineNamespace: pulumi.Input<string>;
  /** Kinds of Gateway API: done when the chart's route can be made. @default none: they are known */
  readonly definitions?: readonly pulumi.Resource[];
}

/**
 * One stage of the app: a namespace at the Pod Security level `restricted`, closed to all traffic but the gateway's and the
 * pipeline's, with a quota and the Argo CD Application that keeps the chart's
 * objects there. Nothing runs until a promotion has set an image digest on the Application; no `up` ever sets or resets it.
 *
 * Waits for: the cluster, and Argo CD's project. Costs: nothing, until something is deployed; then `replicas` times `resources`.
 * ```ts
 * new AppStage("stage-staging", { stage: "staging", replicas: 1, resources, imageRepository: "registry.example:5000/gourmetgram-app",
 *   chart: { repository: "http://git/infra.git", revision: "main", path: "chart" }, argoCd, pipelineNamespace: "argo" });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class AppStage extends pulumi.ComponentResource {
  readonly stage: string;
  /** Released when the namespace is there. */
  readonly namespace: pulumi.Output<string>;
  /** Name of the Application, in the namespace of Argo CD. */
  readonly application: pulumi.Output<string>;
  /** The app inside the cluster; it answers once something was deployed. */
  readonly endpoint: ServiceEndpoint;
  /** What Pulumi sets of the chart's values. */
  readonly values: StageValues;

  constructor(name: string, args: AppStageArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkAppStage(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    // The namespace was made by StageNamespace before there was anything to deploy.
    const before = { aliases: [{ type: "gourmetgram:k8s:StageNamespace" }] };
    super("gourmetgram:k8s:AppStage", name, {}, pulumi.mergeOptions(before, opts));
    const child = { parent: this };
    const own: LabelArgs = { name: APP_NAME, instance: args.stage };
    this.stage = args.stage;
    this.values = renderStageValues({
      ...args,
      pullSecret: args.registryLogin === undefined ? "" : PULL_SECRET,
      serviceAccount: APP_NAME,
    });

    const namespace = createNamespace(name, args.stage, own, child);
    this.namespace = namespace.metadata.name;
    const limits = createLimits(name, args, this.namespace, own, child);
    createPolicies(name, args, this.namespace, own, child);
    const account = new k8s.core.v1.ServiceAccount(
      name,
      {
        metadata: { name: APP_NAME, namespace: this.namespace, labels: labels(own) },
        automountServiceAccountToken: false,
      },
      child,
    );
    const pullSecret = createPullSecret(name, args, this.namespace, child);
    const rights = createArgoCdAccess(name, { namespace: this.namespace, labels: own }, child);
    const application = createApplication(
      name,
      { ...args, namespace: this.namespace, labels: own, values: { ...this.values, pullSecret } },
      // All a pod needs before Argo CD makes one: it would fail, and be tried again later and later. And the kinds: Argo CD
      // looks for them when it meets the first Application.
      { ...child, dependsOn: [...limits, account, ...rights, ...(args.definitions ?? [])] },
    );

    this.application = application.metadata.name;
    this.endpoint = endpointOf(this.namespace);
    this.registerOutputs({ namespace: this.namespace, application: this.application });
  }
}

function createNamespace(
  name: string,
  stage: string,
  own: LabelArgs,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Namespace {
  return new k8s.core.v1.Namespace(
    name,
    {
      metadata: {
        name: stageNamespace(stage),
        labels: {
          ...labels(own),
          "gourmetgram.dev/stage": stage,
          "pod-security.kubernetes.io/enforce": "restricted",
          "pod-security.kubernetes.io/audit": "restricted",
          "pod-security.kubernetes.io/warn": "restricted",
        },
      },
    },
    opts,
  );
}

/** How much the stage may use in all, and what a container gets that says nothing. */
function createLimits(
  name: string,
  args: AppStageArgs,
  namespace: pulumi.Input<string>,
  own: LabelArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Resource[] {
  const { requests, limits } = args.resources;
  const metadata = { name: APP_NAME, namespace, labels: labels(own) };
  return [
    new k8s.core.v1.ResourceQuota(name, { metadata, spec: { hard: renderQuota(args) } }, opts),
    new k8s.core.v1.LimitRange(
      name,
      {
        metadata,
        spec: { limits: [{ type: "Container", defaultRequest: { ...requests }, default: { ...limits } }] },
      },
      opts,
    ),
  ];
}

function createPolicies(
  name: string,
  args: AppStageArgs,
  namespace: pulumi.Input<string>,
  own: LabelArgs,
  opts: pulumi.CustomResourceOptions,
): void {
  createDefaultDeny(name, { namespace, labels: own }, opts);
  const workflows: Peer = {
    ...namespaceOf(args.pipelineNamespace),
    podSelector: { matchExpressions: [{ key: WORKFLOW_LABEL, operator: "Exists" }] },
  };
  const gateway = args.route === undefined ? [] : [namespaceOf(args.route.gateway.namespace)];
  createTraffic(
    name,
    {
      namespace,
      objectName: APP_NAME,
      pods: own,
      ingress: [{ peers: [...gateway, workflows], ports: [APP_PORT] }],
    },
    opts,
  );
}

function createPullSecret(
  name: string,
  args: AppStageArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.Input<string> {
  const { registryLogin: login } = args;
  return login === undefined
    ? ""
    : createRegistrySecret(`${name}-pull`, { namespace, login, objectName: PULL_SECRET }, opts);
}

/** `spec.source.helm.parameters` is the promotion workflow's, and never in here: server-side apply leaves it alone. */
function createApplication(
  name: string,
  args: AppStageArgs & {
    readonly namespace: pulumi.Input<string>;
    readonly labels: LabelArgs;
    readonly values: Omit<StageValues, "pullSecret"> & { readonly pullSecret: pulumi.Input<string> };
  },
  opts: pulumi.CustomResourceOptions,
): k8s.apiextensions.CustomResource {
  return new k8s.apiextensions.CustomResource(
    name,
    {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Application",
      metadata: {
        name: stageNamespace(args.stage),
        namespace: args.argoCd.namespace,
        labels: { ...labels(args.labels), "gourmetgram.dev/stage": args.stage },
      },
      spec: {
        project: args.argoCd.project,
        destination: { server: IN_CLUSTER, namespace: args.namespace },
        source: {
          repoURL: args.chart.repository,
          targetRevision: args.chart.revision,
          path: args.chart.path,
          helm: { releaseName: APP_NAME, valuesObject: args.values },
        },
        syncPolicy: {
          automated: { prune: true, selfHeal: true },
          // What was removed from the chart goes after the rest is healthy.
          syncOptions: ["PruneLast=true"],
          // Short: while it retries it does not look at what a put-back has written since.
          retry: { limit: 1, backoff: { duration: "1s", factor: 2, maxDuration: "5s" } },
        },
        revisionHistoryLimit: 10,
      },
    },
    opts,
  );
}

function endpointOf(namespace: pulumi.Output<string>): ServiceEndpoint {
  const host = pulumi.interpolate`${APP_NAME}.${namespace}.svc.cluster.local`;
  const port = pulumi.output(APP_PORT);
  return { host, port, url: pulumi.interpolate`http://${host}:${port}` };
}
