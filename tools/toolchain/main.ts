import { parseArgs } from "node:util";
import { ensureToolchain, planToolchain } from "./index";

/**
 * `node build/tools/toolchain/main.js`: makes the toolchain ready and prints how to use it as JSON; with `--plan` only
 * tells what is missing; `--with openstack` adds a plugin that not every engine needs. Progress goes to standard error.
 */
async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { plan: { type: "boolean" }, with: { type: "string", multiple: true } },
  });
  const plugins = values.with ?? [];
  const result = values.plan
    ? await planToolchain({ plugins })
    : await ensureToolchain({
        plugins,
        report: ({ state, message, seconds, remainingSeconds }) =>
          process.stderr.write(
            `[${state}] ${message} (${seconds} s${remainingSeconds ? `, about ${remainingSeconds} s left` : ""})\n`,
          ),
      });
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
