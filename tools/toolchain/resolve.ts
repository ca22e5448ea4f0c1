import { execFile } from "node:child_process";
import { access, constants, realpath, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { contentKey } from "../cache/paths";
import { verifyFolder } from "../cache/store";
import { buildKey } from "./sources";
import type { Part, ToolchainSettings } from "./types";

/** A part that is there. */
export interface ResolvedPart {
  readonly part: Part;
  /** `user`: installed by the user; `official`: downloaded; `built`: from source. */
  readonly origin: "user" | "official" | "built";
  /** Paths of the executables, in the order of `part.files`. */
  readonly files: readonly string[];
}

/** The user's own Pulumi folder. */
export function userHome(env: NodeJS.ProcessEnv): string {
  return env["PULUMI_HOME"] || join(homedir(), ".pulumi");
}

/** Store folder of the official download. */
export function officialFolder(settings: ToolchainSettings, part: Part): string {
  return join(settings.paths.store, `${folderName(part)}-${part.version}-${contentKey(part.official)}`);
}

/** Store folder of one built executable. */
export async function builtFolder(settings: ToolchainSettings, part: Part, index: number): Promise<string> {
  const source = part.builds[index];
  if (!source) throw new Error(`${part.name} has no build for ${part.files[index]}`);
  const key = await buildKey(settings.projectRoot, source);
  return join(settings.paths.store, `${part.files[index]}-${part.version}-${key}`);
}

function folderName(part: Part): string {
  return `${part.files[0]}-official`;
}

/**
 * Looks for a part without getting it: on PATH or in the user's plugins, then among earlier downloads, then among
 * earlier builds. A damaged download or build is removed, and so counts as missing.
 */
export async function findPart(settings: ToolchainSettings, part: Part): Promise<ResolvedPart | undefined> {
  const own = part.pluginFolder
    ? await findInstalled(settings.env, part, part.pluginFolder)
    : await findOnPath(settings, part);
  if (own) return { part, origin: "user", files: own };

  const official = officialFolder(settings, part);
  if (await isWhole(official)) {
    return { part, origin: "official", files: part.files.map((file) => join(official, file)) };
  }
  const folders = await Promise.all(part.files.map((_, index) => builtFolder(settings, part, index)));
  const whole = await Promise.all(folders.map(isWhole));
  if (whole.every(Boolean)) {
    return {
      part,
      origin: "built",
      files: part.files.map((file, index) => join(folders[index] as string, file)),
    };
  }
  return undefined;
}

/** Whether a store folder is finished and as it was made; a damaged one is removed. */
export async function isWhole(folder: string): Promise<boolean> {
  if (!(await isThere(folder))) return false;
  if ((await verifyFolder(folder)).length === 0) return true;
  await rm(folder, { recursive: true, force: true });
  return false;
}

async function findInstalled(
  env: NodeJS.ProcessEnv,
  part: Part,
  pluginFolder: string,
): Promise<string[] | undefined> {
  const files = part.files.map((file) => join(userHome(env), "plugins", pluginFolder, file));
  const there = await Promise.all(files.map(isExecutable));
  return there.every(Boolean) ? files : undefined;
}

/** The engine on PATH, when it has the pinned version and its language host lies beside it. */
async function findOnPath(settings: ToolchainSettings, part: Part): Promise<string[] | undefined> {
  const [engine, ...others] = part.files;
  for (const folder of (settings.env["PATH"] ?? "").split(delimiter).filter(Boolean)) {
    const path = join(folder, engine as string);
    if (!(await isExecutable(path))) continue;
    const version = await versionOf(path, settings.env);
    if (version !== part.version) return undefined;
    const real = await realpath(path);
    const beside = others.map((file) => join(real, "..", file));
    return (await Promise.all(beside.map(isExecutable))).every(Boolean) ? [path, ...beside] : undefined;
  }
  return undefined;
}

async function versionOf(pulumi: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(pulumi, ["version"], {
      env: { ...env, PULUMI_SKIP_UPDATE_CHECK: "true" },
      timeout: 20_000,
    });
    return stdout.trim().replace(/^v/, "");
  } catch {
    return undefined;
  }
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
