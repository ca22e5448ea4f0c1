import { labels } from "../../components/labels";
import type { Value } from "../builder/reference";
import { workflowName } from "../builder/reference";
import { OUTPUT_FOLDER } from "../builder/render";
import type { ContainerParts, EnvSource, LeafOptions, Resources, Volume } from "../builder/template";
import type { ResolvedSettings } from "./settings";

/** What a step may do: each class has its own ServiceAccount and gets only its own secrets. */
export type StepClass = "runner" | "builder" | "deployer" | "tester";

/** Objects in the namespace of the workflows, made by others, that the pods mount. */
export const OBJECTS = {
  /** Files of `workflows/steps`. */
  steps: "pipeline-steps",
  /** Addresses, names and limits, read as environment. */
  settings: "pipeline-settings",
  /** Certificate of the cluster's CA, key `ca.crt`. */
  ca: "cluster-ca",
  /** Registry credentials, type dockerconfigjson. */
  pull: "registry-pull",
  push: "registry-push",
  /** Client certificate for the image builder: ca.pem, cert.pem, key.pem. */
  builder: "buildkit-client",
  /** Login of MLflow: username, password. */
  mlflow: "mlflow-pipeline",
} as const;

/** ServiceAccount of each class. */
export const SERVICE_ACCOUNTS: Readonly<Record<StepClass, string>> = {
  runner: "pipeline-runner",
  builder: "pipeline-builder",
  deployer: "pipeline-deployer",
  tester: "pipeline-tester",
};

/** User of the images `pipeline` and `base/python`. */
const UID = 1000;

/** A step gives up in order this many seconds before its pod is ended. */
const GRACE_SECONDS = 15;

/** Small: it waits for others most of the time. */
const WAITING: Resources = {
  requests: { cpu: "50m", memory: "96Mi" },
  limits: { cpu: "1", memory: "384Mi" },
};

/** What a pod is given besides its inputs. */
interface Grants {
  readonly registry?: "pull" | "push";
  readonly mlflow?: boolean;
  readonly builder?: boolean;
  /** Size of `/tmp`. @default "64Mi" */
  readonly scratch?: string;
}

/** A step of `workflows/steps`: file, what it is given, how long it may take. */
export interface StepPod extends Grants, Omit<LeafOptions, "deadlineSeconds"> {
  readonly class: StepClass;
  /** File in the folder of the steps. */
  readonly file: string;
  readonly deadlineSeconds: number;
  readonly requestedBy: Value;
  /** Inputs of the step. */
  readonly env: Readonly<Record<string, Value>>;
}

/** The pod of a step written in Python. */
export function stepPod(settings: ResolvedSettings, step: StepPod): ContainerParts {
  const { class: stepClass, file, env, requestedBy, registry, mlflow, builder, scratch, ...leaf } = step;
  const grants: Grants = {
    ...(registry === undefined ? {} : { registry }),
    ...(mlflow === undefined ? {} : { mlflow }),
    ...(builder === undefined ? {} : { builder }),
    ...(scratch === undefined ? {} : { scratch }),
  };
  return {
    ...leaf,
    ...common(stepClass),
    image: settings.image as `${string}:${string}`,
    command: ["python3", `/opt/steps/${file}`],
    args: [],
    envFrom: [OBJECTS.settings],
    env: {
      ...env,
      WORKFLOW: workflowName,
      REQUESTED_BY: requestedBy,
      STEP_DEADLINE_SECONDS: `${step.deadlineSeconds - GRACE_SECONDS}`,
      ...environment(grants),
    },
    volumes: { steps: { mountPath: "/opt/steps", configMap: OBJECTS.steps }, ...volumes(grants) },
    resources: WAITING,
  };
}

/** A training: code of the training repository, in the image built from it. It is given nothing but the login of MLflow. */
export interface TrainingPod extends LeafOptions {
  readonly image: ContainerParts["image"];
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, EnvSource>>;
}

/** The pod of a training. */
export function trainingPod(settings: ResolvedSettings, training: TrainingPod): ContainerParts {
  const { image, command, env, ...leaf } = training;
  const grants: Grants = { mlflow: true, scratch: "2Gi" };
  return {
    ...leaf,
    ...common("runner"),
    image,
    command,
    args: [],
    envFrom: [],
    env: { ...env, ...environment(grants) },
    volumes: volumes(grants),
    resources: settings.trainResources,
  };
}

function common(stepClass: StepClass) {
  return {
    serviceAccount: SERVICE_ACCOUNTS[stepClass],
    uid: UID,
    labels: labels({ name: "pipeline", component: stepClass }),
  };
}

function environment({ registry, mlflow }: Grants): Readonly<Record<string, EnvSource>> {
  return {
    HOME: "/tmp",
    ...(registry === undefined
      ? {}
      : {
          DOCKER_CONFIG: "/run/secrets/registry",
          SSL_CERT_FILE: "/run/config/ca/ca.crt",
          REQUESTS_CA_BUNDLE: "/run/config/ca/ca.crt",
        }),
    ...(mlflow === true
      ? {
          MLFLOW_TRACKING_USERNAME: { secret: OBJECTS.mlflow, key: "username" },
          MLFLOW_TRACKING_PASSWORD: { secret: OBJECTS.mlflow, key: "password" },
        }
      : {}),
  };
}

function volumes({ registry, builder, scratch = "64Mi" }: Grants): Readonly<Record<string, Volume>> {
  return {
    tmp: { mountPath: "/tmp", emptyDir: { sizeLimit: scratch } },
    outputs: { mountPath: OUTPUT_FOLDER, emptyDir: { sizeLimit: "1Mi" } },
    ...(registry === undefined
      ? {}
      : {
          ca: { mountPath: "/run/config/ca", configMap: OBJECTS.ca },
          registry: {
            mountPath: "/run/secrets/registry",
            secret: OBJECTS[registry],
            items: { ".dockerconfigjson": "config.json" },
          },
        }),
    ...(builder === true
      ? { buildkit: { mountPath: "/run/secrets/buildkit", secret: OBJECTS.builder } }
      : {}),
  };
}
