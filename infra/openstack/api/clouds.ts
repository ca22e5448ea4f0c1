import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { nearest } from "../../../components/nearest";
import { type Problem, ProblemsError } from "../../../components/problems";
import { CLOUDS_FILE, type CloudConfig, isMapping, type Mapping, parseCloud } from "./cloudEntry";
import { CLOUDS_FILE_VARIABLE } from "./foreignVariables";

export type { CloudConfig } from "./cloudEntry";
export { foreignVariables } from "./foreignVariables";

/** Where clouds.yaml is looked for: the process environment, its folder and the user's home. */
export interface CloudsLocation {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
}

/**
 * Reads one entry of clouds.yaml: the file `OS_CLIENT_CONFIG_FILE` names, else the first of the working folder,
 * `~/.config/openstack` and `/etc/openstack`, with secure.yaml laid over it, as openstacksdk and the OpenStack provider do.
 *
 * @throws ProblemsError with every problem, none of which shows a secret
 */
export function readCloud(name: string, location: CloudsLocation): CloudConfig {
  const file = findCloudsFile(location);
  const clouds = cloudsOf(readYaml(file));
  const entry = clouds[name];
  if (!isMapping(entry)) {
    throw new ProblemsError(file, [unknownCloud(name, file, Object.keys(clouds))]);
  }
  const secureFile = firstExisting("secure", location);
  const secure = secureFile === undefined ? {} : cloudsOf(readYaml(secureFile))[name];
  return parseCloud(name, isMapping(secure) ? merge(entry, secure) : entry, file, location.home);
}

/** The clouds.yaml that `readCloud` reads; `undefined` when there is none. */
export function cloudsFile(location: CloudsLocation): string | undefined {
  const override = location.env[CLOUDS_FILE_VARIABLE];
  return override ? resolve(location.cwd, override) : firstExisting("clouds", location);
}

/** Names of the entries of clouds.yaml, or none when there is no such file. */
export function cloudNames(location: CloudsLocation): readonly string[] {
  const file = cloudsFile(location);
  return file === undefined || !existsSync(file) ? [] : Object.keys(cloudsOf(readYaml(file)));
}

function findCloudsFile(location: CloudsLocation): string {
  const override = location.env[CLOUDS_FILE_VARIABLE];
  if (override) {
    const file = resolve(location.cwd, override);
    if (existsSync(file)) {
      return file;
    }
    throw new ProblemsError(CLOUDS_FILE, [
      {
        path: CLOUDS_FILE_VARIABLE,
        value: override,
        problem: "names a file that does not exist",
        next: `set it to your clouds.yaml, or unset it and put the file to ${userFolder(location)}`,
      },
    ]);
  }
  const found = firstExisting("clouds", location);
  if (found !== undefined) {
    return found;
  }
  throw new ProblemsError(CLOUDS_FILE, [
    {
      path: CLOUDS_FILE,
      problem: "does not exist",
      allowed: searchFolders(location).join(", "),
      next: `download it from the site's dashboard (Identity, Application Credentials, Create) and put it to ${userFolder(location)}/clouds.yaml, mode 0600`,
    },
  ]);
}

function firstExisting(base: "clouds" | "secure", location: CloudsLocation): string | undefined {
  return searchFolders(location)
    .flatMap((folder) => [join(folder, `${base}.yaml`), join(folder, `${base}.yml`)])
    .find((path) => existsSync(path));
}

function searchFolders(location: CloudsLocation): string[] {
  return [location.cwd, userFolder(location), "/etc/openstack"];
}

function userFolder(location: CloudsLocation): string {
  return join(location.home, ".config", "openstack");
}

function readYaml(file: string): Mapping {
  let content: unknown;
  try {
    content = parse(readFileSync(file, "utf8")) ?? {};
  } catch (error) {
    // Only the first line: those after it show the text around the place, which may be a secret.
    const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    throw new ProblemsError(file, [
      { path: file, problem: `cannot be read: ${reason}`, next: "correct the file" },
    ]);
  }
  return isMapping(content) ? content : {};
}

function cloudsOf(content: Mapping): Mapping {
  return isMapping(content["clouds"]) ? content["clouds"] : {};
}

function unknownCloud(name: string, file: string, known: readonly string[]): Problem {
  const meant = nearest(name, known);
  return {
    path: "infra.cloud",
    value: name,
    problem: `is no entry of ${file}`,
    allowed: known.length === 0 ? 'nothing: the file has no entry below "clouds:"' : known.join(", "),
    next: meant === undefined ? "choose one of them, or add the entry" : `did you mean "${meant}"?`,
  };
}

function merge(lower: Mapping, upper: Mapping): Mapping {
  const merged: Record<string, unknown> = { ...lower };
  for (const [key, value] of Object.entries(upper)) {
    const below = merged[key];
    merged[key] = isMapping(below) && isMapping(value) ? merge(below, value) : value;
  }
  return merged;
}
