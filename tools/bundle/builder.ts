import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ImageRow, imageReference, type ManifestRow, type RootfsRow } from "../../stacks/pins";
import { UnreachableHosts } from "../cache/download";
import { findGo } from "../cache/goBuild";
import type { CachePaths } from "../cache/paths";
import { type Artifact, type BuildResult, ensureArtifactFolder } from "./artifact";
import { buildC } from "./cBuild";
import { buildDebianLayer, extractDebianFiles } from "./debianRootfs";
import { estimateSeconds } from "./estimates";
import { folderOf, rankOf } from "./folders";
import { buildGo, downloadGoModule } from "./goBuild";
import { fetchImage } from "./imageDownload";
import { Lane } from "./lane";
import { buildMachineRootfs } from "./machineImage";
import { packManifest } from "./manifestPack";
import { buildImage, type LayerBlob } from "./ociImage";
import { fetchOfficial } from "./officialDownload";
import { observedPace, remainingSeconds } from "./plan";
import { ensurePrerequisites, missingPrerequisites } from "./prerequisites";
import type { Report } from "./progress";
import { artifactKey, inputsOf, rowOf, sourceFolder } from "./recipes";
import { CommandError, machineCause } from "./runCommand";

/** Makes artifacts, each once, those that the compiler makes one after the other, beside those it does not. */
export class Builder {
  private readonly made = new Map<string, Promise<Artifact>>();
  private readonly compiler = new Lane();
  private readonly disk = new Lane();
  private readonly hosts: UnreachableHosts;
  private readonly sources = sourceFolder();
  /** Milliseconds since 1970 at which a step that runs began. */
  private readonly running = new Map<string, number>();
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
    this.running.set(name, started);
    const seconds = () => (Date.now() - started) / 1000;
    const left = () => ({ remainingSeconds: this.remaining() });
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
      this.running.delete(name);
    }
  }

  private remaining(): number {
    const now = Date.now();
    const elapsed = (name: string) => (now - (this.running.get(name) ?? now)) / 1000;
    const overdue = [...this.running.keys()].filter((name) => elapsed(name) > estimateSeconds(name));
    const pace = observedPace(
      new Map([...this.spent, ...overdue.map((name) => [name, elapsed(name)] as const)]),
    );
    return remainingSeconds([...this.open], elapsed) * pace;
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
      (thrown: Error) => {
        const error = nameCause(name, thrown);
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
          this.step(name, describeLayer(row), () => buildDebianLayer(name, row, below, draft, place)),
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
    if (row.upstream !== undefined && row.downloadable !== false) {
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
    const archive = (image: string) => join((inputs.get(image) as Artifact).dir, "image.tar");
    await this.disk.run(rank, () =>
      this.step(name, "packing the image", () =>
        buildImage(row, reference, { rootfs, locate, archive }, draft, log),
      ),
    );
    return { origin: "build", info: { reference } };
  }

  private async buildManifest(name: string, row: ManifestRow, draft: string): Promise<BuildResult> {
    const texts = await this.downloadManifest(name, row, draft);
    const found = texts ?? (await this.moduleManifest(name, row));
    await writeFile(
      join(draft, `${name.replace(/^manifest-/, "")}.yaml`),
      packManifest(found.join("\n---\n"), row.select),
    );
    return { origin: texts === undefined ? "build" : "download" };
  }

  /** The texts of a manifest from its official address; nothing when it cannot be had. */
  private async downloadManifest(
    name: string,
    row: ManifestRow,
    draft: string,
  ): Promise<string[] | undefined> {
    const urls = row.download.endsWith("/")
      ? row.files.map((file) => `${row.download}${file}`)
      : [row.download];
    const target = join(draft, ".download");
    const texts: string[] = [];
    for (const url of urls) {
      if ((await fetchOfficial({ url }, target, this.hosts, this.log(name), 0o644)) !== undefined) return;
      texts.push(await readFile(target, "utf8"));
      await rm(target);
    }
    return texts;
  }

  private async moduleManifest(name: string, row: ManifestRow): Promise<string[]> {
    const module = await downloadGoModule(row.module, row.moduleVersion, this.place(name));
    return Promise.all(row.files.map((file) => readFile(join(module.dir, file), "utf8")));
  }
}

/** What happens while a layer is made. */
function describeLayer(row: RootfsRow): string {
  const parts = [...row.packages, ...(row.pip ?? [])];
  return parts.length === 0 ? "downloading wheels" : `installing ${listSome(parts)}`;
}

/** The first three, and how many more. */
function listSome(names: readonly string[]): string {
  return names.length <= 3
    ? names.join(", ")
    : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}

/** A failure of our own writing (not of a command, which names its own) with the machine's fault named, if it is one. */
function nameCause(name: string, error: Error): Error {
  const cause = error instanceof CommandError ? undefined : machineCause(error.message, null);
  return cause === undefined ? error : new Error(`${name}: ${cause} (${error.message})`);
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
