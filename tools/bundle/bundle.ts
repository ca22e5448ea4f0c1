import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { withLock } from "../cache/lock";
import { type CachePaths, cachePaths } from "../cache/paths";
import { type Artifact, checkArtifact, ensureArtifactFolder, readRecord } from "./artifact";
import { assembleBundle } from "./assemble";
import { Builder } from "./builder";
import { dropCaches, pruneStore } from "./clean";
import { bundleFolder, folderOf, machineFolder, wantedNames } from "./folders";
import { buildMachine, checkMachine } from "./machineImage";
import { type BundlePlan, planBundle } from "./plan";
import type { Report } from "./progress";
import { bundleKey, bundleParts, inputsOf, machineParts, rowOf, sourceFolder } from "./recipes";
import { removeDeadScratch } from "./scratch";

export interface BundleOptions {
  readonly report: Report;
  readonly paths?: CachePaths;
  /** Also make the image of local machines. Needs root. @default true */
  readonly machine?: boolean;
}

/** Where the finished things are. */
export interface Bundle {
  /** `bin/ cni/ images/ manifests/ SHA256SUMS bundle.json`. */
  readonly bundleDir: string;
  /** `rootfs/ containerd/`; not there when it was not asked for. */
  readonly machineDir: string;
  /** `<bundleDir>/manifests`. */
  readonly manifestsDir: string;
  readonly key: string;
}

/** The finished folders, if they are there; looks at nothing but their marks. */
export function locateBundle(
  paths: CachePaths = cachePaths(),
): { readonly bundleDir: string; readonly machineDir: string } | undefined {
  const bundleDir = bundleFolder(paths);
  const machineDir = machineFolder(paths);
  const finished = existsSync(join(bundleDir, "bundle.json")) && existsSync(join(machineDir, ".seal.json"));
  return finished ? { bundleDir, machineDir } : undefined;
}

/** One run at a time: what one removes when it is done, another might be about to use. */
function withRunLock<T>(paths: CachePaths, report: Report, work: () => Promise<T>): Promise<T> {
  const tell = (message: string) => report({ step: "bundle", state: "progress", seconds: 0, message });
  return withLock(join(paths.locks, "bundle-run"), work, {
    onWait: (owner) => tell(`waiting for process ${owner.pid}, which makes the bundle since ${owner.since}`),
    onStale: (owner) =>
      tell(`process ${owner?.pid ?? "unknown"} ended before the bundle was made: going on from there`),
  });
}

/** Makes artifacts of the table, and what they are made of, or finds them made. */
export async function ensureArtifacts(
  names: readonly string[],
  options: BundleOptions,
): Promise<readonly Artifact[]> {
  const paths = options.paths ?? cachePaths();
  const found = await Promise.all(names.map((name) => checkArtifact(folderOf(paths, name))));
  const made = found.flatMap(({ artifact }) => (artifact === undefined ? [] : [artifact]));
  if (made.length === names.length) return made;
  return withRunLock(paths, options.report, async () => {
    await removeDeadScratch(paths.work);
    const builder = new Builder(paths, options.report);
    const closure = [...names];
    for (const one of closure) closure.push(...inputsOf(rowOf(one)));
    for (const one of closure) if (readRecord(folderOf(paths, one)) === undefined) builder.open.add(one);
    const started = names.map((name) => builder.ensure(name));
    await Promise.allSettled(started);
    return Promise.all(started);
  });
}

/** Makes one artifact of the table, and what it is made of, or finds it made. */
export async function ensureArtifact(name: string, options: BundleOptions): Promise<Artifact> {
  return (await ensureArtifacts([name], options))[0] as Artifact;
}

/**
 * Makes everything the machines need, or finds it made. Ends when all is verified. Throws with the first failure; what
 * was finished by then is kept, so that the next run goes on from there.
 */
export async function ensureBundle(options: BundleOptions): Promise<Bundle> {
  const paths = options.paths ?? cachePaths();
  const machine = options.machine ?? true;
  const result: Bundle = {
    bundleDir: bundleFolder(paths),
    machineDir: machineFolder(paths),
    manifestsDir: join(bundleFolder(paths), "manifests"),
    key: bundleKey(),
  };
  const isMade = async () =>
    (await checkArtifact(result.bundleDir)).artifact !== undefined &&
    (!machine || (await checkMachine(result.machineDir)) === undefined);
  if (await isMade()) return result;
  return withRunLock(paths, options.report, async () => {
    if (!(await isMade())) await makeBundle(paths, machine, result, options.report);
    return result;
  });
}

/** Throws when the disk is too small for what the plan will put there. */
function checkSpace(plan: BundlePlan, paths: CachePaths): void {
  if (plan.freeBytes >= plan.peakBytes) return;
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new Error(
    `building the bundle needs up to ${gigabytes(plan.peakBytes)} in ${paths.root}, of which ${gigabytes(plan.freeBytes)} are free. ` +
      "Next: free some space, or set GOURMETGRAM_CACHE to a folder on a larger disk",
  );
}

async function makeBundle(
  paths: CachePaths,
  machine: boolean,
  { bundleDir, machineDir, key }: Bundle,
  report: Report,
): Promise<void> {
  const plan = await planBundle({ paths, machine });
  checkSpace(plan, paths);
  await removeDeadScratch(paths.work);
  const builder = new Builder(paths, report);
  for (const name of plan.missing) builder.open.add(name);

  const roots = [...bundleParts(), ...(machine ? machineParts() : [])];
  // Inputs are asked for by what is really built of them: a downloaded image needs none.
  const wanted = wantedNames(machine).filter((name) => roots.includes(name));
  const started = new Map(wanted.map((name) => [name, builder.ensure(name)]));
  const failed = (await Promise.allSettled(started.values())).find((one) => one.status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;

  const parts = new Map<string, Artifact>();
  for (const name of bundleParts()) parts.set(name, (await started.get(name)) as Artifact);
  await ensureArtifactFolder(paths, {
    name: "bundle",
    version: "",
    key,
    dir: bundleDir,
    onMessage: (message) => report({ step: "bundle", state: "progress", seconds: 0, message }),
    build: (draft) =>
      builder.step("bundle", "putting the bundle together", async () => {
        await assembleBundle(draft, parts);
        return { origin: "build" as const };
      }),
  });
  if (machine) await ensureMachine(paths, builder, machineDir, bundleDir, report);
  await pruneStore(paths);
  await dropCaches(paths, report);
}

async function ensureMachine(
  paths: CachePaths,
  builder: Builder,
  machineDir: string,
  bundleDir: string,
  report: Report,
): Promise<void> {
  const rootfs = join((await builder.ensure("machine-rootfs")).dir, "rootfs");
  const place = { work: paths.work, log: join(paths.root, "logs", "machine.log"), sources: sourceFolder() };
  const problem = await checkMachine(machineDir);
  if (problem === undefined) return;
  if (existsSync(machineDir))
    report({ step: "machine", state: "progress", seconds: 0, message: `made again: ${problem}` });
  await mkdir(paths.machine, { recursive: true });
  await builder.step("machine", "importing the images into the local machines' containerd", () =>
    buildMachine(machineDir, rootfs, join(bundleDir, "images"), place),
  );
}

/** Reads every byte of the finished bundle and machine image. Gives the problems. */
export async function verifyBundle(paths: CachePaths = cachePaths(), machine = true): Promise<string[]> {
  const bundle = await checkArtifact(bundleFolder(paths), true);
  const problems =
    bundle.artifact === undefined ? [bundle.problem ?? `${bundleFolder(paths)} does not exist`] : [];
  const problem = machine ? await checkMachine(machineFolder(paths), true) : undefined;
  return problem === undefined ? problems : [...problems, problem];
}
