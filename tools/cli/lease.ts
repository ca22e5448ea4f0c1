import { Command, InvalidArgumentError } from "commander";
import {
  bestLease,
  extendLease,
  isLive,
  type Lease,
  listLeases,
  parseLeaseDate,
} from "../../infra/openstack/api/reservation";
import { ApiError, type Session } from "../../infra/openstack/api/session";
import { describeDuration, leaseTimeLeft } from "../../infra/openstack/leaseTime";
import { resourceNames } from "../../infra/openstack/spec";
import { openProject } from "./cloudProject";
import { readCloudSettings } from "./cloudSettings";
import { CommandError, ExitCode } from "./commandError";
import { withExamples } from "./examples";
import { printProgress } from "./prepare";
import { DEFAULT_STACK } from "./project";
import { renderTable } from "./table";

const HOUR_MS = 3_600_000;

interface LeaseOptions {
  readonly extend?: number;
  readonly cloud?: string;
}

/** `npm run lease`: how long the instances of an environment may live; extends that in place. */
export function createLeaseCommand(): Command {
  const command = new Command("lease")
    .description("Show the leases of an environment and when they end; extend them in place.")
    .argument("[stack]", "environment", DEFAULT_STACK)
    .option("--extend <hours>", "let each end that many hours later; what runs goes on", parseHours)
    .option("--cloud <name>", "entry of clouds.yaml, whatever the settings say")
    .action(lease);
  return withExamples(command, [
    ["npm run lease -- chameleon", "name, status, end and time left"],
    ["npm run lease -- chameleon --extend 12", "twelve hours more"],
  ]);
}

async function lease(stack: string, options: LeaseOptions): Promise<void> {
  const { cloud, pools } = readCloudSettings(stack, options.cloud);
  const session = await openProject(cloud);
  try {
    const found = leasesOf(stack, pools, await listLeases(session));
    const { extend } = options;
    const leases = extend === undefined ? found : await extendAll(session, stack, found, extend);
    process.stdout.write(`${renderLeases(stack, leases, new Date())}\n`);
  } finally {
    session.close();
  }
}

/** The leases that bear the environment's names, one for each pool that has one. Exported for tests. */
export function leasesOf(stack: string, pools: readonly string[], leases: readonly Lease[]): Lease[] {
  return pools.flatMap((pool) => {
    const name = resourceNames.lease(stack, pool);
    return bestLease(leases.filter((known) => known.name === name)) ?? [];
  });
}

/** A table, or that there is none. Exported for tests. */
export function renderLeases(stack: string, leases: readonly Lease[], now: Date): string {
  if (leases.length === 0) return `"${stack}" has no lease.`;
  const rows = leases.map((found) => [
    found.name,
    found.status,
    parseLeaseDate(found.end_date).toISOString().slice(0, 16).replace("T", " "),
    isLive(found) ? describeDuration(leaseTimeLeft(found, now)) : "-",
  ]);
  return renderTable(["LEASE", "STATUS", "ENDS (UTC)", "LEFT"], rows);
}

async function extendAll(
  session: Session,
  stack: string,
  found: readonly Lease[],
  hours: number,
): Promise<readonly Lease[]> {
  const live = found.filter(isLive);
  if (live.length === 0) {
    throw new CommandError(
      `"${stack}" has no lease that could be extended.\n  next: npm run up -- ${stack} makes one when its settings ask for it`,
      ExitCode.refused,
    );
  }
  return await Promise.all(
    live.map(async (one) => {
      const until = new Date(parseLeaseDate(one.end_date).getTime() + hours * HOUR_MS);
      try {
        const extended = await extendLease(session, one, until);
        printProgress(`Extended ${one.name} by ${hours} h.`);
        return extended;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        throw new CommandError(
          `${one.name} cannot be extended by ${hours} h: ${error.reason}\n  next: try fewer hours; somebody else may have reserved what comes after it`,
        );
      }
    }),
  );
}

function parseHours(text: string): number {
  const hours = Number(text);
  if (!Number.isInteger(hours) || hours < 1)
    throw new InvalidArgumentError("Allowed are whole hours, 1 and more.");
  return hours;
}
