import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CLOUDS_FILE_VARIABLE } from "../../infra/openstack/api/foreignVariables";
import { ALWAYS_OPEN } from "../../infra/openstack/spec";
import { publicPorts } from "../../stacks/spec";
import { cacheRoot } from "../cache/paths";
import { BenchProject } from "./benchProject";
import { runCycles } from "./killCycles";
import { OwnEnvironment } from "./ownEnvironment";
import { unlike } from "./projectThings";
import { type Measurement, median, missesBar, renderTable } from "./table";
import { ensureTofu } from "./tofu";
import { TofuEnvironment } from "./tofuEnvironment";

const OURS = "bench-os";
const THEIRS = "bench-tofu";
const LARGE = "bench-large";
const NODES = 3;
/** The default one, and the smallest of the test cloud that a control plane fits in. */
const FLAVOR = "m1.medium";
/** That of our engine, see tools/cli/engine.ts. */
const PARALLEL = 32;
/** Room for 50 nodes besides what is there. */
const LIMITS = {
  compute: { instances: 100, cores: 200, ram: 400_000 },
  network: { port: 300, floatingip: 10, security_group_rule: 600 },
};
/** A preview is short: several of each in a run. */
const PREVIEWS = 3;

/** What `npm run bench -- openstack` was asked for. */
export interface Request {
  readonly runs: number;
  /** Nodes of the large environment; 0 leaves that part out. */
  readonly nodes: number;
  /** 0: measure; else so many cycles of killed runs and nothing else. */
  readonly cycles: number;
  readonly seed: number;
}

/** @throws Error naming the argument that is wrong */
export function parseRequest(args: readonly string[]): Request {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { nodes: { type: "string" }, cycles: { type: "string" }, seed: { type: "string" } },
  });
  return {
    runs: wholeNumber("runs", positionals[0] ?? "3", 1),
    nodes: wholeNumber("--nodes", values.nodes ?? "50", 0),
    cycles: wholeNumber("--cycles", values.cycles ?? "0", 0),
    seed: wholeNumber("--seed", values.seed ?? "1", 0),
  };
}

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least) {
    throw new Error(`${name} = ${text}: a whole number from ${least} on`);
  }
  return value;
}

/** Two that are measured in turn: the noise of a busy machine hits both alike, and neither is always the first. */
interface Pair {
  readonly ours: number[];
  readonly theirs: number[];
}

async function inTurn(
  pair: Pair,
  what: string,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
): Promise<void> {
  const sides = [
    { values: pair.ours, run: ours },
    { values: pair.theirs, run: theirs },
  ];
  if (pair.ours.length % 2 === 1) sides.reverse();
  for (const { values, run } of sides) values.push(await run());
  print(`${what}: ours ${pair.ours.at(-1)?.toFixed(1)} s, the other ${pair.theirs.at(-1)?.toFixed(1)} s`);
}

function rowsOf(names: readonly [string, string], { ours, theirs }: Pair, bar?: number): Measurement[] {
  const ratio = { what: "    ratio", values: [median(ours) / median(theirs)], unit: "x" };
  return [
    { what: names[0], values: ours, unit: "s" },
    { what: names[1], values: theirs, unit: "s" },
    bar === undefined ? ratio : { ...ratio, bar },
  ];
}

/** The same network, ports, groups, instances and address by our command and by OpenTofu. */
async function compareEngines(runs: number, project: BenchProject): Promise<Measurement[]> {
  const tofu = await ensureTofu(({ message }) => print(message));
  const ours = new OwnEnvironment(OURS, NODES, FLAVOR);
  const theirs = new TofuEnvironment(tofu, {
    environment: THEIRS,
    spec: ours.spec.infra,
    nodes: ours.spec.nodes,
    ports: [...ALWAYS_OPEN, ...publicPorts(ours.spec)],
    parallel: PARALLEL,
  });
  const [up, preview, again, destroy] = [pair(), pair(), pair(), pair()];
  const clear = async () => {
    await ours.destroy();
    await project.clear(OURS, ours.known);
    await project.clear(THEIRS, ours.known);
  };
  try {
    await clear();
    for (let run = 1; run <= runs; run++) {
      const of = `run ${run} of ${runs}`;
      await inTurn(
        up,
        `${of}, up`,
        () => ours.up(),
        () => theirs.apply(),
      );
      await checkAlike(project, ours);
      for (let index = 0; index < PREVIEWS; index++) {
        await inTurn(
          preview,
          `${of}, no-op preview`,
          () => ours.previewWithoutChanges(),
          () => theirs.planWithoutChanges(),
        );
      }
      await inTurn(
        again,
        `${of}, no-op up`,
        () => ours.up(),
        () => theirs.apply(),
      );
      await inTurn(
        destroy,
        `${of}, destroy`,
        () => ours.destroy(),
        () => theirs.destroy(),
      );
    }
  } finally {
    await clear().catch((error: Error) => print(error.message));
    ours.removeSettings();
    theirs.removeFolder();
  }
  return [
    ...rowsOf([`(a) up, ${NODES} nodes`, "    tofu apply"], up, 1.2),
    ...rowsOf(["    no-op preview", "    tofu plan, which reads every resource"], preview, 1),
    ...rowsOf(["    no-op up", "    tofu apply without changes"], again),
    ...rowsOf(["    destroy, and the look at what is left", "    tofu destroy"], destroy, 1.2),
  ];
}

/** Different work would make the comparison worthless. */
async function checkAlike(project: BenchProject, { known }: OwnEnvironment): Promise<void> {
  const [ours, theirs] = await Promise.all([project.made(OURS, known), project.made(THEIRS, known)]);
  const different = unlike(ours, theirs);
  if (different.length > 0) throw new Error(`Ours is not what OpenTofu made:\n${different.join("\n")}`);
}

/** Previews of a small and a large environment that exist, in turn. */
async function comparePreviews(runs: number, nodes: number, project: BenchProject): Promise<Measurement[]> {
  const small = new OwnEnvironment(OURS, NODES, FLAVOR);
  const large = new OwnEnvironment(LARGE, nodes, FLAVOR);
  const seconds = pair();
  const clear = async () => {
    for (const environment of [small, large]) await environment.destroy();
  };
  try {
    await clear();
    print(`${nodes} nodes are made: ${(await large.up()).toFixed(1)} s`);
    await small.up();
    for (let index = 0; index < runs * PREVIEWS; index++) {
      await inTurn(
        seconds,
        `no-op preview of ${NODES} and of ${nodes} nodes`,
        () => small.previewWithoutChanges(),
        () => large.previewWithoutChanges(),
      );
    }
  } finally {
    await clear().catch((error: Error) => print(error.message));
    for (const environment of [small, large]) {
      await project.clear(environment.name, environment.known);
      environment.removeSettings();
    }
  }
  const perNode = [seconds.ours.map((value) => value / NODES), seconds.theirs.map((value) => value / nodes)];
  return [
    { what: `(b) no-op preview, ${nodes} nodes`, values: seconds.theirs, unit: "s" },
    { what: `    per node, ${nodes} nodes`, values: perNode[1] as number[], unit: "s" },
    { what: `    per node, ${NODES} nodes`, values: perNode[0] as number[], unit: "s" },
    {
      what: "    ratio",
      values: [median(perNode[1] as number[]) / median(perNode[0] as number[])],
      unit: "x",
      bar: 1,
    },
  ];
}

async function cycle({ cycles, seed }: Request, project: BenchProject): Promise<boolean> {
  const environment = new OwnEnvironment(OURS, NODES, FLAVOR);
  try {
    await environment.destroy();
    await project.clear(OURS, environment.known);
    return (await runCycles({ environment, project, cycles, seed, print })) === cycles;
  } finally {
    await environment.destroy().catch((error: Error) => print(error.message));
    environment.removeSettings();
  }
}

function pair(): Pair {
  return { ours: [], theirs: [] };
}

function print(line: string): void {
  process.stderr.write(`${line}
`);
}

async function main(): Promise<void> {
  const request = parseRequest(process.argv.slice(2));
  useTestCloud();
  // The commands that run get Ctrl-C too and end in good order; what is there is removed after them.
  process.on("SIGINT", () => {});
  const project = await BenchProject.open();
  try {
    await project.makeImage();
    if (request.cycles > 0) {
      if (!(await cycle(request, project))) process.exitCode = 1;
      return;
    }
    const rows = await compareEngines(request.runs, project);
    if (request.nodes > 0) {
      const work = () => comparePreviews(request.runs, request.nodes, project);
      rows.push(...(await project.withLimits(LIMITS, work)));
    }
    process.stdout.write(`${renderTable(rows)}\n`);
    if (rows.some(missesBar)) process.exitCode = 1;
  } finally {
    await project.removeImage();
    project.close();
  }
}

/** Where the commands find the clouds: what the shell says, else the test cloud. @throws Error when there is none */
function useTestCloud(): void {
  const file = process.env[CLOUDS_FILE_VARIABLE] ?? join(cacheRoot(), "testcloud", "clouds.yaml");
  if (!existsSync(file)) {
    throw new Error(`There is no ${file}. Next: test/openstack/cloud.sh up, see test/openstack/README.md`);
  }
  process.env[CLOUDS_FILE_VARIABLE] = file;
}

if (require.main === module) {
  main().catch((error: Error) => {
    print(error.message);
    process.exitCode = 1;
  });
}
