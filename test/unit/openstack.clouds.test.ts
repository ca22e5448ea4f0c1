import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cloudNames, foreignVariables, readCloud } from "../../infra/openstack/api/clouds";

let folder: string;
let home: string;
let cwd: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "clouds-"));
  home = join(folder, "home");
  cwd = join(folder, "cwd");
  mkdirSync(join(home, ".config/openstack"), { recursive: true });
  mkdirSync(cwd);
});
afterEach(() => rmSync(folder, { recursive: true }));

const where = (env: Record<string, string> = {}) => ({ env, cwd, home });
const clouds = (entry: unknown) => JSON.stringify({ clouds: { openstack: entry, other: entry } });
const CREDENTIAL = {
  auth_type: "v3applicationcredential",
  auth: {
    auth_url: "http://host:5000",
    application_credential_id: "id-1",
    application_credential_secret: "s3cret-canary",
  },
  region_name: "RegionOne",
};
const PASSWORD = {
  auth: {
    auth_url: "https://host/v3/",
    username: "u",
    password: "s3cret-canary",
    project_name: "p",
    user_domain_name: "Default",
    project_domain_id: "default",
  },
};

/** The message of the error, which must not show the secret. */
function failure(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    const { message } = error as Error;
    expect(message).not.toContain("s3cret-canary");
    return message;
  }
  throw new Error("nothing was wrong");
}

describe("clouds.yaml is found", () => {
  test("by the variable, then in the working folder, then in the home", () => {
    writeFileSync(join(home, ".config/openstack/clouds.yaml"), clouds(CREDENTIAL));
    expect(readCloud("openstack", where()).file).toBe(join(home, ".config/openstack/clouds.yaml"));
    writeFileSync(join(cwd, "clouds.yml"), clouds(CREDENTIAL));
    expect(readCloud("openstack", where()).file).toBe(join(cwd, "clouds.yml"));
    writeFileSync(join(folder, "mine.yaml"), clouds(CREDENTIAL));
    const env = { OS_CLIENT_CONFIG_FILE: "../mine.yaml" };
    expect(readCloud("openstack", where(env)).file).toBe(join(folder, "mine.yaml"));
    expect(cloudNames(where(env))).toEqual(["openstack", "other"]);
  });

  test("or the message says where it was looked for", () => {
    const message = failure(() => readCloud("openstack", where()));
    expect(message).toContain("clouds.yaml\n    does not exist");
    expect(message).toContain(`allowed: ${cwd}, ${home}/.config/openstack, /etc/openstack`);
    const missing = failure(() => readCloud("openstack", where({ OS_CLIENT_CONFIG_FILE: "/no.yaml" })));
    expect(missing).toContain('OS_CLIENT_CONFIG_FILE = "/no.yaml"');
    expect(cloudNames(where())).toEqual([]);
  });

  test("and broken YAML is named by its line alone", () => {
    writeFileSync(join(cwd, "clouds.yaml"), "clouds:\n  openstack: {password: s3cret-canary: }\n");
    expect(failure(() => readCloud("openstack", where()))).toContain("cannot be read");
  });
});

describe("an entry", () => {
  const put = (entry: unknown) => writeFileSync(join(cwd, "clouds.yaml"), clouds(entry));

  test("of an application credential", () => {
    put(CREDENTIAL);
    const cloud = readCloud("openstack", where());
    expect(cloud).toMatchObject({
      authUrl: "http://host:5000/v3",
      region: "RegionOne",
      interface: "public",
      verify: true,
      auth: { kind: "applicationCredential", id: "id-1" },
    });
    expect(cloud.auth.kind === "applicationCredential" && cloud.auth.secret()).toBe("s3cret-canary");
    expect(JSON.stringify(cloud)).not.toContain("s3cret-canary");
  });

  test("of a credential by name and user, and of a password", () => {
    put({
      auth: {
        auth_url: "http://host/v3",
        application_credential_name: "n",
        application_credential_secret: "x",
        username: "u",
        user_domain_name: "Default",
      },
    });
    expect(readCloud("openstack", where()).auth).toMatchObject({
      kind: "applicationCredentialName",
      name: "n",
      user: { name: "u", domain: { name: "Default" } },
    });
    put(PASSWORD);
    expect(readCloud("openstack", where())).toMatchObject({
      authUrl: "https://host/v3",
      auth: {
        kind: "password",
        user: { name: "u", domain: { name: "Default" } },
        project: { name: "p", domain: { id: "default" } },
      },
    });
  });

  test("takes its secret from secure.yaml", () => {
    const { application_credential_secret: secret, ...auth } = CREDENTIAL.auth;
    put({ ...CREDENTIAL, auth });
    writeFileSync(
      join(home, ".config/openstack/secure.yaml"),
      clouds({ auth: { application_credential_secret: secret } }),
    );
    const { auth: read } = readCloud("openstack", where());
    expect(read).toMatchObject({ kind: "applicationCredential", id: "id-1" });
  });

  test("that is not there is answered with those that are", () => {
    put(CREDENTIAL);
    const message = failure(() => readCloud("opnstack", where()));
    expect(message).toContain('infra.cloud = "opnstack"');
    expect(message).toContain("allowed: openstack, other");
    expect(message).toContain('did you mean "openstack"?');
  });

  test("reports everything wrong at once, by its place", () => {
    put({
      auth_type: "v3applicationcredential",
      auth: { auth_url: "host", application_credential_secret: "s3cret-canary" },
      interface: "private",
      identity_api_version: 2,
      cacert: "/no/such/ca.pem",
    });
    const message = failure(() => readCloud("openstack", where()));
    for (const place of [
      "auth.auth_url",
      "auth.application_credential_id",
      "interface",
      "identity_api_version",
      "cacert",
    ]) {
      expect(message).toContain(`clouds.yaml: clouds.openstack.${place}`);
    }
  });

  test("with a login that is not supported names those that are", () => {
    put({ ...PASSWORD, auth_type: "v3oidcpassword" });
    const message = failure(() => readCloud("openstack", where()));
    expect(message).toContain("allowed: v3applicationcredential, password, v3password, token, v3token");
  });
});

test("variables that could override a chosen cloud", () => {
  expect(
    foreignVariables({
      OS_CLOUD: "x",
      OS_AUTH_URL: "y",
      OS_CLIENT_CONFIG_FILE: "z",
      OS_TOKEN: "",
      HOME: "/",
    }),
  ).toEqual(["OS_AUTH_URL", "OS_CLOUD"]);
});
