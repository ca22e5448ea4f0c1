import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { fingerprint, positiveDays } from "./certificateAuthority";
import type { Properties, ResourceKind } from "./resourceKind";
import { makeCertificate, renewalReason, type Usage } from "./x509";

const USAGES: readonly string[] = ["clientAuth", "serverAuth"] satisfies Usage[];

/** `gourmetgram:tls:Certificate`. Any change makes a new certificate with a new key, in place. */
export const certificate: ResourceKind = {
  fields: {
    caCertificatePem: { type: "string", onChange: "update" },
    caPrivateKeyPem: { type: "string", onChange: "update" },
    commonName: { type: "string", onChange: "update" },
    organizations: { type: "strings", default: [], onChange: "update" },
    dnsNames: { type: "strings", default: [], onChange: "update" },
    ipAddresses: { type: "strings", default: [], onChange: "update", check: onlyAddresses },
    usages: { type: "strings", onChange: "update", check: onlyUsages },
    validityDays: { type: "integer", default: 365, onChange: "update", check: positiveDays },
  },
  outputs: ["certificatePem", "privateKeyPem"],
  renewedByUpdate: ["certificatePem", "privateKeyPem"],
  secretOutputs: ["privateKeyPem", "caPrivateKeyPem"],

  async create(inputs) {
    const pair = await issue(inputs);
    return { id: fingerprint(pair), outputs: { ...pair } };
  },

  async drift(state) {
    const reason = renewalReason(state.certificatePem as string);
    return reason === undefined ? [] : [{ property: "certificatePem", action: "update", reason }];
  },

  async update(_state, inputs) {
    return { ...(await issue(inputs)) };
  },
};

function issue(inputs: Properties) {
  const authority = {
    certificatePem: inputs.caCertificatePem as string,
    privateKeyPem: inputs.caPrivateKeyPem as string,
  };
  const caEnd = new Date(new X509Certificate(authority.certificatePem).validTo);
  const wanted = inputs.validityDays as number;
  // A certificate that outlives its CA is refused by verifiers at a time nobody expects.
  const daysOfCa = Math.floor((caEnd.getTime() - Date.now()) / (24 * 60 * 60 * 1000));
  if (daysOfCa < 1) throw new Error(`The CA for ${inputs.commonName} expired on ${caEnd.toISOString()}.`);
  return makeCertificate({
    authority,
    subject: {
      commonName: inputs.commonName as string,
      organizations: inputs.organizations as string[],
    },
    dnsNames: inputs.dnsNames as string[],
    ipAddresses: inputs.ipAddresses as string[],
    usages: inputs.usages as Usage[],
    validityDays: Math.min(wanted, daysOfCa),
  });
}

function onlyAddresses(values: readonly string[]): string | undefined {
  const wrong = values.filter((value) => isIP(value) === 0);
  return wrong.length === 0 ? undefined : `has ${wrong.join(", ")}; allowed are IPv4 and IPv6 addresses`;
}

function onlyUsages(values: readonly string[]): string | undefined {
  const wrong = values.filter((value) => !USAGES.includes(value));
  if (values.length === 0) return `is empty; allowed are ${USAGES.join(" and ")}`;
  return wrong.length === 0 ? undefined : `has ${wrong.join(", ")}; allowed are ${USAGES.join(" and ")}`;
}
