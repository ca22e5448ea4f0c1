import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { rawSettings, readBundleLocation, readEnvironment } from "../../stacks/config";

beforeEach(async () => {
  await pulumi.runtime.setMocks(
    { newResource: ({ inputs }) => ({ id: "id", state: inputs }), call: ({ inputs }) => inputs },
    "gourmetgram-infra",
    "local",
  );
});

afterEach(() => {
  pulumi.runtime.setAllConfig({});
});

describe("Pulumi config", () => {
  it("gives the project's values, mappings and lists parsed, and none of other namespaces", () => {
    const config = {
      "gourmetgram-infra:infra": '{"memory":"4Gi"}',
      "gourmetgram-infra:stages": '{"staging":{}}',
      "gourmetgram-infra:odd": "{not json",
      "gourmetgram-infra:text": "5",
      "kubernetes:context": "other",
      "gourmetgram-infra-2:infra": "{}",
    };
    expect(rawSettings("gourmetgram-infra", config)).toEqual({
      infra: { memory: "4Gi" },
      stages: { staging: {} },
      odd: "{not json",
      text: "5",
    });
  });

  it("becomes a spec", () => {
    pulumi.runtime.setAllConfig({ "gourmetgram-infra:stages": '{"staging":{}}' });
    expect(readEnvironment()).toMatchObject({ name: "local", stages: { staging: { replicas: 1 } } });
  });

  it("with a wrong value at its top is refused like any other", () => {
    pulumi.runtime.setAllConfig({ "gourmetgram-infra:infra": "local", "gourmetgram-infra:node": "{}" });
    expect(() => readEnvironment()).toThrow(
      /^2 problems in the settings of environment "local":[\s\S]*did you mean "nodes"[\s\S]*is a text, not a mapping/,
    );
  });

  it("makes every secret a secret Output", async () => {
    pulumi.runtime.setAllConfig({
      "gourmetgram-infra:platform": JSON.stringify({
        database: { kind: "external", host: "db.example.com", username: "mlflow", password: "canary-1" },
        objectStore: {
          kind: "external",
          endpoint: "https://s3.example.com",
          bucket: "artifacts",
          accessKeyId: "id",
          secretAccessKey: "canary-2",
        },
      }),
    });
    const { database, objectStore } = readEnvironment().platform;
    const secrets = [
      database.kind === "external" && database.password,
      objectStore.kind === "external" && objectStore.secretAccessKey,
    ] as pulumi.Output<string>[];
    expect(await Promise.all(secrets.map((secret) => pulumi.isSecret(secret)))).toEqual([true, true]);
    const values = await new Promise((settle) => {
      pulumi.all(secrets).apply(settle);
    });
    expect(values).toEqual(["canary-1", "canary-2"]);
  });
});

describe("the bundle's place", () => {
  it("is what the commands pass", () => {
    const environment = { GOURMETGRAM_BUNDLE_DIR: "/bundle", GOURMETGRAM_MACHINE_DIR: "/machine" };
    expect(readBundleLocation(environment)).toEqual({ bundleDir: "/bundle", machineDir: "/machine" });
  });

  it("is looked for when nobody passes it, and the error names the command that makes it", () => {
    const nowhere = () => undefined;
    expect(() => readBundleLocation({}, nowhere)).toThrow(/Next: npm run bundle$/);
    expect(() => readBundleLocation({ GOURMETGRAM_BUNDLE_DIR: "/bundle" }, nowhere)).toThrow(
      "There is no bundle",
    );
    const there = () => ({ bundleDir: "/found/bundle", machineDir: "/found/machine" });
    expect(readBundleLocation({}, there)).toEqual(there());
    expect(readBundleLocation({ GOURMETGRAM_MACHINE_DIR: "/mine" }, there).machineDir).toBe("/mine");
  });
});
