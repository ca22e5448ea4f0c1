/**
 * Proves: how the upstream manifests are adapted. Does not prove: that the adapted objects work (end-to-end tests).
 */
import { expect, test } from "vitest";
import { parse, stringify } from "yaml";
import type { KubernetesObject } from "../../components/manifest";
import { adaptMetrics, adaptStorage } from "../../k8s/cluster/addons";

const args = {
  images: { localPathProvisioner: "provisioner:1", localPathHelper: "helper:1", metricsServer: "metrics:1" },
  manifestsFolder: "/manifests",
  storageLabel: "gourmetgram.dev/storage",
};

function deployment(spec: object = {}): KubernetesObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "it" },
    spec: { template: { spec: { containers: [{ name: "it", image: "upstream:1", ...spec }] } } },
  };
}

test("metrics-server verifies the kubelets' certificates, and never skips that", () => {
  const [container] = adaptMetrics(deployment({ args: ["--kubelet-insecure-tls"] }), args).spec.template.spec
    .containers;
  expect(container.image).toBe("metrics:1");
  expect(container.args).toContain("--kubelet-certificate-authority=/etc/kubelet-ca/ca.crt");
  expect(container.args).not.toContain("--kubelet-insecure-tls");
  expect(container.volumeMounts).toContainEqual({ name: "kubelet-ca", mountPath: "/etc/kubelet-ca" });
});

test("metrics-server's Service selects its pods, whichever form the manifest had", () => {
  const adapted = adaptMetrics(deployment(), args);
  const service = adaptMetrics(
    { apiVersion: "v1", kind: "Service", metadata: { name: "it" }, spec: {} },
    args,
  );
  expect(adapted.spec.template.metadata.labels).toMatchObject(service.spec.selector);
  expect(adapted.spec.selector.matchLabels).toEqual(service.spec.selector);
});

test("the storage class is the default one and keeps to the storage nodes", () => {
  const adapted = adaptStorage(
    { apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name: "local-path" } },
    args,
  );
  expect(adapted.metadata.annotations).toEqual({ "storageclass.kubernetes.io/is-default-class": "true" });
  expect(adapted["allowedTopologies"]).toEqual([
    { matchLabelExpressions: [{ key: "gourmetgram.dev/storage", values: ["true"] }] },
  ]);
});

test("the provisioner's helper runs our image and is never pulled", () => {
  const helper = stringify({ spec: { containers: [{ name: "helper", image: "busybox" }] } });
  const adapted = adaptStorage(
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "it" },
      data: { "helperPod.yaml": helper, other: "x" },
    },
    args,
  );
  expect(parse(adapted["data"]["helperPod.yaml"]).spec.containers).toEqual([
    { name: "helper", image: "helper:1", imagePullPolicy: "IfNotPresent" },
  ]);
  expect(adapted["data"].other).toBe("x");
});
