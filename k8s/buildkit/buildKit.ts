import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { Certificate, CertificateAuthority } from "../../components/certificates";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import { type Problem, ProblemsError } from "../../components/problems";
import { BYTE_UNIT_NAMES, parseBytes, type Quantity } from "../../components/quantity";
import { readSource } from "../../components/sourceFile";
import { canonicalQuantity } from "../platform/canonicalQuantity";
import { secretData } from "../platform/credentials";
import { checksum, scratchVolume } from "../platform/restricted";
import { renderBuildKitConfig } from "./buildKitConfig";

type PodSpec = k8s.types.input.core.v1.PodSpec;

/** How builds run; see `BuildKitArgs.mode`. */
export type BuildMode = "rootless" | "root";

/** Port of BuildKit's API, mutual TLS. */
export const BUILDKIT_PORT = 1234;
export const BUILD_NAMESPACE = "gourmetgram-build";
/** What `buildctl --addr` takes, from anywhere in the cluster. */
export const BUILDKIT_ADDRESS = `tcp://buildkitd.${BUILD_NAMESPACE}.svc.cluster.local:${BUILDKIT_PORT}`;

const APPLICATION: LabelArgs = { name: "buildkitd", component: "image-builder" };
/** User `user` of the image, with a range of ids of its own in /etc/subuid. */
const UID = 1000;
const CONFIG_FOLDER = "/etc/buildkit";
const TLS_FOLDER = "/run/secrets/buildkit";
const RUN_FOLDER = `/run/user/${UID}`;
/** Local socket, for the probes. */
const SOCKET = `${RUN_FOLDER}/buildkitd.sock`;
/** Ten years; what it signed is renewed before. */
const AUTHORITY_DAYS = 3650;

/**
 * Rights of the container by mode.
 *
 * `rootless`: the two that newuidmap and newgidmap carry as file capabilities, to map the ids of the user namespace. Everything
 * else the daemon does as root of that namespace, with no right on the node.
 *
 * `root`: what a container of containerd has by default, plus mounting. Not privileged: no devices, the pod's own cgroups.
 */
const CAPABILITIES: Readonly<Record<BuildMode, readonly string[]>> = {
  rootless: ["SETUID", "SETGID"],
  root: [
    "SYS_ADMIN",
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
  ],
};

export interface BuildKitArgs {
  /** The image `buildkit`: buildkitd, buildctl, rootlesskit, runc, newuidmap and newgidmap with file capabilities, user 1000. */
  readonly image: pulumi.Input<string>;
  /** Registry of the builds, host and port. */
  readonly registryHost: string;
  /** CA certificate of the cluster, PEM, which signed the registry's certificate. */
  readonly caCertificatePem: pulumi.Input<string>;
  /**
   * `rootless`: an ordinary user in a user namespace. `root`: root of the pod with the capability SYS_ADMIN, for kernels that
   * refuse user namespaces inside pods. @default "rootless"
   */
  readonly mode?: BuildMode;
  /** Size of the layer cache, which lives as long as the pod; the registry keeps what must live longer. @default "10Gi" */
  readonly cache?: Quantity;
  /** Most memory of daemon and builds together. @default "2Gi" */
  readonly memory?: Quantity;
  /** Steps that run at the same time, over all builds. @default 2 */
  readonly parallelism?: number;
  /** Namespaces whose pods may connect. @default ["argo"] */
  readonly clientNamespaces?: readonly string[];
}

/**
 * Builds container images inside the cluster without a Docker socket: BuildKit's daemon behind mutual TLS, so that the pods
 * that ask for builds need no rights at all.
 *
 * Its namespace is an exception from the Pod Security level `restricted`: building runs programs as many users, which needs a
 * user namespace (`allowPrivilegeEscalation` for newuidmap, and the system calls mount and unshare that the default seccomp
 * profile refuses). README.md of this folder says what was tried and why nothing tighter works.
 *
 * Waits for: nothing but its cluster. `ready` is done when it answers. Costs: one pod; no volume.
 * ```ts
 * const buildKit = new BuildKit("buildkit", { image, registryHost: registry.host, caCertificatePem });
 * new BuildKitClient("build-client", { namespace: "argo", authority: buildKit.authority });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class BuildKit extends pulumi.ComponentResource {
  /** For `buildctl --addr`. */
  readonly address: string = BUILDKIT_ADDRESS;
  /** Signs the daemon's and its clients' certificates, and nothing else. */
  readonly authority: CertificateAuthority;
  readonly namespace: pulumi.Output<string>;
  /** Done when the daemon answers. */
  readonly ready: pulumi.Resource;

  constructor(name: string, args: BuildKitArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkBuildKit(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:BuildKit", name, {}, opts);
    const child = { parent: this };
    const resolved = {
      ...args,
      mode: args.mode ?? "rootless",
      cache: args.cache ?? "10Gi",
      memory: args.memory ?? "2Gi",
      parallelism: args.parallelism ?? 2,
      clientNamespaces: args.clientNamespaces ?? ["argo"],
    } as const;

    const namespace = createNamespace(name, child);
    this.namespace = namespace.metadata.name;
    this.authority = new CertificateAuthority(
      `${name}-ca`,
      { commonName: "gourmetgram buildkit", validityDays: AUTHORITY_DAYS },
      child,
    );
    const certificate = createServerCertificate(name, this.authority, child);
    const files = {
      "buildkitd.toml": renderBuildKitConfig({
        registryHost: resolved.registryHost,
        registryCaFile: `${CONFIG_FOLDER}/registry-ca.crt`,
        cache: resolved.cache,
        parallelism: resolved.parallelism,
      }),
      "buildkitd.sh": readSource("k8s/buildkit/scripts/buildkitd.sh"),
      "registry-ca.crt": args.caCertificatePem,
    };
    const keys = {
      "ca.pem": this.authority.certificatePem,
      "cert.pem": certificate.certificatePem,
      "key.pem": certificate.privateKeyPem,
    };
    const config = new k8s.core.v1.ConfigMap(
      name,
      { metadata: metadata(this.namespace, "buildkitd"), data: files },
      child,
    );
    const secret = new k8s.core.v1.Secret(
      name,
      { metadata: metadata(this.namespace, "buildkitd"), type: "Opaque", data: secretData(keys) },
      child,
    );
    createPolicy(name, this.namespace, resolved.clientNamespaces, child);
    const service = createService(name, this.namespace, child);
    this.ready = createDaemon(
      name,
      this.namespace,
      podSpec({ ...resolved, configName: config.metadata.name, secretName: secret.metadata.name }),
      // The daemon reads its files once.
      checksum({ ...files, ...keys }),
      { parent: this, dependsOn: [service] },
    );
    this.registerOutputs({ address: this.address });
  }
}

/** Everything wrong with the plain arguments. */
export function checkBuildKit(
  args: Pick<BuildKitArgs, "cache" | "memory" | "parallelism" | "mode">,
): readonly Problem[] {
  const problems: Problem[] = [];
  for (const field of ["cache", "memory"] as const) {
    const value = args[field];
    if (value !== undefined && parseBytes(value) === undefined) {
      problems.push({
        path: field,
        value,
        problem: "is not a size with a unit",
        allowed: `a number and one of ${BYTE_UNIT_NAMES.join(", ")}`,
        next: `write for example "2Gi"`,
      });
    }
  }
  if (args.parallelism !== undefined && (!Number.isInteger(args.parallelism) || args.parallelism < 1)) {
    problems.push({
      path: "parallelism",
      value: args.parallelism,
      problem: "is not a number of steps",
      allowed: "1 or more",
      next: "use the number of cores of the node",
    });
  }
  if (args.mode !== undefined && !(args.mode in CAPABILITIES)) {
    problems.push({
      path: "mode",
      value: args.mode,
      problem: "is not a mode of the image builder",
      allowed: Object.keys(CAPABILITIES).join(", "),
      next: "use rootless, and root only where the kernel refuses user namespaces inside pods",
    });
  }
  return problems;
}

function metadata(namespace: pulumi.Input<string>, objectName: string) {
  return { name: objectName, namespace, labels: labels(APPLICATION) };
}

function createNamespace(name: string, opts: pulumi.CustomResourceOptions): k8s.core.v1.Namespace {
  return new k8s.core.v1.Namespace(
    name,
    {
      metadata: {
        name: BUILD_NAMESPACE,
        labels: {
          ...labels(APPLICATION),
          // The exception, see the class; `baseline` forbids seccomp's Unconfined.
          "pod-security.kubernetes.io/enforce": "privileged",
          "pod-security.kubernetes.io/audit": "restricted",
        },
      },
    },
    opts,
  );
}

function createServerCertificate(
  name: string,
  authority: CertificateAuthority,
  opts: pulumi.CustomResourceOptions,
): Certificate {
  const service = `buildkitd.${BUILD_NAMESPACE}`;
  return new Certificate(
    name,
    {
      caCertificatePem: authority.certificatePem,
      caPrivateKeyPem: authority.privateKeyPem,
      commonName: "buildkitd",
      dnsNames: [`${service}.svc.cluster.local`, `${service}.svc`, service],
      usages: ["serverAuth"],
    },
    opts,
  );
}

function createPolicy(
  name: string,
  namespace: pulumi.Input<string>,
  clients: readonly string[],
  opts: pulumi.CustomResourceOptions,
): void {
  new k8s.networking.v1.NetworkPolicy(
    name,
    {
      metadata: metadata(namespace, "buildkitd"),
      spec: {
        podSelector: {},
        // What a build may fetch is not known here, so only who may ask is restricted.
        policyTypes: ["Ingress"],
        ingress: [
          {
            from: clients.map((client) => ({
              namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": client } },
            })),
            ports: [{ protocol: "TCP", port: BUILDKIT_PORT }],
          },
        ],
      },
    },
    opts,
  );
}

function createService(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): k8s.core.v1.Service {
  return new k8s.core.v1.Service(
    name,
    {
      metadata: {
        ...metadata(namespace, "buildkitd"),
        // Its pod comes later and depends on it: there is nothing to wait for yet.
        annotations: { "pulumi.com/skipAwait": "true" },
      },
      spec: {
        selector: selectorLabels(APPLICATION),
        ports: [{ name: "grpc", port: BUILDKIT_PORT, targetPort: "grpc" }],
      },
    },
    opts,
  );
}

function createDaemon(
  name: string,
  namespace: pulumi.Input<string>,
  spec: PodSpec,
  annotations: Record<string, pulumi.Input<string>>,
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.Deployment {
  return new k8s.apps.v1.Deployment(
    name,
    {
      metadata: metadata(namespace, "buildkitd"),
      spec: {
        replicas: 1,
        revisionHistoryLimit: 1,
        // A build runs where it began; two daemons would only share the node's memory.
        strategy: { type: "Recreate" },
        selector: { matchLabels: selectorLabels(APPLICATION) },
        template: { metadata: { labels: labels(APPLICATION), annotations }, spec },
      },
    },
    { ...opts, customTimeouts: { create: "10m", update: "10m", delete: "5m" } },
  );
}

function podSpec(args: {
  readonly image: pulumi.Input<string>;
  readonly mode: BuildMode;
  readonly cache: Quantity;
  readonly memory: Quantity;
  readonly configName: pulumi.Input<string>;
  readonly secretName: pulumi.Input<string>;
}): PodSpec {
  const rootless = args.mode === "rootless";
  const cacheFolder = rootless ? "/home/user/.local/share/buildkit" : "/var/lib/buildkit";
  const uid = rootless ? UID : 0;
  const ask = { exec: { command: ["buildctl", "--addr", `unix://${SOCKET}`, "debug", "workers"] } };
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 30,
    securityContext: {
      runAsNonRoot: rootless,
      runAsUser: uid,
      runAsGroup: uid,
      fsGroup: UID,
      fsGroupChangePolicy: "OnRootMismatch",
    },
    containers: [
      {
        name: "buildkitd",
        image: args.image,
        imagePullPolicy: "IfNotPresent",
        command: ["/bin/sh", `${CONFIG_FOLDER}/buildkitd.sh`],
        args: [
          "--config",
          `${CONFIG_FOLDER}/buildkitd.toml`,
          "--addr",
          `tcp://0.0.0.0:${BUILDKIT_PORT}`,
          "--tlscacert",
          `${TLS_FOLDER}/ca.pem`,
          "--tlscert",
          `${TLS_FOLDER}/cert.pem`,
          "--tlskey",
          `${TLS_FOLDER}/key.pem`,
        ],
        env: [
          { name: "MODE", value: args.mode },
          { name: "SOCKET", value: SOCKET },
          { name: "USER", value: rootless ? "user" : "root" },
          { name: "HOME", value: rootless ? "/home/user" : "/tmp" },
          { name: "XDG_RUNTIME_DIR", value: RUN_FOLDER },
          { name: "TMPDIR", value: "/tmp" },
        ],
        ports: [{ name: "grpc", containerPort: BUILDKIT_PORT }],
        securityContext: {
          // newuidmap gets its capability by running it, which is what this word is about.
          allowPrivilegeEscalation: true,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"], add: [...CAPABILITIES[args.mode]] },
          seccompProfile: { type: "Unconfined" },
          // Where there is AppArmor, its default profile refuses mounts.
          appArmorProfile: { type: "Unconfined" },
        },
        resources: {
          requests: { cpu: "200m", memory: "256Mi" },
          limits: { cpu: "2", memory: canonicalQuantity(args.memory) },
        },
        startupProbe: { ...ask, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 120 },
        // Builds keep the processor busy: a slow answer is one.
        readinessProbe: { ...ask, periodSeconds: 10, timeoutSeconds: 10 },
        livenessProbe: { ...ask, periodSeconds: 30, timeoutSeconds: 20, failureThreshold: 5 },
        terminationMessagePolicy: "FallbackToLogsOnError",
        volumeMounts: [
          { name: "config", mountPath: CONFIG_FOLDER, readOnly: true },
          { name: "tls", mountPath: TLS_FOLDER, readOnly: true },
          { name: "cache", mountPath: cacheFolder },
          // As root, runc and the daemon keep their state in /run itself.
          { name: "run", mountPath: rootless ? RUN_FOLDER : "/run" },
          { name: "tmp", mountPath: "/tmp" },
        ],
      },
    ],
    volumes: [
      { name: "config", configMap: { name: args.configName } },
      { name: "tls", secret: { secretName: args.secretName, defaultMode: 0o440 } },
      scratchVolume("cache", canonicalQuantity(args.cache)),
      scratchVolume("run", "64Mi"),
      scratchVolume("tmp", "2Gi"),
    ],
  };
}
