import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cachePaths } from "../../tools/cache/paths";
import type { GoSource, Part, StepEvent, ToolchainSettings } from "../../tools/toolchain/types";

/** A toolchain of two small parts, and one that not every engine needs, in a folder of its own, with a release server on loopback and a counting builder. */
export interface FakeToolchain {
  readonly folder: string;
  readonly settings: ToolchainSettings;
  readonly events: StepEvent[];
  /** Packages built, in order. */
  readonly built: string[];
  /** Paths asked for at the release server, in order. */
  readonly requests: string[];
  /** Puts a program on the fake PATH that answers `version` so. */
  putOnPath(name: string, version: string): string;
  /** Puts the archive of a part and its checksum on the release server. */
  release(partName: string, changes?: { readonly wrongChecksum?: boolean }): void;
  close(): Promise<void>;
}

export interface FakeOptions {
  /** No Go on this machine. @default false */
  readonly withoutGo?: boolean;
  /** The release server does not answer. @default false */
  readonly unreachable?: boolean;
}

export async function startFakeToolchain(options: FakeOptions = {}): Promise<FakeToolchain> {
  const folder = mkdtempSync(join(tmpdir(), "toolchain-test-"));
  const served = new Map<string, Buffer>();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    const body = served.get(request.url ?? "");
    response.writeHead(body ? 200 : 404).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  if (options.unreachable) await closeServer(server);

  const projectRoot = join(folder, "project");
  writeProgram(join(projectRoot, "plugins/go.mod"), "module fake\n");
  writeProgram(join(projectRoot, "plugins/go.sum"), "");
  writeProgram(join(projectRoot, "plugins/toy/main.go"), "package main\n");
  mkdirSync(join(folder, "path"));
  mkdirSync(join(folder, "home"));

  const built: string[] = [];
  const settings: ToolchainSettings = {
    projectRoot,
    paths: cachePaths(join(folder, "cache")),
    env: { PATH: `${join(folder, "path")}:/usr/bin:/bin`, PULUMI_HOME: join(folder, "home") },
    parts: [
      fakePart(base, {
        name: "pulumi",
        files: ["pulumi", "pulumi-language-nodejs"],
        standIns: ["language-nodejs"],
      }),
      fakePart(base, {
        name: "toy plugin",
        files: ["pulumi-resource-toy"],
        pluginFolder: "resource-toy-v1.0.0",
        standIns: ["toy"],
      }),
      fakePart(base, {
        name: "rare plugin",
        optional: "rare",
        files: ["pulumi-resource-rare"],
        pluginFolder: "resource-rare-v1.0.0",
        buildBytes: 7,
        standIns: ["rare"],
      }),
    ],
    enginePart: "pulumi",
    buildCache: join(folder, "cache/work/toolchain"),
    findGo: async () => (options.withoutGo ? undefined : { command: "go", version: "go1.26.8" }),
    build: async (_go, source, output, onPackage) => {
      built.push(source.package);
      mkdirSync(join(folder, "cache/work/toolchain"), { recursive: true });
      onPackage(1, 2);
      writeProgram(output, `#!/bin/sh\necho built ${source.package}\n`);
    },
  };
  return {
    folder,
    settings,
    events: [],
    built,
    requests,
    putOnPath: (name, version) => writeProgram(join(folder, "path", name), `#!/bin/sh\necho v${version}\n`),
    release(partName, changes) {
      const part = settings.parts.find(({ name }) => name === partName);
      if (!part) throw new Error(`no part ${partName}`);
      const archive = packArchive(folder, part);
      const sum = createHash("sha256").update(archive).digest("hex");
      const name = new URL(part.official.url).pathname;
      served.set(name, archive);
      const shown = changes?.wrongChecksum ? "0".repeat(64) : sum;
      served.set(new URL(part.official.checksumsUrl).pathname, Buffer.from(`${shown}  ${name.slice(1)}\n`));
    },
    async close() {
      if (!options.unreachable) await closeServer(server);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function fakePart(base: string, part: Omit<Part, "version" | "official" | "builds">): Part {
  const archive = part.name.replace(" ", "-");
  const builds: GoSource[] = part.files.map((file) => ({
    moduleFolder: "plugins",
    package: `./${file}`,
    variables: {},
    sources: part.pluginFolder && !part.optional ? ["plugins/toy"] : [],
    seconds: 10,
  }));
  return {
    ...part,
    version: "1.0.0",
    official: {
      url: `${base}/${archive}.tar.gz`,
      checksumsUrl: `${base}/${archive}.sums`,
      members: part.files.map((file) => `folder/${file}`),
    },
    builds,
  };
}

function packArchive(folder: string, part: Part): Buffer {
  const source = mkdtempSync(join(folder, "release-"));
  for (const file of part.files)
    writeProgram(join(source, "folder", file), `#!/bin/sh\necho official ${file}\n`);
  execFileSync("tar", ["-czf", join(source, "archive.tar.gz"), "-C", source, "folder"]);
  return readFileSync(join(source, "archive.tar.gz"));
}

function writeProgram(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
