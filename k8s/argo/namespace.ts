import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";
import { createDefaultDeny } from "../platform/networkPolicies";

export interface RestrictedNamespaceArgs {
  /** Kubernetes name. */
  readonly objectName: string;
  readonly labels: LabelArgs;
}

/** A namespace at the Pod Security level `restricted`, closed to all traffic nobody allowed. */
export function createRestrictedNamespace(
  name: string,
  args: RestrictedNamespaceArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  const namespace = new k8s.core.v1.Namespace(
    name,
    {
      metadata: {
        name: args.objectName,
        labels: {
          ...labels(args.labels),
          "pod-security.kubernetes.io/enforce": "restricted",
          "pod-security.kubernetes.io/audit": "restricted",
          "pod-security.kubernetes.io/warn": "restricted",
        },
      },
    },
    opts,
  ).metadata.name;
  createDefaultDeny(name, { namespace, labels: args.labels }, opts);
  return namespace;
}
