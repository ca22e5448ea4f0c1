import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CredentialsRef } from "../../components/contracts";
import { labels } from "../../components/labels";

export interface CredentialsArgs {
  readonly namespace: pulumi.Input<string>;
  /** Kubernetes name. */
  readonly objectName: string;
  readonly username: pulumi.Input<string>;
  /** A secret. */
  readonly password: pulumi.Input<string>;
}

/** A Kubernetes Secret with the keys `username` and `password`. */
export function createCredentials(
  name: string,
  args: CredentialsArgs,
  opts: pulumi.CustomResourceOptions,
): CredentialsRef {
  const secret = new k8s.core.v1.Secret(
    name,
    {
      metadata: {
        name: args.objectName,
        namespace: args.namespace,
        labels: labels({ name: args.objectName, component: "credentials" }),
      },
      type: "Opaque",
      data: secretData({ username: args.username, password: args.password }),
    },
    opts,
  );
  return { secretName: secret.metadata.name, usernameKey: "username", passwordKey: "password" };
}

/** An environment variable that holds one key of a Secret. */
export function secretEnv(
  name: string,
  secretName: pulumi.Input<string>,
  key: string,
): k8s.types.input.core.v1.EnvVar {
  return { name, valueFrom: { secretKeyRef: { name: secretName, key } } };
}

/**
 * Values as a Kubernetes Secret's `data` has them. Not `stringData`: the API server never returns that field, so a key
 * taken out of it would stay in the Secret.
 */
export function secretData(
  values: Readonly<Record<string, pulumi.Input<string>>>,
): Record<string, pulumi.Output<string>> {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      pulumi.secret(value).apply((text) => Buffer.from(text).toString("base64")),
    ]),
  );
}
