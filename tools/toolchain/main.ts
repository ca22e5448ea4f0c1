import { ensureToolchain, planToolchain } from "./index";

/**
 * `node build/tools/toolchain/main.js`: makes the toolchain ready and prints how to use it as JSON; with `--plan` only
 * tells what is missing. Progress goes to standard error.
 */
async function main(args: readonly string[]): Promise<void> {
  const unknown = args.find((arg) => arg !== "--plan");
  if (unknown !== undefined) throw new Error(`unknown argument ${unknown}; allowed: --plan`);
  const result = args.includes("--plan")
    ? await planToolchain()
    : await ensureToolchain({
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
