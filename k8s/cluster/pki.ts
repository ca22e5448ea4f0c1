import * as pulumi from "@pulumi/pulumi";
import { Certificate, CertificateAuthority } from "../../components/certificates";
import { KeyPair } from "../../components/keys";
import { RandomBytes, Token } from "../../components/random";
import { adminIdentity } from "./kubeadmConfig";

/** Ten years: the authorities outlive any environment; what is signed by them is renewed before. */
const authorityDays = 3650;
/** kubeadm's own leaf certificates live a year; so do ours. */
const leafDays = 365;

export interface ClusterPkiArgs {
  /** Common part of the authorities' names, the environment. */
  readonly clusterName: string;
}

/**
 * Every key a cluster starts from, made before its first machine: so all nodes start at once, nobody waits for another
 * node's output, and the kubeconfig survives the replacement of any machine.
 *
 * Makes: three authorities (cluster, front proxy, etcd), the service-account key, the administrator's certificate, the
 * bootstrap token and the key of Secrets at rest. Waits for: nothing. Costs: nothing.
 */
export class ClusterPki extends pulumi.ComponentResource {
  readonly ca: CertificateAuthority;
  readonly frontProxyCa: CertificateAuthority;
  readonly etcdCa: CertificateAuthority;
  readonly serviceAccountKey: KeyPair;
  readonly admin: Certificate;
  /** `abcdef.0123456789abcdef`. A secret. */
  readonly bootstrapToken: pulumi.Output<string>;
  /** 32 bytes, base64, for secretbox. A secret. */
  readonly encryptionKey: pulumi.Output<string>;

  constructor(name: string, args: ClusterPkiArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:ClusterPki", name, {}, opts);
    const parent = { parent: this };
    const authority = (part: string, commonName: string) =>
      new CertificateAuthority(`${name}-${part}`, { commonName, validityDays: authorityDays }, parent);

    this.ca = authority("ca", `${args.clusterName} kubernetes`);
    this.frontProxyCa = authority("front-proxy-ca", `${args.clusterName} front-proxy`);
    this.etcdCa = authority("etcd-ca", `${args.clusterName} etcd`);
    this.serviceAccountKey = new KeyPair(`${name}-service-account`, { algorithm: "rsa-2048" }, parent);
    this.admin = this.sign(`${name}-admin`, { ...adminIdentity, usages: ["clientAuth"] }, parent);
    this.bootstrapToken = new Token(`${name}-bootstrap-token`, {}, parent).result;
    this.encryptionKey = new RandomBytes(`${name}-encryption-key`, { length: 32 }, parent).base64;
    this.registerOutputs({});
  }

  /** A certificate of the cluster's own authority. */
  sign(
    name: string,
    args: {
      readonly commonName: string;
      readonly organizations?: readonly string[];
      readonly dnsNames?: readonly string[];
      readonly ipAddresses?: readonly string[];
      readonly usages: readonly ("clientAuth" | "serverAuth")[];
    },
    opts: pulumi.CustomResourceOptions,
  ): Certificate {
    return new Certificate(
      name,
      {
        caCertificatePem: this.ca.certificatePem,
        caPrivateKeyPem: this.ca.privateKeyPem,
        validityDays: leafDays,
        commonName: args.commonName,
        organizations: [...(args.organizations ?? [])],
        dnsNames: [...(args.dnsNames ?? [])],
        ipAddresses: [...(args.ipAddresses ?? [])],
        usages: [...args.usages],
      },
      opts,
    );
  }
}
