import { rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { findGo, type GoTool, goBuild } from "../cache/goBuild";
import { withLock } from "../cache/lock";
import { type CachePaths, cachePaths } from "../cache/paths";
import { buildFolder } from "../cache/store";
import { PROJECT_ROOT } from "../cli/project";
import type { Report } from "../toolchain";
import { StepTimer } from "../toolchain/progress";
import { isWhole } from "../toolchain/resolve";
import { buildKey } from "../toolchain/sources";
import type { GoSource } from "../toolchain/types";

/** The yardstick for the OpenStack part: another engine for the same cloud and the same upstream provider. */
export interface Tofu {
  /** Path of OpenTofu. */
  readonly tofu: string;
  /** Path of the Terraform provider for OpenStack; its folder serves as a `dev_overrides` entry. */
  readonly provider: string;
}

interface Program extends GoSource {
  readonly file: string;
  readonly version: string;
}

const MODULE_FOLDER = "tools/bench/tofu";

const TOFU: Program = {
  file: "tofu",
  version: "1.12.6",
  moduleFolder: MODULE_FOLDER,
  package: "github.com/opentofu/opentofu/cmd/tofu",
  // Else it takes itself for a development build.
  variables: { "github.com/opentofu/opentofu/version.dev": "no" },
  sources: [],
  seconds: 330,
};

/** The version that the openstack plugin is made from. */
const PROVIDER: Program = {
  file: "terraform-provider-openstack",
  version: "1.54.1",
  moduleFolder: MODULE_FOLDER,
  package: "github.com/terraform-provider-openstack/terraform-provider-openstack",
  variables: {},
  sources: [],
  seconds: 60,
};

/** Builds both from their Go modules, once; takes milliseconds when they are there. @throws Error without Go */
export async function ensureTofu(report: Report = () => undefined): Promise<Tofu> {
  const paths = cachePaths();
  const path = { tofu: await pathOf(paths, TOFU), provider: await pathOf(paths, PROVIDER) };
  if (await areWhole(path)) return path;
  await withLock(join(paths.locks, "bench-tofu.lock"), async () => {
    if (!(await areWhole(path))) await buildBoth(paths, path, new StepTimer(report, estimates()));
  });
  return path;
}

async function buildBoth(paths: CachePaths, path: Tofu, timer: StepTimer): Promise<void> {
  const go = await findGo();
  if (!go) throw new Error("OpenTofu can only be built from source: install Go (https://go.dev/dl)");
  // Its own compiler caches, as the toolchain and the bundle have.
  const work = join(paths.work, "bench-tofu");
  const buildPaths = { ...paths, goCache: join(work, "gocache"), goModCache: join(work, "gomod") };
  await build(go, buildPaths, TOFU, path.tofu, timer);
  await build(go, buildPaths, PROVIDER, path.provider, timer);
  await rm(work, { recursive: true, force: true });
}

async function build(
  go: GoTool,
  paths: CachePaths,
  program: Program,
  path: string,
  timer: StepTimer,
): Promise<void> {
  if (await isWhole(dirname(path))) return;
  timer.start(stepOf(program), `building ${program.file} ${program.version} from source with ${go.version}`);
  await buildFolder(dirname(path), (draft) =>
    goBuild(go, paths, {
      moduleFolder: join(PROJECT_ROOT, program.moduleFolder),
      package: program.package,
      output: join(draft, basename(path)),
      variables: program.variables,
      onPackage: (done, total) => timer.progress(done / total, `${done} of ${total} packages`),
    }),
  );
  timer.done(`${program.file} ${program.version} built`);
}

async function pathOf(paths: CachePaths, program: Program): Promise<string> {
  const key = await buildKey(PROJECT_ROOT, program);
  return join(paths.store, `${program.file}-${program.version}-${key}`, program.file);
}

async function areWhole({ tofu, provider }: Tofu): Promise<boolean> {
  return (await isWhole(dirname(tofu))) && (await isWhole(dirname(provider)));
}

function stepOf(program: Program): string {
  return `build ${program.file} ${program.version}`;
}

function estimates(): Map<string, number> {
  return new Map([TOFU, PROVIDER].map((program) => [stepOf(program), program.seconds]));
}
