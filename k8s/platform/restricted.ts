import { createHash } from "node:crypto";
import type { types } from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";

/**
 * What every pod of the platform has: the Pod Security level `restricted`, no Kubernetes token (nothing here talks to
 * the API), and no `<SERVICE>_PORT` variables. The last matters: a Service named `mlflow` would set MLFLOW_PORT to a
 * URL, which the server reads as its own option.
 *
 * @param uid numeric user and group, because `runAsNonRoot` cannot judge a user by its name
 */
export function restrictedPod(
  uid: number,
): Pick<
  types.input.core.v1.PodSpec,
  "automountServiceAccountToken" | "enableServiceLinks" | "securityContext"
> {
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: uid,
      runAsGroup: uid,
      fsGroup: uid,
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
}

/** What every container of the platform has. */
export const restrictedContainer: types.input.core.v1.SecurityContext = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

/** A writable folder that lives as long as the pod. `sizeLimit` is a quantity; a pod that exceeds it is evicted. */
export function scratchVolume(name: string, sizeLimit: string): types.input.core.v1.Volume {
  return { name, emptyDir: { sizeLimit } };
}

/**
 * Pod annotation that changes when what the pods read at start does, so that they restart: a Secret's content, scripts.
 * Shown in plain text: a SHA-256 reveals nothing as long as at least one of the values is generated, which callers see to.
 */
export function checksum(values: Readonly<Record<string, pulumi.Input<string>>>): {
  "gourmetgram.dev/secret-checksum": pulumi.Output<string>;
} {
  const digest = pulumi
    .output(values)
    .apply((known) => createHash("sha256").update(JSON.stringify(known)).digest("hex").slice(0, 32));
  return { "gourmetgram.dev/secret-checksum": pulumi.unsecret(digest) };
}
