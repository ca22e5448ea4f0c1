import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ProblemsError } from "../../components/problems";
import { parseEnvironment } from "../../stacks/parse";
import type { EnvironmentSpec } from "../../stacks/spec";
import { PROJECT_NAME, PROJECT_ROOT } from "./project";

/** A stack's settings file as it is, before any check. */
export interface SettingsFile {
  readonly path: string;
  /** Whole content as YAML gives it; empty when there is no such file. */
  readonly content: Readonly<Record<string, unknown>>;
}

/** Settings of Pulumi itself that say how secrets in the file are encrypted. */
const ENCRYPTION_KEYS = ["encryptionsalt", "encryptedkey", "secretsprovider"] as const;

/** Top-level keys of a settings file, as the engine defines them. */
const KNOWN_TOP_KEYS: readonly string[] = [...ENCRYPTION_KEYS, "config", "environment"];

/**
 * Reads `Pulumi.<stack>.yaml`. A file that does not exist is an environment with every default.
 *
 * @throws ProblemsError when the file is no YAML mapping
 */
export function readSettingsFile(stack: string, root: string = PROJECT_ROOT): SettingsFile {
  const name = `Pulumi.${stack}.yaml`;
  const path = join(root, name);
  if (!existsSync(path)) {
    return { path, content: {} };
  }
  const content = parseYaml(readFileSync(path, "utf8"), name);
  const unknown = Object.keys(content).filter((key) => !KNOWN_TOP_KEYS.includes(key));
  if (unknown.length > 0) {
    throw new ProblemsError(
      name,
      unknown.map((key) => ({
        path: key,
        problem: "is an unknown key at the top of the file",
        allowed: KNOWN_TOP_KEYS.join(", "),
        next: `move it below "config:" as "${PROJECT_NAME}:${key}", or remove it`,
      })),
    );
  }
  return { path, content };
}

/** The same checks the program makes, before the engine starts; encrypted values stay opaque. */
export function parseSettings(file: SettingsFile, stack: string): EnvironmentSpec {
  return parseEnvironment(projectSettings(file.content["config"]), stack);
}

/** True when the file itself says how its secrets are encrypted. */
export function hasOwnEncryption(file: SettingsFile): boolean {
  return ENCRYPTION_KEYS.some((key) => typeof file.content[key] === "string");
}

/**
 * The project's settings of a `config:` mapping: `gourmetgram-infra:nodes` or plain `nodes`, both of which Pulumi takes.
 * Settings of other namespaces, such as `pulumi:tags`, are not ours.
 */
export function projectSettings(config: unknown): Record<string, unknown> {
  const entries = typeof config === "object" && config !== null ? Object.entries(config) : [];
  const prefix = `${PROJECT_NAME}:`;
  return Object.fromEntries(
    entries
      .filter(([key]) => key.startsWith(prefix) || !key.includes(":"))
      .map(([key, value]) => [key.startsWith(prefix) ? key.slice(prefix.length) : key, value]),
  );
}

function parseYaml(text: string, name: string): Record<string, unknown> {
  let content: unknown;
  try {
    content = parse(text) ?? {};
  } catch (error) {
    throw new ProblemsError(name, [
      {
        path: name,
        // The lines after the first show the text around the place, which may be a password.
        problem: `is not YAML: ${String(error instanceof Error ? error.message : error).split("\n")[0]}`,
        next: "correct the line named above",
      },
    ]);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new ProblemsError(name, [
      {
        path: name,
        problem: "is not a mapping",
        allowed: `"config:" with keys such as "${PROJECT_NAME}:nodes"`,
        next: "write the settings as a mapping",
      },
    ]);
  }
  return content as Record<string, unknown>;
}
