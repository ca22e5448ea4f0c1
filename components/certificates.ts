import * as pulumi from "@pulumi/pulumi";

export interface CertificateAuthorityArgs {
  /** Subject, for example `kubernetes`. */
  readonly commonName: pulumi.Input<string>;
  /** Days from creation. @default 3650 */
  readonly validityDays?: pulumi.Input<number>;
}

/**
 * A self-signed certificate authority (ECDSA P-256). When less than 30 days are left it is renewed in place with the same key,
 * so that everything it signed, and `publicKeyHash`, stay valid.
 *
 * ```ts
 * const ca = new CertificateAuthority("cluster-ca", { commonName: "kubernetes" });
 * ```
 */
export class CertificateAuthority extends pulumi.CustomResource {
  /** Certificate, PEM. */
  declare readonly certificatePem: pulumi.Output<string>;
  /** Private key, PKCS#8 PEM. A secret. */
  declare readonly privateKeyPem: pulumi.Output<string>;
  /** `sha256:<hex>` of the public key, as `kubeadm join --discovery-token-ca-cert-hash` takes it. */
  declare readonly publicKeyHash: pulumi.Output<string>;

  constructor(name: string, args: CertificateAuthorityArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:tls:CertificateAuthority",
      name,
      { ...args, certificatePem: undefined, privateKeyPem: undefined, publicKeyHash: undefined },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["privateKeyPem"] }),
    );
  }
}

/** What a certificate may be used for (extended key usage). */
export type CertificateUsage = "clientAuth" | "serverAuth";

export interface CertificateArgs {
  /** The CA that signs. */
  readonly caCertificatePem: pulumi.Input<string>;
  /** Its private key. A secret. */
  readonly caPrivateKeyPem: pulumi.Input<string>;
  /** Subject CN: the user name for Kubernetes client certificates. */
  readonly commonName: pulumi.Input<string>;
  /** Subject O: the groups for Kubernetes client certificates. @default none */
  readonly organizations?: pulumi.Input<pulumi.Input<string>[]>;
  /** Subject alternative names. @default none */
  readonly dnsNames?: pulumi.Input<pulumi.Input<string>[]>;
  /** Subject alternative IP addresses. @default none */
  readonly ipAddresses?: pulumi.Input<pulumi.Input<string>[]>;
  /** One or both of `clientAuth` and `serverAuth`. */
  readonly usages: pulumi.Input<CertificateUsage[]>;
  /** Days from creation; cut to what the CA has left. @default 365 */
  readonly validityDays?: pulumi.Input<number>;
}

/**
 * A certificate with its own key (ECDSA P-256), signed by a `CertificateAuthority`. Any changed argument, and less than 30 days
 * of validity left, update it in place: new key, new certificate.
 */
export class Certificate extends pulumi.CustomResource {
  /** Certificate, PEM, without the CA's. */
  declare readonly certificatePem: pulumi.Output<string>;
  /** Private key, PKCS#8 PEM. A secret. */
  declare readonly privateKeyPem: pulumi.Output<string>;

  constructor(name: string, args: CertificateArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:tls:Certificate",
      name,
      {
        ...args,
        caPrivateKeyPem: pulumi.secret(args.caPrivateKeyPem),
        certificatePem: undefined,
        privateKeyPem: undefined,
      },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["privateKeyPem", "caPrivateKeyPem"] }),
    );
  }
}
