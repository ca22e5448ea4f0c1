/** One machine as an SSH client sees it. */
export interface SshConfigEntry {
  readonly name: string;
  readonly host: string;
  /** @default 22 */
  readonly port?: number;
  readonly user: string;
  /** Server public key in authorized_keys format. */
  readonly hostKey: string;
  /** Name of the entry it is reached through. @default none */
  readonly jump?: string;
}

/**
 * OpenSSH client configuration, one `Host` per machine with its host key. `IdentityFile` is `~/.ssh/gourmetgram-<environment>`:
 * where the key is to be put, mode 0600, by who wants to log in.
 */
export function renderSshConfig(environment: string, entries: readonly SshConfigEntry[]): string {
  return entries
    .map(({ name, host, port, user, hostKey, jump }) =>
      [
        `Host ${name}`,
        `  HostName ${host}`,
        ...(port === undefined || port === 22 ? [] : [`  Port ${port}`]),
        `  User ${user}`,
        ...(jump === undefined ? [] : [`  ProxyJump ${jump}`]),
        `  IdentityFile ~/.ssh/gourmetgram-${environment}`,
        "  IdentitiesOnly yes",
        "  StrictHostKeyChecking yes",
        "  UserKnownHostsFile none",
        `  KnownHostsCommand /bin/echo ${port === undefined || port === 22 ? host : `[${host}]:${port}`} ${hostKey}`,
        "",
      ].join("\n"),
    )
    .join("\n");
}
