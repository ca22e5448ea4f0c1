import { existsSync } from "node:fs";
import { copyFile, link, mkdir, readdir, readFile, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ImageRow, imageReference, type ManifestRow, pinRows } from "../../stacks/pins";
import { UnreachableHosts } from "../cache/download";
import { findGo } from "../cache/goBuild";
import { isRunning, type LockOwner, withLock } from "../cache/lock";
import { type CachePaths, cachePaths } from "../cache/paths";
import { sha256 } from "../cache/store";
import {
  type Artifact,
  artifactFolder,
  type BuildResult,
  checkArtifact,
  ensureArtifactFolder,
  readRecord,
} from "./artifact";
import { buildC } from "./cBuild";
import { buildDebianLayer, extractDebianFiles } from "./debianRootfs";
import { compilerCacheMegabytes, estimateMegabytes, estimateSeconds, scratchMegabytes } from "./estimates";
import { buildGo, downloadGoModule } from "./goBuild";
import { fetchImage } from "./imageDownload";
import { Lane } from "./lane";
import { buildMachine, buildMachineRootfs, checkMachine } from "./machineImage";
import { buildImage, type LayerBlob } from "./ociImage";
import { fetchOfficial } from "./officialDownload";
import { ensurePrerequisites, missingPrerequisites } from "./prerequisites";
import type { Report } from "./progress";
import {
  artifactKey,
  bundleKey,
  bundleParts,
  inputsOf,
  keptParts,
  machineKey,
  machineParts,
  nodePrograms,
  rowOf,
  sourceFolder,
} from "./recipes";
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
  /** `rootfs/ containerd/`; undefined when it was not asked for. */
  readonly machineDir: string;
  /** `<bundleDir>/manifests`. */
  readonly manifestsDir: string;
  readonly key: string;
}

/** What `ensureBundle` would have to do now. */
export interface BundlePlan {
  /** Names that are not finished, in building order; `bundle` and `machine` are the last two steps. */
  readonly missing: readonly string[];
  /** Wall-clock seconds if nothing can be downloaded. */
  readonly seconds: number;
  /** Free bytes needed while building, and bytes that stay. */
  readonly peakBytes: number;
  readonly stayBytes: number;
  /** Free bytes of the disk that holds the cache. */
  readonly freeBytes: number;
}

const mega = 1_000_000;

/** Everything the bundle needs, inputs before what is made of them. */
function wantedNames(machine: boolean): string[] {
  const ordered: string[] = [];
  const visit = (name: string) => {
    if (ordered.includes(name)) return;
    for (const input of inputsOf(rowOf(name))) visit(input);
    ordered.push(name);
  };
  const roots = new Set([...bundleParts(), ...(machine ? machineParts() : [])]);
  const inTableOrder = [...roots, ...[...roots].flatMap((name) => inputsOf(rowOf(name)))];
  for (const name of inTableOrder) visit(name);
  return ordered;
}

/** Place in the table: what comes first there is made first. */
function rankOf(name: string): number {
  return Object.keys(pinRows).indexOf(name);
}

function folderOf(paths: CachePaths, name: string): string {
  return artifactFolder(paths, name, rowOf(name).version, artifactKey(name));
}

function bundleFolder(paths: CachePaths): string {
  return join(paths.bundle, bundleKey());
}

function machineFolder(paths: CachePaths): string {
  return join(paths.machine, machineKey());
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

/** Looks at what is missing and what making it costs; changes nothing. */
export async function planBundle(
  options: { readonly paths?: CachePaths; readonly machine?: boolean } = {},
): Promise<BundlePlan> {
  const paths = options.paths ?? cachePaths();
  const machine = options.machine ?? true;
  const missing: string[] = [];
  const bundleThere = existsSync(join(bundleFolder(paths), "bundle.json"));
  const machineThere = !machine || existsSync(join(machineFolder(paths), ".seal.json"));
  if (!bundleThere || !machineThere) {
    for (const name of wantedNames(machine)) {
      if (!existsSync(join(folderOf(paths, name), "artifact.json"))) missing.push(name);
    }
  }
  const needed: string[] = bundleThere && machineThere ? [] : pruneFinished(missing, paths, machine);
  if (!bundleThere) needed.push("bundle");
  if (!machineThere) needed.push("machine");
  const compile = needed.filter(usesCompiler);
  const seconds = remainingSeconds(needed);
  const size = (names: readonly string[]) => names.reduce((sum, name) => sum + estimateMegabytes(name), 0);
  const kept = new Set([...keptParts(), "bundle", "machine"]);
  const stay = size(needed.filter((name) => kept.has(name)));
  const peak =
    size(needed) +
    (compile.length > 0 ? compilerCacheMegabytes : 0) +
    (needed.length > 0 ? scratchMegabytes : 0);
  await mkdir(paths.root, { recursive: true });
  const disk = await statfs(paths.root);
  return {
    missing: needed,
    seconds,
    peakBytes: peak * mega,
    stayBytes: stay * mega,
    freeBytes: disk.bavail * disk.bsize,
  };
}

/** Inputs whose only users are finished need not be made again. */
function pruneFinished(missing: readonly string[], paths: CachePaths, machine: boolean): string[] {
  const wanted = new Set<string>();
  const visit = (name: string) => {
    if (wanted.has(name) || !missing.includes(name)) return;
    wanted.add(name);
    for (const input of inputsOf(rowOf(name))) visit(input);
  };
  const roots = [...bundleParts(), ...(machine ? machineParts() : [])];
  for (const name of roots) if (!existsSync(join(folderOf(paths, name), "artifact.json"))) visit(name);
  return missing.filter((name) => wanted.has(name));
}

function usesCompiler(name: string): boolean {
  if (name === "bundle" || name === "machine") return false;
  const row = rowOf(name);
  return row.kind === "binary" && row.how === "go";
}

/** The compiler uses every core, so it sets the pace; the rest goes on beside it at half of its own speed. */
function remainingSeconds(names: readonly string[]): number {
  const last: readonly string[] = names.filter((name) => name === "bundle" || name === "machine");
  const sum = (some: readonly string[]) => some.reduce((total, name) => total + estimateSeconds(name), 0);
  const compile = names.filter(usesCompiler);
  const rest = names.filter((name) => !usesCompiler(name) && !last.includes(name));
  return Math.max(sum(compile) + sum(rest) / 2, sum(rest)) + sum(last);
}

/** Makes artifacts, each once, those that the compiler makes one after the other, beside those it does not. */
class Builder {
  private readonly made = new Map<string, Promise<Artifact>>();
  private readonly compiler = new Lane();
  private readonly disk = new Lane();
  private readonly hosts: UnreachableHosts;
  private readonly sources = sourceFolder();
  private readonly failures = new Set<Error>();
  /** Seconds that a finished step took. */
  private readonly spent = new Map<string, number>();
  /** Names that are still to be made, for the estimate. */
  readonly open = new Set<string>();
  private readonly checked: { promise?: Promise<void> } = {};

  constructor(
    private readonly paths: CachePaths,
    private readonly report: Report,
  ) {
    this.hosts = new UnreachableHosts(paths.root);
  }

  private log(name: string): string {
    return join(this.paths.root, "logs", `${name}.log`);
  }

  private place(name: string) {
    return { work: this.paths.work, log: this.log(name), sources: this.sources };
  }

  /** Tells a step's begin and end, and that it goes on, every ten seconds. */
  async step<T>(name: string, message: string, work: () => Promise<T>): Promise<T> {
    const started = Date.now();
    const seconds = () => (Date.now() - started) / 1000;
    const left = () => ({ remainingSeconds: Math.max(0, remainingSeconds([...this.open]) - seconds()) });
    this.report({ step: name, state: "start", seconds: 0, ...left(), message });
    const timer = setInterval(() => {
      this.report({ step: name, state: "progress", seconds: seconds(), ...left(), message });
    }, 10_000);
    try {
      const result = await work();
      this.spent.set(name, seconds());
      this.open.delete(name);
      clearInterval(timer);
      this.report({ step: name, state: "done", seconds: seconds(), ...left(), message: "done" });
      return result;
    } finally {
      clearInterval(timer);
    }
  }

  private tell(name: string, message: string): void {
    this.report({ step: name, state: "progress", seconds: 0, message });
  }

  ensure(name: string): Promise<Artifact> {
    const known = this.made.get(name);
    if (known !== undefined) return known;
    const row = rowOf(name);
    const making = ensureArtifactFolder(this.paths, {
      name,
      version: row.version,
      key: artifactKey(name),
      dir: folderOf(this.paths, name),
      onMessage: (message) => this.tell(name, message),
      build: async (draft) => {
        const result = await this.build(name, draft);
        const seconds = this.spent.get(name);
        return seconds === undefined ? result : { ...result, seconds };
      },
    }).then(
      (artifact) => {
        this.open.delete(name);
        return artifact;
      },
      (error: Error) => {
        // What is made of a failed part fails with the same error: told once, at once, though others go on.
        if (!this.failures.has(error)) this.tell(name, `failed: ${error.message.split("\n")[0]}`);
        this.failures.add(error);
        throw error;
      },
    );
    this.made.set(name, making);
    return making;
  }

  private async inputs(name: string): Promise<Map<string, Artifact>> {
    const names = inputsOf(rowOf(name));
    const artifacts = await Promise.all(names.map((input) => this.ensure(input)));
    return new Map(names.map((input, index) => [input, artifacts[index] as Artifact]));
  }

  private ensureTools(): Promise<void> {
    this.checked.promise ??= ensurePrerequisites(
      missingPrerequisites(),
      this.log("prerequisites"),
      (message) => this.tell("prerequisites", message),
    );
    return this.checked.promise;
  }

  private async build(name: string, draft: string): Promise<BuildResult> {
    const row = rowOf(name);
    const place = this.place(name);
    const rank = rankOf(name);
    await mkdir(this.paths.work, { recursive: true });
    await rm(place.log, { force: true });
    switch (row.kind) {
      case "binary": {
        if (row.how === "go") {
          const missing: string[] = [];
          for (const [program, one] of Object.entries(row.programs)) {
            const reason = one.download
              ? await fetchOfficial(one.download, join(draft, program), this.hosts, place.log)
              : "no download";
            if (reason !== undefined) missing.push(program);
          }
          if (missing.length === 0) return { origin: "download" };
          await this.ensureTools();
          await requireGo();
          const what = `building ${missing.length > 1 ? `${missing.length} programs` : missing[0]} from ${row.module}`;
          await this.compiler.run(rank, () =>
            this.step(name, what, () => buildGo(name, row, missing, draft, place)),
          );
          return { origin: "build" };
        }
        await this.ensureTools();
        if (row.how === "c") {
          await buildC(row, draft, this.sources, place.log);
          return { origin: "build" };
        }
        await this.disk.run(rank, () =>
          this.step(name, `taking ${row.packages.join(", ")} from Debian`, () =>
            extractDebianFiles(row, draft, place),
          ),
        );
        return { origin: "download" };
      }
      case "rootfs": {
        requireRoot(name);
        await this.ensureTools();
        const below = await this.layersBelow(row.base);
        const layer = await this.disk.run(rank, () =>
          this.step(name, `installing ${[...row.packages, ...(row.pip ?? [])].join(", ")}`, () =>
            buildDebianLayer(name, row, below, draft, place),
          ),
        );
        return { origin: "build", info: { digest: layer.digest, diffId: layer.diffId, size: layer.size } };
      }
      case "image":
        return this.buildImageArtifact(name, row, draft);
      case "manifest":
        return this.buildManifest(name, row, draft);
      case "machine": {
        requireRoot(name);
        await this.ensureTools();
        await this.disk.run(rank, () =>
          this.step(name, "making the root file system of local machines", () =>
            buildMachineRootfs(row, draft, place),
          ),
        );
        return { origin: "build" };
      }
    }
  }

  private async layersBelow(base: string | undefined): Promise<LayerBlob[]> {
    if (base === undefined) return [];
    const row = rowOf(base);
    const below = row.kind === "rootfs" ? await this.layersBelow(row.base) : [];
    return [...below, layerOf(await this.ensure(base))];
  }

  private async buildImageArtifact(name: string, row: ImageRow, draft: string): Promise<BuildResult> {
    const log = this.log(name);
    const reference = imageReference(name);
    if (row.downloadable !== false) {
      const reason = await fetchImage(row.upstream, reference, draft, this.hosts, log, (message) =>
        this.tell(name, message),
      );
      if (reason === undefined) return { origin: "download", info: { reference } };
    }
    await this.ensureTools();
    const inputs = await this.inputs(name);
    const rank = rankOf(name);
    const locate: Parameters<typeof buildImage>[2]["locate"] = (file) =>
      "file" in file
        ? join(this.sources, file.file)
        : join((inputs.get(file.row) as Artifact).dir, file.program);
    const rootfs = (layer: string) => layerOf(inputs.get(layer) as Artifact);
    await this.disk.run(rank, () =>
      this.step(name, "packing the image", () => buildImage(row, reference, { rootfs, locate }, draft, log)),
    );
    return { origin: "build", info: { reference } };
  }

  private async buildManifest(name: string, row: ManifestRow, draft: string): Promise<BuildResult> {
    const target = join(draft, `${name.replace(/^manifest-/, "")}.yaml`);
    const reason = await fetchOfficial({ url: row.download }, target, this.hosts, this.log(name));
    if (reason === undefined) return { origin: "download" };
    const module = await downloadGoModule(row.module, row.moduleVersion, this.place(name));
    const texts = await Promise.all(row.files.map((file) => readFile(join(module.dir, file), "utf8")));
    await writeFile(
      target,
      texts
        .map((text) => text.trimEnd())
        .join("\n---\n")
        .concat("\n"),
    );
    return { origin: "build" };
  }
}

function layerOf(artifact: Artifact): LayerBlob {
  const info = artifact.record.info as { digest: string; diffId: string; size: number };
  return { ...info, path: join(artifact.dir, "layer.tar.zst") };
}

function requireRoot(name: string): void {
  if (process.getuid?.() === 0) return;
  throw new Error(
    `${name} can only be made by root: it installs packages into a root file system. Next: run this with sudo`,
  );
}

async function requireGo(): Promise<void> {
  if (await findGo()) return;
  throw new Error(
    "the official downloads cannot be reached, and to build from source Go is needed: no `go` of version 1.21 or newer is on PATH. Next: install Go from https://go.dev/dl/",
  );
}

/** Puts the finished parts together by hard links. */
async function assembleBundle(draft: string, parts: ReadonlyMap<string, Artifact>): Promise<void> {
  const place = async (source: string, folder: string, name: string) => {
    await mkdir(join(draft, folder), { recursive: true });
    const target = join(draft, folder, name);
    await link(source, target).catch(() => copyFile(source, target));
  };
  const sums: string[] = [];
  for (const [name, artifact] of parts) {
    const row = rowOf(name);
    for (const file of await readdir(artifact.dir)) {
      if (file.startsWith(".") || file === "artifact.json") continue;
      const source = join(artifact.dir, file);
      if (row.kind === "image") await place(source, "images", `${name.replace(/^image-/, "")}.tar`);
      else if (row.kind === "manifest") await place(source, "manifests", file);
      else if (name === "cni") await place(source, "cni", file);
      else if (nodePrograms.includes(file)) await place(source, "bin", file);
    }
  }
  for (const folder of ["bin", "cni", "images", "manifests"]) {
    for (const file of (await readdir(join(draft, folder))).sort()) {
      sums.push(`${await sha256(join(draft, folder, file))}  ${folder}/${file}\n`);
    }
  }
  await writeFile(join(draft, "SHA256SUMS"), sums.join(""));
  const index = {
    key: bundleKey(),
    artifacts: Object.fromEntries(
      [...parts].map(([name, { record }]) => [
        name,
        {
          version: record.version,
          key: record.key,
          origin: record.origin,
          seconds: record.seconds,
          ...record.info,
        },
      ]),
    ),
  };
  await writeFile(join(draft, "bundle.json"), `${JSON.stringify(index, null, 1)}\n`);
}

/** Makes one artifact of the table, and what it is made of. Gives its folder. */
export async function ensureArtifact(name: string, options: BundleOptions): Promise<Artifact> {
  const builder = new Builder(options.paths ?? cachePaths(), options.report);
  return builder.ensure(name);
}

/**
 * Makes everything the machines need, or finds it made. Ends when all is verified. Throws with the first failure; what
 * was finished by then is kept, so that the next run goes on from there.
 */
export async function ensureBundle(options: BundleOptions): Promise<Bundle> {
  const paths = options.paths ?? cachePaths();
  const machine = options.machine ?? true;
  const bundleDir = bundleFolder(paths);
  const machineDir = machineFolder(paths);
  const result: Bundle = {
    bundleDir,
    machineDir,
    manifestsDir: join(bundleDir, "manifests"),
    key: bundleKey(),
  };

  const bundleState = await checkArtifact(bundleDir);
  const machineProblem = machine ? await checkMachine(machineDir) : undefined;
  if (bundleState.artifact !== undefined && machineProblem === undefined) return result;

  const plan = await planBundle({ paths, machine });
  if (plan.freeBytes < plan.peakBytes) {
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
    throw new Error(
      `building the bundle needs up to ${gigabytes(plan.peakBytes)} in ${paths.root}, of which ${gigabytes(plan.freeBytes)} are free. ` +
        "Next: free some space, or set GOURMETGRAM_CACHE to a folder on a larger disk",
    );
  }
  await removeDeadScratch(paths.work);
  const builder = new Builder(paths, options.report);
  for (const name of plan.missing) builder.open.add(name);

  const parts = new Map<string, Artifact>();
  const names = wantedNames(machine);
  const wanted = [...bundleParts(), ...(machine ? machineParts() : [])];
  // Started in the order of the table, because lanes work in the order of asking; inputs are asked for by their users.
  const started = new Map(
    names.filter((name) => wanted.includes(name)).map((name) => [name, builder.ensure(name)]),
  );
  const settled = await Promise.allSettled(started.values());
  const failed = settled.find((one) => one.status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
  for (const name of bundleParts()) parts.set(name, (await started.get(name)) as Artifact);

  await ensureArtifactFolder(paths, {
    name: "bundle",
    version: "",
    key: bundleKey(),
    dir: bundleDir,
    onMessage: (message) => options.report({ step: "bundle", state: "progress", seconds: 0, message }),
    build: (draft) =>
      builder.step("bundle", "putting the bundle together", async () => {
        await assembleBundle(draft, parts);
        return { origin: "build" as const };
      }),
  });
  if (machine) await ensureMachine(paths, builder, machineDir, bundleDir, options.report);
  await pruneStore(paths);
  await dropCaches(paths, options.report);
  return result;
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
  await withLock(join(paths.locks, `machine-${machineKey()}`), async () => {
    const problem = await checkMachine(machineDir);
    if (problem === undefined) return;
    if (existsSync(machineDir))
      report({ step: "machine", state: "progress", seconds: 0, message: `made again: ${problem}` });
    await mkdir(paths.machine, { recursive: true });
    await builder.step("machine", "importing the images into the local machines' containerd", () =>
      buildMachine(machineDir, rootfs, join(bundleDir, "images"), place),
    );
  });
}

/**
 * Removes from the store what only older versions of the table needed, and what the finished images hold anyway.
 * Assembled bundles and machine images stay: they hold what they need by hard links, and an environment may run on them.
 */
async function pruneStore(paths: CachePaths): Promise<void> {
  const current = new Set(keptParts().map((name) => folderOf(paths, name)));
  for (const folder of await readdir(paths.store)) {
    const dir = join(paths.store, folder);
    const record = readRecord(dir);
    if (record === undefined || current.has(dir) || !(record.name in pinRows)) continue;
    await withLock(join(paths.locks, `${record.name}-${record.key}`), () => rm(dir, { recursive: true }));
  }
}

/** Removes the compiler's caches, unless somebody else builds with them right now. */
async function dropCaches(paths: CachePaths, report: Report): Promise<void> {
  const busy = await readdir(paths.locks).catch(() => [] as string[]);
  for (const name of busy) {
    const owner = await readFile(join(paths.locks, name), "utf8")
      .then((text) => JSON.parse(text) as LockOwner)
      .catch(() => undefined);
    if (owner !== undefined && owner.pid !== process.pid && isRunning(owner.pid, owner.startTicks)) {
      report({
        step: "clean",
        state: "done",
        seconds: 0,
        message: `kept the compiler's caches: process ${owner.pid} uses them`,
      });
      return;
    }
  }
  await rm(paths.work, { recursive: true, force: true });
}

/** Reads every byte of the finished bundle and machine image. Gives the problems. */
export async function verifyBundle(paths: CachePaths = cachePaths(), machine = true): Promise<string[]> {
  const bundle = await checkArtifact(bundleFolder(paths), true);
  const problems =
    bundle.artifact === undefined ? [bundle.problem ?? `${bundleFolder(paths)} does not exist`] : [];
  const problem = machine ? await checkMachine(machineFolder(paths), true) : undefined;
  return problem === undefined ? problems : [...problems, problem];
}
