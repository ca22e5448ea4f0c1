import { existsSync } from "node:fs";
import { join } from "node:path";
import { locateBundle } from "../../tools/bundle";

/**
 * Folder of the machine image that tests of real machines start from: `$GOURMETGRAM_MACHINE_DIR`, else the one of the bundle
 * in the cache.
 *
 * @throws Error when there is none: such a test must not pass by doing nothing
 */
export function machineImage(): string {
  const image = process.env.GOURMETGRAM_MACHINE_DIR || locateBundle()?.machineDir;
  if (image === undefined || !existsSync(join(image, "rootfs"))) {
    throw new Error("There is no machine image: run 'npm run bundle' first.");
  }
  return image;
}
