import { STAGES, type Stage } from "../../../stacks/spec";
import { getJson, type KubeClient, KubectlError } from "../kubeClient";
import { type LedgerEntry, type Release, readLedger, stageRecord } from "../ledgerEntries";
import {
  APP_NAME,
  APP_PORT,
  APPLICATION_NAMESPACE,
  applicationName,
  registryVersion,
  stageNamespace,
} from "../pipeline";
import type { Aliases } from "./mlflowAliases";

/** What is true of one stage, from every place that says something about it. */
export interface StageSnapshot {
  /** What the ledger says it runs. */
  readonly ledger?: Release;
  /** A change the ledger has begun and not ended. */
  readonly unfinished?: string;
  /** What Argo CD was told to run. */
  readonly wanted?: Release;
  readonly sync?: string;
  readonly health?: string;
  /** Digest of the image in the Deployment; undefined when there is no Deployment. */
  readonly image?: string;
  /** Changes with every change of the Deployment's settings. */
  readonly generation?: number;
  readonly readyPods: number;
  /** Version that the running app itself tells. */
  readonly live?: string;
}

/** What is true of an environment's delivery at a moment. */
export interface Snapshot {
  readonly at: string;
  readonly stages: Readonly<Record<Stage, StageSnapshot>>;
  readonly aliases: Aliases;
  readonly ledger: readonly LedgerEntry[];
}

interface Application {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly source?: {
      readonly helm?: { readonly parameters?: readonly { readonly name: string; readonly value?: string }[] };
    };
  };
  readonly status?: {
    readonly sync?: { readonly status?: string };
    readonly health?: { readonly status?: string };
  };
}

interface Deployment {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly generation?: number };
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } };
  };
  readonly status?: { readonly readyReplicas?: number };
}

/** Looks at everything once. */
export async function takeSnapshot(
  client: KubeClient,
  readAliases: () => Promise<Aliases>,
): Promise<Snapshot> {
  const [ledger, applications, deployments, aliases] = await Promise.all([
    readLedger(client),
    getJson<{ items: Application[] }>(
      client,
      "--namespace",
      APPLICATION_NAMESPACE,
      "applications.argoproj.io",
    ),
    getJson<{ items: Deployment[] }>(
      client,
      "--all-namespaces",
      "deployments",
      "--selector",
      `app=${APP_NAME}`,
    ),
    readAliases(),
  ]);
  const stages = await Promise.all(
    STAGES.map(async (stage) => {
      const application = applications.items.find(({ metadata }) => metadata.name === applicationName(stage));
      const deployment = deployments.items.find(
        ({ metadata }) => metadata.namespace === stageNamespace(stage) && metadata.name === APP_NAME,
      );
      const live = deployment === undefined ? undefined : await readLiveVersion(client, stage);
      return [stage, stageSnapshot(ledger, stage, application, deployment, live)] as const;
    }),
  );
  return {
    at: new Date().toISOString(),
    stages: Object.fromEntries(stages) as Record<Stage, StageSnapshot>,
    aliases,
    ledger,
  };
}

function stageSnapshot(
  ledger: readonly LedgerEntry[],
  stage: Stage,
  application: Application | undefined,
  deployment: Deployment | undefined,
  live: string | undefined,
): StageSnapshot {
  const { current, unfinished } = stageRecord(ledger, stage);
  const parameter = (name: string) =>
    application?.spec.source?.helm?.parameters?.find((candidate) => candidate.name === name)?.value;
  const [version, digest] = [parameter("modelVersion"), parameter("image.digest")];
  const { sync, health } = application?.status ?? {};
  const image = deployment?.spec.template.spec.containers[0]?.image;
  return {
    ...(current === undefined ? {} : { ledger: current }),
    ...(unfinished === undefined ? {} : { unfinished: unfinished.name }),
    ...(version && digest ? { wanted: { version, digest } } : {}),
    ...(sync?.status === undefined ? {} : { sync: sync.status }),
    ...(health?.status === undefined ? {} : { health: health.status }),
    ...(image === undefined ? {} : { image: image.split("@")[1] ?? image }),
    ...(deployment?.metadata.generation === undefined ? {} : { generation: deployment.metadata.generation }),
    readyPods: deployment?.status?.readyReplicas ?? 0,
    ...(live === undefined ? {} : { live }),
  };
}

/**
 * Version the running app tells, asked through the API server: past the gateway, which mixes production and canary.
 * `undefined` when it does not answer.
 */
async function readLiveVersion(client: KubeClient, stage: Stage): Promise<string | undefined> {
  const path = `/api/v1/namespaces/${stageNamespace(stage)}/services/${APP_NAME}:${APP_PORT}/proxy/version`;
  try {
    const { model_version } = JSON.parse(await client.run(["get", "--raw", path])) as {
      model_version?: unknown;
    };
    return typeof model_version === "string" ? model_version : undefined;
  } catch (error) {
    if (error instanceof KubectlError || error instanceof SyntaxError) {
      return undefined;
    }
    throw error;
  }
}

/**
 * Where the places contradict each other about one stage; empty when all say the same. `reference` is the ledger.
 */
export function contradictions(snapshot: Snapshot, stage: Stage): string[] {
  const { ledger, unfinished, wanted, image, live, readyPods } = snapshot.stages[stage];
  const found: string[] = [];
  const expect = (what: string, expected: string | undefined, actual: string | undefined) => {
    if (expected !== actual) {
      found.push(`${what} ${actual ?? "nothing"} instead of ${expected ?? "nothing"}`);
    }
  };
  if (unfinished !== undefined) {
    found.push(`the change ${unfinished} is not ended`);
  }
  expect("Argo CD runs", ledger?.version, wanted?.version);
  expect("Argo CD runs", ledger?.digest, wanted?.digest);
  expect("the Deployment has", ledger?.digest, image);
  expect("the app says", ledger?.version, live);
  expect("the alias is", ledger && registryVersion(ledger.version), snapshot.aliases[stage]);
  if (ledger !== undefined && readyPods === 0) {
    found.push("no pod is ready");
  }
  return found;
}
