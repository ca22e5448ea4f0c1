import type * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";

/** How to open an SSH session to one machine. Host keys are always known in advance and always checked. */
export interface SshAccess {
  /** Address the SSH client dials: an IP address or a DNS name. */
  readonly host: pulumi.Input<string>;
  /** TCP port of the SSH server. @default 22 */
  readonly port?: pulumi.Input<number>;
  /** Login with password-less sudo, or root. */
  readonly user: pulumi.Input<string>;
  /** Client private key, OpenSSH format. A secret. */
  readonly privateKey: pulumi.Input<string>;
  /** Server public key in authorized_keys format, for example `ssh-ed25519 AAAA...`. */
  readonly hostKey: pulumi.Input<string>;
  /** Jump host through which `host` is reached. @default none: dialled directly */
  readonly proxy?: SshAccess;
}

/** What a node does in the cluster; the terms are kubeadm's. */
export type NodeRole = "controlPlane" | "worker";

/** A Kubernetes taint as in `node.spec.taints`. */
export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: "NoSchedule" | "PreferNoSchedule" | "NoExecute";
}

/** Plain settings of one node; the key of the surrounding record is its name. */
export interface NodeSpec {
  readonly role: NodeRole;
  /** Private address inside the environment's network, for example `10.87.0.11`. */
  readonly address: string;
  /** Labels put on the Kubernetes node. @default none */
  readonly labels?: Readonly<Record<string, string>>;
  /** Taints put on the Kubernetes node. @default none */
  readonly taints?: readonly Taint[];
}

/**
 * A machine that is up and answers SSH: what every `infra/*` provider hands to `k8s/cluster`.
 * Properties of its image (shared disk, where the bundle is mounted) are told by the machine itself, in
 * `/etc/gourmetgram/machine.env`, and read there by the node script.
 */
export interface Machine {
  readonly name: string;
  readonly spec: NodeSpec;
  readonly ssh: SshAccess;
  /** Where clients outside the machines' own network reach it; for the first control plane. @default `spec.address` */
  readonly publicAddress?: pulumi.Input<string>;
  /** Changes when, and only when, the machine is made anew; used as a replacement trigger. */
  readonly instanceId: pulumi.Output<string>;
  /** The resource whose deletion ends the machine: the `deletedWith` of all that lives on it. */
  readonly resource: pulumi.Resource;
}

/** What every kind of `infra/` makes. */
export interface MachineSet {
  /** By node name. */
  readonly machines: Readonly<Record<string, Machine>>;
  /** Key that logs in to every machine, OpenSSH format. A secret. */
  readonly privateKey: pulumi.Output<string>;
  /** OpenSSH client configuration, one `Host` per machine; see `renderSshConfig`. */
  readonly sshConfig: pulumi.Output<string>;
}

/** A usable cluster: nothing in here is released before every node is Ready. */
export interface ClusterAccess {
  /** Admin kubeconfig, YAML. A secret. */
  readonly kubeconfig: pulumi.Output<string>;
  /** Explicit Kubernetes provider for this cluster. */
  readonly provider: k8s.Provider;
  /** CA certificate of the cluster, PEM. */
  readonly caCertificate: pulumi.Output<string>;
}

/** A service somebody can connect to. */
export interface ServiceEndpoint {
  /** DNS name inside the cluster, or the external host. */
  readonly host: pulumi.Output<string>;
  readonly port: pulumi.Output<number>;
  /** Complete URL with scheme and port, no credentials. */
  readonly url: pulumi.Output<string>;
}

/** Points at a Kubernetes Secret that holds a user name and a password. */
export interface CredentialsRef {
  readonly secretName: pulumi.Output<string>;
  readonly usernameKey: string;
  readonly passwordKey: string;
}
