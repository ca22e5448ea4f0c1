import { entryPath } from "../api/cloudEntry";
import type { CredentialExpiry } from "../api/session";
import { describeDuration } from "../leaseTime";
import { fail, type PreflightRow, pass } from "./row";

/** An environment without lease is not worth starting with credentials that end sooner. */
const LEAST_MS = 24 * 3_600_000;

/** Roles that may look and not make. */
const READING_ROLES: readonly string[] = ["reader"];

export interface CredentialFacts {
  readonly cloud: string;
  readonly projectName: string;
  readonly roles: readonly string[];
  readonly expiry: CredentialExpiry;
}

/**
 * Whether the login may make things, and for long enough.
 *
 * @param leaseEnd end of the longest lease; the credentials have to last as long, to remove what was made
 */
export function checkCredentials(facts: CredentialFacts, now: Date, leaseEnd?: Date): PreflightRow {
  const { cloud, projectName, roles, expiry } = facts;
  if (roles.length > 0 && roles.every((role) => READING_ROLES.includes(role))) {
    return fail("credentials", `only role ${roles.join(", ")} in ${projectName}`, {
      path: entryPath(cloud, "auth"),
      problem: `have only the role ${roles.join(", ")} in project ${projectName}, which may make nothing`,
      allowed: "a login with the role member",
      next: "make an application credential that has the role member",
    });
  }
  if (expiry.at === undefined) return pass("credentials", `project ${projectName}, no end`);
  const left = expiry.at.getTime() - now.getTime();
  const found = `project ${projectName}, ${expiry.exact ? "end" : "a token ends"} in ${describeDuration(left)}`;
  const needed = Math.max(LEAST_MS, leaseEnd === undefined ? 0 : leaseEnd.getTime() - now.getTime());
  // The end of a token says nothing: there is always a next one while the credential itself lasts.
  if (!expiry.exact || left >= needed) return pass("credentials", found);
  return fail("credentials", found, {
    path: entryPath(cloud, "auth"),
    value: `ends ${expiry.at.toISOString().slice(0, 16).replace("T", " ")} UTC`,
    problem:
      leaseEnd !== undefined && needed > LEAST_MS
        ? "end before the lease does: nothing could be changed or removed any more"
        : "end soon: nothing could be changed or removed any more",
    allowed: `at least ${describeDuration(needed)} from now`,
    next: "make an application credential with a later expiry and put its clouds.yaml here",
  });
}
