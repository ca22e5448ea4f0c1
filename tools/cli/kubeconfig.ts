import { spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandError, ExitCode } from "./commandError";
import { readOutputs, type StackOutputs } from "./outputs";
import { loadBundle } from "./partners";
import { openStack, type StackAccess } from "./prepare";
import { makeRunFolder } from "./state";

/** Programs of the bundle that commands start on this host. */
export type BundleProgram = "kubectl" | "argo";

/** An environment whose cluster can be reached: where its credentials are and what it exports, secrets included. */
export interface ClusterSession {
  readonly stack: string;
  readonly access: StackAccess;
  /** Path of the admin kubeconfig; removed when the work is done. */
  readonly kubeconfig: string;
  /** With secrets: never print them whole. */
  readonly outputs: StackOutputs;
}

/**
 * Does something with an environment's admin credentials, which are on disk only meanwhile.
 *
 * @throws CommandError when the environment has no cluster yet
 */
export async function withKubeconfig<T>(
  stack: string,
  work: (session: ClusterSession) => Promise<T>,
): Promise<T> {
  const access = await openStack(stack);
  const outputs = await readOutputs(access, true);
  const { kubeconfig } = outputs;
  if (typeof kubeconfig !== "string") {
    throw new CommandError(
      `The environment "${stack}" has no cluster yet. Next: npm run up -- ${stack}`,
      ExitCode.refused,
    );
  }
  const folder = makeRunFolder(access.paths.runs, "cluster");
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  try {
    const path = join(folder, "kubeconfig");
    writeFileSync(path, kubeconfig, { mode: 0o600 });
    return await work({ stack, access, kubeconfig: path, outputs });
  } finally {
    process.off("exit", remove);
    remove();
  }
}

/** @throws CommandError when the bundle is not there, or has no such program */
export function findBundleProgram(program: BundleProgram): string {
  const folder = process.env["GOURMETGRAM_BUNDLE_DIR"] || loadBundle().locateBundle()?.bundleDir;
  const path = folder === undefined ? undefined : join(folder, "bin", program);
  if (path === undefined || !existsSync(path)) {
    throw new CommandError(`There is no ${program} on this host yet. Next: npm run bundle`, ExitCode.refused);
  }
  return path;
}

/**
 * Runs a program that talks to the terminal itself. Ctrl-C belongs to it (it ends `logs -f`); this program stays to remove
 * the credentials.
 */
export function runAttached(
  program: string,
  args: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<number> {
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...variables } });
  const stay = () => {};
  const end = () => child.kill("SIGTERM");
  process.on("SIGINT", stay);
  process.on("SIGTERM", end);
  process.on("SIGHUP", end);
  return new Promise<number>((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => settle(code ?? (signal === "SIGINT" ? ExitCode.interrupted : 1)));
  }).finally(() => {
    process.off("SIGINT", stay);
    process.off("SIGTERM", end);
    process.off("SIGHUP", end);
  });
}
