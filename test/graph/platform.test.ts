import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { canonicalQuantity } from "../../k8s/platform/canonicalQuantity";
import { renderBucketPolicy } from "../../k8s/platform/minio";
import { databaseUri } from "../../k8s/platform/mlflow";
import { Platform, type PlatformArgs } from "../../k8s/platform/platform";
import { fakePassword } from "../support/fakeOutputs";
import { type Graph, recordGraph } from "../support/graph";
import { objectProblems, podTemplates } from "../support/kubernetesRules";
import { restrictedViolations } from "../support/podSecurity";

const args: PlatformArgs = {
  images: {
    postgres: "registry.example/postgres:15",
    minio: "registry.example/minio:1",
    mc: "registry.example/mc:1",
    mlflow: "registry.example/mlflow:v3.9.0",
  },
  storageClassName: "local-path",
  storage: { postgres: "5Gi", minio: "10Gi" },
  allowedHosts: ["10.87.0.11:8000"],
  mlflow: { workers: 1 },
  database: { kind: "internal" },
  objectStore: { kind: "internal" },
  databases: { argo: { owner: "argo", namespaces: ["argo"] } },
  buckets: { "argo-artifacts": { user: "argo", namespaces: ["argo"] } },
  clients: { mlflow: { namespaces: ["gateway", "argo"] }, minioConsole: { namespaces: ["gateway"] } },
};

const externalDatabase: PlatformArgs["database"] = {
  kind: "external",
  host: "db.example.org",
  port: 6432,
  name: "lab",
  username: "user@lab",
  password: pulumi.secret("p%/w d"),
  sslMode: "verify-full",
};

const externalObjectStore: PlatformArgs["objectStore"] = {
  kind: "external",
  endpoint: "https://s3.example.org",
  bucket: "lab-artifacts",
  region: "eu-west-1",
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: pulumi.secret("external-secret-key"),
};

function platformGraph(
  change: Partial<PlatformArgs> = {},
  options: { preview?: boolean } = {},
): Promise<Graph> {
  return recordGraph(() => {
    const machine = new pulumi.ComponentResource("test:Machine", "machine");
    const provider = new k8s.Provider("cluster", { kubeconfig: pulumi.secret("{}") });
    const platform = new Platform("platform", { ...args, ...change }, { provider, deletedWith: machine });
    return {
      mlflow: platform.mlflow.url,
      database: platform.database.url,
      objectStore: platform.objectStore.url,
      databases: platform.databases,
      buckets: platform.buckets,
      credentials: platform.credentials,
      secretNames: [
        platform.mlflowCredentials.secretName,
        platform.databaseCredentials.secretName,
        platform.objectStoreCredentials.secretName,
      ],
    };
  }, options);
}

/** A key of a Secret, decoded. */
function secretValue(graph: Graph, name: string, key: string): string {
  return Buffer.from(graph.get(name, "Secret").inputs.data[key], "base64").toString();
}

function variable(container: any, name: string): any {
  return container.env.find((entry: { name: string }) => entry.name === name);
}

describe("internal services", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await platformGraph();
  });

  test("has exactly these children", () => {
    expect(graph.children(graph.get("platform", "Platform"))).toEqual([
      "platform Namespace",
      "platform-default-deny NetworkPolicy",
      "platform-dns NetworkPolicy",
      "platform-minio Minio",
      "platform-mlflow Mlflow",
      "platform-postgres Postgres",
    ]);
    expect(graph.children(graph.get("platform-postgres", "Postgres"))).toEqual([
      "platform-postgres NetworkPolicy",
      "platform-postgres Service",
      "platform-postgres ServiceAccount",
      "platform-postgres StatefulSet",
      "platform-postgres-argo Password",
      "platform-postgres-argo Secret",
      "platform-postgres-argo SetupJob",
      "platform-postgres-headless Service",
      "platform-postgres-mlflowdb Password",
      "platform-postgres-mlflowdb Secret",
      "platform-postgres-mlflowdb SetupJob",
      "platform-postgres-setup-argo NetworkPolicy",
      "platform-postgres-setup-mlflowdb NetworkPolicy",
      "platform-postgres-superuser Password",
      "platform-postgres-superuser Secret",
    ]);
    expect(graph.children(graph.get("platform-minio", "Minio"))).toEqual([
      "platform-minio NetworkPolicy",
      "platform-minio Service",
      "platform-minio ServiceAccount",
      "platform-minio StatefulSet",
      "platform-minio-argo-artifacts Password",
      "platform-minio-argo-artifacts Secret",
      "platform-minio-argo-artifacts SetupJob",
      "platform-minio-headless Service",
      "platform-minio-mlflow-artifacts Password",
      "platform-minio-mlflow-artifacts Secret",
      "platform-minio-mlflow-artifacts SetupJob",
      "platform-minio-root Password",
      "platform-minio-root Secret",
      "platform-minio-setup-argo-artifacts NetworkPolicy",
      "platform-minio-setup-mlflow-artifacts NetworkPolicy",
    ]);
    expect(graph.children(graph.get("platform-mlflow", "Mlflow"))).toEqual([
      "platform-mlflow Deployment",
      "platform-mlflow NetworkPolicy",
      "platform-mlflow Secret",
      "platform-mlflow Service",
      "platform-mlflow ServiceAccount",
      "platform-mlflow-admin Password",
      "platform-mlflow-admin Secret",
      "platform-mlflow-encryption-key Password",
      "platform-mlflow-flask-key Password",
      "platform-mlflow-scripts ConfigMap",
    ]);
  });

  test("MLflow waits for the database and for the bucket, each of them for its server", () => {
    const mlflow = graph.get("platform-mlflow", "Deployment");
    const database = graph.get("platform-postgres-mlflowdb", "Job");
    const bucket = graph.get("platform-minio-mlflow-artifacts", "Job");
    const postgres = graph.get("platform-postgres", "StatefulSet");
    const minio = graph.get("platform-minio", "StatefulSet");
    expect(mlflow.deps).toEqual(expect.arrayContaining([database.urn, bucket.urn]));
    expect(graph.waits(database, postgres)).toBe(true);
    expect(graph.waits(bucket, minio)).toBe(true);
    expect(graph.waits(mlflow, graph.get("cluster"))).toBe(true);
  });

  test("a database and a bucket for others are given out when they can be used; MLflow does not wait for them", async () => {
    const graph = await recordGraph(() => {
      const platform = new Platform("platform", args);
      const of = (data: Record<string, pulumi.Input<string> | undefined>) => ({ data: { ...data } as any });
      new k8s.core.v1.ConfigMap("of-database", of({ host: platform.databases["argo"]?.host }));
      new k8s.core.v1.ConfigMap("of-bucket", of({ endpoint: platform.buckets["argo-artifacts"]?.endpoint }));
    });
    const jobs = {
      "of-database": graph.get("platform-postgres-argo", "Job"),
      "of-bucket": graph.get("platform-minio-argo-artifacts", "Job"),
    };
    for (const [user, job] of Object.entries(jobs)) {
      expect(graph.waits(graph.get(user), job), user).toBe(true);
      expect(graph.waits(graph.get("platform-mlflow", "Deployment"), job), user).toBe(false);
    }
  });

  test("nothing waits for what it does not need", () => {
    const below = (name: string, type: string) => graph.descendants(graph.get(name, type));
    for (const node of below("platform-postgres", "Postgres")) {
      for (const other of below("platform-minio", "Minio")) {
        expect(graph.path(node, other)).toBeUndefined();
        expect(graph.path(other, node)).toBeUndefined();
      }
    }
    // Only the Deployment waits; its Service, Secret and policies are there long before.
    for (const node of below("platform-mlflow", "Mlflow").filter(
      (child) => !child.type.endsWith(":Deployment"),
    )) {
      expect(graph.path(node, graph.get("platform-postgres", "StatefulSet"))).toBeUndefined();
    }
  });

  test("everything goes with the machine, through the given provider", () => {
    const machine = graph.get("machine").urn;
    const provider = graph.get("cluster").urn;
    for (const node of graph.nodes.filter((child) => child.type.startsWith("kubernetes:"))) {
      expect(node.provider, node.name).toBe(provider);
      expect(graph.deletedWith(node), node.name).toBe(machine);
    }
  });

  test("every object is labelled, every pod restricted, the namespace enforces it", () => {
    expect(objectProblems(graph)).toEqual([]);
    expect(podTemplates(graph).map(({ node }) => node.name)).toHaveLength(7);
    for (const { node, spec } of podTemplates(graph))
      expect(restrictedViolations(spec), node.name).toEqual([]);
    expect(graph.get("platform", "Namespace").inputs.metadata).toMatchObject({
      name: "gourmetgram-platform",
      labels: {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
      },
    });
  });

  test("every container has probes or ends, bounds, a read-only root and no Kubernetes token", () => {
    for (const { node, spec } of podTemplates(graph)) {
      expect(spec.automountServiceAccountToken, node.name).toBe(false);
      expect(spec.enableServiceLinks, node.name).toBe(false);
      expect(spec.serviceAccountName, node.name).toBeTruthy();
      for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
        expect(container.securityContext.readOnlyRootFilesystem, container.name).toBe(true);
        expect(container.resources.requests, container.name).toEqual({
          cpu: expect.any(String),
          memory: expect.any(String),
        });
        expect(container.resources.limits, container.name).toEqual({
          cpu: expect.any(String),
          memory: expect.any(String),
        });
      }
      if (spec.restartPolicy === "Never") continue;
      for (const container of spec.containers) {
        expect(
          container.startupProbe && container.readinessProbe && container.livenessProbe,
          container.name,
        ).toBeTruthy();
      }
    }
  });

  test("no secret value is anywhere but in Secrets", () => {
    const passwords = graph.ofType("Password");
    expect(passwords).toHaveLength(9);
    for (const { name, inputs } of passwords) {
      const value = fakePassword(name, inputs.length);
      const encoded = Buffer.from(value).toString("base64");
      for (const node of graph.nodes.filter((other) => other.custom)) {
        const text = JSON.stringify(node.inputs);
        if (node.type === "kubernetes:core/v1:Secret") {
          expect(
            node.secretPaths.some((path) => path.startsWith("data")),
            node.name,
          ).toBe(true);
        } else {
          expect(
            text.includes(value) || text.includes(encoded),
            `${name} in ${node.name} (${node.type})`,
          ).toBe(false);
        }
      }
    }
    expect([...graph.secretOutputs].sort()).toEqual([
      "buckets.argo-artifacts.secretAccessKey",
      "credentials",
      "databases.argo.password",
    ]);
  });

  test("PostgreSQL: the image's interface, data below the mount, a fast end", () => {
    const { spec } = graph.get("platform-postgres", "StatefulSet").inputs;
    const [container] = spec.template.spec.containers;
    expect(container.image).toBe(args.images.postgres);
    expect(container.ports).toEqual([{ name: "postgres", containerPort: 5432 }]);
    expect(variable(container, "PGDATA").value).toBe("/var/lib/postgresql/data/pgdata");
    expect(variable(container, "POSTGRES_PASSWORD_FILE").value).toBe("/run/secrets/postgres/password");
    expect(container.lifecycle.preStop.exec.command.join(" ")).toContain("kill -INT 1");
    expect(spec.template.spec.securityContext.runAsUser).toBe(999);
    expect(spec.volumeClaimTemplates[0].spec).toEqual({
      accessModes: ["ReadWriteOnce"],
      storageClassName: "local-path",
      resources: { requests: { storage: "5Gi" } },
    });
  });

  test("MinIO: S3 and console, credentials by file, a volume", () => {
    const { spec } = graph.get("platform-minio", "StatefulSet").inputs;
    const [container] = spec.template.spec.containers;
    expect(container.args).toEqual(["server", "/data", "--address", ":9000", "--console-address", ":9001"]);
    expect(variable(container, "MINIO_ROOT_USER_FILE").value).toBe("/run/secrets/minio/username");
    expect(variable(container, "MINIO_ROOT_PASSWORD_FILE").value).toBe("/run/secrets/minio/password");
    expect(spec.volumeClaimTemplates[0].spec.resources.requests.storage).toBe("10Gi");
  });

  test("MLflow: back ends, login and allowed hosts", () => {
    const { spec } = graph.get("platform-mlflow", "Deployment").inputs;
    const [container] = spec.template.spec.containers;
    expect(spec.strategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxUnavailable: 0, maxSurge: 1 },
    });
    expect([...container.command, ...container.args].join(" ")).toBe(
      "mlflow server --host 0.0.0.0 --port 8000 --app-name basic-auth --serve-artifacts --artifacts-destination s3://mlflow-artifacts/ --workers 1",
    );
    expect(variable(container, "MLFLOW_S3_ENDPOINT_URL").value).toBe(
      "http://minio.gourmetgram-platform.svc.cluster.local:9000",
    );
    expect(variable(container, "MLFLOW_SERVER_ALLOWED_HOSTS").value.split(",")).toEqual([
      "mlflow:8000",
      "mlflow.gourmetgram-platform:8000",
      "mlflow.gourmetgram-platform.svc:8000",
      "mlflow.gourmetgram-platform.svc.cluster.local:8000",
      "10.87.0.11:8000",
      "localhost:*",
      "127.0.0.1:*",
    ]);
    const password = fakePassword("platform-postgres-mlflowdb");
    const uri = `postgresql+psycopg2://mlflow:${password}@postgres.gourmetgram-platform.svc.cluster.local:5432/mlflowdb?sslmode=disable`;
    expect(secretValue(graph, "platform-mlflow", "backend-store-uri")).toBe(uri);
    expect(secretValue(graph, "platform-mlflow", "secret-access-key")).toBe(
      fakePassword("platform-minio-mlflow-artifacts"),
    );
    expect(secretValue(graph, "platform-mlflow", "auth.ini").split("\n")).toEqual([
      "[mlflow]",
      "default_permission = READ",
      `database_uri = ${uri}`,
      "admin_username = admin",
      `admin_password = ${fakePassword("platform-mlflow-admin")}`,
      "authorization_function = mlflow_login:authenticate",
      "",
    ]);
  });

  test("services, none of them on a node", () => {
    const ports = (name: string) =>
      graph
        .get(name, "Service")
        .inputs.spec.ports.map(({ name: port, port: number }: { name: string; port: number }) => [
          port,
          number,
        ]);
    expect(ports("platform-postgres")).toEqual([["postgres", 5432]]);
    expect(ports("platform-minio")).toEqual([
      ["s3", 9000],
      ["console", 9001],
    ]);
    expect(ports("platform-mlflow")).toEqual([["http", 8000]]);
    for (const { name, inputs } of graph.ofType("Service")) {
      expect([undefined, "ClusterIP"], name).toContain(inputs.spec.type);
      for (const port of inputs.spec.ports) expect(port, name).not.toHaveProperty("nodePort");
    }
    // Every selector finds exactly the pods of its own application.
    const pods = podTemplates(graph).map(({ labels }) => labels["app.kubernetes.io/instance"]);
    for (const service of graph.ofType("Service")) {
      const wanted = service.inputs.spec.selector["app.kubernetes.io/instance"];
      expect(
        pods.filter((instance) => instance === wanted),
        service.name,
      ).toHaveLength(1);
    }
  });

  test("network: closed, and open exactly where traffic goes", () => {
    const rules = Object.fromEntries(
      graph.ofType("NetworkPolicy").map(({ inputs }) => [
        inputs.metadata.name,
        {
          pods: inputs.spec.podSelector.matchLabels?.["app.kubernetes.io/instance"] ?? "all",
          types: inputs.spec.policyTypes,
          in: (inputs.spec.ingress ?? []).map(summary("from")),
          out: (inputs.spec.egress ?? []).map(summary("to")),
        },
      ]),
    );
    expect(rules).toEqual({
      "default-deny": { pods: "all", types: ["Ingress", "Egress"], in: [], out: [] },
      "allow-dns": { pods: "all", types: ["Egress"], in: [], out: ["dns 53,53"] },
      postgres: {
        pods: "postgres",
        types: ["Ingress"],
        in: ["mlflow+ns:argo+postgres-setup-mlflowdb+postgres-setup-argo 5432"],
        out: [],
      },
      "postgres-setup-argo": {
        pods: "postgres-setup-argo",
        types: ["Egress"],
        in: [],
        out: ["postgres 5432"],
      },
      "postgres-setup-mlflowdb": {
        pods: "postgres-setup-mlflowdb",
        types: ["Egress"],
        in: [],
        out: ["postgres 5432"],
      },
      minio: {
        pods: "minio",
        types: ["Ingress"],
        in: [
          "mlflow+ns:argo+minio-setup-mlflow-artifacts+minio-setup-argo-artifacts 9000",
          "ns:gateway 9001",
        ],
        out: [],
      },
      "minio-setup-argo-artifacts": {
        pods: "minio-setup-argo-artifacts",
        types: ["Egress"],
        in: [],
        out: ["minio 9000"],
      },
      "minio-setup-mlflow-artifacts": {
        pods: "minio-setup-mlflow-artifacts",
        types: ["Egress"],
        in: [],
        out: ["minio 9000"],
      },
      mlflow: {
        pods: "mlflow",
        types: ["Ingress", "Egress"],
        in: ["ns:gateway+ns:argo 8000"],
        out: ["postgres 5432", "minio 9000"],
      },
    });
  });

  test("outputs", () => {
    expect(graph.outputs).toMatchObject({
      mlflow: "http://mlflow.gourmetgram-platform.svc.cluster.local:8000",
      database: "postgresql://postgres.gourmetgram-platform.svc.cluster.local:5432",
      objectStore: "http://minio.gourmetgram-platform.svc.cluster.local:9000",
      databases: {
        argo: {
          host: "postgres.gourmetgram-platform.svc.cluster.local",
          port: 5432,
          name: "argo",
          username: "argo",
          password: fakePassword("platform-postgres-argo"),
          sslMode: "disable",
        },
      },
      buckets: {
        "argo-artifacts": {
          endpoint: "http://minio.gourmetgram-platform.svc.cluster.local:9000",
          bucket: "argo-artifacts",
          region: "us-east-1",
          accessKeyId: "argo",
          secretAccessKey: fakePassword("platform-minio-argo-artifacts"),
        },
      },
      credentials: {
        mlflow: { username: "admin" },
        minio: { username: "root" },
        postgres: { username: "postgres" },
      },
      secretNames: ["mlflow-admin", "postgres-mlflowdb", "minio-mlflow-artifacts"],
    });
  });
});

describe("changes", () => {
  const jobName = (graph: Graph, job: string) => graph.get(job, "Job").inputs.metadata.name;

  test("a setup job gets another name with another image, and only then", async () => {
    const [first, same, other] = [
      await platformGraph(),
      await platformGraph({ mlflow: { workers: 2 } }),
      await platformGraph({ images: { ...args.images, mc: "registry.example/mc:2" } }),
    ];
    const [database, bucket] = ["platform-postgres-mlflowdb", "platform-minio-mlflow-artifacts"];
    expect(jobName(first, bucket)).toMatch(/^minio-setup-mlflow-artifacts-[0-9a-f]{8}$/);
    expect(jobName(same, bucket)).toBe(jobName(first, bucket));
    expect(jobName(other, bucket)).not.toBe(jobName(first, bucket));
    expect(jobName(other, database)).toBe(jobName(first, database));
  });

  test("workers decide processes and memory", async () => {
    const graph = await platformGraph({ mlflow: { workers: 3 } });
    const [container] = graph.get("platform-mlflow", "Deployment").inputs.spec.template.spec.containers;
    expect(container.args.slice(-2)).toEqual(["--workers", "3"]);
    expect(container.resources.requests.memory).toBe("1Gi");
    expect(container.resources.limits.memory).toBe("2560Mi");
  });

  test("a preview shows the same resources, and names of jobs that are known", async () => {
    const [up, preview] = [await platformGraph(), await platformGraph({}, { preview: true })];
    const shape = (graph: Graph) => graph.nodes.map((node) => node.urn).sort();
    expect(shape(preview)).toEqual(shape(up));
    expect(jobName(preview, "platform-postgres-mlflowdb")).toBe(jobName(up, "platform-postgres-mlflowdb"));
  });
});

describe("external services", () => {
  test("an external database: no PostgreSQL here, MLflow connects with TLS", async () => {
    const graph = await platformGraph({ database: externalDatabase });
    expect(graph.nodes.some((node) => node.name.startsWith("platform-postgres"))).toBe(false);
    expect(secretValue(graph, "platform-mlflow", "backend-store-uri")).toBe(
      "postgresql+psycopg2://user%40lab:p%25%2Fw%20d@db.example.org:6432/lab?sslmode=verify-full&sslrootcert=%2Fetc%2Fssl%2Fcerts%2Fca-certificates.crt",
    );
    expect(secretValue(graph, "platform-mlflow", "auth.ini")).toContain("user%%40lab:p%%25%%2Fw%%20d@");
    expect(secretValue(graph, "platform-database", "password")).toBe("p%/w d");
    const { egress } = graph.get("platform-mlflow", "NetworkPolicy").inputs.spec;
    expect(egress[0]).toEqual({ ports: [{ protocol: "TCP", port: 6432 }] });
    expect(graph.outputs).toMatchObject({
      database: "postgresql://db.example.org:6432",
      databases: { argo: { host: "db.example.org", port: 6432, name: "lab", sslMode: "verify-full" } },
    });
  });

  test("an external object store: no MinIO here, its bucket for all", async () => {
    const graph = await platformGraph({ objectStore: externalObjectStore });
    expect(graph.nodes.some((node) => node.name.startsWith("platform-minio"))).toBe(false);
    const [container] = graph.get("platform-mlflow", "Deployment").inputs.spec.template.spec.containers;
    expect(container.args).toContain("s3://lab-artifacts/");
    expect(variable(container, "AWS_DEFAULT_REGION").value).toBe("eu-west-1");
    expect(variable(container, "MLFLOW_S3_ENDPOINT_URL").value).toBe("https://s3.example.org");
    expect(secretValue(graph, "platform-mlflow", "secret-access-key")).toBe("external-secret-key");
    const { egress } = graph.get("platform-mlflow", "NetworkPolicy").inputs.spec;
    expect(egress[1]).toEqual({ ports: [{ protocol: "TCP", port: 443 }] });
    expect(graph.outputs).toMatchObject({
      buckets: { "argo-artifacts": { endpoint: "https://s3.example.org", bucket: "lab-artifacts" } },
    });
  });

  test("both external: MLflow alone, and nothing to wait for", async () => {
    const graph = await platformGraph({ database: externalDatabase, objectStore: externalObjectStore });
    expect(graph.ofType("StatefulSet")).toEqual([]);
    expect(graph.ofType("Job")).toEqual([]);
    expect(objectProblems(graph)).toEqual([]);
    for (const { spec } of podTemplates(graph)) expect(restrictedViolations(spec)).toEqual([]);
  });

  test("a certificate authority of its own is mounted and named", async () => {
    const graph = await platformGraph({ database: { ...externalDatabase, caCertificate: "-----CA-----" } });
    expect(secretValue(graph, "platform-mlflow", "database-ca.crt")).toBe("-----CA-----");
    expect(secretValue(graph, "platform-mlflow", "backend-store-uri")).toContain(
      "sslrootcert=%2Frun%2Fsecrets%2Fmlflow%2Fdatabase-ca.crt",
    );
  });
});

describe("wrong arguments", () => {
  test("are all reported at once, before anything is made, and without secrets", async () => {
    const wrong: PlatformArgs = {
      ...args,
      storage: { postgres: "5", minio: "ten" },
      mlflow: { workers: 0 },
      databases: {
        mlflowdb: { owner: "one", namespaces: [] },
        "A B": { owner: "one", namespaces: [] },
      },
      buckets: { "argo-artifacts": { user: "root", namespaces: [] } },
    };
    const error: Error = await recordGraph(() => new Platform("platform", wrong)).catch((reason) => reason);
    for (const text of [
      "7 problems in the arguments of platform",
      'storage.postgres = "5"',
      'storage.minio = "ten"',
      "mlflow.workers = 0",
      'databases.mlflowdb = "mlflowdb"',
      'databases.A B = "A B"',
      'databases.A B.owner = "one"',
      'buckets.argo-artifacts.user = "root"',
    ]) {
      expect(error.message).toContain(text);
    }
  });

  test("of external services, too; sizes of volumes nobody makes do not matter", async () => {
    const wrong = {
      ...args,
      storage: { postgres: "", minio: "" },
      database: { ...externalDatabase, host: "postgres://db", port: 0, sslMode: "maybe" },
      objectStore: { ...externalObjectStore, endpoint: "https://me:hunter2@s3.example.org/bucket" },
    } as unknown as PlatformArgs;
    const error: Error = await recordGraph(() => new Platform("platform", wrong)).catch((reason) => reason);
    expect(error.message).toContain("4 problems");
    expect(error.message).toContain("allowed: disable, prefer, require, verify-ca, verify-full");
    expect(error.message).not.toContain("hunter2");
  });
});

describe("rendering", () => {
  test("sizes are written as the API server writes them", () => {
    const written = ["1024Mi", "0.5Gi", "5Gi", "1536Mi", "2048Gi", "1500M", "10000M", "1.5Ki"].map(
      canonicalQuantity,
    );
    expect(written).toEqual(["1Gi", "512Mi", "5Gi", "1536Mi", "2Ti", "1500M", "10G", "1536"]);
    expect(() => canonicalQuantity("5")).toThrow(/5Gi/);
  });

  test("an IPv6 database address is bracketed", async () => {
    const graph = await recordGraph(() => ({
      uri: databaseUri({
        host: "fd00::5",
        port: 5432,
        name: "a",
        username: "b",
        password: "c",
        sslMode: "require",
      }),
    }));
    expect(graph.outputs["uri"]).toBe("postgresql+psycopg2://b:c@[fd00::5]:5432/a?sslmode=require");
  });

  test("a bucket's user may use that bucket and nothing else", () => {
    const { Statement } = JSON.parse(renderBucketPolicy("mlflow-artifacts"));
    expect(Statement.flatMap(({ Resource }: { Resource: string[] }) => Resource)).toEqual([
      "arn:aws:s3:::mlflow-artifacts",
      "arn:aws:s3:::mlflow-artifacts/*",
    ]);
    expect(JSON.stringify(Statement)).not.toContain('"s3:*"');
  });
});

/** `peers ports` of one rule. */
function summary(side: "from" | "to") {
  return (rule: any): string => {
    const peers = (rule[side] ?? []).map((peer: any) => {
      if (!peer.podSelector) return `ns:${Object.values(peer.namespaceSelector.matchLabels)}`;
      const labels = peer.podSelector.matchLabels;
      return labels["k8s-app"] ? "dns" : labels["app.kubernetes.io/instance"];
    });
    return `${peers.join("+") || "anyone"} ${rule.ports.map(({ port }: { port: number }) => port).join(",")}`;
  };
}
