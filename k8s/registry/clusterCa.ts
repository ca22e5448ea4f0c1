import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { labels } from "../../components/labels";

export interface ClusterCaArgs {
  readonly namespace: pulumi.Input<string>;
  /** CA certificate of the cluster, PEM. */
  readonly certificatePem: pulumi.Input<string>;
}

/**
 * A ConfigMap `cluster-ca` with the key `ca.crt`: what pods need to trust the services whose certificates the cluster's
 * authority signed. Returns its name. (`kube-root-ca.crt` holds the same, but is there only some time after its namespace.)
 */
export function createClusterCa(
  name: string,
  args: ClusterCaArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  const configMap = new k8s.core.v1.ConfigMap(
    name,
    {
      metadata: { name: "cluster-ca", namespace: args.namespace, labels: labels({ name: "cluster-ca" }) },
      data: { "ca.crt": args.certificatePem },
    },
    opts,
  );
  return configMap.metadata.name;
}
