import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { labels, selectorLabels } from "../../components/labels";
import { readSource } from "../../components/sourceFile";

export interface FlannelNetworkArgs {
  /** @example "10.244.0.0/16" */
  readonly podCidr: string;
  /** `host:port` of the API server, reached without kube-proxy. @example "10.87.0.11:6443" */
  readonly apiEndpoint: string;
  /** Image with `flanneld` and a POSIX shell. */
  readonly image: string;
}

/**
 * The pod network: flannel's VXLAN, one daemon per node, and the CNI's own `bridge` plugin configured from flannel's
 * subnet (flannel's plugin is one binary more and does just that).
 *
 * Waits for: the API server, not for nodes. Costs: about 20 MiB of memory per node. It carries traffic; it does not
 * enforce NetworkPolicies.
 */
export class FlannelNetwork extends pulumi.ComponentResource {
  readonly daemons: k8s.apps.v1.DaemonSet;

  constructor(name: string, args: FlannelNetworkArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:FlannelNetwork", name, {}, opts);
    const parent = { parent: this };
    const namespaceName = "kube-flannel";
    const ours = labels({ name: "flannel", component: "network" });
    const selector = selectorLabels({ name: "flannel" });

    const namespace = new k8s.core.v1.Namespace(
      `${name}-namespace`,
      {
        metadata: {
          name: namespaceName,
          // The daemon configures the node's own interfaces: host network and NET_ADMIN, nothing less will do.
          labels: { ...ours, "pod-security.kubernetes.io/enforce": "privileged" },
        },
      },
      parent,
    );
    const inNamespace = { ...parent, dependsOn: [namespace] };
    const account = new k8s.core.v1.ServiceAccount(
      `${name}-account`,
      { metadata: { name: "flannel", namespace: namespaceName, labels: ours } },
      inNamespace,
    );
    const role = new k8s.rbac.v1.ClusterRole(
      `${name}-role`,
      {
        metadata: { name: "gourmetgram-flannel", labels: ours },
        rules: [
          { apiGroups: [""], resources: ["pods"], verbs: ["get"] },
          { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
          { apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] },
        ],
      },
      parent,
    );
    const binding = new k8s.rbac.v1.ClusterRoleBinding(
      `${name}-binding`,
      {
        metadata: { name: "gourmetgram-flannel", labels: ours },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "gourmetgram-flannel" },
        subjects: [{ kind: "ServiceAccount", name: "flannel", namespace: namespaceName }],
      },
      { ...parent, dependsOn: [role, account] },
    );
    const config = new k8s.core.v1.ConfigMap(
      `${name}-config`,
      {
        metadata: { name: "flannel-config", namespace: namespaceName, labels: ours },
        data: {
          "net-conf.json": JSON.stringify({
            Network: args.podCidr,
            EnableNFTables: false,
            Backend: { Type: "vxlan" },
          }),
          "cni-config.sh": readSource("k8s/cluster/scripts/cni-config.sh"),
        },
      },
      inNamespace,
    );
    this.daemons = new k8s.apps.v1.DaemonSet(
      name,
      {
        metadata: {
          name: "flannel",
          namespace: namespaceName,
          labels: ours,
          // Its pods are Ready when nodes are, and nodes when its pods are: the memberships wait for both.
          annotations: { "pulumi.com/skipAwait": "true" },
        },
        spec: {
          selector: { matchLabels: selector },
          template: { metadata: { labels: ours }, spec: podSpec(args) },
        },
      },
      { ...parent, dependsOn: [namespace, account, binding, config] },
    );
    this.registerOutputs({});
  }
}

function podSpec({ image, apiEndpoint }: FlannelNetworkArgs): k8s.types.input.core.v1.PodSpec {
  const [apiHost = "", apiPort = ""] = apiEndpoint.split(":");
  const fromNode = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } });
  return {
    hostNetwork: true,
    priorityClassName: "system-node-critical",
    serviceAccountName: "flannel",
    tolerations: [{ operator: "Exists" }],
    containers: [
      {
        name: "flanneld",
        image,
        // The node's own address decides the interface: a node may have several.
        command: ["/bin/sh", "-c", 'exec /opt/bin/flanneld --ip-masq --kube-subnet-mgr --iface="$NODE_IP"'],
        env: [
          { name: "POD_NAME", ...fromNode("metadata.name") },
          { name: "POD_NAMESPACE", ...fromNode("metadata.namespace") },
          { name: "NODE_IP", ...fromNode("status.hostIP") },
          // The service address works once kube-proxy does; flannel would wait for it half a minute and start over.
          { name: "KUBERNETES_SERVICE_HOST", value: apiHost },
          { name: "KUBERNETES_SERVICE_PORT", value: apiPort },
        ],
        resources: { requests: { cpu: "50m", memory: "32Mi" }, limits: { memory: "128Mi" } },
        securityContext: { privileged: false, capabilities: { add: ["NET_ADMIN", "NET_RAW"] } },
        volumeMounts: [
          { name: "run", mountPath: "/run/flannel" },
          { name: "config", mountPath: "/etc/kube-flannel" },
          { name: "xtables-lock", mountPath: "/run/xtables.lock" },
        ],
      },
      {
        name: "cni-config",
        image,
        command: ["/bin/sh", "/etc/kube-flannel/cni-config.sh"],
        resources: { requests: { cpu: "5m", memory: "8Mi" }, limits: { memory: "32Mi" } },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        volumeMounts: [
          { name: "run", mountPath: "/run/flannel", readOnly: true },
          { name: "config", mountPath: "/etc/kube-flannel" },
          { name: "cni", mountPath: "/etc/cni/net.d" },
        ],
      },
    ],
    volumes: [
      { name: "run", hostPath: { path: "/run/flannel", type: "DirectoryOrCreate" } },
      { name: "cni", hostPath: { path: "/etc/cni/net.d", type: "DirectoryOrCreate" } },
      { name: "xtables-lock", hostPath: { path: "/run/xtables.lock", type: "FileOrCreate" } },
      { name: "config", configMap: { name: "flannel-config" } },
    ],
  };
}
