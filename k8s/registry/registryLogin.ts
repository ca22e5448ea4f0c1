import { createHash } from "node:crypto";
import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { labels } from "../../components/labels";
import { secretData } from "../platform/credentials";

/** A user of the registry: `pull` reads, `push` writes too. */
export interface RegistryLogin {
  /** Registry as image references name it: host and port. */
  readonly host: string;
  readonly username: "pull" | "push";
  /** A secret. */
  readonly password: pulumi.Output<string>;
}

export interface RegistrySecretArgs {
  readonly namespace: pulumi.Input<string>;
  readonly login: RegistryLogin;
  /** Kubernetes name. @default "registry-pull" or "registry-push", by the login */
  readonly objectName?: string;
}

/**
 * A Secret of type `kubernetes.io/dockerconfigjson` with one login, for `imagePullSecrets`, or for a pod that mounts its
 * key `.dockerconfigjson` as `config.json` and names the folder in `DOCKER_CONFIG`. Returns its name.
 */
export function createRegistrySecret(
  name: string,
  args: RegistrySecretArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  const objectName = args.objectName ?? `registry-${args.login.username}`;
  const secret = new k8s.core.v1.Secret(
    name,
    {
      metadata: {
        name: objectName,
        namespace: args.namespace,
        labels: labels({ name: objectName, component: "credentials" }),
      },
      type: "kubernetes.io/dockerconfigjson",
      data: secretData({ ".dockerconfigjson": dockerConfig(args.login) }),
    },
    opts,
  );
  return secret.metadata.name;
}

/** Docker's `config.json` with one login. A secret. */
export function dockerConfig(login: RegistryLogin): pulumi.Output<string> {
  const { host, username } = login;
  return pulumi.secret(
    login.password.apply((password) => {
      const auth = Buffer.from(`${username}:${password}`).toString("base64");
      return JSON.stringify({ auths: { [host]: { username, password, auth } } });
    }),
  );
}

/**
 * Line of a password file as nginx reads it, `{SSHA}`. A fast hash is enough for generated passwords of 190 random bits;
 * the salt comes from the password, so that the same password always gives the same line.
 */
export function passwordLine(username: string, password: string): string {
  const salt = createHash("sha256").update(`${username}\n${password}`).digest().subarray(0, 8);
  const digest = createHash("sha1").update(password).update(salt).digest();
  return `${username}:{SSHA}${Buffer.concat([digest, salt]).toString("base64")}\n`;
}
