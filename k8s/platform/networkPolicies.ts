import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";

/** Who stands at the other end of a connection. */
export type Peer = k8s.types.input.networking.v1.NetworkPolicyPeer;
type Rule = { readonly peers?: Peer[]; readonly ports?: readonly number[] };

export interface TrafficArgs {
  readonly namespace: pulumi.Input<string>;
  /** Kubernetes name. */
  readonly objectName: string;
  /** The pods the rules are for. */
  readonly pods: LabelArgs;
  /** Who may connect; a rule without peers lets everyone, one without ports means all. @default nobody */
  readonly ingress?: readonly Rule[];
  /** Where the pods may connect to; a rule without peers means anywhere, one without ports any of them. @default nowhere */
  readonly egress?: readonly Rule[];
}

/** Allows TCP traffic of some pods, on top of a namespace that denies everything. */
export function createTraffic(
  name: string,
  args: TrafficArgs,
  opts: pulumi.CustomResourceOptions,
): k8s.networking.v1.NetworkPolicy {
  const ports = (rule: Rule) => rule.ports?.map((port) => ({ protocol: "TCP", port }));
  // The API server does not keep empty lists.
  const list = <Item>(items: Item[] | undefined) => (items?.length ? items : undefined);
  return new k8s.networking.v1.NetworkPolicy(
    name,
    {
      metadata: { name: args.objectName, namespace: args.namespace, labels: labels(args.pods) },
      spec: {
        podSelector: { matchLabels: selectorLabels(args.pods) },
        policyTypes: [...(args.ingress ? ["Ingress"] : []), ...(args.egress ? ["Egress"] : [])],
        ingress: list(args.ingress?.map((rule) => ({ from: rule.peers, ports: ports(rule) }))),
        egress: list(args.egress?.map((rule) => ({ to: rule.peers, ports: ports(rule) }))),
      },
    },
    opts,
  );
}

/** The pods of an application, in the policy's own namespace. */
export function podsOf(args: LabelArgs): Peer {
  return { podSelector: { matchLabels: selectorLabels(args) } };
}

/** All pods of a namespace. */
export function namespaceOf(name: pulumi.Input<string>): Peer {
  return { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } } };
}

/** No traffic at all for pods of the namespace, except asking the cluster's DNS. */
export function createDefaultDeny(
  name: string,
  args: { readonly namespace: pulumi.Input<string>; readonly labels: LabelArgs },
  opts: pulumi.CustomResourceOptions,
): void {
  const metadata = (objectName: string) => ({
    name: objectName,
    namespace: args.namespace,
    labels: labels(args.labels),
  });
  new k8s.networking.v1.NetworkPolicy(
    `${name}-default-deny`,
    {
      metadata: metadata("default-deny"),
      spec: { podSelector: {}, policyTypes: ["Ingress", "Egress"] },
    },
    opts,
  );
  new k8s.networking.v1.NetworkPolicy(
    `${name}-dns`,
    {
      metadata: metadata("allow-dns"),
      spec: {
        podSelector: {},
        policyTypes: ["Egress"],
        egress: [
          {
            to: [
              {
                namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
                podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
              },
            ],
            ports: [
              { protocol: "UDP", port: 53 },
              { protocol: "TCP", port: 53 },
            ],
          },
        ],
      },
    },
    opts,
  );
}
