import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { errorMessage } from "../../infra/openstack/api/apiError";
import { listServers } from "../../infra/openstack/api/compute";
import { listNetworks } from "../../infra/openstack/api/network";
import { ApiError, isGone, openSession, type Session } from "../../infra/openstack/api/session";
import { catalogEntry, FakeOpenStack } from "../support/fakeOpenStack";

let fake: FakeOpenStack;
let session: Session | undefined;
beforeEach(async () => {
  fake = await FakeOpenStack.start();
});
afterEach(async () => {
  session?.close();
  session = undefined;
  await fake.stop();
});

async function open(entry: Record<string, unknown> = {}): Promise<Session> {
  session = await openSession(fake.cloud(entry), { timeoutMs: 500, retryDelaysMs: [5, 5] });
  return session;
}

const caught = (work: Promise<unknown>): Promise<any> =>
  work.then(
    () => {
      throw new Error("it worked");
    },
    (error) => error,
  );

describe("login", () => {
  test("tells who we are, and finds the services", async () => {
    const found = await open();
    expect(found).toMatchObject({
      projectId: "project-1",
      projectName: "CHI-test",
      roles: ["member", "reader"],
    });
    expect(found.expiresAt).toEqual(new Date("2030-01-01T00:00:00Z"));
    expect([found.offers("compute"), found.offers("volume")]).toEqual([true, false]);
    expect(fake.seen[0]?.body.auth.identity).toEqual({
      methods: ["application_credential"],
      application_credential: { id: "cred-id", secret: "cred-secret" },
    });
  });

  test("that is refused names the entry, never the secret", async () => {
    fake.answer = () => ({ status: 401, body: { error: { message: "The credential has expired." } } });
    const { message } = await caught(open());
    expect(message).toContain("clouds.yaml: clouds.fake.auth\n");
    expect(message).toContain("The credential has expired.");
    expect(message).not.toContain("cred-secret");
  });

  test("with a deleted credential says that, a wrong address something else", async () => {
    const answering = (body: unknown) => {
      fake.answer = () => ({ status: 404, body });
    };
    answering({ error: { message: "Could not find Application Credential: cred-id." } });
    expect((await caught(open())).message).toContain("make a new application credential");
    answering("<html><body>Not Found</body></html>");
    expect((await caught(open())).message).toContain("check auth_url");
  });

  test("where nothing listens says so", async () => {
    const cloud = fake.cloud();
    await fake.stop();
    const { message } = await caught(openSession(cloud));
    expect(message).toContain("nothing listens there");
    fake = await FakeOpenStack.start();
  });

  test("wants to know the region when there are several", async () => {
    fake.catalog = (url) => [
      catalogEntry("compute", `${url}/one`, "A"),
      catalogEntry("compute", `${url}/two`, "B"),
    ];
    expect((await caught(open())).message).toContain("allowed: A, B");
    expect((await caught(open({ region_name: "C" }))).message).toContain('"C"');
    const chosen = await open({ region_name: "B" });
    fake.answer = ({ path }) => (path.startsWith("/two/") ? { body: { servers: [] } } : undefined);
    expect(await listServers(chosen)).toEqual([]);
  });
});

describe("a request", () => {
  test("goes to the versioned endpoint with token and microversion", async () => {
    const found = await open();
    fake.answer = ({ path }) => (path.startsWith("/compute") ? { body: { ok: true } } : undefined);
    await found.request("compute", "GET", "/servers", {
      microversion: "2.61",
      query: { tag: ["a", "b"], x: undefined },
    });
    expect(fake.seen.at(-1)).toMatchObject({
      path: "/compute/v2.1/servers?tag=a&tag=b",
      headers: { "x-auth-token": "token-1", "openstack-api-version": "compute 2.61" },
    });
    fake.answer = ({ path }) => (path === "/network/v2.0/networks" ? { body: { networks: [] } } : undefined);
    expect(await listNetworks(found)).toEqual([]);
  });

  test("logs in again once when the token is refused, for all requests together", async () => {
    const found = await open();
    fake.answer = ({ path, headers }) => {
      if (!path.startsWith("/compute")) return undefined;
      return headers["x-auth-token"] === "token-1"
        ? { status: 401, body: { error: { message: "expired" } } }
        : { body: { servers: [] } };
    };
    await Promise.all([listServers(found), listServers(found), listServers(found)]);
    expect(fake.tokens).toBe(2);
    fake.answer = ({ path }) => (path.startsWith("/compute") ? { status: 401, body: {} } : undefined);
    expect(await caught(listServers(found))).toMatchObject({ status: 401 });
    expect(fake.tokens).toBe(3);
  });

  test("is repeated when the service failed, if it only reads", async () => {
    const found = await open();
    const statuses = [503, 500, 200];
    fake.answer = ({ path }) =>
      path.startsWith("/compute") ? { status: statuses.shift() ?? 200, body: { servers: [] } } : undefined;
    expect(await listServers(found)).toEqual([]);
    expect(statuses).toEqual([]);
    fake.answer = ({ path }) =>
      path.startsWith("/compute") ? { status: 502, body: "<h1>Bad  Gateway</h1>" } : undefined;
    const before = fake.seen.length;
    const error = await caught(found.request("compute", "POST", "/servers", { body: {} }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error.message).toBe("The compute service refused POST /servers: Bad Gateway (502)");
    expect(fake.seen.length - before).toBe(1);
  });

  test("is repeated when the connection was closed, if it only reads", async () => {
    const found = await open();
    let broken = 1;
    fake.answer = ({ path }) => {
      if (!path.startsWith("/compute")) return undefined;
      broken -= 1;
      return broken >= 0 ? "hang up" : { body: { servers: [] } };
    };
    expect(await listServers(found)).toEqual([]);
    fake.answer = ({ path }) => (path.startsWith("/compute") ? "hang up" : undefined);
    const before = fake.seen.length;
    expect(await caught(found.request("compute", "DELETE", "/servers/1"))).toMatchObject({ status: 0 });
    expect(fake.seen.length - before).toBe(1);
  });

  test("ends when no answer comes in time", async () => {
    const found = await open();
    fake.answer = ({ path }) => (path.startsWith("/compute") ? { delayMs: 5000, body: {} } : undefined);
    const began = performance.now();
    const error = await caught(listServers(found));
    expect(error).toMatchObject({ status: 0, service: "compute", reason: "no answer within 0.5 s" });
    expect(performance.now() - began).toBeLessThan(2000);
  });

  test("for a service the cloud does not have says so", async () => {
    const found = await open();
    expect((await caught(found.request("volume", "GET", "/limits"))).message).toContain("no such service");
  });

  test("follows pages by their query alone", async () => {
    const found = await open();
    fake.answer = ({ path }) => {
      if (path === "/compute/v2.1/servers/detail") {
        const href = "http://inside.example:8774/wrong?marker=a";
        return { body: { servers: [{ id: "a" }], servers_links: [{ rel: "next", href }] } };
      }
      if (path === "/compute/v2.1/servers/detail?marker=a") return { body: { servers: [{ id: "b" }] } };
      return undefined;
    };
    expect((await listServers(found)).map(({ id }) => id)).toEqual(["a", "b"]);
    expect(isGone(await caught(found.request("compute", "GET", "/servers/none")))).toBe(true);
  });
});

describe("the end of the credential", () => {
  const path = "/identity/v3/users/user-1/application_credentials/cred-id";
  const answering = (reply: { status?: number; body: unknown }) => {
    fake.answer = (seen) => (seen.path === path ? reply : undefined);
  };

  test("is its own, never, or no sooner than the token's", async () => {
    const found = await open();
    answering({ body: { application_credential: { expires_at: "2026-12-01T00:00:00.000000" } } });
    expect(await found.credentialExpiry()).toEqual({ at: new Date("2026-12-01T00:00:00Z"), exact: true });
    answering({ body: { application_credential: { expires_at: null } } });
    expect(await found.credentialExpiry()).toEqual({ at: undefined, exact: true });
    answering({ status: 403, body: { error: { message: "no" } } });
    expect(await found.credentialExpiry()).toEqual({ at: found.expiresAt, exact: false });
  });
});

test("OpenStack's own sentence is found in every service's wrapping", () => {
  const bodies: Record<string, unknown> = {
    nova: { forbidden: { code: 403, message: "Quota exceeded for instances" } },
    neutron: { NeutronError: { type: "OverQuota", message: "Quota exceeded for instances", detail: "" } },
    keystone: { error: { code: 401, title: "Unauthorized", message: "Quota exceeded for instances" } },
    blazar: { error_code: 400, error_message: "Quota exceeded for instances", error_name: 400 },
  };
  for (const [service, body] of Object.entries(bodies)) {
    expect(errorMessage(JSON.stringify(body), 400), service).toBe("Quota exceeded for instances");
  }
  expect(errorMessage("<html><head><title>x</title></head><body>Not  here</body></html>", 404)).toBe(
    "Not here",
  );
  expect(errorMessage("", 500)).toBe("HTTP status 500");
});
