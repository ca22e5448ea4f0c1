import { bestLease, instanceReservation, isLive, isPassing, type Lease, leaseDate } from "../api/reservation";
import { checkLeaseTime, describeDuration, leaseTimeLeft } from "../leaseTime";
import { laterEnd } from "../obtainLease";
import { type OpenStackNodeSpec, type OpenStackSpec, resourceNames } from "../spec";
import { usedPools } from "./images";
import { fail, type PreflightRow, pass } from "./row";

/** For each pool with a lease or a reservation: it is there with enough time left, or can be made. */
export function checkLeases(
  environment: string,
  infra: OpenStackSpec,
  nodes: Readonly<Record<string, OpenStackNodeSpec>>,
  leases: readonly Lease[],
  now: Date,
): PreflightRow[] {
  return usedPools(infra, nodes).flatMap(({ name, pool, members }) => {
    const check = `lease of ${name}`;
    if (pool.reservation !== undefined) {
      return [checkReservation(check, name, pool.reservation, members.length, leases, now)];
    }
    if (pool.lease === undefined) return [];
    const wanted = resourceNames.lease(environment, name);
    const lease = bestLease(leases.filter((known) => known.name === wanted));
    // An ended one is replaced by `up`.
    if (lease === undefined || !isLive(lease)) {
      return [pass(check, `to be made: ${members.length} x ${pool.flavor} for ${pool.lease.hours} h`)];
    }
    const found = `${lease.status}, ${describeDuration(leaseTimeLeft(lease, now))} left`;
    const later = laterEnd(lease, pool.lease.hours);
    const then = later === undefined ? lease : { ...lease, end_date: leaseDate(later) };
    const problem = checkLeaseTime(then, pool.lease.minimumMinutes, now, environment);
    if (problem !== undefined) return [fail(check, found, problem)];
    return [pass(check, later === undefined ? found : `${found}, to be extended to ${pool.lease.hours} h`)];
  });
}

/** End of the lease that lasts longest, those to be made included. */
export function lastLeaseEnd(
  environment: string,
  infra: OpenStackSpec,
  leases: readonly Lease[],
  now: Date,
): Date | undefined {
  const ends = Object.entries(infra.pools).flatMap(([name, { lease: wish }]) => {
    if (wish === undefined) return [];
    const lease = bestLease(leases.filter((known) => known.name === resourceNames.lease(environment, name)));
    return lease !== undefined && isLive(lease)
      ? [now.getTime() + leaseTimeLeft(lease, now)]
      : [now.getTime() + wish.hours * 3_600_000];
  });
  return ends.length === 0 ? undefined : new Date(Math.max(...ends));
}

function checkReservation(
  check: string,
  pool: string,
  reservation: string,
  instances: number,
  leases: readonly Lease[],
  now: Date,
): PreflightRow {
  const lease = leases.find(({ reservations }) =>
    reservations.some(({ id, flavor_id }) => id === reservation || flavor_id === reservation),
  );
  const bad = (found: string, problem: string, next: string) =>
    fail(check, found, { path: `infra.pools.${pool}.reservation`, value: reservation, problem, next });
  const makeOne =
    "make a lease at the site's dashboard and put its reservation's id here, or use `lease` in place of it";
  if (lease === undefined) return bad("does not exist", "is no reservation of this project", makeOne);
  const left = leaseTimeLeft(lease, now);
  if (lease.status !== "ACTIVE" && !isPassing(lease)) {
    return bad(lease.status, `belongs to the lease ${lease.name}, which is ${lease.status}`, makeOne);
  }
  const amount = instanceReservation(lease)?.amount ?? instances;
  if (amount < instances) {
    return bad(
      `${amount} of ${instances} instances`,
      `is for ${amount} instances, the pool has ${instances} nodes`,
      "have fewer nodes in this pool, or reserve more",
    );
  }
  return pass(check, `${lease.name}, ${lease.status}, ${describeDuration(left)} left`);
}
