import { createHash } from "node:crypto";
import type * as pulumi from "@pulumi/pulumi";

/** Outputs of one resource type: from its name and inputs. Wrap a secret with `fakeSecret`. */
export type FakeOutputs = (name: string, inputs: any) => Record<string, unknown>;

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";

/** A value the fake engine returns as a secret. */
export function fakeSecret(value: unknown): unknown {
  return { [SIGNATURE]: SECRET_SIGNATURE, value };
}

/** Looks like what the own provider and the command provider return; secrets differ by resource name. */
const builtIn: Readonly<Record<string, FakeOutputs>> = {
  "gourmetgram:random:Password": (name, inputs) => ({
    ...inputs,
    result: fakeSecret(fakePassword(name, inputs.length ?? 32)),
  }),
  "gourmetgram:random:Token": (name, inputs) => ({
    ...inputs,
    result: fakeSecret(`${fakePassword(name, 6)}.${fakePassword(name, 16)}`),
  }),
  "gourmetgram:random:Bytes": (name, inputs) => ({
    ...inputs,
    base64: fakeSecret(Buffer.from(fakePassword(name, inputs.length ?? 32)).toString("base64")),
  }),
  "gourmetgram:tls:CertificateAuthority": (name, inputs) => ({
    ...inputs,
    certificatePem: `${name} certificate`,
    privateKeyPem: fakeSecret(`${name} private key`),
    publicKeyHash: `sha256:${fakePassword(name, 64)}`,
  }),
  "gourmetgram:tls:Certificate": (name, inputs) => ({
    ...inputs,
    certificatePem: `${name} certificate`,
    privateKeyPem: fakeSecret(`${name} private key`),
  }),
  "gourmetgram:tls:KeyPair": (name, inputs) => ({
    ...inputs,
    privateKeyPem: fakeSecret(`${name} private key`),
    publicKeyPem: `${name} public key`,
    privateKeyOpenssh: fakeSecret(`${name} private key`),
    publicKeyOpenssh: `ssh-ed25519 ${name}`,
  }),
  "gourmetgram:local:Network": (name, inputs) => ({
    ...inputs,
    bridge: `${name}-bridge`,
    gateway: "10.87.0.1",
    network: inputs.cidr,
  }),
  "gourmetgram:local:Machine": (name, inputs) => ({
    ...inputs,
    instanceId: `${name}-1`,
    folder: `/machines/${name}`,
  }),
  "gourmetgram:openstack:Lease": (name, inputs) => ({
    ...inputs,
    leaseId: `${name}-lease`,
    reservationId: `${name}-reservation`,
    flavorId: `${name}-flavor`,
    startsAt: "2026-01-01T00:00:00Z",
    endsAt: "2026-01-02T00:00:00Z",
    status: "ACTIVE",
  }),
  "gourmetgram:cluster:BundleCopy": (_, inputs) => ({
    ...inputs,
    path: `/var/lib/gourmetgram/bundles/${inputs.key}`,
  }),
  "gourmetgram:cluster:HomeSnapshot": (_, inputs) => ({ ...inputs, restored: false }),
  "openstack:networking/floatingIp:FloatingIp": (_, inputs) => ({ ...inputs, address: "203.0.113.10" }),
  "command:remote:Command": (name, inputs) => ({ ...inputs, stdout: `${name}.stdout`, stderr: "" }),
  "command:local:Command": (name, inputs) => ({ ...inputs, stdout: `${name}.stdout`, stderr: "" }),
};

/** What a look-up finds: something of the name asked for. */
export function fakeLookup(args: pulumi.runtime.MockCallArgs): Record<string, unknown> {
  return args.token.startsWith("openstack:")
    ? { ...args.inputs, id: `id-of-${args.inputs["name"]}` }
    : args.inputs;
}

/** The value `Password` of that resource name gets from the fake engine, to be searched for in tests. */
export function fakePassword(name: string, length = 32): string {
  return createHash("sha512").update(name).digest("hex").slice(0, length);
}

/**
 * What the fake engine answers for a new resource. In a preview, resources that are made by code on this host or on a
 * machine have unknown outputs, as with the real engine; others echo their inputs.
 */
export function fakeOutputs(
  args: pulumi.runtime.MockResourceArgs,
  options: { preview: boolean; fakes: Readonly<Record<string, FakeOutputs>> },
): { id: string | undefined; state: Record<string, unknown> } {
  const fake = options.fakes[args.type] ?? builtIn[args.type];
  const metadata = args.inputs["metadata"]?.value ?? args.inputs["metadata"];
  const kubernetesName = metadata?.name
    ? `${metadata.namespace ? `${metadata.namespace}/` : ""}${metadata.name}`
    : "";
  return {
    id: args.custom === false ? undefined : kubernetesName || `${args.name}-id`,
    state: fake && !options.preview ? fake(args.name, args.inputs) : args.inputs,
  };
}
