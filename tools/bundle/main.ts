import { join } from "node:path";
import { pins } from "../../stacks/pins";
import { artifactKey } from "./artifactKey";
import { resolveCachePaths } from "./cachePaths";
import { Downloader } from "./download";
import { buildGo } from "./goBuild";
import { ensureEntry } from "./store";

async function main() {
  const paths = resolveCachePaths();
  const d = new Downloader();
  for (const name of process.argv.slice(2)) {
    const row = (pins as any)[name];
    const started = Date.now();
    const recipe = { how: "go", revision: 1, module: row.module, moduleVersion: row.moduleVersion, programs: Object.entries(row.programs).map(([n, p]: any) => [n, p.package]), ldflags: row.ldflags, tags: row.tags, cgo: row.cgo, staging: row.stagingVersion };
    const e = await ensureEntry(paths.store, { name, version: row.version, key: artifactKey(recipe), onMessage: console.log, build: async (dir) => {
      await buildGo(name, row, Object.keys(row.programs), dir, { work: paths.work, log: join(paths.logs, `${name}.log`), sources: __dirname });
      return { origin: "build" };
    }});
    console.log(name, e.dir, (Date.now() - started) / 1000);
  }
}
main();
