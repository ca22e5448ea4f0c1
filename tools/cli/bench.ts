import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { CommandError } from "./commandError";
import { withExamples } from "./examples";
import { openStack, withBundle } from "./prepare";
import { DEFAULT_STACK, PROJECT_ROOT } from "./project";

/** `npm run bench`: measures this project beside a plain shell script on the same machines. */
export function createBenchCommand(): Command {
  const command = new Command("bench")
    .description("Measure: cluster bootstrap beside a bare kubeadm script, node counts, no-op runs, memory.")
    .argument("[arguments...]", "arguments of the benchmark, see tools/bench/README.md")
    .passThroughOptions()
    .allowUnknownOption()
    .action(bench);
  return withExamples(command, [["npm run bench", "every measurement, three runs each"]]);
}

async function bench(args: readonly string[]): Promise<void> {
  const program = join(PROJECT_ROOT, "build", "tools", "bench", "main.js");
  if (!existsSync(program)) {
    throw new CommandError("The benchmark is not compiled. Next: npm run build");
  }
  const access = await withBundle(await openStack(DEFAULT_STACK));
  const env = { ...process.env, ...access.engine.environment, GOURMETGRAM_PULUMI: access.engine.pulumi };
  const child = spawn(process.execPath, [program, ...args], { stdio: "inherit", env });
  process.on("SIGINT", () => {});
  process.exitCode = await new Promise<number>((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code) => settle(code ?? 1));
  });
}
