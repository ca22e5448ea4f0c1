import { toolchainPins } from "../../stacks/pins";
import type { GoSource, Part } from "./types";

/**
 * Version of the engine. It is not that of the SDK (`toolchainPins.pulumi`): the public checksum database has no record
 * of the engine's module in that version, and builds without a checksum are refused. Engines run programs of older
 * SDKs of the same major version.
 */
export const ENGINE_VERSION = "3.250.0";

const VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version";

/** What a `pulumi` command needs. */
export function toolchainParts(platform = process.platform, arch = process.arch): readonly Part[] {
  const release = `${platform}-${arch === "x64" ? "amd64" : arch}`;
  const host = `${platform}-${arch}`;
  return [
    {
      name: "pulumi",
      version: ENGINE_VERSION,
      files: ["pulumi", "pulumi-language-nodejs"],
      official: {
        url: `https://get.pulumi.com/releases/sdk/pulumi-v${ENGINE_VERSION}-${host}.tar.gz`,
        checksumsUrl: `https://github.com/pulumi/pulumi/releases/download/v${ENGINE_VERSION}/pulumi-${ENGINE_VERSION}-checksums.txt`,
        members: ["pulumi/pulumi", "pulumi/pulumi-language-nodejs"],
      },
      builds: [
        {
          moduleFolder: "tools/toolchain/engine",
          package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
          variables: { [VERSION_VARIABLE]: `v${ENGINE_VERSION}` },
          sources: [],
          seconds: 215,
        },
        pluginSource("language-nodejs", ENGINE_VERSION, 25),
      ],
      standIns: ["language-nodejs"],
    },
    providerPart("kubernetes", toolchainPins.kubernetes, release, pluginSource, 110),
    providerPart("command", toolchainPins.command, release, pluginSource, 20),
    {
      ...providerPart("openstack", toolchainPins.openstack, release, moduleSource, 150),
      optional: "openstack",
      buildBytes: 1.5 * 2 ** 30,
    },
  ];
}

function providerPart(
  name: string,
  version: string,
  release: string,
  source: typeof pluginSource,
  seconds: number,
): Part {
  const executable = `pulumi-resource-${name}`;
  return {
    name: `${name} plugin`,
    version,
    files: [executable],
    pluginFolder: `resource-${name}-v${version}`,
    official: {
      url: `https://get.pulumi.com/releases/plugins/${executable}-v${version}-${release}.tar.gz`,
      checksumsUrl: `https://github.com/pulumi/pulumi-${name}/releases/download/v${version}/pulumi-${name}_${version}_checksums.txt`,
      members: [executable],
    },
    builds: [source(name, version, seconds)],
    standIns: [name],
  };
}

function pluginSource(folder: string, version: string, seconds: number): GoSource {
  return {
    moduleFolder: "tools/plugins",
    package: `./${folder}`,
    variables: { "main.version": version },
    sources: [`tools/plugins/${folder}`, "tools/plugins/internal"],
    seconds,
  };
}

/** For a plugin that needs other versions of what the others are made of, and so is a module of its own. */
function moduleSource(folder: string, version: string, seconds: number): GoSource {
  return {
    moduleFolder: `tools/plugins/${folder}`,
    package: ".",
    variables: { "main.version": version },
    sources: [`tools/plugins/${folder}`],
    seconds,
  };
}
