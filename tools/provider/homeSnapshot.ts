import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { formatBytes } from "../../components/quantity";
import { CHECKOUT, ownerOf } from "./localScripts";
import type { CallContext, Properties, ResourceKind } from "./resourceKind";
import { SSH_FIELDS, withSsh } from "./ssh";

/** A machine that is about to be removed answers at once or not at all. */
const GONE_MS = 60_000;

/** Says how much there is to take; nothing on a machine that is no control plane (any more). */
const LOOK = `
[ -f /etc/gourmetgram/cluster/joined ] || exit 0
du --summarize --bytes --total /var/lib/etcd /opt/local-path-provisioner 2>/dev/null | tail -n 1 | cut -f1
`;

/** Ends all pods in good order, so that databases are whole, then prints etcd's data and the volumes as a tar archive. */
const SAVE = `
exec 3>&1 1>&2
systemctl stop kubelet
ctr -n k8s.io tasks ls -q | xargs -r -n 1 ctr -n k8s.io tasks kill --signal SIGTERM >/dev/null 2>&1 || true
for _ in $(seq 1 60); do
  [ -n "$(ctr -n k8s.io tasks ls 2>/dev/null | grep RUNNING)" ] || break
  sleep 0.5
done
ctr -n k8s.io tasks ls -q | xargs -r -n 1 ctr -n k8s.io tasks kill --signal SIGKILL >/dev/null 2>&1 || true
paths=(var/lib/etcd)
[ ! -d /opt/local-path-provisioner ] || paths+=(opt/local-path-provisioner)
exec tar --create --directory=/ --numeric-owner --sparse --file=- "\${paths[@]}" >&3
`;

/** Where k8s/cluster/scripts/node.sh looks before it initialises a control plane. */
const GIVE = `
mkdir -p -m 700 /var/lib/gourmetgram/restore
cat >/var/lib/gourmetgram/restore/home.tar.new
mv /var/lib/gourmetgram/restore/home.tar.new /var/lib/gourmetgram/restore/home.tar
`;

/** `gourmetgram:cluster:HomeSnapshot`: created with a machine, it gives; deleted before a machine, it takes. */
export const homeSnapshot: ResourceKind = {
  fields: {
    ...SSH_FIELDS,
    instanceId: { type: "string", onChange: "replace" },
    clusterId: { type: "string", onChange: "update" },
  },
  outputs: ["restored"],
  secretOutputs: ["privateKey"],
  deleteBeforeReplace: true,

  async create(inputs, context) {
    return { id: inputs.instanceId as string, outputs: { restored: await give(inputs, context) } };
  },

  async update(state) {
    return { restored: state.restored };
  },

  async delete(state, context) {
    await take(state, context);
  },
};

/** Hands a waiting snapshot of this cluster to the machine. @returns whether there was one */
async function give(inputs: Properties, context: CallContext): Promise<boolean> {
  const { waiting, given } = paths(inputs, context);
  if (!existsSync(waiting)) return false;
  await withSsh(inputs, async (ssh) => {
    context.progress("waiting for the machine");
    await ssh.connect();
    context.progress("handing over etcd and volumes");
    await ssh.run({ script: GIVE, input: createReadStream(waiting) });
  });
  // From now on the machine has it; one older generation stays, in case the machine does not live to use it.
  renameSync(waiting, given);
  return true;
}

/** @throws Error naming `--discard` when the machine does not answer */
async function take(state: Properties, context: CallContext): Promise<void> {
  const { folder, waiting } = paths(state, context);
  try {
    await withSsh(state, async (ssh) => {
      await ssh.connect(GONE_MS);
      const bytes = Number(await ssh.run({ script: LOOK }));
      if (!bytes) return;
      context.info(`Taking etcd and the volumes along to the new machine: ${formatBytes(bytes)}.`);
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      await ssh.run({ script: SAVE, output: createWriteStream(`${waiting}.new`, { mode: 0o600 }) });
      renameSync(`${waiting}.new`, waiting);
    });
  } catch (error) {
    rmSync(`${waiting}.new`, { force: true });
    if (process.env["GOURMETGRAM_DISCARD"] === "1") {
      context.info(`etcd and the volumes of ${state.host} are given up: ${(error as Error).message}`);
      return;
    }
    throw new Error(
      `etcd and the volumes on ${state.host} could not be taken along: ${(error as Error).message}\n` +
        "Next: mend the connection and run the same command again, or give the data up with: npm run up -- --discard",
    );
  }
}

/** Below `.state`, like all that is secret; by cluster, so that another one's is never mistaken for it. */
function paths(properties: Properties, context: CallContext) {
  const folder = join(CHECKOUT, ".state", "snapshots", ownerOf(context).stack);
  const cluster = (properties.clusterId as string).replace(/^sha256:/, "").slice(0, 16);
  return { folder, waiting: join(folder, `${cluster}.tar`), given: join(folder, `${cluster}-given.tar`) };
}
