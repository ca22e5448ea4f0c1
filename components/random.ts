import * as pulumi from "@pulumi/pulumi";

export interface PasswordArgs {
  /** Characters. @default 32 */
  readonly length?: pulumi.Input<number>;
  /** Characters to choose from, ten or more. @default letters and digits, safe in URLs, shells and config files */
  readonly alphabet?: pulumi.Input<string>;
}

/** A random password, made once and kept in the state as a secret. A changed argument replaces it. */
export class Password extends pulumi.CustomResource {
  /** The password. A secret. */
  declare readonly result: pulumi.Output<string>;

  constructor(name: string, args: PasswordArgs = {}, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:random:Password",
      name,
      { ...args, result: undefined },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["result"] }),
    );
  }
}

/** A kubeadm bootstrap token, `[a-z0-9]{6}.[a-z0-9]{16}`. */
export class Token extends pulumi.CustomResource {
  /** The whole token. A secret. */
  declare readonly result: pulumi.Output<string>;

  constructor(name: string, args: Record<string, never> = {}, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:random:Token",
      name,
      { ...args, result: undefined },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["result"] }),
    );
  }
}

export interface RandomBytesArgs {
  /** Bytes. @default 32 */
  readonly length?: pulumi.Input<number>;
}

/** Random key material, for example the key of Kubernetes' encryption at rest. */
export class RandomBytes extends pulumi.CustomResource {
  /** Standard base64, with padding. A secret. */
  declare readonly base64: pulumi.Output<string>;

  constructor(name: string, args: RandomBytesArgs = {}, opts?: pulumi.CustomResourceOptions) {
    super(
      "gourmetgram:random:Bytes",
      name,
      { ...args, base64: undefined },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["base64"] }),
    );
  }
}
