import {
  createHash,
  createPrivateKey,
  X509Certificate as NodeCertificate,
  randomBytes,
  webcrypto,
} from "node:crypto";

/** Curve and hash of every CA and certificate made here. */
const EC = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;

const DAY_MS = 24 * 60 * 60 * 1000;

/** A certificate is valid from this long before it was made, for machines whose clock runs behind. */
const CLOCK_SKEW_MS = 10 * 60 * 1000;

/** Certificates are renewed when less than this is left, or less than a third of their validity if that is shorter. */
const RENEWAL_DAYS = 30;

export type Usage = "clientAuth" | "serverAuth";

export interface Subject {
  readonly commonName: string;
  readonly organizations: readonly string[];
}

export interface CertificatePair {
  readonly certificatePem: string;
  /** PKCS#8, PEM. */
  readonly privateKeyPem: string;
}

/** A self-signed CA. With `privateKeyPem` it keeps that key, so that everything it signed stays valid. */
export async function makeAuthority(
  subject: Subject,
  validityDays: number,
  privateKeyPem?: string,
): Promise<CertificatePair> {
  const x509 = library();
  const keys = privateKeyPem === undefined ? await newKeys() : await importKeys(privateKeyPem);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: nameOf(subject),
    ...validity(validityDays),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: pem(certificate), privateKeyPem: await exportKey(keys.privateKey) };
}

/** A certificate with a new key, signed by the CA. */
export async function makeCertificate(options: {
  readonly authority: CertificatePair;
  readonly subject: Subject;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly usages: readonly Usage[];
  readonly validityDays: number;
}): Promise<CertificatePair> {
  const x509 = library();
  const issuer = new x509.X509Certificate(options.authority.certificatePem);
  const signer = await importKeys(options.authority.privateKeyPem);
  const keys = await newKeys();
  const names = [
    ...options.dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...options.ipAddresses.map((value) => ({ type: "ip" as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: nameOf(options.subject),
    issuer: issuer.subjectName,
    ...validity(options.validityDays),
    publicKey: keys.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(options.usages.map((usage) => x509.ExtendedKeyUsage[usage])),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return { certificatePem: pem(certificate), privateKeyPem: await exportKey(keys.privateKey) };
}

/** `sha256:` and the hex SHA-256 of the certificate's public key (SPKI, DER): what `kubeadm join` verifies a CA by. */
export function publicKeyHash(certificatePem: string): string {
  const spki = new NodeCertificate(certificatePem).publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(spki).digest("hex")}`;
}

/** Why the certificate needs to be made anew, or nothing. */
export function renewalReason(certificatePem: string, now: Date = new Date()): string | undefined {
  const certificate = new NodeCertificate(certificatePem);
  const end = new Date(certificate.validTo);
  const whole = end.getTime() - new Date(certificate.validFrom).getTime();
  const left = end.getTime() - now.getTime();
  if (left >= Math.min(RENEWAL_DAYS * DAY_MS, whole / 3)) return undefined;
  const subject = certificate.subject.split("\n").at(-1);
  const when = end.toISOString().slice(0, 10);
  return left <= 0
    ? `The certificate ${subject} expired on ${when} and is made anew.`
    : `The certificate ${subject} ends on ${when}, in ${Math.floor(left / DAY_MS)} days, and is made anew.`;
}

function library(): typeof import("@peculiar/x509") {
  // The library's injection container insists on the metadata half of Reflect, which it only uses for classes with
  // constructor parameters to inject; there are none among those used here.
  const reflect = Reflect as unknown as Record<string, unknown>;
  reflect.getMetadata ??= () => undefined;
  reflect.getOwnMetadata ??= () => undefined;
  const x509 = require("@peculiar/x509") as typeof import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto as never);
  return x509;
}

function nameOf(subject: Subject): { [type: string]: string[] }[] {
  return [
    ...subject.organizations.map((organization) => ({ O: [organization] })),
    { CN: [subject.commonName] },
  ];
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - CLOCK_SKEW_MS), notAfter: new Date(now + days * DAY_MS) };
}

/** 127 random bits, positive, as RFC 5280 wants them (at most 20 octets). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString("hex");
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
}

async function importKeys(privateKeyPem: string): Promise<webcrypto.CryptoKeyPair> {
  const key = createPrivateKey(privateKeyPem);
  const jwk = key.export({ format: "jwk" });
  const pkcs8 = key.export({ type: "pkcs8", format: "der" });
  const publicJwk = { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y } as webcrypto.JsonWebKey;
  return {
    privateKey: await webcrypto.subtle.importKey("pkcs8", pkcs8, EC, true, ["sign"]),
    publicKey: await webcrypto.subtle.importKey("jwk", publicJwk, EC, true, ["verify"]),
  } as webcrypto.CryptoKeyPair;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    .export({ type: "pkcs8", format: "pem" })
    .toString();
}

function pem(certificate: { toString(format: "pem"): string }): string {
  return `${certificate.toString("pem").trimEnd()}\n`;
}
