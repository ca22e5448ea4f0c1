/**
 * Proves: each hardening flag of the cluster is in the documents kubeadm gets. Does not prove: that kubeadm accepts them
 * (end-to-end tests).
 */
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import {
  renderAuditPolicy,
  renderAuthenticationConfiguration,
  renderEncryptionConfiguration,
  renderInit,
  renderJoin,
  renderKubeconfig,
} from "../../k8s/cluster/kubeadmConfig";

const settings = {
  kubernetesVersion: "v1.34.2",
  clusterName: "demo",
  podCidr: "10.244.0.0/16",
  serviceCidr: "10.96.0.0/16",
  endpoint: "10.87.0.11:6443",
  certificateNames: ["10.87.0.11", "node1"],
  imageRepository: "bundle.gourmetgram.internal",
  etcdTag: "3.6.4-0",
  corednsTag: "v1.12.4",
};
const node1 = { name: "node1", spec: { role: "controlPlane", address: "10.87.0.11" } } as const;

type Document = Record<string, any>;
const init = (): Record<string, Document> =>
  Object.fromEntries(
    parseAllDocuments(renderInit(settings, node1, "abcdef.0123456789abcdef")).map((document) => {
      const value = document.toJS() as Document;
      return [value["kind"], value];
    }),
  );

function apiServerArgs(): Record<string, string> {
  const args = init()["ClusterConfiguration"]?.["apiServer"].extraArgs as { name: string; value: string }[];
  return Object.fromEntries(args.map(({ name, value }) => [name, value]));
}

describe("the API server", () => {
  test("serves nobody anonymously but for the health endpoints", () => {
    expect(apiServerArgs()["authentication-config"]).toBe("/etc/kubernetes/apiserver/authentication.yaml");
    expect(parse(renderAuthenticationConfiguration()).anonymous).toEqual({
      enabled: true,
      conditions: [{ path: "/livez" }, { path: "/readyz" }, { path: "/healthz" }],
    });
  });

  test("encrypts Secrets with secretbox first, and still reads what was written before", () => {
    expect(apiServerArgs()["encryption-provider-config"]).toBe("/etc/kubernetes/apiserver/encryption.yaml");
    const [rule] = parse(renderEncryptionConfiguration("a2V5")).resources;
    expect(rule.resources).toEqual(["secrets"]);
    expect(rule.providers.map((provider: object) => Object.keys(provider)[0])).toEqual([
      "secretbox",
      "identity",
    ]);
  });

  test("keeps an audit log, and no bodies in it", () => {
    expect(apiServerArgs()["audit-policy-file"]).toBe("/etc/kubernetes/apiserver/audit-policy.yaml");
    const levels = parse(renderAuditPolicy()).rules.map((rule: { level: string }) => rule.level);
    expect(new Set(levels)).toEqual(new Set(["None", "Metadata"]));
    expect(levels.at(-1)).toBe("Metadata");
  });

  test("lets a kubelet change its own node only, and verifies kubelets", () => {
    expect(apiServerArgs()).toMatchObject({
      "enable-admission-plugins": "NodeRestriction",
      "kubelet-certificate-authority": "/etc/kubernetes/pki/ca.crt",
      profiling: "false",
    });
  });
});

describe("the kubelet", () => {
  test("takes no anonymous request, has no read-only port and a seccomp profile by default", () => {
    expect(init()["KubeletConfiguration"]).toMatchObject({
      authentication: { anonymous: { enabled: false }, webhook: { enabled: true } },
      authorization: { mode: "Webhook" },
      readOnlyPort: 0,
      rotateCertificates: true,
      seccompDefault: true,
    });
  });
});

describe("nodes", () => {
  test("the first control plane has no taint unless the spec says so", () => {
    expect(init()["InitConfiguration"]?.["nodeRegistration"].taints).toEqual([]);
  });

  test("the bootstrap token lives an hour", () => {
    expect(init()["InitConfiguration"]?.["bootstrapTokens"][0].ttl).toBe("1h0m0s");
  });

  test("a worker joins by file, a control plane also with its own address; no secret is in either", () => {
    const worker = parse(renderJoin({ name: "node2", spec: { role: "worker", address: "10.87.0.12" } }));
    expect(worker.discovery.file.kubeConfigPath).toBe("/etc/kubernetes/bootstrap-discovery.conf");
    expect(worker.controlPlane).toBeUndefined();
    const second = parse(
      renderJoin({ name: "node2", spec: { role: "controlPlane", address: "10.87.0.12" } }),
    );
    expect(second.controlPlane.localAPIEndpoint).toEqual({ advertiseAddress: "10.87.0.12", bindPort: 6443 });
  });
});

test("the kubeconfig names the endpoint and holds certificate and key", () => {
  const config = parse(
    renderKubeconfig({
      endpoint: "10.87.0.11:6443",
      clusterName: "demo",
      caCertificatePem: "CA",
      user: { clientCertificatePem: "CERT", clientKeyPem: "KEY" },
    }),
  );
  expect(config.clusters[0].cluster).toEqual({
    server: "https://10.87.0.11:6443",
    "certificate-authority-data": Buffer.from("CA").toString("base64"),
  });
  expect(config["current-context"]).toBe("demo");
});
