import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CertificateAuthority } from "../../components/certificates";
import type { CredentialsRef } from "../../components/contracts";
import { type LabelArgs, labels } from "../../components/labels";
import { ProblemsError } from "../../components/problems";
import { Password } from "../../components/random";
import { BuildKitClient } from "../buildkit/buildKitClient";
import { createCredentials } from "../platform/credentials";
import { createClusterCa } from "../registry/clusterCa";
import { createRegistrySecret, type RegistryLogin } from "../registry/registryLogin";
import { createStepAccounts } from "./accounts";
import { FirstRun } from "./firstRun";
import { createLedgerDefinition } from "./ledger";
import { MlflowUser } from "./mlflowUser";
import { checkPipeline } from "./pipelineChecks";
import { DEFAULT_LIMITS, type PipelineLimits, renderSettings, type SourceArgs } from "./pipelineSettings";

/** Names the pods of the templates mount. */
const STEPS = "pipeline-steps";
const SETTINGS = "pipeline-settings";
const MLFLOW_LOGIN = "mlflow-pipeline";
/** User of MLflow whom trainings and promotions log in as. */
const MLFLOW_USER = "pipeline";
const MODEL = "GourmetGramFood11Model";
const APPLICATION: LabelArgs = { name: "pipeline", component: "pipeline" };

/** A WorkflowTemplate or CronWorkflow. */
export interface PipelineManifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: object;
}

export interface PipelineArgs {
  /** Image with Python, git, crane and buildctl, in which all steps run. */
  readonly image: pulumi.Input<string>;
  /** Namespace of the workflows. Must be closed to traffic but for its workflow pods. */
  readonly namespace: pulumi.Input<string>;
  /** Kinds of Argo Workflows: done when templates can be made. */
  readonly definitions: readonly pulumi.Resource[];
  /** Namespace of the Argo CD Applications. */
  readonly applicationNamespace: pulumi.Input<string>;
  /** Stage -> its namespace, `gourmetgram-<stage>`, in the order of promotion. Shape: the names are plain. */
  readonly stages: Readonly<Record<string, pulumi.Input<string>>>;
  /** Templates and cron workflows by name. Shape: plain. */
  readonly manifests: Readonly<Record<string, PipelineManifest>>;
  /** Python modules of the steps by file name. */
  readonly steps: Readonly<Record<string, string>>;
  readonly sources: { readonly app: SourceArgs; readonly train: SourceArgs };
  readonly registry: { readonly push: RegistryLogin; readonly pull: RegistryLogin };
  readonly buildkit: { readonly address: pulumi.Input<string>; readonly authority: CertificateAuthority };
  /** What images are built on: references in the registry. */
  readonly baseImages: { readonly base: pulumi.Input<string>; readonly wheels: pulumi.Input<string> };
  /** CA certificate of the cluster, PEM, which signed the registry's certificate. */
  readonly caCertificatePem: pulumi.Input<string>;
  readonly mlflow: {
    /** Tracking server inside the cluster. */
    readonly url: pulumi.Input<string>;
    readonly namespace: pulumi.Input<string>;
    /** Administrator; a Secret of `mlflow.namespace`. */
    readonly admin: CredentialsRef;
  };
  /** @default see PipelineLimits */
  readonly limits?: PipelineLimits;
  /** WorkflowTemplate that brings the first version to the stages; false: nothing is run. @default "build-initial" */
  readonly firstRun?: string | false;
  /** What must be usable before the first run: registry, builder, Git, stages, the workflow controller. @default nothing */
  readonly after?: readonly pulumi.Input<pulumi.Resource>[];
}

/**
 * The pipeline in the cluster: the ledger's kind, the steps and their settings, an account with the least rights for each class of steps,
 * what the steps log in with, the workflow templates, and one first run that brings a version to every stage that has none.
 *
 * Waits for: namespaces and kinds; only the first run waits for `after`. `ready` is done when every stage serves. Costs: two pods
 * for some seconds to minutes.
 * ```ts
 * new Pipeline("pipeline", { image, namespace: workflows.namespace, stages: { staging: "gourmetgram-staging" }, manifests, steps, ... });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class Pipeline extends pulumi.ComponentResource {
  /** Done when every stage serves a version; with `firstRun: false`, when the templates are there. */
  readonly ready: readonly pulumi.Resource[];
  /** Templates and cron workflows by name. */
  readonly objects: Readonly<Record<string, pulumi.CustomResource>>;
  /** Login of MLflow that the pipeline has. */
  readonly mlflowCredentials: CredentialsRef;

  constructor(name: string, args: PipelineArgs, opts?: pulumi.ComponentResourceOptions) {
    const limits = { ...DEFAULT_LIMITS, ...args.limits };
    const firstRun = args.firstRun ?? "build-initial";
    const problems = checkPipeline({ ...args, firstRun, limits });
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:Pipeline", name, {}, opts);
    const child = { parent: this };

    const ledger = createLedgerDefinition(`${name}-ledger`, child);
    const password = new Password(`${name}-mlflow`, { length: 32 }, child).result;
    this.mlflowCredentials = createCredentials(
      `${name}-mlflow`,
      { namespace: args.namespace, objectName: MLFLOW_LOGIN, username: MLFLOW_USER, password },
      child,
    );
    const user = new MlflowUser(
      `${name}-mlflow-user`,
      {
        namespace: args.mlflow.namespace,
        image: args.image,
        url: args.mlflow.url,
        admin: args.mlflow.admin,
        username: MLFLOW_USER,
        password,
        models: [MODEL],
      },
      child,
    );
    const files = createFiles(name, args, limits, child);
    const secrets = createSecrets(name, args, child);
    const accounts = createStepAccounts(name, args, child);
    this.objects = createObjects(name, args, child);

    const parts = [ledger, user.ready, ...files, ...Object.values(this.objects)];
    if (firstRun === false) {
      this.ready = parts;
    } else {
      const run = new FirstRun(
        `${name}-first-run`,
        {
          namespace: args.namespace,
          image: args.image,
          stepsConfigMap: STEPS,
          template: firstRun,
          // A stage that is added later gets its first version as well.
          key: Object.keys(args.stages).join(","),
        },
        { parent: this, dependsOn: everything(parts, secrets, [accounts, ...(args.after ?? [])]) },
      );
      this.ready = [run.done];
    }
    this.registerOutputs({ templates: Object.keys(this.objects) });
  }
}

function metadata(args: PipelineArgs, objectName: string): k8s.types.input.meta.v1.ObjectMeta {
  return { name: objectName, namespace: args.namespace, labels: labels(APPLICATION) };
}

/** The steps and their settings, which every pod of a step reads at its start. */
function createFiles(
  name: string,
  args: PipelineArgs,
  limits: Required<PipelineLimits>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.ConfigMap[] {
  const settings = renderSettings({
    registryHost: args.registry.push.host,
    buildkitAddress: args.buildkit.address,
    mlflowUrl: args.mlflow.url,
    model: MODEL,
    sources: args.sources,
    baseImages: args.baseImages,
    stages: Object.keys(args.stages),
    applicationNamespace: args.applicationNamespace,
    namespace: args.namespace,
    limits,
  });
  return [
    new k8s.core.v1.ConfigMap(
      `${name}-steps`,
      { metadata: metadata(args, STEPS), data: { ...args.steps } },
      opts,
    ),
    new k8s.core.v1.ConfigMap(
      `${name}-settings`,
      { metadata: metadata(args, SETTINGS), data: settings },
      opts,
    ),
  ];
}

/**
 * What steps log in with. Mounted into the pods of the classes that need it; no account may read them.
 *
 * @returns names of the objects, released when they are there
 */
function createSecrets(
  name: string,
  args: PipelineArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string>[] {
  const { namespace } = args;
  return [
    createRegistrySecret(`${name}-registry-push`, { namespace, login: args.registry.push }, opts),
    createRegistrySecret(`${name}-registry-pull`, { namespace, login: args.registry.pull }, opts),
    createClusterCa(`${name}-ca`, { namespace, certificatePem: args.caCertificatePem }, opts),
    new BuildKitClient(`${name}-buildkit`, { namespace, authority: args.buildkit.authority }, opts)
      .secretName,
  ];
}

/** All that has to be there before a workflow can run. */
function everything(
  parts: readonly pulumi.Resource[],
  names: readonly pulumi.Output<string>[],
  others: readonly pulumi.Input<readonly pulumi.Resource[] | pulumi.Resource>[],
): pulumi.Output<pulumi.Resource[]> {
  return pulumi
    .all([pulumi.all([...names]), pulumi.all([...others])])
    .apply(([, more]) => [...parts, ...(more as (pulumi.Resource | pulumi.Resource[])[]).flat()]);
}

function createObjects(
  name: string,
  args: PipelineArgs,
  opts: pulumi.CustomResourceOptions,
): Record<string, pulumi.CustomResource> {
  return Object.fromEntries(
    Object.entries(args.manifests).map(([key, { apiVersion, kind, metadata: given, spec }]) => [
      key,
      new k8s.apiextensions.CustomResource(
        `${name}-${key}`,
        {
          apiVersion,
          kind,
          metadata: {
            ...metadata(args, given.name ?? key),
            labels: { ...given.labels, ...labels(APPLICATION) },
            ...(given.annotations === undefined ? {} : { annotations: { ...given.annotations } }),
          },
          spec,
        },
        { ...opts, dependsOn: [...args.definitions] },
      ),
    ]),
  );
}
