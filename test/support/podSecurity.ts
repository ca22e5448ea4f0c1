/**
 * The Pod Security Standard `restricted` (which contains `baseline`), as the API server of Kubernetes 1.34 evaluates it,
 * for pods with Linux containers.
 */

/** Capabilities `restricted` lets a container add. */
const ADDABLE = ["NET_BIND_SERVICE"];
/** Volume types `restricted` allows. */
const VOLUMES = [
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "image",
  "persistentVolumeClaim",
  "projected",
  "secret",
];
const SYSCTLS = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const SECCOMP = ["RuntimeDefault", "Localhost"];
const PROBES = ["startupProbe", "readinessProbe", "livenessProbe"];

type Loose = any;

/** Why the API server would refuse this pod in a namespace that enforces `restricted`; empty when it would not. */
export function restrictedViolations(spec: Loose): readonly string[] {
  const containers: Loose[] = [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ];
  return [
    ...podViolations(spec),
    ...containers.flatMap((container) =>
      containerViolations(container, spec.securityContext ?? {}).map((text) => `${container.name}: ${text}`),
    ),
  ];
}

function podViolations(spec: Loose): string[] {
  const context = spec.securityContext ?? {};
  const found = ["hostNetwork", "hostPID", "hostIPC"].filter((field) => spec[field] === true);
  for (const { name } of context.sysctls ?? []) if (!SYSCTLS.includes(name)) found.push(`sysctl ${name}`);
  for (const volume of spec.volumes ?? []) {
    for (const type of Object.keys(volume)) {
      if (type !== "name" && !VOLUMES.includes(type)) found.push(`volume ${volume.name} of type ${type}`);
    }
  }
  return [...found, ...sharedViolations(context)];
}

function containerViolations(container: Loose, pod: Loose): string[] {
  const own = container.securityContext ?? {};
  const found = sharedViolations(own);
  if (own.privileged === true) found.push("privileged");
  if (own.allowPrivilegeEscalation !== false) found.push("allowPrivilegeEscalation is not false");
  if (!(own.capabilities?.drop ?? []).includes("ALL")) found.push("does not drop ALL capabilities");
  for (const added of own.capabilities?.add ?? []) {
    if (!ADDABLE.includes(added)) found.push(`adds capability ${added}`);
  }
  if ((own.runAsNonRoot ?? pod.runAsNonRoot) !== true) found.push("runAsNonRoot is not true");
  if (!SECCOMP.includes(own.seccompProfile?.type ?? pod.seccompProfile?.type)) {
    found.push("seccompProfile is not RuntimeDefault or Localhost");
  }
  if (own.procMount !== undefined && own.procMount !== "Default") found.push(`procMount ${own.procMount}`);
  for (const { hostPort } of container.ports ?? []) if (hostPort) found.push(`hostPort ${hostPort}`);
  const hooks = [container.lifecycle?.preStop, container.lifecycle?.postStart];
  for (const action of [...PROBES.map((probe) => container[probe]), ...hooks]) {
    if (action?.httpGet?.host || action?.tcpSocket?.host) found.push("a probe or hook names a host");
  }
  return found;
}

function sharedViolations(context: Loose): string[] {
  const found: string[] = [];
  if (context.runAsUser === 0) found.push("runAsUser is 0");
  if (context.runAsNonRoot === false) found.push("runAsNonRoot is false");
  if (context.windowsOptions?.hostProcess === true) found.push("hostProcess");
  if (context.seccompProfile?.type === "Unconfined") found.push("seccompProfile is Unconfined");
  if (context.appArmorProfile?.type === "Unconfined") found.push("appArmorProfile is Unconfined");
  const selinux = context.seLinuxOptions ?? {};
  if (!SELINUX_TYPES.includes(selinux.type ?? "")) found.push(`SELinux type ${selinux.type}`);
  if (selinux.user || selinux.role) found.push("SELinux user or role");
  return found;
}
