import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../components/sourceFile";
import type { Owner } from "../../infra/local/machineFolder";
import { SCRIPT_PATH } from "../../infra/local/naming";
import type { CallContext } from "./resourceKind";

/** This checkout, as the system names it. */
export const CHECKOUT = realpathSync(projectRoot());
const SCRIPTS = join(CHECKOUT, "infra", "local", "scripts");

/** Most a script may say before the start is forgotten. */
const MAX_OUTPUT = 64 * 1024;

/** Who may touch what: the stack of the resource, in this checkout. */
export function ownerOf(context: CallContext): Owner {
  return { stack: context.urn.split("::")[0]?.replace("urn:pulumi:", "") ?? "", project: CHECKOUT };
}

/**
 * Runs a script of `infra/local/scripts`. Values go by environment, the one secret by stdin.
 *
 * @throws Error with the script's last lines when it fails
 */
export async function runScript(
  script: "machine.sh" | "network.sh",
  verb: string,
  values: Readonly<Record<string, string>>,
  owner: Owner,
  stdin = "",
): Promise<void> {
  const child = spawn(join(SCRIPTS, script), [verb], {
    env: {
      PATH: `${process.env.PATH ?? ""}:${SCRIPT_PATH}`,
      LC_ALL: "C",
      GG_OWNER_STACK: owner.stack,
      GG_OWNER_PROJECT: owner.project,
      ...values,
    },
    cwd: "/",
    stdio: ["pipe", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-MAX_OUTPUT);
  });
  // A script that ends before it reads its input is reported by its status.
  child.stdin.on("error", () => undefined).end(stdin);
  const status = await new Promise<number | string>((done, fail) => {
    child.on("error", fail);
    // "close", not "exit": the last lines are read by then. What the script leaves running holds none of its streams.
    child.on("close", (code, signal) => done(code ?? signal ?? "unknown"));
  });
  if (status !== 0) {
    throw new Error(
      said.trim().replace(/^error: /gm, "") || `${script} ${verb} ended with ${status} and said nothing.`,
    );
  }
}
