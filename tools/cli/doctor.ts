import { existsSync, statfsSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { Command } from "commander";
import { ProblemsError } from "../../components/problems";
import { formatBytes, parseBytes } from "../../components/quantity";
import { type EnvironmentSpec, isLocal, isOpenStack } from "../../stacks/spec";
import { cacheRoot } from "../cache/paths";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { describeLock, findLocks, lockState } from "./locks";
import { existingOf } from "./openstackState";
import { type BuildPlan, loadBundle, loadCloudProject, loadPreflight, loadToolchain } from "./partners";
import { checkSettings, pluginsOf, printProgress, readState } from "./prepare";
import { seconds } from "./progress";
import { DEFAULT_STACK } from "./project";
import { isOwnBackend, statePaths } from "./state";

/** One line of the doctor's table. */
export interface Finding {
  readonly check: string;
  /** `wait`: nothing is wrong, but the next `up` has more to do. */
  readonly result: "pass" | "wait" | "fail";
  readonly found: string;
  /** What to do; only for what does not pass. */
  readonly next?: string;
}

/** `npm run doctor`: everything that can keep `up` from working, without changing anything. */
export function createDoctorCommand(): Command {
  const command = new Command("doctor")
    .description(
      "Check this host, the settings and the state: what passes, what fails, what to do. Changes nothing.",
    )
    .argument("[stack]", "environment", DEFAULT_STACK)
    .action(doctor);
  return withExamples(command, [
    ["npm run doctor", "exit code 0 when `up` can start, 2 when it cannot"],
    ["npm run doctor -- mystack", "with the settings of Pulumi.mystack.yaml"],
  ]);
}

async function doctor(stack: string): Promise<void> {
  const settings = checkStackSettings(stack);
  const plugins = settings.spec === undefined ? [] : pluginsOf(settings.spec.infra.kind);
  const toolchain = await planOf(async () => loadToolchain().planToolchain({ plugins }));
  const bundle = await planOf(async () => loadBundle().planBundle());
  const findings = [
    nodeFinding(process.version),
    settings.finding,
    ...(settings.spec === undefined ? [] : await hostFindings(settings.spec)),
    ...(settings.spec === undefined ? [] : await projectFindings(settings.spec)),
    ...memoryFindings(settings.spec),
    planFinding("toolchain", toolchain),
    planFinding("bundle", bundle),
    goFinding([toolchain, bundle], findOnPath("go")),
    diskFinding([toolchain, bundle]),
    ...lockFindings(stack),
  ];
  process.stdout.write(`${renderFindings(findings)}\n`);
  const failed = findings.filter(({ result }) => result === "fail").length;
  if (failed > 0) {
    throw new CommandError(`${failed} checks failed; their next steps are above.`, ExitCode.refused);
  }
}

/** A table: result, check, what was found, and below it the next step. */
export function renderFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  return findings
    .flatMap(({ check, result, found, next }) => [
      `${result}  ${check.padEnd(width)}  ${found}`,
      ...(next === undefined ? [] : [`${" ".repeat(width + 8)}next: ${next}`]),
    ])
    .join("\n");
}

/** tools/run.mjs refuses older ones; this line is for those who start the program another way. */
function nodeFinding(version: string): Finding {
  const enough = Number(version.slice(1).split(".")[0]) >= 20;
  return enough
    ? { check: "Node", result: "pass", found: version }
    : { check: "Node", result: "fail", found: version, next: "install Node 20 or newer" };
}

function checkStackSettings(stack: string): { readonly finding: Finding; readonly spec?: EnvironmentSpec } {
  const check = `Pulumi.${stack}.yaml`;
  try {
    const { spec } = checkSettings(stack);
    const nodes = Object.keys(spec.nodes).length;
    return { spec, finding: { check, result: "pass", found: `${nodes} nodes in ${spec.infra.cidr}` } };
  } catch (error) {
    if (!(error instanceof ProblemsError)) {
      throw error;
    }
    return {
      finding: { check, result: "fail", found: error.message, next: `correct Pulumi.${stack}.yaml` },
    };
  }
}

async function hostFindings(spec: EnvironmentSpec): Promise<Finding[]> {
  if (!isLocal(spec)) return [];
  const problems = loadPreflight().checkLocalHost(spec);
  if (problems.length === 0) {
    return [{ check: "host", result: "pass", found: "Linux, root, kernel features, tools and subnet" }];
  }
  return problems.map(({ path, value, problem, allowed, next }) => ({
    check: path,
    result: "fail",
    found: [
      value === undefined ? "" : String(value),
      problem,
      allowed === undefined ? "" : `(needed: ${allowed})`,
    ]
      .filter((text) => text !== "")
      .join(" "),
    next,
  }));
}

/** What the OpenStack project has and lacks; a project that cannot be opened is one finding. */
async function projectFindings(spec: EnvironmentSpec): Promise<Finding[]> {
  if (!isOpenStack(spec)) return [];
  const { openProject, preflight } = loadCloudProject();
  const plugins = pluginsOf(spec.infra.kind);
  if (!isOwnBackend(statePaths()) && (await loadToolchain().planToolchain({ plugins })).missing.length > 0) {
    const found = "not looked at: what is there already only the engine can read from this backend";
    return [{ check: "project", result: "wait", found, next: "npm run toolchain" }];
  }
  try {
    const session = await openProject(spec.infra.cloud);
    const existing = existingOf(await readState(spec.name, printProgress, plugins));
    const rows = await preflight({ session, spec, existing });
    session.close();
    return rows.map(({ check, ok, found, problem }) => ({
      check,
      result: ok ? "pass" : "fail",
      found,
      ...(problem === undefined ? {} : { next: problem.next }),
    }));
  } catch (error) {
    if (!(error instanceof ProblemsError)) throw error;
    return error.problems.map(({ path, problem, next }) => ({
      check: path,
      result: "fail",
      found: problem,
      next,
    }));
  }
}

function memoryFindings(spec: EnvironmentSpec | undefined): Finding[] {
  if (spec === undefined || !isLocal(spec)) return [];
  const limits = Object.values(spec.nodes).map((node) => node.memory ?? spec.infra.memory);
  return [memoryFinding(limits, totalmem(), freemem())];
}

/** Limits above the host's memory are allowed (machines rarely use all of theirs) but worth knowing. */
export function memoryFinding(limits: readonly string[], total: number, free: number): Finding {
  const sum = limits.reduce((bytes, limit) => bytes + (parseBytes(limit) ?? 0), 0);
  const found = `${formatBytes(free)} free of ${formatBytes(total)}, the machines' limits are ${formatBytes(sum)}`;
  return sum <= total
    ? { check: "memory", result: "pass", found }
    : { check: "memory", result: "wait", found, next: "lower infra.memory, or have fewer nodes" };
}

async function planOf(read: () => Promise<BuildPlan>): Promise<BuildPlan> {
  return await read();
}

function planFinding(check: string, plan: BuildPlan): Finding {
  return plan.missing.length === 0
    ? { check, result: "pass", found: "complete" }
    : {
        check,
        result: "wait",
        found: `${plan.missing.length} parts missing: ${plan.missing.slice(0, 5).join(", ")}${plan.missing.length > 5 ? ", ..." : ""}`,
        next: `npm run ${check} gets them (up does too), about ${seconds(plan.seconds)} if all have to be built`,
      };
}

/** Go is needed only for what is missing and cannot be downloaded. */
export function goFinding(plans: readonly BuildPlan[], go: string | undefined): Finding {
  const missing = plans.some((plan) => plan.missing.length > 0);
  if (go !== undefined) {
    return { check: "Go", result: "pass", found: go };
  }
  return missing
    ? {
        check: "Go",
        result: "wait",
        found: "not on PATH",
        next: "install Go if the downloads are out of reach",
      }
    : { check: "Go", result: "pass", found: "not on PATH, and not needed" };
}

function diskFinding(plans: readonly BuildPlan[]): Finding {
  const folder = firstExisting(cacheRoot());
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  // The machines' own disks grow after that: container layers, volumes and logs.
  const needed = Math.max(2 * 2 ** 30, ...plans.map((plan) => plan.peakBytes));
  const found = `${formatBytes(free)} free below ${folder}, ${formatBytes(needed)} needed`;
  return free >= needed
    ? { check: "disk", result: "pass", found }
    : {
        check: "disk",
        result: "fail",
        found,
        next: "free some space, or set GOURMETGRAM_CACHE to a larger disk",
      };
}

function lockFindings(stack: string): Finding[] {
  const locks = findLocks(statePaths().root, stack);
  if (locks.length === 0) {
    return [{ check: "locks", result: "pass", found: "none" }];
  }
  return locks.map((lock): Finding => {
    if (lockState(lock) === "stale") {
      const found = `of a run that was killed (process ${lock.owner?.pid})`;
      return { check: "locks", result: "wait", found, next: "the next command removes it" };
    }
    return { check: "locks", result: "fail", ...describeLock(lock, stack) };
  });
}

function findOnPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

function firstExisting(path: string): string {
  return existsSync(path) ? path : firstExisting(dirname(path));
}
