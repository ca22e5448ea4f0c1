import * as pulumi from "@pulumi/pulumi";
import type { LabelArgs } from "../../components/labels";
import { createAccount, grant, type PolicyRule } from "../argo/rbac";
import { LEDGER_GROUP, LEDGER_RESOURCE } from "./ledger";
import { STAGE_PREFIX } from "./pipelineSettings";

/** Kinds of steps; each has its own account and only the rights its steps use. */
export const STEP_CLASSES = ["runner", "builder", "deployer", "tester"] as const;
export type StepClass = (typeof STEP_CLASSES)[number];

/** Name of Deployment and Service in every stage. */
const APPLICATION = "gourmetgram-app";

/** How Argo's part of a pod says what the step gave out. Every workflow pod needs this, and training code gets no more. */
const EXECUTOR: PolicyRule = {
  apiGroups: ["argoproj.io"],
  resources: ["workflowtaskresults"],
  verbs: ["create", "patch"],
};

/** Reading the ledger and adding to it: what was written stays. */
const LEDGER: PolicyRule = {
  apiGroups: [LEDGER_GROUP],
  resources: [LEDGER_RESOURCE],
  verbs: ["create", "get", "list"],
};

const IN_WORKFLOWS: Readonly<Record<StepClass, readonly PolicyRule[]>> = {
  runner: [EXECUTOR],
  builder: [EXECUTOR],
  deployer: [EXECUTOR, LEDGER],
  tester: [EXECUTOR, LEDGER],
};

const LOOK_AT_ROLLOUT: readonly PolicyRule[] = [
  { apiGroups: ["apps"], resources: ["deployments"], resourceNames: [APPLICATION], verbs: ["get"] },
  { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
];

const LOOK_AT_RESOURCES: readonly PolicyRule[] = [
  ...LOOK_AT_ROLLOUT,
  { apiGroups: ["apps"], resources: ["replicasets"], verbs: ["list"] },
  { apiGroups: ["metrics.k8s.io"], resources: ["pods"], verbs: ["list"] },
];

export interface StepAccountsArgs {
  /** Namespace of the workflows. */
  readonly namespace: pulumi.Input<string>;
  /** Namespace of the Argo CD Applications. */
  readonly applicationNamespace: pulumi.Input<string>;
  /** Stage -> its namespace, in the order of promotion. */
  readonly stages: Readonly<Record<string, pulumi.Input<string>>>;
}

/**
 * ServiceAccounts `pipeline-<class>` and their rights. Only the deployer writes outside of its namespace, and only to the Applications
 * of the stages. None may read a Secret: what a step is given is mounted.
 *
 * @returns what must be done before a step can run
 */
export function createStepAccounts(
  name: string,
  args: StepAccountsArgs,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<pulumi.Resource[]> {
  const account = (stepClass: StepClass) =>
    createAccount(
      `${name}-${stepClass}`,
      {
        namespace: args.namespace,
        objectName: objectName(stepClass),
        labels: accountLabels(stepClass),
        rules: IN_WORKFLOWS[stepClass],
        automountToken: true,
      },
      opts,
    );
  const grantIn = (
    stepClass: StepClass,
    where: string,
    namespace: pulumi.Input<string>,
    rules: readonly PolicyRule[],
  ) =>
    grant(
      `${name}-${stepClass}-${where}`,
      {
        namespace,
        objectName: objectName(stepClass),
        labels: accountLabels(stepClass),
        rules,
        account: { name: accounts[stepClass], namespace: args.namespace },
      },
      opts,
    );

  const accounts = {
    runner: account("runner"),
    builder: account("builder"),
    deployer: account("deployer"),
    tester: account("tester"),
  };
  const applications: PolicyRule = {
    apiGroups: ["argoproj.io"],
    resources: ["applications"],
    resourceNames: Object.keys(args.stages).map((stage) => `${STAGE_PREFIX}${stage}`),
    verbs: ["get", "patch"],
  };
  const grants = [
    grantIn("deployer", "applications", args.applicationNamespace, [applications]),
    ...Object.entries(args.stages).map(([stage, namespace]) =>
      grantIn("deployer", stage, namespace, LOOK_AT_ROLLOUT),
    ),
    // The gates judge the first stage only.
    ...Object.entries(args.stages)
      .slice(0, 1)
      .map(([stage, namespace]) => grantIn("tester", stage, namespace, LOOK_AT_RESOURCES)),
  ];
  return pulumi.output(accounts).apply(() => grants);
}

function objectName(stepClass: StepClass): string {
  return `pipeline-${stepClass}`;
}

function accountLabels(stepClass: StepClass): LabelArgs {
  return { name: "pipeline", instance: objectName(stepClass), component: stepClass };
}
