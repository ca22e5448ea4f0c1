import { createHash } from "node:crypto";
import type { ResourceKind } from "./resourceKind";
import { type CertificatePair, makeAuthority, publicKeyHash, renewalReason } from "./x509";

/** `gourmetgram:tls:CertificateAuthority`. Renewed with its key, so that what it signed and its hash stay valid. */
export const certificateAuthority: ResourceKind = {
  fields: {
    commonName: { type: "string", onChange: "replace" },
    validityDays: { type: "integer", default: 3650, onChange: "update", check: positiveDays },
  },
  outputs: ["certificatePem", "privateKeyPem", "publicKeyHash"],
  renewedByUpdate: ["certificatePem"],
  secretOutputs: ["privateKeyPem"],

  async create(inputs) {
    const pair = await makeAuthority(subjectOf(inputs), inputs.validityDays as number);
    return { id: fingerprint(pair), outputs: outputsOf(pair) };
  },

  async drift(state) {
    const reason = renewalReason(state.certificatePem as string);
    return reason === undefined ? [] : [{ property: "certificatePem", action: "update", reason }];
  },

  async update(state, inputs) {
    const days = inputs.validityDays as number;
    return outputsOf(await makeAuthority(subjectOf(inputs), days, state.privateKeyPem as string));
  },
};

export function positiveDays(days: number): string | undefined {
  return days >= 1 && days <= 36500 ? undefined : `is ${days}; allowed are 1 to 36500 days`;
}

function subjectOf(inputs: Readonly<Record<string, unknown>>) {
  return { commonName: inputs.commonName as string, organizations: [] };
}

function outputsOf(pair: CertificatePair) {
  return { ...pair, publicKeyHash: publicKeyHash(pair.certificatePem) };
}

/** A short public name for the resource's id. */
export function fingerprint(pair: CertificatePair): string {
  return createHash("sha256").update(pair.certificatePem).digest("hex").slice(0, 16);
}
