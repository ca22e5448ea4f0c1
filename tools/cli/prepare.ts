import { existsSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { formatProblem, type Problem, ProblemsError } from "../../components/problems";
import { formatBytes } from "../../components/quantity";
import { cloudsFile } from "../../infra/openstack/api/clouds";
import { CLOUDS_FILE_VARIABLE } from "../../infra/openstack/api/foreignVariables";
import {
  type EnvironmentSpec,
  type InfraKind,
  isHosts,
  isLocal,
  isOpenStack,
  publicPorts,
} from "../../stacks/spec";
import { cacheRoot } from "../cache/paths";
import type { CloudProject } from "./cloudProject";
import { CommandError, ExitCode } from "./commandError";
import { type Engine, runEngine } from "./engine";
import { withoutGivingBack } from "./hostSteps";
import { clearStaleLocks, describeLock, findLocks, lockState } from "./locks";
import { readLoginKey } from "./loginKey";
import {
  type BuildPlan,
  loadBundle,
  loadCloudProject,
  loadHostsPreflight,
  loadPreflight,
  loadToolchain,
} from "./partners";
import {
  countResources,
  type ExportedDeployment,
  machineUrns,
  protectedNames,
  withoutPendingOperations,
} from "./pending";
import { seconds } from "./progress";
import { PROJECT_ROOT } from "./project";
import { parseSettings, readSettingsFile, type SettingsFile } from "./settings";
import {
  backendVariables,
  ensureState,
  hasUnknownForm,
  isOwnBackend,
  isRunning,
  makeRunFolder,
  readOwnState,
  type StatePaths,
  statePaths,
  writeAtomically,
  writeEffectiveSettings,
} from "./state";
import { withSteps } from "./stepPrinter";

/** Prints a line of progress; on stderr, so that stdout holds results only. */
export type Print = (line: string) => void;

export const printProgress: Print = (line) => {
  process.stderr.write(`${line}\n`);
};

/** An environment whose state can be reached; no settings were checked. */
export interface StackAccess {
  readonly stack: string;
  readonly paths: StatePaths;
  readonly engine: Engine;
  /** Says which plugins in use are this project's own; undefined when all are the official ones. */
  readonly offlineNotice: string | undefined;
}

/** Reads and checks the settings; within a second, before anything is made. @throws ProblemsError */
export function checkSettings(stack: string): {
  readonly file: SettingsFile;
  readonly spec: EnvironmentSpec;
} {
  const file = readSettingsFile(stack);
  return { file, spec: parseSettings(file, stack) };
}

/** Checks that go on beside other work. */
export interface OngoingChecks {
  /** The project, open, when there is one. */
  readonly project?: CloudProject;
  /** Settled when all is well. Whoever makes or builds anything waits for it. */
  readonly passed: Promise<void>;
  /** What refuses a plan that makes a machine; undefined when nothing does. */
  readonly refusal: Promise<CommandError | undefined>;
}

/**
 * Checks where the machines of the environment are to be: this host, the OpenStack project, or the machines themselves. What cannot
 * even be logged in to is refused at once; the rest of a project's checks take as long as a preview and go on beside it.
 *
 * @throws ProblemsError with all problems; so does `passed`
 */
export async function startMachineChecks(
  spec: EnvironmentSpec,
  print: Print = printProgress,
): Promise<OngoingChecks> {
  if (isLocal(spec)) refuse("this host", loadPreflight().checkLocalHost(spec));
  if (!isOpenStack(spec)) return { passed: Promise.resolve(), refusal: Promise.resolve(undefined) };
  const { openCloudProject, checkProject } = loadCloudProject();
  const project = await openCloudProject(spec, await readState(spec.name, print, pluginsOf(spec.infra.kind)));
  const refusal = checkProject(project, print);
  const passed = refusal.then(() => {});
  // Told where it is waited for, which may be later than it happens.
  for (const each of [refusal, passed]) each.catch(() => {});
  return { project, passed, refusal };
}

/**
 * Checks machines that exist already, over SSH with the key of the settings, which only the engine can decrypt.
 *
 * @throws ProblemsError with all problems of all machines
 */
export async function checkExistingHosts(
  spec: EnvironmentSpec,
  access: StackAccess,
  file: SettingsFile,
  print: Print = printProgress,
): Promise<void> {
  if (!isHosts(spec)) return;
  const privateKey = await readLoginKey(access, file);
  const folder = makeRunFolder(access.paths.runs, "hosts");
  try {
    const problems = await loadHostsPreflight().checkHosts(spec, {
      ...(privateKey === undefined ? {} : { privateKey }),
      publicPorts: publicPorts(spec),
      ...(spec.cluster.bundleUrl === undefined ? {} : { bundleUrl: spec.cluster.bundleUrl }),
      folder,
      note: (problem) => print(formatProblem(problem)),
    });
    refuse("the machines", problems);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function refuse(where: string, problems: readonly Problem[]): void {
  if (problems.length > 0) throw new ProblemsError(where, problems);
}

/** Provider plugins besides those that every environment needs. */
export function pluginsOf(kind: InfraKind): readonly string[] {
  return kind === "openstack" ? ["openstack"] : [];
}

/** The same access, with more in the environment of the engine and its plugins. */
export function withVariables(access: StackAccess, variables: Readonly<Record<string, string>>): StackAccess {
  const environment = { ...access.engine.environment, ...variables };
  return { ...access, engine: { ...access.engine, environment } };
}

/**
 * Makes sure of the state folder and the engine.
 *
 * @param plugins provider plugins besides those that every environment needs, such as `openstack`
 * @param before what must be settled before anything is built
 */
export async function openStack(
  stack: string,
  print: Print = printProgress,
  plugins: readonly string[] = [],
  before: Promise<void> = Promise.resolve(),
): Promise<StackAccess> {
  const paths = statePaths();
  ensureState(paths);
  const toolchainModule = loadToolchain();
  const plan = await toolchainModule.planToolchain({ plugins });
  await announceBuild("the engine and its plugins", plan, print, before);
  const toolchain = await withSteps(print, (report) => toolchainModule.ensureToolchain({ report, plugins }));
  const environment = {
    ...toolchain.env,
    ...backendVariables(paths),
    ...(plugins.includes("openstack") ? cloudVariables() : {}),
  };
  const engine = { pulumi: toolchain.pulumi, environment, runsFolder: paths.runs };
  return { stack, paths, engine, offlineNotice: toolchain.notice };
}

/** The provider looks in other places than its makers' other tools do (not in $HOME): it is told the file. */
function cloudVariables(): Record<string, string> {
  const file = cloudsFile({ env: process.env, cwd: PROJECT_ROOT, home: homedir() });
  return file === undefined ? {} : { [CLOUDS_FILE_VARIABLE]: file };
}

/** Makes sure of the bundle and tells the program where it is. Machines alone, other than local ones, need none. */
export async function withBundle(
  access: StackAccess,
  kind: InfraKind = "local",
  print: Print = printProgress,
  before: Promise<void> = Promise.resolve(),
): Promise<StackAccess> {
  if (kind !== "local" && process.env["GOURMETGRAM_UP_TO"] === "machines") return access;
  const bundleModule = loadBundle();
  await announceBuild("Kubernetes and the platform's images", await bundleModule.planBundle(), print, before);
  const bundle = await withSteps(print, (report) => bundleModule.ensureBundle({ report }));
  const environment = {
    ...access.engine.environment,
    GOURMETGRAM_BUNDLE_DIR: bundle.bundleDir,
    GOURMETGRAM_MACHINE_DIR: bundle.machineDir,
  };
  return { ...access, engine: { ...access.engine, environment } };
}

/** Tells what is going to be built, and refuses when the disk is too small for it. */
export async function announceBuild(
  what: string,
  plan: BuildPlan,
  print: Print,
  before: Promise<void> = Promise.resolve(),
): Promise<void> {
  if (plan.missing.length === 0) {
    return;
  }
  await before;
  const folder = firstExisting(cacheRoot());
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < plan.peakBytes) {
    throw new ProblemsError("this host", [
      {
        path: "host.disk",
        value: `${formatBytes(free)} free below ${folder}`,
        problem: `is too little to get ${what}`,
        allowed: `at least ${formatBytes(plan.peakBytes)} free`,
        next: "free some space, or set GOURMETGRAM_CACHE to a folder on a larger disk",
      },
    ]);
  }
  print(
    `Getting ${what}, once for this host: ${plan.missing.length} parts, about ${seconds(plan.seconds)} if all have to be built, up to ${formatBytes(plan.peakBytes)} of disk.`,
  );
}

/** Option of commands that would give machines back which existed before the environment. */
export const GONE_OPTION = [
  "--gone <node>",
  "this machine, which existed before, is gone for good: do not try to give it back; can be given again",
  (node: string, nodes: readonly string[]) => [...nodes, node],
  [] as readonly string[],
] as const satisfies [
  string,
  string,
  (node: string, nodes: readonly string[]) => readonly string[],
  readonly string[],
];

/** The state of an environment, unlocked and without leftovers of killed runs. */
export interface OpenState {
  /** What no destroy may remove. */
  readonly protectedNames: readonly string[];
  /** Resources in the state, components not counted. */
  readonly resources: number;
  /** URN of each node's machine, by node name. */
  readonly machines: Readonly<Record<string, string>>;
}

/**
 * Makes the environment's state ready for a run: selects or creates the stack, clears the lock and the pending
 * operations of a killed run. A lock of a live run or of another host stays.
 *
 * @param create make the stack when there is none
 * @returns undefined when there is no such stack and it may not be created
 */
export async function openState(
  access: StackAccess,
  create: boolean,
  print: Print = printProgress,
): Promise<OpenState | undefined> {
  if (isOwnBackend(access.paths)) {
    await unlock(access, print);
  }
  const exported = await exportState(access);
  if (exported === undefined) {
    if (!create) {
      return undefined;
    }
    await createStack(access);
    return { resources: 0, machines: {}, protectedNames: [] };
  }
  const cleaned = withoutPendingOperations(exported);
  if (cleaned !== undefined) {
    await importState(access, cleaned.deployment);
    print(
      `An earlier run was killed in the middle of: ${cleaned.dropped.join(", ")}. They will be taken up again.`,
    );
  }
  return {
    resources: countResources(exported),
    machines: machineUrns(exported),
    protectedNames: protectedNames(exported),
  };
}

/** Arguments that name the stack and its settings, for operations that run the program. */
export function stackArguments(access: StackAccess, file: SettingsFile): string[] {
  const configFile = writeEffectiveSettings(file, access.stack, access.paths);
  return ["--stack", access.stack, ...(configFile === undefined ? [] : ["--config-file", configFile])];
}

/**
 * The state of an environment before its engine is there, which then need not be: a state in our own backend is a file. Only for
 * another backend, or a file of an unknown form, the engine is seen to and asked.
 */
export async function readState(
  stack: string,
  print: Print = printProgress,
  plugins: readonly string[] = [],
): Promise<ExportedDeployment | undefined> {
  const paths = statePaths();
  if (isOwnBackend(paths)) {
    const own = readOwnState(paths, stack);
    if (own !== undefined || !hasUnknownForm(paths, stack)) return own;
  }
  return exportState(await openStack(stack, print, plugins));
}

/** The state as the engine exports it, secrets encrypted; undefined when there is no such stack. */
export async function exportState(access: StackAccess): Promise<ExportedDeployment | undefined> {
  const own = isOwnBackend(access.paths) ? readOwnState(access.paths, access.stack) : undefined;
  if (own !== undefined) {
    return own;
  }
  const result = await runEngine(
    access.engine,
    ["stack", "export", "--stack", access.stack],
    access.paths.settings,
  );
  if (result.exitCode === 0) {
    return JSON.parse(result.stdout) as ExportedDeployment;
  }
  if (/no stack named/.test(result.stderr)) {
    return undefined;
  }
  throw new CommandError(`The state of "${access.stack}" cannot be read:\n${result.stderr.trim()}`);
}

/**
 * Machines that existed before the environment and are gone for good: the state no longer asks to give them back over SSH.
 *
 * @throws CommandError when one of them is no such machine
 */
export async function giveUpHosts(access: StackAccess, nodes: readonly string[]): Promise<void> {
  if (nodes.length === 0) return;
  const exported = await exportState(access);
  const changed = exported === undefined ? undefined : withoutGivingBack(exported, nodes);
  if (changed === undefined) {
    throw new CommandError(
      `--gone ${nodes.join(", ")}: the environment has no machine of that name that existed before it.`,
      ExitCode.refused,
    );
  }
  await importState(access, changed);
}

async function importState(access: StackAccess, deployment: ExportedDeployment): Promise<void> {
  const path = join(access.paths.runs, `${access.stack}.${process.pid}.json`);
  writeAtomically(path, JSON.stringify(deployment));
  try {
    const args = ["stack", "import", "--stack", access.stack, "--file", path];
    const result = await runEngine(access.engine, args, access.paths.settings);
    if (result.exitCode !== 0) {
      throw new CommandError(`The state of "${access.stack}" cannot be repaired:\n${result.stderr.trim()}`);
    }
  } finally {
    rmSync(path, { force: true });
  }
}

async function createStack(access: StackAccess): Promise<void> {
  const args = ["stack", "init", access.stack, "--no-select"];
  const result = await runEngine(access.engine, args, access.paths.settings);
  if (result.exitCode !== 0) {
    throw new CommandError(`The stack "${access.stack}" cannot be created:\n${result.stderr.trim()}`);
  }
}

/** Removes a stack's state, whatever is in it; without one nothing happens. */
export async function removeStack(access: StackAccess): Promise<void> {
  const args = ["stack", "rm", access.stack, "--force", "--yes", "--preserve-config"];
  const result = await runEngine(access.engine, args, access.paths.settings);
  if (result.exitCode !== 0 && !/no stack named/.test(result.stderr)) {
    throw new CommandError(`The stack "${access.stack}" cannot be removed:\n${result.stderr.trim()}`);
  }
}

async function unlock(access: StackAccess, print: Print): Promise<void> {
  const { stack, paths } = access;
  await endOrphan(access, print);
  clearStaleLocks(findLocks(paths.root, stack)).forEach(print);
  const [lock] = findLocks(paths.root, stack);
  if (lock !== undefined) {
    const { found, next } = describeLock(lock, stack);
    throw new CommandError(`${found}\n  next: ${next}`, ExitCode.refused);
  }
}

/** Which engine works for which command; written while it runs, so that a killed command can be told from a live one. */
export function runNotePath(access: StackAccess): string {
  return join(access.paths.runs, `${access.stack}.json`);
}

/** How long an engine without its command may take to end in good order. */
const ORPHAN_SECONDS = 60;

/** `kill -9` of a command leaves its engine running, with the lock. Nobody would see its end: stop it first. */
async function endOrphan(access: StackAccess, print: Print): Promise<void> {
  const note = readRunNote(runNotePath(access));
  const lock = findLocks(access.paths.root, access.stack).find(
    (candidate) => candidate.owner?.pid === note?.engine && lockState(candidate) === "live",
  );
  if (note === undefined || lock === undefined || isRunning(note.command)) {
    return;
  }
  print(
    `An earlier command was killed, its engine (process ${note.engine}) still works: ending it in good order.`,
  );
  process.kill(note.engine, "SIGINT");
  const deadline = Date.now() + ORPHAN_SECONDS * 1000;
  while (lockState(lock) === "live" && Date.now() < deadline) {
    await new Promise((wake) => setTimeout(wake, 200));
  }
  if (lockState(lock) === "live") {
    print(`It did not end within ${ORPHAN_SECONDS} s: ending it at once.`);
    process.kill(note.engine, "SIGKILL");
    await new Promise((wake) => setTimeout(wake, 500));
  }
}

function readRunNote(path: string): { readonly command: number; readonly engine: number } | undefined {
  if (!existsSync(path)) {
    return undefined;
  }
  try {
    const { command, engine } = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    return typeof command === "number" && typeof engine === "number" ? { command, engine } : undefined;
  } catch {
    return undefined;
  }
}

function firstExisting(path: string): string {
  return existsSync(path) ? path : firstExisting(dirname(path));
}
