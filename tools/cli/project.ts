import { resolve } from "node:path";

/** Name of the Pulumi project, and namespace of its settings. Equal to `name` in Pulumi.yaml. */
export const PROJECT_NAME = "gourmetgram-infra";

/** Environment a command works on when none is named. */
export const DEFAULT_STACK = "local";

/** Root folder of the project: this file runs as `build/tools/cli/project.js`, and in tests from `tools/cli`. */
export const PROJECT_ROOT = findRoot(__dirname);

function findRoot(folder: string): string {
  const parent = resolve(folder, "../..");
  return parent.endsWith("/build") ? resolve(parent, "..") : parent;
}
