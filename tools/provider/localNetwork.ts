import { existsSync, readFileSync } from "node:fs";
import { isDnsLabel } from "../../components/naming";
import { environmentNames, machinesRoot } from "../../infra/local/naming";
import { parseSubnet } from "../../infra/local/subnet";
import { ownerOf, runScript } from "./localScripts";
import type { CallContext, Properties, ResourceKind } from "./resourceKind";

/** `gourmetgram:local:Network`: the bridge of one environment. */
export const localNetwork: ResourceKind = {
  fields: {
    environment: {
      type: "string",
      onChange: "replace",
      check: (value: string) =>
        isDnsLabel(value, 40)
          ? undefined
          : `is ${value}; allowed is a DNS-1123 label of at most 40 characters`,
    },
    cidr: { type: "string", onChange: "replace", check: subnetProblem },
  },
  outputs: ["bridge", "gateway", "network", "folder"],
  secretOutputs: [],
  deleteBeforeReplace: true,

  async create(inputs, context) {
    const names = environmentNames(machinesRoot(), inputs.environment as string);
    const subnet = parseSubnet(inputs.cidr as string);
    const outputs = {
      bridge: names.bridge,
      gateway: subnet.gateway,
      network: subnet.cidr,
      folder: names.folder,
    };
    await script("create", { ...inputs, ...outputs }, context);
    return { id: names.bridge, outputs };
  },

  async drift(state) {
    if (bridgeIsOurs(state)) return [];
    const reason = `The bridge ${state.bridge} is gone (was the host rebooted?) and is made again.`;
    return [{ property: "bridge", action: "update", reason }];
  },

  // A missing bridge is drift, not the end of the resource: its machines still exist and are started again.
  async read(state) {
    return state;
  },

  async update(state, inputs, context) {
    await script("create", { ...state, ...inputs }, context);
    return {};
  },

  async delete(state, context) {
    await script("delete", state, context);
  },
};

function script(verb: "create" | "delete", state: Properties, context: CallContext): Promise<void> {
  const subnet = parseSubnet(state.cidr as string);
  return runScript(
    "network.sh",
    verb,
    {
      GG_ENVIRONMENT_DIR: state.folder as string,
      GG_BRIDGE: state.bridge as string,
      GG_GATEWAY: subnet.gateway,
      GG_PREFIX: String(subnet.prefix),
      GG_ALIAS: aliasOf(state),
    },
    ownerOf(context),
  );
}

function aliasOf(state: Properties): string {
  const folder = state.folder as string;
  return environmentNames(folder.slice(0, folder.lastIndexOf("/")), state.environment as string).alias;
}

function bridgeIsOurs(state: Properties): boolean {
  const alias = `/sys/class/net/${state.bridge}/ifalias`;
  return existsSync(alias) && readFileSync(alias, "utf8").trim() === aliasOf(state);
}

export function subnetProblem(cidr: string): string | undefined {
  try {
    parseSubnet(cidr);
    return undefined;
  } catch (error) {
    return `is wrong: ${(error as Error).message}`;
  }
}
