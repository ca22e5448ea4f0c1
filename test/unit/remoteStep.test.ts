/**
 * Proves: what a remote step sends, and how the runner behaves, with a real bash on this host.
 * Does not prove: SSH (test of the command plugin) or systemd machines (end-to-end tests).
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { renderInvocation, renderPayload, resultOf } from "../../components/remoteStep";
import { shellQuote } from "../../components/shellQuote";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "step-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const step = { step: "demo", action: "apply", rerun: "once", settings: {}, user: "root" } as const;

function runStep(
  script: string,
  overrides: {
    rerun?: "once" | "always";
    action?: "apply" | "delete";
    files?: Record<string, { content: string; mode?: string }>;
  } = {},
) {
  return spawnSync("bash", ["-c", renderInvocation({ ...step, ...overrides, script })], {
    input: renderPayload({ settings: {}, files: overrides.files ?? {}, script }),
    env: { ...process.env, STEP_ROOT: root },
    encoding: "utf8",
  });
}

describe("shellQuote", () => {
  test.each([
    "plain",
    "",
    "two words",
    "it's",
    "$(rm -rf /)",
    "`x`",
    "a\nb",
    "\\",
    '"',
    "*",
  ])("%j is one word", (value) => {
    const echoed = spawnSync("bash", ["-c", `printf %s ${shellQuote(value)}`], { encoding: "utf8" });
    expect(echoed.stdout).toBe(value);
  });
});

describe("what is sent", () => {
  test("the command line shows the settings and the script's hash, and no file's content", () => {
    const invocation = renderInvocation({
      ...step,
      script: "true",
      settings: { NODE: "node1", LABELS: "a=b" },
    });
    expect(invocation).toMatch(/^# step demo, script [0-9a-f]{12}\n# LABELS=a=b\n# NODE=node1\n/);
    const changed = renderInvocation({
      ...step,
      script: "false",
      settings: { NODE: "node1", LABELS: "a=b" },
    });
    expect(changed.split("\n")[0]).not.toBe(invocation.split("\n")[0]);
  });

  test("somebody who is not root goes through sudo without a question", () => {
    expect(renderInvocation({ ...step, script: "true", user: "ubuntu" })).toContain("sudo -n bash -c ");
  });

  test("files have their content and mode before the script runs", () => {
    const path = join(root, "etc/key");
    const result = runStep(`cat ${path}`, { files: { [path]: { content: "it's a secret\n$HOME" } } });
    expect(result.status).toBe(0);
    expect(readFileSync(path, "utf8")).toBe("it's a secret\n$HOME");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(result.stdout + result.stderr).not.toContain("secret");
  });
});

describe("the runner", () => {
  const counter = () => join(root, "count");
  const counting = () => `echo x >>${counter()}; echo "> half way"; echo noise; echo answer >"$STEP_RESULT"`;
  const runs = () => (existsSync(counter()) ? readFileSync(counter(), "utf8").split("\n").length - 1 : 0);

  test("gives progress and the result, and keeps noise to itself", () => {
    const result = runStep(counting());
    expect(result.stdout).toBe("> half way\nanswer\n");
    expect(resultOf(result.stdout)).toBe("answer");
  });

  test("does not run a finished step again, but gives its result again", () => {
    runStep(counting());
    const again = runStep(counting());
    expect(runs()).toBe(1);
    expect(again.stdout).toBe("answer\n");
  });

  test("runs it again when it changed, or when told always", () => {
    runStep(counting());
    runStep(`${counting()}\n# changed`);
    expect(runs()).toBe(2);
    runStep(`${counting()}\n# changed`, { rerun: "always" });
    expect(runs()).toBe(3);
  });

  test("a failure gives the code, the machine and the end of the log, and the next run tries again", () => {
    const script = `echo x >>${counter()}; echo "the reason"; exit 7`;
    const failed = runStep(script);
    expect(failed.status).toBe(7);
    expect(failed.stderr).toMatch(/step demo failed on .* with exit code 7/);
    expect(failed.stderr).toContain("the reason");
    runStep(script);
    expect(runs()).toBe(2);
  });

  test("delete runs the script with its action", () => {
    expect(runStep('echo "$STEP_ACTION" >"$STEP_RESULT"', { action: "delete", rerun: "always" }).stdout).toBe(
      "delete\n",
    );
  });

  test("a cut session does not end the step; the next one follows it to its end, and it ran once", async () => {
    const script = `echo x >>${counter()}; sleep 1.5; echo done >"$STEP_RESULT"`;
    const first = spawn("bash", ["-c", renderInvocation({ ...step, script })], {
      env: { ...process.env, STEP_ROOT: root },
      stdio: ["pipe", "ignore", "ignore"],
    });
    first.stdin.end(renderPayload({ settings: {}, files: {}, script }));
    while (runs() === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    first.kill("SIGKILL");
    const second = runStep(script);
    expect(second.stdout).toBe("done\n");
    expect(runs()).toBe(1);
  });

  test("the script, which holds secrets, is gone when the step is done", () => {
    runStep("true", { files: { [join(root, "x")]: { content: "canary-secret" } } });
    const found = spawnSync("grep", ["-rlF", Buffer.from("canary-secret").toString("base64"), root], {
      encoding: "utf8",
    });
    expect(found.stdout).toBe("");
  });
});
