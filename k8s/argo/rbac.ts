import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";

export type PolicyRule = k8s.types.input.rbac.v1.PolicyRule;

/** Verbs of those who look and of those who follow changes. */
export const READ = ["get", "list", "watch"] as const;

export interface AccountArgs {
  readonly namespace: pulumi.Input<string>;
  /** Kubernetes name. */
  readonly objectName: string;
  readonly labels: LabelArgs;
  /** What it may do in its own namespace. @default nothing */
  readonly rules?: readonly PolicyRule[];
  /** Whether pods that say nothing about it get a token. @default false */
  readonly automountToken?: boolean;
}

/**
 * A ServiceAccount and, where it may do anything, a Role of the same name bound to it. Its name is released when it has its
 * rights: a controller that starts before them fails, and waits longer with each attempt.
 */
export function createAccount(
  name: string,
  args: AccountArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  const metadata = { name: args.objectName, namespace: args.namespace, labels: labels(args.labels) };
  const account = new k8s.core.v1.ServiceAccount(
    name,
    { metadata, automountServiceAccountToken: args.automountToken ?? false },
    opts,
  );
  if (args.rules === undefined) return account.metadata.name;
  const binding = grant(
    name,
    {
      namespace: args.namespace,
      objectName: args.objectName,
      labels: args.labels,
      rules: args.rules,
      account: { name: account.metadata.name, namespace: args.namespace },
    },
    opts,
  );
  return pulumi.all([account.metadata.name, binding.id]).apply(([known]) => known);
}

export interface GrantArgs {
  /** Where the rights hold. */
  readonly namespace: pulumi.Input<string>;
  /** Kubernetes name of Role and RoleBinding. */
  readonly objectName: string;
  readonly labels: LabelArgs;
  readonly rules: readonly PolicyRule[];
  /** Who gets them; may live in another namespace. */
  readonly account: { readonly name: pulumi.Input<string>; readonly namespace: pulumi.Input<string> };
}

/** Rights in one namespace for one ServiceAccount. */
export function grant(
  name: string,
  args: GrantArgs,
  opts: pulumi.CustomResourceOptions,
): k8s.rbac.v1.RoleBinding {
  const metadata = { name: args.objectName, namespace: args.namespace, labels: labels(args.labels) };
  const role = new k8s.rbac.v1.Role(name, { metadata, rules: [...args.rules] }, opts);
  return new k8s.rbac.v1.RoleBinding(
    name,
    {
      metadata,
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role.metadata.name },
      subjects: [{ kind: "ServiceAccount", ...args.account }],
    },
    opts,
  );
}
