import * as pulumi from "@pulumi/pulumi";
import { readSource, readSourceNames } from "../components/sourceFile";
import { ArgoCd } from "../k8s/argo/argoCd";
import { ArgoEvents, EVENTS_NAMESPACE } from "../k8s/argo/argoEvents";
import { ArgoWorkflows, WORKFLOWS_NAMESPACE } from "../k8s/argo/argoWorkflows";
import { SOURCE_PODS, WEBHOOK_PATH, WEBHOOK_PORT } from "../k8s/argo/pushTrigger";
import { BuildKit } from "../k8s/buildkit/buildKit";
import type { Cluster } from "../k8s/cluster/cluster";
import { GATEWAY_NAME, GATEWAY_NAMESPACE } from "../k8s/gateway/gateway";
import { routedServiceName } from "../k8s/gateway/routing";
import { GIT_NAMESPACE, GitServer } from "../k8s/git/gitServer";
import { readSeedFolder } from "../k8s/git/seed";
import { Pipeline } from "../k8s/pipeline/pipeline";
import type { Login, Platform } from "../k8s/platform/platform";
import { BaseImages } from "../k8s/registry/baseImages";
import { REGISTRY_HOST, Registry } from "../k8s/registry/registry";
import { RegistryRetention } from "../k8s/registry/registryRetention";
import { AppStage, stageNamespace } from "../k8s/stages/appStage";
import { renderPipeline } from "../workflows/pipeline/pipeline";
import { PRODUCTION } from "./access";
import { addressIn } from "./cidr";
import { imageRef } from "./pins";
import { type EnvironmentSpec, type GitRepositorySpec, STAGES, type Stage } from "./spec";

/** Repository of the app's images. */
const APP_REPOSITORY = "gourmetgram-app";
/** What images are built on: folders of the image `base-images`. */
const PYTHON_IMAGE = "/images/python";
const WHEELS_IMAGE = "/images/python-wheels";

export interface DeliveryArgs {
  readonly spec: EnvironmentSpec;
  /** Folder of the upstream manifests. */
  readonly manifestsFolder: string;
  /** Kinds of Gateway API. */
  readonly definitions: readonly pulumi.Resource[];
  readonly cluster: Cluster;
  readonly platform: Platform;
}

/** Host and address of the registry, which nodes are told before it exists. */
export function registryOf(spec: EnvironmentSpec): { readonly host: string; readonly clusterIp: string } {
  return { host: REGISTRY_HOST, clusterIp: addressIn(spec.cluster.serviceCidr, 50) };
}

/**
 * From a model's training to its users: registry, image builds, Git, Argo, the stages and their pipeline. Composed here and
 * nowhere else.
 *
 * Waits for: the cluster; the workflows' archive waits for the platform, nothing else does.
 */
export class Delivery extends pulumi.ComponentResource {
  /** Done when every stage serves a version. */
  readonly ready: readonly pulumi.Resource[];
  /** By name. */
  readonly stages: Readonly<Record<string, AppStage>>;
  /** User name and password of each service that has one. A secret. */
  readonly credentials: pulumi.Output<Record<string, Login>>;

  constructor(name: string, args: DeliveryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:stacks:Delivery", name, {}, opts);
    const { spec, cluster, platform, manifestsFolder } = args;
    const child = { parent: this };
    const storageClassName = cluster.storageClassName;
    // In the order of promotion, whatever the order of the settings.
    const stages = STAGES.filter((stage) => spec.stages[stage] !== undefined);

    const workflows = new ArgoWorkflows(
      "argo-workflows",
      {
        images: {
          controller: imageRef("workflow-controller"),
          executor: imageRef("argoexec"),
          server: imageRef("argocli"),
          python: imageRef("pipeline"),
        },
        manifestsFolder,
        database: required(platform.databases, "argo"),
        bucket: required(platform.buckets, "argo-artifacts"),
      },
      child,
    );
    const events = new ArgoEvents(
      "argo-events",
      {
        images: { argoEvents: imageRef("argo-events"), nats: imageRef("nats") },
        manifestsFolder,
        repository: repositoryName(spec),
        workflow: { namespace: workflows.namespace, template: "train-model" },
        storageClassName,
      },
      child,
    );
    const { git, repositories } = createGit(spec, events, storageClassName, child);
    const argoCd = new ArgoCd(
      "argo-cd",
      {
        images: { argocd: imageRef("argocd"), redis: imageRef("redis") },
        manifestsFolder,
        repositories: [repositories.infra.url],
        namespaces: stages.map(stageNamespace),
      },
      child,
    );

    const registry = new Registry(
      "registry",
      {
        image: imageRef("registry"),
        authority: cluster.authority,
        clusterIp: registryOf(spec).clusterIp,
        storage: spec.delivery.registry.storage,
        storageClassName,
      },
      child,
    );
    const baseImages = new BaseImages(
      "base-images",
      {
        image: imageRef("base-images"),
        registry,
        authority: cluster.authority,
        images: { [PYTHON_IMAGE]: "base/python:3.11", [WHEELS_IMAGE]: "base/python-wheels:1" },
      },
      child,
    );
    const buildKit = new BuildKit(
      "buildkit",
      {
        image: imageRef("buildkit"),
        registryHost: registry.host,
        caCertificatePem: cluster.authority.certificatePem,
        mode: spec.delivery.builds.mode,
      },
      child,
    );

    const appStages = Object.fromEntries(
      stages.map((stage) => [
        stage,
        createStage(stage, { ...args, registry, argoCd, repository: repositories.infra }, child),
      ]),
    );
    new RegistryRetention(
      "registry-retention",
      {
        image: imageRef("pipeline"),
        registry,
        authority: cluster.authority,
        keepTags: spec.delivery.registry.keepTags,
        stages: Object.fromEntries(stages.map((stage) => [stage, required(appStages, stage).namespace])),
        ledgerNamespace: workflows.namespace,
      },
      child,
    );
    const pipeline = new Pipeline(
      "pipeline",
      {
        image: imageRef("pipeline"),
        namespace: workflows.namespace,
        definitions: workflows.definitions,
        applicationNamespace: argoCd.namespace,
        stages: Object.fromEntries(stages.map((stage) => [stage, required(appStages, stage).namespace])),
        manifests: renderPipeline({
          namespace: WORKFLOWS_NAMESPACE,
          image: imageRef("pipeline"),
          stages,
          trainBranch: spec.delivery.training.branch,
          schedule: spec.delivery.training.schedule,
        }),
        steps: readSteps(),
        sources: repositories,
        registry,
        buildkit: buildKit,
        baseImages: {
          base: required(baseImages.references, PYTHON_IMAGE),
          wheels: required(baseImages.references, WHEELS_IMAGE),
        },
        caCertificatePem: cluster.authority.certificatePem,
        mlflow: {
          url: platform.mlflow.url,
          namespace: platform.namespace,
          admin: platform.mlflowCredentials,
        },
        // What the first run needs: it fails where the others would just wait.
        after: [
          registry,
          baseImages,
          buildKit,
          argoCd,
          workflows,
          ...(git ? [git] : []),
          ...Object.values(appStages),
        ],
      },
      child,
    );
    this.ready = pipeline.ready;

    const logins: Record<string, pulumi.Output<Login>> = {
      // What the login page takes: the token is the whole of it.
      "argo-workflows": login("argo-operator", pulumi.interpolate`Bearer ${workflows.users.operator.token}`),
      ...(git && { git: login(git.pushUser, git.pushPassword) }),
    };
    this.credentials = pulumi.secret(pulumi.output(logins));
    this.stages = appStages;
    this.registerOutputs({});
  }
}

/** Repositories as workflows and Argo CD name them. */
interface Repositories {
  readonly infra: GitRepositorySpec & { readonly path: string };
  readonly app: GitRepositorySpec;
  readonly train: GitRepositorySpec;
}

const internalRepositories = {
  infra: "gourmetgram-infra",
  app: "gourmetgram-app",
  train: "gourmetgram-train",
};
const CHART_FOLDER = "chart";

function createGit(
  spec: EnvironmentSpec,
  events: ArgoEvents,
  storageClassName: pulumi.Input<string>,
  opts: pulumi.ComponentResourceOptions,
): { readonly git?: GitServer; readonly repositories: Repositories } {
  const { git, training } = spec.delivery;
  if (git.kind === "external") return { repositories: git };
  const { infra, app, train } = internalRepositories;
  const url = (repository: string) => `http://git.${GIT_NAMESPACE}.svc.cluster.local/${repository}.git`;
  const server = new GitServer(
    "git",
    {
      image: imageRef("git-server"),
      storage: "2Gi",
      storageClassName,
      repositories: {
        [infra]: { branch: "main", files: readSeedFolder("k8s/stages/chart", CHART_FOLDER) },
        [app]: { branch: "main", files: readSeedFolder("samples/app") },
        [train]: { branch: training.branch, files: readSeedFolder("samples/train") },
      },
      webhook: {
        url: `http://${SOURCE_PODS.name}.${EVENTS_NAMESPACE}.svc.cluster.local:${WEBHOOK_PORT}${WEBHOOK_PATH}`,
        secret: events.webhook.secret,
      },
    },
    opts,
  );
  return {
    git: server,
    repositories: {
      infra: { url: url(infra), branch: "main", path: CHART_FOLDER },
      app: { url: url(app), branch: "main" },
      train: { url: url(train), branch: training.branch },
    },
  };
}

/** Python modules of the pipeline's steps, by file name. */
function readSteps(): Record<string, string> {
  return Object.fromEntries(
    readSourceNames("workflows/steps", ".py").map((file) => [file, readSource(`workflows/steps/${file}`)]),
  );
}

/** `<owner>/<name>` of the training repository, as its push events name it. */
function repositoryName(spec: EnvironmentSpec): string {
  const { git } = spec.delivery;
  if (git.kind === "internal") return `gourmetgram/${internalRepositories.train}`;
  return new URL(git.train.url).pathname
    .replace(/^\/+|\.git\/?$|\/+$/g, "")
    .split("/")
    .slice(-2)
    .join("/");
}

function createStage(
  stage: Stage,
  from: Pick<DeliveryArgs, "spec" | "definitions"> & {
    readonly registry: Registry;
    readonly argoCd: ArgoCd;
    readonly repository: Repositories["infra"];
  },
  opts: pulumi.ComponentResourceOptions,
): AppStage {
  const { spec, definitions, registry, argoCd, repository } = from;
  const size = spec.stages[stage];
  if (size === undefined) throw new Error(`the environment has no stage ${stage}`);
  return new AppStage(
    `stage-${stage}`,
    {
      stage,
      ...size,
      imageRepository: `${registry.host}/${APP_REPOSITORY}`,
      chart: { repository: repository.url, revision: repository.branch, path: repository.path },
      argoCd: { namespace: argoCd.namespace, project: argoCd.project },
      registryLogin: registry.pull,
      ...(spec.exposure[stage] !== "off" && {
        route: {
          gateway: { name: GATEWAY_NAME, namespace: GATEWAY_NAMESPACE },
          listener: stage,
          ...(stage === PRODUCTION && { weighted: routedServiceName(PRODUCTION) }),
        },
      }),
      pipelineNamespace: WORKFLOWS_NAMESPACE,
      definitions,
    },
    opts,
  );
}

function required<T>(record: Readonly<Record<string, T>>, name: string): T {
  const value = record[name];
  if (value === undefined) throw new Error(`there is no ${name} among ${Object.keys(record).join(", ")}`);
  return value;
}

function login(username: string, password: pulumi.Output<string>): pulumi.Output<Login> {
  return password.apply((known) => ({ username, password: known }));
}
