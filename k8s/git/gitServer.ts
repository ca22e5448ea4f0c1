import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CredentialsRef, ServiceEndpoint } from "../../components/contracts";
import { type LabelArgs, labels } from "../../components/labels";
import { ProblemsError } from "../../components/problems";
import type { Quantity } from "../../components/quantity";
import { Password } from "../../components/random";
import { readSource } from "../../components/sourceFile";
import { createCredentials, secretData } from "../platform/credentials";
import { createDefaultDeny, createTraffic } from "../platform/networkPolicies";
import { checksum, scratchVolume } from "../platform/restricted";
import { createStatefulService, type StatefulService } from "../platform/statefulService";
import { passwordLine } from "../registry/registryLogin";
import { checkGitServer } from "./gitChecks";
import { type RepositorySeed, renderSeed } from "./seed";

type Container = k8s.types.input.core.v1.Container;
type VolumeMount = k8s.types.input.core.v1.VolumeMount;

/** Namespace of the Git server. */
export const GIT_NAMESPACE = "gourmetgram-git";
/** Port of its Service. */
export const GIT_PORT = 80;
const POD_PORT = 8080;
/** User of the image. */
const UID = 1000;
/** Who may push. */
const PUSHER = "git";
const APPLICATION: LabelArgs = { name: "git", component: "git-server" };
const HOST = `git.${GIT_NAMESPACE}.svc.cluster.local`;
const REPOSITORIES_FOLDER = "/srv/git";
const SEEDS_FOLDER = "/run/seeds";
const SCRIPTS_FOLDER = "/scripts";
/** As nginx.conf and git-webhook.sh have them. */
const LOGIN_FOLDER = "/run/secrets/git";
const WEBHOOK_FOLDER = "/run/secrets/webhook";
const SOCKET = "/run/git/fastcgi.sock";
const SCRIPTS = ["git-seed.sh", "git-cgi.sh", "git-webhook.sh", "post-receive", "nginx.conf"];

export interface GitServerArgs {
  /** git, nginx, fcgiwrap, openssl, curl and jq, as user 1000. */
  readonly image: pulumi.Input<string>;
  /** Size of the volume of all repositories. */
  readonly storage: Quantity;
  /** @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
  /** First content of each repository, by name; a changed one is brought in as the class says. Shape: plain. */
  readonly repositories: Readonly<Record<string, RepositorySeed>>;
  /** Who is told about pushes, as GitHub tells it. @default nobody */
  readonly webhook?: {
    /** Shape: plain. */
    readonly url: string;
    /** Key of the signature, 64 bytes at most. A secret. */
    readonly secret: pulumi.Input<string>;
  };
}

/** A repository of a `GitServer`. */
export interface GitRepository {
  /** Where it is cloned from inside the cluster, released when it can be. */
  readonly url: pulumi.Output<string>;
  readonly branch: string;
}

/**
 * Git over HTTP for environments without one of their own: everybody in the cluster reads, who has the password pushes, and a
 * push is told to a webhook. Repositories start with the content they are given. New content moves the branch on as long as
 * nobody has committed to it; then it waits in the branch `seed`, and nothing is lost.
 *
 * Waits for: the cluster of its provider, with a storage class. Costs: one volume and one pod of about 30 MiB.
 * ```ts
 * new GitServer("git", { image, storage: "2Gi", repositories: { "my-app": { branch: "main", files: { "a.txt": "hello" } } } });
 * ```
 * @throws ProblemsError with every wrong argument
 */
export class GitServer extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  /** The server inside the cluster, released when it answers. */
  readonly endpoint: ServiceEndpoint;
  readonly repositories: Readonly<Record<string, GitRepository>>;
  /** Secret in `namespace` with the login for pushes. */
  readonly credentials: CredentialsRef;
  readonly pushUser: string = PUSHER;
  /** A secret. */
  readonly pushPassword: pulumi.Output<string>;

  constructor(name: string, args: GitServerArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkGitServer(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:GitServer", name, {}, opts);
    const child = { parent: this };

    const namespace = createNamespace(name, child);
    this.namespace = namespace.metadata.name;
    createDefaultDeny(name, { namespace: this.namespace, labels: APPLICATION }, child);
    createPolicies(name, args, this.namespace, child);
    this.pushPassword = new Password(`${name}-push`, { length: 32 }, child).result;
    this.credentials = createCredentials(
      `${name}-push`,
      {
        namespace: this.namespace,
        objectName: "git-push",
        username: PUSHER,
        password: this.pushPassword,
      },
      child,
    );
    const { server } = createServer(name, args, this.namespace, this.pushPassword, child);

    this.endpoint = endpointOf(server);
    this.repositories = Object.fromEntries(
      Object.entries(args.repositories).map(([repository, { branch }]) => [
        repository,
        { url: pulumi.interpolate`${this.endpoint.url}/${repository}.git`, branch },
      ]),
    );
    this.registerOutputs({ url: this.endpoint.url, secretName: this.credentials.secretName });
  }
}

function createNamespace(name: string, opts: pulumi.CustomResourceOptions): k8s.core.v1.Namespace {
  return new k8s.core.v1.Namespace(
    name,
    {
      metadata: {
        name: GIT_NAMESPACE,
        labels: {
          ...labels(APPLICATION),
          "pod-security.kubernetes.io/enforce": "restricted",
          "pod-security.kubernetes.io/audit": "restricted",
          "pod-security.kubernetes.io/warn": "restricted",
        },
      },
    },
    opts,
  );
}

function createPolicies(
  name: string,
  args: GitServerArgs,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): void {
  createTraffic(
    name,
    {
      namespace,
      objectName: "git",
      pods: APPLICATION,
      ingress: [{ peers: [{ namespaceSelector: {} }], ports: [POD_PORT] }],
      // The webhook may be anywhere; its port is known.
      ...(args.webhook ? { egress: [{ ports: [portOf(args.webhook.url)] }] } : {}),
    },
    opts,
  );
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return Number(port || (protocol === "https:" ? 443 : 80));
}

function createServer(
  name: string,
  args: GitServerArgs,
  namespace: pulumi.Input<string>,
  password: pulumi.Output<string>,
  opts: pulumi.CustomResourceOptions,
): StatefulService {
  const metadata = (objectName: string) => ({ name: objectName, namespace, labels: labels(APPLICATION) });
  const files = scriptFiles(args);
  const scripts = new k8s.core.v1.ConfigMap(
    `${name}-scripts`,
    { metadata: metadata("git-scripts"), data: files },
    opts,
  );
  const seeds = Object.entries(args.repositories).map(([repository, seed]) => {
    const content = renderSeed(seed);
    return {
      repository,
      content,
      map: new k8s.core.v1.ConfigMap(
        `${name}-seed-${repository}`,
        {
          metadata: metadata(`git-seed-${repository}`),
          data: { ...content.data },
          ...(Object.keys(content.binaryData).length > 0 ? { binaryData: { ...content.binaryData } } : {}),
        },
        opts,
      ),
    };
  });
  const secrets = {
    htpasswd: password.apply((known) => passwordLine(PUSHER, known)),
    ...(args.webhook ? { secret: args.webhook.secret } : {}),
  };
  const secret = new k8s.core.v1.Secret(
    name,
    { metadata: metadata("git-server"), type: "Opaque", data: secretData(secrets) },
    opts,
  );
  const mounts = {
    data: { name: "data", mountPath: REPOSITORIES_FOLDER },
    scripts: { name: "scripts", mountPath: SCRIPTS_FOLDER, readOnly: true },
    run: { name: "run", mountPath: "/run/git" },
    tmp: (container: string) => ({ name: `tmp-${container}`, mountPath: "/tmp" }),
    login: { name: "login", mountPath: LOGIN_FOLDER, readOnly: true },
  };
  const projected = (key: string) => ({ secretName: secret.metadata.name, items: [{ key, path: key }] });
  return createStatefulService(
    name,
    {
      namespace,
      application: APPLICATION,
      ports: { http: { service: GIT_PORT, pod: POD_PORT } },
      uid: UID,
      storage: args.storage,
      storageClassName: args.storageClassName,
      // Seeds are taken in when the pod starts.
      annotations: checksum({
        ...secrets,
        files: JSON.stringify(files),
        seeds: JSON.stringify(seeds.map(({ content }) => content)),
      }),
      terminationGracePeriodSeconds: 20,
      initContainers: [
        {
          name: "seed",
          image: args.image,
          command: ["/bin/sh", `${SCRIPTS_FOLDER}/git-seed.sh`],
          env: [
            { name: "HOME", value: "/tmp" },
            { name: "REPOSITORIES", value: REPOSITORIES_FOLDER },
            { name: "SEEDS", value: SEEDS_FOLDER },
            { name: "HOOKS", value: SCRIPTS_FOLDER },
          ],
          resources: { requests: { cpu: "50m", memory: "32Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
          terminationMessagePolicy: "FallbackToLogsOnError",
          volumeMounts: [
            mounts.data,
            mounts.scripts,
            mounts.tmp("git"),
            ...seeds.map(({ repository }) => ({
              name: `seed-${repository}`,
              mountPath: `${SEEDS_FOLDER}/${repository}`,
              readOnly: true,
            })),
          ],
        },
      ],
      containers: [
        httpContainer(args, [mounts.scripts, mounts.run, mounts.login, mounts.tmp("http")]),
        cgiContainer(args, [
          mounts.data,
          mounts.scripts,
          mounts.run,
          mounts.tmp("git"),
          ...(args.webhook ? [{ name: "webhook", mountPath: WEBHOOK_FOLDER, readOnly: true }] : []),
        ]),
      ],
      volumes: [
        // Git runs hooks only when they may be executed.
        { name: "scripts", configMap: { name: scripts.metadata.name, defaultMode: 0o555 } },
        ...seeds.map(({ repository, map }) => ({
          name: `seed-${repository}`,
          configMap: { name: map.metadata.name },
        })),
        { name: "login", secret: projected("htpasswd") },
        ...(args.webhook ? [{ name: "webhook", secret: projected("secret") }] : []),
        scratchVolume("run", "16Mi"),
        // A push passes through here whole.
        scratchVolume("tmp-http", "1Gi"),
        scratchVolume("tmp-git", "256Mi"),
      ],
    },
    opts,
  );
}

/** What all containers find in the scripts' folder. */
function scriptFiles(args: GitServerArgs): Record<string, string> {
  return {
    ...Object.fromEntries(SCRIPTS.map((file) => [file, readSource(`k8s/git/scripts/${file}`)])),
    ...(args.webhook ? { "webhook-url": args.webhook.url, "base-url": `http://${HOST}` } : {}),
  };
}

function httpContainer(args: GitServerArgs, volumeMounts: VolumeMount[]): Container {
  const [repository] = Object.keys(args.repositories);
  // Through the web server, Git and the volume.
  const read = { httpGet: { path: `/${repository}.git/info/refs?service=git-upload-pack`, port: "http" } };
  const alive = { httpGet: { path: "/healthz", port: "http" } };
  return {
    name: "http",
    image: args.image,
    command: ["nginx", "-e", "stderr", "-c", `${SCRIPTS_FOLDER}/nginx.conf`],
    resources: { requests: { cpu: "20m", memory: "16Mi" }, limits: { cpu: "500m", memory: "64Mi" } },
    startupProbe: { ...alive, periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { ...read, periodSeconds: 10, timeoutSeconds: 5 },
    livenessProbe: { ...alive, periodSeconds: 15, timeoutSeconds: 5, failureThreshold: 4 },
    volumeMounts,
  };
}

function cgiContainer(args: GitServerArgs, volumeMounts: VolumeMount[]): Container {
  const listens = { exec: { command: ["test", "-S", SOCKET] } };
  return {
    name: "git",
    image: args.image,
    command: ["/bin/sh", `${SCRIPTS_FOLDER}/git-cgi.sh`],
    env: [{ name: "HOME", value: "/tmp" }],
    resources: { requests: { cpu: "50m", memory: "32Mi" }, limits: { cpu: "1", memory: "512Mi" } },
    startupProbe: { ...listens, periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { ...listens, periodSeconds: 30 },
    livenessProbe: { ...listens, periodSeconds: 60 },
    volumeMounts,
  };
}

function endpointOf(server: k8s.apps.v1.StatefulSet): ServiceEndpoint {
  // Through the server's id, which there is only when it is ready.
  const host = server.id.apply(() => HOST);
  return { host, port: pulumi.output(GIT_PORT), url: pulumi.interpolate`http://${host}` };
}
