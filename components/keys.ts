import * as pulumi from "@pulumi/pulumi";

export type KeyAlgorithm = "rsa-2048" | "ed25519" | "ecdsa-p256";

export interface KeyPairArgs {
  readonly algorithm: pulumi.Input<KeyAlgorithm>;
}

/**
 * A key pair in the formats that servers (PEM) and SSH (OpenSSH) want. It never changes; another algorithm replaces it.
 *
 * ```ts
 * const login = new KeyPair("ssh-login", { algorithm: "ed25519" });
 * ```
 */
export class KeyPair extends pulumi.CustomResource {
  /** PKCS#8, PEM. A secret. */
  declare readonly privateKeyPem: pulumi.Output<string>;
  /** SubjectPublicKeyInfo, PEM. */
  declare readonly publicKeyPem: pulumi.Output<string>;
  /** OpenSSH format, as in `~/.ssh/id_ed25519`. A secret. */
  declare readonly privateKeyOpenssh: pulumi.Output<string>;
  /** authorized_keys format: `ssh-ed25519 AAAA... gourmetgram`. */
  declare readonly publicKeyOpenssh: pulumi.Output<string>;

  constructor(name: string, args: KeyPairArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:tls:KeyPair",
      name,
      {
        ...args,
        privateKeyPem: undefined,
        publicKeyPem: undefined,
        privateKeyOpenssh: undefined,
        publicKeyOpenssh: undefined,
      },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["privateKeyPem", "privateKeyOpenssh"] }),
    );
  }
}
