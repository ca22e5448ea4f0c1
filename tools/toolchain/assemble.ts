import { copyFile, link, mkdir, writeFile } from "node:fs/promises";
import { basename, delimiter, dirname, join } from "node:path";
import { withLock } from "../cache/lock";
import { contentKey } from "../cache/paths";
import { buildFolder, verifyFolder } from "../cache/store";
import { touchFolder } from "./prune";
import { type ResolvedPart, userHome } from "./resolve";
import type { Toolchain, ToolchainSettings } from "./types";

/** Changes whenever the same parts are laid out in another way. */
const LAYOUT = 2;

/** Stands where the engine would make a folder for its own logs. */
const NO_LOGS = "A file in place of the folder `logs`: see layOut in tools/toolchain/assemble.ts.\n";

/**
 * Lays the parts out the way the engine looks for them and says how to start it. When everything is the user's own,
 * nothing is laid out and nothing is changed. Otherwise the engine gets a private PULUMI_HOME in the cache, so that
 * stand-ins never get into the user's; credentials stay where the user has them.
 */
export async function assembleToolchain(
  settings: ToolchainSettings,
  resolved: readonly ResolvedPart[],
): Promise<Toolchain> {
  const engine = resolved.find(({ part }) => part.name === settings.enginePart);
  const pulumi = engine?.files[0];
  if (!pulumi) throw new Error(`no part of the toolchain is called ${settings.enginePart}`);
  if (resolved.every(({ origin }) => origin === "user")) {
    return { pulumi, env: { PULUMI_SKIP_UPDATE_CHECK: "true" }, offline: [], notice: undefined };
  }

  const offline = resolved.filter(({ origin }) => origin === "built").flatMap(({ part }) => part.standIns);
  const folder = join(settings.paths.toolchain, contentKey([LAYOUT, resolved.map(({ files }) => files)]));
  if (!(await isFinished(folder))) {
    const lock = join(settings.paths.locks, `${basename(folder)}.lock`);
    await withLock(lock, async () => {
      if (!(await isFinished(folder))) await layOut(folder, resolved);
    });
  }
  // The engine's folder and all it is linked from stay as long as they are used.
  await Promise.all([folder, ...new Set(resolved.flatMap(storeFolders))].map(touchFolder));

  const bin = join(folder, "bin");
  return {
    pulumi: join(bin, engine.part.files[0] as string),
    env: {
      PATH: [bin, settings.env["PATH"] ?? ""].filter(Boolean).join(delimiter),
      PULUMI_HOME: join(folder, "home"),
      PULUMI_CREDENTIALS_PATH: settings.env["PULUMI_CREDENTIALS_PATH"] || userHome(settings.env),
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // A provider that happens to be on PATH is not the pinned one.
      PULUMI_IGNORE_AMBIENT_PLUGINS: "true",
      // Where downloads are out of reach, the engine would try, and retry, for plugins that nothing uses.
      ...(offline.length > 0 ? { PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true" } : {}),
    },
    offline,
    notice: offline.length > 0 ? noticeOf(offline) : undefined,
  };
}

async function isFinished(folder: string): Promise<boolean> {
  return (await verifyFolder(folder)).length === 0;
}

function storeFolders({ origin, files }: ResolvedPart): string[] {
  return origin === "user" ? [] : files.map(dirname);
}

async function layOut(folder: string, resolved: readonly ResolvedPart[]): Promise<void> {
  await buildFolder(folder, async (draft) => {
    for (const { part, files } of resolved) {
      const place = part.pluginFolder ? join("home", "plugins", part.pluginFolder) : "bin";
      for (const [index, file] of files.entries()) {
        const target = join(draft, place, part.files[index] as string);
        await mkdir(dirname(target), { recursive: true });
        // A hard link costs no space; other file systems need a copy.
        await link(file, target).catch(() => copyFile(file, target));
      }
    }
    // Engines from 3.250 on write everything they do, compressed and encrypted, into PULUMI_HOME/logs: four of ten seconds of a
    // preview, and half a gigabyte after a day. There is no setting for it; without the folder it is off.
    await mkdir(join(draft, "home"), { recursive: true });
    await writeFile(join(draft, "home", "logs"), NO_LOGS);
  });
}

function noticeOf(offline: readonly string[]): string {
  return (
    `Offline stand-ins are in use for ${offline.join(", ")}: the official plugins could not be downloaded, ` +
    `so these were built from tools/plugins.`
  );
}
