import { stringify } from "yaml";
import { MANAGED_KINDS, OBSERVED_KINDS } from "./argoCdAccess";

/** Address by which Argo CD knows the cluster it runs in. */
export const IN_CLUSTER = "https://kubernetes.default.svc";
/** Project of all our Applications. */
export const PROJECT = "gourmetgram";

/** `argocd-cm`. */
export function renderSettings(): Record<string, string> {
  return {
    "admin.enabled": "true",
    "users.anonymous.enabled": "false",
    // A terminal in somebody else's pod is more than a view.
    "exec.enabled": "false",
    "statusbadge.enabled": "false",
    // Only these kinds are listed and watched: it needs rights for no others, and holds no others in memory.
    "resource.inclusions": stringify(
      groupsOf([...MANAGED_KINDS, ...OBSERVED_KINDS]).map(({ group, kinds }) => ({
        apiGroups: [group],
        kinds,
      })),
    ),
    // Upstream's defaults for our kinds: a change that says nothing about health is no reason to compare again.
    "resource.customizations.ignoreResourceUpdates.all": stringify({ jsonPointers: ["/status"] }),
    "resource.customizations.ignoreResourceUpdates.apps_ReplicaSet": stringify({
      jqPathExpressions: [
        '.metadata.annotations."deployment.kubernetes.io/desired-replicas"',
        '.metadata.annotations."deployment.kubernetes.io/max-replicas"',
      ],
    }),
  };
}

/** Who may do what in Argo CD: the administrator everything, nobody else anything. */
export function renderRbac(): Record<string, string> {
  return { "policy.default": "", "policy.csv": "", scopes: "[groups]" };
}

export interface ProjectArgs {
  /** Git repositories Applications may come from. */
  readonly repositories: readonly string[];
  /** Namespaces they may deploy into. */
  readonly namespaces: readonly string[];
}

/** Specification of the AppProject: these repositories, these namespaces, these kinds, nothing of the whole cluster. */
export function renderProject({ repositories, namespaces }: ProjectArgs): object {
  return {
    description: "The stages of GourmetGram",
    sourceRepos: [...repositories],
    destinations: namespaces.map((namespace) => ({ server: IN_CLUSTER, namespace })),
    clusterResourceWhitelist: [],
    namespaceResourceWhitelist: MANAGED_KINDS.map(({ group, kind }) => ({ group, kind })),
  };
}

/** The project every installation has, which would allow everything: it allows nothing. */
export const CLOSED_PROJECT = {
  description: "Allows nothing; see the project gourmetgram",
  sourceRepos: [],
  destinations: [],
  clusterResourceWhitelist: [],
} as const;

/** Content of the Secret that limits Argo CD to some namespaces of its own cluster. */
export function renderCluster(namespaces: readonly string[]): Record<string, string> {
  return {
    name: "in-cluster",
    server: IN_CLUSTER,
    namespaces: namespaces.join(","),
    clusterResources: "false",
    config: JSON.stringify({ tlsClientConfig: { insecure: false } }),
  };
}

function groupsOf(
  kinds: readonly { readonly group: string; readonly kind: string }[],
): { group: string; kinds: string[] }[] {
  return [...new Set(kinds.map(({ group }) => group))].map((group) => ({
    group,
    kinds: kinds.filter((kind) => kind.group === group).map(({ kind }) => kind),
  }));
}
