import {
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
};

/** What the state of an environment says is in the cloud; everything empty when there is no state. */
export function existingOf(exported: ExportedDeployment | undefined): ExistingResources {
  const resources: Record<ExistingKind, ExistingResource[]> = Object.fromEntries(
    EXISTING_KINDS.map((kind) => [kind, [] as ExistingResource[]]),
  ) as Record<ExistingKind, ExistingResource[]>;
  for (const { id, type, urn, external } of (exported?.deployment.resources ?? []) as StoredResource[]) {
    const kind = KINDS[type];
    if (kind !== undefined && id !== undefined && id !== "" && external !== true) {
      resources[kind].push({ id, name: urn.split("::").at(-1) ?? urn, urn });
    }
  }
  return { resources, pendingOperations: (exported?.deployment.pending_operations ?? []).length > 0 };
}
