import type { NodeSpec, Taint } from "../../components/contracts";

/** Compute time reserved in advance (Blazar), the condition for instances on sites such as Chameleon. */
export interface LeaseSpec {
  /** Length of a lease made now, hours; raising it later extends the lease in place. */
  readonly hours: number;
  /** `up` refuses when less than this is left, minutes. */
  readonly minimumMinutes: number;
}

/** Instances that are alike. */
export interface NodePoolSpec {
  /** Name of the flavor; with a lease, the flavor that is reserved. */
  readonly flavor: string;
  /** A lease of its own for this pool. @default none */
  readonly lease?: LeaseSpec;
  /** Id of a flavor reserved by a lease that exists already; in place of `lease`. @default none */
  readonly reservation?: string;
  /** Labels of its Kubernetes nodes, besides each node's own. @default none */
  readonly labels?: Readonly<Record<string, string>>;
  /** Taints of its Kubernetes nodes, besides each node's own. @default none */
  readonly taints?: readonly Taint[];
}

/** The network that only the nodes share. */
export type PrivateNetworkSpec =
  | {
      readonly kind: "created";
      /** Name of an existing router to connect it to; without one it leads nowhere. @default none */
      readonly router?: string;
    }
  | {
      readonly kind: "existing";
      readonly network: string;
      readonly subnet: string;
    };

/** Which connections from outside reach the nodes. */
export type SecurityGroupsSpec =
  | {
      readonly kind: "created";
      /** Networks, CIDR, that may open SSH, the Kubernetes API and the public services. */
      readonly sources: readonly string[];
    }
  | {
      readonly kind: "existing";
      /** Names of security groups of the project. */
      readonly names: readonly string[];
    };

/** The one address of the environment that the world can reach. */
export type FloatingIpSpec =
  | {
      readonly kind: "new";
      /** Name of the external network it is taken from. */
      readonly pool: string;
    }
  | {
      readonly kind: "existing";
      /** An address the project has already; a destroy detaches it and keeps it. */
      readonly address: string;
    };

/** How instances are spread over hypervisors. */
export const SPREADS = ["none", "soft-anti-affinity", "anti-affinity"] as const;
export type Spread = (typeof SPREADS)[number];

/** Boot disks as volumes (Cinder) instead of the hypervisor's own; they outlive their instance. */
export interface BootVolumeSpec {
  /** GiB. */
  readonly size: number;
  /** Whether the volumes may be removed: by a destroy, by another image. Until it is true they are protected. */
  readonly discard: boolean;
  /** Volume type. @default the site's */
  readonly type?: string;
}

/** Name of the pool of nodes that name none. */
export const DEFAULT_POOL = "default";

/** Virtual machines of an OpenStack project. */
export interface OpenStackSpec {
  /** Entry of clouds.yaml. */
  readonly cloud: string;
  /** IPv4 network of the nodes among themselves. */
  readonly cidr: string;
  readonly privateNetwork: PrivateNetworkSpec;
  /** Name of the network that floating IPs lead to; each node has a port on it. */
  readonly sharedNetwork: string;
  readonly floatingIp: FloatingIpSpec;
  readonly securityGroups: SecurityGroupsSpec;
  /** Name or id of the image; a Debian or Ubuntu with cloud-init. */
  readonly image: string;
  /** Login of the image, with password-less sudo. */
  readonly user: string;
  /** Name of an existing keypair that may log in besides the environment's own key. @default none */
  readonly keypair?: string;
  /** @default none: the disk of the flavor */
  readonly bootVolume?: BootVolumeSpec;
  readonly spread: Spread;
  /** Kinds of instances by name; `default` is that of nodes which name none. */
  readonly pools: Readonly<Record<string, NodePoolSpec>>;
}

/** TCP ports of the edge node that are open besides the public services: SSH and the Kubernetes API. */
export const ALWAYS_OPEN = [22, 6443] as const;

/** A node that is an OpenStack instance. */
export interface OpenStackNodeSpec extends NodeSpec {
  /** Key of `pools`. @default "default" */
  readonly pool?: string;
}

/** Everything one environment has in an OpenStack project carries its name and this mark. */
export const MARK_KEY = "gourmetgram-environment";

/** Tag of network resources, description of those that take no tags, metadata of instances. */
export function environmentMark(environment: string): string {
  return `${MARK_KEY}=${environment}`;
}

/** Names of what an environment has in an OpenStack project: each ends with the environment's name. */
export const resourceNames = {
  network: (environment: string) => `private-net-${environment}`,
  subnet: (environment: string) => `private-subnet-${environment}`,
  securityGroup: (environment: string, part: "access" | "nodes") => `${part}-${environment}`,
  keypair: (environment: string) => `key-${environment}`,
  serverGroup: (environment: string) => `spread-${environment}`,
  privatePort: (environment: string, node: string) => `port-${node}-${environment}`,
  sharedPort: (environment: string, node: string) => `shared-${node}-${environment}`,
  instance: (environment: string, node: string) => `${node}-${environment}`,
  bootVolume: (environment: string, node: string) => `boot-${node}-${environment}`,
  lease: (environment: string, pool: string) =>
    pool === DEFAULT_POOL ? `lease-${environment}` : `lease-${pool}-${environment}`,
} as const;
