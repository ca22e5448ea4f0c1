import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CredentialsRef } from "../../components/contracts";
import { type LabelArgs, labels } from "../../components/labels";
import { readSource } from "../../components/sourceFile";
import { createCredentials } from "../platform/credentials";
import { MLFLOW_LABELS, MLFLOW_PORT } from "../platform/mlflow";
import { createTraffic, podsOf } from "../platform/networkPolicies";
import { SetupJob } from "../platform/setupJob";

const UID = 1000;
const ADMIN_FOLDER = "/run/secrets/mlflow-admin";
const LOGIN_FOLDER = "/run/secrets/login";

export interface MlflowUserArgs {
  /** Namespace of MLflow and of its administrator's Secret. */
  readonly namespace: pulumi.Input<string>;
  /** Image with a POSIX shell and Python. */
  readonly image: pulumi.Input<string>;
  /** URL of the tracking server inside the cluster, released when it answers. */
  readonly url: pulumi.Input<string>;
  /** The administrator, who makes the user. */
  readonly admin: CredentialsRef;
  /** Shape: plain. */
  readonly username: string;
  /** A secret. */
  readonly password: pulumi.Input<string>;
  /** Registered models the user owns; made when they are not there. Shape: plain. */
  readonly models: readonly string[];
}

/**
 * A user of MLflow that is no administrator, and its registered models.
 *
 * Waits for: the tracking server. `ready` is done when the user can log in. Costs: a pod for some seconds.
 */
export class MlflowUser extends pulumi.ComponentResource {
  /** Done when the user can log in and owns its models. */
  readonly ready: pulumi.Resource;

  constructor(name: string, args: MlflowUserArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:MlflowUser", name, {}, opts);
    const child = { parent: this };
    const objectName = `mlflow-user-${args.username}`;
    const application: LabelArgs = {
      name: "mlflow-user",
      instance: objectName,
      component: "tracking-server",
    };

    const account = new k8s.core.v1.ServiceAccount(
      name,
      {
        metadata: { name: objectName, namespace: args.namespace, labels: labels(application) },
        automountServiceAccountToken: false,
      },
      child,
    );
    const login = createCredentials(
      name,
      { namespace: args.namespace, objectName, username: args.username, password: args.password },
      child,
    );
    createTraffic(
      name,
      {
        namespace: args.namespace,
        objectName,
        pods: application,
        egress: [{ peers: [podsOf(MLFLOW_LABELS)], ports: [MLFLOW_PORT] }],
      },
      child,
    );
    const setup = new SetupJob(
      name,
      {
        namespace: args.namespace,
        objectName,
        labels: application,
        image: args.image,
        uid: UID,
        serviceAccountName: account.metadata.name,
        files: {
          "mlflow-user.sh": readSource("k8s/pipeline/scripts/mlflow-user.sh"),
          "mlflow_user.py": readSource("k8s/pipeline/scripts/mlflow_user.py"),
        },
        script: "mlflow-user.sh",
        env: [
          { name: "MLFLOW_URL", value: args.url },
          { name: "MODELS", value: args.models.join(" ") },
          { name: "ADMIN", value: ADMIN_FOLDER },
          { name: "LOGIN", value: LOGIN_FOLDER },
        ],
        secrets: { password: args.password },
        secretFolders: { [ADMIN_FOLDER]: args.admin.secretName, [LOGIN_FOLDER]: login.secretName },
      },
      child,
    );

    this.ready = setup.job;
    this.registerOutputs({ username: args.username });
  }
}
