import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { ensureArtifact } from "../../tools/bundle";
import { findGo } from "../../tools/cache/goBuild";
import { ensureToolchain, type Toolchain } from "../../tools/toolchain";
import { machineImage } from "../support/machineImage";
import { type CommandResult, run } from "./environmentUnderTest";

/** The engine and the plugins themselves, as this machine got them. */

const report = () => undefined;

describe("a plain program on the toolchain", () => {
  const folder = mkdtempSync(join(tmpdir(), "toolchain-e2e-"));
  let toolchain: Toolchain;

  beforeAll(async () => {
    toolchain = await ensureToolchain({ report });
    mkdirSync(join(folder, "state"));
    symlinkSync(join(projectRoot(), "node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "plain", main: "index.js" }));
    writeFileSync(
      join(folder, "Pulumi.yaml"),
      "name: plain\nruntime: {name: nodejs, options: {typescript: false}}\n",
    );
    writeFileSync(
      join(folder, "index.js"),
      `const pulumi = require("@pulumi/pulumi");
       const { local } = require("@pulumi/command");
       const config = new pulumi.Config();
       const made = new local.Command("made", {
         create: "cat; echo \\" and $WORD\\"", stdin: config.requireSecret("word"),
         environment: { WORD: "environment" }, triggers: [config.get("trigger") ?? "none"],
       }, { additionalSecretOutputs: ["stdout"] });
       exports.made = made.stdout;`,
    );
    await pulumi("stack", "init", "plain");
    await pulumi("config", "set", "--secret", "word", "topsecretword");
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function pulumi(...args: string[]): Promise<CommandResult> {
    return run(toolchain.pulumi, ["--cwd", folder, "--non-interactive", "--color", "never", ...args], {
      env: {
        ...toolchain.env,
        PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
        PULUMI_CONFIG_PASSPHRASE: "passphrase",
      },
    });
  }

  test("goes up without a warning and without telling the secret", async () => {
    const { stdout, stderr } = await pulumi("up", "--yes", "--skip-preview");
    expect(stdout).toContain("2 created");
    expect(stdout + stderr).not.toMatch(/warning|\$PATH|topsecretword/i);
    const value = await pulumi("stack", "output", "--show-secrets", "made");
    expect(value.stdout.trim()).toBe("topsecretword and environment");
  });

  test("has nothing to do the second time, within five seconds", async () => {
    const seconds: number[] = [];
    for (let run = 0; run < 3; run++) {
      const result = await pulumi("preview", "--expect-no-changes");
      expect(result.stdout).toContain("2 unchanged");
      seconds.push(result.seconds);
    }
    // The best of three: what else the machine does at the moment is not the program's time.
    expect(Math.min(...seconds)).toBeLessThan(5);
  });

  test("replaces the command when a trigger changes", async () => {
    const { stdout } = await pulumi("up", "--yes", "--skip-preview", "--config", "trigger=other");
    expect(stdout).toContain("1 replaced");
  });

  test("refreshes without a change, and leaves nothing behind", async () => {
    await pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes");
    await pulumi("destroy", "--yes", "--skip-preview");
    const { stdout } = await pulumi("stack", "export");
    expect(
      (JSON.parse(stdout) as { deployment: { resources?: unknown[] } }).deployment.resources ?? [],
    ).toEqual([]);
  });
});

describe("a program for an OpenStack cloud that is out of reach", () => {
  const folder = mkdtempSync(join(tmpdir(), "openstack-e2e-"));
  let toolchain: Toolchain;

  beforeAll(async () => {
    toolchain = await ensureToolchain({ report, plugins: ["openstack"] });
    mkdirSync(join(folder, "state"));
    symlinkSync(join(projectRoot(), "node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "cloud", main: "index.js" }));
    writeFileSync(
      join(folder, "Pulumi.yaml"),
      "name: cloud\nruntime: {name: nodejs, options: {typescript: false}}\n",
    );
    // Nothing listens on port 1 of loopback.
    writeFileSync(
      join(folder, "index.js"),
      `const pulumi = require("@pulumi/pulumi");
       const os = require("@pulumi/openstack");
       const provider = new os.Provider("cloud", {
         authUrl: "http://127.0.0.1:1/v3", userName: "u", password: "p", tenantName: "t",
         userDomainName: "Default", projectDomainName: "Default", region: "r", maxRetries: 2,
         endpointOverrides: { compute: "http://127.0.0.1:1/compute/v2.1/" },
       });
       const opts = { provider };
       const network = new os.networking.Network("net", { name: "net" }, opts);
       const subnet = new os.networking.Subnet("net", { networkId: network.id, cidr: "10.0.0.0/24" }, opts);
       const router = new os.networking.Router("edge", { externalNetworkId: "public" }, opts);
       new os.networking.RouterInterface("edge", { routerId: router.id, subnetId: subnet.id }, opts);
       const group = new os.networking.SecGroup("nodes", { name: "nodes" }, opts);
       new os.networking.SecGroupRule("ssh", {
         direction: "ingress", ethertype: "IPv4", protocol: "tcp", portRangeMin: 22, portRangeMax: 22,
         securityGroupId: group.id,
       }, opts);
       const port = new os.networking.Port("node", {
         networkId: network.id, fixedIps: [{ subnetId: subnet.id, ipAddress: "10.0.0.5" }],
         securityGroupIds: [group.id], allowedAddressPairs: [{ ipAddress: "10.244.0.0/16" }],
       }, opts);
       const key = new os.compute.Keypair("key", { publicKey: "ssh-ed25519 AAAA" }, opts);
       const spread = new os.compute.ServerGroup("nodes", { policies: ["soft-anti-affinity"] }, opts);
       const node = new os.compute.Instance("node", {
         name: "node", flavorName: "m1", keyPair: key.name, networks: [{ port: port.id }],
         imageId: "image", schedulerHints: [{ group: spread.id }], userData: "#cloud-config",
       }, opts);
       const address = new os.networking.FloatingIp("edge", { pool: "public" }, opts);
       new os.networking.FloatingIpAssociate("edge", { floatingIp: address.address, portId: port.id }, opts);
       new os.blockstorage.Volume("data", { size: 1 }, opts);
       exports.key = key.privateKey;
       if (new pulumi.Config().getBoolean("look"))
         exports.found = os.networking.getNetworkOutput({ name: "public" }, opts).id;`,
    );
    await pulumi(["stack", "init", "cloud"]);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function pulumi(args: string[], allowFailure = false): Promise<CommandResult> {
    return run(toolchain.pulumi, ["--cwd", folder, "--non-interactive", "--color", "never", ...args], {
      env: {
        ...toolchain.env,
        PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
        PULUMI_CONFIG_PASSPHRASE: "passphrase",
      },
      allowFailure,
    });
  }

  test("is planned without the cloud, and without a warning", async () => {
    const { stdout, stderr } = await pulumi(["preview"]);
    expect(stdout).toContain("15 to create");
    expect(stdout + stderr).not.toMatch(/warning|deprecated/i);
  });

  test("says what it could not reach, instead of hanging, once it asks the cloud", async () => {
    const asked = await pulumi(["preview", "--config", "look=true"], true);
    expect(asked.code).not.toBe(0);
    expect(asked.stdout + asked.stderr).toMatch(/127\.0\.0\.1:1.*connection refused/);
    expect(asked.seconds).toBeLessThan(30);
  });
});

describe("the stand-ins' own tests on real parts", () => {
  beforeAll(async () => {
    expect(await findGo(), "Go is needed to test the plugins: install it").toBeDefined();
  });

  async function goTest(packages: string, env: NodeJS.ProcessEnv): Promise<void> {
    const args = ["-C", join(projectRoot(), "tools/plugins"), "test", "-count=1", "-timeout=25m", packages];
    const { stdout } = await run("go", args, { env: { GOURMETGRAM_REQUIRE_REAL: "1", ...env } });
    expect(stdout).toMatch(/^ok /m);
  }

  test("the language host", () => goTest("./language-nodejs/...", {}));

  test("what every plugin process has in common", () => goTest("./internal/...", {}));

  test("the command plugin, against a real sshd", async () => {
    // Where openssh-server is not installed, the machines' own serves.
    const rootfs = existsSync("/usr/sbin/sshd") ? "" : join(machineImage(), "rootfs");
    const unpacked = {
      SSHD: join(rootfs, "usr/sbin/sshd"),
      SSHD_LIBRARY_PATH: `${join(rootfs, "usr/lib/x86_64-linux-gnu")}:${join(rootfs, "usr/lib/aarch64-linux-gnu")}`,
    };
    await goTest("./command/...", rootfs === "" ? {} : unpacked);
  });

  test("the kubernetes plugin, against a real API server", async () => {
    const kubernetes = await ensureArtifact("kubernetes", { report });
    const etcd = await ensureArtifact("etcd", { report });
    await goTest("./kubernetes/...", {
      ETCD: join(etcd.dir, "etcd"),
      KUBE_APISERVER: join(kubernetes.dir, "kube-apiserver"),
      KUBE_CONTROLLER_MANAGER: join(kubernetes.dir, "kube-controller-manager"),
    });
  });
});
