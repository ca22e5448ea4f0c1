import { spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { readOutputs } from "./outputs";
import { loadBundle } from "./partners";
import { openStack } from "./prepare";
import { DEFAULT_STACK } from "./project";
import { makeRunFolder } from "./state";

/** `npm run kubectl -- ...`: the bundle's kubectl with the environment's admin credentials. */
export function createKubectlCommand(): Command {
  const command = new Command("kubectl")
    .description("Run kubectl against an environment's cluster, with its admin credentials.")
    .option("--stack <name>", "environment; before kubectl's own arguments", DEFAULT_STACK)
    .argument("[arguments...]", "arguments of kubectl")
    .passThroughOptions()
    .allowUnknownOption()
    .action(kubectl);
  return withExamples(command, [
    ["npm run kubectl -- get nodes", ""],
    ["npm run kubectl -- -n gourmetgram-platform get pods", ""],
    ["npm run kubectl -- mystack -- get events -A", "another environment"],
  ]);
}

/**
 * `kubectl mystack -- get nodes` is understood like `kubectl --stack mystack get nodes`, as the other commands take the
 * stack. A `--` further on belongs to kubectl (`exec pod -- command`).
 */
export function normalizeKubectl(argv: readonly string[]): string[] {
  const [command, first, second, ...rest] = argv;
  if (command !== "kubectl") {
    return [...argv];
  }
  if (first === "--") {
    return [command, ...argv.slice(2)];
  }
  return first !== undefined && second === "--" && !first.startsWith("-")
    ? [command, "--stack", first, ...rest]
    : [...argv];
}

async function kubectl(args: readonly string[], options: { readonly stack: string }): Promise<void> {
  const access = await openStack(options.stack);
  const { kubeconfig } = await readOutputs(access, true);
  if (typeof kubeconfig !== "string") {
    throw new CommandError(
      `The environment "${options.stack}" has no cluster yet. Next: npm run up -- ${options.stack}`,
      ExitCode.refused,
    );
  }
  const program = findKubectl();
  const folder = makeRunFolder(access.paths.runs, "kubectl");
  try {
    const path = join(folder, "kubeconfig");
    writeFileSync(path, kubeconfig, { mode: 0o600 });
    process.exitCode = await runKubectl(program, args, path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function findKubectl(): string {
  const folder = process.env["GOURMETGRAM_BUNDLE_DIR"] || loadBundle().locateBundle()?.bundleDir;
  const program = folder === undefined ? undefined : join(folder, "bin", "kubectl");
  if (program === undefined || !existsSync(program)) {
    throw new CommandError("There is no kubectl on this host yet. Next: npm run bundle", ExitCode.refused);
  }
  return program;
}

/** Ctrl-C belongs to kubectl (it ends `logs -f`); this program stays to remove the credentials. */
function runKubectl(program: string, args: readonly string[], kubeconfig: string): Promise<number> {
  const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, KUBECONFIG: kubeconfig } });
  const stay = () => {};
  const end = () => child.kill("SIGTERM");
  process.on("SIGINT", stay);
  process.on("SIGTERM", end);
  process.on("SIGHUP", end);
  return new Promise<number>((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => settle(code ?? (signal === "SIGINT" ? ExitCode.interrupted : 1)));
  }).finally(() => {
    process.off("SIGINT", stay);
    process.off("SIGTERM", end);
    process.off("SIGHUP", end);
  });
}
