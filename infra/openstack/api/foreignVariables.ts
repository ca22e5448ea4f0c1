/** Variable that names the clouds.yaml; the only `OS_` one a chosen cloud does not have to fear. */
export const CLOUDS_FILE_VARIABLE = "OS_CLIENT_CONFIG_FILE";

/**
 * Names of the `OS_` variables that are set. Each could override a part of a chosen cloud, so that a program talks to another
 * one than the settings say.
 */
export function foreignVariables(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith("OS_") && name !== CLOUDS_FILE_VARIABLE && env[name])
    .sort();
}
