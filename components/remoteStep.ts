import { createHash } from "node:crypto";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { SshAccess } from "./contracts";
import { shellQuote } from "./shellQuote";
import { readSource } from "./sourceFile";

/** A file the step finds on the machine when its script starts. */
export interface StepFile {
  readonly content: pulumi.Input<string>;
  /** Permission bits, octal. @default "0600" */
  readonly mode?: string;
}

export interface RemoteStepArgs {
  readonly ssh: SshAccess;
  /** Name of the step on the machine; two steps of one machine never share it. */
  readonly step: string;
  /**
   * Path of the bash script from the project's root, for example `k8s/cluster/scripts/node.sh`. Must be idempotent.
   * It finds `apply` or `delete` in `$STEP_ACTION`.
   */
  readonly script: string;
  /** Plain settings, shown in previews, exported to the script. @default none */
  readonly environment?: Readonly<Record<string, pulumi.Input<string>>>;
  /** Files written before the script runs: secrets and configuration, on stdin. Key: absolute path. @default none */
  readonly files?: Readonly<Record<string, StepFile>>;
  /** `once`: not run again where the very same step finished. `always`: at each change here. @default "once" */
  readonly rerun?: "once" | "always";
  /** Run the script with `STEP_ACTION=delete` when the step is deleted or replaced. @default false: runs nothing */
  readonly runOnDelete?: boolean;
  /** The step is replaced when one of these changes, for example the machine's `instanceId`. @default none */
  readonly triggers?: pulumi.Input<string>[];
  /** Longest time one action may take. @default "15m" */
  readonly timeout?: string;
}

/**
 * One idempotent bash script on one machine over SSH, host key checked.
 *
 * The script runs detached from the SSH session and is followed; a cut session or a killed `up` is continued by the
 * next. Settings appear in the preview, and so does a hash of the script; files travel on stdin and appear nowhere.
 * Lines the script prints as `> text` are progress. What it writes to the file `$STEP_RESULT` is `result`.
 *
 * Waits for: the machine answering SSH (at most about two minutes). Costs: nothing.
 * ```ts
 * new RemoteStep("node1-swap", { ssh, step: "swap", script: "k8s/cluster/scripts/swap.sh" });
 * ```
 */
export class RemoteStep extends pulumi.ComponentResource {
  /** What the script wrote to `$STEP_RESULT`, trimmed; empty when it wrote nothing. */
  readonly result: pulumi.Output<string>;
  /** The command itself, for `dependsOn`. */
  readonly command: command.remote.Command;

  constructor(name: string, args: RemoteStepArgs, opts?: pulumi.ComponentResourceOptions) {
    super("gourmetgram:components:RemoteStep", name, {}, opts);
    const timeout = args.timeout ?? "15m";
    const script = readSource(args.script);
    const rerun = args.rerun ?? "once";
    const environment = pulumi.output({ ...args.environment });
    const invocation = (action: StepAction) =>
      pulumi
        .all([environment, args.ssh.user])
        .apply(([settings, user]) =>
          renderInvocation({ step: args.step, action, rerun, settings, script, user }),
        );

    this.command = new command.remote.Command(
      name,
      {
        connection: connection(args.ssh),
        create: invocation("apply"),
        ...(args.runOnDelete ? { delete: invocation("delete") } : {}),
        stdin: pulumi.secret(
          pulumi
            .all([environment, pulumi.output({ ...args.files })])
            .apply(([settings, files]) => renderPayload({ settings, files, script })),
        ),
        ...(args.triggers ? { triggers: args.triggers } : {}),
        addPreviousOutputInEnv: false,
        logging: command.remote.Logging.Stdout,
      },
      {
        parent: this,
        // Said again for the command: a component's own dependencies order creation, not deletion and replacement.
        ...(opts?.dependsOn ? { dependsOn: opts.dependsOn } : {}),
        customTimeouts: { create: timeout, update: timeout, delete: timeout },
        // The successor acts on the same machine as its predecessor: never before that one has cleaned up.
        deleteBeforeReplace: true,
      },
    );
    this.result = this.command.stdout.apply(resultOf);
    this.registerOutputs({ result: this.result });
  }
}

type StepAction = "apply" | "delete";

/** Dials for about two minutes (1.5 x back-off, at most 5 s apart): a booting machine, not a dead one. */
const dialErrorLimit = 30;

/** The connection as `@pulumi/command` takes it, jump host included. */
function connection(ssh: SshAccess): command.types.input.remote.ConnectionArgs {
  const login = (to: SshAccess) => ({
    host: to.host,
    port: pulumi.output(to.port ?? 22),
    user: to.user,
    privateKey: to.privateKey,
    hostKey: to.hostKey,
    dialErrorLimit,
    perDialTimeout: 10,
  });
  return ssh.proxy ? { ...login(ssh), proxy: login(ssh.proxy) } : login(ssh);
}

/** The command line of a step: settings and a hash of the script in plain sight, so that a preview tells what changed. */
export function renderInvocation(step: {
  readonly step: string;
  readonly action: StepAction;
  readonly rerun: "once" | "always";
  readonly settings: Readonly<Record<string, string>>;
  readonly script: string;
  readonly user: string;
}): string {
  const hash = createHash("sha256").update(step.script).digest("hex").slice(0, 12);
  const settings = Object.entries(step.settings).sort(([a], [b]) => (a < b ? -1 : 1));
  const runner = readSource("components/scripts/run-step.sh");
  const name = step.action === "apply" ? step.step : `${step.step}-${step.action}`;
  return [
    `# step ${name}, script ${hash}`,
    ...settings.map(([key, value]) => `# ${key}=${value.replaceAll("\n", " ")}`),
    `${step.user === "root" ? "" : "sudo -n "}bash -c ${shellQuote(runner)} step ${shellQuote(name)} ${step.action} ${step.rerun}`,
  ].join("\n");
}

/** What the machine reads on stdin: exports, files, then the script itself. */
export function renderPayload(payload: {
  readonly settings: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, { readonly content: string; readonly mode?: string }>>;
  readonly script: string;
}): string {
  const exports = Object.entries(payload.settings)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `export ${key}=${shellQuote(value)}`);
  const files = Object.entries(payload.files)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, file]) => {
      const content = Buffer.from(file.content, "utf8").toString("base64");
      return `gg_file ${shellQuote(path)} ${file.mode ?? "0600"} ${shellQuote(content)}`;
    });
  return [
    "set -euo pipefail",
    ...exports,
    'gg_file() { mkdir -p "$(dirname "$1")"; (umask 077; base64 -d <<<"$3" >"$1.new"); chmod "$2" "$1.new"; cmp -s "$1.new" "$1" && rm -f "$1.new" || mv "$1.new" "$1"; }',
    ...files,
    payload.script,
  ].join("\n");
}

/** The output without its progress lines. */
export function resultOf(stdout: string): string {
  return stdout
    .split("\n")
    .filter((line) => !line.startsWith("> "))
    .join("\n")
    .trim();
}
