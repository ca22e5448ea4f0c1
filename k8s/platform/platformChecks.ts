import { DNS_LABEL_RULE, isDnsLabel } from "../../components/naming";
import type { Problem } from "../../components/problems";
import { BYTE_UNIT_NAMES, parseBytes } from "../../components/quantity";
import { SSL_MODES } from "./access";
import type { PlatformArgs } from "./platform";

/** Names and logins that are taken: MLflow's own, the administrators', and the databases PostgreSQL brings along. */
const TAKEN = {
  databases: ["mlflowdb", "postgres", "template0", "template1"],
  owners: ["mlflow", "postgres"],
  buckets: ["mlflow-artifacts"],
  users: ["mlflow", "root"],
};

/** Every wrong plain argument of a Platform; nothing is said about values that come from other resources. */
export function checkPlatform(args: PlatformArgs): readonly Problem[] {
  return [
    ...checkWorkers(args),
    ...checkStorage(args),
    ...checkDatabase(args),
    ...checkObjectStore(args),
    ...checkShares(args),
  ];
}

function checkShares(args: PlatformArgs): Problem[] {
  const databases = Object.entries(args.databases ?? {});
  const buckets = Object.entries(args.buckets ?? {});
  return [
    ...databases.flatMap(([name]) => checkName(`databases.${name}`, name, TAKEN.databases)),
    ...checkLogins(
      databases.map(([name, { owner }]) => [`databases.${name}.owner`, owner]),
      TAKEN.owners,
    ),
    ...buckets.flatMap(([name]) => checkName(`buckets.${name}`, name, TAKEN.buckets)),
    ...checkLogins(
      buckets.map(([name, { user }]) => [`buckets.${name}.user`, user]),
      TAKEN.users,
    ),
  ];
}

/** Names become parts of Kubernetes names, so they follow their rule; 3 to 40 letters are a bucket's and a job's bounds. */
function checkName(path: string, value: string, taken: readonly string[]): Problem[] {
  if (value.length >= 3 && isDnsLabel(value, 40) && !taken.includes(value)) return [];
  return [
    {
      path,
      value,
      problem: taken.includes(value) ? "is taken" : "is not a name for it",
      allowed: `3 to 40 ${DNS_LABEL_RULE}; not ${taken.join(", ")}`,
      next: "choose another name",
    },
  ];
}

function checkLogins(logins: readonly (readonly [string, string])[], taken: readonly string[]): Problem[] {
  const seen = new Set(taken);
  const problems: Problem[] = [];
  for (const [path, value] of logins) {
    if (!isDnsLabel(value, 40) || seen.has(value)) {
      problems.push({
        path,
        value,
        problem: seen.has(value) ? "is the login of something else" : "is not a login",
        allowed: `${DNS_LABEL_RULE}; each login is used once, and ${taken.join(" and ")} are taken`,
        next: "choose another login",
      });
    }
    seen.add(value);
  }
  return problems;
}

function checkWorkers(args: PlatformArgs): Problem[] {
  const value = args.mlflow.workers;
  if (Number.isInteger(value) && value >= 1 && value <= 16) return [];
  return [
    {
      path: "mlflow.workers",
      value,
      problem: "is not a number of processes",
      allowed: "1 to 16",
      next: "use 1, or 2 when several people work at once",
    },
  ];
}

function checkStorage(args: PlatformArgs): Problem[] {
  const needed = {
    ...(args.database.kind === "internal" ? { "storage.postgres": args.storage.postgres } : {}),
    ...(args.objectStore.kind === "internal" ? { "storage.minio": args.storage.minio } : {}),
  };
  return Object.entries(needed)
    .filter(([, value]) => parseBytes(value) === undefined)
    .map(([path, value]) => ({
      path,
      value,
      problem: "is not a size with a unit",
      allowed: `a number and one of ${BYTE_UNIT_NAMES.join(", ")}`,
      next: `write for example "5Gi"`,
    }));
}

function checkDatabase(args: PlatformArgs): Problem[] {
  const database = args.database;
  if (database.kind === "internal") return [];
  const problems: Problem[] = [];
  if (database.host === "" || /[\s/@]/.test(database.host)) {
    problems.push({
      path: "database.host",
      value: database.host,
      problem: "is neither a DNS name nor an IP address",
      allowed: "a name or address alone, no scheme, port or user",
      next: "write for example db.example.org",
    });
  }
  if (!Number.isInteger(database.port) || database.port < 1 || database.port > 65535) {
    problems.push({
      path: "database.port",
      value: database.port,
      problem: "is not a TCP port",
      allowed: "1 to 65535",
      next: "PostgreSQL usually listens on 5432",
    });
  }
  if (!SSL_MODES.includes(database.sslMode)) {
    problems.push({
      path: "database.sslMode",
      value: database.sslMode,
      problem: "is not a TLS mode of PostgreSQL",
      allowed: SSL_MODES.join(", "),
      next: "use require, or verify-full when the server's certificate can be checked",
    });
  }
  return problems;
}

function checkObjectStore(args: PlatformArgs): Problem[] {
  const store = args.objectStore;
  if (store.kind === "internal" || isServiceUrl(store.endpoint)) return [];
  return [
    {
      path: "objectStore.endpoint",
      // A login may be part of the URL, so the URL is not repeated.
      problem: "is not the URL of a service",
      allowed: "http:// or https://, host and port; no path, no user",
      next: "write for example https://s3.eu-west-1.amazonaws.com; the keys have settings of their own",
    },
  ];
}

function isServiceUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return (
    ["http:", "https:"].includes(url.protocol) &&
    url.username === "" &&
    url.password === "" &&
    ["", "/"].includes(url.pathname) &&
    url.search === "" &&
    url.hash === ""
  );
}
