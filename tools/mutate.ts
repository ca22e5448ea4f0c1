import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../components/sourceFile";

/** One way to break the code, and the tests that must notice. */
interface Mutation {
  readonly what: string;
  readonly file: string;
  /** Occurs exactly once in the file, or the mutation is out of date and fails by name. */
  readonly find: string;
  readonly replace: string;
  readonly tests: readonly string[];
}

const mutations: readonly Mutation[] = [
  {
    what: "a remote command without its parent",
    file: "components/remoteStep.ts",
    find: "        parent: this,\n",
    replace: "",
    tests: ["test/graph/cluster.test.ts", "test/conventions.test.ts"],
  },
  {
    what: "files of a step that are no secret",
    file: "components/remoteStep.ts",
    find: "stdin: pulumi.secret(",
    replace: "stdin: pulumi.output(",
    tests: ["test/graph/remoteStep.test.ts"],
  },
  {
    what: "a value pasted into a shell text without quotes",
    file: "components/shellQuote.ts",
    find: "return /^[A-Za-z0-9_@%+=:,./-]+$/.test(value) ?",
    replace: "return value !== '' ?",
    tests: ["test/unit/remoteStep.test.ts"],
  },
  {
    what: "a finished step that runs again",
    file: "components/scripts/run-step.sh",
    find: 'if [ "$rerun" = once ] &&',
    replace: 'if [ "$rerun" = never ] &&',
    tests: ["test/unit/remoteStep.test.ts"],
  },
  {
    what: "a network that does not wait for the API server",
    file: "k8s/cluster/cluster.ts",
    find: "{ ...parent, dependsOn: [homeStep.command] }",
    replace: "{ ...parent }",
    tests: ["test/graph/cluster.test.ts"],
  },
  {
    what: "a membership that outlives the cluster",
    file: "k8s/cluster/cluster.ts",
    find: "        deletedWith: home.resource,\n",
    replace: "",
    tests: ["test/graph/cluster.test.ts"],
  },
  {
    what: "anonymous requests allowed everywhere",
    file: "k8s/cluster/kubeadmConfig.ts",
    find: '["/livez", "/readyz", "/healthz"]',
    replace: '["/"]',
    tests: ["test/unit/kubeadmConfig.test.ts"],
  },
  {
    what: "workers that get the authority's key",
    file: "k8s/cluster/cluster.ts",
    find: 'if (machine.spec.role === "controlPlane") {',
    replace: "if (machine) {",
    tests: ["test/graph/cluster.test.ts"],
  },
  {
    what: "two control planes accepted",
    file: "k8s/cluster/cluster.ts",
    find: "if (controlPlanes.length === 1 || controlPlanes.length === 3) return [];",
    replace: "if (controlPlanes.length >= 1) return [];",
    tests: ["test/graph/cluster.test.ts"],
  },
  {
    what: "an instance's network cards in the wrong order",
    file: "infra/openstack/instance.ts",
    find: "networks: [{ port: sharedPort.id }, { port: privatePort.id }],",
    replace: "networks: [{ port: privatePort.id }, { port: sharedPort.id }],",
    tests: ["test/graph/openstack.test.ts"],
  },
  {
    what: "a network that does not wait for the lease",
    file: "infra/openstack/machines.ts",
    find: "dependsOn: Object.values(leases) };",
    replace: "dependsOn: [] };",
    tests: ["test/graph/openstack.test.ts"],
  },
  {
    what: "workers drained for a new control plane",
    file: "k8s/cluster/cluster.ts",
    find: "        triggers: [machine.instanceId],\n        timeout:",
    replace: "        triggers: [machine.instanceId, home.instanceId],\n        timeout:",
    tests: ["test/graph/cluster.test.ts"],
  },
  {
    what: "an orphan that is not the environment's own",
    file: "tools/cli/cloudProject.ts",
    find: 'known !== undefined && foundBy !== "place" &&',
    replace: "known !== undefined &&",
    tests: ["test/unit/cli.cloudProject.test.ts"],
  },
  {
    what: "MLflow started before its bucket and its database",
    file: "k8s/platform/platform.ts",
    find: "after: [...database.ready, ...objectStore.ready],",
    replace: "after: [],",
    tests: ["test/graph/platform.test.ts"],
  },
  {
    what: "the ports of S3 and of the console swapped",
    file: "k8s/platform/minio.ts",
    find: "export const S3_PORT = 9000;",
    replace: "export const S3_PORT = 9001;",
    tests: ["test/graph/platform.test.ts"],
  },
  {
    what: "a stage's Application made before its rights and its quota",
    file: "k8s/stages/appStage.ts",
    find: "dependsOn: [...limits, account, ...rights, ...(args.definitions ?? [])]",
    replace: "dependsOn: []",
    tests: ["test/graph/stages.test.ts"],
  },
  {
    what: "staging changed and judged without its lock",
    file: "workflows/pipeline/pipeline.ts",
    find: 'options: () => ({ mutexes: [stageLock("staging")] }),\n',
    replace: "options: () => ({}),\n",
    tests: ["test/unit/workflows.pipeline.test.ts"],
  },
  {
    what: "a failed change of a stage not put back",
    file: "workflows/steps/change.py",
    find: "self.put_back(started, str(error), final=False)",
    replace: "pass",
    tests: ["test/unit/steps.test.ts"],
  },
];

const copied = [
  "components",
  "infra",
  "k8s",
  "samples",
  "stacks",
  "test",
  "tools",
  "workflows",
  "Pulumi.yaml",
  "Pulumi.local.yaml",
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "vitest.config.mts",
  "biome.json",
  "README.md",
];

/** Each mutation in a copy of the project: the tests named for it must fail, and pass without it. */
function main(): void {
  const root = projectRoot();
  const copy = mkdtempSync(join(tmpdir(), "mutate-"));
  let survived = 0;
  try {
    for (const path of copied) cpSync(join(root, path), join(copy, path), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    const all = [...new Set(mutations.flatMap(({ tests }) => tests))];
    if (!passes(copy, all)) throw new Error("the tests are red without any mutation: npm test");
    for (const mutation of mutations) {
      const path = join(copy, mutation.file);
      const before = readFileSync(path, "utf8");
      if (before.split(mutation.find).length !== 2) {
        throw new Error(`${mutation.file} does not hold exactly once: ${mutation.find}`);
      }
      writeFileSync(
        path,
        before.replace(mutation.find, () => mutation.replace),
      );
      const noticed = !passes(copy, mutation.tests);
      writeFileSync(path, before);
      survived += noticed ? 0 : 1;
      process.stdout.write(`${noticed ? "noticed " : "SURVIVED"}  ${mutation.what}\n`);
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  process.stdout.write(`${mutations.length - survived} of ${mutations.length} mutations noticed\n`);
  if (survived > 0) process.exitCode = 1;
}

function passes(folder: string, tests: readonly string[]): boolean {
  const vitest = join(folder, "node_modules", "vitest", "vitest.mjs");
  return (
    spawnSync(process.execPath, [vitest, "run", ...tests], { cwd: folder, stdio: "ignore" }).status === 0
  );
}

main();
