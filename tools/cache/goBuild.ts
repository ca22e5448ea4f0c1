import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { CachePaths } from "./paths";

/** Result of looking for the Go tool chain. */
export interface GoTool {
  /** The command to run. */
  readonly command: string;
  /** As in `go1.26.8`. */
  readonly version: string;
}

/** The oldest Go that can fetch a newer one by itself where a module asks for it. */
const OLDEST_GO = [1, 21] as const;

/** Finds `go` on PATH (or `$GOURMETGRAM_GO`); undefined when there is none or it is older than 1.21. */
export async function findGo(env: NodeJS.ProcessEnv = process.env): Promise<GoTool | undefined> {
  const command = env.GOURMETGRAM_GO || "go";
  const version = await runGo({ command, version: "" }, ["env", "GOVERSION"], { env }).catch(() => undefined);
  const numbers = /^go(\d+)\.(\d+)/.exec(version?.trim() ?? "");
  if (!version || !numbers) return undefined;
  const [major, minor] = [Number(numbers[1]), Number(numbers[2])];
  return major > OLDEST_GO[0] || minor >= OLDEST_GO[1] ? { command, version: version.trim() } : undefined;
}

/** Environment of every Go command: caches inside ours, nothing of the user's workspace, checksums verified. */
export function goEnvironment(paths: CachePaths, env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return {
    ...env,
    GOCACHE: paths.goCache,
    GOMODCACHE: paths.goModCache,
    GOWORK: "off",
    // Files of the module cache are read-only by default, which makes dropping it awkward.
    GOFLAGS: "-modcacherw -buildvcs=false",
  };
}

interface RunGoOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Called with each line on standard error. */
  readonly onLine?: (line: string) => void;
}

/**
 * Runs `go ...args`, returns standard output.
 *
 * @throws Error with the last lines of standard error; it names a full disk and a killed compiler as such.
 */
function runGo(go: GoTool, args: readonly string[], options: RunGoOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(go.command, args, {
      cwd: options.cwd,
      env: options.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output: Buffer[] = [];
    const tail: string[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    createInterface({ input: child.stderr }).on("line", (line) => {
      tail.push(line);
      if (tail.length > 20) tail.shift();
      options.onLine?.(line);
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(output).toString("utf8"));
      const text = tail.join("\n");
      const ending = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
      reject(
        new Error(`${go.command} ${args[0]} in ${options.cwd ?? "."} ${ending}${causeOf(text)}\n${text}`),
      );
    });
  });
}

function causeOf(text: string): string {
  if (/no space left on device/i.test(text)) return ": the disk is full";
  if (/signal: killed|cannot allocate memory/i.test(text)) return ": the machine ran out of memory";
  return "";
}

export interface GoBuildOptions {
  /** Folder with the go.mod to build in. */
  readonly moduleFolder: string;
  /** Import path or `./folder` of the main package. */
  readonly package: string;
  /** Where the executable goes. */
  readonly output: string;
  /** Values set by the linker: `import/path.Variable` to text. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Link against the system's C library. @default false */
  readonly cgo?: boolean;
  readonly tags?: readonly string[];
  /** Extra arguments, such as `-mod=vendor`. */
  readonly flags?: readonly string[];
  /** Packages compiled so far and in all; those already in the compiler's cache count as done at the end only. */
  readonly onPackage?: (done: number, total: number) => void;
}

/** `go build` of one executable: stripped, without paths of this machine, static unless `cgo`. */
export async function goBuild(go: GoTool, paths: CachePaths, options: GoBuildOptions): Promise<void> {
  const env = { ...goEnvironment(paths), CGO_ENABLED: options.cgo ? "1" : "0" };
  const cwd = options.moduleFolder;
  const selection = [
    ...(options.tags?.length ? [`-tags=${options.tags.join(",")}`] : []),
    ...(options.flags ?? []),
  ];
  const variables = Object.entries(options.variables ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  await mkdir(paths.goCache, { recursive: true });
  await mkdir(paths.goModCache, { recursive: true });

  const listed = await runGo(go, ["list", "-deps", ...selection, options.package], { cwd, env });
  const total = listed.trimEnd().split("\n").length;
  let done = 0;
  await runGo(
    go,
    [
      "build",
      "-v",
      "-trimpath",
      `-ldflags=${["-s", "-w", ...variables].join(" ")}`,
      ...selection,
      "-o",
      options.output,
      options.package,
    ],
    {
      cwd,
      env,
      // `-v` prints one import path for each package compiled, besides lines about downloads.
      onLine: (line) => {
        if (/^[\w./~-]+$/.test(line)) options.onPackage?.(Math.min(++done, total), total);
      },
    },
  );
}
