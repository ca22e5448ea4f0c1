import { DNS_LABEL_RULE, isDnsLabel } from "../../components/naming";
import type { Problem } from "../../components/problems";
import type { GatewayArgs } from "./gateway";
import { HEALTH, HEALTH_PORT, openServices } from "./routing";

/** Every wrong plain argument of a Gateway; nothing is said about values that come from other resources. */
export function checkGateway(args: GatewayArgs): readonly Problem[] {
  return [...checkServices(args), ...checkWeighted(args)];
}

function checkServices(args: GatewayArgs): Problem[] {
  const problems: Problem[] = [];
  const owners = new Map<number, string>([[HEALTH_PORT, "the gateway's own health"]]);
  for (const [name, service] of openServices(args.services)) {
    const path = `services.${name}`;
    // Listener, entry point and, with the prefix of the component, resource are named after it.
    if (!isDnsLabel(name, 40) || name === HEALTH) {
      problems.push({
        path,
        value: name,
        problem: "cannot be the name of a listener",
        allowed: `at most 40 ${DNS_LABEL_RULE}; not ${HEALTH}`,
        next: "choose another name",
      });
    }
    const owner = owners.get(service.port);
    if (!isPort(service.port)) problems.push(portProblem(`${path}.port`, service.port));
    else if (owner !== undefined) {
      problems.push({
        path: `${path}.port`,
        value: service.port,
        problem: `is the port of ${owner} too`,
        allowed: "a port of its own",
        next: "choose another port",
      });
    }
    owners.set(service.port, name);
    if ("backend" in service && !isPort(service.backend.port)) {
      problems.push(portProblem(`${path}.backend.port`, service.backend.port));
    }
  }
  return problems;
}

function checkWeighted(args: GatewayArgs): Problem[] {
  const problems: Problem[] = [];
  const routed = openServices(args.services).flatMap(([name, service]) =>
    "backend" in service ? [name] : [],
  );
  for (const [name, backends] of Object.entries(args.weighted ?? {})) {
    const path = `weighted.${name}`;
    if (routed.includes(name)) {
      problems.push({
        path,
        problem: "has the name of a service with a backend",
        allowed: "a name of its own, or that of a service with routes of its own",
        next: "choose another name",
      });
    }
    const weights = Object.values(backends).map(({ weight }) => weight);
    if (weights.reduce((sum, weight) => sum + weight, 0) <= 0) {
      problems.push({
        path,
        value: weights,
        problem: "sends no request anywhere",
        allowed: "at least one weight above 0",
        next: "give one backend a weight",
      });
    }
    for (const [backend, { weight, port, healthPath }] of Object.entries(backends)) {
      if (!Number.isInteger(weight) || weight < 0) {
        problems.push({
          path: `${path}.${backend}.weight`,
          value: weight,
          problem: "is not a weight",
          allowed: "whole numbers from 0",
          next: "write for example 90 and 10",
        });
      }
      if (!isPort(port)) problems.push(portProblem(`${path}.${backend}.port`, port));
      if (!healthPath.startsWith("/")) {
        problems.push({
          path: `${path}.${backend}.healthPath`,
          value: healthPath,
          problem: "is not a path",
          allowed: "an absolute path",
          next: "write for example /readyz",
        });
      }
    }
  }
  return problems;
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}

function portProblem(path: string, value: number): Problem {
  return {
    path,
    value,
    problem: "is not a TCP port",
    allowed: "1 to 65535",
    next: "choose a port in this range",
  };
}
