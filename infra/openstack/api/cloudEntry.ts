import { readFileSync } from "node:fs";
import { ProblemCollector } from "../../../components/problems";

/** How messages name the file, wherever it was found. */
export const CLOUDS_FILE = "clouds.yaml";

/** Place of a value in messages: `clouds.yaml: clouds.openstack.auth.auth_url`. */
export function entryPath(cloud: string, key: string): string {
  return `${CLOUDS_FILE}: clouds.${cloud}.${key}`;
}

/** A YAML mapping. */
export type Mapping = Readonly<Record<string, unknown>>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A secret that neither `JSON.stringify` nor a debug print shows. */
export type Secret = () => string;

/** Who logs in, and to which project. */
export type CloudAuth =
  | { readonly kind: "applicationCredential"; readonly id: string; readonly secret: Secret }
  | {
      readonly kind: "applicationCredentialName";
      readonly name: string;
      readonly user: UserReference;
      readonly secret: Secret;
    }
  | {
      readonly kind: "password";
      readonly user: UserReference;
      readonly password: Secret;
      readonly project: ProjectReference;
    }
  | { readonly kind: "token"; readonly token: Secret; readonly project: ProjectReference };

/** A user by id, or by name in a domain. */
export interface UserReference {
  readonly id?: string;
  readonly name?: string;
  readonly domain?: DomainReference;
}

/** A project by id, or by name in a domain. */
export interface ProjectReference {
  readonly id?: string;
  readonly name?: string;
  readonly domain?: DomainReference;
}

export interface DomainReference {
  readonly id?: string;
  readonly name?: string;
}

/** One entry of clouds.yaml, checked. */
export interface CloudConfig {
  /** Key of the entry. */
  readonly name: string;
  /** File it was read from. */
  readonly file: string;
  /** Identity endpoint, ends with `/v3`. */
  readonly authUrl: string;
  readonly auth: CloudAuth;
  /** @default the only region there is */
  readonly region?: string;
  readonly interface: "public" | "internal" | "admin";
  /** False: TLS certificates of the cloud are not checked. */
  readonly verify: boolean;
  /** Content of `cacert`, PEM. @default the authorities Node trusts */
  readonly caCertificate?: string;
}

/** Values `auth_type` may have here, and the plugin each selects; the names are openstacksdk's. */
const AUTH_TYPES: Readonly<Record<string, "applicationCredential" | "password" | "token">> = {
  v3applicationcredential: "applicationCredential",
  password: "password",
  v3password: "password",
  token: "token",
  v3token: "token",
};

/** Checks one entry, secure.yaml laid over it. @throws ProblemsError with every problem; none shows a secret */
export function parseCloud(name: string, entry: Mapping, file: string, home: string): CloudConfig {
  const problems = new ProblemCollector();
  const read = entryReader(name, problems);
  const auth = isMapping(entry["auth"]) ? entry["auth"] : {};
  if (entry["profile"] !== undefined && auth["auth_url"] === undefined) {
    problems.add({
      path: entryPath(name, "profile"),
      value: entry["profile"],
      problem: "names a vendor's profile, which is not read here",
      next: `write ${entryPath(name, "auth.auth_url")} itself`,
    });
  }
  const version = entry["identity_api_version"];
  if (version !== undefined && String(version) !== "3") {
    problems.add({
      path: entryPath(name, "identity_api_version"),
      value: version,
      problem: "is not supported",
      allowed: "3",
      next: "set it to 3, or remove it",
    });
  }
  const interfaceName = String(entry["interface"] ?? "public").replace(/URL$/, "");
  if (!["public", "internal", "admin"].includes(interfaceName)) {
    problems.add({
      path: entryPath(name, "interface"),
      value: interfaceName,
      problem: "is no interface",
      allowed: "public, internal, admin",
      next: "set it to public, or remove it",
    });
  }
  const authUrl = read.text(auth, "auth.auth_url", "the identity endpoint, for example https://host:5000/v3");
  if (authUrl !== undefined && !URL.canParse(authUrl)) {
    problems.add({
      path: entryPath(name, "auth.auth_url"),
      value: authUrl,
      problem: "is no URL",
      allowed: "https://host:port/v3",
      next: "correct it",
    });
  }
  const region = read.optionalText(entry, "region_name");
  const login = readAuth(name, entry, auth, problems);
  const caCertificate = readAuthority(name, entry, home, problems);
  problems.throwIfAny(`cloud "${name}" of ${file}`);
  return {
    name,
    file,
    authUrl: versionedAuthUrl(authUrl as string),
    auth: login as CloudAuth,
    ...(region === undefined ? {} : { region }),
    interface: interfaceName as CloudConfig["interface"],
    verify: entry["verify"] !== false,
    ...(caCertificate === undefined ? {} : { caCertificate }),
  };
}

function readAuth(
  name: string,
  entry: Mapping,
  auth: Mapping,
  problems: ProblemCollector,
): CloudAuth | undefined {
  const read = entryReader(name, problems);
  const type = entry["auth_type"] === undefined ? guessedType(auth) : AUTH_TYPES[String(entry["auth_type"])];
  switch (type) {
    case "applicationCredential": {
      const secret = read.text(auth, "auth.application_credential_secret", "the secret of the credential");
      const id = read.optionalText(auth, "auth.application_credential_id");
      const called = read.optionalText(auth, "auth.application_credential_name");
      if (id === undefined && called === undefined) {
        read.missing("auth.application_credential_id", "the id of the credential, or its name and a user");
        return undefined;
      }
      if (secret === undefined) return undefined;
      if (id !== undefined) return { kind: "applicationCredential", id, secret: () => secret };
      const user = readUser(name, auth, problems);
      return (
        user && { kind: "applicationCredentialName", name: called as string, user, secret: () => secret }
      );
    }
    case "password": {
      const user = readUser(name, auth, problems);
      const password = read.text(auth, "auth.password", "the user's password");
      const project = readProject(name, auth, problems);
      if (user === undefined || password === undefined || project === undefined) return undefined;
      return { kind: "password", user, password: () => password, project };
    }
    case "token": {
      const token = read.text(auth, "auth.token", "a token");
      const project = readProject(name, auth, problems);
      if (token === undefined || project === undefined) return undefined;
      return { kind: "token", token: () => token, project };
    }
    default:
      problems.add({
        path: entryPath(name, "auth_type"),
        value: entry["auth_type"],
        problem: "is not supported",
        allowed: Object.keys(AUTH_TYPES).join(", "),
        next: "make an application credential at the site's dashboard and use v3applicationcredential",
      });
      return undefined;
  }
}

/** What the OpenStack provider does with an entry that has no `auth_type`. */
function guessedType(auth: Mapping): (typeof AUTH_TYPES)[string] {
  if (auth["application_credential_secret"] !== undefined) return "applicationCredential";
  return auth["token"] === undefined ? "password" : "token";
}

function readUser(name: string, auth: Mapping, problems: ProblemCollector): UserReference | undefined {
  const read = entryReader(name, problems);
  const id = read.optionalText(auth, "auth.user_id");
  if (id !== undefined) return { id };
  const called = read.text(auth, "auth.username", "the user's name");
  return called === undefined ? undefined : { name: called, domain: readDomain(read, auth, "user") };
}

function readProject(name: string, auth: Mapping, problems: ProblemCollector): ProjectReference | undefined {
  const read = entryReader(name, problems);
  const id = read.optionalText(auth, "auth.project_id") ?? read.optionalText(auth, "auth.tenant_id");
  if (id !== undefined) return { id };
  const called = read.optionalText(auth, "auth.project_name") ?? read.optionalText(auth, "auth.tenant_name");
  if (called === undefined) {
    read.missing("auth.project_name", "the project's name or, as project_id, its id");
    return undefined;
  }
  return { name: called, domain: readDomain(read, auth, "project") };
}

function readDomain(read: EntryReader, auth: Mapping, of: "user" | "project"): DomainReference {
  const id =
    read.optionalText(auth, `auth.${of}_domain_id`) ??
    read.optionalText(auth, "auth.domain_id") ??
    read.optionalText(auth, "auth.default_domain");
  const called =
    read.optionalText(auth, `auth.${of}_domain_name`) ?? read.optionalText(auth, "auth.domain_name");
  // Both spellings exist in the wild; a name is the more exact wish when it is there.
  if (called !== undefined) return { name: called };
  return { id: id ?? "default" };
}

function readAuthority(
  name: string,
  entry: Mapping,
  home: string,
  problems: ProblemCollector,
): string | undefined {
  const path = entry["cacert"];
  if (path === undefined || path === null) return undefined;
  const file = String(path).replace(/^~(?=\/)/, home);
  try {
    return readFileSync(file, "utf8");
  } catch {
    problems.add({
      path: entryPath(name, "cacert"),
      value: path,
      problem: "cannot be read",
      allowed: "a file with the certificates of the cloud's authority, PEM",
      next: "correct the path",
    });
    return undefined;
  }
}

interface EntryReader {
  /** A text that must be there. Keys below `auth.` are read from the mapping `auth`. */
  text(source: Mapping, key: string, what: string): string | undefined;
  optionalText(source: Mapping, key: string): string | undefined;
  missing(key: string, what: string): void;
}

function entryReader(name: string, problems: ProblemCollector): EntryReader {
  const optionalText = (source: Mapping, key: string): string | undefined => {
    const value = source[key.replace(/^auth\./, "")];
    if (value === undefined || value === null || value === "") return undefined;
    if (typeof value === "string" || typeof value === "number") return String(value);
    // The value itself is not shown: it may hold a secret.
    problems.add({ path: entryPath(name, key), problem: "must be a text", next: "correct it" });
    return undefined;
  };
  const missing = (key: string, what: string) =>
    problems.add({
      path: entryPath(name, key),
      problem: "is missing",
      allowed: what,
      next: "add it, or download the file again from the site's dashboard",
    });
  return {
    optionalText,
    missing,
    text: (source, key, what) => {
      const before = problems.problems.length;
      const value = optionalText(source, key);
      if (value === undefined && problems.problems.length === before) missing(key, what);
      return value;
    },
  };
}

/** `http://host:5000` and `http://host:5000/v3/` both become `http://host:5000/v3`. */
function versionedAuthUrl(url: string): string {
  const bare = url.replace(/\/+$/, "");
  return /\/v3$/.test(bare) ? bare : `${bare.replace(/\/v2\.0$/, "")}/v3`;
}
