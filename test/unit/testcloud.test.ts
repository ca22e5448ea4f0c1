/** The test cloud's own parts that need no cloud: its Python by its own tests, the driver's folder. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { testCloudFolder } from "../openstack/testCloud";
import { root } from "../support/sources";

const folder = join(root, "test", "openstack");
const MINUTE = 60_000;

test(
  "servers, packet filters, decisions and faults pass their own tests",
  () => {
    const modules = ["machines", "faults"].map((name) => join(folder, name)).join(":");
    const ran = spawnSync("python3", ["-m", "unittest"], {
      cwd: join(folder, "tests"),
      env: { ...process.env, PYTHONPATH: modules, PYTHONDONTWRITEBYTECODE: "1" },
      encoding: "utf8",
    });
    expect(ran.status, `${ran.stdout}${ran.stderr}${ran.error ?? ""}`).toBe(0);
    expect(Number(/Ran (\d+) tests/.exec(ran.stderr)?.[1])).toBeGreaterThan(25);
  },
  2 * MINUTE,
);

test("the test cloud is in the cache, or where a variable says", () => {
  expect(testCloudFolder({ GOURMETGRAM_TESTCLOUD: "/x" })).toBe("/x");
  expect(testCloudFolder({ GOURMETGRAM_CACHE: "/cache" })).toBe("/cache/testcloud");
  expect(testCloudFolder({ XDG_CACHE_HOME: "/home/cache" })).toBe("/home/cache/gourmetgram/testcloud");
});

test("its scripts agree with the driver on that", () => {
  const script = `. "${folder}/settings.sh"; printf %s "$BASE"`;
  for (const env of [
    { GOURMETGRAM_TESTCLOUD: "/x" },
    { GOURMETGRAM_CACHE: "/c" },
    { XDG_CACHE_HOME: "/h" },
  ]) {
    const ran = spawnSync("bash", ["-c", script], {
      env: { PATH: process.env.PATH, HOME: "/home/me", ...env },
      encoding: "utf8",
    });
    expect(ran.stdout).toBe(testCloudFolder(env));
  }
});
