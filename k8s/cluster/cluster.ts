import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CertificateAuthority } from "../../components/certificates";
import type { ClusterAccess, Machine } from "../../components/contracts";
import { BUNDLE_PORT } from "../../components/homeNode";
import { formatProblems, type Problem } from "../../components/problems";
import { RemoteStep, type StepFile } from "../../components/remoteStep";
import { STORAGE_LABEL, storageNodes } from "../../components/storageNodes";
import { type AddonImages, Addons, storageClassName } from "./addons";
import { BundleCopy } from "./bundleCopy";
import { FlannelNetwork } from "./flannel";
import { HomeSnapshot } from "./homeSnapshot";
import {
  discoveryKubeconfigPath,
  type KubeadmSettings,
  renderAuditPolicy,
  renderAuthenticationConfiguration,
  renderEncryptionConfiguration,
  renderInit,
  renderJoin,
  renderKubeconfig,
} from "./kubeadmConfig";
import { ClusterPki } from "./pki";

/** Folder on a node where the graph puts what the node script takes up. */
const given = "/etc/gourmetgram/cluster";

/** Port of the Kubernetes API on control planes. */
const API_PORT = 6443;

export interface ClusterImages extends AddonImages {
  readonly flannel: string;
  readonly pause: string;
}

export interface ClusterArgs {
  /** Name of the cluster in kubeconfigs and certificates, the environment's name. */
  readonly clusterName: string;
  /** The machines, keyed by node name. Shape: plain. One or three have the role `controlPlane`. */
  readonly machines: Readonly<Record<string, Machine>>;
  /** With the leading v, for example `v1.34.2`. */
  readonly kubernetesVersion: string;
  /** @example "10.244.0.0/16" */
  readonly podCidr: string;
  /** @example "10.96.0.0/16" */
  readonly serviceCidr: string;
  /** Repository of the images kubeadm names itself. */
  readonly imageRepository: string;
  readonly etcdTag: string;
  readonly corednsTag: string;
  readonly images: ClusterImages;
  /** Folder with the upstream manifests `local-path.yaml` and `metrics-server.yaml`. */
  readonly manifestsFolder: string;
  /** Names the bundle's version; machines that have bundles take theirs by it. */
  readonly bundleKey: string;
  /** SHA-256 of the bundle's own list of checksums, hexadecimal. @default not checked */
  readonly bundleChecksum?: string;
  /**
   * How machines that have no bundle get one: from a web server, or by a copy over SSH to the first control plane, which then serves
   * it to the others. @default none: all machines have it
   */
  readonly bundle?: { readonly url: string } | { readonly folder: string };
  /** A registry inside the cluster that every node pulls from and trusts by the cluster's authority. @default none */
  readonly registry?: {
    /** Host and port as image references name it. */
    readonly host: string;
    /** Address nodes dial, because they do not ask the cluster's DNS: the fixed one of its Service. */
    readonly clusterIp: string;
  };
  /** Longest wait for one node to become Ready, seconds. @default 600 */
  readonly nodeTimeoutSeconds?: number;
}

/**
 * Kubernetes on machines that answer SSH: kubeadm and containerd, one script per node and all nodes at the same time,
 * then network, DNS, storage class and metrics.
 *
 * Waits for: the machines. Nothing that comes out of it is released before every node is Ready.
 * Costs: about 1 GiB of memory on a control plane, 0.3 GiB on a worker.
 * ```ts
 * const cluster = new Cluster("cluster", { clusterName: "local", machines, ...pins });
 * new k8s.core.v1.Namespace("demo", {}, { provider: cluster.access.provider, dependsOn: cluster });
 * ```
 */
export class Cluster extends pulumi.ComponentResource {
  readonly access: ClusterAccess;
  /** The cluster's authority, for serving certificates of services that nodes and pods trust. Its key is a secret. */
  readonly authority: Pick<CertificateAuthority, "certificatePem" | "privateKeyPem">;
  /** Name of the default storage class. */
  readonly storageClassName = storageClassName;
  /** The machine of the first control plane: everything in the cluster ends with it. */
  readonly home: Machine;

  constructor(name: string, args: ClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:Cluster", name, {}, opts);
    const problems = checkCluster(args);
    if (problems.length > 0)
      throw new pulumi.RunError(formatProblems(`the arguments of cluster ${name}`, problems));

    const machines = Object.values(args.machines).sort((a, b) => (a.name < b.name ? -1 : 1));
    const controlPlanes = machines.filter((machine) => machine.spec.role === "controlPlane");
    const home = controlPlanes[0] as Machine;
    const settings = kubeadmSettings(args, home, controlPlanes);
    const parent = { parent: this };

    const pki = new ClusterPki(`${name}-pki`, { clusterName: args.clusterName }, parent);
    const nodeSteps = this.createNodeSteps(name, args, {
      settings,
      machines,
      controlPlanes,
      home,
      pki,
      bundle: this.createBundleSource(name, args, home),
      snapshot: new HomeSnapshot(
        `${name}-home-snapshot`,
        { machine: home, clusterId: pki.ca.publicKeyHash },
        // Only a replacement takes it; with the whole environment its data is meant to go.
        { parent: this, deletedWith: home.resource },
      ),
    });
    const homeStep = nodeSteps[home.name] as RemoteStep;

    const kubeconfig = pulumi.secret(
      pulumi
        .all([
          pki.ca.certificatePem,
          pki.admin.certificatePem,
          pki.admin.privateKeyPem,
          home.publicAddress ?? home.spec.address,
        ])
        .apply(([caCertificatePem, clientCertificatePem, clientKeyPem, address]) =>
          renderKubeconfig({
            endpoint: `${address}:${API_PORT}`,
            clusterName: args.clusterName,
            caCertificatePem,
            user: { clientCertificatePem, clientKeyPem },
          }),
        ),
    );
    // Everything inside the cluster ends with its home machine, so a destroy needs no word with the API server.
    const inside = { parent: this, deletedWith: home.resource };
    const provider = new k8s.Provider(
      `${name}-provider`,
      {
        kubeconfig,
        // The same cluster while its authority is the same: a new machine or address never replaces what is in it.
        clusterIdentifier: pki.ca.publicKeyHash,
        upsertExistingObjects: true,
        // A changed Secret or script is an update; as a replacement it would delete and re-create what mounts it.
        enableConfigMapMutable: true,
        enableSecretMutable: true,
        deleteUnreachable: true,
      },
      // The network must not wait for the nodes, which are not Ready without it: the API server is enough.
      { ...parent, dependsOn: [homeStep.command] },
    );

    const network = new FlannelNetwork(
      `${name}-network`,
      { podCidr: args.podCidr, apiEndpoint: settings.endpoint, image: args.images.flannel },
      { ...inside, provider },
    );
    const memberships = this.createMemberships(name, args, { machines, controlPlanes, home, homeStep, pki });
    const ready = [
      ...memberships.map((step) => step.command),
      ...Object.values(nodeSteps).map((step) => step.command),
    ];
    const addons = new Addons(
      `${name}-addons`,
      { images: args.images, manifestsFolder: args.manifestsFolder, storageLabel: STORAGE_LABEL },
      { ...inside, provider, dependsOn: [...ready, network] },
    );

    this.home = home;
    this.authority = pki.ca;
    this.access = {
      // Released when the last node is Ready and the addons answer: usable, not merely written.
      kubeconfig: pulumi.secret(
        pulumi
          .all([kubeconfig, addons.ready, pulumi.all(memberships.map((step) => step.result))])
          .apply(([text]) => text),
      ),
      provider,
      caCertificate: pki.ca.certificatePem,
    };
    this.registerOutputs({ kubeconfig: this.access.kubeconfig });
  }

  /** One script per node. Workers wait for nobody; control planes come one after another, for etcd's sake. */
  private createNodeSteps(
    name: string,
    args: ClusterArgs,
    parts: {
      settings: ClusterSettings;
      machines: readonly Machine[];
      controlPlanes: readonly Machine[];
      home: Machine;
      pki: ClusterPki;
      bundle: BundleSource;
      snapshot: HomeSnapshot;
    },
  ): Record<string, RemoteStep> {
    const steps: Record<string, RemoteStep> = {};
    const ordered = [
      ...parts.controlPlanes,
      ...parts.machines.filter((machine) => machine.spec.role === "worker"),
    ];
    for (const machine of ordered) {
      const before = parts.controlPlanes[parts.controlPlanes.indexOf(machine) - 1];
      const isHome = machine === parts.home;
      const stepName = `${name}-${machine.name}`;
      const kubelet = parts.pki.sign(
        `${stepName}-kubelet`,
        {
          commonName: `system:node:${machine.name}`,
          organizations: ["system:nodes"],
          dnsNames: [machine.name],
          ipAddresses: [machine.spec.address],
          usages: ["serverAuth"],
        },
        { parent: this },
      );
      steps[machine.name] = new RemoteStep(
        stepName,
        {
          ssh: machine.ssh,
          step: "node",
          script: "k8s/cluster/scripts/node.sh",
          environment: {
            NODE: machine.name,
            ROLE: isHome ? "init" : machine.spec.role,
            ENDPOINT: parts.settings.endpoint,
            VERSION: args.kubernetesVersion,
            PAUSE_IMAGE: args.images.pause,
            DNS_IMAGE: `${args.imageRepository}/coredns:${args.corednsTag}`,
            BUNDLE: args.bundleKey,
            BUNDLE_CHECKSUM: args.bundleChecksum ?? "",
            BUNDLE_URL: parts.bundle.url,
            REGISTRY: args.registry?.host ?? "",
            REGISTRY_IP: args.registry?.clusterIp ?? "",
          },
          files: nodeFiles({ machine, isHome, settings: parts.settings, pki: parts.pki, kubelet }),
          triggers: [machine.instanceId],
        },
        {
          parent: this,
          dependsOn: [
            ...(before ? [(steps[before.name] as RemoteStep).command] : []),
            ...(isHome ? [parts.snapshot, ...parts.bundle.copied] : parts.bundle.served),
          ],
        },
      );
    }
    return steps;
  }

  /** From where nodes take the bundle; a copy of it goes over the wire to the first control plane once, and from there to the others. */
  private createBundleSource(name: string, args: ClusterArgs, home: Machine): BundleSource {
    if (args.bundle === undefined) return { url: "", copied: [], served: [] };
    if ("url" in args.bundle) return { url: args.bundle.url, copied: [], served: [] };
    const inside = { parent: this, deletedWith: home.resource };
    const copy = new BundleCopy(
      `${name}-bundle`,
      { machine: home, folder: args.bundle.folder, key: args.bundleKey },
      inside,
    );
    const server = new RemoteStep(
      `${name}-bundle-server`,
      {
        ssh: home.ssh,
        step: "bundle-server",
        script: "k8s/cluster/scripts/bundle-server.sh",
        environment: { ADDRESS: home.spec.address, PORT: String(BUNDLE_PORT), FOLDER: copy.path },
        triggers: [home.instanceId],
      },
      { ...inside, dependsOn: [copy] },
    );
    return {
      url: `http://${home.spec.address}:${BUNDLE_PORT}/${args.bundleKey}`,
      copied: [copy],
      served: [server.command],
    };
  }

  /** Workers come and go independently; control planes leave one at a time, as they came, for etcd's majority. */
  private createMemberships(
    name: string,
    args: ClusterArgs,
    parts: {
      machines: readonly Machine[];
      controlPlanes: readonly Machine[];
      home: Machine;
      homeStep: RemoteStep;
      pki: ClusterPki;
    },
  ): readonly RemoteStep[] {
    const memberships: Record<string, RemoteStep> = {};
    const ordered = [
      ...parts.controlPlanes,
      ...parts.machines.filter((machine) => machine.spec.role === "worker"),
    ];
    for (const machine of ordered) {
      const before = parts.controlPlanes[parts.controlPlanes.indexOf(machine) - 1];
      memberships[machine.name] = this.createMembership(name, args, {
        ...parts,
        machine,
        after: before ? [(memberships[before.name] as RemoteStep).command] : [],
      });
    }
    return Object.values(memberships);
  }

  /** Admission and readiness of one node, seen from the first control plane; its deletion drains the node. */
  private createMembership(
    name: string,
    args: ClusterArgs,
    parts: {
      machine: Machine;
      home: Machine;
      homeStep: RemoteStep;
      pki: ClusterPki;
      after: readonly pulumi.Resource[];
    },
  ): RemoteStep {
    const { machine, home } = parts;
    const seconds = args.nodeTimeoutSeconds ?? 600;
    return new RemoteStep(
      `${name}-${machine.name}-membership`,
      {
        ssh: home.ssh,
        step: `membership-${machine.name}`,
        script: "k8s/cluster/scripts/membership.sh",
        environment: {
          NODE: machine.name,
          ADDRESS: machine.spec.address,
          ROLE: machine.spec.role,
          LABELS: Object.entries(nodeLabels(args.machines, machine))
            .map(([key, value]) => `${key}=${value}`)
            .join(","),
          TAINTS: (machine.spec.taints ?? [])
            .map((taint) => `${taint.key}=${taint.value ?? ""}:${taint.effect}`)
            .join(","),
          NODE_TIMEOUT: String(seconds),
          // A new home admits the node again; that is no reason to drain it, as a replacement of this step would.
          ...(machine === home ? {} : { HOME_INSTANCE: home.instanceId }),
        },
        files: { [`${given}/token-${machine.name}`]: { content: parts.pki.bootstrapToken } },
        rerun: "always",
        // The home node leaves only with its machine, and there is nobody left then who could drain it.
        runOnDelete: machine !== home,
        triggers: [machine.instanceId],
        timeout: `${seconds + 120}s`,
      },
      {
        parent: this,
        // Deleting the whole environment needs no drain; deleting one node does, before its machine goes.
        deletedWith: home.resource,
        // Not on the node's own step: both run at the same time, and the token is made where the API server is.
        dependsOn: [machine.resource, parts.homeStep.command, ...parts.after],
      },
    );
  }
}

/** Where nodes take the bundle from, and what has to be there before they can. */
interface BundleSource {
  /** Empty when every machine has it. */
  readonly url: string;
  /** For the first control plane. */
  readonly copied: readonly pulumi.Resource[];
  /** For all others. */
  readonly served: readonly pulumi.Resource[];
}

/** All that is wrong with the arguments, at once. */
export function checkCluster(args: ClusterArgs): Problem[] {
  const controlPlanes = Object.values(args.machines).filter(
    (machine) => machine.spec.role === "controlPlane",
  );
  if (controlPlanes.length === 1 || controlPlanes.length === 3) return [];
  return [
    {
      path: "machines",
      value: `${controlPlanes.length} with the role controlPlane`,
      problem: "a cluster has 1 or 3 control planes, so that etcd keeps a majority",
      next: "set the role of one or of three nodes to controlPlane",
    },
  ];
}

/** The labels of a node: the spec's, and the storage label where nobody was given it. */
export function nodeLabels(
  machines: Readonly<Record<string, Machine>>,
  machine: Machine,
): Readonly<Record<string, string>> {
  const specs = Object.fromEntries(Object.values(machines).map(({ name, spec }) => [name, spec]));
  return {
    ...machine.spec.labels,
    ...(storageNodes(specs).includes(machine.name) ? { [STORAGE_LABEL]: "true" } : {}),
  };
}

/** kubeadm's settings while an address in the API server's certificate may still have to be given out. */
type ClusterSettings = Omit<KubeadmSettings, "certificateNames"> & {
  readonly certificateNames: pulumi.Output<string[]>;
};

function kubeadmSettings(
  args: ClusterArgs,
  home: Machine,
  controlPlanes: readonly Machine[],
): ClusterSettings {
  return {
    kubernetesVersion: args.kubernetesVersion,
    clusterName: args.clusterName,
    podCidr: args.podCidr,
    serviceCidr: args.serviceCidr,
    endpoint: `${home.spec.address}:${API_PORT}`,
    certificateNames: pulumi.all([
      ...controlPlanes.flatMap((machine) => [machine.spec.address, machine.name]),
      ...(home.publicAddress === undefined ? [] : [home.publicAddress]),
    ]),
    imageRepository: args.imageRepository,
    etcdTag: args.etcdTag,
    corednsTag: args.corednsTag,
  };
}

/** What the graph gives a node: kubeadm's configuration, and of the keys only what its role needs. */
function nodeFiles(parts: {
  machine: Machine;
  isHome: boolean;
  settings: ClusterSettings;
  pki: ClusterPki;
  kubelet: { certificatePem: pulumi.Input<string>; privateKeyPem: pulumi.Input<string> };
}): Record<string, StepFile> {
  const { machine, isHome, settings, pki } = parts;
  const files: Record<string, StepFile> = {
    [`${given}/ca.crt`]: { content: pki.ca.certificatePem, mode: "0644" },
    [`${given}/kubelet/kubelet.crt`]: { content: parts.kubelet.certificatePem, mode: "0644" },
    [`${given}/kubelet/kubelet.key`]: { content: parts.kubelet.privateKeyPem },
    [`${given}/kubeadm.yaml`]: {
      content: isHome
        ? pulumi
            .all([pki.bootstrapToken, settings.certificateNames])
            .apply(([token, certificateNames]) =>
              renderInit({ ...settings, certificateNames }, machine, token),
            )
        : renderJoin(machine),
    },
  };
  if (!isHome) {
    files[`${given}/${discoveryKubeconfigPath.split("/").pop()}`] = {
      content: pulumi.all([pki.ca.certificatePem, pki.bootstrapToken]).apply(([caCertificatePem, token]) =>
        renderKubeconfig({
          endpoint: settings.endpoint,
          clusterName: settings.clusterName,
          caCertificatePem,
          user: { token },
        }),
      ),
    };
  }
  if (machine.spec.role === "controlPlane") {
    Object.assign(files, {
      [`${given}/pki/ca.crt`]: { content: pki.ca.certificatePem, mode: "0644" },
      [`${given}/pki/ca.key`]: { content: pki.ca.privateKeyPem },
      [`${given}/pki/front-proxy-ca.crt`]: { content: pki.frontProxyCa.certificatePem, mode: "0644" },
      [`${given}/pki/front-proxy-ca.key`]: { content: pki.frontProxyCa.privateKeyPem },
      [`${given}/pki/etcd/ca.crt`]: { content: pki.etcdCa.certificatePem, mode: "0644" },
      [`${given}/pki/etcd/ca.key`]: { content: pki.etcdCa.privateKeyPem },
      [`${given}/pki/sa.key`]: { content: pki.serviceAccountKey.privateKeyPem },
      [`${given}/pki/sa.pub`]: { content: pki.serviceAccountKey.publicKeyPem, mode: "0644" },
      [`${given}/apiserver/encryption.yaml`]: {
        content: pki.encryptionKey.apply(renderEncryptionConfiguration),
      },
      [`${given}/apiserver/authentication.yaml`]: { content: renderAuthenticationConfiguration() },
      [`${given}/apiserver/audit-policy.yaml`]: { content: renderAuditPolicy() },
    });
  }
  return files;
}
