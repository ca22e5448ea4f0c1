import type * as pulumi from "@pulumi/pulumi";
import type { LabelArgs } from "../../components/labels";
import { grant, type PolicyRule, READ } from "./rbac";

/** Namespace of Argo CD; its accounts live there. */
export const ARGOCD_NAMESPACE = "argocd";
export const CONTROLLER_ACCOUNT = "argocd-application-controller";
export const SERVER_ACCOUNT = "argocd-server";

interface ManagedKind {
  readonly group: string;
  readonly kind: string;
  readonly resource: string;
}

/** Kinds a stage's chart may contain: what the project allows, and what the controller may change in a stage. */
export const MANAGED_KINDS: readonly ManagedKind[] = [
  { group: "", kind: "ConfigMap", resource: "configmaps" },
  { group: "", kind: "Service", resource: "services" },
  { group: "", kind: "ServiceAccount", resource: "serviceaccounts" },
  { group: "apps", kind: "Deployment", resource: "deployments" },
  { group: "autoscaling", kind: "HorizontalPodAutoscaler", resource: "horizontalpodautoscalers" },
  { group: "gateway.networking.k8s.io", kind: "HTTPRoute", resource: "httproutes" },
  { group: "policy", kind: "PodDisruptionBudget", resource: "poddisruptionbudgets" },
];

/** What the managed kinds make: watched for health and the tree of resources, changed by nobody here. */
export const OBSERVED_KINDS: readonly ManagedKind[] = [
  { group: "", kind: "Pod", resource: "pods" },
  { group: "apps", kind: "ReplicaSet", resource: "replicasets" },
];

export interface ArgoCdAccessArgs {
  /** A namespace Argo CD deploys into. */
  readonly namespace: pulumi.Input<string>;
  readonly labels: LabelArgs;
}

/**
 * Lets Argo CD work in one namespace: its controller keeps the managed kinds, its server shows them and the pods' logs.
 * Without it Argo CD can do nothing there.
 */
export function createArgoCdAccess(
  name: string,
  args: ArgoCdAccessArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Resource[] {
  const access = (part: string, account: string, rules: readonly PolicyRule[]) =>
    grant(
      `${name}-${part}`,
      { ...args, objectName: account, rules, account: { name: account, namespace: ARGOCD_NAMESPACE } },
      opts,
    );
  return [
    access("argocd-controller", CONTROLLER_ACCOUNT, [
      ...rulesFor(MANAGED_KINDS, [...READ, "create", "update", "patch", "delete"]),
      ...rulesFor(OBSERVED_KINDS, READ),
    ]),
    access("argocd-server", SERVER_ACCOUNT, [
      ...rulesFor([...MANAGED_KINDS, ...OBSERVED_KINDS], ["get"]),
      { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] },
    ]),
  ];
}

/** One rule per API group. */
function rulesFor(kinds: readonly ManagedKind[], verbs: readonly string[]): PolicyRule[] {
  return [...new Set(kinds.map(({ group }) => group))].map((group) => ({
    apiGroups: [group],
    resources: kinds.filter((kind) => kind.group === group).map(({ resource }) => resource),
    verbs: [...verbs],
  }));
}
