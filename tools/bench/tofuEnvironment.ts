import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { homeNode } from "../../components/homeNode";
import { foreignVariables } from "../../infra/openstack/api/foreignVariables";
import { renderCloudConfig } from "../../infra/openstack/cloudConfig";
import type { OpenStackNodeSpec, OpenStackSpec } from "../../infra/openstack/spec";
import { PROJECT_ROOT } from "../cli/project";
import { timed } from "./timedCommand";
import type { Tofu } from "./tofu";

/** What OpenTofu makes: an environment as our program gets it. */
export interface TofuSettings {
  readonly environment: string;
  readonly spec: OpenStackSpec;
  readonly nodes: Readonly<Record<string, OpenStackNodeSpec>>;
  /** TCP ports open to everybody. */
  readonly ports: readonly number[];
  /** Operations at the same time, the same number as our engine's. */
  readonly parallel: number;
}

/** Name of the provider in `tofu/main.tf`. */
const PROVIDER = "terraform-provider-openstack/openstack";

/** The same environment made by OpenTofu (`tofu/main.tf`); state and settings in a folder of their own. */
export class TofuEnvironment {
  private readonly folder = mkdtempSync(join(tmpdir(), "bench-tofu-"));
  private readonly environment: NodeJS.ProcessEnv;

  constructor(
    private readonly tofu: Tofu,
    private readonly settings: TofuSettings,
  ) {
    copyFileSync(join(PROJECT_ROOT, "tools", "bench", "tofu", "main.tf"), join(this.folder, "main.tf"));
    writeFileSync(join(this.folder, "terraform.tfvars.json"), JSON.stringify(tofuVariables(settings)));
    const configuration = join(this.folder, "tofu.rc");
    writeFileSync(configuration, cliConfiguration(dirname(tofu.provider)));
    this.environment = { ...process.env, TF_CLI_CONFIG_FILE: configuration, TF_IN_AUTOMATION: "1" };
    // Our engine does not see them either.
    for (const name of foreignVariables(this.environment)) delete this.environment[name];
  }

  apply(): Promise<number> {
    return this.run("apply", "-auto-approve");
  }

  /** @throws Error when anything would change */
  planWithoutChanges(): Promise<number> {
    return this.run("plan", "-detailed-exitcode");
  }

  destroy(): Promise<number> {
    return this.run("destroy", "-auto-approve");
  }

  removeFolder(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private run(operation: string, option: string): Promise<number> {
    const args = [operation, option, "-input=false", "-no-color", `-parallelism=${this.settings.parallel}`];
    return timed(this.tofu.tofu, args, { folder: this.folder, environment: this.environment });
  }
}

/** Takes the provider from a folder, so that neither registry nor `tofu init` is needed. */
export function cliConfiguration(providerFolder: string): string {
  return `provider_installation {\n  dev_overrides {\n    "${PROVIDER}" = ${JSON.stringify(providerFolder)}\n  }\n}\n`;
}

/** Values of the variables of `tofu/main.tf`. */
export function tofuVariables({ environment, spec, nodes, ports }: TofuSettings): object {
  const publicKey = unusedPublicKey();
  const flavor = spec.pools["default"]?.flavor;
  if (spec.floatingIp.kind !== "new" || flavor === undefined) {
    throw new Error("tofu/main.tf knows the default settings only.");
  }
  return {
    environment,
    cloud: spec.cloud,
    cidr: spec.cidr,
    shared_network: spec.sharedNetwork,
    pool: spec.floatingIp.pool,
    image: spec.image,
    flavor,
    public_key: publicKey,
    nodes: Object.fromEntries(Object.entries(nodes).map(([node, { address }]) => [node, address])),
    home: homeNode(nodes),
    ports,
    user_data: Object.fromEntries(
      Object.keys(nodes).map((node) => [
        node,
        renderCloudConfig({
          hostname: node,
          authorizedKeys: [],
          // Of the usual length; nobody ever reads it.
          hostKey: { privateKey: "-".repeat(400), publicKey },
        }),
      ]),
    ),
  };
}

/** A key in the format of `authorized_keys` whose private half is thrown away. */
function unusedPublicKey(): string {
  const { x = "" } = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
  const type = "ssh-ed25519";
  const parts = [Buffer.from(type), Buffer.from(x, "base64url")].flatMap((part) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    return [length, part];
  });
  return `${type} ${Buffer.concat(parts).toString("base64")} bench`;
}
