import { nearest } from "../../../components/nearest";
import type { Flavor } from "../api/compute";
import type { Image } from "../api/image";
import { DEFAULT_POOL, type NodePoolSpec, type OpenStackNodeSpec, type OpenStackSpec } from "../spec";
import { fail, type PreflightRow, pass } from "./row";

/** kubeadm refuses a control plane with less: https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/ */
const CONTROL_PLANE_CPUS = 2;
const CONTROL_PLANE_MIB = 1700;

/** Flavor of a pool: the reserved one's size is that of the flavor it reserves. */
export function flavorOfPool(pool: NodePoolSpec, flavors: readonly Flavor[]): Flavor | undefined {
  const wanted = pool.reservation ?? pool.flavor;
  return flavors.find(({ id, name }) => id === wanted || name === wanted);
}

/** Each pool that has nodes: its flavor exists and is big enough for what runs on it. */
export function checkFlavors(
  infra: OpenStackSpec,
  nodes: Readonly<Record<string, OpenStackNodeSpec>>,
  flavors: readonly Flavor[],
): PreflightRow[] {
  return usedPools(infra, nodes).map(({ name, pool, members }) => {
    const check = `flavor of ${name}`;
    const path = `infra.pools.${name}.${pool.reservation === undefined ? "flavor" : "reservation"}`;
    const value = pool.reservation ?? pool.flavor;
    const flavor = flavorOfPool(pool, flavors);
    if (flavor === undefined) {
      const names = flavors.map((known) => known.name).filter((known) => !known.startsWith("reservation:"));
      const meant = nearest(value, names);
      return fail(check, `${value} does not exist`, {
        path,
        value,
        problem:
          pool.reservation === undefined
            ? "is no flavor of this project"
            : "is no flavor of this project: has its lease started, and is it the reservation's id?",
        allowed: [...names].sort().join(", "),
        next: meant === undefined ? "choose one of them" : `did you mean "${meant}"?`,
      });
    }
    const size = `${flavor.vcpus} vCPU, ${flavor.ram} MiB, ${flavor.disk} GiB`;
    const controlPlanes = members.filter(([, { role }]) => role === "controlPlane");
    if (controlPlanes.length > 0 && (flavor.vcpus < CONTROL_PLANE_CPUS || flavor.ram < CONTROL_PLANE_MIB)) {
      const fitting = flavors.filter(
        ({ vcpus, ram }) => vcpus >= CONTROL_PLANE_CPUS && ram >= CONTROL_PLANE_MIB,
      );
      return fail(check, `${flavor.name}: ${size}`, {
        path,
        value,
        problem: `has ${size}: too small for the control plane on ${controlPlanes.map(([node]) => node).join(", ")}`,
        allowed: `at least ${CONTROL_PLANE_CPUS} vCPU and ${CONTROL_PLANE_MIB} MiB: ${
          fitting
            .map((known) => known.name)
            .sort()
            .join(", ") || "none here"
        }`,
        next: "choose a larger flavor, or put the control plane into another pool",
      });
    }
    return pass(check, `${flavor.name}: ${size}`);
  });
}

/** The image exists once, can be booted, and fits every flavor's disk and memory. Instances that are there need it no more. */
export function checkImage(
  infra: OpenStackSpec,
  nodes: Readonly<Record<string, OpenStackNodeSpec>>,
  images: readonly Image[],
  flavors: readonly Flavor[],
  otherNames: readonly string[],
): PreflightRow {
  const problem = (found: string, text: string, next: string, allowed?: string): PreflightRow => ({
    ...fail("image", found, {
      path: "infra.image",
      value: infra.image,
      problem: text,
      ...(allowed === undefined ? {} : { allowed }),
      next,
    }),
    stops: "new instances",
  });
  const [image] = images;
  if (image === undefined) {
    const meant = nearest(infra.image, otherNames);
    return problem(
      `${infra.image} does not exist`,
      "is no image this project sees",
      meant === undefined ? "choose one of them, or its id" : `did you mean "${meant}"?`,
      otherNames.length === 0 ? undefined : [...new Set(otherNames)].sort().join(", "),
    );
  }
  if (images.length > 1) {
    return problem(
      `${images.length} of this name`,
      `is the name of ${images.length} images`,
      "name the image by its id",
      images.map(({ id }) => id).join(", "),
    );
  }
  if (image.status !== "active") {
    return problem(
      image.status,
      `is ${image.status}`,
      "wait until it is active, or choose another image",
      "active",
    );
  }
  for (const { name, pool } of usedPools(infra, nodes)) {
    const flavor = flavorOfPool(pool, flavors);
    if (flavor === undefined) continue;
    const needed = Math.max(image.min_disk, Math.ceil((image.virtual_size ?? 0) / 2 ** 30));
    const disk = infra.bootVolume?.size ?? flavor.disk;
    // A flavor without a disk of its own takes whatever the image needs.
    if (disk > 0 && disk < needed) {
      return problem(
        `needs a disk of ${needed} GiB`,
        infra.bootVolume === undefined
          ? `needs a disk of ${needed} GiB, flavor ${flavor.name} of pool ${name} has ${disk} GiB`
          : `needs a disk of ${needed} GiB, infra.bootVolume.size is ${disk}`,
        infra.bootVolume === undefined ? "choose a flavor with a larger disk" : "raise infra.bootVolume.size",
      );
    }
    if (flavor.ram < image.min_ram) {
      return problem(
        `needs ${image.min_ram} MiB`,
        `needs ${image.min_ram} MiB of memory, flavor ${flavor.name} of pool ${name} has ${flavor.ram} MiB`,
        "choose a flavor with more memory",
      );
    }
  }
  return pass("image", `${image.name}, ${image.status}`);
}

/** Pools that have nodes, with them. */
export function usedPools(infra: OpenStackSpec, nodes: Readonly<Record<string, OpenStackNodeSpec>>) {
  return Object.entries(infra.pools)
    .map(([name, pool]) => ({
      name,
      pool,
      members: Object.entries(nodes).filter(([, node]) => (node.pool ?? DEFAULT_POOL) === name),
    }))
    .filter(({ members }) => members.length > 0);
}
