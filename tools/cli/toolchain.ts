import { Command } from "commander";
import { withExamples } from "./examples";
import { loadToolchain } from "./partners";
import { openStack, openState, printProgress } from "./prepare";
import { DEFAULT_STACK } from "./project";
import { renderPlan } from "./renderPlan";
import { readSettingsFile } from "./settings";
import { writeEffectiveSettings } from "./state";

interface ToolchainOptions {
  readonly with: readonly string[];
  readonly plan: boolean;
  readonly env: boolean;
}

/** `npm run toolchain`: the engine and its plugins, and how to use them by hand. */
export function createToolchainCommand(): Command {
  const command = new Command("toolchain")
    .description("Find, download or build the Pulumi engine and its plugins.")
    .argument("[stack]", "environment that --env is about", DEFAULT_STACK)
    .option("--with <plugin>", "also this provider plugin (openstack); may be given again", collect, [])
    .option("--plan", "only tell what is missing and what it costs", false)
    .option(
      "--env",
      "print shell commands that make plain `pulumi` use the same state, settings and plugins",
      false,
    )
    .action(toolchain);
  return withExamples(command, [
    ["npm run toolchain", "`up` does it too, when needed"],
    ["npm run toolchain -- --with openstack", "for environments on OpenStack"],
    [
      'eval "$(npm run -s toolchain -- --env)"',
      'then: pulumi up --stack local --config-file "$GOURMETGRAM_SETTINGS"',
    ],
  ]);
}

async function toolchain(stack: string, options: ToolchainOptions): Promise<void> {
  const plugins = options.with;
  if (options.plan) {
    process.stdout.write(
      `${renderPlan("the toolchain", await loadToolchain().planToolchain({ plugins }))}\n`,
    );
    return;
  }
  const access = await openStack(stack, printProgress, plugins);
  if (!options.env) {
    process.stdout.write(`pulumi: ${access.engine.pulumi}\n`);
    return;
  }
  await openState(access, true);
  const file = readSettingsFile(stack);
  const settings = writeEffectiveSettings(file, stack, access.paths) ?? file.path;
  const variables = { ...access.engine.environment, GOURMETGRAM_SETTINGS: settings };
  const exports = Object.entries(variables).map(([name, value]) => `export ${name}=${quote(value)}`);
  process.stdout.write(`${exports.join("\n")}\n`);
  printProgress(`# then: pulumi up --stack ${stack} --config-file "$GOURMETGRAM_SETTINGS"`);
}

function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}

function quote(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
