import { ApiError, isConflict, isGone, type Session } from "./session";

/** One reservation of a lease. */
export interface Reservation {
  readonly id: string;
  readonly resource_type: string;
  readonly status: string;
  readonly amount?: number;
  /** Flavor that stands for the reservation: the one to make instances with. `flavor:instance` only. */
  readonly flavor_id?: string;
  /** JSON of the flavor that was asked for. `flavor:instance` only. */
  readonly resource_properties?: string | null;
}

/** A lease as blazar gives it. Dates are UTC without a zone. */
export interface Lease {
  readonly id: string;
  readonly name: string;
  /** `PENDING`, `STARTING`, `ACTIVE`, `UPDATING`, `TERMINATING`, `TERMINATED`, `DELETING`, `ERROR`, ... */
  readonly status: string;
  readonly start_date: string;
  readonly end_date: string;
  readonly degraded?: boolean;
  readonly created_at?: string;
  readonly reservations: readonly Reservation[];
}

/** What blazar calls a reservation of instances of one flavor. */
export const FLAVOR_RESERVATION = "flavor:instance";

/** What is asked for by a new lease. */
export interface LeaseRequest {
  readonly name: string;
  readonly flavorId: string;
  readonly amount: number;
  readonly until: Date;
}

/** Between looks at a lease. */
const PAUSE_MS = 1000;

/** Blazar starts and changes leases in seconds, or never. */
const PASSING_TIMEOUT_MS = 300_000;

/** A lease can have hundreds of instances, which blazar removes before it answers. */
const DELETION_TIMEOUT_MS = 180_000;

/** Leases of the project; none where there is no reservation service. */
export async function listLeases(session: Session): Promise<Lease[]> {
  if (!session.offers("reservation")) return [];
  return (await session.request<{ leases: Lease[] }>("reservation", "GET", "/leases")).leases;
}

/** The lease's reservation of instances; undefined when it reserves something else. */
export function instanceReservation(lease: Lease): Reservation | undefined {
  return lease.reservations.find(({ resource_type }) => resource_type === FLAVOR_RESERVATION);
}

/** The flavor that was asked for; empty where blazar does not tell. */
export function requestedFlavor(reservation: Reservation): { readonly id?: string; readonly name?: string } {
  try {
    return JSON.parse(reservation.resource_properties ?? "{}");
  } catch {
    return {};
  }
}

/** A state in which blazar takes no change; another follows by itself. */
const PASSING_STATES: readonly string[] = ["CREATING", "STARTING", "UPDATING", "TERMINATING", "DELETING"];

/** States that hold the reservation, or are on the way there or through a change. */
const LIVE_STATES: readonly string[] = ["CREATING", "PENDING", "STARTING", "ACTIVE", "UPDATING"];

/** True when the lease holds its reservation or will. */
export function isLive(lease: Lease): boolean {
  return LIVE_STATES.includes(lease.status);
}

/** True when the lease is in the middle of something and takes no change. */
export function isPassing(lease: Lease): boolean {
  return PASSING_STATES.includes(lease.status);
}

/** The lease of this name: a live one before an ended one, then the youngest. */
export async function readLease(session: Session, name: string): Promise<Lease | undefined> {
  return bestLease((await listLeases(session)).filter((lease) => lease.name === name));
}

/** `undefined` when it does not exist. */
export async function readLeaseById(session: Session, id: string): Promise<Lease | undefined> {
  try {
    return (await session.request<{ lease: Lease }>("reservation", "GET", `/leases/${id}`)).lease;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Asks for a lease that starts now; it is PENDING then. */
export async function createLease(session: Session, request: LeaseRequest): Promise<Lease> {
  const body = {
    name: request.name,
    start_date: "now",
    end_date: leaseDate(request.until),
    reservations: [
      {
        resource_type: FLAVOR_RESERVATION,
        flavor_id: request.flavorId,
        amount: request.amount,
        affinity: null,
      },
    ],
    events: [],
  };
  return (await session.request<{ lease: Lease }>("reservation", "POST", "/leases", { body })).lease;
}

/** Moves the end of a lease, in place: what runs in it goes on. Waits while the lease is in the middle of something. */
export async function extendLease(session: Session, lease: Lease, until: Date): Promise<Lease> {
  const body = { end_date: leaseDate(until) };
  const deadline = Date.now() + PASSING_TIMEOUT_MS;
  for (;;) {
    await waitWhilePassing(session, lease.id);
    try {
      await session.request("reservation", "PUT", `/leases/${lease.id}`, { body });
      return await waitWhilePassing(session, lease.id);
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error;
    }
    await pause();
  }
}

/** Removes a lease with everything in it and waits until it is gone. Gone already is fine. */
export async function deleteLease(session: Session, id: string): Promise<void> {
  const deadline = Date.now() + DELETION_TIMEOUT_MS;
  for (;;) {
    const lease = await readLeaseById(session, id);
    if (lease === undefined) return;
    if (!isPassing(lease)) {
      try {
        await session.request("reservation", "DELETE", `/leases/${id}`, { timeoutMs: DELETION_TIMEOUT_MS });
      } catch (error) {
        if (!isGone(error) && !isBusy(error)) throw error;
      }
    }
    if (Date.now() > deadline)
      throw new Error(`The lease ${lease.name} was asked to go and is still ${lease.status}.`);
    await pause();
  }
}

/** Blazar just began something with the lease: it says 500 and "Invalid lease status" then. */
function isBusy(error: unknown): boolean {
  return isConflict(error) || (error instanceof ApiError && /invalid lease status/i.test(error.reason));
}

/** @throws Error when the lease is gone, or is in the middle of something for too long */
export async function waitWhilePassing(session: Session, id: string): Promise<Lease> {
  const deadline = Date.now() + PASSING_TIMEOUT_MS;
  for (;;) {
    const lease = await readLeaseById(session, id);
    if (lease === undefined) throw new Error(`The lease ${id} is gone.`);
    if (!isPassing(lease)) return lease;
    if (Date.now() > deadline) {
      throw new Error(
        `The lease ${lease.name} is ${lease.status} for ${PASSING_TIMEOUT_MS / 60_000} minutes.`,
      );
    }
    await pause();
  }
}

/** Exported for tests. */
export function bestLease(leases: readonly Lease[]): Lease | undefined {
  return [...leases].sort(
    (left, right) =>
      Number(isLive(right)) - Number(isLive(left)) || right.end_date.localeCompare(left.end_date),
  )[0];
}

/** A date as blazar takes it: UTC, whole minutes. */
export function leaseDate(date: Date): string {
  return date.toISOString().slice(0, 16).replace("T", " ");
}

/** A date as blazar gives it: `2026-11-21T17:05:00.000000` or with a blank, UTC without a zone. */
export function parseLeaseDate(text: string): Date {
  return new Date(
    `${text
      .replace(" ", "T")
      .replace(/(\.\d{3})\d*$/, "$1")
      .replace(/Z$/, "")}Z`,
  );
}

function pause(): Promise<void> {
  return new Promise((wake) => setTimeout(wake, PAUSE_MS));
}
