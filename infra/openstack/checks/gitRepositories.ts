import { nearest } from "../../../components/nearest";
import { Connections, NoAnswerError } from "../api/exchange";
import { fail, type PreflightRow, pass } from "./row";

/** A repository the environment reads from outside, and the setting that names it. */
export interface GitRepository {
  /** For example `delivery.repository`. */
  readonly path: string;
  /** `http` or `https`. */
  readonly url: string;
  /** Must exist. */
  readonly branch?: string;
  /** Value of the header `Authorization`. A secret; never shown. */
  readonly authorization?: string;
}

/** A repository that answers slower would make every build wait. */
const TIMEOUT_MS = 5000;

const MAX_REDIRECTS = 3;

/** Asks the repository for its branches, as `git ls-remote` does. */
export async function checkGitRepository(repository: GitRepository): Promise<PreflightRow> {
  const check = `git ${repository.path}`;
  const bad = (found: string, problem: string, next: string, allowed?: string) =>
    fail(check, found, {
      path: repository.path,
      value: withoutLogin(repository.url),
      problem,
      ...(allowed === undefined ? {} : { allowed }),
      next,
    });
  try {
    const { status, body } = await readRefs(repository);
    if (status !== 200) {
      return status === 401 || status === 403
        ? bad(
            `refused (${status})`,
            `refuses to be read (${status})`,
            "make it public, or give a login that may read it",
          )
        : bad(`answers ${status}`, `is no Git repository that can be read (${status})`, "correct the URL");
    }
    const branches = parseBranches(body);
    if (branches === undefined) {
      return bad("no repository", "is no Git repository (no list of branches came)", "correct the URL");
    }
    const { branch } = repository;
    if (branch !== undefined && !branches.includes(branch)) {
      const meant = nearest(branch, branches);
      return bad(
        `no branch ${branch}`,
        `has no branch ${branch}`,
        meant === undefined ? "choose one of them, or push it" : `did you mean "${meant}"?`,
        branches.slice(0, 10).join(", ") || "none: it is empty",
      );
    }
    return pass(check, branch === undefined ? `${branches.length} branches` : `branch ${branch}`);
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
    return bad("no answer", `does not answer: ${error.message}`, "check the URL and the network");
  }
}

async function readRefs({ url, authorization }: GitRepository): Promise<{ status: number; body: string }> {
  const connections = new Connections({ verify: true });
  try {
    let target = new URL(`${url.replace(/\/+$/, "")}/info/refs?service=git-upload-pack`);
    const deadline = Date.now() + TIMEOUT_MS;
    for (let hop = 0; ; hop += 1) {
      const answer = await connections.send({
        method: "GET",
        url: target,
        headers: {
          "User-Agent": "git/2",
          ...(authorization === undefined ? {} : { Authorization: authorization }),
        },
        timeoutMs: Math.max(1, deadline - Date.now()),
      });
      const next = answer.headers.location;
      if (answer.status < 300 || answer.status >= 400 || next === undefined || hop === MAX_REDIRECTS) {
        return answer;
      }
      const redirected = new URL(next, target);
      // A login is for the host it was given for.
      if (authorization !== undefined && redirected.host !== target.host) return answer;
      target = redirected;
    }
  } finally {
    connections.close();
  }
}

/**
 * Names of the branches in the answer of the "smart" protocol: lines `<hash> refs/heads/<name>` with their length before them;
 * `undefined` when it is something else. https://git-scm.com/docs/http-protocol. Exported for tests.
 */
export function parseBranches(body: string): string[] | undefined {
  if (!/^[0-9a-f]{4}# service=git-upload-pack/.test(body)) return undefined;
  return [...body.matchAll(/[0-9a-f]{40,64} refs\/heads\/([^\0\n]+)/g)].map(([, name]) => name as string);
}

function withoutLogin(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}
