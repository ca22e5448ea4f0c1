import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { bundleRegistry, imageRef, type PinRow, pinRows, upstreamImageRef } from "../../stacks/pins";
import {
  artifactKey,
  bundleKey,
  bundleParts,
  inputsOf,
  keptParts,
  machineKey,
  rowOf,
  sourceFolder,
} from "../../tools/bundle/recipes";

/** Runs with one row replaced. */
function withRow<T>(name: string, change: Record<string, unknown>, read: () => T): T {
  const rows = pinRows as Record<string, PinRow>;
  const kept = rows[name] as PinRow;
  rows[name] = { ...kept, ...change } as PinRow;
  try {
    return read();
  } finally {
    rows[name] = kept;
  }
}

afterEach(() => vi.restoreAllMocks());

describe("the pin table", () => {
  it("names only inputs that exist, with the programs they have", () => {
    for (const name of Object.keys(pinRows)) {
      const row = rowOf(name);
      for (const input of inputsOf(row)) expect(pinRows[input], `${name} needs ${input}`).toBeDefined();
      if (row.kind !== "image") continue;
      for (const layer of row.layers) {
        if ("rootfs" in layer) continue;
        for (const file of Object.values(layer.files ?? {})) {
          if (!("program" in file)) continue;
          const source = rowOf(file.row);
          if (source.kind === "binary" && source.how === "go")
            expect(Object.keys(source.programs)).toContain(file.program);
        }
      }
    }
  });

  it("gives images names that are not the upstream's", () => {
    for (const name of Object.keys(pinRows).filter((one) => one.startsWith("image-"))) {
      const short = name.replace("image-", "") as Parameters<typeof imageRef>[0];
      expect(imageRef(short)).toMatch(new RegExp(`^${bundleRegistry}/${short}:[\\w.-]+$`));
      const upstream = upstreamImageRef(short);
      if (upstream === undefined) continue;
      expect(upstream).toMatch(/^[a-z0-9.]+\/[a-z0-9/-]+:[\w.-]+$/);
      expect(upstream).not.toContain(bundleRegistry);
    }
    expect(upstreamImageRef("pipeline")).toBeUndefined();
    expect(imageRef("etcd")).toBe("bundle.gourmetgram.internal/etcd:3.6.4-0");
  });

  it("pins every Python package to one version", () => {
    for (const row of Object.values(pinRows)) {
      if (row.kind === "rootfs")
        for (const one of row.pip ?? []) expect(one).toMatch(/^[\w[\]-]+==\d+(\.\d+)+$/);
    }
  });

  it("pins every wheel to one version and one checksum", () => {
    for (const row of Object.values(pinRows)) {
      if (row.kind !== "rootfs" || row.wheels === undefined) continue;
      const lines = readFileSync(join(sourceFolder(), row.wheels), "utf8").trim().split("\n");
      const pinned = lines.filter((line) => !line.startsWith("#"));
      expect(pinned.length).toBeGreaterThan(10);
      for (const line of pinned) expect(line).toMatch(/^[a-z0-9-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}$/);
      expect(new Set(pinned.map((line) => line.split("==")[0])).size).toBe(pinned.length);
    }
  });

  it("takes checksums for every program it may download", () => {
    for (const row of Object.values(pinRows)) {
      if (row.kind !== "binary" || row.how !== "go") continue;
      for (const { download } of Object.values(row.programs)) {
        if (download !== undefined) expect(download.sha256Url).toMatch(/^https:/);
      }
    }
  });

  it("refuses an unknown name with the known ones", () => {
    expect(() => rowOf("etcdd")).toThrow(/"etcdd"; there are: kubernetes, etcd, /);
  });
});

describe("keys", () => {
  it("change with a version, a linker flag or a package, and with nothing else's", () => {
    const before = artifactKey("etcd");
    expect(withRow("etcd", { moduleVersion: "v3.6.5" }, () => artifactKey("etcd"))).not.toBe(before);
    expect(withRow("etcd", { ldflags: [] }, () => artifactKey("etcd"))).not.toBe(before);
    expect(withRow("coredns", { moduleVersion: "v1" }, () => artifactKey("etcd"))).toBe(before);
    expect(artifactKey("etcd")).toBe(before);
  });

  it("change with an input's recipe, down to the bundle and the machine image", () => {
    const change = { packages: ["ca-certificates", "tzdata"] };
    for (const read of [
      () => artifactKey("debian-mlflow"),
      () => artifactKey("image-mlflow"),
      bundleKey,
      machineKey,
    ]) {
      expect(withRow("debian", change, read)).not.toBe(read());
    }
    expect(withRow("debian", change, () => artifactKey("image-etcd"))).toBe(artifactKey("image-etcd"));
  });

  it("do not change with the place of an official download", () => {
    const change = { upstream: "mirror.example.org/etcd:3.6.4-0" };
    expect(withRow("image-etcd", change, () => artifactKey("image-etcd"))).toBe(artifactKey("image-etcd"));
  });

  it("leave the bundle alone when only the machines' root file system changes", () => {
    const change = { packages: ["systemd"] };
    expect(withRow("machine-rootfs", change, bundleKey)).toBe(bundleKey());
    expect(withRow("machine-rootfs", change, machineKey)).not.toBe(machineKey());
  });

  it("change with a file that is added to a module, and with the list of wheels", () => {
    const changed = {
      alterations: { "webui/static/index.html": { file: "images/argo-workflows/index.html" } },
    };
    expect(withRow("traefik", changed, () => artifactKey("traefik"))).not.toBe(artifactKey("traefik"));
    const wheels = { wheels: "images/python/after.sh" };
    for (const name of ["debian-python-wheels", "image-python-wheels", "image-base-images"])
      expect(withRow("debian-python-wheels", wheels, () => artifactKey(name))).not.toBe(artifactKey(name));
  });

  it("leave out of the nodes what comes inside another image, and count that as its input", () => {
    expect(inputsOf(rowOf("image-base-images"))).toEqual(
      expect.arrayContaining(["crane", "image-python", "image-python-wheels"]),
    );
    for (const name of ["image-python", "image-python-wheels"]) {
      expect(bundleParts()).not.toContain(name);
      expect(keptParts()).not.toContain(name);
      expect(withRow(name, { preloaded: true }, () => artifactKey(name))).toBe(artifactKey(name));
    }
    expect(bundleParts()).toContain("image-base-images");
  });

  it("cover every image and manifest, and the programs of a node", () => {
    expect(bundleParts()).toEqual(
      expect.arrayContaining(["kubernetes", "etcdctl", "cni", "image-mlflow", "manifest-flannel"]),
    );
    expect(bundleParts()).not.toContain("debian");
  });
});
