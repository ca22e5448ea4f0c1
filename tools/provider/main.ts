import type { ResourceKind } from "./resourceKind";
import { serve } from "./server";

/** Version told to the engine; the provider lives and changes with this checkout. */
const VERSION = "0.1.0";

/** Every kind this provider has. Required on first use: a run that only reads a password loads no X.509 library. */
const KINDS: Readonly<Record<string, () => ResourceKind>> = {
  "gourmetgram:tls:CertificateAuthority": () => require("./certificateAuthority").certificateAuthority,
  "gourmetgram:tls:Certificate": () => require("./certificate").certificate,
  "gourmetgram:tls:KeyPair": () => require("./keyPair").keyPair,
  "gourmetgram:random:Password": () => require("./random").password,
  "gourmetgram:random:Token": () => require("./random").token,
  "gourmetgram:random:Bytes": () => require("./random").bytes,
  "gourmetgram:local:Network": () => require("./localNetwork").localNetwork,
  "gourmetgram:local:Machine": () => require("./localMachine").localMachine,
  "gourmetgram:openstack:Lease": () => require("./lease").lease,
  "gourmetgram:cluster:BundleCopy": () => require("./bundleCopy").bundleCopy,
  "gourmetgram:cluster:HomeSnapshot": () => require("./homeSnapshot").homeSnapshot,
};

// The engine passes its own address as the only argument without a dash.
const engineAddress = process.argv.slice(2).find((argument) => !argument.startsWith("-"));

serve(KINDS, VERSION, engineAddress).catch((error: unknown) => {
  process.stderr.write(`pulumi-resource-gourmetgram: ${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
});
