import "./sdkParts";
import { readBundleLocation, readEnvironment, readLastLayer } from "./config";
import { Environment } from "./environment";

// The SDK takes a stack for each resource and each promise. Pointing all of them at TypeScript lines is a sixth of the program's
// time; with GOURMETGRAM_DEBUG=1 it is done.
if (process.env["GOURMETGRAM_DEBUG"] !== "1") Reflect.deleteProperty(Error, "prepareStackTrace");

// The Pulumi program: settings -> environment -> outputs. Everything else is in the modules it names.
const spec = readEnvironment();
const environment = new Environment(spec.name, {
  spec,
  bundle: readBundleLocation(process.env, undefined, spec.infra.kind),
  upTo: readLastLayer(),
});

export const { kubeconfig, urls, access, credentials, nodes, ssh } = environment.outputs;
