/**
 * Proves: what the provider runs on a machine: the script arrives whole, values cannot break out of it, no secret is in an argument,
 * input and output are passed through, and nothing is left on disk. The client is a stand-in that runs everything on this host.
 */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { projectRoot } from "../../components/sourceFile";
import { withSsh } from "../../tools/provider/ssh";

const folder = mkdtempSync(join(tmpdir(), "fake-ssh-"));
const path = process.env["PATH"];
const machine = {
  host: "192.0.2.7",
  port: 22,
  user: "root",
  privateKey: "-----BEGIN SECRET KEY-----",
  hostKey: "ssh-ed25519 AAAA",
};

beforeAll(() => {
  const client = join(folder, "ssh");
  // Notes its arguments and the files they name, then does what the machine would.
  writeFileSync(
    client,
    `#!/bin/bash
printf '%s\\n' "$@" >"${folder}/arguments"
cp "$4" "${folder}/key"; stat -c %a "$4" >"${folder}/mode"
for argument; do case $argument in UserKnownHostsFile=*) cp "\${argument#*=}" "${folder}/known";; esac; done
exec bash -c "\${@: -1}"
`,
  );
  chmodSync(client, 0o755);
  process.env["PATH"] = `${folder}:${path}`;
});

afterAll(() => {
  process.env["PATH"] = path;
  rmSync(folder, { recursive: true, force: true });
});

const noted = (name: string) => readFileSync(join(folder, name), "utf8");

describe("a session with a machine", () => {
  it("runs a script as it is, with values that stay values", async () => {
    const value = `a'b "c" $(touch ${folder}/broken) \n\`d\``;
    const said = await withSsh(machine, (ssh) =>
      ssh.run({
        script: 'printf "%s|" "$VALUE"\nfor i in 1 2; do printf "%s;" "$i"; done',
        values: { VALUE: value },
      }),
    );
    expect(said).toBe(`${value}|1;2;`);
    expect(existsSync(join(folder, "broken"))).toBe(false);
  });

  it("has the key in a file of its owner for as long as it lasts, the host key checked, and neither among its arguments", async () => {
    await withSsh(machine, (ssh) => ssh.run({ script: "true" }));
    expect(noted("key")).toContain("SECRET KEY");
    expect(noted("mode").trim()).toBe("600");
    expect(noted("known")).toBe("192.0.2.7 ssh-ed25519 AAAA\n");
    expect(noted("arguments")).not.toContain("SECRET");
    expect(noted("arguments")).toContain("StrictHostKeyChecking=yes");
    const runs = join(projectRoot(), ".state", "runs");
    expect(noted("arguments").split("\n")[3]).toMatch(new RegExp(`^${runs}/ssh-${process.pid}-[^/]+/id$`));
    const left = readdirSync(runs).filter((name) => name.startsWith(`ssh-${process.pid}-`));
    expect(left).toEqual([]);
  });

  it("passes input behind the script and output past the memory", async () => {
    const given = Buffer.alloc(300_000, "x");
    let taken = 0;
    const output = new Writable({
      write(chunk: Buffer, _, done) {
        taken += chunk.length;
        done();
      },
    });
    await withSsh(machine, (ssh) => ssh.run({ script: "cat", input: Readable.from([given]), output }));
    expect(taken).toBe(given.length);
  });

  it("fails with what the script said last", async () => {
    await expect(
      withSsh(machine, (ssh) => ssh.run({ script: "echo no room left >&2; false" })),
    ).rejects.toThrow("no room left");
    await expect(withSsh(machine, (ssh) => ssh.run({ script: "exit 7" }))).rejects.toThrow(
      "ended with 7 and said nothing",
    );
  });

  it("becomes root where the login is not", async () => {
    await withSsh({ ...machine, user: "cc", port: 2222 }, (ssh) => ssh.run({ script: "true" })).catch(
      () => undefined,
    );
    expect(noted("arguments")).toMatch(/^sudo -n bash/m);
    expect(noted("known")).toBe("[192.0.2.7]:2222 ssh-ed25519 AAAA\n");
  });
});
