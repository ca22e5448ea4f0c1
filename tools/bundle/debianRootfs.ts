import { existsSync, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DebianFilesRow, RootfsRow } from "../../stacks/pins";
import { compressLayer, type LayerBlob } from "./ociImage";
import { readCommand, runCommand } from "./runCommand";
import { withScratch } from "./scratch";

/** Where Debian work happens. */
export interface DebianWorkplace {
  readonly work: string;
  readonly log: string;
  /** Folder that `before` and `after` paths of rows are relative to. */
  readonly sources: string;
}

/** Debian release everything is taken from. */
export const debianSuite = "bookworm";

/** Never installed: nobody reads manuals inside an image. */
const pathExcludes = [
  "/usr/share/man/*",
  "/usr/share/doc/*",
  "/usr/share/info/*",
  "/usr/share/lintian/*",
  "/usr/share/locale/*",
  "/usr/share/bug/*",
];

/** Part of the running system or of a package tool's memory, never of a layer. */
const neverInLayer =
  /^(dev|proc|sys|run|tmp)\/|^etc\/(resolv\.conf|hostname|hosts|mtab)$|^var\/(cache|log|tmp)\/.|^var\/lib\/apt\/(lists|periodic)\/.|^var\/lib\/dpkg\/[a-z]+-old$|^root\/\.(cache|config)\/|-$|^etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$/;

/** The host's APT proxy, which its own commands would use too. */
export async function aptProxyOptions(): Promise<string[]> {
  const dump = await readCommand("apt-config", ["dump"], { purpose: "read the APT settings" }).catch(
    () => "",
  );
  return dump.split("\n").filter((line) => /^Acquire::https?::[^"]*Proxy[^"]* ".+";$/i.test(line));
}

/** Without this hook the one package that converts old layouts is installed, and with it 60 MB of Perl. */
const mergedUsrHook = "/usr/share/mmdebstrap/hooks/merged-usr";

/**
 * Runs mmdebstrap with processes and mounts of its own where that is allowed: it works in several processes, and all of
 * them must end with a run that is killed.
 */
async function runMmdebstrap(
  args: readonly string[],
  place: DebianWorkplace,
  purpose: string,
): Promise<void> {
  const apart = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const options = { log: place.log, purpose };
  if (process.getuid?.() !== 0) return runCommand("mmdebstrap", args, options);
  return runCommand("unshare", [...apart, "mmdebstrap", ...args], options);
}

/** Makes a minimal Debian in `root` with mmdebstrap. */
export async function bootstrapDebian(
  root: string,
  packages: readonly string[],
  variant: "apt" | "minbase" | "essential",
  place: DebianWorkplace,
  purpose: string,
): Promise<void> {
  const proxy = (await aptProxyOptions()).flatMap((line) => ["--aptopt", line]);
  const excludes = pathExcludes.map((path) => `--dpkgopt=path-exclude=${path}`);
  const mirror = process.env["GOURMETGRAM_DEBIAN_MIRROR"];
  await runMmdebstrap(
    [
      `--variant=${variant}`,
      "--mode=auto",
      "--format=directory",
      ...(existsSync(mergedUsrHook) ? [`--hook-dir=${mergedUsrHook}`] : []),
      ...(packages.length > 0 ? [`--include=${packages.join(",")}`] : []),
      "--aptopt=APT::Install-Recommends false",
      "--aptopt=Acquire::Languages none",
      ...proxy,
      ...excludes,
      debianSuite,
      root,
      ...(mirror === undefined ? [] : [mirror]),
    ],
    place,
    purpose,
  );
}

/** Every path below `root` with what tells a change of it. */
function listTree(root: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (folder: string) => {
    for (const name of readdirSync(join(root, folder))) {
      const path = folder === "" ? name : `${folder}/${name}`;
      const stat = lstatSync(join(root, path), { bigint: true });
      // A folder's own times change with its entries; only its owner and mode are part of a layer.
      found.set(
        path,
        stat.isDirectory()
          ? `folder ${stat.mode} ${stat.uid} ${stat.gid}`
          : `${stat.ino} ${stat.ctimeNs} ${stat.mode}${stat.isSymbolicLink() ? readlinkSync(join(root, path)) : ""}`,
      );
      if (stat.isDirectory()) visit(path);
    }
  };
  visit("");
  return found;
}

/** Paths of a layer: what was added or changed, and the names of what was removed. */
export function diffTrees(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): { readonly changed: string[]; readonly removed: string[] } {
  const changed = [...after.keys()]
    .filter((path) => before.get(path) !== after.get(path) && !neverInLayer.test(path))
    .sort();
  const removed = [...before.keys()]
    // Inside a removed folder nothing more needs saying.
    .filter(
      (path) =>
        !after.has(path) && (dirname(path) === "." || after.has(dirname(path))) && !neverInLayer.test(path),
    )
    .sort();
  return { changed, removed };
}

/**
 * Runs a shell script as root inside `root`, with /proc, a small /dev, the host's name resolution, certificates and
 * package settings. All mounts live in a private mount namespace and end with the script, however it ends.
 */
async function runInside(
  root: string,
  script: string,
  place: DebianWorkplace,
  purpose: string,
): Promise<void> {
  await withScratch(place.work, "inside", async (inside) => {
    await writeFile(join(inside, "script.sh"), script);
    await copyFile("/etc/resolv.conf", join(inside, "resolv.conf")).catch(() => undefined);
    const certificates = process.env["SSL_CERT_FILE"] ?? "/etc/ssl/certs/ca-certificates.crt";
    await copyFile(certificates, join(inside, "ca.crt")).catch(() => undefined);
    await copyFile("/etc/pip.conf", join(inside, "pip.conf")).catch(() =>
      writeFile(join(inside, "pip.conf"), ""),
    );
    await writeFile(join(inside, "apt.conf"), `${(await aptProxyOptions()).join("\n")}\n`);
    await runCommand(
      "unshare",
      [
        ...["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"],
        ...["/bin/sh", join(place.sources, "runInside.sh"), root, inside],
      ],
      { log: place.log, purpose },
    );
  });
}

async function sourceText(place: DebianWorkplace, path: string | undefined): Promise<string> {
  return path === undefined ? "" : `(\n${await readFile(join(place.sources, path), "utf8")}\n)\n`;
}

/** Downloads the wheels that a file names, and nothing that differs from their checksums. */
async function wheelCommands(place: DebianWorkplace, path: string): Promise<string[]> {
  return [
    "mkdir /wheels",
    `cat > /tmp/wheels.lock <<'LOCK'\n${await readFile(join(place.sources, path), "utf8")}LOCK`,
    "PYTHONDONTWRITEBYTECODE=1 /opt/python/bin/pip download -q --no-cache-dir --no-deps --only-binary=:all: --require-hashes -d /wheels -r /tmp/wheels.lock",
  ];
}

/** Makes tar keep files' capabilities, which are extended attributes. */
const withCapabilities = ["--xattrs", "--xattrs-include=security.capability"];

/** Unpacks layers on each other, the lowest first. */
export async function unpackLayers(
  layers: readonly LayerBlob[],
  root: string,
  place: DebianWorkplace,
): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const layer of layers) {
    await runCommand(
      "tar",
      ["-C", root, "--numeric-owner", ...withCapabilities, "--zstd", "-xpf", layer.path],
      { log: place.log, purpose: "unpack a layer" },
    );
  }
}

/** Makes one layer: installs the row's packages on top of `below` and packs what changed. */
export async function buildDebianLayer(
  name: string,
  row: RootfsRow,
  below: readonly LayerBlob[],
  dir: string,
  place: DebianWorkplace,
): Promise<LayerBlob> {
  const purpose = `build ${name}`;
  return withScratch(place.work, name, async (scratch) => {
    const root = join(scratch, "root");
    let before = new Map<string, string>();
    if (below.length === 0) {
      await bootstrapDebian(root, row.packages, "apt", place, purpose);
    } else {
      await unpackLayers(below, root, place);
      before = listTree(root);
      const script = [
        "set -eu",
        await sourceText(place, row.before),
        ...(row.packages.length === 0
          ? []
          : [
              "apt-get -q update",
              `apt-get -q install -y --no-install-recommends ${row.packages.join(" ")}`,
              "apt-get clean",
            ]),
        ...(row.pip === undefined ? [] : ["python3 -m venv /opt/python"]),
        ...(row.pip === undefined || row.pip.length === 0
          ? []
          : [
              `/opt/python/bin/pip install -q --no-cache-dir --no-compile ${row.pip.map((one) => `'${one}'`).join(" ")}`,
            ]),
        ...(row.wheels === undefined ? [] : await wheelCommands(place, row.wheels)),
        await sourceText(place, row.after),
        // Compiled files must not depend on the sources' times, which a layer normalizes.
        ...(row.packages.length === 0 ? ["exit 0"] : []),
        "if [ -x /usr/bin/python3 ]; then",
        "  find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} +",
        // Some packages bring templates that are no Python: a file that does not compile is no reason to stop.
        "  python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/lib/python3* $(ls -d /opt/python 2>/dev/null) || true",
        "fi",
      ];
      await runInside(root, script.join("\n"), place, purpose);
    }
    const { changed, removed } = diffTrees(before, listTree(root));
    const markers: string[] = [];
    for (const path of removed) {
      const marker = join(dirname(path), `.wh.${path.split("/").pop()}`);
      await writeFile(join(root, marker), "");
      markers.push(marker);
    }
    const list = join(dir, "members");
    await writeFile(list, [...changed, ...markers].map((path) => `${path}\0`).join(""));
    const tarPath = join(dir, "layer.tar");
    await runCommand(
      "tar",
      [
        "-C",
        root,
        "--numeric-owner",
        "--no-recursion",
        "--mtime=@1735689600",
        // The format that can hold them also writes times of access, which differ every time.
        ...(row.capabilities
          ? ["--format=posix", "--pax-option=delete=atime,delete=ctime", ...withCapabilities]
          : []),
        "--null",
        "-T",
        list,
        "-cf",
        tarPath,
      ],
      { log: place.log, purpose },
    );
    await rm(list);
    return compressLayer(tarPath, dir, place.log);
  });
}

/** Takes files out of Debian packages. */
export async function extractDebianFiles(
  row: DebianFilesRow,
  out: string,
  place: DebianWorkplace,
): Promise<void> {
  const purpose = `extract ${row.packages.join(", ")}`;
  await withScratch(place.work, "extract", async (scratch) => {
    const root = join(scratch, "root");
    const proxy = (await aptProxyOptions()).flatMap((line) => ["--aptopt", line]);
    const mirror = process.env["GOURMETGRAM_DEBIAN_MIRROR"];
    await runMmdebstrap(
      [
        "--variant=extract",
        "--mode=auto",
        "--format=directory",
        `--include=${row.packages.join(",")}`,
        ...proxy,
        debianSuite,
        root,
        ...(mirror === undefined ? [] : [mirror]),
      ],
      place,
      purpose,
    );
    for (const [target, source] of Object.entries(row.files)) {
      if (!source.endsWith("/")) {
        await mkdir(dirname(join(out, target)), { recursive: true });
        await copyFile(join(root, source), join(out, target));
        continue;
      }
      for (const file of readdirSync(join(root, source)))
        await copyFile(join(root, source, file), join(out, file));
    }
  });
}
