import type * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../../components/contracts";

/** Machines that exist already: Debian or Ubuntu with systemd, reached over SSH. */
export interface HostsSpec {
  /** IPv4 network of the nodes among themselves. */
  readonly cidr: string;
  /** Login of all machines, root or with password-less sudo. */
  readonly user: string;
  /** Private key of that login, OpenSSH format. A secret. */
  readonly privateKey: pulumi.Output<string>;
  /** Node through which the others are reached. @default none: all are dialled directly */
  readonly jumpNode?: string;
}

/** A node on a machine that exists already. */
export interface HostsNodeSpec extends NodeSpec {
  /** DNS name or address the SSH client dials. @default `address` */
  readonly host?: string;
  /** TCP port of its SSH server. */
  readonly port: number;
  /** Its SSH host key in authorized_keys format, as `ssh-keyscan` prints it behind the name. */
  readonly hostKey: string;
}
