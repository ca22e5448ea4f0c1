import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../components/sourceFile";

/** One `npm` command as the README has it. */
export interface ReadmeCommand {
  /** Script of package.json: `up` of `npm run up`, `test` of `npm test`. */
  readonly script: string;
  /** What stands after `--`. */
  readonly args: readonly string[];
}

/** Every `npm run` and `npm test` of the README, in its order, without repetitions. */
export function readmeCommands(): ReadmeCommand[] {
  const text = readFileSync(join(projectRoot(), "README.md"), "utf8");
  const found = [...text.matchAll(/npm (?:run )?([a-z0-9]+)((?: -- [^`\n]+)?)(?=[`\n])/g)]
    .filter(([whole, script]) => whole.startsWith("npm run") || script === "test")
    .map(([, script = "", rest = ""]) => ({
      script,
      args: rest.replace(/^ -- /, "").split(" ").filter(Boolean),
    }));
  return [
    ...new Map(found.map((command) => [`${command.script} ${command.args.join(" ")}`, command])).values(),
  ];
}
