import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";
import { createAccount, type PolicyRule, READ } from "./rbac";

/** People who use Argo Workflows: each logs in with the token of an account. */
export type WorkflowUser = "operator" | "viewer";

/** A Secret with a long-lived token of an account, key `token`. */
export interface TokenRef {
  readonly accountName: pulumi.Output<string>;
  readonly secretName: pulumi.Output<string>;
  readonly tokenKey: "token";
  /** What is typed into the login page after `Bearer `. A secret. */
  readonly token: pulumi.Output<string>;
}

const PIPELINE_KINDS = ["workflows", "workflowtemplates", "cronworkflows"];

const VIEW: readonly PolicyRule[] = [
  { apiGroups: ["argoproj.io"], resources: PIPELINE_KINDS, verbs: [...READ] },
  { apiGroups: [""], resources: ["pods", "events"], verbs: [...READ] },
  { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] },
];

/** Submit, approve, stop, retry; suspend and resume the schedule. Templates and the record of runs are not changed by hand. */
const OPERATE: readonly PolicyRule[] = [
  ...VIEW,
  { apiGroups: ["argoproj.io"], resources: ["workflows"], verbs: ["create", "update", "patch"] },
  { apiGroups: ["argoproj.io"], resources: ["cronworkflows"], verbs: ["update", "patch"] },
];

export interface WorkflowUsersArgs {
  readonly namespace: pulumi.Input<string>;
  /** Secret with the key of the bucket: the server reads archived logs with the rights of the one who asks for them. */
  readonly bucketSecret: pulumi.Input<string>;
}

/** The accounts `argo-operator` and `argo-viewer` of the workflows' namespace, each with a token to log in with. */
export function createWorkflowUsers(
  name: string,
  args: WorkflowUsersArgs,
  opts: pulumi.CustomResourceOptions,
): Readonly<Record<WorkflowUser, TokenRef>> {
  const archivedLogs: PolicyRule = {
    apiGroups: [""],
    resources: ["secrets"],
    resourceNames: [args.bucketSecret],
    verbs: ["get"],
  };
  return {
    operator: createUser(name, "operator", args.namespace, [...OPERATE, archivedLogs], opts),
    viewer: createUser(name, "viewer", args.namespace, VIEW, opts),
  };
}

function createUser(
  name: string,
  user: WorkflowUser,
  namespace: pulumi.Input<string>,
  rules: readonly PolicyRule[],
  opts: pulumi.CustomResourceOptions,
): TokenRef {
  const ours: LabelArgs = { name: "argo-workflows", component: "user" };
  const objectName = `argo-${user}`;
  const accountName = createAccount(`${name}-${user}`, { namespace, objectName, labels: ours, rules }, opts);
  const secret = new k8s.core.v1.Secret(
    `${name}-${user}-token`,
    {
      metadata: {
        name: `${objectName}-token`,
        namespace,
        labels: labels(ours),
        annotations: { "kubernetes.io/service-account.name": accountName },
      },
      type: "kubernetes.io/service-account-token",
    },
    { ...opts, additionalSecretOutputs: ["data"] },
  );
  // Kubernetes writes the token into the Secret; in a preview there is none yet.
  const token = pulumi.secret(
    secret.data.apply((data) => Buffer.from(data?.["token"] ?? "", "base64").toString()),
  );
  return { accountName, secretName: secret.metadata.name, tokenKey: "token", token };
}
