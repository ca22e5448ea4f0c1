import { runEngine } from "./engine";
import { type StackAccess, stackArguments } from "./prepare";
import { PROJECT_NAME } from "./project";
import type { SettingsFile } from "./settings";

/**
 * The private key of machines that exist already (`infra.privateKey`), decrypted by the engine, which alone knows how each kind of
 * encryption is opened. Takes half a second.
 *
 * @returns `undefined` when the engine cannot open it, for example because the stack does not exist yet; the run itself says why
 */
export async function readLoginKey(access: StackAccess, file: SettingsFile): Promise<string | undefined> {
  const args = ["config", "get", "--path", `${PROJECT_NAME}:infra.privateKey`];
  const result = await runEngine(access.engine, [...args, ...stackArguments(access, file)]);
  return result.exitCode === 0 ? result.stdout : undefined;
}
