import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { findGo, goBuild } from "../cache/goBuild";
import { type CachePaths, cachePaths } from "../cache/paths";
import { toolchainParts } from "./parts";
import type { ToolchainSettings } from "./types";

/** Those of a real run. */
export function defaultSettings(env: NodeJS.ProcessEnv = process.env): ToolchainSettings {
  const paths = cachePaths();
  const projectRoot = findProjectRoot(__dirname);
  // Its own compiler caches: the bundle may be building at the same time, and either drops its own when done.
  const work = join(paths.work, "toolchain");
  const buildPaths: CachePaths = {
    ...paths,
    goCache: join(work, "gocache"),
    goModCache: join(work, "gomod"),
  };
  return {
    projectRoot,
    paths,
    env,
    parts: toolchainParts(),
    enginePart: "pulumi",
    findGo: () => findGo(env),
    build: (go, source, output, onPackage) =>
      goBuild(go, buildPaths, {
        moduleFolder: join(projectRoot, source.moduleFolder),
        package: source.package,
        output,
        variables: source.variables,
        onPackage,
      }),
    buildCache: work,
  };
}

/** The folder with the plugins' sources: this file runs from `tools/toolchain` and from `build/tools/toolchain`. */
function findProjectRoot(start: string): string {
  for (let folder = start; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, "tools/plugins/go.mod"))) return folder;
  }
  throw new Error(`no folder above ${start} has tools/plugins/go.mod: the project's files are incomplete`);
}
