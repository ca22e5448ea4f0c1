import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Full path of a command: as it is when it is a path, else the first on PATH or among the system's own. */
export function findCommand(command: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (command.includes("/")) return isExecutable(command) ? command : undefined;
  const folders = [...(env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, command)).find(isExecutable);
}
