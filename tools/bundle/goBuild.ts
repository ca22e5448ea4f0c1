import { copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { GoRow } from "../../stacks/pins";
import { readCommand, runCommand } from "./runCommand";
import { withScratch } from "./scratch";

/** Where Go work happens. */
export interface GoWorkplace {
  /** Folder for compiler and module caches. */
  readonly work: string;
  readonly log: string;
  /** Folder that `source` paths of rows are relative to. */
  readonly sources: string;
}

interface GoModJson {
  readonly Go?: string;
  readonly Godebug?: readonly { readonly Key: string; readonly Value: string }[] | null;
  readonly Replace?:
    | readonly {
        readonly Old: { readonly Path: string; readonly Version?: string };
        readonly New: { readonly Path: string; readonly Version?: string };
      }[]
    | null;
}

/**
 * Environment of every Go command: the user's own module proxy settings, our caches, and none of the user's flags.
 */
export function goEnvironment(
  work: string,
  cgo: boolean,
  env: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  return {
    ...env,
    GOCACHE: join(work, "gocache"),
    GOMODCACHE: join(work, "gomod"),
    GOTMPDIR: join(work, "gotmp"),
    // An empty GOFLAGS would let the one from the user's Go settings file through.
    GOFLAGS: "-mod=mod -modcacherw",
    GOWORK: "off",
    GO111MODULE: "on",
    GOOS: "linux",
    GOARCH: "amd64",
    CGO_ENABLED: cgo ? "1" : "0",
  };
}

/** Folder of the altered copy of a module, beside the go.mod. */
const moduleCopy = "upstream";

/**
 * The go.mod from which a group is built. A module's own replacements count only while it is the main module, so they
 * are repeated here; those that point into its source tree become the released versions of the same modules.
 */
export function renderGoMod(row: GoRow, name: string, upstream: GoModJson): string {
  const lines = [`module gourmetgram.dev/bundle/${name}`, "", `go ${upstream.Go ?? "1.24"}`, ""];
  for (const setting of upstream.Godebug ?? []) lines.push(`godebug ${setting.Key}=${setting.Value}`);
  lines.push(`require ${row.module} ${row.moduleVersion}`, "");
  if (row.alterations !== undefined) lines.push(`replace ${row.module} => ./${moduleCopy}`);
  for (const { Old, New } of upstream.Replace ?? []) {
    const old = Old.Version === undefined ? Old.Path : `${Old.Path} ${Old.Version}`;
    if (New.Version !== undefined) lines.push(`replace ${old} => ${New.Path} ${New.Version}`);
    else if (row.stagingVersion !== undefined)
      lines.push(`replace ${old} => ${Old.Path} ${row.stagingVersion}`);
    else lines.push(`// ${Old.Path} is replaced by a folder upstream; its released version is used here`);
  }
  return `${lines.join("\n")}\n`;
}

/** Downloads a module and gives the folder of its files and its go.mod. */
export async function downloadGoModule(
  module: string,
  version: string,
  place: GoWorkplace,
): Promise<{ readonly dir: string; readonly goMod: string }> {
  const cwd = join(place.work, "go");
  await mkdir(cwd, { recursive: true });
  await mkdir(join(place.work, "gotmp"), { recursive: true });
  const text = await readCommand("go", ["mod", "download", "-json", `${module}@${version}`], {
    cwd,
    env: goEnvironment(place.work, false),
    purpose: `download Go module ${module}@${version}`,
  });
  const found = JSON.parse(text) as { Dir: string; GoMod: string };
  return { dir: found.Dir, goMod: found.GoMod };
}

/** Copies a module and alters the copy: the module cache itself may not be touched, not even by build overlays. */
export async function copyWithAlterations(
  row: GoRow,
  module: string,
  target: string,
  sources: string,
): Promise<void> {
  await cp(module, target, { recursive: true });
  for (const [path, change] of Object.entries(row.alterations ?? {})) {
    const changed = join(target, path);
    await mkdir(dirname(changed), { recursive: true });
    if ("file" in change) await copyFile(join(sources, change.file), changed);
    else if ("copy" in change) await copyFile(join(module, change.copy), changed);
    else {
      const text = await readFile(changed, "utf8");
      if (text.split(change.replace).length !== 2)
        throw new Error(`${row.module}: ${path} does not hold ${change.replace} just once`);
      await writeFile(changed, text.replace(change.replace, change.by));
    }
  }
}

/** Builds the named programs of a group into `out`. Uses every core; run one at a time. */
export async function buildGo(
  name: string,
  row: GoRow,
  programs: readonly string[],
  out: string,
  place: GoWorkplace,
): Promise<void> {
  const purpose = `build ${name}`;
  const module = await downloadGoModule(row.module, row.moduleVersion, place);
  const env = goEnvironment(place.work, row.cgo ?? false);
  await withScratch(place.work, `go-${name}`, async (cwd) => {
    const upstream = JSON.parse(
      await readCommand("go", ["mod", "edit", "-json", module.goMod], { cwd, env, purpose }),
    ) as GoModJson;
    await writeFile(join(cwd, "go.mod"), renderGoMod(row, name, upstream));
    if (row.alterations !== undefined)
      await copyWithAlterations(row, module.dir, join(cwd, moduleCopy), place.sources);
    const targets: string[] = [];
    for (const program of programs) {
      const recipe = row.programs[program];
      if (recipe === undefined) throw new Error(`${name} has no program ${program}`);
      if (recipe.source === undefined) {
        targets.push(recipe.package);
        continue;
      }
      await mkdir(join(cwd, program), { recursive: true });
      await copyFile(join(place.sources, recipe.source), join(cwd, program, "main.go"));
      targets.push(`./${program}`);
    }
    const ldflags = ["-s", "-w", ...(row.cgo ? ["-extldflags=-static"] : []), ...(row.ldflags ?? [])];
    const tags = [...(row.cgo ? ["netgo", "osusergo"] : []), ...(row.tags ?? [])];
    const flags = ["-trimpath", "-buildvcs=false", `-ldflags=${ldflags.join(" ")}`];
    if (tags.length > 0) flags.push(`-tags=${tags.join(",")}`);
    // Several targets into one folder get their package's last path element as name; a single one is named outright,
    // because a module path may end in a version (`server/v3`).
    const target = targets.length === 1 ? join(out, programs[0] as string) : `${out}/`;
    const args = ["-n", "5", "go", "build", ...flags, "-o", target, ...targets];
    await runCommand("nice", args, { cwd, env, log: place.log, purpose });
  });
}
