import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CertificateAuthority } from "../../components/certificates";
import { type LabelArgs, labels } from "../../components/labels";
import { readSource } from "../../components/sourceFile";
import { secretData } from "../platform/credentials";
import { SetupJob } from "../platform/setupJob";
import type { Registry } from "./registry";
import { dockerConfig } from "./registryLogin";

const UID = 1000;
const APPLICATION: LabelArgs = { name: "base-images", component: "image-registry" };
const SECRET_FOLDER = "/run/secrets/registry";

export interface BaseImagesArgs {
  /** The image `base-images`: command `crane` and folders with OCI layouts. */
  readonly image: pulumi.Input<string>;
  readonly registry: Registry;
  /** Signed the registry's certificate. */
  readonly authority: Pick<CertificateAuthority, "certificatePem">;
  /**
   * Folder in the image -> repository and tag in the registry. Shape: plain.
   * @example { "/images/python": "base/python:3.11" }
   */
  readonly images: Readonly<Record<string, string>>;
}

/**
 * Puts the images that builds stand on into the registry, from an image that carries them: builds need no other registry.
 * Runs again when that image changes; what is there already is not sent again.
 *
 * Waits for: the registry. `ready` is done when all images are there. Costs: a pod for some seconds.
 * ```ts
 * new BaseImages("base-images", { image, registry, authority, images: { "/images/python": "base/python:3.11" } });
 * ```
 */
export class BaseImages extends pulumi.ComponentResource {
  /** Done when the images can be pulled. */
  readonly ready: pulumi.Resource;
  /** Complete reference of each image by its folder, released when it can be pulled. */
  readonly references: Readonly<Record<string, pulumi.Output<string>>>;

  constructor(name: string, args: BaseImagesArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:k8s:BaseImages", name, {}, opts);
    const { namespace } = args.registry.deployment;
    const objectMetadata = { name: "base-images", namespace, labels: labels(APPLICATION) };
    const references = Object.entries(args.images).map(
      ([folder, repository]) => [folder, `${args.registry.host}/${repository}`] as const,
    );

    const account = new k8s.core.v1.ServiceAccount(
      name,
      { metadata: objectMetadata, automountServiceAccountToken: false },
      { parent: this },
    );
    const login = dockerConfig(args.registry.push);
    const secret = new k8s.core.v1.Secret(
      name,
      {
        metadata: objectMetadata,
        type: "Opaque",
        data: secretData({ "config.json": login, "ca.crt": args.authority.certificatePem }),
      },
      { parent: this },
    );
    const push = new SetupJob(
      name,
      {
        namespace,
        objectName: "base-images",
        labels: APPLICATION,
        image: args.image,
        uid: UID,
        serviceAccountName: account.metadata.name,
        files: { "push-base-images.sh": readSource("k8s/registry/scripts/push-base-images.sh") },
        script: "push-base-images.sh",
        env: [
          { name: "IMAGES", value: references.map((pair) => pair.join(" ")).join("\n") },
          { name: "LOGIN", value: `${SECRET_FOLDER}/config.json` },
          { name: "SSL_CERT_FILE", value: `${SECRET_FOLDER}/ca.crt` },
        ],
        secrets: { login },
        secretFolders: { [SECRET_FOLDER]: secret.metadata.name },
      },
      { parent: this, dependsOn: [args.registry.ready] },
    );

    this.ready = push.job;
    this.references = Object.fromEntries(
      references.map(([folder, reference]) => [folder, push.job.id.apply(() => reference)]),
    );
    this.registerOutputs({ references: this.references });
  }
}
