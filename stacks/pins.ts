/**
 * The one table of what a bundle holds: every program, image, manifest and root file system, with its upstream
 * reference, its version and how it is built where the download is out of reach. A new part is a new row; nothing
 * else knows artifact names.
 */

/** Versions of the Pulumi SDK and of the provider plugins, equal to the npm packages. The engine: tools/toolchain/parts.ts. */
export const toolchainPins = {
  pulumi: "3.248.0",
  kubernetes: "4.34.2",
  command: "1.2.1",
  openstack: "3.15.2",
} as const;

/** Kubernetes release of the bundle: binaries, control-plane images and staging modules. */
export const kubernetesVersion = "v1.34.2";

/** Registry name of bundled images. It resolves nowhere: images are preloaded on each node. */
export const bundleRegistry = "bundle.gourmetgram.internal";

/** One program of a Go group. */
export interface GoProgram {
  /** Import path of the main package. Ignored when `source` is set. */
  readonly package: string;
  /** Own main file, a path below `tools/bundle/`, compiled instead of `package`. */
  readonly source?: string;
  /**
   * Official download, tried first. `sha256Url` serves the checksum, alone or in `sha256sum` format; `member` is the
   * program's path inside a tar.gz.
   */
  readonly download?: { readonly url: string; readonly sha256Url: string; readonly member?: string };
}

/** Programs built from one Go module graph, in one `go build`, so that shared packages compile once. */
export interface GoRow {
  readonly kind: "binary";
  readonly how: "go";
  readonly version: string;
  readonly module: string;
  readonly moduleVersion: string;
  readonly programs: Readonly<Record<string, GoProgram>>;
  /** Linker flags besides `-s -w`. */
  readonly ldflags?: readonly string[];
  readonly tags?: readonly string[];
  /** Stays in the store after its images are packed, because tests run it. @default false */
  readonly keep?: boolean;
  /** Needs a C compiler; linked statically. @default false */
  readonly cgo?: boolean;
  /** Version for the module's own `./staging/...` replacements, which a dependent module cannot use. */
  readonly stagingVersion?: string;
}

/** A program of a few lines in C, built statically. */
export interface CRow {
  readonly kind: "binary";
  readonly how: "c";
  readonly version: string;
  readonly program: string;
  /** Path below `tools/bundle/`. */
  readonly source: string;
}

/** Files taken out of Debian packages without installing them. */
export interface DebianFilesRow {
  readonly kind: "binary";
  readonly how: "debianFiles";
  readonly version: string;
  readonly packages: readonly string[];
  /** Name in the bundle -> path inside the package; a path ending in `/` takes every file of that folder. */
  readonly files: Readonly<Record<string, string>>;
}

/** A layer of a Debian root file system: packages on top of another layer, or of nothing. */
export interface RootfsRow {
  readonly kind: "rootfs";
  readonly how: "debian";
  readonly version: string;
  /** Row this layer stands on. @default none: a minimal Debian */
  readonly base?: string;
  readonly packages: readonly string[];
  /** Python packages installed into `/opt/python`, exact versions. @default none */
  readonly pip?: readonly string[];
  /** Shell files below `tools/bundle/`, run as root inside before and after the packages are installed. */
  readonly before?: string;
  readonly after?: string;
}

/** A file of an image: from a program row, or from a file below `tools/bundle/`. */
export type ImageFile =
  | { readonly program: string; readonly row: string; readonly mode?: number }
  | { readonly file: string; readonly mode?: number };

/** One layer of an image. Equal layers of two images are stored once on a node. */
export type ImageLayer =
  | { readonly rootfs: string }
  | {
      readonly files?: Readonly<Record<string, ImageFile>>;
      /** Path -> mode and owner of an empty folder. */
      readonly folders?: Readonly<Record<string, { readonly mode?: number; readonly uid?: number }>>;
      /** Path -> target. */
      readonly links?: Readonly<Record<string, string>>;
    };

/** A container image. */
export interface ImageRow {
  readonly kind: "image";
  readonly version: string;
  /** Image this one stands for, complete with tag; used as it is by `artifacts: upstream`. */
  readonly upstream: string;
  /** The upstream build of just this version exists and is tried first. @default true */
  readonly downloadable?: boolean;
  readonly layers: readonly ImageLayer[];
  readonly title: string;
  readonly source: string;
  readonly licenses: string;
  readonly entrypoint: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly workdir?: string;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly stopSignal?: string;
}

/** A YAML manifest out of a Go module, or from its official address. */
export interface ManifestRow {
  readonly kind: "manifest";
  readonly version: string;
  readonly download: string;
  readonly module: string;
  readonly moduleVersion: string;
  /** Files inside the module, concatenated in this order. */
  readonly files: readonly string[];
}

/** The root file system of local machines. */
export interface MachineRow {
  readonly kind: "machine";
  readonly version: string;
  readonly packages: readonly string[];
}

export type PinRow = GoRow | CRow | DebianFilesRow | RootfsRow | ImageRow | ManifestRow | MachineRow;

const kubernetesLdflags = [
  `-X k8s.io/component-base/version.gitVersion=${kubernetesVersion}`,
  `-X k8s.io/component-base/version.gitMajor=1`,
  `-X k8s.io/component-base/version.gitMinor=34`,
  `-X k8s.io/component-base/version.gitTreeState=archive`,
  `-X k8s.io/component-base/version.gitCommit=module-${kubernetesVersion}`,
];

function kubernetesProgram(name: string): GoProgram {
  const url = `https://dl.k8s.io/${kubernetesVersion}/bin/linux/amd64/${name}`;
  return { package: `k8s.io/kubernetes/cmd/${name}`, download: { url, sha256Url: `${url}.sha256` } };
}

const kubernetesPrograms = [
  "kubeadm",
  "kubelet",
  "kubectl",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
];

const etcdVersion = "3.6.4";
const mlflowVersion = "v3.9.0";
const minioVersion = "2026.2.12";
const mcVersion = "2025.3.13";

function etcdDownload(program: string): NonNullable<GoProgram["download"]> {
  const release = `https://github.com/etcd-io/etcd/releases/download/v${etcdVersion}`;
  const folder = `etcd-v${etcdVersion}-linux-amd64`;
  return {
    url: `${release}/${folder}.tar.gz`,
    sha256Url: `${release}/SHA256SUMS`,
    member: `${folder}/${program}`,
  };
}

function kubernetesImage(name: string, rootfs: readonly string[] = []): ImageRow {
  return {
    kind: "image",
    version: kubernetesVersion,
    upstream: `registry.k8s.io/${name}:${kubernetesVersion}`,
    title: name,
    source: "https://github.com/kubernetes/kubernetes",
    licenses: "Apache-2.0",
    layers: [
      ...rootfs.map((row) => ({ rootfs: row })),
      { files: { [`/usr/local/bin/${name}`]: { row: "kubernetes", program: name } } },
    ],
    entrypoint: [],
    cmd: [name],
  };
}

const busyboxApplets =
  "ash awk base64 basename cat chgrp chmod chown clear cp cut date dd df dirname du echo env expr false find free grep gunzip gzip head hostname id ip kill ln ls md5sum mkdir mkfifo mknod mktemp more mount mv nc netstat nslookup od pidof ping ps pwd readlink realpath rm rmdir sed seq sh sha256sum sleep sort stat sync tail tar tee test timeout touch tr true umount uname uniq unzip vi wc wget which whoami xargs yes".split(
    " ",
  );

/** Every artifact by name. The order is the order of building where nothing else decides. */
export const pins = {
  kubernetes: {
    kind: "binary",
    how: "go",
    version: kubernetesVersion,
    module: "k8s.io/kubernetes",
    moduleVersion: kubernetesVersion,
    stagingVersion: "v0.34.2",
    programs: Object.fromEntries(kubernetesPrograms.map((name) => [name, kubernetesProgram(name)])),
    ldflags: kubernetesLdflags,
  },
  etcd: {
    kind: "binary",
    how: "go",
    version: etcdVersion,
    module: "go.etcd.io/etcd/server/v3",
    moduleVersion: `v${etcdVersion}`,
    keep: true,
    programs: { etcd: { package: "go.etcd.io/etcd/server/v3", download: etcdDownload("etcd") } },
    ldflags: [`-X go.etcd.io/etcd/api/v3/version.GitSHA=v${etcdVersion}`],
  },
  etcdctl: {
    kind: "binary",
    how: "go",
    version: etcdVersion,
    module: "go.etcd.io/etcd/etcdctl/v3",
    moduleVersion: `v${etcdVersion}`,
    programs: { etcdctl: { package: "go.etcd.io/etcd/etcdctl/v3", download: etcdDownload("etcdctl") } },
    ldflags: [`-X go.etcd.io/etcd/api/v3/version.GitSHA=v${etcdVersion}`],
  },
  "machine-rootfs": {
    kind: "machine",
    version: "12",
    packages: [
      "systemd",
      "systemd-sysv",
      "dbus",
      "udev",
      "openssh-server",
      "sudo",
      "ca-certificates",
      "curl",
      "procps",
      "kmod",
      "iproute2",
      "iputils-ping",
      "iptables",
      "nftables",
      "ipset",
      "conntrack",
      "ethtool",
      "socat",
      "containerd",
      "runc",
      "containernetworking-plugins",
    ],
  },
  cni: {
    kind: "binary",
    how: "debianFiles",
    version: "1.1.1",
    packages: ["containernetworking-plugins"],
    files: { "./": "usr/lib/cni/" },
  },
  busybox: {
    kind: "binary",
    how: "debianFiles",
    version: "1.35.0",
    packages: ["busybox-static"],
    files: { busybox: "bin/busybox" },
  },
  pause: { kind: "binary", how: "c", version: "3.10.1", program: "pause", source: "images/pause/pause.c" },
  debian: { kind: "rootfs", how: "debian", version: "12", packages: ["ca-certificates"] },
  "debian-netfilter": {
    kind: "rootfs",
    how: "debian",
    version: "12",
    base: "debian",
    packages: ["iptables", "nftables", "conntrack", "ipset", "kmod"],
  },
  "debian-postgres": {
    kind: "rootfs",
    how: "debian",
    version: "15",
    base: "debian",
    packages: ["postgresql-15", "postgresql-client-15"],
    before: "images/postgres/before.sh",
    after: "images/postgres/after.sh",
  },
  "debian-mlflow": {
    kind: "rootfs",
    how: "debian",
    version: mlflowVersion,
    base: "debian",
    packages: ["python3", "python3-venv"],
    pip: [
      `mlflow[auth]==${mlflowVersion.slice(1)}`,
      "psycopg2-binary==2.9.11",
      "boto3==1.42.30",
      "prometheus-flask-exporter==0.23.2",
    ],
    after: "images/mlflow/after.sh",
  },
  coredns: {
    kind: "binary",
    how: "go",
    version: "v1.12.4",
    module: "github.com/coredns/coredns",
    moduleVersion: "v1.12.4",
    programs: { coredns: { package: "github.com/coredns/coredns", source: "images/coredns/main.go.txt" } },
    ldflags: ["-X github.com/coredns/coredns/coremain.GitCommit=v1.12.4"],
  },
  flannel: {
    kind: "binary",
    how: "go",
    version: "v0.26.7",
    module: "github.com/flannel-io/flannel",
    moduleVersion: "v0.26.7",
    programs: { flanneld: { package: "github.com/flannel-io/flannel" } },
    ldflags: ["-X github.com/flannel-io/flannel/pkg/version.Version=v0.26.7"],
    cgo: true,
  },
  "local-path-provisioner": {
    kind: "binary",
    how: "go",
    version: "v0.0.30",
    module: "github.com/rancher/local-path-provisioner",
    moduleVersion: "v0.0.30",
    programs: { "local-path-provisioner": { package: "github.com/rancher/local-path-provisioner" } },
    ldflags: ["-X main.VERSION=v0.0.30"],
  },
  // 0.8.x has no checksum on record in the Go checksum database, and 0.9 needs the newest Go.
  "metrics-server": {
    kind: "binary",
    how: "go",
    version: "v0.7.2",
    module: "sigs.k8s.io/metrics-server",
    moduleVersion: "v0.7.2",
    programs: { "metrics-server": { package: "sigs.k8s.io/metrics-server/cmd/metrics-server" } },
    ldflags: ["-X k8s.io/client-go/pkg/version.gitVersion=v0.7.2"],
  },
  minio: {
    kind: "binary",
    how: "go",
    version: minioVersion,
    module: "github.com/minio/minio",
    moduleVersion: "v0.0.0-20260212201848-7aac2a2c5b7c",
    programs: { minio: { package: "github.com/minio/minio" } },
    ldflags: [
      "-X github.com/minio/minio/cmd.Version=2026-02-12T20:18:48Z",
      "-X github.com/minio/minio/cmd.ReleaseTag=DEVELOPMENT.2026-02-12T20-18-48Z",
      "-X github.com/minio/minio/cmd.CommitID=7aac2a2c5b7c",
      "-X github.com/minio/minio/cmd.ShortCommitID=7aac2a2c5b7c",
    ],
  },
  mc: {
    kind: "binary",
    how: "go",
    version: mcVersion,
    module: "github.com/minio/mc",
    moduleVersion: "v0.0.0-20250313080218-cf909e1063a9",
    programs: { mc: { package: "github.com/minio/mc" } },
    ldflags: [
      "-X github.com/minio/mc/cmd.Version=2025-03-13T08:02:18Z",
      "-X github.com/minio/mc/cmd.ReleaseTag=DEVELOPMENT.2025-03-13T08-02-18Z",
      "-X github.com/minio/mc/cmd.CommitID=cf909e1063a9",
      "-X github.com/minio/mc/cmd.ShortCommitID=cf909e1063a9",
    ],
  },
  "image-pause": {
    kind: "image",
    version: "3.10.1",
    upstream: "registry.k8s.io/pause:3.10.1",
    title: "pause",
    source: "https://github.com/kubernetes/kubernetes",
    licenses: "Apache-2.0",
    layers: [{ files: { "/pause": { row: "pause", program: "pause" } } }],
    entrypoint: ["/pause"],
    user: "65535:65535",
  },
  "image-kube-apiserver": kubernetesImage("kube-apiserver"),
  "image-kube-controller-manager": kubernetesImage("kube-controller-manager"),
  "image-kube-scheduler": kubernetesImage("kube-scheduler"),
  "image-kube-proxy": kubernetesImage("kube-proxy", ["debian", "debian-netfilter"]),
  "image-etcd": {
    kind: "image",
    version: `${etcdVersion}-0`,
    upstream: `registry.k8s.io/etcd:${etcdVersion}-0`,
    title: "etcd",
    source: "https://github.com/etcd-io/etcd",
    licenses: "Apache-2.0",
    layers: [
      {
        files: {
          "/usr/local/bin/etcd": { row: "etcd", program: "etcd" },
          "/usr/local/bin/etcdctl": { row: "etcdctl", program: "etcdctl" },
        },
        folders: { "/tmp": { mode: 0o1777 } },
      },
    ],
    entrypoint: [],
    cmd: ["etcd"],
    ports: ["2379/tcp", "2380/tcp"],
  },
  "image-coredns": {
    kind: "image",
    version: "v1.12.4",
    upstream: "registry.k8s.io/coredns/coredns:v1.12.4",
    title: "coredns",
    source: "https://github.com/coredns/coredns",
    licenses: "Apache-2.0",
    layers: [{ files: { "/coredns": { row: "coredns", program: "coredns" } } }],
    entrypoint: ["/coredns"],
    ports: ["53/tcp", "53/udp"],
  },
  "image-flannel": {
    kind: "image",
    version: "v0.26.7",
    upstream: "ghcr.io/flannel-io/flannel:v0.26.7",
    title: "flannel",
    source: "https://github.com/flannel-io/flannel",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-netfilter" },
      { files: { "/opt/bin/flanneld": { row: "flannel", program: "flanneld" } } },
    ],
    entrypoint: ["/opt/bin/flanneld"],
  },
  "image-local-path-provisioner": {
    kind: "image",
    version: "v0.0.30",
    upstream: "docker.io/rancher/local-path-provisioner:v0.0.30",
    title: "local-path-provisioner",
    source: "https://github.com/rancher/local-path-provisioner",
    licenses: "Apache-2.0",
    layers: [
      {
        files: {
          "/usr/bin/local-path-provisioner": {
            row: "local-path-provisioner",
            program: "local-path-provisioner",
          },
        },
      },
    ],
    entrypoint: [],
    cmd: ["local-path-provisioner"],
  },
  "image-busybox": {
    kind: "image",
    version: "1.35.0",
    upstream: "docker.io/library/busybox:1.35.0",
    title: "busybox",
    source: "https://busybox.net",
    licenses: "GPL-2.0-only",
    layers: [
      {
        files: { "/bin/busybox": { row: "busybox", program: "busybox" } },
        folders: { "/tmp": { mode: 0o1777 }, "/root": { mode: 0o700 } },
        links: Object.fromEntries(busyboxApplets.map((applet) => [`/bin/${applet}`, "busybox"])),
      },
    ],
    entrypoint: [],
    cmd: ["sh"],
  },
  "image-metrics-server": {
    kind: "image",
    version: "v0.7.2",
    upstream: "registry.k8s.io/metrics-server/metrics-server:v0.7.2",
    title: "metrics-server",
    source: "https://github.com/kubernetes-sigs/metrics-server",
    licenses: "Apache-2.0",
    layers: [
      {
        files: { "/metrics-server": { row: "metrics-server", program: "metrics-server" } },
        folders: { "/tmp": { mode: 0o1777 } },
      },
    ],
    entrypoint: ["/metrics-server"],
    user: "65534",
  },
  "image-postgres": {
    kind: "image",
    version: "15",
    upstream: "docker.io/library/postgres:15",
    title: "postgres",
    source: "https://www.postgresql.org",
    licenses: "PostgreSQL",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-postgres" },
      {
        files: {
          "/usr/local/bin/docker-entrypoint.sh": {
            file: "images/postgres/docker-entrypoint.sh",
            mode: 0o755,
          },
        },
        folders: {
          "/docker-entrypoint-initdb.d": {},
          "/var/lib/postgresql/data": { mode: 0o1777, uid: 999 },
          "/var/run/postgresql": { mode: 0o3777, uid: 999 },
        },
      },
    ],
    entrypoint: ["docker-entrypoint.sh"],
    cmd: ["postgres"],
    env: {
      PATH: "/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      LANG: "C.UTF-8",
      PG_MAJOR: "15",
      PGDATA: "/var/lib/postgresql/data",
    },
    user: "999:999",
    ports: ["5432/tcp"],
    volumes: ["/var/lib/postgresql/data"],
    stopSignal: "SIGINT",
  },
  "image-minio": {
    kind: "image",
    version: minioVersion,
    upstream: "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
    // The newest published image is older than the source pinned here.
    downloadable: false,
    title: "minio",
    source: "https://github.com/minio/minio",
    licenses: "AGPL-3.0-only",
    layers: [
      { rootfs: "debian" },
      { files: { "/usr/bin/mc": { row: "mc", program: "mc" } } },
      {
        files: {
          "/usr/bin/minio": { row: "minio", program: "minio" },
          "/usr/bin/docker-entrypoint.sh": { file: "images/minio/docker-entrypoint.sh", mode: 0o755 },
        },
        folders: { "/data": { mode: 0o755, uid: 1000 } },
      },
    ],
    entrypoint: ["/usr/bin/docker-entrypoint.sh"],
    cmd: ["minio"],
    env: {
      MINIO_ROOT_USER_FILE: "access_key",
      MINIO_ROOT_PASSWORD_FILE: "secret_key",
      MINIO_UPDATE: "off",
      MC_CONFIG_DIR: "/tmp/.mc",
    },
    user: "1000:1000",
    ports: ["9000/tcp", "9001/tcp"],
    volumes: ["/data"],
  },
  "image-mc": {
    kind: "image",
    version: mcVersion,
    upstream: "quay.io/minio/mc:RELEASE.2025-08-13T08-35-41Z",
    downloadable: false,
    title: "mc",
    source: "https://github.com/minio/mc",
    licenses: "AGPL-3.0-only",
    layers: [{ rootfs: "debian" }, { files: { "/usr/bin/mc": { row: "mc", program: "mc" } } }],
    entrypoint: ["mc"],
    env: { MC_CONFIG_DIR: "/tmp/.mc" },
    user: "1000:1000",
  },
  "image-mlflow": {
    kind: "image",
    version: mlflowVersion,
    upstream: `ghcr.io/mlflow/mlflow:${mlflowVersion}`,
    // The published image has neither psycopg2 nor boto3.
    downloadable: false,
    title: "mlflow",
    source: "https://github.com/mlflow/mlflow",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-mlflow" },
      { folders: { "/home/mlflow": { mode: 0o755, uid: 1000 } } },
    ],
    entrypoint: [],
    cmd: ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"],
    env: {
      PATH: "/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      LANG: "C.UTF-8",
      HOME: "/home/mlflow",
      PYTHONUNBUFFERED: "1",
      PYTHONDONTWRITEBYTECODE: "1",
      MPLCONFIGDIR: "/tmp/matplotlib",
      MLFLOW_DISABLE_TELEMETRY: "true",
    },
    user: "1000:1000",
    workdir: "/home/mlflow",
    ports: ["5000/tcp"],
  },
  "manifest-flannel": {
    kind: "manifest",
    version: "v0.26.7",
    download: "https://github.com/flannel-io/flannel/releases/download/v0.26.7/kube-flannel.yml",
    module: "github.com/flannel-io/flannel",
    moduleVersion: "v0.26.7",
    files: ["Documentation/kube-flannel.yml"],
  },
  "manifest-local-path": {
    kind: "manifest",
    version: "v0.0.30",
    download:
      "https://raw.githubusercontent.com/rancher/local-path-provisioner/v0.0.30/deploy/local-path-storage.yaml",
    module: "github.com/rancher/local-path-provisioner",
    moduleVersion: "v0.0.30",
    files: ["deploy/local-path-storage.yaml"],
  },
  "manifest-metrics-server": {
    kind: "manifest",
    version: "v0.7.2",
    download: "https://github.com/kubernetes-sigs/metrics-server/releases/download/v0.7.2/components.yaml",
    module: "sigs.k8s.io/metrics-server",
    moduleVersion: "v0.7.2",
    files: [
      "manifests/base/rbac.yaml",
      "manifests/base/service.yaml",
      "manifests/base/deployment.yaml",
      "manifests/base/apiservice.yaml",
    ],
  },
} as const satisfies Record<string, PinRow>;

export type PinName = keyof typeof pins;

/** Every row by name, for code that goes through all of them. */
export const pinRows: Readonly<Record<string, PinRow>> = pins;

/** Short name of an image row: `image-etcd` -> `etcd`. */
export type ImageName = { [Name in PinName]: Name extends `image-${infer Short}` ? Short : never }[PinName];

function imageRow(name: ImageName): ImageRow {
  return pins[`image-${name}`] as ImageRow;
}

/** Reference of the image that the row `image-<name>` makes. Throws on any other row. */
export function imageReference(rowName: string): string {
  const row = pinRows[rowName];
  if (row?.kind !== "image") throw new Error(`${rowName} is not an image`);
  return `${bundleRegistry}/${rowName.replace(/^image-/, "")}:${row.version}`;
}

/** Reference of a bundled image: `bundle.gourmetgram.internal/etcd:3.6.4-0`. */
export function imageRef(name: ImageName): string {
  return imageReference(`image-${name}`);
}

/** Reference of the upstream image that a bundled one stands for. */
export function upstreamImageRef(name: ImageName): string {
  return imageRow(name).upstream;
}
