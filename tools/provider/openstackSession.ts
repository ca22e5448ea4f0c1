import { homedir } from "node:os";
import { readCloud } from "../../infra/openstack/api/clouds";
import { openSession, type Session } from "../../infra/openstack/api/session";

/** One login for each cloud while this provider runs; a token that ends is renewed by the session itself. */
const sessions = new Map<string, Promise<Session>>();

/**
 * A session of an entry of clouds.yaml, which is found by this process' own environment. The one place where the
 * provider reads it.
 *
 * @throws ProblemsError
 */
export function sessionOf(cloud: string): Promise<Session> {
  const known = sessions.get(cloud);
  if (known !== undefined) return known;
  const opened = (async () =>
    openSession(readCloud(cloud, { env: process.env, cwd: process.cwd(), home: homedir() })))();
  sessions.set(cloud, opened);
  // A failure is no answer for the next call.
  opened.catch(() => sessions.delete(cloud));
  return opened;
}
