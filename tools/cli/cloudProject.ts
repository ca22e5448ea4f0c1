import { homedir } from "node:os";
import { homeNode } from "../../components/homeNode";
import { ProblemsError } from "../../components/problems";
import { readCloud } from "../../infra/openstack/api/clouds";
import { listSecurityGroupRules } from "../../infra/openstack/api/network";
import { openSession, type Session } from "../../infra/openstack/api/session";
import { findRemains, type Remain, removeRemains } from "../../infra/openstack/audit";
import { type Drift, findDrift } from "../../infra/openstack/drift";
import {
  type ExistingKind,
  type ExistingResources,
  existingIds,
  nothingExists,
} from "../../infra/openstack/existing";
import { checkOpenStack, type PreflightRow, renderPreflight } from "../../infra/openstack/preflight";
import { type ExternalGitSpec, type OpenStackEnvironmentSpec, publicPorts } from "../../stacks/spec";
import type { CloudSettings } from "./cloudSettings";
import { CommandError, ExitCode } from "./commandError";
import { existingOf } from "./openstackState";
import type { ExportedDeployment } from "./pending";
import type { Print } from "./prepare";
import { PROJECT_ROOT } from "./project";

/** A login in the project of a clouds.yaml entry. @throws ProblemsError, ApiError */
export function openProject(cloud: string): Promise<Session> {
  return openSession(readCloud(cloud, { env: process.env, cwd: PROJECT_ROOT, home: homedir() }));
}

/** An open project and what the state says is in it. */
export interface CloudProject {
  readonly session: Session;
  readonly spec: OpenStackEnvironmentSpec;
  readonly existing: ExistingResources;
}

/** Logs in. @param state what the environment's state holds, if it has one. @throws ProblemsError */
export async function openCloudProject(
  spec: OpenStackEnvironmentSpec,
  state: ExportedDeployment | undefined,
): Promise<CloudProject> {
  const existing = existingOf(state);
  const session = await openProject(spec.infra.cloud);
  refuseOtherPlace(session, spec.name, existing);
  return { session, spec, existing };
}

/**
 * @returns what refuses a plan that makes an instance; other plans may go on
 * @throws CommandError with the table of all checks when one failed
 */
export async function checkProject(project: CloudProject, print: Print): Promise<CommandError | undefined> {
  const rows = await preflight(project);
  const failed = rows.filter(({ ok }) => !ok);
  if (failed.length > 0) {
    const refusal = new CommandError(
      `${renderPreflight(rows)}\n\n${failed.length} of ${rows.length} checks of the project failed; nothing was made.`,
      ExitCode.refused,
    );
    const mayGoOn = failed.every(({ stops }) => stops === "new instances");
    if (mayGoOn && project.existing.resources.servers.length > 0) return refusal;
    throw refusal;
  }
  // The first time it is worth seeing what was looked at.
  if (nothingExists(project.existing)) print(renderPreflight(rows));
  return undefined;
}

/**
 * Elsewhere nothing of the environment is found: all of it would be made a second time, and nobody would know of the first any more.
 *
 * @throws ProblemsError when the state is about another project or region
 */
function refuseOtherPlace(session: Session, environment: string, { place }: ExistingResources): void {
  const { cloud, projectId, projectName } = session;
  const project = place !== undefined && place.project !== projectId;
  const region = place?.region !== undefined && cloud.region !== undefined && place.region !== cloud.region;
  if (!project && !region) return;
  throw new ProblemsError(`cloud "${cloud.name}"`, [
    {
      path: "infra.cloud",
      value: cloud.name,
      problem: project
        ? `leads to project ${projectName} (${projectId}), but all that "${environment}" has is in project ${place.project}`
        : `leads to region ${cloud.region}, but all that "${environment}" has is in region ${place?.region}`,
      next: `name the entry of clouds.yaml it was made with; to move, run npm run destroy -- ${environment} there first; if that project is gone for good, npm run destroy -- ${environment} --forget`,
    },
  ]);
}

/** All checks of the project, passed and failed. */
export async function preflight({ session, spec, existing }: CloudProject): Promise<readonly PreflightRow[]> {
  const { name, infra, nodes, cluster, delivery } = spec;
  return checkOpenStack({
    spec: {
      name,
      infra,
      nodes,
      publicPorts: publicPorts(spec),
      innerNetworks: { "cluster.podCidr": cluster.podCidr, "cluster.serviceCidr": cluster.serviceCidr },
    },
    existing,
    cloud: session,
    ...(delivery.git.kind === "external" && {
      repositories: (["infra", "app", "train"] as const).map((repository) => ({
        path: `delivery.git.${repository}`,
        ...(delivery.git as ExternalGitSpec)[repository],
      })),
    }),
  });
}

/** What differs between the state and the project, and what an `up` has to do about it before it starts. */
export interface CloudFindings {
  /** Resources of the state that are gone or are not what it says, to be refreshed. */
  readonly missing: readonly string[];
  /** URNs of instances that failed, to be replaced. */
  readonly failed: readonly string[];
  /** The first control plane's instance is gone, and what was in the cluster with it. */
  readonly homeIsGone: boolean;
}

/**
 * Brings state and project together as far as that is safe: what a run made that was killed or failed in the middle of it is removed,
 * what was removed behind our back and what failed is named.
 */
export async function settleProject(
  { session, spec, existing }: CloudProject,
  print: Print,
): Promise<CloudFindings> {
  if (nothingExists(existing) && !existing.pendingOperations) {
    return { missing: [], failed: [], homeIsGone: false };
  }
  const [remains, drift] = await Promise.all([
    findRemains(session, spec.name, {
      nodes: Object.keys(spec.nodes),
      pools: Object.keys(spec.infra.pools),
    }),
    findDrift(session, existing),
  ]);
  await removeOrphans(session, orphansOf(remains, existing), print);
  await removeOrphanRules(session, existing, print);
  return findingsOf(drift, spec, print);
}

/** Kinds of remains, as the state calls them. */
const KINDS: Readonly<Record<Remain["kind"], ExistingKind | undefined>> = {
  server: "servers",
  volume: "volumes",
  "floating IP": "floatingIps",
  "router interface": undefined,
  port: "ports",
  subnet: "subnets",
  network: "networks",
  router: "routers",
  "security group": "securityGroups",
  "server group": "serverGroups",
  keypair: "keypairs",
  // Made by name: the next `up` takes it over.
  lease: undefined,
};

/**
 * What bears the environment's mark or name and is not in its state, made by a run that was killed before it could write it down, or
 * is there as something that was not made whole.
 */
export function orphansOf(remains: readonly Remain[], existing: ExistingResources): Remain[] {
  return remains.filter(({ kind, id, foundBy }) => {
    const known = KINDS[kind];
    return known !== undefined && foundBy !== "place" && !existingIds(existing, known, "whole").has(id);
  });
}

async function removeOrphans(session: Session, orphans: readonly Remain[], print: Print): Promise<void> {
  if (orphans.length === 0) return;
  const names = orphans.map(({ kind, name }) => `${kind} ${name}`).join(", ");
  print(`A run that was killed or failed left unfinished: ${names}. Removing it.`);
  await removeRemains(session, orphans, { onProgress: print });
}

/** A rule that was made and not written down would be refused as a duplicate. Rules for what goes out are the project's defaults. */
async function removeOrphanRules(session: Session, existing: ExistingResources, print: Print): Promise<void> {
  const groups = existingIds(existing, "securityGroups");
  if (groups.size === 0) return;
  const known = existingIds(existing, "securityGroupRules");
  const rules = (await listSecurityGroupRules(session)).filter(
    ({ id, security_group_id, direction }) =>
      groups.has(security_group_id) && direction === "ingress" && !known.has(id),
  );
  for (const rule of rules) {
    print(
      `Removing a security group rule that the state does not know: port ${rule.port_range_min ?? "any"}.`,
    );
    await session.request("network", "DELETE", `/security-group-rules/${rule.id}`);
  }
}

function findingsOf(drift: Drift, spec: OpenStackEnvironmentSpec, print: Print): CloudFindings {
  for (const { kind, name } of drift.missing) {
    print(`${name} is gone from the project (${kind}) and is made again.`);
  }
  for (const { kind, name, unfinished } of drift.unfinished) {
    if (unfinished === "change")
      print(`${name} (${kind}) was not changed to the end; looking at what it is.`);
  }
  for (const { name, fault } of drift.failed) {
    print(`${name} failed and is made anew: ${fault}`);
  }
  const home = `machines-${homeNode(spec.nodes)}`;
  return {
    missing: [...drift.missing, ...drift.unfinished].map(({ urn }) => urn),
    // One that was not made to its end was removed as such, so that there is nothing to replace.
    failed: drift.failed.filter(({ unfinished }) => unfinished !== "creation").map(({ urn }) => urn),
    homeIsGone: drift.missing.some(({ kind, name }) => kind === "servers" && name === home),
  };
}

export { renderRemains } from "./renderRemains";

/**
 * What a destroy must not ask the project to remove, because it is gone already: some kinds are not removed but led elsewhere first.
 *
 * @returns URNs
 * @throws ProblemsError when the project is not the one the environment is in, where each removal would succeed and mean nothing
 */
export async function missingFromProject(
  cloud: string,
  environment: string,
  state: ExportedDeployment | undefined,
): Promise<readonly string[]> {
  const existing = existingOf(state);
  const session = await openProject(cloud);
  try {
    refuseOtherPlace(session, environment, existing);
    return (await findDrift(session, existing)).missing.map(({ urn }) => urn);
  } finally {
    session.close();
  }
}

/**
 * What is left of an environment in its project after a destroy. Its state is empty then, so what a killed run left outside of it is
 * nobody's: it is removed.
 *
 * @returns what is left after that
 */
export async function auditProject(
  settings: CloudSettings,
  environment: string,
  print: Print,
): Promise<readonly Remain[]> {
  const session = await openProject(settings.cloud);
  try {
    const remains = await findRemains(session, environment, settings);
    const ours = remains.filter(({ foundBy }) => foundBy !== "name");
    if (ours.length === 0) return remains;
    print(`Removing what a killed run left outside the state: ${ours.length} things.`);
    await removeRemains(session, ours, { onProgress: print });
    return await findRemains(session, environment, settings);
  } finally {
    session.close();
  }
}
