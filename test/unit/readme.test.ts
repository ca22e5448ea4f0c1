/**
 * Proves: every command of the README exists and explains itself. The end-to-end test runs them for real.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { readmeCommands } from "../support/readme";

const root = projectRoot();
const scripts = (
  JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { scripts: Record<string, string> }
).scripts;

const commands = [
  ...["up", "preview", "destroy", "refresh", "outputs", "doctor", "kubectl", "leftovers"],
  ...["access", "train", "ledger", "promote", "approve", "revert", "freeze", "scenario", "argo"],
];

describe("the README's commands", () => {
  test("are there", () => {
    expect(readmeCommands().map(({ script }) => script)).toEqual(
      expect.arrayContaining([...commands, "test", "e2e"]),
    );
  });

  test.each(readmeCommands())("npm run $script is a script", ({ script }) => {
    expect(Object.keys(scripts)).toContain(script);
  });

  test.each(commands)("%s has --help", (name) => {
    const help = spawnSync("node", ["tools/run.mjs", name, "--help"], { cwd: root, encoding: "utf8" });
    expect(help.status, help.stderr).toBe(0);
    expect(help.stdout).toContain("Usage:");
    expect(help.stdout).toContain("Examples:");
  }, 60_000);
});
