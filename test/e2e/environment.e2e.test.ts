/**
 * Proves: one command brings a whole environment up from nothing on real parts; a second changes nothing; a real MLflow client
 * works against it and its data outlives every pod; nodes come, go and are replaced; destroy leaves nothing.
 * Does not prove: anything on OpenStack, or with official provider plugins.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readmeCommands } from "../support/readme";
import { clientPython, EnvironmentUnderTest, eventually, run, trackedRun } from "./environmentUnderTest";

const environment = new EnvironmentUnderTest("e2e");
const model = "GourmetGramFood11Model";
const cidr = "10.86.0.0/24";
const three = {
  node1: { role: "controlPlane", address: "10.86.0.11" },
  node2: { role: "worker", address: "10.86.0.12" },
  node3: { role: "worker", address: "10.86.0.13" },
};
const four = {
  ...three,
  node4: {
    role: "worker",
    address: "10.86.0.14",
    labels: { pool: "extra" },
    taints: [{ key: "extra", effect: "NoSchedule" }],
  },
};

interface NodeList {
  items: {
    metadata: { name: string; uid: string; labels: Record<string, string> };
    spec: { taints?: { key: string; effect: string }[] };
    status: { conditions: { type: string; status: string }[] };
  }[];
}

interface Logged {
  run_id: string;
  artifact_uri: string;
  version: string;
}

async function nodes(): Promise<NodeList["items"]> {
  return (await environment.kubectlJson<NodeList>("get", "nodes")).items;
}

function ready(list: NodeList["items"]): string[] {
  return list
    .filter((node) =>
      node.status.conditions.some(({ type, status }) => type === "Ready" && status === "True"),
    )
    .map((node) => node.metadata.name)
    .sort();
}

beforeAll(async () => {
  // Delivery and its stages have a test of their own.
  process.env["GOURMETGRAM_UP_TO"] = "platform";
  // What an interrupted run of this test left is taken down first: the same command a user has.
  environment.configure({ infra: { kind: "local", cidr }, nodes: three });
  await environment.tryCommand("destroy", "--yes");
});

afterAll(async () => {
  if (process.env["KEEP"] !== "1") {
    environment.configure({ infra: { kind: "local", cidr }, nodes: three });
    await environment.tryCommand("destroy", "--yes");
    environment.forget();
  }
  delete process.env["GOURMETGRAM_UP_TO"];
});

/** The user's training script against the environment's MLflow, logged in. */
function tracked<T>(...args: string[]): Promise<T> {
  return environment.forwarded("gourmetgram-platform", "service/mlflow", 8000, async (port) =>
    trackedRun<T>((await environment.outputs()).credentials.mlflow, port, ...args),
  );
}

describe("an environment from nothing to nothing", () => {
  let logged: Logged;

  test("up brings three Ready nodes", async () => {
    const up = await environment.command("up");
    console.log(`up took ${up.seconds.toFixed(0)} s`);
    expect(ready(await nodes())).toEqual(["node1", "node2", "node3"]);
    const { mlflow } = (await environment.outputs()).credentials;
    expect(up.stdout + up.stderr).not.toContain(mlflow.password);
  });

  test("a second preview has no change", async () => {
    const preview = await environment.command("preview", "--expect-no-changes");
    console.log(`no-op preview took ${preview.seconds.toFixed(1)} s`);
  });

  test.each(
    readmeCommands().filter(({ script }) =>
      ["doctor", "preview", "outputs", "kubectl", "refresh"].includes(script),
    ),
  )("the README's npm run $script does what it says", async ({ script, args }) => {
    const stack = script === "kubectl" ? ["--stack", environment.stack] : [environment.stack];
    const { stdout } = await run("npm", ["run", "--silent", script, "--", ...stack, ...args]);
    expect(stdout).not.toBe("");
  });

  test("a refresh right after finds nothing that drifted", async () => {
    await environment.command("preview", "--expect-no-changes");
  });

  test("every pod outside the written exceptions is admitted at the level restricted", async () => {
    const { metadata } = await environment.kubectlJson<{ metadata: { labels: Record<string, string> } }>(
      "get",
      "namespace",
      "gourmetgram-platform",
    );
    expect(metadata.labels["pod-security.kubernetes.io/enforce"]).toBe("restricted");
    // A dry run of the label on the live namespace makes the API server evaluate each pod in it and warn of violations.
    const answer = await run("node", [
      "tools/run.mjs",
      "kubectl",
      environment.stack,
      "--",
      "label",
      "--dry-run=server",
      "--overwrite",
      "namespace",
      "gourmetgram-platform",
      "pod-security.kubernetes.io/enforce=restricted",
    ]);
    expect(answer.stdout + answer.stderr).not.toContain("violate");
  });

  test("the API server serves nobody anonymously, encrypts Secrets and keeps an audit log", async () => {
    const { nodes: addresses } = await environment.outputs();
    const answer = await run("curl", [
      "-sk",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      `https://${addresses["node1"]}:6443/api`,
    ]);
    expect(answer.stdout).toBe("401");
    const etcd = await environment.kubectl(
      "-n",
      "kube-system",
      "exec",
      "etcd-node1",
      "--",
      "etcdctl",
      "--endpoints=https://127.0.0.1:2379",
      "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
      "--cert=/etc/kubernetes/pki/etcd/server.crt",
      "--key=/etc/kubernetes/pki/etcd/server.key",
      "get",
      "--prefix",
      "/registry/secrets/gourmetgram-platform/",
      "--limit=1",
      "--print-value-only",
    );
    expect(etcd).toContain("k8s:enc:secretbox:v1:");
  });

  test("metrics are served, the kubelets' certificates verified", async () => {
    await eventually("kubectl top nodes", 90, async () =>
      (await environment.kubectl("top", "nodes")).includes("node3"),
    );
  });

  test("a real MLflow client logs a run, an artifact and a registered model, with its login only", async () => {
    const refused = await environment.forwarded("gourmetgram-platform", "service/mlflow", 8000, (port) =>
      run("curl", [
        ...["-s", "-o", "/dev/null", "-w", "%{http_code}"],
        `http://127.0.0.1:${port}/api/2.0/mlflow/experiments/search`,
      ]),
    );
    expect(refused.stdout).toBe("401");
    logged = await tracked<Logged>("log", model);
    expect(Number(logged.version)).toBe(1);
  });

  test("the artifact's bytes lie in MinIO and the run in PostgreSQL", async () => {
    const outputs = await environment.outputs();
    const script = [
      "import boto3, os, sys",
      "s3 = boto3.client('s3', endpoint_url=os.environ['S3'], region_name='us-east-1')",
      "keys = [o['Key'] for o in s3.list_objects_v2(Bucket='mlflow-artifacts').get('Contents', [])]",
      "key = [k for k in keys if os.environ['RUN'] in k and k.endswith('model.bin')][0]",
      "sys.stdout.write(s3.get_object(Bucket='mlflow-artifacts', Key=key)['Body'].read().decode())",
    ].join("\n");
    const object = await environment.forwarded("gourmetgram-platform", "service/minio", 9000, async (port) =>
      run(await clientPython(), ["-c", script], {
        env: {
          S3: `http://127.0.0.1:${port}`,
          RUN: logged.run_id,
          AWS_ACCESS_KEY_ID: outputs.credentials.minio.username,
          AWS_SECRET_ACCESS_KEY: outputs.credentials.minio.password,
        },
      }),
    );
    expect(object.stdout).toBe(`weights of ${model}`.repeat(1000));
    const row = await environment.kubectl(
      "-n",
      "gourmetgram-platform",
      "exec",
      "postgres-0",
      "--",
      "psql",
      "-U",
      outputs.credentials.postgres.username,
      "-d",
      "mlflowdb",
      "-tAc",
      `select lifecycle_stage from runs where run_uuid = '${logged.run_id}'`,
    );
    expect(row.trim()).toBe("active");
  });

  test("what was logged is read back after every pod was restarted", async () => {
    await environment.kubectl("delete", "pods", "--all", "--all-namespaces", "--wait=false");
    await eventually("MLflow answers again", 240, async () => {
      const health = await environment.forwarded("gourmetgram-platform", "service/mlflow", 8000, (port) =>
        run("curl", ["-s", "-m", "5", `http://127.0.0.1:${port}/health`], { allowFailure: true }),
      );
      return health.stdout === "OK";
    });
    let read: { metric: number; artifact: string; version: string } | undefined;
    await eventually("the run is read back", 120, async () => {
      read = await tracked("read", model, logged.run_id);
      return true;
    });
    expect(read).toMatchObject({ metric: 0.875, artifact: `weights of ${model}`.repeat(1000), version: "1" });
  });

  test("a fourth node joins with its label and taint, and nothing else changes", async () => {
    const before = await nodes();
    environment.configure({ infra: { kind: "local", cidr }, nodes: four });
    await environment.command("up");
    const after = await nodes();
    expect(ready(after)).toEqual(["node1", "node2", "node3", "node4"]);
    const added = after.find((node) => node.metadata.name === "node4");
    expect(added?.metadata.labels["pool"]).toBe("extra");
    expect(added?.spec.taints?.map(({ key, effect }) => `${key}:${effect}`)).toContain("extra:NoSchedule");
    for (const node of before) {
      expect(after.find((one) => one.metadata.name === node.metadata.name)?.metadata.uid).toBe(
        node.metadata.uid,
      );
    }
  });

  test("the fourth node leaves: drained, deleted, its machine gone", async () => {
    environment.configure({ infra: { kind: "local", cidr }, nodes: three });
    await environment.command("up");
    expect((await nodes()).map((node) => node.metadata.name).sort()).toEqual(["node1", "node2", "node3"]);
    const leftovers = await environment.tryCommand("leftovers");
    expect(leftovers.stdout).not.toContain("node4");
  });

  test("node2 is replaced and only node2", async () => {
    const before = await nodes();
    await environment.command("up", "--replace", "node2");
    const after = await nodes();
    expect(ready(after)).toEqual(["node1", "node2", "node3"]);
    const uid = (list: NodeList["items"], name: string) =>
      list.find((node) => node.metadata.name === name)?.metadata.uid;
    expect(uid(after, "node2")).not.toBe(uid(before, "node2"));
    expect(uid(after, "node1")).toBe(uid(before, "node1"));
    expect(uid(after, "node3")).toBe(uid(before, "node3"));
    await eventually("the run is still there", 120, async () => {
      const read = await tracked<{ metric: number }>("read", model, logged.run_id);
      return read.metric === 0.875;
    });
  });

  test("destroy leaves nothing, and a command shows it", async () => {
    await environment.command("destroy", "--yes");
    const leftovers = await environment.command("leftovers");
    expect(leftovers.code).toBe(0);
  });
});
