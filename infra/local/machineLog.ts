import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../components/sourceFile";
import { machineNames, machinesRoot, SCRIPT_PATH } from "./naming";

/**
 * Last lines a machine said: its console before systemd took over, then its journal. Works for dead machines too. For error
 * messages; an empty string when there is no such machine.
 *
 * @param lines how many of each. @default 40
 * @param root folder of all machines
 */
export function tailMachineLog(
  environment: string,
  node: string,
  lines = 40,
  root: string = machinesRoot(),
): string {
  const { folder } = machineNames(root, environment, node);
  if (!existsSync(join(folder, "machine.conf"))) return "";
  const result = spawnSync(join(projectRoot(), "infra/local/scripts/machine.sh"), ["log", String(lines)], {
    env: {
      PATH: SCRIPT_PATH,
      LC_ALL: "C",
      GG_MACHINE_DIR: folder,
    },
    encoding: "utf8",
    timeout: 20_000,
  });
  return (result.stdout ?? "").trimEnd();
}
