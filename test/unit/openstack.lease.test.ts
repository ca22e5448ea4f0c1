import { describe, expect, test } from "vitest";
import { bestLease, leaseDate, parseLeaseDate } from "../../infra/openstack/api/reservation";
import { checkLeaseTime, describeDuration } from "../../infra/openstack/leaseTime";
import { decideLease, laterEnd } from "../../infra/openstack/obtainLease";
import { leasesOf, renderLeases } from "../../tools/cli/lease";
import { checkCall, diffCall } from "../../tools/provider/calls";
import { lease as kind, leaseDrift } from "../../tools/provider/lease";
import { aLease } from "../support/openstackShapes";

const request = { name: "lease-x", flavorId: "medium", amount: 3, until: new Date() };

describe("which lease is the environment's", () => {
  test("one of that name that fits and lives is taken over", () => {
    for (const status of ["CREATING", "PENDING", "STARTING", "ACTIVE", "UPDATING"]) {
      const lease = aLease("a", { status });
      expect(decideLease([aLease("b", { name: "lease-y" }), lease], request), status).toEqual({
        action: "take",
        lease,
      });
    }
  });

  test("of several the eldest, whoever looks", () => {
    const younger = aLease("a", { created_at: "2026-11-28 12:00:11" });
    const elder = aLease("b");
    const sameSecond = aLease("c");
    for (const order of [
      [younger, elder, sameSecond],
      [sameSecond, younger, elder],
    ]) {
      expect(decideLease(order, request)).toEqual({ action: "take", lease: elder });
    }
  });

  test("ended and failed ones are removed and a new one is made; what is just going is left alone", () => {
    const ended = [aLease("a", { status: "TERMINATED" }), aLease("b", { status: "ERROR" })];
    const going = aLease("c", { status: "DELETING" });
    expect(decideLease([...ended, going], request)).toEqual({ action: "create", remove: ended });
    expect(decideLease([], request)).toEqual({ action: "create", remove: [] });
  });

  test("a live one of another flavor or for fewer instances is not touched, one for more is taken", () => {
    const other = aLease("a", {}, "large");
    expect(decideLease([other], request)).toEqual({ action: "refuse", lease: other });
    const more = aLease("a", {}, "medium", 4);
    expect(decideLease([more], request)).toEqual({ action: "take", lease: more });
    const fewer = aLease("a", {}, "medium", 2);
    expect(decideLease([fewer], request)).toEqual({ action: "refuse", lease: fewer });
    const hosts = aLease("a", {
      reservations: [{ id: "r", resource_type: "physical:host", status: "active" }],
    });
    expect(decideLease([hosts], request)).toEqual({ action: "refuse", lease: hosts });
  });

  test("of an ended and a live one the live one is shown", () => {
    const live = aLease("a");
    const ended = aLease("b", { status: "TERMINATED", end_date: "2027-01-01T00:00:00.000000" });
    expect(bestLease([ended, live])).toBe(live);
    expect(bestLease([])).toBeUndefined();
  });
});

describe("time", () => {
  const lease = aLease("a");
  const at = (text: string) => new Date(`2026-11-28T${text}Z`);

  test("is UTC, whole minutes, in blazar's two spellings", () => {
    expect(leaseDate(at("18:00:59"))).toBe("2026-11-28 18:00");
    for (const text of ["2026-11-28T18:00:00.000000", "2026-11-28 18:00:00", "2026-11-28 18:00"]) {
      expect(parseLeaseDate(text), text).toEqual(at("18:00:00"));
    }
  });

  test("hours count from the start and never shorten", () => {
    expect(laterEnd(lease, 8)).toEqual(at("20:00:00"));
    expect(laterEnd(lease, 6)).toBeUndefined();
    expect(laterEnd(lease, 2)).toBeUndefined();
  });

  test("too little left names the command that extends", () => {
    expect(checkLeaseTime(lease, 60, at("17:00:00"), "x")).toBeUndefined();
    expect(checkLeaseTime(lease, 60, at("17:15:00"), "x")).toMatchObject({
      path: "lease lease-x",
      value: "45 min left",
      problem: "ends at 2026-11-28 18:00 UTC, and its instances with it",
      next: "npm run lease -- x --extend 12",
    });
    expect(checkLeaseTime(lease, 60, at("18:00:00"), "x")?.next).toContain("npm run up -- x");
  });

  test("is written as people say it", () => {
    const minute = 60_000;
    expect([0, 45, 60, 312, 48 * 60, 51 * 60].map((minutes) => describeDuration(minutes * minute))).toEqual([
      "0 min",
      "45 min",
      "1 h",
      "5 h 12 min",
      "2 d",
      "2 d 3 h",
    ]);
  });
});

describe("the resource", () => {
  const inputs = { cloud: "openstack", name: "lease-x", flavor: "m1.medium", amount: 3, hours: 24 };
  const state = { ...inputs, leaseId: "a" };

  test("checks its inputs", () => {
    expect(checkCall(kind, inputs).failures).toEqual([]);
    const reasons = checkCall(kind, { ...inputs, amount: 0, hours: 0 }).failures.map(({ reason }) => reason);
    expect(reasons).toEqual([
      "amount is 0; allowed are 1 and more",
      "hours is 0; allowed are 1 to 8784 hours",
    ]);
  });

  test("stays with fewer instances, and is made anew for more", async () => {
    const drift = { ...kind, drift: async () => [] };
    const change = async (amount: number) => {
      const context = { urn: "", progress: () => undefined, info: () => undefined };
      const { properties } = await diffCall(drift, state, inputs, { ...inputs, amount }, context);
      return properties;
    };
    expect(await change(2)).toEqual({});
    expect(await change(4)).toEqual({ amount: { action: "replace", input: true } });
  });

  test("is made anew when it is gone, ended or failed, and says so", () => {
    const reasons = (found: Parameters<typeof leaseDrift>[1]) =>
      leaseDrift(state, found).map(({ action, reason }) => `${action}: ${reason}`);
    expect(reasons(aLease("a"))).toEqual([]);
    expect(reasons(aLease("a", { status: "STARTING" }))).toEqual([]);
    expect(reasons(undefined)).toEqual([
      "replace: The lease lease-x is gone from the project; a new one is made, with new instances.",
    ]);
    expect(reasons(aLease("a", { status: "TERMINATED" }))).toEqual([
      "replace: The lease lease-x ended at 2026-11-28 18:00 UTC and took its instances along; all are made anew.",
    ]);
    expect(reasons(aLease("a", { status: "ERROR" }))[0]).toContain("is ERROR");
  });
});

test("the command shows one lease for each pool", () => {
  const leases = [
    aLease("a"),
    aLease("b", { name: "lease-gpu-x", status: "TERMINATED" }),
    aLease("c", { name: "lease-y" }),
  ];
  const found = leasesOf("x", ["default", "gpu"], leases);
  expect(renderLeases("x", found, new Date("2026-11-28T12:30:00Z"))).toBe(
    [
      "LEASE        STATUS      ENDS (UTC)        LEFT",
      "lease-x      ACTIVE      2026-11-28 18:00  5 h 30 min",
      "lease-gpu-x  TERMINATED  2026-11-28 18:00  -",
    ].join("\n"),
  );
  expect(renderLeases("x", [], new Date())).toBe('"x" has no lease.');
});
