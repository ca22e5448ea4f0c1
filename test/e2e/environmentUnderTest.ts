import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { projectRoot } from "../../components/sourceFile";
import type { Service } from "../../stacks/spec";
import { cacheRoot } from "../../tools/cache/paths";

const root = projectRoot();

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

/** Starts a program; its output is kept and, with `GOURMETGRAM_TEST_VERBOSE=1`, shown as it comes. */
export function start(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string } = {},
): { child: ChildProcess; done: Promise<CommandResult> } {
  const began = Date.now();
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      output[stream] += text;
      if (process.env["GOURMETGRAM_TEST_VERBOSE"]) process.stderr.write(text);
    });
  }
  // A program that ends without reading its input is no error of the test.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  const done = new Promise<CommandResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...output, seconds: (Date.now() - began) / 1000 }));
  });
  return { child, done };
}

/** Runs a program to its end; a failure carries all it said. */
export async function run(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; allowFailure?: boolean } = {},
): Promise<CommandResult> {
  const result = await start(program, args, options).done;
  if (result.code !== 0 && !options.allowFailure) {
    throw new Error(
      `${program} ${args.join(" ")} ended with ${result.code} after ${result.seconds.toFixed(0)} s\n${result.stdout}\n${result.stderr}`,
    );
  }
  return result;
}

/** One environment of a test's own: a stack, its settings file, and the commands a user has. */
export class EnvironmentUnderTest {
  private readonly settingsFile: string;

  constructor(readonly stack: string) {
    this.settingsFile = join(root, `Pulumi.${stack}.yaml`);
  }

  /** Writes the stack's settings, as a user's editor would. */
  configure(settings: Readonly<Record<string, unknown>>): void {
    const config = Object.fromEntries(
      Object.entries(settings).map(([key, value]) => [`gourmetgram-infra:${key}`, value]),
    );
    writeFileSync(this.settingsFile, stringify({ config }));
  }

  /** `npm run <command> -- <stack> <args>`, without npm's own second. */
  command(name: string, ...args: string[]): Promise<CommandResult> {
    return run("node", ["tools/run.mjs", name, this.stack, ...args]);
  }

  tryCommand(name: string, ...args: string[]): Promise<CommandResult> {
    return run("node", ["tools/run.mjs", name, this.stack, ...args], { allowFailure: true });
  }

  startCommand(name: string, ...args: string[]): ReturnType<typeof start> {
    return start("node", ["tools/run.mjs", name, this.stack, ...args]);
  }

  async kubectl(...args: string[]): Promise<string> {
    return (await run("node", ["tools/run.mjs", "kubectl", this.stack, "--", ...args])).stdout;
  }

  async kubectlJson<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl(...args, "-o", "json")) as T;
  }

  /** Calls `use` with a local port that leads to a Service's port while it runs. */
  async forwarded<T>(
    namespace: string,
    target: string,
    targetPort: number,
    use: (port: number) => Promise<T>,
  ): Promise<T> {
    const forward = this.startForward(namespace, target, targetPort);
    try {
      return await use(await forward.port);
    } finally {
      forward.child.kill("SIGTERM");
      await forward.done;
    }
  }

  private startForward(namespace: string, target: string, targetPort: number) {
    const { child, done } = start("node", [
      ...["tools/run.mjs", "kubectl", this.stack, "--"],
      ...["-n", namespace, "port-forward", target, `:${targetPort}`],
    ]);
    const port = new Promise<number>((resolve, reject) => {
      let said = "";
      child.stdout?.on("data", (text: string) => {
        said += text;
        const found = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said)?.[1];
        if (found !== undefined) resolve(Number(found));
      });
      done.then((result) => reject(new Error(`port-forward ended: ${result.stderr}`)), reject);
    });
    return { child, done, port };
  }

  async outputs(): Promise<EnvironmentOutputs> {
    return JSON.parse(
      (await this.command("outputs", "--json", "--show-secrets")).stdout,
    ) as EnvironmentOutputs;
  }

  /** The settings file goes with the environment. */
  forget(): void {
    rmSync(this.settingsFile, { force: true });
  }
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

export interface EnvironmentOutputs {
  readonly kubeconfig: string;
  readonly urls: Readonly<Record<Service, string>>;
  readonly credentials: Readonly<Record<"mlflow" | "minio" | "postgres" | "git" | "argo-workflows", Login>>;
  readonly nodes: Readonly<Record<string, string>>;
}

/** Python packages of a user's laptop: MLflow's client of the server's version, and an S3 client. */
const clientPackages = ["mlflow-skinny==3.9.0", "boto3==1.42.30"];

/** A Python that has MLflow's client, made once per version under the user's cache folder. */
export async function clientPython(): Promise<string> {
  const folder = join(cacheRoot(), "test", clientPackages.join("_").replaceAll("=", ""));
  const python = join(folder, "bin", "python");
  const mark = join(folder, "complete");
  if (!existsSync(mark)) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    await run("python3", ["-m", "venv", folder]);
    await run(python, ["-m", "pip", "install", "--quiet", ...clientPackages]);
    writeFileSync(mark, "");
  }
  return python;
}

/** The user's training script, logged in to the MLflow behind a port of this host. */
export async function trackedRun<T>(login: Login, port: number, ...args: string[]): Promise<T> {
  const result = await run(await clientPython(), [join(root, "test/e2e/fixtures/tracked_run.py"), ...args], {
    env: {
      MLFLOW_TRACKING_URI: `http://127.0.0.1:${port}`,
      MLFLOW_TRACKING_USERNAME: login.username,
      MLFLOW_TRACKING_PASSWORD: login.password,
      MLFLOW_DISABLE_TELEMETRY: "true",
    },
  });
  return JSON.parse(result.stdout.trim().split("\n").at(-1) ?? "") as T;
}

/** SIGKILL to the process and all its descendants, as the end of a terminal or a full memory does it. */
export function killTree(pid: number): void {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // The process ended while we looked.
    }
  }
  const tree = [pid];
  for (const member of tree)
    tree.push(...[...parents].filter(([, parent]) => parent === member).map(([child]) => child));
  for (const member of tree) {
    try {
      process.kill(member, "SIGKILL");
    } catch {
      // Gone already.
    }
  }
}

/** Asks until the answer is yes; the last answer is in the error when time is up. */
export async function eventually(what: string, seconds: number, ask: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + seconds * 1000;
  let last: unknown;
  while (Date.now() < end) {
    try {
      if (await ask()) return;
      last = "no";
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error(`${what}: not within ${seconds} s; last: ${String(last)}`);
}
