import { describe, expect, test } from "vitest";
import { hiddenOutputs } from "../../tools/cli/outputs";
import type { ExportedDeployment } from "../../tools/cli/pending";

const secret = {
  "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
  ciphertext: "v1:abc",
};
const stateOf = (...resources: object[]) => ({ version: 3, deployment: { resources } }) as ExportedDeployment;

describe("outputs in the state", () => {
  test("show no secret, however deep", () => {
    const outputs = {
      nodes: { node1: "10.0.0.1" },
      kubeconfig: secret,
      list: [1, secret],
      ssh: { key: secret },
    };
    expect(hiddenOutputs(stateOf({ type: "pulumi:pulumi:Stack", urn: "s", outputs }))).toEqual({
      nodes: { node1: "10.0.0.1" },
      kubeconfig: "[secret]",
      list: [1, "[secret]"],
      ssh: { key: "[secret]" },
    });
  });

  test("are unknown without a stack that came up: the engine has to be asked", () => {
    expect(hiddenOutputs(undefined)).toBeUndefined();
    expect(hiddenOutputs(stateOf())).toBeUndefined();
    expect(hiddenOutputs(stateOf({ type: "pulumi:pulumi:Stack", urn: "s" }))).toBeUndefined();
  });
});
