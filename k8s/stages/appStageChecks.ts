import { DNS_LABEL_RULE, isDnsLabel } from "../../components/naming";
import type { Problem } from "../../components/problems";
import { BYTE_UNIT_NAMES, parseBytes, parseCpu } from "../../components/quantity";
import type { AppStageArgs } from "./appStage";

/** The namespace is `gourmetgram-<stage>`, a label of 63 characters. */
const MAX_STAGE_LENGTH = 40;
const MAX_REPLICAS = 100;

/** Every wrong plain argument of an AppStage; nothing is said about values that come from other resources. */
export function checkAppStage(args: AppStageArgs): readonly Problem[] {
  return [...checkNames(args), ...checkReplicas(args), ...checkResources(args)];
}

function checkNames({ stage, imageRepository }: AppStageArgs): Problem[] {
  const problems: Problem[] = [];
  if (!isDnsLabel(stage, MAX_STAGE_LENGTH)) {
    problems.push({
      path: "stage",
      value: stage,
      problem: "cannot be part of a namespace's name",
      allowed: `${DNS_LABEL_RULE}, at most ${MAX_STAGE_LENGTH} characters`,
      next: "write for example staging",
    });
  }
  if (!/^[a-z0-9.-]+(:[0-9]+)?(\/[a-z0-9._-]+)+$/.test(imageRepository)) {
    problems.push({
      path: "imageRepository",
      value: imageRepository,
      problem: "is not a repository",
      allowed: "registry/repository, without tag and digest",
      next: "write for example registry.example:5000/gourmetgram-app",
    });
  }
  return problems;
}

function checkReplicas({ replicas, autoscaling }: AppStageArgs): Problem[] {
  const problems: Problem[] = [];
  const isCount = (value: number) => Number.isInteger(value) && value >= 1 && value <= MAX_REPLICAS;
  if (!isCount(replicas)) {
    problems.push({
      path: "replicas",
      value: replicas,
      problem: "is not a number of pods",
      allowed: `1 to ${MAX_REPLICAS}`,
      next: "use 1, or 2 to survive the loss of a node without a pause",
    });
  }
  if (autoscaling === undefined) return problems;
  const { maxReplicas, targetCpuPercent } = autoscaling;
  if (!isCount(maxReplicas) || maxReplicas < replicas) {
    problems.push({
      path: "autoscaling.maxReplicas",
      value: maxReplicas,
      problem: `is not a number of pods from ${replicas} on`,
      allowed: `${replicas} to ${MAX_REPLICAS}`,
      next: "raise it, or leave autoscaling out",
    });
  }
  if (!Number.isInteger(targetCpuPercent) || targetCpuPercent < 1 || targetCpuPercent > 100) {
    problems.push({
      path: "autoscaling.targetCpuPercent",
      value: targetCpuPercent,
      problem: "is not a share",
      allowed: "1 to 100",
      next: "use 70",
    });
  }
  return problems;
}

const AMOUNTS = {
  cpu: { parse: parseCpu, allowed: "CPUs, for example 500m or 2" },
  memory: { parse: parseBytes, allowed: `a number and one of ${BYTE_UNIT_NAMES.join(", ")}` },
} as const;

function checkResources({ resources }: AppStageArgs): Problem[] {
  return (["cpu", "memory"] as const).flatMap((kind) => {
    const { parse, allowed } = AMOUNTS[kind];
    const problems: Problem[] = (["requests", "limits"] as const)
      .filter((part) => parse(resources[part][kind]) === undefined)
      .map((part) => ({
        path: `resources.${part}.${kind}`,
        value: resources[part][kind],
        problem: "is not an amount",
        allowed,
        next: "correct it",
      }));
    const [request, limit] = [parse(resources.requests[kind]), parse(resources.limits[kind])];
    if (request !== undefined && limit !== undefined && request > limit) {
      problems.push({
        path: `resources.requests.${kind}`,
        value: resources.requests[kind],
        problem: `is above the limit ${resources.limits[kind]}`,
        allowed: `at most ${resources.limits[kind]}`,
        next: "lower it, or raise the limit",
      });
    }
    return problems;
  });
}
