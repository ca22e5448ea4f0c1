import type { Problem } from "../../components/problems";
import type { WorkflowRetention } from "./workflowControllerConfig";

/** Every wrong plain argument of an ArgoWorkflows. */
export function checkArgoWorkflows(args: {
  readonly folder: string;
  readonly retention: WorkflowRetention;
}): readonly Problem[] {
  const problems: Problem[] = [];
  // It becomes part of a template of Argo's: braces would be a variable.
  if (!/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/.test(args.folder)) {
    problems.push({
      path: "folder",
      value: args.folder,
      problem: "is not a folder of a bucket",
      allowed: "letters, digits, '.', '_', '-', parts divided by '/'",
      next: `write for example "workflows"`,
    });
  }
  for (const [field, value] of Object.entries(args.retention)) {
    if (Number.isInteger(value) && value >= 0) continue;
    problems.push({
      path: `retention.${field}`,
      value,
      problem: "is not a length of time",
      allowed: "a whole number, 0 or more",
      next: "leave it out for the default",
    });
  }
  return problems;
}
