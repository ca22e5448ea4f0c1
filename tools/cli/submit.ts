import { CommandError, ExitCode } from "./commandError";
import { followWorkflow, renderEnd } from "./follow";
import { createObject, findJson, type KubeClient, type OpenCluster } from "./kubeClient";
import { WORKFLOW_NAMESPACE } from "./pipeline";
import { printProgress } from "./prepare";
import { isOver, type Workflow } from "./workflowStatus";

/** What is to be started. */
export interface Submission {
  /** Name of the WorkflowTemplate. */
  readonly template: string;
  /** Values of its parameters; `undefined` leaves the template's own default. */
  readonly parameters: Readonly<Record<string, string | undefined>>;
}

interface WorkflowTemplate {
  readonly spec: {
    readonly arguments?: { readonly parameters?: readonly { readonly name: string }[] };
  };
}

/**
 * Starts a workflow from its template.
 *
 * @returns its name
 * @throws CommandError when there is no such template, or it takes no such parameter
 */
export async function submitWorkflow(
  client: KubeClient,
  stack: string,
  { template, parameters }: Submission,
): Promise<string> {
  const found = await findJson<WorkflowTemplate>(
    client,
    "--namespace",
    WORKFLOW_NAMESPACE,
    "workflowtemplates.argoproj.io",
    template,
  );
  if (found === undefined) {
    throw new CommandError(
      `The environment "${stack}" has no workflow template ${template}. Next: npm run up${stack === "local" ? "" : ` -- ${stack}`}`,
      ExitCode.refused,
    );
  }
  const given = Object.entries(parameters).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const known = (found.spec.arguments?.parameters ?? []).map(({ name }) => name);
  const unknown = given.map(([name]) => name).filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new CommandError(
      `The workflow template ${template} of "${stack}" takes no parameter ${unknown.join(", ")}. It takes: ${known.join(", ") || "none"}.\n  next: npm run up brings the templates to this checkout's state`,
      ExitCode.refused,
    );
  }
  const created = await createObject<Workflow>(client, {
    apiVersion: "argoproj.io/v1alpha1",
    kind: "Workflow",
    metadata: { generateName: `${template}-`, namespace: WORKFLOW_NAMESPACE },
    spec: {
      workflowTemplateRef: { name: template },
      arguments: { parameters: given.map(([name, value]) => ({ name, value })) },
    },
  });
  return created.metadata.name;
}

/** Starts a workflow and, when asked, watches it to its end; the exit code tells how it ended. */
export async function submitAndFollow(
  { client, stack, signal }: OpenCluster,
  submission: Submission,
  wait: boolean,
): Promise<void> {
  const name = await submitWorkflow(client, stack, submission);
  process.stdout.write(`${name}\n`);
  if (!wait) {
    printProgress(`Started. Next: npm run argo -- --stack ${stack} watch ${name}`);
    return;
  }
  await followToEnd({ client, stack, signal }, name);
}

/** @throws CommandError when the workflow did not succeed */
export async function followToEnd(
  { client, stack, signal }: Pick<OpenCluster, "client" | "stack" | "signal">,
  name: string,
): Promise<void> {
  const workflow = await followWorkflow({ client, stack, name, signal, print: printProgress });
  const end = renderEnd(workflow, stack);
  if (isOver(workflow) && workflow.status?.phase !== "Succeeded") {
    throw new CommandError(end);
  }
  printProgress(end);
}
