import { readdirSync } from "node:fs";
import { join } from "node:path";
import { projectRoot, readSource } from "../components/sourceFile";

const FOLDER = "workflows/steps";

/** The Python modules of the steps by file name, as one ConfigMap carries them. */
export function readStepFiles(): Record<string, string> {
  return Object.fromEntries(
    readdirSync(join(projectRoot(), FOLDER))
      .filter((name) => name.endsWith(".py"))
      .sort()
      .map((name) => [name, readSource(`${FOLDER}/${name}`)]),
  );
}
