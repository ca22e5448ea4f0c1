import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSession, type Session } from "../../infra/openstack/api/session";
import { type Remain, removeRemains } from "../../infra/openstack/audit";
import { FakeOpenStack } from "../support/fakeOpenStack";

let fake: FakeOpenStack;
let session: Session;
beforeEach(async () => {
  fake = await FakeOpenStack.start();
  session = await openSession(fake.cloud());
});
afterEach(async () => {
  session.close();
  await fake.stop();
});

const remain = (kind: Remain["kind"], id: string): Remain => ({
  kind,
  id,
  name: id,
  detail: "",
  foundBy: "mark",
});

describe("removal", () => {
  test("goes in the order in which OpenStack lets go, and waits for what goes later", async () => {
    let looks = 0;
    let busy = 1;
    fake.answer = ({ method, path }) => {
      if (method === "GET" && path === "/compute/v2.1/servers/s") {
        looks += 1;
        return looks < 2 ? { body: { server: { id: "s" } } } : undefined;
      }
      if (path === "/network/v2.0/ports/p" && busy-- > 0) {
        return { status: 409, body: { NeutronError: { message: "Port p is still in use" } } };
      }
      // A floating IP that is gone already: the fake's own 404.
      return method === "GET" || path.includes("floatingips") ? undefined : { status: 204, body: "" };
    };
    const said: string[] = [];
    await removeRemains(
      session,
      [
        remain("keypair", "key x"),
        remain("network", "n"),
        remain("subnet", "sub"),
        remain("port", "p"),
        remain("router interface", "r/sub"),
        remain("floating IP", "f"),
        remain("server", "s"),
        remain("lease", "l"),
      ],
      { onProgress: (message) => said.push(message) },
    );
    const asked = fake.seen
      .filter(({ method, path }) => method !== "GET" && !path.startsWith("/identity"))
      .map(({ method, path }) => `${method} ${path.replace(/^\/\w+\/v[\d.]+/, "")}`);
    expect(asked[0]).toBe("DELETE /servers/s");
    expect(asked[1]).toBe("DELETE /floatingips/f");
    expect(asked.slice(2, 5).sort()).toEqual([
      "DELETE /ports/p",
      "DELETE /ports/p",
      "PUT /routers/r/remove_router_interface",
    ]);
    expect(asked.slice(5)).toEqual([
      "DELETE /subnets/sub",
      "DELETE /networks/n",
      "DELETE /os-keypairs/key%20x",
    ]);
    expect(looks).toBe(2);
    // The fake knows no lease l: it is gone, which is fine.
    expect(said.at(-1)).toBe("removed lease l");
  });

  test("names what does not go, and leaves what comes after it", async () => {
    fake.answer = ({ method }) =>
      method === "DELETE" ? { status: 409, body: { NeutronError: { message: "still in use" } } } : undefined;
    const remains = [remain("port", "p"), remain("port", "q"), remain("network", "n")];
    await expect(removeRemains(session, remains, { timeoutMs: 0 })).rejects.toThrow(
      /port p: .*still in use.*\nport q: .*still in use/,
    );
    expect(fake.seen.some(({ path }) => path.endsWith("/networks/n"))).toBe(false);
  });
});
