import * as openstack from "@pulumi/openstack";
import * as pulumi from "@pulumi/pulumi";
import type { KeyPair } from "../../components/keys";
import { renderCloudConfig } from "./cloudConfig";
import type { NetworkIds } from "./network";
import { environmentMark, MARK_KEY, type OpenStackSpec, resourceNames } from "./spec";

/** What all instances of an environment share. */
export interface InstanceSurroundings {
  readonly environment: string;
  readonly spec: OpenStackSpec;
  /** Key that the environment's steps log in with. */
  readonly login: KeyPair;
  /** Name of the keypair instances are made with. */
  readonly keypair: pulumi.Input<string>;
  readonly privateNetwork: NetworkIds;
  readonly sharedNetworkId: pulumi.Input<string>;
  readonly serverGroupId?: pulumi.Input<string>;
  /** Looked up for boot volumes only, which name images by id. */
  readonly imageId?: pulumi.Input<string>;
}

export interface InstanceArgs extends InstanceSurroundings {
  readonly node: string;
  /** Address on the private network. */
  readonly address: string;
  readonly hostKey: KeyPair;
  /** Security groups of its port on the shared network. */
  readonly groups: readonly pulumi.Input<string>[];
  /** A reserved flavor is an id that stands for the reservation; others are named. */
  readonly flavor: { readonly reservedId: pulumi.Input<string> } | { readonly name: string };
}

/** An instance with its two ports, which outlive it. */
export interface InstanceParts {
  readonly instance: openstack.compute.Instance;
  readonly sharedPort: openstack.networking.Port;
}

/** Longest wait for an instance to become ACTIVE, or to be gone. */
const INSTANCE_TIMEOUT = "10m";

export function createInstance(
  name: string,
  args: InstanceArgs,
  opts: pulumi.CustomResourceOptions,
): InstanceParts {
  const { environment, node, privateNetwork } = args;
  const tags = [environmentMark(environment)];
  const sharedPort = new openstack.networking.Port(
    `${name}-shared`,
    {
      name: resourceNames.sharedPort(environment, node),
      networkId: args.sharedNetworkId,
      adminStateUp: true,
      securityGroupIds: [...args.groups],
      tags,
    },
    opts,
  );
  const privatePort = new openstack.networking.Port(
    `${name}-private`,
    {
      name: resourceNames.privatePort(environment, node),
      networkId: privateNetwork.networkId,
      adminStateUp: true,
      fixedIps: [{ subnetId: privateNetwork.subnetId, ipAddress: args.address }],
      // Pods' packets carry addresses the port does not have; who is on this network is decided by who has a port here.
      portSecurityEnabled: false,
      noSecurityGroups: true,
      tags,
    },
    // The address is fixed: old and new cannot exist side by side. A running instance would not learn of another one.
    { ...opts, deleteBeforeReplace: true, replaceOnChanges: ["fixedIps"] },
  );
  const instance = new openstack.compute.Instance(
    name,
    {
      name: resourceNames.instance(environment, node),
      ...flavorOf(args),
      ...diskOf(name, args, opts),
      keyPair: args.keypair,
      // The order is that of the network cards: the first has the default route.
      networks: [{ port: sharedPort.id }, { port: privatePort.id }],
      userData: userDataOf(args),
      metadata: { [MARK_KEY]: environment, "gourmetgram-node": node },
      ...(args.serverGroupId !== undefined && { schedulerHints: [{ group: args.serverGroupId }] }),
    },
    {
      ...opts,
      // Its ports can be in one instance only.
      deleteBeforeReplace: true,
      ...imageOptions(args.spec),
      // Another reservation is another place: a resize would move the instance out of the one it is in.
      replaceOnChanges: "reservedId" in args.flavor ? ["flavorId"] : [],
      additionalSecretOutputs: ["userData"],
      customTimeouts: { create: INSTANCE_TIMEOUT, update: INSTANCE_TIMEOUT, delete: INSTANCE_TIMEOUT },
    },
  );
  return { instance, sharedPort };
}

function flavorOf({ flavor }: InstanceArgs): Pick<openstack.compute.InstanceArgs, "flavorId" | "flavorName"> {
  if ("reservedId" in flavor) return { flavorId: flavor.reservedId };
  return isId(flavor.name) ? { flavorId: flavor.name } : { flavorName: flavor.name };
}

/**
 * Another image in the settings makes its instance anew; in place, the provider would write it over the disk without a word to what is
 * on it. That a site gives the image another name, or a newer image this one, changes nothing for what runs: both happen often, and a
 * refresh would take them for a change of the settings.
 */
function imageOptions({ image }: OpenStackSpec): pulumi.CustomResourceOptions {
  return { ignoreChanges: ["imageId", "imageName"], replacementTrigger: image };
}

/** The image on the flavor's own disk, or on a volume of its own. */
function diskOf(
  name: string,
  args: InstanceArgs,
  opts: pulumi.CustomResourceOptions,
): Pick<openstack.compute.InstanceArgs, "imageId" | "imageName" | "blockDevices"> {
  const { environment, node, spec } = args;
  const { image, bootVolume } = spec;
  if (bootVolume === undefined) return isId(image) ? { imageId: image } : { imageName: image };
  const volume = new openstack.blockstorage.Volume(
    `${name}-boot`,
    {
      name: resourceNames.bootVolume(environment, node),
      size: bootVolume.size,
      imageId: args.imageId ?? image,
      ...(bootVolume.type !== undefined && { volumeType: bootVolume.type }),
      metadata: { [MARK_KEY]: environment, "gourmetgram-node": node },
    },
    // It holds all that the node has; a protected resource is neither replaced nor destroyed by the engine.
    { ...opts, ...imageOptions(spec), ignoreChanges: ["imageId"], protect: !bootVolume.discard },
  );
  return {
    blockDevices: [
      {
        uuid: volume.id,
        sourceType: "volume",
        destinationType: "volume",
        bootIndex: 0,
        deleteOnTermination: false,
      },
    ],
  };
}

function userDataOf(args: InstanceArgs): pulumi.Output<string> {
  const { login, hostKey, spec } = args;
  return pulumi.secret(
    pulumi
      .all([login.publicKeyOpenssh, hostKey.privateKeyOpenssh, hostKey.publicKeyOpenssh])
      .apply(([loginKey, privateKey, publicKey]) =>
        renderCloudConfig({
          hostname: args.node,
          // The keypair brings it, unless that one is the user's own.
          authorizedKeys: spec.keypair === undefined ? [] : [loginKey],
          hostKey: { privateKey, publicKey },
        }),
      ),
  );
}

/** True for what OpenStack gives out as an id. */
export function isId(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
