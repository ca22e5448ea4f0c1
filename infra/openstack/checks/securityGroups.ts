import { nearest } from "../../../components/nearest";
import type { SecurityGroup, SecurityGroupRule } from "../api/network";
import { ALWAYS_OPEN, type OpenStackSpec } from "../spec";
import { fail, type PreflightRow, pass } from "./row";

/** Existing groups exist and together open what has to be reached from outside. */
export function checkSecurityGroups(
  infra: OpenStackSpec,
  publicPorts: readonly number[],
  groups: readonly SecurityGroup[],
): PreflightRow {
  const check = "security groups";
  const ports = [...ALWAYS_OPEN, ...publicPorts];
  if (infra.securityGroups.kind === "created") return pass(check, `made here, for ${ports.join(", ")}`);
  const chosen: SecurityGroup[] = [];
  for (const [index, name] of infra.securityGroups.names.entries()) {
    const named = groups.filter((group) => group.name === name || group.id === name);
    if (named[0] === undefined || named.length > 1) {
      const names = groups.map((group) => group.name);
      const meant = nearest(name, names);
      return fail(check, named.length === 0 ? `${name} does not exist` : `${named.length} of one name`, {
        path: `infra.securityGroups.names[${index}]`,
        value: name,
        problem:
          named.length === 0
            ? "is no security group of this project"
            : `is the name of ${named.length} groups`,
        allowed: names.sort().join(", "),
        next: meant === undefined ? "choose one of them" : `did you mean "${meant}"?`,
      });
    }
    chosen.push(named[0]);
  }
  const closed = closedPorts(chosen, ports);
  if (closed.length === 0) return pass(check, `${chosen.length} groups open ${ports.join(", ")}`);
  const [first] = chosen;
  return fail(check, `closed: ${closed.join(", ")}`, {
    path: "infra.securityGroups.names",
    value: infra.securityGroups.names,
    problem: `do not open TCP ${closed.length === 1 ? "port" : "ports"} ${closed.join(", ")} to anybody outside`,
    allowed: `groups that together open ${ports.join(", ")}`,
    next: `add a group that does, or a rule: openstack security group rule create --protocol tcp --dst-port ${closed[0]} --remote-ip <your network> ${first?.name ?? "<group>"}`,
  });
}

/** Ports that no rule of the groups opens to some network. A rule for members of a group opens nothing to the outside. */
export function closedPorts(groups: readonly SecurityGroup[], ports: readonly number[]): number[] {
  const rules = groups.flatMap(({ security_group_rules }) => security_group_rules).filter(fromOutside);
  return ports.filter((port) => !rules.some((rule) => opens(rule, port)));
}

function fromOutside(rule: SecurityGroupRule): boolean {
  const tcp = [null, "any", "tcp", "6", "0"].includes(rule.protocol);
  return rule.direction === "ingress" && rule.ethertype === "IPv4" && tcp && rule.remote_group_id === null;
}

function opens({ port_range_min: low, port_range_max: high }: SecurityGroupRule, port: number): boolean {
  return low === null || (low <= port && port <= (high ?? low));
}
