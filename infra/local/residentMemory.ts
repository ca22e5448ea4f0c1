import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readCgroups } from "./machineFolder";
import { environmentNames, machinesRoot } from "./naming";

/**
 * Bytes of memory the machines of an environment hold and could not give back: anonymous and shared memory, and mapped files; not
 * the page cache the kernel drops when somebody needs room.
 */
export function residentBytes(environment: string): number {
  const { folder: machines } = environmentNames(machinesRoot(), environment);
  if (!existsSync(machines)) return 0;
  return readdirSync(machines)
    .flatMap((machine) => readCgroups(join(machines, machine)))
    .map((folder) => {
      try {
        return residentOf(readFileSync(join(folder, "memory.stat"), "utf8"));
      } catch {
        // Only the memory hierarchy has such a file.
        return 0;
      }
    })
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** From a `memory.stat` of cgroup v1 (hierarchical figures begin with `total_`) or v2. */
export function residentOf(stat: string): number {
  const figures = new Map(stat.split("\n").map((line) => line.split(" ") as [string, string]));
  const read = (...names: string[]) => names.reduce((sum, name) => sum + Number(figures.get(name) ?? 0), 0);
  return figures.has("total_rss")
    ? read("total_rss", "total_shmem", "total_mapped_file")
    : read("anon", "shmem", "file_mapped");
}
