import { DNS_LABEL_RULE, isDnsLabel } from "../../components/naming";
import type { Problem } from "../../components/problems";
import { parseBytes } from "../../components/quantity";

/** Every wrong plain argument of an ArgoEvents. */
export function checkArgoEvents(args: {
  readonly repository: string;
  readonly template: string;
  readonly storage: string;
}): readonly Problem[] {
  const problems: Problem[] = [];
  if (!/^[A-Za-z0-9_.-]+\/[A-Za-z0-9_.-]+$/.test(args.repository)) {
    problems.push({
      path: "repository",
      value: args.repository,
      problem: "is not the full name of a repository",
      allowed: "<owner>/<name>, as `repository.full_name` of push events",
      next: `write for example "gourmetgram/gourmetgram-train"`,
    });
  }
  if (!isDnsLabel(args.template, 50)) {
    problems.push({
      path: "workflow.template",
      value: args.template,
      problem: "is not a name for workflows",
      allowed: `${DNS_LABEL_RULE}, at most 50`,
      next: "name a WorkflowTemplate",
    });
  }
  if (parseBytes(args.storage) === undefined) {
    problems.push({
      path: "storage",
      value: args.storage,
      problem: "is not a size with a unit",
      allowed: "a number and a unit",
      next: `write for example "1Gi"`,
    });
  }
  return problems;
}
