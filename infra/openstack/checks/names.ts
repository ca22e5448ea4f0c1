import { nearest } from "../../../components/nearest";
import type { Keypair } from "../api/compute";
import type { Remain } from "../remains";
import type { OpenStackSpec } from "../spec";
import { fail, type PreflightRow, pass } from "./row";

/** How many of what exists are named in a message. */
const SHOWN = 4;

/** A new environment must not find things of its name: they are another checkout's, or a killed run's. */
export function checkNames(environment: string, remains: readonly Remain[]): PreflightRow {
  const check = "names";
  if (remains.length === 0) return pass(check, `nothing of "${environment}" is there yet`);
  const shown = remains.slice(0, SHOWN).map(({ kind, name }) => `${kind} ${name}`);
  const more = remains.length > SHOWN ? ` and ${remains.length - SHOWN} more` : "";
  return fail(check, `${remains.length} things of "${environment}" are there`, {
    path: "environment",
    value: environment,
    problem: `exists in this project already, made by another checkout or left by a killed run: ${shown.join(", ")}${more}`,
    next: `choose another stack name, or see and remove it: npm run audit -- ${environment} --remove`,
  });
}

/** A keypair that is to be used exists. It belongs to the user, not to the project. */
export function checkKeypair(infra: OpenStackSpec, keypairs: readonly Keypair[]): PreflightRow {
  const { keypair } = infra;
  if (keypair === undefined) return pass("keypair", "made here");
  const names = keypairs.map(({ name }) => name);
  if (names.includes(keypair)) return pass("keypair", keypair);
  const meant = nearest(keypair, names);
  return fail("keypair", `${keypair} does not exist`, {
    path: "infra.keypair",
    value: keypair,
    problem: "is no keypair of this user",
    allowed: names.sort().join(", ") || "none: the user has no keypair",
    next: meant === undefined ? "choose one of them, or leave it out" : `did you mean "${meant}"?`,
  });
}
