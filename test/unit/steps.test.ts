/** The Python steps of the pipeline, by their own tests: they need no package, so any Python 3.11 runs them. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../support/sources";

const steps = join(root, "workflows", "steps");
const tests = join(root, "test", "steps");
const MINUTE = 60_000;

function python(args: readonly string[]): { readonly status: number | null; readonly output: string } {
  const ran = spawnSync("python3", [...args], {
    cwd: tests,
    env: { ...process.env, PYTHONPATH: steps, PYTHONDONTWRITEBYTECODE: "1" },
    encoding: "utf8",
  });
  return { status: ran.status, output: `${ran.stdout}${ran.stderr}${ran.error ?? ""}` };
}

describe("the steps", () => {
  test(
    "pass their own tests",
    () => {
      const { status, output } = python(["-m", "unittest"]);
      expect(status, output).toBe(0);
      expect(Number(/Ran (\d+) tests/.exec(output)?.[1])).toBeGreaterThan(100);
    },
    2 * MINUTE,
  );

  test("are flat modules that hide none of Python's", () => {
    const names = readdirSync(steps).filter((name) => name.endsWith(".py"));
    expect(names.length).toBeGreaterThan(20);
    const script = `import sys; print([n for n in sys.argv[1:] if n in sys.stdlib_module_names])`;
    const { output } = python(["-c", script, ...names.map((name) => name.replace(/\.py$/, ""))]);
    expect(output.trim()).toBe("[]");
  });
});
