import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import type { ExportedDeployment } from "./pending";
import { PROJECT_NAME, PROJECT_ROOT } from "./project";
import { hasOwnEncryption, type SettingsFile } from "./settings";

/**
 * What is kept between runs, outside Git: `.state/` in the project, readable by its owner only.
 * - `.pulumi/`: the engine's state, when no other backend is set
 * - `passphrase`: encrypts secrets in the state, made once
 * - `settings/`: each stack's settings together with its encryption salt, see `writeEffectiveSettings`
 * - `timings.json`: how long former runs took, for estimates
 */
export interface StatePaths {
  readonly root: string;
  readonly passphrase: string;
  readonly settings: string;
  readonly timings: string;
  /** Event logs and notes of commands that run now. */
  readonly runs: string;
}

export function statePaths(root: string = join(PROJECT_ROOT, ".state")): StatePaths {
  return {
    root,
    passphrase: join(root, "passphrase"),
    settings: join(root, "settings"),
    timings: join(root, "timings.json"),
    runs: join(root, "runs"),
  };
}

/** Makes the folders that are missing, and the passphrase unless the user brings one. Nothing that exists changes. */
export function ensureState(paths: StatePaths, environment: NodeJS.ProcessEnv = process.env): void {
  for (const folder of [paths.root, paths.settings, paths.runs]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  chmodSync(paths.root, 0o700);
  if (!bringsPassphrase(environment) && !existsSync(paths.passphrase)) {
    writeAtomically(paths.passphrase, randomBytes(32).toString("base64url"));
  }
  removeAbandonedRuns(paths);
  const project = join(paths.settings, "Pulumi.yaml");
  if (!existsSync(project)) {
    writeAtomically(project, stringify({ name: PROJECT_NAME, runtime: "nodejs" }));
  }
}

/**
 * A folder for files of this command that must not outlive it: event logs, a kubeconfig. Readable by the owner only.
 * The caller removes it; should the command be killed first, the next one does.
 */
export function makeRunFolder(runs: string, purpose: string): string {
  return mkdtempSync(join(runs, `${purpose}-${process.pid}-`));
}

function removeAbandonedRuns(paths: StatePaths): void {
  for (const name of readdirSync(paths.runs)) {
    const pid = /^[a-z]+-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) {
      rmSync(join(paths.runs, name), { recursive: true, force: true });
    }
  }
}

/** True when a process with this id exists on this host, whosever it is. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Where the engine keeps its state and how it opens secrets; what the user has set wins. */
export function backendVariables(
  paths: StatePaths,
  environment: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  return {
    PULUMI_BACKEND_URL: environment["PULUMI_BACKEND_URL"] || `file://${paths.root}`,
    ...(bringsPassphrase(environment) ? {} : { PULUMI_CONFIG_PASSPHRASE_FILE: paths.passphrase }),
  };
}

/** True when the state is in the project's own folder, so that its locks are files we can look at. */
export function isOwnBackend(paths: StatePaths, environment: NodeJS.ProcessEnv = process.env): boolean {
  return backendVariables(paths, environment)["PULUMI_BACKEND_URL"] === `file://${paths.root}`;
}

/**
 * The engine wants a stack's encryption salt in its settings file and writes it there. The salt belongs to the state
 * of this checkout, so a committed settings file must not get it: the engine is given a copy in `.state/settings`
 * that holds both. A file with encryption of its own (the user ran `pulumi config set --secret`) is used as it is.
 *
 * @returns the file for `--config-file`, or `undefined` when the engine shall use its usual one
 */
export function writeEffectiveSettings(
  file: SettingsFile,
  stack: string,
  paths: StatePaths,
): string | undefined {
  if (hasOwnEncryption(file)) {
    return undefined;
  }
  const path = effectiveSettingsPath(stack, paths);
  const before = existsSync(path) ? (parse(readFileSync(path, "utf8")) ?? {}) : {};
  const { config: _, ...encryption } = before as Record<string, unknown>;
  writeAtomically(path, stringify({ ...encryption, config: {}, ...file.content }));
  return path;
}

/** The copy of a stack's settings that the engine reads and writes. */
export function effectiveSettingsPath(stack: string, paths: StatePaths): string {
  return join(paths.settings, `Pulumi.${stack}.yaml`);
}

/** What was taken along from machines made anew (tools/provider/homeSnapshot.ts) is of no use without the environment. */
export function removeSnapshots(paths: StatePaths, stack: string): void {
  rmSync(join(paths.root, "snapshots", stack), { recursive: true, force: true });
}

/** Writes a file readable by its owner only; a reader sees the old content or the new, never a part. */
export function writeAtomically(path: string, content: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, path);
}

function bringsPassphrase(environment: NodeJS.ProcessEnv): boolean {
  return (
    environment["PULUMI_CONFIG_PASSPHRASE"] !== undefined || !!environment["PULUMI_CONFIG_PASSPHRASE_FILE"]
  );
}

/** Version of the engine's state files that `readOwnState` knows. */
const CHECKPOINT_VERSION = 3;

/**
 * The state in our own backend as `pulumi stack export` gives it, without the half second that takes. `undefined` when there is
 * none, or when its form is not the known one: then the engine has to be asked.
 */
export function readOwnState(paths: StatePaths, stack: string): ExportedDeployment | undefined {
  try {
    const file = JSON.parse(readFileSync(ownStatePath(paths, stack), "utf8")) as {
      readonly version?: number;
      readonly checkpoint?: { readonly latest?: ExportedDeployment["deployment"] };
    };
    const latest = file.checkpoint?.latest;
    return file.version === CHECKPOINT_VERSION && latest !== undefined
      ? { version: CHECKPOINT_VERSION, deployment: latest }
      : undefined;
  } catch {
    return undefined;
  }
}

/** True when there is a state in our own backend that `readOwnState` cannot read. */
export function hasUnknownForm(paths: StatePaths, stack: string): boolean {
  return existsSync(ownStatePath(paths, stack)) && readOwnState(paths, stack) === undefined;
}

function ownStatePath(paths: StatePaths, stack: string): string {
  return join(paths.root, ".pulumi", "stacks", PROJECT_NAME, `${stack}.json`);
}
