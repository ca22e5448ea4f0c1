import { Command, CommanderError } from "commander";
import { ProblemsError } from "../../components/problems";
import { createAccessCommand } from "./access";
import { createArgoCommand } from "./argo";
import { createAuditCommand } from "./audit";
import { createBenchCommand } from "./bench";
import { createBundleCommand } from "./bundle";
import { CommandError, ExitCode } from "./commandError";
import { createApproveCommand, createRejectCommand } from "./decide";
import { createDestroyCommand } from "./destroy";
import { createDoctorCommand } from "./doctor";
import { nextStep } from "./failures";
import { createFreezeCommand, createUnfreezeCommand } from "./freeze";
import { createKubectlCommand, normalizePassedOn } from "./kubectl";
import { createLeaseCommand } from "./lease";
import { createLedgerCommand } from "./ledger";
import { createLeftoversCommand } from "./leftovers";
import { createOutputsCommand } from "./outputs";
import { createPreviewCommand } from "./preview";
import { createPromoteCommand } from "./promote";
import { createRefreshCommand } from "./refresh";
import { createRevertCommand } from "./revert";
import { createScenarioCommand } from "./scenario";
import { createToolchainCommand } from "./toolchain";
import { createTrainCommand } from "./train";
import { createTunnelCommand } from "./tunnel";
import { createUpCommand } from "./up";

/** The command line tool: all commands, no action of its own. */
export function createProgram(): Command {
  const program = new Command("npm run")
    .description("A whole MLOps system as one Pulumi graph. Every command takes --help.")
    .enablePositionalOptions();
  const commands = [
    createUpCommand(),
    createPreviewCommand(),
    createDestroyCommand(),
    createRefreshCommand(),
    createOutputsCommand(),
    createDoctorCommand(),
    createKubectlCommand(),
    createArgoCommand(),
    createAccessCommand(),
    createTunnelCommand(),
    createLedgerCommand(),
    createTrainCommand(),
    createPromoteCommand(),
    createApproveCommand(),
    createRejectCommand(),
    createRevertCommand(),
    createFreezeCommand(),
    createUnfreezeCommand(),
    createScenarioCommand(),
    createBundleCommand(),
    createToolchainCommand(),
    createLeftoversCommand(),
    createAuditCommand(),
    createLeaseCommand(),
    createBenchCommand(),
  ];
  for (const command of commands) {
    program.addCommand(command);
    command
      .exitOverride()
      .configureHelp({ commandUsage: (self) => `npm run ${self.name()} -- ${self.usage()}` });
  }
  return program.exitOverride();
}

/**
 * Runs one command.
 *
 * @param argv arguments after the program's name, the command first
 * @returns the exit code
 */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(normalizePassedOn(argv), { from: "user" });
    return Number(process.exitCode ?? ExitCode.ok);
  } catch (error) {
    return report(error);
  }
}

function report(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message, or the help text that was asked for.
    return error.exitCode === 0 ? ExitCode.ok : ExitCode.refused;
  }
  if (error instanceof ProblemsError) {
    process.stderr.write(`${error.message}\n\nNothing was created or changed.\n`);
    return ExitCode.refused;
  }
  if (error instanceof CommandError) {
    process.stderr.write(error.message === "" ? "" : `${error.message}\n`);
    return error.exitCode;
  }
  const debug = process.env["GOURMETGRAM_DEBUG"] === "1";
  const text = error instanceof Error ? error.message : String(error);
  const stack = debug && error instanceof Error ? `\n${error.stack}` : "";
  process.stderr.write(`Error:\n  ${text.replace(/\n/g, "\n  ")}\n  next: ${nextStep(text)}${stack}\n`);
  return ExitCode.failed;
}

if (require.main === module) {
  void main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
