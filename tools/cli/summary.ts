import type { StackOutputs } from "./outputs";

/** Names for the URLs a stack gives, in the order shown. */
const URL_NAMES: Readonly<Record<string, string>> = {
  mlflow: "MLflow",
  minioConsole: "MinIO console",
  s3: "S3 API",
};

/** What stands on the screen when `up` is done. Holds no secret. */
export function renderSummary(
  stack: string,
  outputs: StackOutputs,
  run: { readonly changes: number; readonly took: string },
): string {
  const argument = stack === "local" ? "" : ` ${stack}`;
  const order = Object.keys(URL_NAMES);
  const urls = Object.entries((outputs["urls"] ?? {}) as Record<string, string | undefined>)
    .filter(([, url]) => url)
    .sort(([left], [right]) => order.indexOf(left) - order.indexOf(right));
  const width = Math.max(12, ...urls.map(([name]) => (URL_NAMES[name] ?? name).length));
  const changed = run.changes === 0 ? "nothing had to change" : `${run.changes} resources changed`;
  return [
    "",
    `The environment "${stack}" is up (${changed}, ${run.took}).`,
    "",
    ...urls.map(([name, url]) => `  ${(URL_NAMES[name] ?? name).padEnd(width)}  ${url}`),
    `  ${"Nodes".padEnd(width)}  ${Object.keys((outputs["nodes"] ?? {}) as object).join(", ")}`,
    "",
    `  Log in:     npm run outputs --${argument} --show-secrets`,
    `  Look:       npm run kubectl --${argument === "" ? "" : `${argument} --`} get pods -A`,
    `  Change it:  edit Pulumi.${stack}.yaml, then npm run preview${argument === "" ? "" : ` --${argument}`} and npm run up${argument === "" ? "" : ` --${argument}`}`,
    `  Remove it:  npm run destroy${argument === "" ? "" : ` --${argument}`}`,
  ].join("\n");
}
