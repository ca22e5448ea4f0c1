import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { Certificate, type CertificateAuthority } from "../../components/certificates";
import { labels } from "../../components/labels";
import { secretData } from "../platform/credentials";

export interface BuildKitClientArgs {
  readonly namespace: pulumi.Input<string>;
  /** Of the `BuildKit` the client talks to. */
  readonly authority: CertificateAuthority;
}

/**
 * The right to build: a Secret `buildkit-client` with the keys `ca.pem`, `cert.pem` and `key.pem`, which `buildctl --tlsdir`
 * takes.
 *
 * Waits for: its namespace. Costs: nothing.
 */
export class BuildKitClient extends pulumi.ComponentResource {
  readonly secretName: pulumi.Output<string>;

  constructor(name: string, args: BuildKitClientArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:BuildKitClient", name, {}, opts);
    const certificate = new Certificate(
      name,
      {
        caCertificatePem: args.authority.certificatePem,
        caPrivateKeyPem: args.authority.privateKeyPem,
        commonName: "build-client",
        usages: ["clientAuth"],
      },
      { parent: this },
    );
    const secret = new k8s.core.v1.Secret(
      name,
      {
        metadata: {
          name: "buildkit-client",
          namespace: args.namespace,
          labels: labels({ name: "buildkit-client", component: "credentials" }),
        },
        type: "Opaque",
        data: secretData({
          "ca.pem": args.authority.certificatePem,
          "cert.pem": certificate.certificatePem,
          "key.pem": certificate.privateKeyPem,
        }),
      },
      { parent: this },
    );
    this.secretName = secret.metadata.name;
    this.registerOutputs({ secretName: this.secretName });
  }
}
