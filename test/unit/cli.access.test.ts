/** Proves: what the access bundle says and writes, and that no secret is in what it prints. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readLogin } from "../../tools/cli/access";
import {
  localSshConfig,
  parseAccess,
  removeAccessFiles,
  renderAccess,
  shellWord,
  tunnelArguments,
  writeAccessFiles,
} from "../../tools/cli/accessBundle";
import { statePaths } from "../../tools/cli/state";
import { FakeKubeClient } from "../support/fakeKubeClient";

const outputs = {
  urls: {
    production: "http://10.87.0.11",
    staging: "http://10.87.0.11:8081",
    mlflow: "http://127.0.0.1:8000",
    argocd: "http://127.0.0.1:18888",
  },
  access: {
    edge: "node1",
    gatewayIp: "10.96.0.20",
    services: {
      production: { port: 80, exposure: "public" },
      staging: { port: 8081, exposure: "public" },
      mlflow: { port: 8000, exposure: "tunnel", localPort: 8000 },
      argocd: { port: 8888, exposure: "tunnel", localPort: 18888 },
      webhook: { port: 12000, exposure: "off" },
    },
  },
  nodes: { node1: "10.87.0.11", node2: "10.87.0.12" },
  ssh: {
    config: "Host node1\n  HostName 10.87.0.11\n  IdentityFile ~/.ssh/gourmetgram-local\n",
    privateKey: "the private key",
  },
  credentials: {
    mlflow: { username: "admin", password: "mlflow's password" },
    "argo-workflows": { username: "argo-operator", password: "Bearer an older token" },
    other: "not a login",
  },
};

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gourmetgram-access-"));
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe("the access bundle", () => {
  const bundle = parseAccess("local", outputs);
  const files = { config: "/state/access/local/ssh_config", key: "/state/access/local/id" };

  it("needs a gateway", () => {
    expect(() => parseAccess("mystack", { nodes: {} })).toThrow(
      'The environment "mystack" has no gateway yet. Next: npm run up -- mystack',
    );
  });

  it("has one tunnel for every service that needs one, and no other", () => {
    expect(tunnelArguments(bundle.access, files).join(" ")).toBe(
      "-F /state/access/local/ssh_config -N -o ExitOnForwardFailure=yes -o ServerAliveInterval=15 " +
        "-L 127.0.0.1:8000:10.96.0.20:8000 -L 127.0.0.1:18888:10.96.0.20:8888 node1",
    );
  });

  it("shows URLs, the tunnel, machines and how to get each login, and no secret", () => {
    const text = renderAccess(bundle, files);
    expect(text).toContain("production  http://10.87.0.11       directly");
    expect(text).toContain("argocd      http://127.0.0.1:18888  through the tunnel");
    expect(text).not.toContain("webhook");
    expect(text).toContain(
      "  ssh -F /state/access/local/ssh_config -N -o ExitOnForwardFailure=yes -o ServerAliveInterval=15 -L 127.0.0.1:8000:10.96.0.20:8000",
    );
    expect(text).toContain("npm run tunnel does the same");
    expect(text).toMatch(/mlflow +npm run -s access -- --credential mlflow +user admin/);
    expect(text).toMatch(
      /argo-workflows +npm run -s access -- --credential argo-workflows +.*paste it whole, with "Bearer"/,
    );
    expect(text.match(/--credential argo-workflows /g)).toHaveLength(1);
    expect(text).not.toContain("the private key");
    expect(text).not.toContain("Bearer an");
    expect(text).not.toContain("mlflow's password");
  });

  it("names another environment in its commands", () => {
    const text = renderAccess({ ...bundle, stack: "mystack" }, files);
    expect(text).toContain("npm run tunnel -- mystack does the same");
    expect(text).toContain("npm run -s access -- mystack --credential mlflow");
  });

  it("writes the key where only its owner reads it, and the configuration that names it", () => {
    const paths = statePaths(join(root, "with space"));
    const written = writeAccessFiles(bundle, paths);
    expect(readFileSync(written.key, "utf8")).toBe("the private key\n");
    expect(statSync(written.key).mode & 0o777).toBe(0o600);
    expect(readFileSync(written.config, "utf8")).toContain(`  IdentityFile "${written.key}"\n`);
    removeAccessFiles(paths, "local");
    expect(() => statSync(written.key)).toThrow();
  });

  it("changes nothing else of the SSH configuration", () => {
    expect(localSshConfig("Host a\n  IdentityFile ~/x\n  User root\n", "/k$&")).toBe(
      'Host a\n  IdentityFile "/k$&"\n  User root\n',
    );
  });

  it("quotes what a shell would take apart", () => {
    expect(shellWord("/a b/it's")).toBe(`'/a b/it'\\''s'`);
    expect(shellWord("127.0.0.1:8000:10.96.0.20:8000")).toBe("127.0.0.1:8000:10.96.0.20:8000");
  });
});

describe("a login", () => {
  const bundle = parseAccess("local", outputs);
  const secret = (namespace: string, name: string, data: Record<string, string>) => ({
    metadata: { name, namespace },
    data: Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
    ),
  });
  const client = new FakeKubeClient({
    secret: [
      secret("argocd", "argocd-initial-admin-secret", { password: "initial" }),
      secret("argo", "argo-operator-token", { token: "ey.token" }),
    ],
  });

  it("comes from the outputs, or from the cluster that keeps it", async () => {
    expect(await readLogin(bundle, client, "mlflow")).toEqual(outputs.credentials.mlflow);
    expect(await readLogin(bundle, client, "argocd")).toEqual({ username: "admin", password: "initial" });
    expect(await readLogin(bundle, client, "argo-workflows")).toEqual({
      username: "",
      password: "Bearer ey.token",
    });
  });

  it("that is unknown is answered with those there are", async () => {
    await expect(readLogin(bundle, client, "grafana")).rejects.toThrow(
      'There is no login "grafana". Allowed: mlflow, argo-workflows, argocd, argo-workflows-viewer.',
    );
  });

  it("whose secret is not there says where it should be", async () => {
    await expect(readLogin(bundle, client, "argo-workflows-viewer")).rejects.toThrow(
      "no key token in secret argo-viewer-token of namespace argo",
    );
  });
});
