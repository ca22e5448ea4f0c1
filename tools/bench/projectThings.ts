import type { SecurityGroupRule } from "../../infra/openstack/api/network";
import type { ProjectInventory, Remain } from "../../infra/openstack/remains";
import { MARK_KEY } from "../../infra/openstack/spec";

/** One thing in an OpenStack project. */
export interface Thing {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
}

/** Kinds that bear no mark: whose they are is in their name only. */
const UNMARKED: ReadonlySet<string> = new Set(["keypairs", "serverGroups", "leases"]);

/**
 * Everything an inventory holds of the project, except what bears the mark of another environment: others may work in it at the same
 * time, and theirs comes and goes.
 */
export function thingsOf(inventory: ProjectInventory, environment: string): readonly Thing[] {
  const { projectId, ...lists } = inventory;
  return Object.entries(lists).flatMap(([kind, items]) =>
    (items as readonly Item[])
      .filter(({ project_id }) => project_id === undefined || project_id === projectId)
      .filter((item) => marksOf(item).every((mark) => mark === environment))
      .filter(({ name }) => !UNMARKED.has(kind) || name.endsWith(`-${environment}`))
      .map((item) => ({
        kind,
        id: item.id ?? item.name,
        name: item.name || (item.floating_ip_address ?? ""),
      })),
  );
}

/** What is in only one of two looks at a project, each as a line; nothing when it is as it was. */
export function differences(before: readonly Thing[], after: readonly Thing[]): readonly string[] {
  const missingIn = (others: readonly Thing[]) => {
    const ids = new Set(others.map(({ kind, id }) => `${kind} ${id}`));
    return ({ kind, id }: Thing) => !ids.has(`${kind} ${id}`);
  };
  return [
    ...after.filter(missingIn(before)).map(({ kind, name, id }) => `more: ${kind} ${name || id}`),
    ...before.filter(missingIn(after)).map(({ kind, name, id }) => `gone: ${kind} ${name || id}`),
  ];
}

/** What an environment has, a line each, without its own name and what chance decides: the same for two that are alike. */
export function describeThings(
  environment: string,
  remains: readonly Remain[],
  rules: readonly SecurityGroupRule[],
): readonly string[] {
  const things = remains.map(({ kind, name }) =>
    kind === "floating IP" ? kind : `${kind} ${withoutName(name, environment)}`,
  );
  const groups = new Map(
    remains.filter(({ kind }) => kind === "security group").map(({ id, name }) => [id, name]),
  );
  const opened = rules.flatMap((rule) => {
    const group = groups.get(rule.security_group_id);
    if (group === undefined) return [];
    const { direction, ethertype, protocol, port_range_min: port, remote_ip_prefix: from } = rule;
    return [
      `rule of ${withoutName(group, environment)}: ${direction} ${ethertype} ${protocol} ${port} ${from}`,
    ];
  });
  return [...things, ...opened].sort();
}

/** What is there beyond what is wanted, and what is missing; something may be there several times. */
export function unlike(made: readonly string[], wanted: readonly string[]): readonly string[] {
  const rest = [...wanted];
  const more = made.filter((thing) => {
    const at = rest.indexOf(thing);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  return [...more.map((thing) => `too much: ${thing}`), ...rest.map((thing) => `missing: ${thing}`)];
}

/** Fields of the inventory's lists that say what something is and whose. */
interface Item {
  readonly id?: string;
  readonly name: string;
  readonly project_id?: string;
  readonly floating_ip_address?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
  readonly description?: string;
}

/** Environments whose mark something bears. */
function marksOf({ metadata, tags = [], description = "" }: Item): readonly string[] {
  const words = [...tags, ...description.split(/\s+/)];
  const prefix = `${MARK_KEY}=`;
  const marked = metadata?.[MARK_KEY];
  return [
    ...words.filter((word) => word.startsWith(prefix)).map((word) => word.slice(prefix.length)),
    ...(marked === undefined ? [] : [marked]),
  ];
}

function withoutName(name: string, environment: string): string {
  return name.endsWith(`-${environment}`) ? name.slice(0, -environment.length - 1) : name;
}
