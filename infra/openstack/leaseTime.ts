import type { Problem } from "../../components/problems";
import { type Lease, parseLeaseDate } from "./api/reservation";

const MINUTE_MS = 60_000;

/** Time until the lease ends, milliseconds; negative after it. */
export function leaseTimeLeft(lease: Lease, now: Date): number {
  return parseLeaseDate(lease.end_date).getTime() - now.getTime();
}

/**
 * What is wrong when too little of a lease is left to start something: at its end the site removes the instances, whatever they
 * do then.
 *
 * @param stack environment, for the command that extends
 */
export function checkLeaseTime(
  lease: Lease,
  minimumMinutes: number,
  now: Date,
  stack: string,
): Problem | undefined {
  const left = leaseTimeLeft(lease, now);
  if (left >= minimumMinutes * MINUTE_MS) return undefined;
  return {
    path: `lease ${lease.name}`,
    value: left <= 0 ? "ended" : `${describeDuration(left)} left`,
    problem: `ends at ${lease.end_date.slice(0, 16).replace("T", " ")} UTC, and its instances with it`,
    allowed: `at least ${describeDuration(minimumMinutes * MINUTE_MS)} (infra.pools.*.lease.minimumMinutes)`,
    next: left <= 0 ? `npm run up -- ${stack} makes a new lease` : `npm run lease -- ${stack} --extend 12`,
  };
}

/** `45 min`, `5 h 12 min`, `6 d 3 h` */
export function describeDuration(milliseconds: number): string {
  const minutes = Math.max(0, Math.floor(milliseconds / MINUTE_MS));
  const hours = Math.floor(minutes / 60);
  if (hours === 0) return `${minutes} min`;
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return hours % 24 === 0 ? `${hours / 24} d` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
