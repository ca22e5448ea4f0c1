import {
  associationId,
  EXISTING_KINDS,
  type ExistingKind,
  type ExistingResource,
  type ExistingResources,
} from "../../infra/openstack/existing";
import type { ExportedDeployment, ExportedResource } from "./pending";

/** Types of the OpenStack provider and of our own, and what each is in the cloud. */
const KINDS: Readonly<Record<string, ExistingKind>> = {
  "gourmetgram:openstack:Lease": "leases",
  "openstack:blockstorage/volume:Volume": "volumes",
  "openstack:compute/instance:Instance": "servers",
  "openstack:compute/keypair:Keypair": "keypairs",
  "openstack:compute/serverGroup:ServerGroup": "serverGroups",
  "openstack:networking/floatingIp:FloatingIp": "floatingIps",
  "openstack:networking/floatingIpAssociate:FloatingIpAssociate": "floatingIpAssociations",
  "openstack:networking/network:Network": "networks",
  "openstack:networking/port:Port": "ports",
  "openstack:networking/router:Router": "routers",
  "openstack:networking/routerInterface:RouterInterface": "routerInterfaces",
  "openstack:networking/secGroup:SecGroup": "securityGroups",
  "openstack:networking/secGroupRule:SecGroupRule": "securityGroupRules",
  "openstack:networking/subnet:Subnet": "subnets",
};

/** Fields of an exported resource that only this file looks at. */
type StoredResource = ExportedResource & {
  readonly id?: string;
  /** True for one that was only looked up. */
  readonly external?: boolean;
  readonly outputs?: Readonly<Record<string, unknown>>;
  /** Why its last operation failed, when it did so half way. */
  readonly initErrors?: readonly string[];
  readonly created?: string;
  /** The same as `created` until something changes it. */
  readonly modified?: string;
};

/** What the state of an environment says is in the cloud; everything empty when there is no state. */
export function existingOf(exported: ExportedDeployment | undefined): ExistingResources {
  const resources: Record<ExistingKind, ExistingResource[]> = Object.fromEntries(
    EXISTING_KINDS.map((kind) => [kind, [] as ExistingResource[]]),
  ) as Record<ExistingKind, ExistingResource[]>;
  let place: ExistingResources["place"];
  for (const resource of (exported?.deployment.resources ?? []) as StoredResource[]) {
    const { id, type, urn, external, outputs } = resource;
    const kind = KINDS[type];
    if (kind === undefined || id === undefined || id === "" || external === true) continue;
    resources[kind].push({
      id: kind === "floatingIpAssociations" ? associationId(id, outputs?.["portId"] as string) : id,
      name: urn.split("::").at(-1) ?? urn,
      urn,
      ...unfinished(resource),
    });
    place ??= placeOf(outputs);
  }
  return {
    resources,
    pendingOperations: (exported?.deployment.pending_operations ?? []).length > 0,
    ...(place !== undefined && { place }),
  };
}

/** Most things of the network service tell. */
function placeOf(outputs: StoredResource["outputs"]): ExistingResources["place"] {
  const { tenantId, region } = outputs ?? {};
  if (typeof tenantId !== "string" || tenantId === "") return undefined;
  return { project: tenantId, ...(typeof region === "string" && region !== "" && { region }) };
}

function unfinished({ initErrors, created, modified }: StoredResource): Pick<ExistingResource, "unfinished"> {
  if (initErrors === undefined || initErrors.length === 0) return {};
  return { unfinished: created === modified ? "creation" : "change" };
}
