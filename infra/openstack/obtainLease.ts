import { nearest } from "../../components/nearest";
import { type Flavor, listFlavors } from "./api/compute";
import {
  createLease,
  deleteLease,
  extendLease,
  instanceReservation,
  isLive,
  isPassing,
  type Lease,
  type LeaseRequest,
  listLeases,
  parseLeaseDate,
  readLeaseById,
  requestedFlavor,
} from "./api/reservation";
import { ApiError, type Session } from "./api/session";

/** Blazar looks for what has to start every ten seconds; Chameleon's bare metal takes minutes. */
const START_TIMEOUT_MS = 900_000;

const PAUSE_MS = 1000;

/** Blazar writes whole seconds when a lease was made; leases of the same second are told apart only after it. */
const ORDER_MS = 1500;

/** How often a lease is asked for when blazar fails. */
const ATTEMPTS = 3;

const HOUR_MS = 3_600_000;

/** Ends are whole minutes, so a wish may miss the end by nearly one. */
const MINUTE_MS = 60_000;

export interface LeaseWish {
  readonly name: string;
  /** Name or id. */
  readonly flavor: string;
  readonly amount: number;
  /** From its start. */
  readonly hours: number;
}

/** What to do about the leases that bear the wanted name. */
export type LeaseDecision =
  | { readonly action: "take"; readonly lease: Lease }
  /** Ended and failed ones are in the way of nobody, but only confuse. */
  | { readonly action: "create"; readonly remove: readonly Lease[] }
  | { readonly action: "refuse"; readonly lease: Lease };

/**
 * Exported for tests. Leases' names are not unique for blazar; of several live ones the eldest is the environment's, so that all
 * who look take the same.
 */
export function decideLease(leases: readonly Lease[], request: LeaseRequest): LeaseDecision {
  const named = leases.filter(({ name }) => name === request.name);
  const live = eldestFirst(named.filter(isLive));
  const fitting = live.find((lease) => {
    const reservation = instanceReservation(lease);
    return (
      reservation !== undefined &&
      (reservation.amount ?? 0) >= request.amount &&
      requestedFlavor(reservation).id === request.flavorId
    );
  });
  if (fitting !== undefined) return { action: "take", lease: fitting };
  if (live[0] !== undefined) return { action: "refuse", lease: live[0] };
  return { action: "create", remove: named.filter((lease) => !isPassing(lease)) };
}

/**
 * The lease of that name, ACTIVE: one that is there already and fits, or a new one. Safe to call at the same time from several
 * processes and again after a kill.
 *
 * @param onProgress told what is waited for
 * @throws Error that names what cannot be had; what was asked for here is gone again then
 */
export async function obtainLease(
  session: Session,
  wish: LeaseWish,
  onProgress: (message: string) => void,
): Promise<Lease> {
  const flavor = await findFlavor(session, wish.flavor);
  for (let attempt = 1; ; attempt += 1) {
    const until = new Date(Date.now() + wish.hours * HOUR_MS);
    const request: LeaseRequest = { name: wish.name, flavorId: flavor.id, amount: wish.amount, until };
    const decision = decideLease(await listLeases(session), request);
    if (decision.action === "refuse") throw new Error(refusal(decision.lease, wish));
    if (decision.action === "take") {
      onProgress(`taking over the lease that is ${decision.lease.status}`);
      const lease = await waitUntilActive(session, decision.lease, onProgress);
      return await reachEnd(session, lease, wish.hours);
    }
    await Promise.all(decision.remove.map(({ id }) => deleteLease(session, id)));
    onProgress(`asking for ${wish.amount} x ${flavor.name}`);
    const asked = await ask(session, request, wish, attempt < ATTEMPTS);
    if (asked === undefined) continue;
    try {
      const lease = await eldestOf(session, asked, request);
      return await waitUntilActive(session, lease, onProgress);
    } catch (error) {
      await deleteLease(session, asked.id).catch(() => undefined);
      throw error;
    }
  }
}

/** The end the lease gets by `hours`, or `undefined` when it ends no sooner than that already. */
export function laterEnd(lease: Lease, hours: number): Date | undefined {
  const wanted = new Date(parseLeaseDate(lease.start_date).getTime() + hours * HOUR_MS);
  return wanted.getTime() - parseLeaseDate(lease.end_date).getTime() >= MINUTE_MS ? wanted : undefined;
}

/** Extends the lease to its start and `hours`, if it ends before. Never shortens. */
export async function reachEnd(session: Session, lease: Lease, hours: number): Promise<Lease> {
  const end = laterEnd(lease, hours);
  return end === undefined ? lease : await extendLease(session, lease, end);
}

/** @throws Error with the flavors there are */
async function findFlavor(session: Session, nameOrId: string): Promise<Flavor> {
  const flavors = await listFlavors(session);
  const found = flavors.find(({ id, name }) => id === nameOrId || name === nameOrId);
  if (found !== undefined) return found;
  const names = flavors.map(({ name }) => name);
  const meant = nearest(nameOrId, names);
  const hint = meant === undefined ? `there are ${names.sort().join(", ")}` : `did you mean ${meant}?`;
  throw new Error(`The project has no flavor ${nameOrId}; ${hint}`);
}

/**
 * @returns undefined when it failed and has to be looked again: another process may have got the lease, and its capacity with it, or
 * blazar stumbled over two requests at a time
 */
async function ask(
  session: Session,
  request: LeaseRequest,
  wish: LeaseWish,
  mayRepeat: boolean,
): Promise<Lease | undefined> {
  try {
    return await createLease(session, request);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    await pause(ORDER_MS);
    if (decideLease(await listLeases(session), request).action === "take") return undefined;
    const full = /not enough/i.test(error.reason);
    // Blazar says 500 for both; without an answer nobody knows whether it was made.
    const passing = !full && (error.status === 0 || error.status >= 500);
    if (passing && mayRepeat) return undefined;
    const what = `${wish.amount} x ${wish.flavor} for ${wish.hours} hours`;
    throw new Error(
      full
        ? `There is no capacity for ${what}: ${error.reason}. Take fewer instances, another flavor or fewer hours, or try later.`
        : `The lease ${request.name} (${what}) is refused: ${error.reason}`,
    );
  }
}

/** Of leases made at the same moment by several processes, all take the eldest and each removes its own. */
async function eldestOf(session: Session, own: Lease, request: LeaseRequest): Promise<Lease> {
  await pause(ORDER_MS);
  const decision = decideLease(await listLeases(session), request);
  if (decision.action !== "take" || decision.lease.id === own.id) return own;
  await deleteLease(session, own.id);
  return decision.lease;
}

async function waitUntilActive(
  session: Session,
  lease: Lease,
  onProgress: (message: string) => void,
): Promise<Lease> {
  const began = Date.now();
  for (;;) {
    const current = await readLeaseById(session, lease.id);
    if (current === undefined) throw new Error(`The lease ${lease.name} vanished while it was waited for.`);
    if (current.status === "ACTIVE") return current;
    if (!isLive(current)) {
      const failed = current.reservations.filter(({ status }) => status === "error").length;
      const detail = failed > 0 ? `: ${failed} of its reservations failed` : "";
      throw new Error(
        `The lease ${lease.name} is ${current.status}${detail}. Try again, or ask the site's operators.`,
      );
    }
    const waited = Date.now() - began;
    if (waited > START_TIMEOUT_MS) {
      throw new Error(
        `The lease ${lease.name} is still ${current.status} after ${START_TIMEOUT_MS / MINUTE_MS} minutes; it starts at ${current.start_date} UTC.`,
      );
    }
    onProgress(`${current.status}, ${Math.round(waited / 1000)} s`);
    await pause(PAUSE_MS);
  }
}

function refusal(lease: Lease, wish: LeaseWish): string {
  const reservation = instanceReservation(lease);
  const { name, id } = reservation === undefined ? {} : requestedFlavor(reservation);
  const has =
    reservation === undefined ? "no instances" : `${reservation.amount} x ${name ?? id ?? "another flavor"}`;
  return `A lease ${wish.name} exists already and is ${lease.status}, with ${has} in place of ${wish.amount} x ${wish.flavor}. Remove it (npm run audit shows it), or give the environment another name.`;
}

function eldestFirst(leases: readonly Lease[]): Lease[] {
  const key = ({ created_at, id }: Lease) => `${created_at ?? ""} ${id}`;
  return [...leases].sort((left, right) => (key(left) < key(right) ? -1 : 1));
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, milliseconds));
}
