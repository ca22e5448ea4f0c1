import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { CertificateAuthority } from "../../components/certificates";
import { type LabelArgs, labels } from "../../components/labels";
import { type Problem, ProblemsError } from "../../components/problems";
import { readSource } from "../../components/sourceFile";
import { restrictedContainer, restrictedPod, scratchVolume } from "../platform/restricted";
import type { Registry } from "./registry";
import { createRegistrySecret } from "./registryLogin";

/** User of the image `pipeline`. */
const UID = 1000;
const APPLICATION: LabelArgs = { name: "registry-retention", component: "image-registry" };
const SCRIPT = "prune_registry.py";
const FILES_FOLDER = "/run/config/retention";
const LOGIN_FOLDER = "/run/secrets/registry";

export interface RegistryRetentionArgs {
  /** The image `pipeline`: command `python3`. */
  readonly image: pulumi.Input<string>;
  readonly registry: Registry;
  /** Signed the registry's certificate. */
  readonly authority: Pick<CertificateAuthority, "certificatePem">;
  /** Tags that stay of each family, which is a tag without the number at its end. @default 10 */
  readonly keepTags?: number;
  /** When, as a cron expression, UTC; the registry is away for some seconds then. @default "30 4 * * *" */
  readonly schedule?: string;
  /** Namespaces whose Deployments' images stay, by stage. Shape: plain. */
  readonly stages: Readonly<Record<string, pulumi.Input<string>>>;
  /** Namespace of the ledger; what it names as the last two states of a stage stays. @default no ledger */
  readonly ledgerNamespace?: pulumi.Input<string>;
}

/**
 * Keeps the registry from growing without end: every night old tags go, and what no tag refers to is removed from the
 * volume when the registry starts again.
 *
 * Waits for: the registry and the namespaces. Costs: a pod for some seconds a night.
 * @throws ProblemsError with every wrong argument
 */
export class RegistryRetention extends pulumi.ComponentResource {
  constructor(name: string, args: RegistryRetentionArgs, opts?: pulumi.ComponentResourceOptions) {
    const problems = checkRetention(args);
    if (problems.length > 0) throw new ProblemsError(`the arguments of ${name}`, problems);
    super("gourmetgram:k8s:RegistryRetention", name, {}, opts);
    const { namespace } = args.registry.deployment;
    const child = { parent: this };

    const account = new k8s.core.v1.ServiceAccount(
      name,
      { metadata: metadata(namespace), automountServiceAccountToken: false },
      child,
    );
    grant(name, args, child);
    const login = createRegistrySecret(
      `${name}-login`,
      { namespace, login: args.registry.push, objectName: "registry-retention" },
      child,
    );
    const files = new k8s.core.v1.ConfigMap(
      name,
      {
        metadata: metadata(namespace),
        data: {
          [SCRIPT]: readSource(`k8s/registry/scripts/${SCRIPT}`),
          "ca.crt": args.authority.certificatePem,
        },
      },
      child,
    );
    new k8s.batch.v1.CronJob(
      name,
      {
        metadata: metadata(namespace),
        spec: {
          schedule: args.schedule ?? "30 4 * * *",
          timeZone: "Etc/UTC",
          // Never two at once; a night that was missed is made up for within two hours or left out.
          concurrencyPolicy: "Forbid",
          startingDeadlineSeconds: 7200,
          successfulJobsHistoryLimit: 1,
          failedJobsHistoryLimit: 1,
          jobTemplate: {
            metadata: { labels: labels(APPLICATION) },
            spec: {
              backoffLimit: 2,
              activeDeadlineSeconds: 900,
              template: {
                metadata: { labels: labels(APPLICATION) },
                spec: podSpec(args, {
                  account: account.metadata.name,
                  login,
                  files: files.metadata.name,
                }),
              },
            },
          },
        },
      },
      child,
    );
    this.registerOutputs({});
  }
}

/** Everything wrong with the plain arguments. */
export function checkRetention(
  args: Pick<RegistryRetentionArgs, "keepTags" | "schedule">,
): readonly Problem[] {
  const problems: Problem[] = [];
  const keep = args.keepTags ?? 1;
  if (!Number.isInteger(keep) || keep < 1) {
    problems.push({
      path: "keepTags",
      value: keep,
      problem: "is not a number of tags",
      allowed: "1 or more",
      next: "use 10",
    });
  }
  if (args.schedule !== undefined && args.schedule.trim().split(/\s+/).length !== 5) {
    problems.push({
      path: "schedule",
      value: args.schedule,
      problem: "is not a cron expression",
      allowed: "five fields: minute, hour, day, month, day of the week",
      next: `write for example "30 4 * * *"`,
    });
  }
  return problems;
}

function metadata(namespace: pulumi.Input<string>) {
  return { name: "registry-retention", namespace, labels: labels(APPLICATION) };
}

/** The rights: read the stages' Deployments and the ledger, start the registry anew. Nothing else. */
function grant(name: string, args: RegistryRetentionArgs, opts: pulumi.CustomResourceOptions): void {
  const { namespace, name: deployment } = args.registry.deployment;
  const role = (
    part: string,
    inNamespace: pulumi.Input<string>,
    rules: k8s.types.input.rbac.v1.PolicyRule[],
  ) => {
    const created = new k8s.rbac.v1.Role(part, { metadata: metadata(inNamespace), rules }, opts);
    new k8s.rbac.v1.RoleBinding(
      part,
      {
        metadata: metadata(inNamespace),
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: created.metadata.name },
        subjects: [{ kind: "ServiceAccount", name: "registry-retention", namespace }],
      },
      opts,
    );
  };
  role(`${name}-registry`, namespace, [
    { apiGroups: ["apps"], resources: ["deployments"], resourceNames: [deployment], verbs: ["patch"] },
  ]);
  for (const [stage, stageNamespace] of Object.entries(args.stages)) {
    role(`${name}-${stage}`, stageNamespace, [
      { apiGroups: ["apps"], resources: ["deployments"], verbs: ["list"] },
    ]);
  }
  if (args.ledgerNamespace !== undefined) {
    role(`${name}-ledger`, args.ledgerNamespace, [
      { apiGroups: ["gourmetgram.dev"], resources: ["ledgerentries"], verbs: ["list"] },
    ]);
  }
}

function podSpec(
  args: RegistryRetentionArgs,
  of: { account: pulumi.Input<string>; login: pulumi.Input<string>; files: pulumi.Input<string> },
): k8s.types.input.core.v1.PodSpec {
  const { namespace, name: deployment } = args.registry.deployment;
  return {
    ...restrictedPod(UID),
    serviceAccountName: of.account,
    automountServiceAccountToken: true,
    restartPolicy: "Never",
    containers: [
      {
        name: "prune",
        image: args.image,
        imagePullPolicy: "IfNotPresent",
        command: ["python3", `${FILES_FOLDER}/${SCRIPT}`],
        env: [
          { name: "REGISTRY", value: args.registry.host },
          { name: "REGISTRY_CA", value: `${FILES_FOLDER}/ca.crt` },
          { name: "LOGIN", value: `${LOGIN_FOLDER}/config.json` },
          { name: "KEEP", value: String(args.keepTags ?? 10) },
          {
            name: "STAGE_NAMESPACES",
            value: pulumi.all(Object.values(args.stages)).apply((names) => names.join(" ")),
          },
          { name: "LEDGER_NAMESPACE", value: args.ledgerNamespace ?? "" },
          { name: "DEPLOYMENT", value: `${namespace}/${deployment}` },
          { name: "KUBERNETES", value: "https://kubernetes.default.svc" },
          { name: "SERVICE_ACCOUNT", value: "/var/run/secrets/kubernetes.io/serviceaccount" },
          { name: "HOME", value: "/tmp" },
          { name: "PYTHONUNBUFFERED", value: "1" },
          { name: "PYTHONDONTWRITEBYTECODE", value: "1" },
        ],
        securityContext: restrictedContainer,
        resources: { requests: { cpu: "50m", memory: "64Mi" }, limits: { cpu: "500m", memory: "256Mi" } },
        terminationMessagePolicy: "FallbackToLogsOnError",
        volumeMounts: [
          { name: "files", mountPath: FILES_FOLDER, readOnly: true },
          { name: "login", mountPath: LOGIN_FOLDER, readOnly: true },
          { name: "tmp", mountPath: "/tmp" },
        ],
      },
    ],
    volumes: [
      { name: "files", configMap: { name: of.files } },
      {
        name: "login",
        secret: { secretName: of.login, items: [{ key: ".dockerconfigjson", path: "config.json" }] },
      },
      scratchVolume("tmp", "64Mi"),
    ],
  };
}
