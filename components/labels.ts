import { isDnsLabel } from "./naming";

/** Whom an object belongs to; becomes the recommended `app.kubernetes.io/*` labels. */
export interface LabelArgs {
  /** The application: `mlflow`, `postgres`. */
  readonly name: string;
  /** Which one of several of the same application. @default `name` */
  readonly instance?: string;
  /** Its role in the whole: `database`, `tracking-server`. @default none */
  readonly component?: string;
  /** Version of the application. Never part of a selector. @default none */
  readonly version?: string;
}

/** What all objects of this project are part of, and who made them. */
const PART_OF = "gourmetgram";
const MANAGED_BY = "pulumi";

/** Labels for an object and, where it has one, its pod template. */
export function labels(args: LabelArgs): Record<string, string> {
  return {
    ...selectorLabels(args),
    ...(args.component === undefined ? {} : { "app.kubernetes.io/component": args.component }),
    ...(args.version === undefined ? {} : { "app.kubernetes.io/version": args.version }),
    "app.kubernetes.io/part-of": PART_OF,
    "app.kubernetes.io/managed-by": MANAGED_BY,
  };
}

/**
 * The subset for selectors. Selectors are immutable, so it holds only what never changes in the life of an
 * object: an upgrade changes the version label, and must not replace the Deployment.
 */
export function selectorLabels(args: LabelArgs): Record<string, string> {
  return {
    "app.kubernetes.io/name": args.name,
    "app.kubernetes.io/instance": args.instance ?? args.name,
  };
}

/** Why `key` is no label key, or `undefined` when it is one: `[prefix/]name`, name <= 63, prefix a DNS name. */
export function labelKeyProblem(key: string): string | undefined {
  const parts = key.split("/");
  const name = parts.at(-1) ?? "";
  if (parts.length > 2) {
    return "has more than one '/'";
  }
  if (!/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(name)) {
    return "is not a label key";
  }
  if (parts.length === 2 && !isDnsName(parts[0] ?? "")) {
    return "has a prefix that is not a DNS name";
  }
  return undefined;
}

/** True when `value` may be the value of a label or a taint; the empty text may. */
export function isLabelValue(value: string): boolean {
  return value === "" || /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(value);
}

function isDnsName(text: string): boolean {
  return text.length <= 253 && text.split(".").every((label) => isDnsLabel(label));
}
