import { type ChildProcess, spawn } from "node:child_process";
import { CommandError } from "./commandError";
import { interruptible } from "./interrupt";
import { type ClusterSession, findBundleProgram, withKubeconfig } from "./kubeconfig";
import { printProgress } from "./prepare";

/** Longest time one request to the cluster may take. */
const REQUEST_SECONDS = 30;

/** What kubectl said when it failed. */
export class KubectlError extends Error {
  /** Without the lines of kubectl's own log. */
  readonly stderr: string;

  constructor(
    readonly args: readonly string[],
    readonly exitCode: number,
    stderr: string,
  ) {
    const said = stderr.replace(/^[EWI]\d{4} .*\n/gm, "").trim() || stderr.trim();
    super(`kubectl ${args.slice(0, 4).join(" ")} failed: ${said || `exit code ${exitCode} and no message`}`);
    this.name = "KubectlError";
    this.stderr = said;
  }

  /** The API server has no such object. */
  get isNotFound(): boolean {
    return /\(NotFound\)/.test(this.stderr);
  }

  /** The API server knows no such kind of object: its definition was never installed. */
  get isUnknownKind(): boolean {
    return /doesn't have a resource type|no matches for kind/.test(this.stderr);
  }

  /** Somebody else changed the object in between, so nothing was written. */
  get isConflict(): boolean {
    return /\(Conflict\)|\(Invalid\).*test|testing path|rejected our request/.test(this.stderr);
  }

  /** The cluster did not answer, or not in time: asking again may work. */
  get isUnreachable(): boolean {
    return /connection refused|no route to host|i\/o timeout|timed out|was refused|Unable to connect|TLS handshake|connection reset|EOF$|etcdserver|ServiceUnavailable|currently unable to handle|context deadline/m.test(
      this.stderr,
    );
  }
}

/** Runs kubectl with an environment's credentials. An interface, so that tests can answer instead. */
export interface KubeClient {
  /** @returns what kubectl printed. @throws KubectlError */
  run(args: readonly string[], input?: string): Promise<string>;
  /** Starts a kubectl that goes on until it is killed, such as `port-forward`. */
  start(args: readonly string[]): ChildProcess;
}

/** @returns the objects of a list, or the object itself. @throws KubectlError */
export async function getJson<T>(client: KubeClient, ...args: string[]): Promise<T> {
  return JSON.parse(await client.run(["get", ...args, "--output", "json"])) as T;
}

/** Like `getJson`; `undefined` when there is no such object, or no such kind of object. */
export async function findJson<T>(client: KubeClient, ...args: string[]): Promise<T | undefined> {
  try {
    return await getJson<T>(client, ...args);
  } catch (error) {
    if (error instanceof KubectlError && (error.isNotFound || error.isUnknownKind)) {
      return undefined;
    }
    throw error;
  }
}

/**
 * Makes an object exactly as given; nothing that exists is changed.
 *
 * @returns the object as the API server has it, with its generated name
 */
export async function createObject<T>(client: KubeClient, object: object): Promise<T> {
  const answer = await client.run(["create", "--filename", "-", "--output", "json"], JSON.stringify(object));
  return JSON.parse(answer) as T;
}

/** A cluster a command works on. */
export interface OpenCluster extends ClusterSession {
  readonly client: KubeClient;
  /** Ctrl-C; see `pause`. */
  readonly signal: AbortSignal;
}

/**
 * Does something with an environment's cluster, and says what is wrong in the words of this tool when it cannot be reached.
 *
 * @throws CommandError
 */
export async function withCluster<T>(stack: string, work: (cluster: OpenCluster) => Promise<T>): Promise<T> {
  return await withKubeconfig(stack, async (session) => {
    const client = new KubectlClient(findBundleProgram("kubectl"), session.kubeconfig);
    try {
      return await interruptible((signal) => work({ ...session, client, signal }));
    } catch (error) {
      throw error instanceof KubectlError ? explainKubectl(error, stack) : error;
    }
  });
}

/** The next step for what kubectl says. */
export function explainKubectl(error: KubectlError, stack: string): CommandError {
  const argument = stack === "local" ? "" : ` -- ${stack}`;
  if (error.isUnreachable) {
    return new CommandError(
      `The cluster of "${stack}" does not answer: ${error.stderr}\n  next: npm run up${argument} starts what has stopped`,
    );
  }
  if (error.isUnknownKind) {
    return new CommandError(
      `The environment "${stack}" has no delivery: ${error.stderr}\n  next: npm run up${argument} makes it, unless its settings stop at an earlier layer`,
    );
  }
  return new CommandError(
    `${error.message}\n  next: the same by hand: npm run kubectl -- --stack ${stack} ${error.args.join(" ")}`,
  );
}

/** The real kubectl. */
export class KubectlClient implements KubeClient {
  constructor(
    private readonly program: string,
    private readonly kubeconfig: string,
  ) {}

  run(args: readonly string[], input?: string): Promise<string> {
    const started = Date.now();
    const child = this.spawn(["--request-timeout", `${REQUEST_SECONDS}s`, ...args]);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A kubectl that ends before it has read its input is reported by its exit code.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input ?? "");
    return new Promise((settle, reject) => {
      child.on("error", reject);
      child.on("close", (code) => {
        debug(`kubectl ${args.join(" ")}: ${code} after ${Date.now() - started} ms`);
        if (code === 0) {
          settle(Buffer.concat(stdout).toString());
        } else {
          reject(new KubectlError(args, code ?? 1, Buffer.concat(stderr).toString()));
        }
      });
    });
  }

  start(args: readonly string[]): ChildProcess {
    debug(`kubectl ${args.join(" ")}: started`);
    return this.spawn(args);
  }

  private spawn(args: readonly string[]): ChildProcess {
    return spawn(this.program, [...args], {
      stdio: ["pipe", "pipe", "pipe"],
      // Ctrl-C is this program's to answer: a request is not torn in the middle.
      detached: true,
      env: { ...process.env, KUBECONFIG: this.kubeconfig },
    });
  }
}

/** Lines for who looks for a fault: `GOURMETGRAM_DEBUG=1`. */
export function debug(line: string): void {
  if (process.env["GOURMETGRAM_DEBUG"] === "1") {
    printProgress(`debug: ${line}`);
  }
}
