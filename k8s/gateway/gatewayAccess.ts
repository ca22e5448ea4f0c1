import * as k8s from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { type LabelArgs, labels } from "../../components/labels";

const APPLICATION: LabelArgs = { name: "gateway", component: "gateway" };
const ACCOUNT = "gateway";
/** Cluster-wide names. */
const CLASSES_ROLE = "gourmetgram-gateway-classes";
const ROUTES_ROLE = "gourmetgram-gateway-routes";
const READ = ["get", "list", "watch"];

export interface GatewayAccessArgs {
  readonly namespace: pulumi.Input<string>;
  /** Namespaces with routes of their own, by service. */
  readonly stages: Readonly<Record<string, pulumi.Input<string>>>;
}

/**
 * The account of the gateway and its rights. Traefik lists Secrets, Services and routes in the namespaces it is told to read:
 * its own and the stages'. Everywhere else, where passwords lie, it reads nothing, which is why other backends are in the
 * routing file.
 */
export function createGatewayAccess(
  name: string,
  args: GatewayAccessArgs,
  opts: pulumi.CustomResourceOptions,
): { readonly name: pulumi.Output<string>; readonly bindings: readonly pulumi.Resource[] } {
  const account = new k8s.core.v1.ServiceAccount(
    name,
    {
      metadata: { name: ACCOUNT, namespace: args.namespace, labels: labels(APPLICATION) },
      automountServiceAccountToken: false,
    },
    opts,
  );
  const subjects = [{ kind: "ServiceAccount", name: account.metadata.name, namespace: args.namespace }];
  const group = "gateway.networking.k8s.io";
  const classes = createRole(`${name}-classes`, CLASSES_ROLE, opts, [
    { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] },
    { apiGroups: [group], resources: ["gatewayclasses"], verbs: READ },
    { apiGroups: [group], resources: ["gatewayclasses/status"], verbs: ["update"] },
  ]);
  const routes = createRole(`${name}-routes`, ROUTES_ROLE, opts, [
    // It waits until it has listed all of these, Secrets and EndpointSlices too, before it serves a single route.
    { apiGroups: [""], resources: ["services", "secrets"], verbs: ["list", "watch"] },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
    {
      apiGroups: [group],
      resources: ["gateways", "httproutes", "grpcroutes", "referencegrants"],
      verbs: READ,
    },
    {
      apiGroups: [group],
      resources: ["gateways/status", "httproutes/status", "grpcroutes/status"],
      verbs: ["update"],
    },
  ]);
  const bindings: pulumi.Resource[] = [
    new k8s.rbac.v1.ClusterRoleBinding(
      `${name}-classes`,
      {
        metadata: { name: CLASSES_ROLE, labels: labels(APPLICATION) },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: classes.metadata.name },
        subjects,
      },
      opts,
    ),
  ];
  const namespaces = Object.entries({ gateway: args.namespace, ...args.stages });
  for (const [service, namespace] of namespaces) {
    bindings.push(
      new k8s.rbac.v1.RoleBinding(
        `${name}-routes-${service}`,
        {
          metadata: { name: `${ROUTES_ROLE}-${service}`, namespace, labels: labels(APPLICATION) },
          roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: routes.metadata.name },
          subjects,
        },
        opts,
      ),
    );
  }
  return { name: pulumi.output(account.metadata.name), bindings };
}

function createRole(
  name: string,
  objectName: string,
  opts: pulumi.CustomResourceOptions,
  rules: k8s.types.input.rbac.v1.PolicyRule[],
): k8s.rbac.v1.ClusterRole {
  return new k8s.rbac.v1.ClusterRole(
    name,
    { metadata: { name: objectName, labels: labels(APPLICATION) }, rules },
    opts,
  );
}
