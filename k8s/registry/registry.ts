import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { Certificate, type CertificateAuthority } from "../../components/certificates";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import { type Problem, ProblemsError } from "../../components/problems";
import { BYTE_UNIT_NAMES, parseBytes, type Quantity } from "../../components/quantity";
import { Password } from "../../components/random";
import { readSource } from "../../components/sourceFile";
import { canonicalQuantity } from "../platform/canonicalQuantity";
import { secretData, secretEnv } from "../platform/credentials";
import { createTraffic } from "../platform/networkPolicies";
import { checksum, restrictedContainer, restrictedPod, scratchVolume } from "../platform/restricted";
import { passwordLine, type RegistryLogin } from "./registryLogin";

type Container = k8s.types.input.core.v1.Container;

/** Port of the registry: of its Service, its container, and part of every image's name. */
export const REGISTRY_PORT = 5000;
/** Where the registry lives: a service of the whole cluster, as its DNS is. */
export const REGISTRY_NAMESPACE = "kube-system";
/** The registry as image references name it. */
export const REGISTRY_HOST = `registry.${REGISTRY_NAMESPACE}.svc.cluster.local:${REGISTRY_PORT}`;

/** Neither distribution nor nginx needs a certain user. */
const UID = 1000;
const APPLICATION: LabelArgs = { name: "registry", component: "image-registry" };
const STORE = "/var/lib/registry";
const CONFIG_FOLDER = "/etc/registry";
const SECRET_FOLDER = "/run/secrets/registry";
/** Annotation by which the nightly clean-up asks for a collection; scripts/prune_registry.py writes it. */
const COLLECT = "gourmetgram.dev/collect";
const FILES = ["registry.yml", "nginx.conf", "collect-garbage.sh"] as const;

export interface RegistryArgs {
  /** The image `registry`: commands `registry` (distribution 3) and `nginx`. */
  readonly image: pulumi.Input<string>;
  /** Signs the serving certificate; every node trusts it. */
  readonly authority: Pick<CertificateAuthority, "certificatePem" | "privateKeyPem">;
  /** Fixed address of the Service, which nodes dial because they do not ask the cluster's DNS. */
  readonly clusterIp: string;
  /** Size of the volume. */
  readonly storage: Quantity;
  /** @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
}

/**
 * The registry of the environment's own images: distribution with a persistent volume, behind nginx with TLS of the
 * cluster's authority and two logins, `pull` and `push`.
 *
 * Waits for: a node that has the volume. `ready` is done when it answers. Costs: one volume, one pod. While its pod
 * is made anew, some seconds, nobody pulls; images that run already are not concerned.
 * ```ts
 * const registry = new Registry("registry", { image, authority: cluster.authority, clusterIp: "10.96.0.50", storage: "20Gi" });
 * createRegistrySecret("staging-pull", { namespace, login: registry.pull }, {});
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class Registry extends pulumi.ComponentResource {
  /** Host and port, the first part of every image's name. */
  readonly host: string = REGISTRY_HOST;
  /** May read. */
  readonly pull: RegistryLogin;
  /** May read, write and delete. */
  readonly push: RegistryLogin;
  /** Done when the registry answers. */
  readonly ready: pulumi.Resource;
  /** Names of the Deployment and its namespace, for the clean-up. */
  readonly deployment: { readonly namespace: string; readonly name: string };

  constructor(name: string, args: RegistryArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkRegistry(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:Registry", name, {}, opts);
    const child = { parent: this };

    this.pull = createLogin(name, "pull", child);
    this.push = createLogin(name, "push", child);
    const certificate = createCertificate(name, args, child);
    const settings = secretSettings(name, this.pull, this.push, certificate, child);
    const secret = new k8s.core.v1.Secret(
      name,
      { metadata: metadata("registry-server"), type: "Opaque", data: secretData(settings) },
      child,
    );
    const config = new k8s.core.v1.ConfigMap(
      `${name}-config`,
      { metadata: metadata("registry-config"), data: configFiles() },
      child,
    );
    const volume = createVolume(name, args, child);
    createTraffic(
      name,
      {
        namespace: REGISTRY_NAMESPACE,
        objectName: "registry",
        pods: APPLICATION,
        // Open to all: nodes pull from their own addresses, and every request needs a login.
        ingress: [{ ports: [REGISTRY_PORT] }],
        egress: [],
      },
      child,
    );
    const service = createService(name, args.clusterIp, child);
    const server = createServer(
      name,
      args,
      {
        secretName: secret.metadata.name,
        configName: config.metadata.name,
        claimName: volume.metadata.name,
        // nginx and the registry read their files once.
        checksum: checksum({ ...settings, files: JSON.stringify(configFiles()) }),
      },
      // Clients go by the Service: an answer there is what `ready` means.
      { parent: this, dependsOn: [service] },
    );

    this.ready = server;
    this.deployment = { namespace: REGISTRY_NAMESPACE, name: "registry" };
    this.registerOutputs({ host: this.host });
  }
}

/** Everything wrong with the plain arguments. */
export function checkRegistry(args: Pick<RegistryArgs, "clusterIp" | "storage">): readonly Problem[] {
  const problems: Problem[] = [];
  if (!/^(\d{1,3}\.){3}\d{1,3}$/.test(args.clusterIp)) {
    problems.push({
      path: "clusterIp",
      value: args.clusterIp,
      problem: "is not an IPv4 address",
      allowed: "a free address of the cluster's service network",
      next: "write for example 10.96.0.50",
    });
  }
  if (parseBytes(args.storage) === undefined) {
    problems.push({
      path: "storage",
      value: args.storage,
      problem: "is not a size with a unit",
      allowed: `a number and one of ${BYTE_UNIT_NAMES.join(", ")}`,
      next: `write for example "20Gi"`,
    });
  }
  return problems;
}

function metadata(objectName: string) {
  return { name: objectName, namespace: REGISTRY_NAMESPACE, labels: labels(APPLICATION) };
}

function createLogin(
  name: string,
  username: RegistryLogin["username"],
  opts: pulumi.CustomResourceOptions,
): RegistryLogin {
  const password = new Password(`${name}-${username}`, { length: 32 }, opts).result;
  return { host: REGISTRY_HOST, username, password };
}

function createCertificate(
  name: string,
  args: RegistryArgs,
  opts: pulumi.CustomResourceOptions,
): Certificate {
  const service = `registry.${REGISTRY_NAMESPACE}`;
  return new Certificate(
    name,
    {
      caCertificatePem: args.authority.certificatePem,
      caPrivateKeyPem: args.authority.privateKeyPem,
      commonName: "registry",
      dnsNames: [`${service}.svc.cluster.local`, `${service}.svc`, service],
      // Nodes dial the address.
      ipAddresses: [args.clusterIp],
      usages: ["serverAuth"],
    },
    opts,
  );
}

function secretSettings(
  name: string,
  pull: RegistryLogin,
  push: RegistryLogin,
  certificate: Certificate,
  opts: pulumi.CustomResourceOptions,
): Record<string, pulumi.Input<string>> {
  const line = (login: RegistryLogin) =>
    login.password.apply((password) => passwordLine(login.username, password));
  return {
    "tls.crt": certificate.certificatePem,
    "tls.key": certificate.privateKeyPem,
    readers: pulumi.interpolate`${line(pull)}${line(push)}`,
    writers: line(push),
    // Signs the state of uploads; a made-up one would end them with the pod.
    "http-secret": new Password(`${name}-uploads`, { length: 32 }, opts).result,
  };
}

function configFiles(): Record<string, string> {
  return Object.fromEntries(FILES.map((file) => [file, readSource(`k8s/registry/scripts/${file}`)]));
}

function createVolume(
  name: string,
  args: RegistryArgs,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.PersistentVolumeClaim {
  return new k8s.core.v1.PersistentVolumeClaim(
    name,
    {
      metadata: {
        ...metadata("registry"),
        // It is bound when the pod is there, and the pod waits for it to be made.
        annotations: { "pulumi.com/skipAwait": "true" },
      },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: args.storageClassName,
        resources: { requests: { storage: canonicalQuantity(args.storage) } },
      },
    },
    opts,
  );
}

function createService(
  name: string,
  clusterIp: string,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  return new k8s.core.v1.Service(
    name,
    {
      metadata: {
        ...metadata("registry"),
        // Its pod comes later and depends on it: there is nothing to wait for yet.
        annotations: { "pulumi.com/skipAwait": "true" },
      },
      spec: {
        clusterIP: clusterIp,
        selector: selectorLabels(APPLICATION),
        ports: [{ name: "https", port: REGISTRY_PORT, targetPort: "https" }],
      },
    },
    opts,
  );
}

function createServer(
  name: string,
  args: RegistryArgs,
  of: {
    secretName: pulumi.Input<string>;
    configName: pulumi.Input<string>;
    claimName: pulumi.Input<string>;
    checksum: Record<string, pulumi.Input<string>>;
  },
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  return new k8s.apps.v1.Deployment(
    name,
    {
      metadata: metadata("registry"),
      spec: {
        replicas: 1,
        revisionHistoryLimit: 1,
        // One writer: the old pod goes first.
        strategy: { type: "Recreate" },
        selector: { matchLabels: selectorLabels(APPLICATION) },
        template: {
          metadata: { labels: labels(APPLICATION), annotations: of.checksum },
          spec: {
            ...restrictedPod(UID),
            // Without it no pod of the environment's own images starts on a new node.
            priorityClassName: "system-cluster-critical",
            terminationGracePeriodSeconds: 30,
            initContainers: [collectContainer(args)],
            containers: [registryContainer(args, of.secretName), tlsContainer(args)],
            volumes: [
              { name: "data", persistentVolumeClaim: { claimName: of.claimName } },
              { name: "config", configMap: { name: of.configName } },
              {
                name: "server",
                secret: {
                  secretName: of.secretName,
                  items: ["tls.crt", "tls.key", "readers", "writers"].map((key) => ({ key, path: key })),
                },
              },
              scratchVolume("tmp", "256Mi"),
            ],
          },
        },
      },
    },
    { ...opts, customTimeouts: { create: "10m", update: "10m", delete: "5m" } },
  );
}

const dataMounts = [
  { name: "data", mountPath: STORE },
  { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
  { name: "tmp", mountPath: "/tmp" },
];

function collectContainer(args: RegistryArgs): Container {
  return {
    name: "collect-garbage",
    image: args.image,
    imagePullPolicy: "IfNotPresent",
    command: ["/bin/sh", `${CONFIG_FOLDER}/collect-garbage.sh`],
    env: [
      {
        name: "REQUEST",
        valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: `metadata.annotations['${COLLECT}']` } },
      },
      { name: "CONFIG", value: `${CONFIG_FOLDER}/registry.yml` },
      { name: "STORE", value: STORE },
    ],
    securityContext: restrictedContainer,
    resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { cpu: "1", memory: "512Mi" } },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: dataMounts,
  };
}

function registryContainer(args: RegistryArgs, secretName: pulumi.Input<string>): Container {
  return {
    name: "registry",
    image: args.image,
    imagePullPolicy: "IfNotPresent",
    command: ["registry", "serve", `${CONFIG_FOLDER}/registry.yml`],
    env: [
      secretEnv("REGISTRY_HTTP_SECRET", secretName, "http-secret"),
      { name: "OTEL_TRACES_EXPORTER", value: "none" },
    ],
    securityContext: restrictedContainer,
    resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { cpu: "1", memory: "512Mi" } },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: dataMounts,
  };
}

function tlsContainer(args: RegistryArgs): Container {
  // Through nginx to the registry and back.
  const health = { httpGet: { path: "/healthz", port: "https", scheme: "HTTPS" } };
  return {
    name: "tls",
    image: args.image,
    imagePullPolicy: "IfNotPresent",
    command: ["nginx", "-c", `${CONFIG_FOLDER}/nginx.conf`, "-e", "/dev/stderr", "-g", "daemon off;"],
    ports: [{ name: "https", containerPort: REGISTRY_PORT }],
    securityContext: restrictedContainer,
    resources: { requests: { cpu: "50m", memory: "32Mi" }, limits: { cpu: "1", memory: "128Mi" } },
    startupProbe: { ...health, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 60 },
    readinessProbe: { ...health, periodSeconds: 5, timeoutSeconds: 5 },
    livenessProbe: { ...health, periodSeconds: 20, timeoutSeconds: 10, failureThreshold: 3 },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
      { name: "server", mountPath: SECRET_FOLDER, readOnly: true },
      { name: "tmp", mountPath: "/tmp" },
    ],
  };
}
