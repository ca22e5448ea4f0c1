import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Command } from "commander";
import {
  type AccessBundle,
  type AccessFiles,
  parseAccess,
  tunnelArguments,
  tunnelServices,
  writeAccessFiles,
} from "./accessBundle";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { runAttached } from "./kubeconfig";
import { readOutputs } from "./outputs";
import { openStack, printProgress } from "./prepare";
import { DEFAULT_STACK } from "./project";

/** ssh's exit code for every fault of its own. */
const SSH_FAILED = 255;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** `npm run tunnel`: every service that is not public, on this host's loopback. */
export function createTunnelCommand(): Command {
  const command = new Command("tunnel")
    .description("Open one SSH tunnel to every service that is not public; Ctrl-C closes it.")
    .argument("[stack]", "environment", DEFAULT_STACK)
    .action(tunnel);
  return withExamples(command, [["npm run tunnel", "then open the URLs that `npm run access` shows"]]);
}

async function tunnel(stack: string): Promise<void> {
  const access = await openStack(stack);
  const bundle = parseAccess(stack, await readOutputs(access, true));
  process.exitCode = await openTunnel(bundle, writeAccessFiles(bundle, access.paths));
}

/** Keeps the tunnel open until Ctrl-C. @returns the exit code */
export async function openTunnel(bundle: AccessBundle, files: AccessFiles): Promise<number> {
  const services = tunnelServices(bundle.access);
  if (services.length === 0) {
    printProgress("No service needs a tunnel: every one is public or off.");
    return ExitCode.ok;
  }
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  if (!folders.some((folder) => existsSync(join(folder, "ssh")))) {
    throw new CommandError(
      "There is no ssh on this host. Next: install an OpenSSH client and run the same command again",
      ExitCode.refused,
    );
  }
  for (const [name, { localPort }] of services) {
    printProgress(`  ${name.padEnd(16)}  ${bundle.urls[name] ?? `http://127.0.0.1:${localPort}`}`);
  }
  printProgress(`The tunnel to ${bundle.access.edge} stays open until Ctrl-C.`);
  // ssh ends with the code of a fault at Ctrl-C, too, which is how a tunnel is meant to end.
  let asked = false;
  const ask = () => {
    asked = true;
  };
  for (const signal of SIGNALS) {
    process.on(signal, ask);
  }
  const code = await runAttached("ssh", tunnelArguments(bundle.access, files), {}).finally(() => {
    for (const signal of SIGNALS) {
      process.off(signal, ask);
    }
  });
  if (asked) {
    return ExitCode.ok;
  }
  if (code === SSH_FAILED) {
    throw new CommandError(
      "The tunnel ended; ssh says why above.\n  next: when an address is in use, another tunnel is open; when the node does not answer, npm run up starts it",
    );
  }
  return code;
}
