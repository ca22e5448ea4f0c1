import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";
import { readSource } from "../../components/sourceFile";
import { restrictedContainer } from "../platform/restricted";

const SCRIPT = "revisit.py";
const FOLDER = "/opt/revisit";

export interface RevisitArgs {
  readonly namespace: pulumi.Input<string>;
  /** Whose pod it is a part of. */
  readonly labels: LabelArgs;
  /** Has `python3`. */
  readonly image: pulumi.Input<string>;
}

/** A container beside the workflow controller, with what its pod needs for it. */
export interface Revisit {
  readonly container: k8s.types.input.core.v1.Container;
  readonly volume: k8s.types.input.core.v1.Volume;
  /** Its program, read at start. */
  readonly script: string;
}

/**
 * Has the controller look again at workflows that wait for nothing, with the controller's own rights to list and patch
 * them. Takes no probes: it serves nobody, each of its requests has a time limit and so has each of its rounds.
 */
export function createRevisit(name: string, args: RevisitArgs, opts: pulumi.CustomResourceOptions): Revisit {
  const script = readSource(`k8s/argo/scripts/${SCRIPT}`);
  const files = new k8s.core.v1.ConfigMap(
    name,
    {
      metadata: {
        name: "workflow-controller-revisit",
        namespace: args.namespace,
        labels: labels(args.labels),
      },
      data: { [SCRIPT]: script },
    },
    opts,
  );
  return {
    container: {
      name: "revisit",
      image: args.image,
      imagePullPolicy: "IfNotPresent",
      // Nothing but the standard library: quick to start, and small.
      command: ["python3", "-I", "-S", "-B", `${FOLDER}/${SCRIPT}`],
      // The image's own folder is its user's, and this pod's user is the controller's.
      workingDir: "/",
      env: [{ name: "NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } }],
      securityContext: restrictedContainer,
      resources: { requests: { cpu: "5m", memory: "24Mi" }, limits: { cpu: "200m", memory: "64Mi" } },
      volumeMounts: [{ name: "revisit", mountPath: FOLDER, readOnly: true }],
    },
    volume: { name: "revisit", configMap: { name: files.metadata.name } },
    script,
  };
}
