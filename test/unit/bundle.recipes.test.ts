import { afterEach, describe, expect, it, vi } from "vitest";
import { bundleRegistry, imageRef, type PinRow, pinRows, upstreamImageRef } from "../../stacks/pins";
import { artifactKey, bundleKey, bundleParts, inputsOf, machineKey, rowOf } from "../../tools/bundle/recipes";

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
      expect(upstreamImageRef(short)).toMatch(/^[a-z0-9.]+\/[a-z0-9/-]+:[\w.-]+$/);
      expect(upstreamImageRef(short)).not.toContain(bundleRegistry);
    }
    expect(imageRef("etcd")).toBe("bundle.gourmetgram.internal/etcd:3.6.4-0");
  });

  it("pins every Python package to one version", () => {
    for (const row of Object.values(pinRows)) {
      if (row.kind === "rootfs")
        for (const one of row.pip ?? []) expect(one).toMatch(/^[\w[\]-]+==\d+(\.\d+)+$/);
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

  it("cover every image and manifest, and the programs of a node", () => {
    expect(bundleParts()).toEqual(
      expect.arrayContaining(["kubernetes", "etcdctl", "cni", "image-mlflow", "manifest-flannel"]),
    );
    expect(bundleParts()).not.toContain("debian");
  });
});
