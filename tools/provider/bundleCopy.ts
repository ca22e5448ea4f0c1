import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { CallContext, Properties, ResourceKind } from "./resourceKind";
import { SSH_FIELDS, type SshSession, withSsh } from "./ssh";

/** Where bundles are on machines that have them from nobody else; k8s/cluster/scripts/node.sh looks there. */
const BUNDLES = "/var/lib/gourmetgram/bundles";

/** Looks whether the machine's image brings the bundle, and which files are missing otherwise. */
const LOOK = `
GG_BUNDLES=
[ ! -f /etc/gourmetgram/machine.env ] || . /etc/gourmetgram/machine.env
if [ -n "$GG_BUNDLES" ] && [ -f "$GG_BUNDLES/$KEY/SHA256SUMS" ]; then echo "present $GG_BUNDLES/$KEY"; exit 0; fi
mkdir -p "$TARGET"
cat >"$TARGET/SHA256SUMS.new"
cd "$TARGET"
(sha256sum --check SHA256SUMS.new 2>/dev/null || true) | sed -n 's/^\\(.*\\): FAILED.*$/missing \\1/p'
`;

const TAKE = `
cd "$TARGET"
tar --extract --no-same-owner --file=-
`;

const FINISH = `
cd "$TARGET"
sha256sum --check --quiet SHA256SUMS.new >&2
mv SHA256SUMS.new SHA256SUMS
chmod 755 bin/* cni/*
# One bundle of the present version is enough.
find "$(dirname "$TARGET")" -mindepth 1 -maxdepth 1 -type d ! -path "$TARGET" -exec rm -rf {} +
`;

/** `gourmetgram:cluster:BundleCopy`: the bundle on the machine that hands it to the others. */
export const bundleCopy: ResourceKind = {
  fields: {
    ...SSH_FIELDS,
    instanceId: { type: "string", onChange: "replace" },
    folder: { type: "string", onChange: "keep" },
    key: { type: "string", onChange: "update" },
  },
  outputs: ["path"],
  secretOutputs: ["privateKey"],
  // The machine it was on is gone.
  deleteBeforeReplace: true,

  async create(inputs, context) {
    return { id: `${inputs.instanceId}/${inputs.key}`, outputs: { path: await copy(inputs, context) } };
  },

  async update(state, inputs, context) {
    return { path: state.key === inputs.key ? state.path : await copy(inputs, context) };
  },
};

async function copy(inputs: Properties, context: CallContext): Promise<string> {
  return withSsh(inputs, async (ssh) => {
    context.progress("waiting for the machine");
    await ssh.connect();
    const folder = inputs.folder as string;
    const values = { KEY: inputs.key as string, TARGET: `${BUNDLES}/${inputs.key}` };
    const lines = (await look(ssh, folder, values)).trim().split("\n");
    const present = lines.find((line) => line.startsWith("present "));
    if (present !== undefined) return present.slice("present ".length);
    const missing = lines
      .filter((line) => line.startsWith("missing "))
      .map((line) => line.slice("missing ".length));
    if (missing.length > 0) await send(ssh, folder, missing, values, context);
    await ssh.run({ script: FINISH, values });
    return values.TARGET;
  });
}

async function look(ssh: SshSession, folder: string, values: Record<string, string>): Promise<string> {
  const sums = readFileSync(join(folder, "SHA256SUMS"), "utf8");
  return ssh.run({ script: LOOK, values, input: Readable.from([sums]) });
}

async function send(
  ssh: SshSession,
  folder: string,
  files: readonly string[],
  values: Record<string, string>,
  context: CallContext,
): Promise<void> {
  const tar = spawn("tar", ["--create", `--directory=${folder}`, "--file=-", "--null", "--files-from=-"], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  tar.stdin.end(files.join("\0"));
  let sent = 0;
  tar.stdout.on("data", (chunk: Buffer) => {
    const before = Math.floor(sent / STEP);
    sent += chunk.length;
    if (Math.floor(sent / STEP) > before) {
      context.progress(`${files.length} files of the bundle: ${Math.round(sent / 2 ** 20)} MiB sent`);
    }
  });
  await ssh.run({ script: TAKE, values, input: tar.stdout });
}

/** Bytes between two lines of progress. */
const STEP = 64 * 2 ** 20;
