#!/usr/bin/env node
// What every npm script calls: makes node_modules and build/ right, then starts the command.
// Node's own modules only, because on a fresh clone there is nothing else yet.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const LEAST_NODE_MAJOR = 20;

/** Folders with TypeScript sources, as in tsconfig.json. */
const SOURCE_FOLDERS = ["stacks", "infra", "k8s", "workflows", "components", "tools", "test"];

/** Files besides sources that decide what the compiler makes of them. */
const COMPILER_INPUTS = ["tsconfig.json", "package-lock.json", "vitest.config.mts"];

/** Commands of the command line tool in tools/cli. */
const CLI_COMMANDS = [
  "up",
  "preview",
  "destroy",
  "refresh",
  "outputs",
  "doctor",
  "kubectl",
  "argo",
  "access",
  "tunnel",
  "ledger",
  "train",
  "promote",
  "approve",
  "reject",
  "revert",
  "freeze",
  "unfreeze",
  "scenario",
  "bundle",
  "toolchain",
  "leftovers",
  "audit",
  "lease",
  "bench",
];

/** Test layers that need no machines, and those quick enough for every edit. */
const TEST_PROJECTS = ["unit", "graph", "golden", "preview"];
const FAST_PROJECTS = ["unit", "graph", "golden"];

/** A step that takes longer than this tells so, then again every `REPEAT_MS`. */
const QUIET_MS = 2000;
const REPEAT_MS = 10_000;

/** What is wrong with this Node version, or undefined. */
export function nodeProblem(version) {
  const major = Number(version.replace(/^v/, "").split(".")[0]);
  return major >= LEAST_NODE_MAJOR
    ? undefined
    : `Node ${version} is too old: Node ${LEAST_NODE_MAJOR} or newer is needed. Next: install it and run the same command again.`;
}

/**
 * True when what npm installed (its node_modules/.package-lock.json) is what package-lock.json asks for.
 * Packages for other platforms are optional and may be absent.
 */
export function installedMatches(lock, installed) {
  const wanted = Object.entries(lock.packages ?? {}).filter(([path]) => path !== "");
  const present = installed.packages ?? {};
  const known = new Set(wanted.map(([path]) => path));
  return (
    wanted.every(([path, entry]) => {
      const found = present[path];
      return found === undefined
        ? entry.optional === true || entry.devOptional === true || entry.peer === true
        : found.version === entry.version && found.integrity === entry.integrity;
    }) && Object.keys(present).every((path) => known.has(path))
  );
}

/** Why `npm ci` must run, or undefined. Costs one hash of package-lock.json when all is well. */
export function installReason(root) {
  const lockText = readFileSync(join(root, "package-lock.json"), "utf8");
  const modules = join(root, "node_modules");
  if (!existsSync(modules)) {
    return "there is no node_modules";
  }
  const marker = installMarker(root);
  const hash = sha256(lockText);
  if (readIfExists(marker) === hash) {
    return undefined;
  }
  const installed = readIfExists(join(modules, ".package-lock.json"));
  if (installed === undefined || !installedMatches(JSON.parse(lockText), JSON.parse(installed))) {
    return "node_modules does not match package-lock.json";
  }
  writeFileSync(marker, hash);
  return undefined;
}

/** Changes when a source file is added, removed or edited: paths, sizes and modification times. */
export function sourceFingerprint(root) {
  const hash = createHash("sha256").update(process.version);
  for (const path of [...COMPILER_INPUTS, ...SOURCE_FOLDERS.flatMap((folder) => listSources(root, folder))]) {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    hash.update(`${path}\0${stat?.size}\0${stat?.mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/** Compiled files whose source is gone: left there, a removed module could still be loaded. */
export function staleOutputs(root) {
  const build = join(root, "build");
  return walk(build)
    .filter((path) => path.endsWith(".js") || path.endsWith(".js.map"))
    .filter((path) => {
      const source = relative(build, path).replace(/\.js(\.map)?$/, ".ts");
      return SOURCE_FOLDERS.includes(source.split("/")[0]) && !existsSync(join(root, source));
    });
}

const LINTS = [
  { name: "lint and format", file: "node_modules/@biomejs/biome/bin/biome", args: ["check", "."] },
  { name: "shell scripts", shellcheck: true },
];

/** What a command comes down to: steps run one after another, the first failure ends it. */
export function planCommand(command, args) {
  const vitest = (projects, ...extra) => ({
    name: `tests: ${projects.join(", ")}`,
    file: "node_modules/vitest/vitest.mjs",
    args: ["run", ...projects.flatMap((project) => ["--project", project]), ...extra, ...args],
  });
  if (CLI_COMMANDS.includes(command)) {
    return { compile: true, cli: [command, ...args], steps: [] };
  }
  switch (command) {
    case "build":
      return { compile: true, steps: [] };
    case "test":
      return { compile: true, steps: [vitest(TEST_PROJECTS)] };
    case "e2e":
      return { compile: true, steps: [vitest(["e2e"])] };
    case "golden":
      return { compile: true, steps: [vitest(["golden"], "--update")] };
    case "testcloud":
      return {
        compile: true,
        steps: [{ name: "test cloud", file: "test/openstack/cloud.sh", bash: true, args }],
      };
    case "mutate":
      return { compile: true, steps: [{ name: "mutations", file: "build/tools/mutate.js", args }] };
    case "lint":
      return { compile: true, steps: LINTS };
    case "check":
      return { compile: true, steps: [...LINTS, vitest(FAST_PROJECTS)] };
    default:
      return undefined;
  }
}

async function main(argv) {
  const problem = nodeProblem(process.version);
  if (problem !== undefined) {
    fail(problem);
  }
  const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
  const [command, ...args] = argv;
  const plan = planCommand(command, args);
  if (plan === undefined) {
    const known = [...CLI_COMMANDS, "build", "test", "e2e", "golden", "mutate", "testcloud", "lint", "check"];
    fail(`Unknown command ${JSON.stringify(command ?? "")}. Known: ${known.join(", ")}. Example: npm run up`);
  }
  await install(root);
  await compile(root);
  if (plan.cli !== undefined) {
    const { main: runCli } = createRequire(import.meta.url)(join(root, "build/tools/cli/main.js"));
    process.exitCode = await runCli(plan.cli);
    return;
  }
  for (const step of plan.steps) {
    const code = await runStep(root, step);
    if (code !== 0) {
      process.exitCode = code;
      return;
    }
  }
}

async function install(root) {
  const reason = installReason(root);
  if (reason === undefined) {
    return;
  }
  const npm = process.env.npm_execpath?.endsWith(".js")
    ? [process.execPath, process.env.npm_execpath]
    : ["npm"];
  await runQuietly(root, `npm ci (${reason})`, [...npm, "ci", "--no-audit", "--no-fund"]);
  writeFileSync(installMarker(root), sha256(readFileSync(join(root, "package-lock.json"), "utf8")));
}

async function compile(root) {
  const marker = join(root, "build", ".sources");
  const fingerprint = sourceFingerprint(root);
  if (readIfExists(marker) === fingerprint) {
    return;
  }
  mkdirSync(dirname(marker), { recursive: true });
  rmSync(marker, { force: true });
  for (const path of staleOutputs(root)) {
    rmSync(path);
  }
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  await runQuietly(root, "compiling", [process.execPath, compiler, "--project", root]);
  writeFileSync(marker, fingerprint);
}

/** Runs a child whose output matters only when it fails; tells how long it takes. Ends this program on failure. */
async function runQuietly(root, name, [file, ...args]) {
  const started = Date.now();
  let lastLine = QUIET_MS - REPEAT_MS;
  const timer = setInterval(() => {
    const elapsed = Date.now() - started;
    if (elapsed - lastLine >= REPEAT_MS) {
      lastLine = elapsed;
      console.error(`[${String(Math.round(elapsed / 1000)).padStart(3)}s] ${name} ...`);
    }
  }, 250);
  const chunks = [];
  const child = spawn(file, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.on("data", (chunk) => chunks.push(chunk));
  child.stderr.on("data", (chunk) => chunks.push(chunk));
  const code = await ended(child);
  clearInterval(timer);
  if (code !== 0) {
    console.error(Buffer.concat(chunks).toString().trimEnd());
    fail(`${name} failed with exit code ${code}; its output is above.`);
  }
}

async function runStep(root, step) {
  if (step.shellcheck) {
    const scripts = SOURCE_FOLDERS.flatMap((folder) => walk(join(root, folder)))
      .filter((path) => path.endsWith(".sh"))
      .map((path) => relative(root, path));
    if (scripts.length === 0 || !onPath("shellcheck")) {
      console.error(
        `${step.name}: not checked, ${scripts.length === 0 ? "there are none" : "shellcheck is not installed"}`,
      );
      return 0;
    }
    return await ended(
      spawn("shellcheck", ["--severity=warning", ...scripts], { cwd: root, stdio: "inherit" }),
    );
  }
  const file = join(root, step.file);
  if (!existsSync(file)) {
    console.error(`${step.name}: ${step.file} does not exist`);
    return 1;
  }
  // Output.toString() then throws instead of giving a text that would pass as a value.
  const env = { ...process.env, PULUMI_ERROR_OUTPUT_STRING: "1" };
  const program = step.bash ? "bash" : process.execPath;
  return await ended(spawn(program, [file, ...step.args], { cwd: root, stdio: "inherit", env }));
}

/** Exit code of a child; 128 + signal number when a signal ended it. Ctrl-C goes to the child, which decides. */
function ended(child) {
  const ignore = () => {};
  process.on("SIGINT", ignore);
  return new Promise((settle) => {
    child.on("error", (error) => {
      console.error(`Cannot start ${child.spawnfile}: ${error.message}`);
      settle(127);
    });
    child.on("close", (code, signal) => {
      process.off("SIGINT", ignore);
      settle(code ?? 128 + (signal === "SIGINT" ? 2 : signal === "SIGKILL" ? 9 : 15));
    });
  });
}

function listSources(root, folder) {
  return walk(join(root, folder))
    .filter((path) => path.endsWith(".ts"))
    .map((path) => relative(root, path))
    .sort();
}

function walk(folder) {
  if (!existsSync(folder)) {
    return [];
  }
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === "node_modules" || entry.name === "plugins") {
      return [];
    }
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}

function onPath(program) {
  return (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, program)));
}

function installMarker(root) {
  return join(root, "node_modules", ".installed-lock");
}

function readIfExists(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(process.argv.slice(2));
}
