import { describe, expect, test } from "vitest";
import { checkCall, createCall, diffCall, readCall, updateCall } from "../../tools/provider/calls";
import { certificate } from "../../tools/provider/certificate";
import { localMachine } from "../../tools/provider/localMachine";
import { bytes, password, token } from "../../tools/provider/random";
import type { CallContext, ResourceKind } from "../../tools/provider/resourceKind";
import { UNKNOWN, unwrapSecrets, wrapSecrets } from "../../tools/provider/values";
import { ProviderClient } from "../support/providerClient";

const said: string[] = [];
const context: CallContext = {
  urn: "urn:pulumi:local::p::t::n",
  progress: () => undefined,
  info: (message) => said.push(message),
};

/** A kind with one field of each consequence and one secret. */
const sample: ResourceKind = {
  fields: {
    kept: { type: "string", onChange: "keep", default: "k" },
    changed: { type: "string", onChange: "update" },
    identity: { type: "string", onChange: "replace" },
    list: { type: "strings", onChange: "update", default: [] },
  },
  outputs: ["result"],
  renewedByUpdate: [],
  secretOutputs: ["result"],
  create: async () => ({ id: "id", outputs: { result: "made" } }),
  update: async () => ({ result: "remade" }),
};
const inputs = { kept: "k", changed: "a", identity: "i", list: ["x"] };
const state = { ...inputs, result: "made" };

describe("check", () => {
  test("fills in defaults and reports everything wrong at once", () => {
    const { failures } = checkCall(sample, { changed: 1, list: "x", typo: true });
    expect(failures.map(({ reason }) => reason)).toEqual([
      "typo is unknown; allowed are kept, changed, identity, list",
      "changed must be a string",
      "identity is required",
      "list must be a list of strings",
    ]);
    expect(checkCall(sample, { changed: "a", identity: "i" }).inputs).toEqual({
      kept: "k",
      changed: "a",
      identity: "i",
      list: [],
    });
  });

  test("accepts values that are not known yet", () => {
    expect(checkCall(sample, { changed: UNKNOWN, identity: "i", list: [UNKNOWN] }).failures).toEqual([]);
  });

  test("keeps secrets marked and never repeats one in a message", () => {
    const secret = wrapSecrets({ sshHostKey: "BEGIN KEY" }, ["sshHostKey"]);
    const { inputs: checked, failures } = checkCall(localMachine, secret);
    expect(checked.sshHostKey).toEqual(secret.sshHostKey);
    expect(JSON.stringify(failures)).not.toContain("BEGIN KEY");
  });
});

describe("diff", () => {
  test("is empty for the same inputs, in whatever order they come", async () => {
    const reordered = { list: ["x"], identity: "i", changed: "a", kept: "k" };
    expect((await diffCall(sample, state, inputs, reordered, context)).properties).toEqual({});
  });

  test("says what each change means, and forgives changes that only matter for a creation", async () => {
    const news = { kept: "other", changed: "b", identity: "j", list: ["x"] };
    expect((await diffCall(sample, state, inputs, news, context)).properties).toEqual({
      changed: { action: "update", input: true },
      identity: { action: "replace", input: true },
    });
  });

  test("lets a field decide by what the thing has, which is not what was wished for last", async () => {
    const growing: ResourceKind = {
      ...sample,
      fields: {
        size: {
          type: "integer",
          onChange: (has: number, wanted: number) => (wanted > has ? "replace" : "keep"),
        },
      },
    };
    const change = async (wishedLast: number, wanted: number) =>
      (await diffCall(growing, { size: 3, result: "" }, { size: wishedLast }, { size: wanted }, context))
        .properties;
    expect(await change(3, 2)).toEqual({});
    expect(await change(2, 3)).toEqual({});
    expect(await change(2, 4)).toEqual({ size: { action: "replace", input: true } });
    const kept = await updateCall(growing, { size: 3, result: "" }, { size: 2 }, true, context);
    expect(kept.size).toBe(3);
  });

  test("counts an unknown value as changed", async () => {
    const news = { ...inputs, changed: UNKNOWN };
    expect((await diffCall(sample, state, inputs, news, context)).properties).toHaveProperty("changed");
  });

  test("shows drift of the real thing with its reason", async () => {
    const drifting: ResourceKind = {
      ...sample,
      drift: async () => [{ property: "result", action: "replace", reason: "It is gone." }],
    };
    expect((await diffCall(drifting, state, inputs, inputs, context)).properties).toEqual({
      result: { action: "replace", input: false },
    });
    expect(said).toContain("It is gone.");
  });

  test("of a certificate is an update for any changed name", async () => {
    const before = { dnsNames: ["a"], certificatePem: "", organizations: [], ipAddresses: [] };
    const changed = await diffCall(
      { ...certificate, drift: async () => [] },
      before,
      before,
      { ...before, dnsNames: ["a", "b"] },
      context,
    );
    expect(changed.properties).toMatchObject({ dnsNames: { action: "update" } });
  });

  test("of a machine: identity replaces, memory and hosts update, the image is for creations only", () => {
    const consequences = Object.fromEntries(
      Object.entries(localMachine.fields).map(([name, { onChange }]) => [name, onChange]),
    );
    expect(consequences).toEqual({
      environment: "replace",
      name: "replace",
      address: "replace",
      network: "replace",
      memory: "update",
      imageDir: "keep",
      bundlesDir: "update",
      sshHostKey: "update",
      authorizedKey: "update",
      hosts: "update",
    });
    expect(localMachine.deleteBeforeReplace).toBe(true);
  });
});

describe("create, update, read", () => {
  test("mark secret outputs, and outputs of secret inputs", async () => {
    const made = await createCall(sample, wrapSecrets(inputs, ["changed"]), false, context);
    expect(unwrapSecrets(made.state)).toEqual({ plain: state, secretKeys: ["changed", "result"] });
  });

  test("previews know what will stay and not what will be made", async () => {
    expect((await createCall(sample, inputs, true, context)).state).toEqual({ ...inputs, result: UNKNOWN });
    const updated = await updateCall(sample, state, { ...inputs, changed: "b" }, true, context);
    expect(unwrapSecrets(updated).plain).toEqual({ ...state, changed: "b" });
    const renewing = { ...sample, renewedByUpdate: ["result"] };
    expect((await updateCall(renewing, state, inputs, true, context)).result).toBe(UNKNOWN);
  });

  test("an update keeps what only a creation takes", async () => {
    const updated = await updateCall(sample, state, { ...inputs, kept: "new" }, false, context);
    expect(unwrapSecrets(updated).plain).toMatchObject({ kept: "k", result: "remade" });
  });

  test("a thing that is gone reads as gone, and an import is refused", async () => {
    expect(await readCall({ ...sample, read: async () => undefined }, state, context)).toBeUndefined();
    await expect(readCall(sample, {}, context)).rejects.toThrow(/cannot be imported/);
  });
});

describe("random values", () => {
  const secretOf = async (kind: ResourceKind, given: Record<string, unknown>) => {
    const { inputs: checked, failures } = checkCall(kind, given);
    expect(failures).toEqual([]);
    return kind.create(checked, context);
  };

  test("a password has the length and characters asked for, and no part of it is in the id", async () => {
    const { id, outputs } = await secretOf(password, { length: 20, alphabet: "0123456789" });
    expect(outputs.result).toMatch(/^[0-9]{20}$/);
    expect(id).not.toContain((outputs.result as string).slice(0, 8));
    expect((await secretOf(password, {})).outputs.result).toMatch(/^[A-Za-z0-9]{32}$/);
  });

  test("a weak alphabet or length is refused", () => {
    expect(checkCall(password, { alphabet: "abc" }).failures).toHaveLength(1);
    expect(checkCall(password, { alphabet: "aabcdefghijk" }).failures).toHaveLength(1);
    expect(checkCall(password, { length: 4 }).failures[0]?.reason).toContain("allowed are 8 to 1024");
  });

  test("a token is a kubeadm token", async () => {
    expect((await secretOf(token, {})).outputs.result).toMatch(/^[a-z0-9]{6}\.[a-z0-9]{16}$/);
  });

  test("bytes decode to the length asked for", async () => {
    const { outputs } = await secretOf(bytes, { length: 32 });
    expect(Buffer.from(outputs.base64 as string, "base64")).toHaveLength(32);
  });
});

describe("the executable", () => {
  test("starts fast and speaks the protocol", async () => {
    const client = await ProviderClient.start();
    try {
      const made = await client.create("gourmetgram:random:Token", {});
      const { plain, secretKeys } = unwrapSecrets(made.state);
      expect(plain.result).toMatch(/^[a-z0-9]{6}\.[a-z0-9]{16}$/);
      expect(secretKeys).toEqual(["result"]);
      expect(await client.diff("gourmetgram:random:Token", made.state, {}, {})).toEqual({});
      expect(await client.read("gourmetgram:random:Token", made.id, made.state)).toEqual(made.state);
      await expect(client.create("gourmetgram:no:Such", {})).rejects.toThrow(
        /Unknown resource type gourmetgram:no:Such/,
      );
      // The bar is 0.5 s on a quiet machine.
      expect(client.startMilliseconds).toBeLessThan(1500);
    } finally {
      await client.stop();
    }
  });
});
