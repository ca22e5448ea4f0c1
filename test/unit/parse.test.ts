import { describe, expect, it } from "vitest";
import { ProblemsError } from "../../components/problems";
import { defaultCidr } from "../../stacks/defaults";
import { parseEnvironment } from "../../stacks/parse";

/** Blocks of the error for these settings, without the headline; empty when they are right. */
function problemsOf(raw: Record<string, unknown>, stack = "local"): string[] {
  try {
    parseEnvironment(raw, stack);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ProblemsError);
    return (error as ProblemsError).message.split("\n\n").slice(1);
  }
}

const block = (...lines: string[]) => `  ${lines.join("\n    ")}`;

const controlPlane = { role: "controlPlane", address: "10.87.0.11" };
const worker = (address: string, more: object = {}) => ({ role: "worker", address, ...more });

const stage = {
  replicas: 1,
  resources: { requests: { cpu: "200m", memory: "256Mi" }, limits: { cpu: "500m", memory: "512Mi" } },
};

describe("settings of an environment", () => {
  it("are the documented defaults when there are none", () => {
    expect(parseEnvironment({}, "local")).toEqual({
      name: "local",
      infra: { kind: "local", cidr: "10.87.0.0/24", memory: "4Gi" },
      nodes: {
        node1: { role: "controlPlane", address: "10.87.0.11" },
        node2: { role: "worker", address: "10.87.0.12" },
        node3: { role: "worker", address: "10.87.0.13" },
      },
      cluster: { podCidr: "10.244.0.0/16", serviceCidr: "10.96.0.0/16", version: "v1.34.2" },
      platform: {
        storage: { postgres: "5Gi", minio: "10Gi" },
        mlflow: { workers: 1 },
        database: { kind: "internal" },
        objectStore: { kind: "internal" },
      },
      delivery: {
        canaryPercent: 10,
        registry: { storage: "20Gi", keepTags: 10 },
        builds: { mode: "rootless" },
        git: { kind: "internal" },
        training: { schedule: "0 2 * * *", branch: "mlops" },
      },
      exposure: {
        production: "public",
        canary: "public",
        staging: "public",
        mlflow: "tunnel",
        "minio-console": "tunnel",
        "argo-workflows": "tunnel",
        argocd: "tunnel",
        git: "tunnel",
        webhook: "off",
      },
      stages: { staging: stage, canary: stage, production: stage },
    });
  });

  it("keep defaults for what a partial mapping leaves out, and put default nodes into the given network", () => {
    const spec = parseEnvironment(
      { infra: { cidr: "10.5.0.0/16" }, platform: { mlflow: { workers: 4 } } },
      "local",
    );
    expect(spec.infra).toEqual({ kind: "local", cidr: "10.5.0.0/16", memory: "4Gi" });
    expect(spec.nodes["node3"]?.address).toBe("10.5.0.13");
    expect(spec.platform.mlflow).toEqual({ workers: 4 });
  });

  it("take an empty key for a missing one", () => {
    expect(parseEnvironment({ infra: null, nodes: null, stages: null }, "local")).toEqual(
      parseEnvironment({}, "local"),
    );
  });

  it("take everything that may be set", () => {
    const raw = {
      infra: { kind: "local", cidr: "192.168.4.0/22", memory: "3.5Gi" },
      nodes: {
        a: { role: "controlPlane", address: "192.168.4.2", memory: "6Gi" },
        b: {
          address: "192.168.7.254",
          labels: { "example.com/pool": "gpu", empty: "" },
          taints: [
            { key: "gpu", effect: "NoSchedule" },
            { key: "a/b", value: "c", effect: "NoExecute" },
          ],
        },
      },
      cluster: { podCidr: "10.128.0.0/12", serviceCidr: "172.20.0.0/20", version: "v1.34.2" },
      delivery: {
        canaryPercent: 25,
        registry: { storage: "2Gi", keepTags: 3 },
        builds: { mode: "root" },
        git: {
          kind: "external",
          infra: { url: "https://git.example.com/me/infra.git" },
          app: { url: "https://git.example.com/me/app.git", branch: "feature/new-look" },
          train: { url: "https://git.example.com/me/train.git" },
        },
        training: { schedule: "*/15 * * * *", branch: "nightly" },
      },
      exposure: { webhook: "public", canary: "off" },
      stages: {
        staging: {},
        canary: {
          replicas: 2,
          resources: { limits: { cpu: 1 } },
          autoscaling: { maxReplicas: 4 },
        },
      },
    };
    const spec = parseEnvironment(raw, "class-7");
    expect(spec.nodes["b"]).toEqual({ role: "worker", ...raw.nodes.b });
    expect(spec.infra).toEqual(raw.infra);
    expect(spec.delivery).toEqual({
      ...raw.delivery,
      git: {
        kind: "external",
        infra: { ...raw.delivery.git.infra, branch: "main", path: "chart" },
        app: raw.delivery.git.app,
        train: { ...raw.delivery.git.train, branch: "mlops" },
      },
    });
    expect(spec.exposure).toMatchObject({ webhook: "public", canary: "off", staging: "public" });
    expect(spec.stages).toEqual({
      staging: stage,
      canary: {
        replicas: 2,
        resources: { requests: stage.resources.requests, limits: { cpu: "1", memory: "512Mi" } },
        autoscaling: { maxReplicas: 4, targetCpuPercent: 70 },
      },
    });
  });

  it.each([
    [1, ["a"]],
    [3, ["a", "b", "c"]],
  ])("take %i control planes", (_count, names) => {
    const nodes = Object.fromEntries(
      names.map((name, index) => [name, { ...controlPlane, address: `10.87.0.${20 + index}` }]),
    );
    expect(problemsOf({ nodes })).toEqual([]);
  });
});

describe("every wrong setting gives its path, value, the allowed ones and a next step", () => {
  const cases: [string, Record<string, unknown>, string[]][] = [
    [
      "unknown key at the top",
      { node: {} },
      [
        block(
          "node",
          `is an unknown key; did you mean "nodes"?`,
          "allowed: infra, nodes, cluster, platform, delivery, exposure, stages",
          "next: rename it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "unknown key without a near one",
      { frobnicate: 1 },
      [
        block(
          "frobnicate",
          "is an unknown key",
          "allowed: infra, nodes, cluster, platform, delivery, exposure, stages",
          "next: remove it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "unknown key deep inside",
      {
        nodes: {
          node1: controlPlane,
          node2: { role: "worker", adress: "10.87.0.12", address: "10.87.0.12" },
        },
      },
      [
        block(
          "nodes.node2.adress",
          `is an unknown key; did you mean "address"?`,
          "allowed: role, address, memory, labels, taints",
          "next: rename it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "unknown infra kind",
      { infra: { kind: "openstak" } },
      [
        block(
          'infra.kind = "openstak"',
          'is unknown; did you mean "openstack"?',
          "allowed: local, openstack, hosts",
          "next: set one of them in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "bad CIDR",
      { infra: { cidr: "10.87.0/24" } },
      [
        block(
          'infra.cidr = "10.87.0/24"',
          "is not an IPv4 network in CIDR form",
          "allowed: a private IPv4 network from /16 to /24, for example 10.87.0.0/24",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "CIDR with host bits",
      { cluster: { podCidr: "10.244.0.5/16" } },
      [
        block(
          'cluster.podCidr = "10.244.0.5/16"',
          "is an address inside a network; the network is 10.244.0.0/16",
          "allowed: an IPv4 network from /8 to /24, for example 10.87.0.0/24",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "network too small",
      { infra: { cidr: "10.87.0.0/28" } },
      [
        block(
          'infra.cidr = "10.87.0.0/28"',
          "is too small",
          "allowed: a private IPv4 network from /16 to /24, for example 10.87.0.0/24",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "public network",
      { infra: { cidr: "8.8.8.0/24" } },
      [
        block(
          'infra.cidr = "8.8.8.0/24"',
          "is not a private network",
          "allowed: a private IPv4 network from /16 to /24, for example 10.87.0.0/24",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "address outside the subnet",
      { nodes: { node1: controlPlane, node2: worker("10.88.0.12") } },
      [
        block(
          'nodes.node2.address = "10.88.0.12"',
          "is outside the subnet 10.87.0.0/24 (infra.cidr)",
          "allowed: 10.87.0.2 to 10.87.0.254",
          "next: set an address of that range in Pulumi.local.yaml, or change infra.cidr",
        ),
      ],
    ],
    ...(["network address", "gateway", "broadcast address"] as const).map(
      (what, index): [string, Record<string, unknown>, string[]] => {
        const address = ["10.87.0.0", "10.87.0.1", "10.87.0.255"][index] as string;
        return [
          `address equal to the ${what}`,
          { nodes: { node1: controlPlane, node2: worker(address) } },
          [
            block(
              `nodes.node2.address = "${address}"`,
              `is the ${what} of 10.87.0.0/24`,
              "allowed: 10.87.0.2 to 10.87.0.254",
              "next: set an address of that range in Pulumi.local.yaml, or change infra.cidr",
            ),
          ],
        ];
      },
    ),
    [
      "no address",
      { nodes: { node1: { role: "controlPlane" } } },
      [
        block(
          "nodes.node1.address",
          "is missing",
          "allowed: an IPv4 address inside infra.cidr",
          "next: add it to Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "not an address",
      { nodes: { node1: { role: "controlPlane", address: "10.87.0.256" } } },
      [
        block(
          'nodes.node1.address = "10.87.0.256"',
          "is not an IPv4 address",
          "allowed: an IPv4 address inside infra.cidr",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "duplicate address",
      { nodes: { node1: controlPlane, node2: worker("10.87.0.12"), node3: worker("10.87.0.12") } },
      [
        block(
          'nodes.node3.address = "10.87.0.12"',
          "is also the address of node2",
          "allowed: an address no other node has",
          "next: change one of the two in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "pod network over the machines'",
      { cluster: { podCidr: "10.80.0.0/12" } },
      [
        block(
          'cluster.podCidr = "10.80.0.0/12"',
          "overlaps infra.cidr (10.87.0.0/24)",
          "allowed: machines, pods and services need three separate networks",
          "next: change one of the two in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "service network inside the pods'",
      { cluster: { serviceCidr: "10.244.128.0/20" } },
      [
        block(
          'cluster.serviceCidr = "10.244.128.0/20"',
          "overlaps cluster.podCidr (10.244.0.0/16)",
          "allowed: machines, pods and services need three separate networks",
          "next: change one of the two in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "pod network without room for the nodes",
      { cluster: { podCidr: "10.244.0.0/23" } },
      [
        block(
          'cluster.podCidr = "10.244.0.0/23"',
          "has room for 2 nodes of /24 each, but there are 3",
          "allowed: a network of /22 or larger",
          "next: use a larger network in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "no control plane",
      { nodes: { node1: worker("10.87.0.11") } },
      [
        block(
          "nodes",
          "have no control plane",
          "allowed: 1 or 3 nodes with role controlPlane (etcd needs an odd number to keep a majority)",
          "next: set the role of the nodes in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "no nodes at all",
      { nodes: {} },
      [
        block(
          "nodes",
          "have no control plane",
          "allowed: 1 or 3 nodes with role controlPlane (etcd needs an odd number to keep a majority)",
          "next: set the role of the nodes in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "two control planes",
      { nodes: { node1: controlPlane, node2: { ...controlPlane, address: "10.87.0.12" } } },
      [
        block(
          "nodes",
          "have 2 control planes (node1, node2)",
          "allowed: 1 or 3 nodes with role controlPlane (etcd needs an odd number to keep a majority)",
          "next: set the role of the nodes in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "unknown role",
      { nodes: { node1: { ...controlPlane, role: "master" } } },
      [
        block(
          'nodes.node1.role = "master"',
          "is unknown",
          "allowed: controlPlane, worker",
          "next: set one of them in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "node name that is no DNS-1123 label",
      { nodes: { Node_1: controlPlane } },
      [
        block(
          'nodes.Node_1 = "Node_1"',
          "is not a DNS-1123 label",
          "allowed: at most 63 lower-case letters, digits and '-', starting and ending with a letter or digit",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "unknown stage with a near one",
      { stages: { staging: {}, prodution: {} } },
      [
        block(
          'stages.prodution = "prodution"',
          'is unknown; did you mean "production"?',
          "allowed: staging, canary, production",
          "next: set one of them in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "stages without the one where models are tested",
      { stages: { production: {} } },
      [
        block(
          "stages",
          "are production without staging, where every model is tested first",
          "allowed: none, or staging and any of the others",
          "next: add staging: {} in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "stages as a list",
      { stages: ["staging"] },
      [
        block(
          "stages",
          "is a list, not a mapping",
          "allowed: a mapping",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "request above its limit",
      { stages: { staging: { resources: { requests: { cpu: "800m" } } } } },
      [
        block(
          'stages.staging.resources.requests.cpu = "800m"',
          "is above the limit 500m",
          "allowed: at most stages.staging.resources.limits.cpu",
          "next: change one of the two in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "amount of CPU that is none",
      { stages: { staging: { resources: { limits: { cpu: "half" } } } } },
      [
        block(
          'stages.staging.resources.limits.cpu = "half"',
          "is not an amount of CPU",
          'allowed: an amount of CPU, for example "500m" or "2"',
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "fewer pods at most than at least",
      { stages: { staging: {}, canary: { replicas: 3, autoscaling: { maxReplicas: 2 } } } },
      [
        block(
          "stages.canary.autoscaling.maxReplicas = 2",
          "is below the 3 replicas the stage has at least",
          "allowed: 3 or more",
          "next: change one of the two in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "exposure that does not exist",
      { exposure: { mlflow: "open" } },
      [
        block(
          'exposure.mlflow = "open"',
          "is unknown",
          "allowed: public, tunnel, off",
          "next: set one of them in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "schedule that is no cron expression, and a branch that is none",
      { delivery: { training: { schedule: "daily", branch: "a..b" } } },
      [
        block(
          'delivery.training.schedule = "daily"',
          "is not a cron expression",
          "allowed: five cron fields, UTC, for example 0 2 * * *",
          "next: correct it in Pulumi.local.yaml",
        ),
        block(
          'delivery.training.branch = "a..b"',
          "is not a branch name",
          "allowed: a Git branch name",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "repository URL with a password, which is not shown",
      {
        delivery: {
          git: {
            kind: "external",
            infra: { url: "https://me:hunter2@git.example.com/infra.git" },
            app: { url: "https://git.example.com/app.git" },
            train: { url: "git@git.example.com:train.git" },
          },
        },
      },
      [
        block(
          'delivery.git.infra.url = "https://...@git.example.com/infra.git"',
          "holds credentials",
          "allowed: an http or https URL of a Git repository, without credentials",
          "next: correct it in Pulumi.local.yaml",
        ),
        block(
          'delivery.git.train.url = "git@git.example.com:train.git"',
          "is not an http or https URL",
          "allowed: an http or https URL of a Git repository, without credentials",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "quantity without unit",
      { infra: { memory: 4 } },
      [
        block(
          "infra.memory = 4",
          "has no unit",
          'allowed: a number with a unit (k, M, G, T, P, Ki, Mi, Gi, Ti, Pi), for example "4Gi", at least 1Gi',
          `next: write "4Gi" if gibibytes were meant`,
        ),
      ],
    ],
    [
      "quantity with a unit that does not exist",
      { platform: { storage: { minio: "10GB" } } },
      [
        block(
          'platform.storage.minio = "10GB"',
          "is not an amount of bytes",
          'allowed: a number with a unit (k, M, G, T, P, Ki, Mi, Gi, Ti, Pi), for example "4Gi", at least 256Mi',
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "too little memory for a control plane",
      { infra: { memory: "1Gi" } },
      [
        block(
          'infra.memory = "1Gi"',
          "is too little for node1, a control plane",
          "allowed: at least 2Gi",
          "next: raise it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "number written as a text",
      { platform: { mlflow: { workers: "2" } } },
      [
        block(
          'platform.mlflow.workers = "2"',
          "is a text, not a whole number",
          "allowed: a whole number from 1 to 16",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "Kubernetes release the bundle does not hold",
      { cluster: { version: "v1.33.0" } },
      [
        block(
          'cluster.version = "v1.33.0"',
          `is unknown; did you mean "v1.34.2"?`,
          "allowed: v1.34.2",
          "next: set one of them in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "bad label key and value",
      { nodes: { node1: { ...controlPlane, labels: { "a b": "x", ok: "not ok" } } } },
      [
        block(
          'nodes.node1.labels.a b = "a b"',
          "is not a label key",
          "allowed: [prefix/]name, the name at most 63 of A-Z a-z 0-9 - _ .",
          "next: correct it in Pulumi.local.yaml",
        ),
        block(
          'nodes.node1.labels.ok = "not ok"',
          "is not a label value",
          "allowed: at most 63 of A-Z a-z 0-9 - _ . starting and ending with a letter or digit",
          "next: correct it in Pulumi.local.yaml",
        ),
      ],
    ],
    [
      "bad taint",
      { nodes: { node1: { ...controlPlane, taints: [{ key: "gpu", effect: "NoRun" }] } } },
      [
        block(
          'nodes.node1.taints[0].effect = "NoRun"',
          "is unknown",
          "allowed: NoSchedule, PreferNoSchedule, NoExecute",
          "next: set one of them in Pulumi.local.yaml",
        ),
      ],
    ],
  ];

  it.each(cases)("%s", (_name, raw, expected) => {
    expect(problemsOf(raw)).toEqual(expected);
  });

  it("names a stack whose name is no DNS-1123 label", () => {
    expect(problemsOf({}, "My_Stack")).toEqual([
      block(
        'stack = "My_Stack"',
        "is not a DNS-1123 label",
        "allowed: at most 40 lower-case letters, digits and '-', starting and ending with a letter or digit",
        "next: choose another stack name",
      ),
    ]);
    expect(problemsOf({}, "a".repeat(41))[0]).toContain("is too long");
  });

  it("reports all problems of all parts in one error", () => {
    const raw = {
      infra: { memory: "4" },
      nodes: { node1: worker("10.87.0.1"), node2: worker("10.87.0.1") },
      stages: { staging: {}, x: {} },
      platform: { mlflow: { workers: 0 } },
      exposure: { mlflow: "x" },
    };
    expect(problemsOf(raw)).toHaveLength(8);
    expect(() => parseEnvironment(raw, "local")).toThrow(
      /^8 problems in the settings of environment "local":\n/,
    );
  });
});

describe("secrets in settings", () => {
  const external = (password: unknown) => ({
    platform: { database: { kind: "external", host: "db.example.com", username: "mlflow", password } },
  });

  it("are refused in plain text without being shown", () => {
    const problems = problemsOf(external("hunter2"));
    expect(problems).toEqual([
      block(
        "platform.database.password",
        "is written in plain text",
        "allowed: an encrypted value",
        `next: run: eval "$(npm run -s toolchain -- local --env)", then: pulumi config set --stack local --secret --path 'gourmetgram-infra:platform.database.password'`,
      ),
    ]);
  });

  it("are taken encrypted, and as an Output, unchanged", () => {
    const secure = { secure: "v1:abc" };
    const spec = parseEnvironment(external(secure), "local");
    expect(spec.platform.database).toEqual({
      kind: "external",
      host: "db.example.com",
      port: 5432,
      name: "mlflowdb",
      username: "mlflow",
      password: secure,
      sslMode: "require",
    });
    const output = { __pulumiOutput: true };
    const fromProgram = parseEnvironment(external(output), "local").platform.database;
    expect(fromProgram.kind === "external" && fromProgram.password).toBe(output);
  });

  it("are not shown when they stand behind a misspelt key, or where a mapping belongs", () => {
    const misspelt = { platform: { database: { kind: "internal", pasword: "hunter2" } } };
    const misplaced = { platform: { objectStore: "https://key:hunter2@s3.example.com" } };
    for (const raw of [misspelt, misplaced]) {
      const text = problemsOf(raw).join("\n");
      expect(text).not.toBe("");
      expect(text).not.toContain("hunter2");
    }
  });

  it("must be single values: a mapping encrypted as a whole is refused", () => {
    expect(problemsOf({ platform: { secure: "v1:abc" } })[0]).toContain("is encrypted as a whole");
  });

  it("external object store names every part that is missing", () => {
    const paths = problemsOf({ platform: { objectStore: { kind: "external", endpoint: "ftp://x" } } }).map(
      (text) => text.trim().split(/[ \n]/)[0],
    );
    expect(paths).toEqual([
      "platform.objectStore.endpoint",
      "platform.objectStore.bucket",
      "platform.objectStore.accessKeyId",
      "platform.objectStore.secretAccessKey",
    ]);
  });
});

describe("default networks", () => {
  it("are the same on every run and clear of the default pod and service networks", () => {
    for (let index = 0; index < 500; index += 1) {
      const stack = `env-${index}`;
      expect(defaultCidr(stack)).toBe(defaultCidr(stack));
      expect(problemsOf({}, stack)).toEqual([]);
    }
  });

  it("differ between environments", () => {
    const networks = new Set(Array.from({ length: 20 }, (_, index) => defaultCidr(`team-${index}`)));
    expect(networks.size).toBe(20);
  });
});
