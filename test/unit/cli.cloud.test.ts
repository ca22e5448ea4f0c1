import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readCloudSettings } from "../../tools/cli/cloudSettings";
import { CommandError } from "../../tools/cli/commandError";
import { main } from "../../tools/cli/main";
import { PROJECT_ROOT } from "../../tools/cli/project";
import { renderRemains } from "../../tools/cli/renderRemains";

const root = mkdtempSync(join(tmpdir(), "cloud-settings-"));
const put = (text: string) => writeFileSync(join(root, "Pulumi.x.yaml"), text);
const read = (cloud?: string) => readCloudSettings("x", cloud, root);
afterAll(() => rmSync(root, { recursive: true }));

describe("what leads to the project", () => {
  test("is read whatever else the settings say", () => {
    put(
      [
        "config:",
        "  gourmetgram-infra:infra: { kind: openstack, cloud: chi, typo: 1, pools: { gpu: { flavor: 3 } } }",
        "  gourmetgram-infra:nodes: { a: wrong, b: {} }",
        "  gourmetgram-infra:nonsense: true",
      ].join("\n"),
    );
    expect(read()).toEqual({
      cloud: "chi",
      nodes: ["a", "b"],
      pools: ["default", "gpu"],
    });
    expect(read("other").cloud).toBe("other");
  });

  test("has the defaults of an environment on OpenStack", () => {
    put("config: { gourmetgram-infra:infra: { kind: openstack } }");
    expect(read()).toEqual({
      cloud: "openstack",
      nodes: ["node1", "node2", "node3"],
      pools: ["default"],
    });
  });

  test("is asked for where no settings say it", () => {
    put("config: {}");
    expect(() => read()).toThrow(CommandError);
    put("config: [broken");
    expect(() => read()).toThrow("is not YAML");
    expect(read("openstack").cloud).toBe("openstack");
  });
});

test("remains are a table, or nothing", () => {
  expect(renderRemains("x", [])).toBe('Nothing of "x" is left in the project.');
  const remain = { kind: "port", id: "1", name: "port-a-x", detail: "10.0.0.1", foundBy: "mark" } as const;
  expect(renderRemains("x", [remain])).toBe(
    [
      '1 thing of "x" in the project:',
      "KIND  NAME      KNOWN BY  DETAIL",
      "port  port-a-x  mark      10.0.0.1",
    ].join("\n"),
  );
});

test("audit and lease are commands, of the program and of npm", async () => {
  const scripts = JSON.parse(readFileSync(join(PROJECT_ROOT, "package.json"), "utf8")).scripts;
  for (const name of ["audit", "lease"]) {
    expect(scripts[name]).toBe(`node tools/run.mjs ${name}`);
    expect(readFileSync(join(PROJECT_ROOT, "tools/run.mjs"), "utf8")).toContain(`  "${name}",\n`);
    expect(await main([name, "local"]), name).toBe(2);
  }
});
