import { spawn } from "node:child_process";
import { join } from "node:path";
import { readMachineFolder } from "../../../infra/local/machineFolder";
import { machineNames, machinesRoot, SCRIPT_PATH } from "../../../infra/local/naming";
import { CommandError, ExitCode } from "../commandError";
import { pause } from "../interrupt";
import { PROJECT_ROOT } from "../project";

/** The kernel ends every process of a machine after its first one. */
const DEATH_MS = 10_000;

/** Takes the power from a machine and gives it back. An interface, so that tests need no machine. */
export interface MachinePower {
  /** Ends the machine at once, as a power cut does: nothing in it is told. @throws CommandError */
  cut(node: string): void;
  /** Starts it with what was on its disk; waits until it answers SSH. @throws CommandError */
  restore(node: string): Promise<void>;
}

/** Local machines: the first process of each is a process of this host. */
export function localMachinePower(stack: string): MachinePower {
  const folderOf = (node: string) => machineNames(machinesRoot(), stack, node).folder;
  return {
    cut(node) {
      const init = readMachineFolder(folderOf(node))?.init;
      if (init === undefined) {
        throw new CommandError(
          `${node} of "${stack}" is no running machine of this host, so its power cannot be cut here. Next: run the scenario on the host of a local environment`,
          ExitCode.refused,
        );
      }
      process.kill(init, "SIGKILL");
    },
    async restore(node) {
      // A machine that is just dying would be taken for a running one.
      const deadline = Date.now() + DEATH_MS;
      while (readMachineFolder(folderOf(node))?.init !== undefined && Date.now() < deadline) {
        await pause(100);
      }
      const child = spawn(join(PROJECT_ROOT, "infra/local/scripts/machine.sh"), ["start"], {
        cwd: "/",
        env: { PATH: SCRIPT_PATH, LC_ALL: "C", GG_MACHINE_DIR: folderOf(node) },
        stdio: ["ignore", "ignore", "pipe"],
      });
      let said = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
      const status = await new Promise<number | string>((settle, reject) => {
        child.on("error", reject);
        child.on("close", (code, signal) => settle(code ?? signal ?? "unknown"));
      });
      if (status !== 0) {
        throw new CommandError(
          `${node} of "${stack}" does not start again: ${said.trim()}\n  next: npm run up -- ${stack}`,
        );
      }
    },
  };
}
