import { createHash, randomBytes, randomInt } from "node:crypto";
import type { ResourceKind } from "./resourceKind";

const LETTERS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LOWER_AND_DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** `gourmetgram:random:Password`. Letters and digits by default: safe in URLs, shells, and every config format. */
export const password: ResourceKind = {
  fields: {
    length: { type: "integer", default: 32, onChange: "replace", check: between(8, 1024) },
    alphabet: {
      type: "string",
      default: LETTERS_AND_DIGITS,
      onChange: "replace",
      check: (value: string) =>
        new Set(value).size >= 10 && new Set(value).size === [...value].length
          ? undefined
          : "must have ten or more different characters, none of them twice",
    },
  },
  outputs: ["result"],
  secretOutputs: ["result"],
  async create(inputs) {
    return named({ result: randomText(inputs.length as number, inputs.alphabet as string) });
  },
};

/** `gourmetgram:random:Token`: a kubeadm bootstrap token. */
export const token: ResourceKind = {
  fields: {},
  outputs: ["result"],
  secretOutputs: ["result"],
  async create() {
    return named({ result: `${randomText(6, LOWER_AND_DIGITS)}.${randomText(16, LOWER_AND_DIGITS)}` });
  },
};

/** `gourmetgram:random:Bytes`: key material, for example for encryption at rest. */
export const bytes: ResourceKind = {
  fields: { length: { type: "integer", default: 32, onChange: "replace", check: between(1, 1024) } },
  outputs: ["base64"],
  secretOutputs: ["base64"],
  async create(inputs) {
    return named({ base64: randomBytes(inputs.length as number).toString("base64") });
  },
};

function randomText(length: number, alphabet: string): string {
  const characters = [...alphabet];
  return Array.from({ length }, () => characters[randomInt(characters.length)]).join("");
}

/** The id must not give the secret away; a hash of random bytes of its own is as good as any name. */
function named(outputs: Record<string, string>) {
  return { id: createHash("sha256").update(randomBytes(32)).digest("hex").slice(0, 16), outputs };
}

function between(low: number, high: number) {
  return (value: number) =>
    value >= low && value <= high ? undefined : `is ${value}; allowed are ${low} to ${high}`;
}
