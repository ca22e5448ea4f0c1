import { runGraph } from "./operation";
import type { StackAccess } from "./prepare";

/**
 * Takes what is gone from the machines' place out of the state, so that an `up` makes it again and a `destroy` does not trip over it.
 *
 * @param missing URNs; "all": everything is looked at, because what it stood on is gone
 */
export async function forgetMissing(
  access: StackAccess,
  stackArgs: readonly string[],
  missing: readonly string[] | "all",
): Promise<void> {
  if (missing.length === 0) return;
  const targets = missing === "all" ? [] : missing.flatMap((urn) => ["--target", urn]);
  await runGraph(access, {
    operation: "refresh",
    kind: "refresh",
    arguments: [...stackArgs, ...targets, "--yes", "--skip-preview", "--suppress-outputs"],
  });
}
