import { describe, expect, test } from "vitest";
import type { SecurityGroupRule } from "../../infra/openstack/api/network";
import type { ProjectInventory, Remain } from "../../infra/openstack/remains";
import { killSchedule } from "../../tools/bench/killSchedule";
import { parseRequest } from "../../tools/bench/openstack";
import { describeThings, differences, thingsOf, unlike } from "../../tools/bench/projectThings";
import { type Measurement, median, missesBar, renderTable } from "../../tools/bench/table";
import { cliConfiguration, tofuVariables } from "../../tools/bench/tofuEnvironment";

describe("the table", () => {
  test("has the middle value, of an even number the mean of the two in the middle", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 2, 9])).toBe(3);
  });

  test("tells a bar that is met from one that is missed, and neither where there is none", () => {
    const rows: Measurement[] = [
      { what: "up", values: [30, 32, 31], unit: "s" },
      { what: "ratio", values: [1.2], unit: "x", bar: 1.2 },
      { what: "slow", values: [1, 3, 2], unit: "x", bar: 1.9 },
    ];
    expect(rows.map(missesBar)).toEqual([false, false, true]);
    expect(renderTable(rows).split("\n").slice(2)).toEqual([
      "| up | 31.00 s | 30.00 - 32.00 |  |",
      "| ratio | 1.20 x |  | <= 1.2 x: met |",
      "| slow | 2.00 x | 1.00 - 3.00 | <= 1.9 x: MISSED |",
    ]);
  });
});

describe("the arguments", () => {
  test("have defaults", () => {
    expect(parseRequest([])).toEqual({ runs: 3, nodes: 50, cycles: 0, seed: 1 });
    expect(parseRequest(["5", "--cycles", "20", "--seed", "7", "--nodes", "0"])).toEqual({
      runs: 5,
      nodes: 0,
      cycles: 20,
      seed: 7,
    });
  });

  test.each([
    [["0"]],
    [["2.5"]],
    [["--cycles", "-1"]],
    [["--seed", "x"]],
    [["--wrong", "1"]],
  ])("refuses %j", (args) => {
    expect(() => parseRequest(args)).toThrow();
  });
});

describe("the kill schedule", () => {
  test("is the same for the same seed, and another for another", () => {
    expect(killSchedule(7, 20)).toEqual(killSchedule(7, 20));
    expect(killSchedule(7, 20)).not.toEqual(killSchedule(8, 20));
    expect(killSchedule(7, 20).slice(0, 5)).toEqual(killSchedule(7, 5));
  });

  test("kills inside a command, early and late", () => {
    const shares = killSchedule(1, 500).flatMap(({ up, destroy }) => [up, destroy]);
    expect(Math.min(...shares)).toBeGreaterThanOrEqual(0.02);
    expect(Math.max(...shares)).toBeLessThanOrEqual(0.97);
    for (let tenth = 1; tenth < 9; tenth++) {
      const there = shares.filter((share) => Math.floor(share * 10) === tenth).length;
      expect(there).toBeGreaterThan(50);
    }
  });
});

describe("what is in a project", () => {
  const inventory = (servers: readonly object[], more: object = {}): ProjectInventory =>
    ({ projectId: "p1", servers, networks: [], floatingIps: [], keypairs: [], ...more }) as any;
  const mark = (environment: string) => `gourmetgram-environment=${environment}`;

  test("leaves out other projects and what other environments marked", () => {
    const found = thingsOf(
      inventory(
        [
          { id: "s1", name: "node1-bench-os", metadata: { "gourmetgram-environment": "bench-os" } },
          { id: "s2", name: "node1-other", metadata: { "gourmetgram-environment": "other" } },
          { id: "s3", name: "mine", metadata: {} },
        ],
        {
          networks: [
            { id: "n1", name: "shared", project_id: "p2", tags: [] },
            { id: "n2", name: "a", project_id: "p1", tags: [mark("bench-os")] },
            { id: "n3", name: "b", project_id: "p1", tags: [mark("other")] },
          ],
          floatingIps: [
            { id: "f1", name: "", floating_ip_address: "10.0.0.1", project_id: "p1", description: mark("x") },
            { id: "f2", name: "", floating_ip_address: "10.0.0.2", project_id: "p1", description: "" },
          ],
          keypairs: [{ name: "key-bench-os" }, { name: "key-other" }],
        },
      ),
      "bench-os",
    );
    expect(found.map(({ id, name }) => `${id} ${name}`)).toEqual([
      "s1 node1-bench-os",
      "s3 mine",
      "n2 a",
      "f2 10.0.0.2",
      "key-bench-os key-bench-os",
    ]);
  });

  test("is compared by what it is, not by its order", () => {
    const [a, b, c] = ["a", "b", "c"].map((id) => ({ kind: "ports", id, name: `port-${id}` }));
    expect(differences([a, b] as any, [b, a] as any)).toEqual([]);
    expect(differences([a, b] as any, [b, c] as any)).toEqual(["more: ports port-c", "gone: ports port-a"]);
  });

  test("is described alike for two environments that are alike", () => {
    const remains = (environment: string, address: string): Remain[] =>
      [
        { kind: "network", id: `n-${environment}`, name: `private-net-${environment}` },
        { kind: "security group", id: `g-${environment}`, name: `access-${environment}` },
        { kind: "floating IP", id: `f-${environment}`, name: address },
      ] as any;
    const rules = ["one", "two"].map(
      (environment) =>
        ({
          security_group_id: `g-${environment}`,
          direction: "ingress",
          ethertype: "IPv4",
          protocol: "tcp",
          port_range_min: 22,
          remote_ip_prefix: "0.0.0.0/0",
        }) as SecurityGroupRule,
    );
    const one = describeThings("one", remains("one", "10.0.0.1"), rules);
    expect(one).toEqual(describeThings("two", remains("two", "10.0.0.2"), rules));
    expect(one).toEqual([
      "floating IP",
      "network private-net",
      "rule of access: ingress IPv4 tcp 22 0.0.0.0/0",
      "security group access",
    ]);
  });

  test("is unlike what is wanted when something is missing, too much or there twice", () => {
    expect(unlike(["port a", "port b"], ["port b", "port a"])).toEqual([]);
    expect(unlike(["port a", "port a"], ["port a", "network"])).toEqual([
      "too much: port a",
      "missing: network",
    ]);
  });
});

describe("OpenTofu's settings", () => {
  const spec = {
    cloud: "openstack",
    cidr: "192.168.1.0/24",
    sharedNetwork: "sharednet1",
    floatingIp: { kind: "new", pool: "public" },
    image: "bench-disk",
    pools: { default: { flavor: "m1.medium" } },
  };
  const nodes = {
    node1: { role: "controlPlane", address: "192.168.1.11" },
    node2: { role: "worker", address: "192.168.1.12" },
  };
  const settings: any = { environment: "bench-tofu", spec, nodes, ports: [22, 6443], parallel: 32 };

  test("are those of our environment", () => {
    const variables: any = tofuVariables(settings);
    expect(variables).toMatchObject({
      environment: "bench-tofu",
      cidr: "192.168.1.0/24",
      flavor: "m1.medium",
      home: "node1",
      nodes: { node1: "192.168.1.11", node2: "192.168.1.12" },
      ports: [22, 6443],
    });
    // 51 bytes: the lengths, the name of the type, the key.
    const [type, key] = variables.public_key.split(" ");
    expect(type).toBe("ssh-ed25519");
    expect(Buffer.from(key, "base64")).toHaveLength(51);
    expect(variables.user_data.node2).toMatch(/^#cloud-config\nhostname: node2\n/);
  });

  test("are refused where main.tf does not know them", () => {
    const borrowed = { ...spec, floatingIp: { kind: "existing", address: "10.0.0.1" } };
    expect(() => tofuVariables({ ...settings, spec: borrowed })).toThrow("default settings only");
  });

  test("take the provider from a folder", () => {
    expect(cliConfiguration('/store/a "b"')).toContain(
      '"terraform-provider-openstack/openstack" = "/store/a \\"b\\""',
    );
  });
});
