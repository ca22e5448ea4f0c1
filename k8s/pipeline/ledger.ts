import * as k8s from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { labels } from "../../components/labels";

/** Group and plural of the ledger's kind, `LedgerEntry`. */
export const LEDGER_GROUP = "gourmetgram.dev";
export const LEDGER_RESOURCE = "ledgerentries";

/** As Kubernetes has it: the SDK's type spells the names of extensions with underscores. */
type Schema = k8s.types.input.apiextensions.v1.JSONSchemaProps & {
  readonly "x-kubernetes-validations"?: { readonly rule: string; readonly message: string }[];
};

/** What an entry says happened. `started` is written before a stage is touched; a later closing entry ends the change. */
const ACTIONS = ["started", "deployed", "reverted", "failed", "approved", "rejected", "frozen", "unfrozen"];
const STAGES = ["staging", "canary", "production"];

/**
 * The kind of the ledger's entries: what ran where, when, why and by whom. An entry never changes; that it is never deleted either is a
 * matter of rights, which nobody of the pipeline has.
 */
export function createLedgerDefinition(
  name: string,
  opts: pulumi.CustomResourceOptions,
): k8s.apiextensions.v1.CustomResourceDefinition {
  return new k8s.apiextensions.v1.CustomResourceDefinition(
    name,
    {
      metadata: { name: `${LEDGER_RESOURCE}.${LEDGER_GROUP}`, labels: labels({ name: "ledger" }) },
      spec: {
        group: LEDGER_GROUP,
        scope: "Namespaced",
        names: {
          kind: "LedgerEntry",
          listKind: "LedgerEntryList",
          plural: LEDGER_RESOURCE,
          singular: "ledgerentry",
          shortNames: ["ledger"],
        },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: { openAPIV3Schema: SCHEMA },
            // The pipeline asks for one stage, a person also for one change.
            selectableFields: [{ jsonPath: ".spec.stage" }, { jsonPath: ".spec.change" }],
            additionalPrinterColumns: [
              column("Stage", ".spec.stage"),
              column("Action", ".spec.action"),
              column("From", ".spec.from.version"),
              column("To", ".spec.to.version"),
              column("By", ".spec.by"),
              column("At", ".spec.at", "date"),
              column("Reason", ".spec.reason"),
              column("Digest", ".spec.to.digest", "string", 1),
              column("Workflow", ".spec.workflow", "string", 1),
            ],
          },
        ],
      },
    },
    opts,
  );
}

const RELEASE: Schema = {
  type: "object",
  description: "A version and its image; both empty: nothing.",
  required: ["version", "digest"],
  properties: {
    version: { type: "string", maxLength: 32, pattern: "^(1\\.0\\.(0|[1-9][0-9]*))?$" },
    digest: { type: "string", maxLength: 80, pattern: "^(sha256:[0-9a-f]{64})?$" },
  },
};

const SCHEMA: Schema = {
  type: "object",
  description: "One line of the ledger of a stage.",
  required: ["spec"],
  properties: {
    spec: {
      type: "object",
      required: ["stage", "action", "change", "from", "to", "reason", "by", "workflow", "at"],
      "x-kubernetes-validations": [
        { rule: "self == oldSelf", message: "an entry of the ledger does not change: write another one" },
      ],
      properties: {
        stage: { type: "string", enum: STAGES },
        action: { type: "string", enum: ACTIONS },
        change: text("The same in all entries of one change.", 253),
        from: { ...RELEASE, description: "What the stage ran before." },
        to: { ...RELEASE, description: "What the change is about." },
        reason: text("Why; begins with the name of the error when the action is failed.", 1024),
        by: text("Who asked for it.", 253),
        workflow: text("Workflow that did it; empty when a person did.", 253),
        at: { type: "string", format: "date-time", maxLength: 40 },
      },
    } as Schema,
  },
};

// Every text has a longest length: without one the API server cannot tell what comparing two entries costs.
function text(description: string, maxLength: number): Schema {
  return { type: "string", description, maxLength };
}

function column(
  name: string,
  jsonPath: string,
  type = "string",
  priority = 0,
): k8s.types.input.apiextensions.v1.CustomResourceColumnDefinition {
  return { name, type, jsonPath, priority };
}
