import { listAll } from "./listing";
import type { Session } from "./session";

export interface Server {
  readonly id: string;
  readonly name: string;
  /** `ACTIVE`, `BUILD`, `ERROR`, `SHUTOFF`, ... */
  readonly status: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly flavor: { readonly id: string };
  readonly fault?: { readonly message: string };
  readonly "os-extended-volumes:volumes_attached"?: readonly { readonly id: string }[];
}

export interface Flavor {
  readonly id: string;
  readonly name: string;
  readonly vcpus: number;
  /** MiB. */
  readonly ram: number;
  /** GiB; 0 means that of the image. */
  readonly disk: number;
}

export interface Keypair {
  readonly name: string;
}

export interface ServerGroup {
  readonly id: string;
  readonly name: string;
  readonly members: readonly string[];
}

/** Limits of the project and what is in use; -1 means unlimited. */
export interface ComputeLimits {
  readonly maxTotalInstances: number;
  readonly totalInstancesUsed: number;
  readonly maxTotalCores: number;
  readonly totalCoresUsed: number;
  /** MiB. */
  readonly maxTotalRAMSize: number;
  readonly totalRAMUsed: number;
  readonly maxTotalKeypairs: number;
  readonly maxServerGroups: number;
  readonly totalServerGroupsUsed: number;
  readonly maxServerGroupMembers: number;
}

export function listServers(session: Session): Promise<Server[]> {
  return listAll<Server>(session, "compute", "/servers/detail", "servers");
}

/** Public flavors and those the project may use, reserved ones among them. */
export function listFlavors(session: Session): Promise<Flavor[]> {
  return listAll<Flavor>(session, "compute", "/flavors/detail", "flavors");
}

/** Keypairs of the user; they belong to no project. */
export async function listKeypairs(session: Session): Promise<Keypair[]> {
  const found = await listAll<{ keypair: Keypair }>(session, "compute", "/os-keypairs", "keypairs");
  return found.map(({ keypair }) => keypair);
}

export function listServerGroups(session: Session): Promise<ServerGroup[]> {
  return listAll<ServerGroup>(session, "compute", "/os-server-groups", "server_groups");
}

export async function readComputeLimits(session: Session): Promise<ComputeLimits> {
  const { limits } = await session.request<{ limits: { absolute: ComputeLimits } }>(
    "compute",
    "GET",
    "/limits",
  );
  return limits.absolute;
}
