import type { AccessOutput } from "./accessBundle";
import type { StackOutputs } from "./outputs";

/** Names for the URLs a stack gives, in the order shown. */
const URL_NAMES: Readonly<Record<string, string>> = {
  production: "Production",
  canary: "Canary",
  staging: "Staging",
  mlflow: "MLflow",
  "argo-workflows": "Argo Workflows",
  argocd: "Argo CD",
  "minio-console": "MinIO console",
  git: "Git",
  webhook: "Webhook",
  s3: "S3 API",
};

/** What stands on the screen when `up` is done. Holds no secret. */
export function renderSummary(
  stack: string,
  outputs: StackOutputs,
  run: { readonly changes: number; readonly took: string },
): string {
  const argument = stack === "local" ? "" : ` -- ${stack}`;
  const option = stack === "local" ? "" : ` --stack ${stack}`;
  const order = Object.keys(URL_NAMES);
  const access = outputs["access"] as AccessOutput | undefined;
  const urls = Object.entries((outputs["urls"] ?? {}) as Record<string, string | undefined>)
    .filter(([, url]) => url)
    .sort(([left], [right]) => order.indexOf(left) - order.indexOf(right));
  const width = Math.max(12, ...urls.map(([name]) => (URL_NAMES[name] ?? name).length));
  const changed = run.changes === 0 ? "nothing had to change" : `${run.changes} resources changed`;
  const tunnelled = (name: string) =>
    access?.services[name]?.exposure === "tunnel" ? `  while npm run tunnel${argument} is open` : "";
  return [
    "",
    `The environment "${stack}" is up (${changed}, ${run.took}).`,
    "",
    ...urls.map(([name, url]) => `  ${(URL_NAMES[name] ?? name).padEnd(width)}  ${url}${tunnelled(name)}`),
    `  ${"Nodes".padEnd(width)}  ${Object.keys((outputs["nodes"] ?? {}) as object).join(", ")}`,
    "",
    ...(access === undefined
      ? [`  Log in:     npm run outputs --${stack === "local" ? "" : ` ${stack}`} --show-secrets`]
      : [
          `  Log in:     npm run access${argument}`,
          `  Train:      npm run train --${option} --wait`,
          `  Who did it: npm run ledger${argument}`,
        ]),
    `  Look:       npm run kubectl --${stack === "local" ? "" : ` ${stack} --`} get pods -A`,
    `  Change it:  edit Pulumi.${stack}.yaml, then npm run preview${argument} and npm run up${argument}`,
    `  Remove it:  npm run destroy${argument}`,
  ].join("\n");
}
