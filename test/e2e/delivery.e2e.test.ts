/**
 * Proves: one command brings up an environment whose three stages serve; a model goes from training to production and back through real
 * Argo, BuildKit, registry and MLflow; bad models are stopped and undone; faults in the middle end in the old or the new version;
 * people get in with a login only, and see the app's page; destroy leaves nothing.
 * Does not prove: the same a hundred times in a row, or on a cloud. `npm run scenario -- <name> --runs 5` repeats a chain by hand.
 */
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EnvironmentUnderTest, eventually, killTree, run, start } from "./environmentUnderTest";
import { classifyInBrowser } from "./page";

const environment = new EnvironmentUnderTest("e2e-delivery");
const edge = "10.84.0.11";
const settings = {
  infra: { kind: "local", cidr: "10.84.0.0/24" },
  exposure: { webhook: "public" },
};
const stages = {
  staging: `http://${edge}:8081`,
  canary: `http://${edge}:8080`,
  production: `http://${edge}`,
};
type Stage = keyof typeof stages;

/** Namespaces whose pods have rights that `restricted` forbids; each exception is written in the README of its folder. */
const exceptions = [
  "default",
  "kube-flannel",
  "kube-node-lease",
  "kube-public",
  "kube-system",
  "local-path-storage",
  "gourmetgram-build",
  "gourmetgram-gateway",
];

interface WorkflowList {
  items: {
    metadata: { name: string; creationTimestamp: string; labels?: Record<string, string> };
    spec: {
      workflowTemplateRef?: { name: string };
      arguments?: { parameters?: { name: string; value: string }[] };
    };
    status?: {
      phase?: string;
      startedAt?: string;
      finishedAt?: string;
      message?: string;
      nodes?: Record<
        string,
        {
          displayName: string;
          type: string;
          phase: string;
          startedAt: string;
          finishedAt: string;
          message?: string;
        }
      >;
    };
  }[];
}

interface LedgerList {
  items: {
    spec: { stage: string; action: string; to?: { version: string }; reason?: string; workflow?: string };
  }[];
}

const workflows = () => environment.kubectlJson<WorkflowList>("-n", "argo", "get", "workflows");
const ledger = () => environment.kubectlJson<LedgerList>("-n", "argo", "get", "ledgerentries");

/** `npm run <script> -- <args> --stack <ours>`, as a user types it. */
function npmRun(script: string, ...args: string[]) {
  return run("node", ["tools/run.mjs", script, ...args, "--stack", environment.stack]);
}

function tryNpmRun(script: string, ...args: string[]) {
  return run("node", ["tools/run.mjs", script, ...args, "--stack", environment.stack], {
    allowFailure: true,
  });
}

async function served(stage: Stage): Promise<string> {
  const answer = await fetch(`${stages[stage]}/version`, { signal: AbortSignal.timeout(5000) });
  return ((await answer.json()) as { model_version: string }).model_version;
}

/** What a stage itself runs, past the gateway, which gives production's visitors to the canary too. */
async function recorded(stage: Stage): Promise<string> {
  const entries = (await ledger()).items.filter(
    ({ spec }) => spec.stage === stage && ["deployed", "reverted"].includes(spec.action),
  );
  return entries.at(-1)?.spec.to?.version ?? "";
}

async function code(url: string, headers: Record<string, string> = {}): Promise<number> {
  return (await fetch(url, { headers, signal: AbortSignal.timeout(10_000) })).status;
}

beforeAll(async () => {
  environment.configure(settings);
  await environment.tryCommand("destroy", "--yes");
});

afterAll(async () => {
  if (process.env["KEEP"] === "1") return;
  await environment.tryCommand("destroy", "--yes");
  environment.forget();
});

describe("an environment that delivers", () => {
  test("an up killed while delivery starts is finished by the next, and every stage serves", async () => {
    const began = Date.now();
    const first = environment.startCommand("up");
    const timer = setTimeout(() => killTree(first.child.pid as number), 80_000 + Math.random() * 40_000);
    await first.done;
    clearTimeout(timer);
    console.log(`killed after ${((Date.now() - began) / 1000).toFixed(0)} s`);
    const up = await environment.command("up");
    console.log(`the next up took ${up.seconds.toFixed(0)} s`);
    const { urls, credentials } = await environment.outputs();
    expect(up.stdout).toContain(urls.production);
    for (const { password } of Object.values(credentials))
      expect(up.stdout + up.stderr).not.toContain(password);
    for (const stage of Object.keys(stages) as Stage[]) expect(await served(stage)).toBe("1.0.0");
  });

  test("a second preview has no change", async () => {
    const preview = await environment.command("preview", "--expect-no-changes");
    console.log(`no-op preview took ${preview.seconds.toFixed(1)} s`);
  });

  test("every pod outside the written exceptions is admitted at the level restricted", async () => {
    const list = await environment.kubectlJson<{ items: { metadata: { name: string } }[] }>(
      "get",
      "namespaces",
    );
    const names = list.items
      .map(({ metadata }) => metadata.name)
      .filter((name) => !exceptions.includes(name));
    expect(names).toEqual(expect.arrayContaining(["argo", "argocd", "argo-events", "gourmetgram-git"]));
    const answer = await run("node", [
      ...["tools/run.mjs", "kubectl", environment.stack, "--", "label", "--dry-run=server", "--overwrite"],
      ...["namespace", ...names, "pod-security.kubernetes.io/enforce=restricted"],
    ]);
    expect(answer.stdout + answer.stderr).not.toContain("violate");
  });

  test("the app's page classifies a picture in a browser", async () => {
    const shown = await classifyInBrowser(stages.staging);
    expect(shown.version).toContain("1.0.0");
    expect(shown.classes).toContain(shown.result);
  });

  test("the tunnel leads to what is not public, and in there nobody gets far without a login", async () => {
    const { urls, credentials } = await environment.outputs();
    const tunnel = start("node", ["tools/run.mjs", "tunnel", environment.stack]);
    try {
      await eventually(
        "MLflow answers at the near end",
        30,
        async () => (await code(`${urls.mlflow}/health`)) === 200,
      );
      expect(await code(`${urls.mlflow}/api/2.0/mlflow/experiments/search`)).toBe(401);
      const list = `${urls["argo-workflows"]}/api/v1/workflows/argo`;
      expect(await code(list)).toBeGreaterThanOrEqual(400);
      expect(await code(list, { Authorization: credentials["argo-workflows"].password })).toBe(200);
      expect(await code(`${urls.argocd}/api/v1/applications`)).toBe(401);
      // What has a tunnel has no port on the node.
      await expect(
        fetch(`http://${edge}:8000/health`, { signal: AbortSignal.timeout(3000) }),
      ).rejects.toThrow();
    } finally {
      tunnel.child.kill("SIGTERM");
      await tunnel.done;
    }
  });

  test("a good model goes from training through staging to canary, and staging loses no request", async () => {
    const scenario = await npmRun("scenario", "normal", "--load");
    console.log(scenario.stdout);
    expect(await served("staging")).toBe("1.0.1");
    expect(await served("canary")).toBe("1.0.1");
    expect(await recorded("production")).toBe("1.0.0");
  });

  test("an up after a promotion changes nothing", async () => {
    await environment.command("preview", "--expect-no-changes");
    const up = await environment.command("up");
    expect(up.code).toBe(0);
    expect(await served("staging")).toBe("1.0.1");
  });

  test.each([
    "bad-architecture",
    "oversized",
    "slow",
  ])("a model that is %s is stopped and undone", async (name) => {
    const scenario = await npmRun("scenario", name);
    console.log(scenario.stdout);
    expect(await served("staging")).toBe("1.0.1");
    expect(await served("canary")).toBe("1.0.1");
    expect(await recorded("production")).toBe("1.0.0");
  });

  test("a person's approval with a reason brings a version to production; staging cannot go there directly", async () => {
    const direct = await tryNpmRun(
      "promote",
      "--from",
      "staging",
      "--to",
      "production",
      "--version",
      "1.0.1",
    );
    expect(direct.code).toBe(2);
    const wrong = await tryNpmRun(
      ...(["promote", "--from", "staging", "--to", "canary", "--version", "1.0.9", "--wait"] as const),
    );
    expect(wrong.code).toBe(1);
    expect(wrong.stdout + wrong.stderr).toMatch(/1\.0\.9/);
    await npmRun("promote", "--from", "canary", "--to", "production", "--version", "1.0.1");
    await eventually("the promotion waits for a person", 120, async () => {
      const answer = await tryNpmRun("approve", "--reason", "looks right", "--by", "the test");
      return answer.code === 0;
    });
    await eventually("production runs it", 180, async () => (await recorded("production")) === "1.0.1");
    const shown = await environment.command("ledger");
    expect(shown.stdout).toContain("looks right");
    expect(shown.stdout).toContain("the test");
  });

  test("a frozen stage refuses, by name", async () => {
    await npmRun("freeze", "production", "--reason", "exam week");
    try {
      const refused = await tryNpmRun("revert", "production", "--reason", "just trying", "--wait");
      expect(refused.code).toBe(1);
      expect(refused.stdout + refused.stderr).toContain("StageFrozen");
      expect(await recorded("production")).toBe("1.0.1");
    } finally {
      await npmRun("unfreeze", "production");
    }
  });

  test("a killed workflow controller and a restarted registry in the middle of a promotion end in old or new", async () => {
    const promotion = start("node", [...["tools/run.mjs", "train", "--wait", "--stack", environment.stack]]);
    await eventually(
      "staging is being changed",
      240,
      async () => (await ledger()).items.at(-1)?.spec.action === "started",
    );
    await environment.kubectl(
      "-n",
      "argo",
      "delete",
      "pod",
      "-l",
      "app.kubernetes.io/name=workflow-controller",
      "--wait=false",
    );
    await environment.kubectl(
      "-n",
      "kube-system",
      "delete",
      "pod",
      "-l",
      "app.kubernetes.io/name=registry",
      "--wait=false",
    );
    await promotion.done;
    for (const stage of ["staging", "canary"] as const) {
      expect(await served(stage)).toBe(await recorded(stage));
    }
  });

  test("an unknown branch ends with its name", async () => {
    const training = await tryNpmRun("train", "--branch", "no-such-branch", "--wait");
    expect(training.code).toBe(1);
    expect(training.stdout + training.stderr).toContain("UnknownBranch");
    // The entry is written at the very end of the run, which the command does not wait for.
    await eventually("the ledger says so, too", 60, async () =>
      (await ledger()).items.some(
        ({ spec }) => spec.action === "failed" && spec.reason?.startsWith("UnknownBranch"),
      ),
    );
    expect(await served("staging")).toBe(await recorded("staging"));
  });

  test("a signed push starts a training, an unsigned one does not", async () => {
    const secret = Buffer.from(
      (
        await environment.kubectl(
          "-n",
          "argo-events",
          "get",
          "secret",
          "github-webhook",
          "-o",
          "jsonpath={.data.secret}",
        )
      ).trim(),
      "base64",
    ).toString();
    const body = JSON.stringify({
      ref: "refs/heads/mlops",
      after: "1".repeat(40),
      repository: { full_name: "gourmetgram/gourmetgram-train" },
      pusher: { name: "somebody" },
    });
    const push = (signature: string) =>
      fetch(`http://${edge}:12000/push`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "x-github-event": "push",
          "x-hub-signature-256": signature,
        },
        body,
      });
    const before = (await workflows()).items.length;
    expect((await push(`sha256=${createHmac("sha256", "wrong").update(body).digest("hex")}`)).ok).toBe(false);
    expect((await push(`sha256=${createHmac("sha256", secret).update(body).digest("hex")}`)).ok).toBe(true);
    await eventually("a workflow of the push", 60, async () => (await workflows()).items.length > before);
    expect((await workflows()).items.length).toBe(before + 1);
    await eventually("it ends", 600, async () =>
      (await workflows()).items.every(({ status }) =>
        ["Succeeded", "Failed", "Error"].includes(status?.phase ?? ""),
      ),
    );
  });

  test("no password is in a workflow, an argument or a log", async () => {
    const { credentials } = await environment.outputs();
    const places = [
      JSON.stringify(await workflows()),
      await environment.kubectl("get", "pods", "-A", "-o", "json"),
      await environment.kubectl("get", "configmaps", "-A", "-o", "json"),
      (await run("sh", ["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"], { allowFailure: true }))
        .stdout,
    ];
    const pods = await environment.kubectlJson<{
      items: { metadata: { name: string; namespace: string } }[];
    }>("get", "pods", "-A");
    for (const { metadata } of pods.items) {
      places.push(
        (
          await run(
            "node",
            [
              ...["tools/run.mjs", "kubectl", environment.stack, "--", "-n", metadata.namespace],
              ...["logs", metadata.name, "--all-containers", "--tail=-1"],
            ],
            { allowFailure: true },
          )
        ).stdout,
      );
    }
    for (const [service, { password }] of Object.entries(credentials)) {
      const secret = password.replace(/^Bearer /, "");
      expect(
        places.some((text) => text.includes(secret)),
        `the password of ${service}`,
      ).toBe(false);
    }
  });

  test("a worker without power in the middle of a promotion ends in the old or the new version", async () => {
    const scenario = await npmRun("scenario", "node-loss");
    console.log(scenario.stdout);
  });

  test("destroy leaves nothing, and a command shows it", async () => {
    const destroy = await environment.command("destroy", "--yes");
    console.log(`destroy took ${destroy.seconds.toFixed(0)} s`);
    expect((await environment.command("leftovers")).code).toBe(0);
  });
});
