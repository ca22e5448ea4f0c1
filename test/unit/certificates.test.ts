import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, sign, verify, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { certificate } from "../../tools/provider/certificate";
import { certificateAuthority } from "../../tools/provider/certificateAuthority";
import { keyPair, makeKeyPair } from "../../tools/provider/keyPair";
import type { CallContext } from "../../tools/provider/resourceKind";
import { makeAuthority, makeCertificate, publicKeyHash, renewalReason } from "../../tools/provider/x509";

const DAY = 24 * 60 * 60 * 1000;
const context: CallContext = { urn: "", progress: () => undefined, info: () => undefined };

let authority: { certificatePem: string; privateKeyPem: string };
let folder: string;

beforeAll(async () => {
  authority = await makeAuthority({ commonName: "test authority", organizations: [] }, 3650);
  folder = mkdtempSync(join(tmpdir(), "certificates-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

function leaf(overrides: Partial<Parameters<typeof makeCertificate>[0]> = {}) {
  return makeCertificate({
    authority,
    subject: { commonName: "kubernetes-admin", organizations: ["system:masters", "second"] },
    dnsNames: ["node1", "kubernetes.default.svc"],
    ipAddresses: ["10.87.0.11", "fd00::11"],
    usages: ["clientAuth", "serverAuth"],
    validityDays: 365,
    ...overrides,
  });
}

describe("an authority", () => {
  test("is a self-signed CA on P-256, valid for the days asked for", () => {
    const parsed = new X509Certificate(authority.certificatePem);
    expect(parsed.ca).toBe(true);
    expect(parsed.subject).toBe("CN=test authority");
    expect(parsed.issuer).toBe(parsed.subject);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(parsed.checkPrivateKey(createPrivateKey(authority.privateKeyPem))).toBe(true);
    const days = (Date.parse(parsed.validTo) - Date.now()) / DAY;
    expect(days).toBeCloseTo(3650, 1);
    expect(Date.parse(parsed.validFrom)).toBeLessThan(Date.now());
  });

  test("has the hash that openssl computes for kubeadm", () => {
    const file = join(folder, "ca.pem");
    writeFileSync(file, authority.certificatePem);
    const publicKey = execFileSync("openssl", ["x509", "-pubkey", "-noout", "-in", file]);
    const der = execFileSync("openssl", ["pkey", "-pubin", "-outform", "der"], { input: publicKey });
    expect(publicKeyHash(authority.certificatePem)).toBe(
      `sha256:${createHash("sha256").update(der).digest("hex")}`,
    );
  });

  test("renewed in place keeps its key and hash, and still vouches for what it signed", async () => {
    const signed = new X509Certificate((await leaf()).certificatePem);
    const created = await certificateAuthority.create({ commonName: "a", validityDays: 100 }, context);
    const state: Record<string, unknown> = { commonName: "a", validityDays: 100, ...created.outputs };
    const renewed = await certificateAuthority.update?.(
      state,
      { commonName: "a", validityDays: 200 },
      context,
    );
    expect(renewed?.privateKeyPem).toBe(state.privateKeyPem);
    expect(renewed?.publicKeyHash).toBe(state.publicKeyHash);
    expect(renewed?.certificatePem).not.toBe(state.certificatePem);
    expect(new X509Certificate(renewed?.certificatePem as string).ca).toBe(true);

    const again = await makeAuthority(
      { commonName: "test authority", organizations: [] },
      10,
      authority.privateKeyPem,
    );
    expect(signed.verify(new X509Certificate(again.certificatePem).publicKey)).toBe(true);
  });
});

describe("a certificate", () => {
  test("carries subject, names, usages, and is signed by its authority", async () => {
    const pair = await leaf();
    const parsed = new X509Certificate(pair.certificatePem);
    expect(parsed.subject).toBe("O=system:masters\nO=second\nCN=kubernetes-admin");
    expect(parsed.subjectAltName).toBe(
      "DNS:node1, DNS:kubernetes.default.svc, IP Address:10.87.0.11, IP Address:FD00:0:0:0:0:0:0:11",
    );
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"]);
    expect(parsed.ca).toBe(false);
    expect(parsed.checkIssued(new X509Certificate(authority.certificatePem))).toBe(true);
    expect(parsed.verify(new X509Certificate(authority.certificatePem).publicKey)).toBe(true);
    expect(parsed.checkPrivateKey(createPrivateKey(pair.privateKeyPem))).toBe(true);
    expect(parsed.checkIP("10.87.0.11")).toBe("10.87.0.11");
    expect(parsed.checkHost("node1")).toBe("node1");
  });

  test("passes openssl's chain check for both purposes", async () => {
    const [ca, cert] = [join(folder, "chain-ca.pem"), join(folder, "chain.pem")];
    writeFileSync(ca, authority.certificatePem);
    writeFileSync(cert, (await leaf()).certificatePem);
    for (const purpose of ["sslclient", "sslserver"]) {
      const said = execFileSync("openssl", [
        "verify",
        "-x509_strict",
        "-purpose",
        purpose,
        "-CAfile",
        ca,
        cert,
      ]);
      expect(said.toString()).toContain("OK");
    }
  });

  test("for clients only is no server certificate", async () => {
    const parsed = new X509Certificate((await leaf({ usages: ["clientAuth"] })).certificatePem);
    expect(parsed.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  });

  test("never outlives its authority", async () => {
    const short = await makeAuthority({ commonName: "short", organizations: [] }, 20);
    const inputs = {
      caCertificatePem: short.certificatePem,
      caPrivateKeyPem: short.privateKeyPem,
      commonName: "x",
      organizations: [],
      dnsNames: [],
      ipAddresses: [],
      usages: ["clientAuth"],
      validityDays: 365,
    };
    const { outputs } = await certificate.create(inputs, context);
    const end = Date.parse(new X509Certificate(outputs.certificatePem as string).validTo);
    expect(end).toBeLessThanOrEqual(Date.parse(new X509Certificate(short.certificatePem).validTo));
  });

  test("serial numbers are positive and never repeat", async () => {
    const serials = await Promise.all(
      Array.from({ length: 8 }, async () => new X509Certificate((await leaf()).certificatePem).serialNumber),
    );
    expect(new Set(serials).size).toBe(8);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });
});

describe("renewal", () => {
  test("is due from 30 days before the end, and says when that is", async () => {
    const { certificatePem } = await leaf();
    const at = (days: number) => renewalReason(certificatePem, new Date(Date.now() + days * DAY));
    expect(at(334)).toBeUndefined();
    expect(at(336)).toMatch(/CN=kubernetes-admin ends on \d{4}-\d\d-\d\d, in 28 days/);
    expect(at(366)).toMatch(/expired on/);
  });

  test("of a short certificate is due in its last third, not at once", async () => {
    const { certificatePem } = await leaf({ validityDays: 9 });
    const at = (days: number) => renewalReason(certificatePem, new Date(Date.now() + days * DAY));
    expect(at(0)).toBeUndefined();
    expect(at(5)).toBeUndefined();
    expect(at(7)).toBeDefined();
  });

  test("shows as an update of the certificate, with the reason", async () => {
    const { certificatePem } = await leaf({ validityDays: 9 });
    const state = { certificatePem };
    expect(await certificate.drift?.(state, context)).toEqual([]);
    vi.useFakeTimers({ now: Date.now() + 7 * DAY });
    try {
      expect(await certificate.drift?.(state, context)).toMatchObject([
        { property: "certificatePem", action: "update", reason: expect.stringContaining("in 1 days") },
      ]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("a key pair", () => {
  test.each([
    "rsa-2048",
    "ed25519",
    "ecdsa-p256",
  ])("%s: private and public halves belong together", (algorithm) => {
    const keys = makeKeyPair(algorithm);
    const hash = algorithm === "ed25519" ? null : "sha256";
    const signature = sign(hash, Buffer.from("text"), createPrivateKey(keys.privateKeyPem));
    expect(verify(hash, Buffer.from("text"), createPublicKey(keys.publicKeyPem), signature)).toBe(true);
  });

  test.each([
    "rsa-2048",
    "ed25519",
    "ecdsa-p256",
  ])("%s: OpenSSH reads it and derives the same public key", (algorithm) => {
    const keys = makeKeyPair(algorithm);
    const file = join(folder, algorithm);
    writeFileSync(file, keys.privateKeyOpenssh, { mode: 0o600 });
    const derived = execFileSync("ssh-keygen", ["-y", "-f", file]).toString().trim();
    expect(derived.split(" ").slice(0, 2)).toEqual(keys.publicKeyOpenssh.split(" ").slice(0, 2));
  });

  test("of an unknown algorithm is refused with the known ones", () => {
    expect(keyPair.fields.algorithm?.check?.("dsa" as never)).toMatch(/dsa.*rsa-2048, ed25519, ecdsa-p256/);
  });
});
