import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { CommandError } from "./commandError";
import { withExamples } from "./examples";
import { openStack, withBundle } from "./prepare";
import { DEFAULT_STACK, PROJECT_ROOT } from "./project";

/** First argument that asks for the measurements on OpenStack. */
const OPENSTACK = "openstack";

/** `npm run bench`: measures this project beside a plain shell script, or beside OpenTofu on OpenStack. */
export function createBenchCommand(): Command {
  const command = new Command("bench")
    .description(
      "Measure: cluster bootstrap beside a bare kubeadm script, node counts, no-op runs, memory; or OpenStack beside OpenTofu.",
    )
    .argument("[arguments...]", "arguments of the benchmark, see tools/bench/README.md")
    .passThroughOptions()
    .allowUnknownOption()
    .action(bench);
  return withExamples(command, [
    ["npm run bench", "every measurement on this host, three runs each"],
    ["npm run bench -- openstack", "the same resources by this project and by OpenTofu, on the test cloud"],
    ["npm run bench -- openstack --cycles 20", "20 environments made and removed, every run killed once"],
  ]);
}

async function bench(args: readonly string[]): Promise<void> {
  const onOpenStack = args[0] === OPENSTACK;
  const program = join(PROJECT_ROOT, "build", "tools", "bench", onOpenStack ? "openstack.js" : "main.js");
  if (!existsSync(program)) {
    throw new CommandError("The benchmark is not compiled. Next: npm run build");
  }
  // On OpenStack whole commands are measured, which find the engine themselves.
  process.exitCode = onOpenStack
    ? await run(program, args.slice(1), process.env)
    : await run(program, args, await engineEnvironment());
}

async function engineEnvironment(): Promise<NodeJS.ProcessEnv> {
  const { engine } = await withBundle(await openStack(DEFAULT_STACK));
  return { ...process.env, ...engine.environment, GOURMETGRAM_PULUMI: engine.pulumi };
}

async function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(process.execPath, [program, ...args], { stdio: "inherit", env });
  process.on("SIGINT", () => {});
  return await new Promise<number>((settle, reject) => {
    child.on("error", reject);
    child.on("close", (code) => settle(code ?? 1));
  });
}
