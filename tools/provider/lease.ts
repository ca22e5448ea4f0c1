import {
  deleteLease,
  instanceReservation,
  isLive,
  type Lease,
  parseLeaseDate,
  readLeaseById,
  waitWhilePassing,
} from "../../infra/openstack/api/reservation";
import { obtainLease, reachEnd } from "../../infra/openstack/obtainLease";
import { sessionOf } from "./openstackSession";
import type { Drift, Properties, ResourceKind } from "./resourceKind";

/** The longest lease any site gives; Chameleon gives seven days. */
const MAX_HOURS = 24 * 366;

/** `gourmetgram:openstack:Lease`: compute time reserved in advance, by name, extended in place. */
export const lease: ResourceKind = {
  fields: {
    cloud: { type: "string", onChange: "update" },
    name: { type: "string", onChange: "replace" },
    flavor: { type: "string", onChange: "replace" },
    amount: {
      type: "integer",
      // Blazar takes another number only with nothing running; what is reserved and not used is no reason to end what runs.
      onChange: (reserved: number, wanted: number) => (wanted > reserved ? "replace" : "keep"),
      check: (amount: number) => (amount >= 1 ? undefined : `is ${amount}; allowed are 1 and more`),
    },
    hours: {
      type: "integer",
      onChange: "update",
      check: (hours: number) =>
        hours >= 1 && hours <= MAX_HOURS ? undefined : `is ${hours}; allowed are 1 to ${MAX_HOURS} hours`,
    },
  },
  outputs: ["leaseId", "reservationId", "flavorId", "startsAt", "endsAt", "status"],
  renewedByUpdate: ["endsAt"],
  secretOutputs: [],
  // A lease is found by its name.
  deleteBeforeReplace: true,

  async create(inputs, context) {
    const session = await sessionOf(inputs.cloud as string);
    const made = await obtainLease(
      session,
      {
        name: inputs.name as string,
        flavor: inputs.flavor as string,
        amount: inputs.amount as number,
        hours: inputs.hours as number,
      },
      context.progress,
    );
    return { id: made.id, outputs: outputsOf(made) };
  },

  async drift(state) {
    const session = await sessionOf(state.cloud as string);
    return leaseDrift(state, await readLeaseById(session, state.leaseId as string));
  },

  async read(state) {
    const session = await sessionOf(state.cloud as string);
    const found = await readLeaseById(session, state.leaseId as string);
    // An ended lease has taken its instances along; whoever refreshes wants it out of the state.
    if (found === undefined || found.status === "TERMINATED") return undefined;
    return { ...state, ...outputsOf(found) };
  },

  async update(state, inputs, context) {
    const session = await sessionOf(inputs.cloud as string);
    context.progress("waiting until it takes changes");
    const before = await waitWhilePassing(session, state.leaseId as string);
    const hours = inputs.hours as number;
    const after = await reachEnd(session, before, hours);
    const end = describeEnd(after);
    context.info(
      after.end_date === before.end_date
        ? `The lease ${state.name} stays until ${end}: ${hours} hours from its start are no later, and a lease is never shortened.`
        : `The lease ${state.name} was extended to ${end}.`,
    );
    return outputsOf(after);
  },

  async delete(state) {
    await deleteLease(await sessionOf(state.cloud as string), state.leaseId as string);
  },
};

/** What differs between the state and the lease. Exported for tests. */
export function leaseDrift(state: Properties, found: Lease | undefined): Drift[] {
  const replaced = (reason: string): Drift[] => [{ property: "status", action: "replace", reason }];
  if (found === undefined) {
    return replaced(
      `The lease ${state.name} is gone from the project; a new one is made, with new instances.`,
    );
  }
  if (found.status === "TERMINATED") {
    return replaced(
      `The lease ${state.name} ended at ${describeEnd(found)} and took its instances along; all are made anew.`,
    );
  }
  if (!isLive(found)) {
    return replaced(`The lease ${state.name} is ${found.status}; a new one is made, with new instances.`);
  }
  return [];
}

function outputsOf(lease: Lease): Properties {
  const reservation = instanceReservation(lease);
  if (reservation === undefined) throw new Error(`The lease ${lease.name} reserves no instances.`);
  return {
    amount: reservation.amount,
    leaseId: lease.id,
    reservationId: reservation.id,
    flavorId: reservation.flavor_id ?? reservation.id,
    startsAt: parseLeaseDate(lease.start_date).toISOString(),
    endsAt: parseLeaseDate(lease.end_date).toISOString(),
    status: lease.status,
  };
}

function describeEnd(lease: Lease): string {
  return `${parseLeaseDate(lease.end_date).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
