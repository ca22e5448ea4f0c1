import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { Certificate, CertificateAuthority } from "../../components/certificates";
import { type LabelArgs, labels, selectorLabels } from "../../components/labels";
import type { Quantity } from "../../components/quantity";
import { Password } from "../../components/random";
import { readSource } from "../../components/sourceFile";
import { canonicalQuantity } from "../platform/canonicalQuantity";
import { secretData } from "../platform/credentials";
import { createTraffic, podsOf } from "../platform/networkPolicies";
import { checksum, restrictedContainer, restrictedPod } from "../platform/restricted";
import { goResources } from "./controllerPod";
import { createAccount } from "./rbac";

export const NATS_PORT = 4222;
const HEALTH_PORT = 8222;
/** NATS needs no certain user. */
const UID = 1000;
const USER = "argo-events";
const NATS: LabelArgs = { name: "nats", component: "event-bus" };

export interface NatsBusArgs {
  /** Must allow the Pod Security level `restricted`. */
  readonly namespace: pulumi.Input<string>;
  /** Image whose entry point is `nats-server`. */
  readonly image: pulumi.Input<string>;
  /** Size of the volume that keeps events nobody has acted on yet. */
  readonly storage: Quantity;
  /** @default the cluster's default class */
  readonly storageClassName?: pulumi.Input<string>;
  /** Pods that may connect. */
  readonly clients: readonly LabelArgs[];
}

/**
 * NATS with JetStream in one pod: TLS with an authority of its own, one user, events on a volume.
 *
 * Waits for: a node that has the volume. `url` is released when it answers. Costs: one pod of 5 MiB, one volume.
 * ```ts
 * new NatsBus("bus", { namespace, image, storage: "1Gi", clients: [{ name: "sensor" }] });
 * ```
 */
export class NatsBus extends pulumi.ComponentResource {
  readonly url: pulumi.Output<string>;
  /** Secret for clients: `auth.yaml` with user and password as Argo Events reads it, `ca.crt`. */
  readonly clientSecret: pulumi.Output<string>;

  constructor(name: string, args: NatsBusArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:NatsBus", name, {}, opts);
    const child = { parent: this };
    const host = pulumi.interpolate`nats.${args.namespace}.svc.cluster.local`;

    const password = new Password(name, { length: 32 }, child).result;
    const authority = new CertificateAuthority(`${name}-ca`, { commonName: "event-bus" }, child);
    const certificate = new Certificate(
      name,
      {
        caCertificatePem: authority.certificatePem,
        caPrivateKeyPem: authority.privateKeyPem,
        commonName: "nats",
        dnsNames: [host],
        usages: ["serverAuth"],
      },
      child,
    );
    const secrets = createSecrets(name, args.namespace, { password, authority, certificate }, child);
    createPolicies(name, args, child);
    const account = createAccount(
      name,
      { namespace: args.namespace, objectName: NATS.name, labels: NATS },
      child,
    );
    createServices(name, args.namespace, child);
    const server = createServer(
      name,
      args,
      {
        account,
        serverSecret: secrets.server,
        checksum: checksum({ password, key: certificate.privateKeyPem, config: CONFIG() }),
      },
      child,
    );

    // Through the server's id, which there is only when it is ready.
    this.url = pulumi.all([host, server.id]).apply(([known]) => `nats://${known}:${NATS_PORT}`);
    this.clientSecret = secrets.client;
    this.registerOutputs({ url: this.url });
  }
}

const CONFIG = () => readSource("k8s/argo/nats.conf");

function createSecrets(
  name: string,
  namespace: pulumi.Input<string>,
  of: {
    readonly password: pulumi.Output<string>;
    readonly authority: CertificateAuthority;
    readonly certificate: Certificate;
  },
  opts: pulumi.CustomResourceOptions,
): { readonly server: pulumi.Output<string>; readonly client: pulumi.Output<string> } {
  const secret = (part: string, objectName: string, values: Record<string, pulumi.Input<string>>) =>
    new k8s.core.v1.Secret(
      part,
      {
        metadata: { name: objectName, namespace, labels: labels(NATS) },
        type: "Opaque",
        data: secretData(values),
      },
      opts,
    ).metadata.name;
  // Passwords are letters and digits, so that nothing needs escaping in either format.
  return {
    server: secret(name, "nats-server", {
      "auth.conf": pulumi.interpolate`authorization { user: "${USER}", password: "${of.password}" }\n`,
      "tls.crt": of.certificate.certificatePem,
      "tls.key": of.certificate.privateKeyPem,
    }),
    client: secret(`${name}-client`, "nats-client", {
      "auth.yaml": pulumi.interpolate`username: "${USER}"\npassword: "${of.password}"\n`,
      "ca.crt": of.authority.certificatePem,
    }),
  };
}

function createPolicies(name: string, args: NatsBusArgs, opts: pulumi.CustomResourceOptions): void {
  createTraffic(
    name,
    {
      namespace: args.namespace,
      objectName: NATS.name,
      pods: NATS,
      ingress: [{ peers: args.clients.map(podsOf), ports: [NATS_PORT] }],
    },
    opts,
  );
}

function createServices(
  name: string,
  namespace: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): void {
  const service = (part: string, objectName: string, clusterIP?: "None") =>
    new k8s.core.v1.Service(
      part,
      {
        metadata: { name: objectName, namespace, labels: labels(NATS) },
        spec: {
          ...(clusterIP && { clusterIP }),
          selector: selectorLabels(NATS),
          ports: [{ name: "nats", port: NATS_PORT, targetPort: NATS_PORT }],
        },
      },
      opts,
    );
  service(name, NATS.name);
  service(`${name}-headless`, "nats-headless", "None");
}

function createServer(
  name: string,
  args: NatsBusArgs,
  of: {
    readonly account: pulumi.Input<string>;
    readonly serverSecret: pulumi.Input<string>;
    readonly checksum: ReturnType<typeof checksum>;
  },
  opts: pulumi.CustomResourceOptions,
): k8s.apps.v1.StatefulSet {
  const config = new k8s.core.v1.ConfigMap(
    name,
    {
      metadata: { name: "nats-config", namespace: args.namespace, labels: labels(NATS) },
      data: { "nats.conf": CONFIG() },
    },
    opts,
  );
  const { resources, memoryLimit } = goResources({ cpu: 10, memory: 24, limit: 96 });
  // Without JetStream's own state it is of no use; `js-enabled-only` asks for just that.
  const ask = (query: string) => ({
    httpGet: { path: `/healthz${query}`, port: HEALTH_PORT },
    timeoutSeconds: 5,
  });
  return new k8s.apps.v1.StatefulSet(
    name,
    {
      metadata: { name: NATS.name, namespace: args.namespace, labels: labels(NATS) },
      spec: {
        replicas: 1,
        serviceName: "nats-headless",
        selector: { matchLabels: selectorLabels(NATS) },
        template: {
          metadata: { labels: labels(NATS), annotations: of.checksum },
          spec: {
            ...restrictedPod(UID),
            serviceAccountName: of.account,
            terminationGracePeriodSeconds: 20,
            containers: [
              {
                name: "nats",
                image: args.image,
                imagePullPolicy: "IfNotPresent",
                args: ["--config", "/etc/nats/nats.conf"],
                env: [memoryLimit],
                ports: [{ name: "nats", containerPort: NATS_PORT }],
                securityContext: restrictedContainer,
                resources,
                startupProbe: { ...ask("?js-enabled-only=true"), periodSeconds: 1, failureThreshold: 120 },
                readinessProbe: { ...ask("?js-enabled-only=true"), periodSeconds: 10 },
                livenessProbe: { ...ask("?js-server-only=true"), periodSeconds: 20, failureThreshold: 6 },
                volumeMounts: [
                  { name: "config", mountPath: "/etc/nats", readOnly: true },
                  { name: "data", mountPath: "/data" },
                ],
              },
            ],
            volumes: [
              {
                name: "config",
                projected: {
                  sources: [
                    { configMap: { name: config.metadata.name } },
                    { secret: { name: of.serverSecret } },
                  ],
                },
              },
            ],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: "data", labels: labels(NATS) },
            spec: {
              accessModes: ["ReadWriteOnce"],
              storageClassName: args.storageClassName,
              resources: { requests: { storage: canonicalQuantity(args.storage) } },
            },
          },
        ],
      },
    },
    { ...opts, customTimeouts: { create: "10m", update: "10m", delete: "5m" } },
  );
}
