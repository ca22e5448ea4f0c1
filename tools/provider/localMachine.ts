import { randomUUID } from "node:crypto";
import { isAbsolute } from "node:path";
import { isDnsLabel } from "../../components/naming";
import { parseBytes } from "../../components/quantity";
import { isForeign, readMachineFolder, readOwner } from "../../infra/local/machineFolder";
import { environmentNames, machineNames, machinesRoot } from "../../infra/local/naming";
import { isMachineAddress, parseSubnet } from "../../infra/local/subnet";
import { subnetProblem } from "./localNetwork";
import { ownerOf, runScript } from "./localScripts";
import type { CallContext, Drift, Properties, ResourceKind } from "./resourceKind";

/** `gourmetgram:local:Machine`: one machine on this host. */
export const localMachine: ResourceKind = {
  fields: {
    environment: { type: "string", onChange: "replace", check: label },
    name: { type: "string", onChange: "replace", check: label },
    address: { type: "string", onChange: "replace" },
    network: { type: "string", onChange: "replace", check: subnetProblem },
    memory: {
      type: "string",
      onChange: "update",
      check: (value: string) =>
        parseBytes(value) === undefined ? `is ${value}; allowed are quantities such as 2Gi` : undefined,
    },
    imageDir: { type: "string", onChange: "keep", check: folderPath },
    bundlesDir: { type: "string", onChange: "update", check: folderPath },
    sshHostKey: { type: "string", onChange: "update" },
    authorizedKey: { type: "string", onChange: "update" },
    hosts: { type: "stringMap", onChange: "update" },
  },
  outputs: ["instanceId", "folder", "running"],
  secretOutputs: ["sshHostKey"],
  deleteBeforeReplace: true,

  async create(inputs, context) {
    if (!isMachineAddress(inputs.network as string, inputs.address as string)) {
      throw new Error(
        `The address ${inputs.address} of ${inputs.name} is no free address of ${inputs.network}.`,
      );
    }
    const names = machineNames(machinesRoot(), inputs.environment as string, inputs.name as string);
    const outputs = { instanceId: randomUUID(), folder: names.folder, running: true };
    const machine = { ...inputs, ...outputs };
    context.progress("starting");
    try {
      await script("create", machine, context, inputs.sshHostKey as string);
    } catch (error) {
      // The engine forgets a resource whose creation failed; nothing of it may stay.
      await script("delete", machine, context).catch(() => undefined);
      throw error;
    }
    return { id: `${inputs.environment}/${inputs.name}`, outputs };
  },

  async drift(state, context) {
    return machineDrift(state, context);
  },

  async read(state) {
    const folder = readMachineFolder(state.folder as string);
    if (folder?.instanceId !== state.instanceId) return undefined;
    return { ...state, running: folder?.init !== undefined };
  },

  async update(state, inputs, context) {
    // Another image is for new machines only, unless the machine's own is lost.
    const folder = readMachineFolder(state.folder as string);
    const imageDir = folder?.imageState === "gone" ? inputs.imageDir : state.imageDir;
    const keyChanged = state.sshHostKey !== inputs.sshHostKey;
    context.progress(folder?.init === undefined ? "starting" : "applying the changes");
    await script(
      "update",
      { ...state, ...inputs, imageDir },
      context,
      keyChanged ? (inputs.sshHostKey as string) : undefined,
    );
    return { running: true, imageDir };
  },

  async delete(state, context) {
    await script("delete", state, context);
  },
};

/** What differs between the state and the machine on this host. */
function machineDrift(state: Properties, context: CallContext): Drift[] {
  const path = state.folder as string;
  const folder = readMachineFolder(path);
  const owner = readOwner(path);
  const us = ownerOf(context);
  if (isForeign(owner, us)) {
    throw new Error(
      `${path} belongs to stack '${owner.stack}' of ${owner.project}; this is stack '${us.stack}' of ${us.project}.`,
    );
  }
  if (folder === undefined || folder.instanceId !== state.instanceId) {
    const reason = `The machine ${state.name} is gone from ${path} and is made again.`;
    return [{ property: "instanceId", action: "replace", reason }];
  }
  if (folder.imageState === "gone") {
    const reason = `The image ${folder.image} of the machine ${state.name} is gone (was the cache cleared?); it is restarted on the present one and keeps its data.`;
    return [{ property: "imageDir", action: "update", reason }];
  }
  if (folder.imageState === "rebuilt") {
    const reason = `The image ${folder.image} was made again under the machine ${state.name}, which is restarted.`;
    return [{ property: "imageDir", action: "update", reason }];
  }
  if (folder.init === undefined) {
    const reason = `The machine ${state.name} is not running and is started.`;
    return [{ property: "running", action: "update", reason }];
  }
  return [];
}

function script(
  verb: "create" | "update" | "delete",
  machine: Properties,
  context: CallContext,
  hostKey = "",
): Promise<void> {
  const folder = machine.folder as string;
  const root = folder.split("/").slice(0, -2).join("/");
  const environment = machine.environment as string;
  const names = machineNames(root, environment, machine.name as string);
  const network = environmentNames(root, environment);
  const subnet = parseSubnet(machine.network as string);
  const hosts = Object.entries(machine.hosts as Record<string, string>).sort();
  return runScript(
    "machine.sh",
    verb,
    {
      GG_MACHINE_DIR: folder,
      GG_ENVIRONMENT: environment,
      GG_NAME: machine.name as string,
      GG_INSTANCE: machine.instanceId as string,
      GG_ADDRESS: machine.address as string,
      GG_PREFIX: String(subnet.prefix),
      GG_GATEWAY: subnet.gateway,
      GG_BRIDGE: network.bridge,
      GG_ALIAS: network.alias,
      GG_VETH: names.veth,
      GG_CGROUP: names.cgroup,
      GG_MEMORY: String(parseBytes(machine.memory as string)),
      GG_IMAGE: machine.imageDir as string,
      GG_BUNDLES: machine.bundlesDir as string,
      GG_HOSTS: hosts.map(([name, address]) => `${address} ${name}`).join("\n"),
      GG_AUTHORIZED_KEY: machine.authorizedKey as string,
    },
    ownerOf(context),
    hostKey,
  );
}

function label(value: string): string | undefined {
  return isDnsLabel(value) ? undefined : `is ${value}; allowed is a DNS-1123 label`;
}

/** Overlay mounts and the machine's folder separate paths with these characters. */
function folderPath(value: string): string | undefined {
  if (!isAbsolute(value)) return `is ${value}; allowed are absolute paths`;
  return /[:,\\\n]/.test(value) ? `is ${value}; a path with ':', ',' or '\\' cannot be mounted` : undefined;
}
