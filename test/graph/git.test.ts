import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { GitServer, type GitServerArgs } from "../../k8s/git/gitServer";
import { passwordLine } from "../../k8s/registry/registryLogin";
import { fakePassword } from "../support/fakeOutputs";
import { type Graph, recordGraph } from "../support/graph";
import { objectProblems, openSecrets, podTemplates } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";

const webhookSecret = "webhook-secret-canary";
const args: GitServerArgs = {
  image: "registry.example/git-server:2.39",
  storage: "2Gi",
  storageClassName: "local-path",
  repositories: {
    "gourmetgram-app": { branch: "main", files: { "app.py": "print()", "icon.png": { base64: "AAEC" } } },
    "gourmetgram-train": { branch: "mlops", files: { "train.py": "print()" } },
  },
  webhook: { url: "http://github.argo-events.svc.cluster.local:12000/push", secret: webhookSecret },
};

function gitGraph(change: Partial<GitServerArgs> = {}): Promise<Graph> {
  return recordGraph(() => {
    const machine = new pulumi.ComponentResource("test:Machine", "machine");
    const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
    const webhook = args.webhook && { ...args.webhook, secret: pulumi.secret(webhookSecret) };
    const git = new GitServer("git", { ...args, webhook, ...change }, { provider, deletedWith: machine });
    new k8s.core.v1.ConfigMap("user", {
      data: { url: git.repositories["gourmetgram-app"]?.url as pulumi.Output<string> },
    });
    return {
      url: git.endpoint.url,
      repositories: git.repositories,
      secretName: git.credentials.secretName,
      password: git.pushPassword,
    };
  });
}

describe("the Git server", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await gitGraph();
  });
  const pod = () => graph.get("git", "StatefulSet").inputs.spec.template;

  test("has exactly these children", () => {
    expect(graph.children(graph.get("git", "GitServer"))).toEqual([
      "git Namespace",
      "git NetworkPolicy",
      "git Secret",
      "git Service",
      "git ServiceAccount",
      "git StatefulSet",
      "git-default-deny NetworkPolicy",
      "git-dns NetworkPolicy",
      "git-headless Service",
      "git-push Password",
      "git-push Secret",
      "git-scripts ConfigMap",
      "git-seed-gourmetgram-app ConfigMap",
      "git-seed-gourmetgram-train ConfigMap",
    ]);
  });

  test("every object is labelled, the pod restricted and bounded, secrets are secret", () => {
    expect(objectProblems(graph).filter((line) => !line.startsWith("user "))).toEqual([]);
    expect(openSecrets(graph)).toEqual([]);
    for (const { spec } of podTemplates(graph)) {
      expect(restrictedViolations(spec)).toEqual([]);
      expect(spec.automountServiceAccountToken).toBe(false);
      for (const container of [...spec.initContainers, ...spec.containers]) {
        expect(container.image).toBe(args.image);
        expect(container.imagePullPolicy).toBe("IfNotPresent");
        expect(container.securityContext.readOnlyRootFilesystem).toBe(true);
        expect(Object.keys(container.resources).sort()).toEqual(["limits", "requests"]);
      }
      for (const container of spec.containers) {
        expect(container.startupProbe && container.readinessProbe && container.livenessProbe).toBeTruthy();
      }
    }
    expect(graph.get("git", "Namespace").inputs.metadata.labels).toMatchObject({
      "pod-security.kubernetes.io/enforce": "restricted",
    });
  });

  test("no secret value is anywhere but in Secrets", () => {
    const values = [fakePassword("git-push"), webhookSecret];
    const known = values.flatMap((value) => [value, Buffer.from(value).toString("base64")]);
    for (const node of graph.nodes.filter(({ custom, type }) => custom && !type.endsWith(":Secret"))) {
      const text = JSON.stringify(node.inputs);
      expect(
        known.filter((value) => text.includes(value)),
        node.name,
      ).toEqual([]);
    }
    expect([...graph.secretOutputs]).toEqual(["password"]);
  });

  test("the server has the login and the webhook's key, nothing else does", () => {
    const decoded = Object.fromEntries(
      Object.entries(graph.get("git", "Secret").inputs.data as Record<string, string>).map(([key, value]) => [
        key,
        Buffer.from(value, "base64").toString(),
      ]),
    );
    expect(decoded).toEqual({
      htpasswd: passwordLine("git", fakePassword("git-push")),
      secret: webhookSecret,
    });
    const mounted = (name: string) => {
      const { spec } = pod();
      const volume = spec.volumes.find((candidate: any) => candidate.name === name);
      return {
        keys: volume.secret.items.map(({ key }: { key: string }) => key),
        containers: [...spec.initContainers, ...spec.containers]
          .filter((container: any) => container.volumeMounts.some((mount: any) => mount.name === name))
          .map(({ name: container }: { name: string }) => container),
      };
    };
    expect(mounted("login")).toEqual({ keys: ["htpasswd"], containers: ["http"] });
    expect(mounted("webhook")).toEqual({ keys: ["secret"], containers: ["git"] });
  });

  test("each repository has a seed, in the container that brings it in", () => {
    const { data, binaryData } = graph.get("git-seed-gourmetgram-app", "ConfigMap").inputs;
    expect(data.branch).toBe("main");
    expect(Object.values(data)).toContain("print()");
    expect(Object.values(binaryData)).toEqual(["AAEC"]);
    const [seed] = pod().spec.initContainers;
    expect(seed.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath)).toEqual(
      expect.arrayContaining(["/run/seeds/gourmetgram-app", "/run/seeds/gourmetgram-train", "/srv/git"]),
    );
  });

  test("hooks may be executed, and know whom to tell", () => {
    const { data } = graph.get("git-scripts", "ConfigMap").inputs;
    expect(data["webhook-url"]).toBe(args.webhook?.url);
    expect(data["base-url"]).toBe("http://git.gourmetgram-git.svc.cluster.local");
    expect(data["post-receive"]).toContain("git-webhook.sh");
    const scripts = pod().spec.volumes.find(({ name }: { name: string }) => name === "scripts");
    expect(scripts.configMap.defaultMode).toBe(0o555);
  });

  test("Service on 80, pod on the port of nginx.conf", () => {
    expect(graph.get("git", "Service").inputs.spec.ports).toEqual([
      { name: "http", port: 80, targetPort: "http" },
    ]);
    expect(pod().spec.containers[0].ports).toEqual([{ name: "http", containerPort: 8080 }]);
    expect(graph.get("git-scripts", "ConfigMap").inputs.data["nginx.conf"]).toContain("listen 8080;");
    const { ingress, egress } = graph.get("git", "NetworkPolicy").inputs.spec;
    expect(ingress[0].ports).toEqual([{ protocol: "TCP", port: 8080 }]);
    expect(egress).toEqual([{ ports: [{ protocol: "TCP", port: 12000 }] }]);
  });

  test("its address is given out when it answers", () => {
    expect(graph.waits(graph.get("user"), graph.get("git", "StatefulSet"))).toBe(true);
    expect(graph.outputs).toMatchObject({
      url: "http://git.gourmetgram-git.svc.cluster.local",
      secretName: "git-push",
      repositories: {
        "gourmetgram-app": {
          url: "http://git.gourmetgram-git.svc.cluster.local/gourmetgram-app.git",
          branch: "main",
        },
        "gourmetgram-train": { branch: "mlops" },
      },
    });
  });

  test("a changed seed restarts the pod, another size of the volume does not", async () => {
    const annotations = (of: Graph) => of.get("git", "StatefulSet").inputs.spec.template.metadata.annotations;
    const repositories = { ...args.repositories, other: { branch: "main", files: { a: "b" } } };
    expect(annotations(await gitGraph({ repositories }))).not.toEqual(annotations(graph));
    expect(annotations(await gitGraph({ storage: "3Gi" }))).toEqual(annotations(graph));
  });

  test("without a webhook it has no hook's settings and goes nowhere", async () => {
    const quiet = await gitGraph({ webhook: undefined });
    expect(quiet.get("git-scripts", "ConfigMap").inputs.data).not.toHaveProperty("webhook-url");
    expect(quiet.get("git", "Secret").inputs.data).not.toHaveProperty("secret");
    expect(quiet.get("git", "NetworkPolicy").inputs.spec.policyTypes).toEqual(["Ingress"]);
  });
});

test("wrong arguments are all reported at once, before anything is made", async () => {
  const wrong: GitServerArgs = {
    image: "x",
    storage: "2",
    repositories: {
      Bad: { branch: "seed", files: { "../up": "", "/root": "", ".git/config": "", "fine/x": "" } },
      large: { branch: "main", files: { big: { base64: Buffer.alloc(1024 * 1024).toString("base64") } } },
    },
    webhook: { url: "http://me:hunter2@example.org", secret: "s" },
  };
  const error: Error = await recordGraph(() => new GitServer("git", wrong)).catch((reason) => reason);
  for (const text of [
    "6 problems in the arguments of git",
    'storage = "2"',
    'repositories.Bad = "Bad"',
    'repositories.Bad.branch = "seed"',
    'repositories.Bad.files = ["../up","/root",".git/config"]',
    "repositories.large.files",
    "at most 1048576 bytes",
    "webhook.url",
  ]) {
    expect(error.message).toContain(text);
  }
  const empty: Error = await recordGraph(() => new GitServer("git", { ...args, repositories: {} })).catch(
    (reason) => reason,
  );
  expect(empty.message).toContain("at least one repository");
});
