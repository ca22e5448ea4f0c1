import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { labels } from "../../components/labels";

export interface StageNamespaceArgs {
  /** `staging`, `canary` or `production`; becomes part of the namespace's name. Shape: plain. */
  readonly stage: string;
}

/**
 * The place of one stage: namespace `gourmetgram-<stage>` at the Pod Security level `restricted`, closed to all traffic
 * nobody allowed.
 *
 * Waits for: the cluster. Costs: nothing.
 */
export class StageNamespace extends pulumi.ComponentResource {
  readonly namespace: k8s.core.v1.Namespace;

  constructor(name: string, args: StageNamespaceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:StageNamespace", name, {}, opts);
    const namespaceName = `gourmetgram-${args.stage}`;
    const ours = {
      ...labels({ name: "gourmetgram-app", instance: args.stage }),
      "gourmetgram.dev/stage": args.stage,
    };

    this.namespace = new k8s.core.v1.Namespace(
      name,
      {
        metadata: {
          name: namespaceName,
          labels: {
            ...ours,
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/warn": "restricted",
          },
        },
      },
      { parent: this },
    );
    new k8s.networking.v1.NetworkPolicy(
      `${name}-default-deny`,
      {
        metadata: { name: "default-deny", namespace: namespaceName, labels: ours },
        spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] },
      },
      { parent: this, dependsOn: [this.namespace] },
    );
    this.registerOutputs({});
  }
}
