import { stringify } from "yaml";

/** What a new instance is told before anybody can log in. */
export interface CloudConfigArgs {
  readonly hostname: string;
  /** Public keys that may log in besides the keypair's, authorized_keys format. */
  readonly authorizedKeys: readonly string[];
  /** Server key pair, so that its public half is known before the first connection. The private one is a secret. */
  readonly hostKey: { readonly privateKey: string; readonly publicKey: string };
}

/**
 * User data of an instance: identity only, so that it never changes; all else is done over SSH. It can be read on the machine at the
 * metadata service; the node script keeps pods away from there.
 *
 * @see https://cloudinit.readthedocs.io/en/latest/reference/modules.html#ssh
 */
export function renderCloudConfig(args: CloudConfigArgs): string {
  const config = {
    hostname: args.hostname,
    // sudo looks its own host name up; the site's name servers do not know it.
    manage_etc_hosts: "localhost",
    ssh_pwauth: false,
    ssh_deletekeys: true,
    ssh_keys: { ed25519_private: args.hostKey.privateKey, ed25519_public: args.hostKey.publicKey },
    ...(args.authorizedKeys.length > 0 && { ssh_authorized_keys: [...args.authorizedKeys] }),
    write_files: [
      {
        path: "/etc/ssh/sshd_config.d/10-gourmetgram.conf",
        // A whole environment opens its sessions at the same moment, most of them through the jump host.
        content: "MaxStartups 200:30:400\nMaxSessions 200\n",
      },
    ],
  };
  return `#cloud-config\n${stringify(config, { lineWidth: 0 })}`;
}
