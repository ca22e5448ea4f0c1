import { readBundleLocation, readEnvironment, readLastLayer } from "./config";
import { Environment } from "./environment";

// The Pulumi program: settings -> environment -> outputs. Everything else is in the modules it names.
const spec = readEnvironment();
const environment = new Environment(spec.name, {
  spec,
  bundle: readBundleLocation(),
  upTo: readLastLayer(),
});

export const { kubeconfig, urls, access, credentials, nodes, ssh } = environment.outputs;
