import { cachePaths } from "../cache/paths";
import { ensureArtifacts, ensureBundle, verifyBundle } from "./bundle";
import { pruneStore } from "./clean";
import { planBundle } from "./plan";
import { formatEvent, formatSeconds } from "./progress";
import { pruneOld } from "./prune";

const usage = `Makes everything that machines need, from official downloads or from source.

usage: bundle [--only NAME]... [--list] [--verify] [--prune] [--no-machine]
  --only NAME    make these artifacts of the table (stacks/pins.ts) and what they are made of
  --list         show what is missing and what making it would take, and make nothing
  --verify       read every byte of the finished bundle and compare it with its checksums
  --prune        remove parts, bundles and machine images that are neither current nor in use
  --no-machine   leave out the image of local machines
`;

/** What the arguments ask for. Throws on an unknown one. */
export function parseArguments(argv: readonly string[]): {
  readonly only: readonly string[];
  readonly list: boolean;
  readonly verify: boolean;
  readonly prune: boolean;
  readonly machine: boolean;
  readonly help: boolean;
} {
  const only: string[] = [];
  const flags = new Set<string>();
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at] as string;
    if (argument === "--only") {
      const name = argv[++at];
      if (name === undefined) throw new Error("--only needs the name of an artifact");
      only.push(name);
    } else if (["--list", "--verify", "--prune", "--no-machine", "--help"].includes(argument))
      flags.add(argument);
    else throw new Error(`unknown argument ${JSON.stringify(argument)}\n${usage}`);
  }
  return {
    only,
    list: flags.has("--list"),
    verify: flags.has("--verify"),
    prune: flags.has("--prune"),
    machine: !flags.has("--no-machine"),
    help: flags.has("--help"),
  };
}

/** The command. Gives the exit status. */
export async function runBundle(argv: readonly string[], print: (line: string) => void): Promise<number> {
  const wanted = parseArguments(argv);
  if (wanted.help) {
    print(usage);
    return 0;
  }
  const started = Date.now();
  const options = {
    report: (event: Parameters<typeof formatEvent>[0]) => print(formatEvent(event)),
    machine: wanted.machine,
  };
  if (wanted.list) {
    const plan = await planBundle({ machine: wanted.machine });
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
    for (const name of plan.missing) print(name);
    print(
      plan.missing.length === 0
        ? "nothing is missing"
        : `${plan.missing.length} missing; from source about ${formatSeconds(plan.seconds)}, up to ${gigabytes(plan.peakBytes)} of disk while building, ` +
            `${gigabytes(plan.stayBytes)} afterwards; ${gigabytes(plan.freeBytes)} are free`,
    );
    return 0;
  }
  if (wanted.only.length > 0) {
    for (const { dir } of await ensureArtifacts(wanted.only, options)) print(dir);
  } else {
    const bundle = await ensureBundle(options);
    print(`bundle:  ${bundle.bundleDir}`);
    if (wanted.machine) print(`machine: ${bundle.machineDir}`);
    if (wanted.prune) {
      await pruneStore(cachePaths());
      const { removed, inUse } = await pruneOld(cachePaths(), [bundle.bundleDir, bundle.machineDir]);
      for (const folder of removed) print(`removed ${folder}`);
      for (const folder of inUse) print(`kept ${folder}: a machine runs on it`);
    }
  }
  if (wanted.verify) {
    const problems = await verifyBundle(undefined, wanted.machine);
    for (const problem of problems) print(`error: ${problem}`);
    if (problems.length > 0) return 1;
    print("every byte is as it was made");
  }
  print(`took ${formatSeconds((Date.now() - started) / 1000)}`);
  return 0;
}

if (require.main === module) {
  runBundle(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`)).then(
    (status) => {
      process.exitCode = status;
    },
    (error: Error) => {
      process.stderr.write(`error: ${error.message}\n`);
      process.exitCode = 1;
    },
  );
}
