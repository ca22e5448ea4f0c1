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
   * program's path inside a tar.gz, and a plain `.gz` is unpacked.
   */
  readonly download?: { readonly url: string; readonly sha256Url: string; readonly member?: string };
}

/** A file of ours below `tools/bundle/`, a copy of another file of the module, or a text of its own file for another. */
export type FileAlteration =
  | { readonly file: string }
  | { readonly copy: string }
  | { readonly replace: string; readonly by: string };

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
  /**
   * Changes to the module's files, by their path in it, for what its archive lacks or what nobody here needs. The programs
   * are then built from a copy of the module. @default none
   */
  readonly alterations?: Readonly<Record<string, FileAlteration>>;
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
  /** Python packages installed into `/opt/python`, exact versions; an empty list makes it empty. @default none */
  readonly pip?: readonly string[];
  /**
   * File below `tools/bundle/` that names wheels with their checksums, as `pip` reads it. They are put into `/wheels`, for
   * the Python of the layers below, which must hold `/opt/python`. @default none
   */
  readonly wheels?: string;
  /** Files of this layer have capabilities, which the archive must then hold. @default false */
  readonly capabilities?: boolean;
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
      /** Path -> image row whose OCI layout is unpacked there, with the digests it has everywhere else. */
      readonly layouts?: Readonly<Record<string, string>>;
    };

/** A container image. */
export interface ImageRow {
  readonly kind: "image";
  readonly version: string;
  /** Image this one stands for, complete with tag; used as it is by `artifacts: upstream`. @default none: made here only */
  readonly upstream?: string;
  /** The upstream build of just this version exists and is tried first. @default true where there is an upstream */
  readonly downloadable?: boolean;
  /** Imported on every node. Others come inside another image's `layouts`. @default true */
  readonly preloaded?: boolean;
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
  /** Official address; one that ends in `/` is the folder below which `files` lie. */
  readonly download: string;
  readonly module: string;
  readonly moduleVersion: string;
  /** Files inside the module, concatenated in this order. */
  readonly files: readonly string[];
  /** Take only the custom resource definitions. @default everything */
  readonly select?: "definitions";
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

const registryVersion = "3.0.0";
const buildkitVersion = "v0.25.1";
const craneVersion = "v0.20.6";
const natsVersion = "2.11.8";
const traefikVersion = "v3.5.0";
const gatewayApiVersion = "v1.3.0";
const argoWorkflowsVersion = "v3.7.3";
const argoEventsVersion = "v1.9.7";
const argoCdVersion = "v3.1.9";
const helmVersion = "v3.19.0";
const kustomizeVersion = "v5.7.1";

/** Address of a file of a GitHub release. */
function release(repository: string, tag: string, file: string): string {
  return `https://github.com/${repository}/releases/download/${tag}/${file}`;
}

/** Address of the folder of a repository's files at a tag. */
function tree(repository: string, tag: string): string {
  return `https://raw.githubusercontent.com/${repository}/${tag}/`;
}

/** Linker flags of the Argo projects: their programs then know that they are a release. */
function argoLdflags(versionPackage: string, version: string): readonly string[] {
  return [
    `-X ${versionPackage}.version=${version}`,
    `-X ${versionPackage}.gitTag=${version}`,
    `-X ${versionPackage}.gitCommit=module-${version}`,
    `-X ${versionPackage}.gitTreeState=clean`,
  ];
}

const argoWorkflows = {
  kind: "binary",
  how: "go",
  version: argoWorkflowsVersion,
  module: "github.com/argoproj/argo-workflows/v3",
  moduleVersion: argoWorkflowsVersion,
  ldflags: argoLdflags("github.com/argoproj/argo-workflows/v3", argoWorkflowsVersion),
  // The archive has neither the web interface nor this file, which is a link in the repository.
  alterations: {
    "ui/dist/app/index.html": { file: "images/argo-workflows/index.html" },
    "workflow/executor/osspecific/signal_linux.go": {
      copy: "workflow/executor/osspecific/signal_darwin.go",
    },
  },
} as const;

/** An image of one program of Argo Workflows. */
function argoWorkflowsImage(program: string, name: string, row: string, user?: string): ImageRow {
  return {
    kind: "image",
    version: argoWorkflowsVersion,
    upstream: `quay.io/argoproj/${name}:${argoWorkflowsVersion}`,
    title: name,
    source: "https://github.com/argoproj/argo-workflows",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      {
        files: { [`/usr/bin/${program}`]: { row, program } },
        folders: { "/home/argo": { uid: 8737 } },
      },
    ],
    entrypoint: [program],
    workdir: program === "argo" ? "/home/argo" : "/",
    ...(user === undefined ? {} : { user }),
  };
}

/** Names under which Argo CD's one program is another of its parts. */
const argoCdPrograms = [
  "argocd-server",
  "argocd-repo-server",
  "argocd-cmp-server",
  "argocd-application-controller",
  "argocd-dex",
  "argocd-notifications",
  "argocd-applicationset-controller",
  "argocd-k8s-auth",
  "argocd-commit-server",
];

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
  rootlesskit: {
    kind: "binary",
    how: "go",
    version: "v2.3.5",
    module: "github.com/rootless-containers/rootlesskit/v2",
    moduleVersion: "v2.3.5",
    programs: {
      rootlesskit: {
        package: "github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit",
        download: {
          url: release("rootless-containers/rootlesskit", "v2.3.5", "rootlesskit-x86_64.tar.gz"),
          sha256Url: release("rootless-containers/rootlesskit", "v2.3.5", "SHA256SUMS"),
          member: "rootlesskit",
        },
      },
    },
  },
  crane: {
    kind: "binary",
    how: "go",
    version: craneVersion,
    module: "github.com/google/go-containerregistry",
    moduleVersion: craneVersion,
    programs: {
      crane: {
        package: "github.com/google/go-containerregistry/cmd/crane",
        download: {
          url: release(
            "google/go-containerregistry",
            craneVersion,
            "go-containerregistry_Linux_x86_64.tar.gz",
          ),
          sha256Url: release("google/go-containerregistry", craneVersion, "checksums.txt"),
          member: "crane",
        },
      },
    },
    ldflags: [`-X github.com/google/go-containerregistry/cmd/crane/cmd.Version=${craneVersion}`],
  },
  // The publisher's archive comes without a checksum.
  buildkit: {
    kind: "binary",
    how: "go",
    version: buildkitVersion,
    module: "github.com/moby/buildkit",
    moduleVersion: buildkitVersion,
    programs: {
      buildkitd: { package: "github.com/moby/buildkit/cmd/buildkitd" },
      buildctl: { package: "github.com/moby/buildkit/cmd/buildctl" },
    },
    ldflags: [
      `-X github.com/moby/buildkit/version.Version=${buildkitVersion}`,
      `-X github.com/moby/buildkit/version.Revision=module-${buildkitVersion}`,
    ],
  },
  registry: {
    kind: "binary",
    how: "go",
    version: registryVersion,
    module: "github.com/distribution/distribution/v3",
    moduleVersion: `v${registryVersion}`,
    programs: {
      registry: {
        package: "github.com/distribution/distribution/v3/cmd/registry",
        source: "images/registry/main.go.txt",
        download: {
          url: release(
            "distribution/distribution",
            `v${registryVersion}`,
            `registry_${registryVersion}_linux_amd64.tar.gz`,
          ),
          sha256Url: release(
            "distribution/distribution",
            `v${registryVersion}`,
            `registry_${registryVersion}_linux_amd64.tar.gz.sha256`,
          ),
          member: "registry",
        },
      },
    },
    ldflags: [`-X github.com/distribution/distribution/v3/version.version=v${registryVersion}`],
  },
  "nats-server": {
    kind: "binary",
    how: "go",
    version: natsVersion,
    module: "github.com/nats-io/nats-server/v2",
    moduleVersion: `v${natsVersion}`,
    programs: {
      "nats-server": {
        package: "github.com/nats-io/nats-server/v2",
        download: {
          url: release(
            "nats-io/nats-server",
            `v${natsVersion}`,
            `nats-server-v${natsVersion}-linux-amd64.tar.gz`,
          ),
          sha256Url: release("nats-io/nats-server", `v${natsVersion}`, "SHA256SUMS"),
          member: `nats-server-v${natsVersion}-linux-amd64/nats-server`,
        },
      },
    },
  },
  traefik: {
    kind: "binary",
    how: "go",
    version: traefikVersion,
    module: "github.com/traefik/traefik/v3",
    moduleVersion: traefikVersion,
    programs: {
      traefik: {
        package: "github.com/traefik/traefik/v3/cmd/traefik",
        download: {
          url: release("traefik/traefik", traefikVersion, `traefik_${traefikVersion}_linux_amd64.tar.gz`),
          sha256Url: release("traefik/traefik", traefikVersion, `traefik_${traefikVersion}_checksums.txt`),
          member: "traefik",
        },
      },
    },
    ldflags: [
      `-X github.com/traefik/traefik/v3/pkg/version.Version=${traefikVersion.slice(1)}`,
      "-X github.com/traefik/traefik/v3/pkg/version.Codename=chabichou",
    ],
    alterations: {
      // The archive has no dashboard.
      "webui/static/index.html": { file: "images/traefik/index.html" },
      "pkg/provider/ecs/ecs.go": { file: "images/traefik/ecs.go.txt" },
      "pkg/provider/ecs/config.go": { file: "images/traefik/empty.go.txt" },
      "pkg/provider/ecs/label.go": { file: "images/traefik/empty.go.txt" },
      "pkg/provider/acme/dns/dns.go": { file: "images/traefik/dns.go.txt" },
      "pkg/provider/acme/provider.go": {
        replace: '"github.com/go-acme/lego/v4/providers/dns"',
        by: '"github.com/traefik/traefik/v3/pkg/provider/acme/dns"',
      },
    },
  },
  "argo-workflows": {
    ...argoWorkflows,
    programs: {
      "workflow-controller": { package: "github.com/argoproj/argo-workflows/v3/cmd/workflow-controller" },
      argoexec: { package: "github.com/argoproj/argo-workflows/v3/cmd/argoexec" },
    },
  },
  argo: {
    ...argoWorkflows,
    programs: {
      argo: {
        package: "github.com/argoproj/argo-workflows/v3/cmd/argo",
        download: {
          url: release("argoproj/argo-workflows", argoWorkflowsVersion, "argo-linux-amd64.gz"),
          sha256Url: release(
            "argoproj/argo-workflows",
            argoWorkflowsVersion,
            "argo-workflows-cli-checksums.txt",
          ),
        },
      },
    },
  },
  "argo-events": {
    kind: "binary",
    how: "go",
    version: argoEventsVersion,
    module: "github.com/argoproj/argo-events",
    moduleVersion: argoEventsVersion,
    programs: {
      "argo-events": {
        package: "github.com/argoproj/argo-events/cmd",
        download: {
          url: release("argoproj/argo-events", argoEventsVersion, "argo-events-linux-amd64.gz"),
          sha256Url: release("argoproj/argo-events", argoEventsVersion, "argo-events-checksums.txt"),
        },
      },
    },
    ldflags: argoLdflags("github.com/argoproj/argo-events", argoEventsVersion),
  },
  kustomize: {
    kind: "binary",
    how: "go",
    version: kustomizeVersion,
    module: "sigs.k8s.io/kustomize/kustomize/v5",
    moduleVersion: kustomizeVersion,
    programs: {
      kustomize: {
        package: "sigs.k8s.io/kustomize/kustomize/v5",
        download: {
          url: release(
            "kubernetes-sigs/kustomize",
            `kustomize%2F${kustomizeVersion}`,
            `kustomize_${kustomizeVersion}_linux_amd64.tar.gz`,
          ),
          sha256Url: release("kubernetes-sigs/kustomize", `kustomize%2F${kustomizeVersion}`, "checksums.txt"),
          member: "kustomize",
        },
      },
    },
    ldflags: [`-X sigs.k8s.io/kustomize/api/provenance.version=${kustomizeVersion}`],
  },
  helm: {
    kind: "binary",
    how: "go",
    version: helmVersion,
    module: "helm.sh/helm/v3",
    moduleVersion: helmVersion,
    keep: true,
    programs: {
      helm: {
        package: "helm.sh/helm/v3/cmd/helm",
        download: {
          url: `https://get.helm.sh/helm-${helmVersion}-linux-amd64.tar.gz`,
          sha256Url: `https://get.helm.sh/helm-${helmVersion}-linux-amd64.tar.gz.sha256sum`,
          member: "linux-amd64/helm",
        },
      },
    },
    ldflags: [
      `-X helm.sh/helm/v3/internal/version.version=${helmVersion}`,
      "-X helm.sh/helm/v3/internal/version.gitTreeState=clean",
      "-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
      "-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=34",
      "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
      "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34",
    ],
  },
  argocd: {
    kind: "binary",
    how: "go",
    version: argoCdVersion,
    module: "github.com/argoproj/argo-cd/v3",
    moduleVersion: argoCdVersion,
    programs: {
      argocd: {
        package: "github.com/argoproj/argo-cd/v3/cmd",
        download: {
          url: release("argoproj/argo-cd", argoCdVersion, "argocd-linux-amd64"),
          sha256Url: release("argoproj/argo-cd", argoCdVersion, "cli_checksums.txt"),
        },
      },
    },
    ldflags: argoLdflags("github.com/argoproj/argo-cd/v3/common", argoCdVersion),
  },
  "debian-git": {
    kind: "rootfs",
    how: "debian",
    version: "2.39",
    base: "debian",
    packages: ["git"],
    after: "images/git/after.sh",
  },
  "debian-buildkit": {
    kind: "rootfs",
    how: "debian",
    version: "12",
    base: "debian-git",
    packages: ["runc", "uidmap", "fuse-overlayfs", "libcap2-bin"],
    capabilities: true,
    after: "images/buildkit/after.sh",
  },
  "debian-nginx": {
    kind: "rootfs",
    how: "debian",
    version: "1.22",
    base: "debian",
    packages: ["nginx-light"],
  },
  "debian-git-server": {
    kind: "rootfs",
    how: "debian",
    version: "1.22",
    base: "debian-git",
    packages: ["nginx-light", "fcgiwrap", "openssl", "curl", "jq"],
    after: "images/git-server/after.sh",
  },
  "debian-python": {
    kind: "rootfs",
    how: "debian",
    version: "3.11",
    base: "debian",
    packages: ["python3", "python3-venv"],
    pip: [],
    after: "images/python/after.sh",
  },
  "debian-python-wheels": {
    kind: "rootfs",
    how: "debian",
    version: "1",
    base: "debian-python",
    packages: [],
    wheels: "images/python-wheels/requirements.lock",
  },
  "debian-pipeline": {
    kind: "rootfs",
    how: "debian",
    version: "1",
    base: "debian-git",
    packages: ["python3", "python3-venv"],
    pip: ["requests==2.34.2", `mlflow-skinny==${mlflowVersion.slice(1)}`],
    after: "images/pipeline/after.sh",
  },
  "debian-redis": {
    kind: "rootfs",
    how: "debian",
    version: "7.0",
    base: "debian",
    packages: ["redis-server"],
    before: "images/redis/before.sh",
  },
  "debian-argocd": {
    kind: "rootfs",
    how: "debian",
    version: "12",
    base: "debian-git",
    packages: ["gpg", "gpg-agent", "tini"],
    before: "images/argocd/before.sh",
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
  "image-buildkit": {
    kind: "image",
    version: buildkitVersion,
    upstream: `docker.io/moby/buildkit:${buildkitVersion}-rootless`,
    downloadable: false,
    title: "buildkit",
    source: "https://github.com/moby/buildkit",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-git" },
      { rootfs: "debian-buildkit" },
      {
        files: {
          "/usr/bin/buildctl": { row: "buildkit", program: "buildctl" },
          "/usr/bin/buildkitd": { row: "buildkit", program: "buildkitd" },
          "/usr/bin/rootlesskit": { row: "rootlesskit", program: "rootlesskit" },
        },
        folders: { "/run/user/1000": { mode: 0o700, uid: 1000 }, "/tmp": { mode: 0o1777 } },
      },
    ],
    entrypoint: ["rootlesskit", "buildkitd"],
    env: {
      HOME: "/home/user",
      USER: "user",
      XDG_RUNTIME_DIR: "/run/user/1000",
      TMPDIR: "/home/user/.local/tmp",
      BUILDKIT_HOST: "unix:///run/user/1000/buildkit/buildkitd.sock",
    },
    user: "1000:1000",
    workdir: "/home/user",
  },
  "image-registry": {
    kind: "image",
    version: registryVersion,
    upstream: `docker.io/library/registry:${registryVersion}`,
    downloadable: false,
    title: "registry",
    source: "https://github.com/distribution/distribution",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-nginx" },
      {
        files: { "/usr/bin/registry": { row: "registry", program: "registry" } },
        folders: { "/var/lib/registry": { uid: 1000 } },
      },
    ],
    entrypoint: [],
    cmd: ["registry"],
    user: "1000:1000",
    ports: ["5000/tcp"],
  },
  "image-git-server": {
    kind: "image",
    version: "2.39",
    title: "git-server",
    source: "https://git-scm.com",
    licenses: "GPL-2.0-only",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-git" },
      { rootfs: "debian-git-server" },
      { folders: { "/srv/git": { uid: 1000 } } },
    ],
    entrypoint: [],
    cmd: ["nginx", "-g", "daemon off;"],
    env: { HOME: "/home/git" },
    user: "1000:1000",
    workdir: "/home/git",
  },
  "image-python": {
    kind: "image",
    version: "3.11",
    upstream: "docker.io/library/python:3.11-slim-bookworm",
    downloadable: false,
    preloaded: false,
    title: "python",
    source: "https://www.python.org",
    licenses: "PSF-2.0",
    layers: [{ rootfs: "debian" }, { rootfs: "debian-python" }],
    entrypoint: [],
    cmd: ["python3"],
    env: {
      PATH: "/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      LANG: "C.UTF-8",
      PYTHONUNBUFFERED: "1",
      PIP_DISABLE_PIP_VERSION_CHECK: "1",
      PIP_ROOT_USER_ACTION: "ignore",
    },
    workdir: "/home/app",
  },
  "image-python-wheels": {
    kind: "image",
    version: "1",
    preloaded: false,
    title: "python-wheels",
    source: "https://www.python.org",
    licenses: "various",
    layers: [{ rootfs: "debian-python-wheels" }],
    entrypoint: [],
  },
  "image-base-images": {
    kind: "image",
    version: "1",
    title: "base-images",
    source: "https://github.com/google/go-containerregistry",
    licenses: "Apache-2.0",
    layers: [
      {
        files: {
          "/bin/busybox": { row: "busybox", program: "busybox" },
          "/usr/local/bin/crane": { row: "crane", program: "crane" },
        },
        folders: { "/tmp": { mode: 0o1777 } },
        links: Object.fromEntries(busyboxApplets.map((applet) => [`/bin/${applet}`, "busybox"])),
      },
      { layouts: { "/images/python": "image-python" } },
      { layouts: { "/images/python-wheels": "image-python-wheels" } },
    ],
    entrypoint: [],
    cmd: ["sh"],
    user: "1000:1000",
  },
  "image-pipeline": {
    kind: "image",
    version: "1",
    title: "pipeline",
    source: "https://github.com/mlflow/mlflow",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-git" },
      { rootfs: "debian-pipeline" },
      {
        files: {
          "/usr/local/bin/buildctl": { row: "buildkit", program: "buildctl" },
          "/usr/local/bin/crane": { row: "crane", program: "crane" },
          "/usr/local/bin/kubectl": { row: "kubernetes", program: "kubectl" },
        },
      },
    ],
    entrypoint: [],
    cmd: ["python3"],
    env: {
      PATH: "/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      LANG: "C.UTF-8",
      HOME: "/home/pipeline",
      PYTHONUNBUFFERED: "1",
      PYTHONDONTWRITEBYTECODE: "1",
      MLFLOW_DISABLE_TELEMETRY: "true",
    },
    user: "1000:1000",
    workdir: "/home/pipeline",
  },
  "image-nats": {
    kind: "image",
    version: natsVersion,
    upstream: `docker.io/library/nats:${natsVersion}`,
    title: "nats",
    source: "https://github.com/nats-io/nats-server",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { files: { "/nats-server": { row: "nats-server", program: "nats-server" } } },
    ],
    entrypoint: ["/nats-server"],
    user: "1000:1000",
    ports: ["4222/tcp", "8222/tcp", "6222/tcp"],
  },
  "image-redis": {
    kind: "image",
    version: "7.0",
    upstream: "docker.io/library/redis:7.0-bookworm",
    title: "redis",
    source: "https://redis.io",
    licenses: "BSD-3-Clause",
    layers: [{ rootfs: "debian" }, { rootfs: "debian-redis" }, { folders: { "/data": { uid: 999 } } }],
    entrypoint: [],
    cmd: ["redis-server"],
    user: "999:999",
    workdir: "/data",
    ports: ["6379/tcp"],
  },
  "image-traefik": {
    kind: "image",
    version: traefikVersion,
    upstream: `docker.io/library/traefik:${traefikVersion}`,
    title: "traefik",
    source: "https://github.com/traefik/traefik",
    licenses: "MIT",
    layers: [
      { rootfs: "debian" },
      { files: { "/usr/local/bin/traefik": { row: "traefik", program: "traefik" } } },
    ],
    entrypoint: ["traefik"],
    user: "65532:65532",
    ports: ["80/tcp"],
  },
  "image-workflow-controller": argoWorkflowsImage(
    "workflow-controller",
    "workflow-controller",
    "argo-workflows",
    "8737",
  ),
  "image-argoexec": argoWorkflowsImage("argoexec", "argoexec", "argo-workflows"),
  "image-argocli": argoWorkflowsImage("argo", "argocli", "argo", "8737"),
  "image-argo-events": {
    kind: "image",
    version: argoEventsVersion,
    upstream: `quay.io/argoproj/argo-events:${argoEventsVersion}`,
    title: "argo-events",
    source: "https://github.com/argoproj/argo-events",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { files: { "/usr/bin/argo-events": { row: "argo-events", program: "argo-events" } } },
    ],
    entrypoint: ["/bin/argo-events"],
    user: "9731:9731",
  },
  "image-argocd": {
    kind: "image",
    version: argoCdVersion,
    upstream: `quay.io/argoproj/argocd:${argoCdVersion}`,
    title: "argocd",
    source: "https://github.com/argoproj/argo-cd",
    licenses: "Apache-2.0",
    layers: [
      { rootfs: "debian" },
      { rootfs: "debian-git" },
      { rootfs: "debian-argocd" },
      {
        files: {
          "/usr/local/bin/helm": { row: "helm", program: "helm" },
          "/usr/local/bin/kustomize": { row: "kustomize", program: "kustomize" },
        },
      },
      {
        files: {
          "/usr/local/bin/argocd": { row: "argocd", program: "argocd" },
          "/usr/local/bin/entrypoint.sh": { file: "images/argocd/entrypoint.sh", mode: 0o755 },
          "/usr/local/bin/gpg-wrapper.sh": { file: "images/argocd/gpg-wrapper.sh", mode: 0o755 },
          "/usr/local/bin/git-verify-wrapper.sh": {
            file: "images/argocd/git-verify-wrapper.sh",
            mode: 0o755,
          },
        },
        folders: {
          "/app/config/ssh": {},
          "/app/config/tls": {},
          "/app/config/gpg/source": {},
          "/app/config/gpg/keys": { mode: 0o700, uid: 999 },
          "/home/argocd": { mode: 0o775, uid: 999 },
        },
        links: {
          ...Object.fromEntries(
            argoCdPrograms.map((name) => [`/usr/local/bin/${name}`, "/usr/local/bin/argocd"]),
          ),
          "/usr/local/bin/uid_entrypoint.sh": "/usr/local/bin/entrypoint.sh",
          "/etc/ssh/ssh_known_hosts": "/app/config/ssh/ssh_known_hosts",
        },
      },
    ],
    entrypoint: ["/usr/bin/tini", "--"],
    env: { HOME: "/home/argocd", USER: "argocd" },
    user: "999",
    workdir: "/home/argocd",
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
  "manifest-gateway-api-crds": {
    kind: "manifest",
    version: gatewayApiVersion,
    download: release("kubernetes-sigs/gateway-api", gatewayApiVersion, "standard-install.yaml"),
    module: "sigs.k8s.io/gateway-api",
    moduleVersion: gatewayApiVersion,
    files: ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"].map(
      (kind) => `config/crd/standard/gateway.networking.k8s.io_${kind}.yaml`,
    ),
    select: "definitions",
  },
  "manifest-argo-workflows-crds": {
    kind: "manifest",
    version: argoWorkflowsVersion,
    download: tree("argoproj/argo-workflows", argoWorkflowsVersion),
    module: "github.com/argoproj/argo-workflows/v3",
    moduleVersion: argoWorkflowsVersion,
    // The small ones, as in the published installation: whole schemas are larger than the API server takes at once.
    files: [
      "clusterworkflowtemplates",
      "cronworkflows",
      "workflowartifactgctasks",
      "workfloweventbindings",
      "workflows",
      "workflowtaskresults",
      "workflowtasksets",
      "workflowtemplates",
    ].map((kind) => `manifests/base/crds/minimal/argoproj.io_${kind}.yaml`),
    select: "definitions",
  },
  // As `namespace-install`, before its two patches: both programs get `--namespaced`.
  "manifest-argo-events-crds": {
    kind: "manifest",
    version: argoEventsVersion,
    download: tree("argoproj/argo-events", argoEventsVersion),
    module: "github.com/argoproj/argo-events",
    moduleVersion: argoEventsVersion,
    files: ["manifests/namespace-install.yaml"],
    select: "definitions",
  },
  "manifest-argo-cd-crds": {
    kind: "manifest",
    version: argoCdVersion,
    download: tree("argoproj/argo-cd", argoCdVersion),
    module: "github.com/argoproj/argo-cd/v3",
    moduleVersion: argoCdVersion,
    files: ["application", "appproject", "applicationset"].map((kind) => `manifests/crds/${kind}-crd.yaml`),
    select: "definitions",
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

/** Reference of the upstream image that a bundled one stands for. Undefined for one that is made here only. */
export function upstreamImageRef(name: ImageName): string | undefined {
  return imageRow(name).upstream;
}
