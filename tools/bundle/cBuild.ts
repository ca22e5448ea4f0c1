import { join } from "node:path";
import type { CRow } from "../../stacks/pins";
import { runCommand } from "./runCommand";

/** Compiles a one-file C program statically. */
export async function buildC(row: CRow, out: string, sources: string, log: string): Promise<void> {
  await runCommand(
    "gcc",
    ["-Os", "-Wall", "-Werror", "-static", "-s", "-o", join(out, row.program), join(sources, row.source)],
    { log, purpose: `build ${row.program}` },
  );
}
