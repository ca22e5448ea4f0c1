import { Command } from "commander";
import { CommandError } from "./commandError";
import { runEngine } from "./engine";
import { withExamples } from "./examples";
import type { ExportedDeployment } from "./pending";
import { openStack, printProgress, type StackAccess } from "./prepare";
import { DEFAULT_STACK } from "./project";
import { isOwnBackend, readOwnState } from "./state";

/** Outputs of a stack by name; secrets are `[secret]` unless asked for. */
export type StackOutputs = Readonly<Record<string, unknown>>;

interface OutputsOptions {
  readonly json: boolean;
  readonly showSecrets: boolean;
}

/** `npm run outputs`: addresses, and with `--show-secrets` how to log in. */
export function createOutputsCommand(): Command {
  const command = new Command("outputs")
    .description("Show an environment's outputs: URLs, nodes, SSH, and on request the credentials.")
    .argument("[stack]", "environment", DEFAULT_STACK)
    .option("--json", "as JSON, for programs", false)
    .option("--show-secrets", "with credentials and kubeconfig in plain text", false)
    .action(outputs);
  return withExamples(command, [
    ["npm run outputs", "without secrets"],
    ["npm run outputs -- --show-secrets", "with credentials"],
    ["npm run -s outputs -- mystack --json", "for a program"],
  ]);
}

async function outputs(stack: string, options: OutputsOptions): Promise<void> {
  const access = await openStack(stack);
  const values = await readOutputs(access, options.showSecrets);
  const text = options.json ? JSON.stringify(values, undefined, 2) : renderOutputs(values);
  process.stdout.write(`${text}\n`);
  if (!options.showSecrets && !options.json) {
    printProgress("Secrets are hidden; --show-secrets shows them.");
  }
}

/** @throws CommandError when the environment does not exist or has not come up yet */
export async function readOutputs(access: StackAccess, showSecrets: boolean): Promise<StackOutputs> {
  const { paths, stack } = access;
  const known = showSecrets || !isOwnBackend(paths) ? undefined : hiddenOutputs(readOwnState(paths, stack));
  if (known !== undefined) return known;
  const args = [
    "stack",
    "output",
    "--json",
    "--stack",
    access.stack,
    ...(showSecrets ? ["--show-secrets"] : []),
  ];
  const result = await runEngine(access.engine, args, access.paths.settings);
  if (result.exitCode !== 0) {
    const reason = /no stack named/.test(result.stderr) ? "it does not exist" : result.stderr.trim();
    throw new CommandError(
      `There are no outputs of "${access.stack}": ${reason}. Next: npm run up -- ${access.stack}`,
    );
  }
  return JSON.parse(result.stdout) as StackOutputs;
}

/** How the engine marks a secret in its state, and what it shows in its place. */
const SECRET_MARK = { key: "4dabf18193072939515e22adb298388d", value: "1b47061264138c4ac30d75fd1eb44270" };
const HIDDEN = "[secret]";

/** The outputs in a state, secrets hidden, as the engine shows them without the half second that takes. Exported for tests. */
export function hiddenOutputs(exported: ExportedDeployment | undefined): StackOutputs | undefined {
  const stack = exported?.deployment.resources?.find(({ type }) => type === "pulumi:pulumi:Stack");
  const outputs = (stack as { readonly outputs?: StackOutputs } | undefined)?.outputs;
  return outputs && (hideSecrets(outputs) as StackOutputs);
}

function hideSecrets(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(hideSecrets);
  const fields = value as Readonly<Record<string, unknown>>;
  if (fields[SECRET_MARK.key] === SECRET_MARK.value) return HIDDEN;
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, hideSecrets(field)]));
}

/** Outputs for people: mappings as indented lines, long texts below their name. */
export function renderOutputs(values: StackOutputs): string {
  const entries = Object.entries(values).sort(([left], [right]) => left.localeCompare(right));
  return entries.length === 0
    ? "There are no outputs yet."
    : entries.flatMap((entry) => renderValue(entry, "")).join("\n");
}

function renderValue([name, value]: [string, unknown], indent: string): string[] {
  if (typeof value === "object" && value !== null) {
    return [
      `${indent}${name}:`,
      ...Object.entries(value).flatMap((entry) => renderValue(entry, `${indent}  `)),
    ];
  }
  const text = String(value);
  return text.includes("\n")
    ? [
        `${indent}${name}:`,
        ...text
          .trimEnd()
          .split("\n")
          .map((line) => `${indent}  ${line}`),
      ]
    : [`${indent}${name}: ${text}`];
}
