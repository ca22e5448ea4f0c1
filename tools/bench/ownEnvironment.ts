import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { KnownNames } from "../../infra/openstack/audit";
import { isOpenStack, type OpenStackEnvironmentSpec } from "../../stacks/spec";
import { checkSettings } from "../cli/prepare";
import { PROJECT_ROOT } from "../cli/project";
import { IMAGE } from "./benchProject";
import { type CommandOptions, describeFailure, killedAfter, projectCommand, timed } from "./timedCommand";

/** An environment of this project whose graph ends at its machines, run by the commands a user gives. */
export class OwnEnvironment {
  readonly spec: OpenStackEnvironmentSpec;
  /** For finding what a killed run made and could not mark. */
  readonly known: KnownNames;
  private readonly settingsFile: string;
  private readonly options: CommandOptions;

  /** @param nodes how many; the first is the control plane */
  constructor(
    readonly name: string,
    nodes: number,
    flavor: string,
    /** Bundle and cluster are not what is measured. */
    environment: NodeJS.ProcessEnv = { ...process.env, GOURMETGRAM_UP_TO: "machines" },
  ) {
    this.options = { environment };
    this.settingsFile = join(PROJECT_ROOT, `Pulumi.${name}.yaml`);
    writeFileSync(this.settingsFile, stringify(settings(nodes, flavor)));
    const { spec } = checkSettings(name);
    if (!isOpenStack(spec)) throw new Error(`The settings of ${name} are not for OpenStack.`);
    this.spec = spec;
    this.known = { nodes: Object.keys(spec.nodes), pools: Object.keys(spec.infra.pools) };
  }

  up(): Promise<number> {
    return this.run("up");
  }

  /** @throws Error when anything would change */
  previewWithoutChanges(): Promise<number> {
    return this.run("preview", "--expect-no-changes");
  }

  /** With the look at what is left that belongs to it. */
  destroy(): Promise<number> {
    return this.run("destroy", "--yes");
  }

  /** Starts a command and kills it with its engine. A command that ends by itself before must have succeeded. */
  async killed(
    operation: "up" | "destroy",
    seconds: number,
  ): Promise<{
    readonly killed: boolean;
    readonly engine: boolean;
    readonly seconds: number;
    readonly problem?: string;
  }> {
    const args = [operation, this.name, ...(operation === "destroy" ? ["--yes"] : [])];
    const ended = await killedAfter(seconds, this.name, args, this.options);
    return {
      killed: ended.killed,
      engine: ended.hadEngine,
      seconds: ended.seconds,
      ...(!ended.killed && ended.exitCode !== 0 && { problem: describeFailure(args, ended) }),
    };
  }

  removeSettings(): void {
    rmSync(this.settingsFile, { force: true });
  }

  private run(command: string, ...options: readonly string[]): Promise<number> {
    const [file, args] = projectCommand(command, this.name, ...options);
    return timed(file, args, this.options);
  }
}

function settings(count: number, flavor: string): object {
  const nodes = Array.from({ length: count }, (_, index) => [
    `node${index + 1}`,
    { role: index === 0 ? "controlPlane" : "worker", address: `192.168.1.${11 + index}` },
  ]);
  return {
    config: {
      "gourmetgram-infra:infra": { kind: "openstack", image: IMAGE, pools: { default: { flavor } } },
      "gourmetgram-infra:nodes": Object.fromEntries(nodes),
    },
  };
}
