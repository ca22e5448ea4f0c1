import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { ResourceKind } from "./resourceKind";

const ALGORITHMS: Readonly<Record<string, () => { privateKey: KeyObject; publicKey: KeyObject }>> = {
  "rsa-2048": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ed25519: () => generateKeyPairSync("ed25519"),
  "ecdsa-p256": () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
};

/** `gourmetgram:tls:KeyPair`: one key pair in the formats that servers (PEM) and SSH want. */
export const keyPair: ResourceKind = {
  fields: {
    algorithm: {
      type: "string",
      onChange: "replace",
      check: (value: string) =>
        value in ALGORITHMS ? undefined : `is ${value}; allowed are ${Object.keys(ALGORITHMS).join(", ")}`,
    },
  },
  outputs: ["privateKeyPem", "publicKeyPem", "privateKeyOpenssh", "publicKeyOpenssh"],
  secretOutputs: ["privateKeyPem", "privateKeyOpenssh"],

  async create(inputs) {
    const outputs = makeKeyPair(inputs.algorithm as string);
    const id = createHash("sha256").update(outputs.publicKeyPem).digest("hex").slice(0, 16);
    return { id, outputs: { ...outputs } };
  },
};

/** @throws Error for an unknown algorithm */
export function makeKeyPair(algorithm: string) {
  const make = ALGORITHMS[algorithm];
  if (make === undefined) throw new Error(`Unknown key algorithm ${algorithm}.`);
  const { privateKey, publicKey } = make();
  const privateKeyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const sshpk = require("sshpk") as typeof import("sshpk");
  const key = sshpk.parsePrivateKey(privateKeyPem, "pem");
  key.comment = "gourmetgram";
  const openPublic = key.toPublic();
  openPublic.comment = "gourmetgram";
  return {
    privateKeyPem,
    publicKeyPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
    privateKeyOpenssh: `${key.toString("openssh").trimEnd()}\n`,
    publicKeyOpenssh: openPublic.toString("ssh").trim(),
  };
}
