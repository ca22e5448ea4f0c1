import { stringify } from "yaml";
import type { NodeSpec } from "../../components/contracts";

/** What all kubeadm documents of one cluster have in common; plain data, no secrets but the token given apart. */
export interface KubeadmSettings {
  /** With the leading v, for example `v1.34.2`. */
  readonly kubernetesVersion: string;
  readonly clusterName: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** `host:port` every client and node uses, the first control plane's private address. */
  readonly endpoint: string;
  /** Additional names and addresses in the API server's certificate. */
  readonly certificateNames: readonly string[];
  /** Repository of the control-plane images, for example `registry.k8s.io`. */
  readonly imageRepository: string;
  /** Tags where they do not follow the Kubernetes version. */
  readonly etcdTag: string;
  readonly corednsTag: string;
}

/** Folder of the files the API server reads; mounted into its static pod. */
export const apiServerFolder = "/etc/kubernetes/apiserver";
export const auditLogFolder = "/var/log/kubernetes";

/** How long the bootstrap token made by `kubeadm init` lives; later joins renew it (scripts/membership.sh). */
const tokenTtl = "1h0m0s";

const adminGroup = "system:masters";
/** User and group of the administrator's client certificate. */
export const adminIdentity = { commonName: "gourmetgram-admin", organizations: [adminGroup] } as const;

/** `kubeadm init --config`: the first control plane. */
export function renderInit(
  settings: KubeadmSettings,
  node: { name: string; spec: NodeSpec },
  token: string,
): string {
  return documents([
    {
      ...kubeadm("InitConfiguration"),
      bootstrapTokens: [{ token, ttl: tokenTtl, usages: ["signing", "authentication"], groups: [nodeGroup] }],
      localAPIEndpoint: { advertiseAddress: node.spec.address, bindPort: 6443 },
      nodeRegistration: nodeRegistration(node),
      patches: { directory: patchesFolder },
    },
    clusterConfiguration(settings),
    kubeletConfiguration(),
    kubeProxyConfiguration(settings),
  ]);
}

/** `kubeadm join --config`: a worker or a further control plane. Discovery is by file: nothing is read anonymously. */
export function renderJoin(node: { name: string; spec: NodeSpec }): string {
  return documents([
    {
      ...kubeadm("JoinConfiguration"),
      discovery: { file: { kubeConfigPath: discoveryKubeconfigPath }, timeout: "10m0s" },
      nodeRegistration: nodeRegistration(node),
      ...(node.spec.role === "controlPlane"
        ? { controlPlane: { localAPIEndpoint: { advertiseAddress: node.spec.address, bindPort: 6443 } } }
        : {}),
      patches: { directory: patchesFolder },
    },
  ]);
}

/** Where a joining node finds the cluster's CA and the token it may ask for a certificate with. */
export const discoveryKubeconfigPath = "/etc/kubernetes/bootstrap-discovery.conf";
const patchesFolder = "/etc/gourmetgram/kubeadm-patches";
const nodeGroup = "system:bootstrappers:kubeadm:default-node-token";

/** A kubeconfig with one cluster, one user, one context. */
export function renderKubeconfig(access: {
  readonly endpoint: string;
  readonly caCertificatePem: string;
  readonly clusterName: string;
  readonly user:
    | { readonly token: string }
    | { readonly clientCertificatePem: string; readonly clientKeyPem: string };
}): string {
  const base64 = (text: string) => Buffer.from(text, "utf8").toString("base64");
  const user =
    "token" in access.user
      ? { token: access.user.token }
      : {
          "client-certificate-data": base64(access.user.clientCertificatePem),
          "client-key-data": base64(access.user.clientKeyPem),
        };
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: access.clusterName,
        cluster: {
          server: `https://${access.endpoint}`,
          "certificate-authority-data": base64(access.caCertificatePem),
        },
      },
    ],
    users: [{ name: "admin", user }],
    contexts: [{ name: access.clusterName, context: { cluster: access.clusterName, user: "admin" } }],
    "current-context": access.clusterName,
  });
}

/** Encryption of Secrets at rest; `identity` last so that nothing written before it was on is lost. */
export function renderEncryptionConfiguration(keyBase64: string): string {
  return stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "EncryptionConfiguration",
    resources: [
      {
        resources: ["secrets"],
        providers: [{ secretbox: { keys: [{ name: "key1", secret: keyBase64 }] } }, { identity: {} }],
      },
    ],
  });
}

/** Nobody is served anonymously, but for the health endpoints the kubelet probes without a credential. */
export function renderAuthenticationConfiguration(): string {
  return stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "AuthenticationConfiguration",
    anonymous: {
      enabled: true,
      conditions: ["/livez", "/readyz", "/healthz"].map((path) => ({ path })),
    },
  });
}

/** Who changed what, without bodies of Secrets and without the noise of reads, leases and events. */
export function renderAuditPolicy(): string {
  return stringify({
    apiVersion: "audit.k8s.io/v1",
    kind: "Policy",
    omitStages: ["RequestReceived"],
    rules: [
      { level: "None", verbs: ["get", "list", "watch"] },
      { level: "None", resources: [{ group: "coordination.k8s.io", resources: ["leases"] }] },
      { level: "None", resources: [{ group: "", resources: ["events"] }, { group: "events.k8s.io" }] },
      {
        level: "None",
        userGroups: ["system:nodes"],
        resources: [{ group: "", resources: ["nodes/status", "pods/status"] }],
      },
      { level: "Metadata" },
    ],
  });
}

function clusterConfiguration(settings: KubeadmSettings): object {
  const apiServerFile = (file: string) => `${apiServerFolder}/${file}`;
  return {
    ...kubeadm("ClusterConfiguration"),
    clusterName: settings.clusterName,
    kubernetesVersion: settings.kubernetesVersion,
    controlPlaneEndpoint: settings.endpoint,
    imageRepository: settings.imageRepository,
    networking: {
      podSubnet: settings.podCidr,
      serviceSubnet: settings.serviceCidr,
      dnsDomain: "cluster.local",
    },
    dns: { imageRepository: settings.imageRepository, imageTag: settings.corednsTag },
    etcd: {
      local: {
        dataDir: "/var/lib/etcd",
        imageRepository: settings.imageRepository,
        imageTag: settings.etcdTag,
      },
    },
    apiServer: {
      certSANs: settings.certificateNames,
      extraArgs: args({
        "audit-log-maxage": "7",
        "audit-log-maxbackup": "2",
        "audit-log-maxsize": "50",
        "audit-log-path": `${auditLogFolder}/audit.log`,
        "audit-policy-file": apiServerFile("audit-policy.yaml"),
        "authentication-config": apiServerFile("authentication.yaml"),
        "enable-admission-plugins": "NodeRestriction",
        "encryption-provider-config": apiServerFile("encryption.yaml"),
        "kubelet-certificate-authority": "/etc/kubernetes/pki/ca.crt",
        profiling: "false",
      }),
      extraVolumes: [
        {
          name: "apiserver-files",
          hostPath: apiServerFolder,
          mountPath: apiServerFolder,
          readOnly: true,
          pathType: "DirectoryOrCreate",
        },
        {
          name: "audit-log",
          hostPath: auditLogFolder,
          mountPath: auditLogFolder,
          pathType: "DirectoryOrCreate",
        },
      ],
    },
    controllerManager: { extraArgs: args({ profiling: "false", "bind-address": "127.0.0.1" }) },
    scheduler: { extraArgs: args({ profiling: "false", "bind-address": "127.0.0.1" }) },
  };
}

function kubeletConfiguration(): object {
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true } },
    authorization: { mode: "Webhook" },
    readOnlyPort: 0,
    rotateCertificates: true,
    seccompDefault: true,
    failSwapOn: false,
    // Never: images are preloaded, and what is dropped cannot be pulled again.
    imageGCHighThresholdPercent: 100,
    containerLogMaxSize: "10Mi",
    containerLogMaxFiles: 3,
    shutdownGracePeriod: "30s",
    shutdownGracePeriodCriticalPods: "10s",
  };
}

function kubeProxyConfiguration(settings: KubeadmSettings): object {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "iptables",
    clusterCIDR: settings.podCidr,
    // 0 leaves the machine's own limit: a container may not raise it, and a virtual machine's default is enough.
    conntrack: { maxPerCore: 0, min: 0 },
  };
}

function nodeRegistration(node: { name: string; spec: NodeSpec }): object {
  return {
    name: node.name,
    criSocket: "unix:///run/containerd/containerd.sock",
    // Always given: left out, kubeadm taints control planes, and the default cluster runs workloads on node1 too.
    taints: node.spec.taints ?? [],
    imagePullPolicy: "IfNotPresent",
    kubeletExtraArgs: args({ "node-ip": node.spec.address }),
    ignorePreflightErrors: ["SystemVerification", "Swap"],
  };
}

function kubeadm(kind: string): object {
  return { apiVersion: "kubeadm.k8s.io/v1beta4", kind };
}

function args(values: Readonly<Record<string, string>>): object[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

function documents(parts: readonly object[]): string {
  return parts.map((part) => stringify(part)).join("---\n");
}
