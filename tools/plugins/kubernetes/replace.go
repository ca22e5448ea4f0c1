package main

import (
	"reflect"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rule names a field that cannot change in place, as a path with [*] for every item of a list.
type rule []string

func rules(paths ...string) []rule {
	list := make([]rule, len(paths))
	for i, p := range paths {
		list[i] = strings.Split(strings.ReplaceAll(p, "[*]", ".*"), ".")
	}
	return list
}

// identityRules are what makes another object of any object.
var identityRules = rules("kind", "metadata.name", "metadata.namespace")

// containerFields are the fields of a Pod's containers that cannot change in place. As in the official plugin the image
// is among them, though the API would take it: a Pod by itself is replaced rather than restarted in place.
var containerFields = strings.Fields(`args command env envFrom image imagePullPolicy lifecycle livenessProbe ports
	readinessProbe resources securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy
	tty volumeDevices volumeMounts workingDir`)

func under(prefix, fields string) []rule {
	var list []rule
	for _, field := range strings.Fields(fields) {
		list = append(list, rules(prefix+"."+field)...)
	}
	return list
}

// kindRules are the fields the API server refuses to change, by kind and group, and the few more for which the official
// plugin replaces as well.
var kindRules = map[string][]rule{
	"Deployment.apps": rules("spec.selector"),
	"DaemonSet.apps":  rules("spec.selector"),
	"ReplicaSet.apps": rules("spec.selector"),
	"StatefulSet.apps": rules("spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector",
		"spec.serviceName", "spec.volumeClaimTemplates"),
	"Job.batch": rules("spec.completions", "spec.completionMode", "spec.parallelism", "spec.podFailurePolicy",
		"spec.selector", "spec.successPolicy", "spec.template"),
	"PersistentVolume": under("spec", `awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker
		gcePersistentDisk glusterfs hostPath iscsi local nfs nodeAffinity photonPersistentDisk portworxVolume quobyte rbd
		scaleIO storageos volumeMode vsphereVolume`),
	// Not spec.resources: a claim may grow, and shrinking must fail rather than throw the data away.
	"PersistentVolumeClaim": rules("spec.accessModes", "spec.dataSource", "spec.dataSourceRef", "spec.selector",
		"spec.storageClassName", "spec.volumeMode", "spec.volumeName"),
	"Pod": append(under("spec", `affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases
		hostIPC hostNetwork hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority
		priorityClassName readinessGates restartPolicy runtimeClassName schedulerName securityContext serviceAccount
		serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds volumes`),
		append(under("spec.containers[*]", strings.Join(containerFields, " ")),
			under("spec.initContainers[*]", strings.Join(containerFields, " "))...)...),
	"ResourceQuota": rules("spec.scopes"),
	"Secret":        rules("type"),
	"Service":       rules("spec.clusterIP"),
	"ClusterRoleBinding.rbac.authorization.k8s.io": rules("roleRef"),
	"RoleBinding.rbac.authorization.k8s.io":        rules("roleRef"),
	"StorageClass.storage.k8s.io":                  rules("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
	"VolumeSnapshotClass.snapshot.storage.k8s.io":  rules("driver", "parameters"),
	"PriorityClass.scheduling.k8s.io":              rules("value", "preemptionPolicy"),
	"IngressClass.networking.k8s.io":               rules("spec.controller"),
	"RuntimeClass.node.k8s.io":                     rules("handler"),
}

// replaceRules gives the rules for an object. By default, as in the official plugin, a ConfigMap or Secret is replaced
// when its data changes, so that what names it is rolled; the provider's enable…Mutable arguments turn that off, but not
// for one marked immutable.
func (p *provider) replaceRules(o *unstructured.Unstructured) []rule {
	gk := gvkOf(o).GroupKind().String()
	list := append(append([]rule{}, identityRules...), kindRules[gk]...)
	immutable := o.Object["immutable"] == true
	switch {
	case gk == "ConfigMap" && (immutable || !p.settings.enableConfigMapMutate):
		list = append(list, rules("data", "binaryData")...)
	case gk == "Secret" && (immutable || !p.settings.enableSecretMutate):
		list = append(list, rules("data", "stringData")...)
	}
	return list
}

// forcesReplace tells whether a change at path is one that a rule forbids in place. A change above a ruled field (the
// whole spec came or went) counts when the field itself differs.
func forcesReplace(list []rule, path resource.PropertyPath, before, after map[string]any) bool {
	if len(path) == 1 && path[0] == "apiVersion" {
		// Another version of a kind is the same object, another group is not.
		return group(before["apiVersion"]) != group(after["apiVersion"])
	}
	for _, r := range list {
		shared := min(len(r), len(path))
		matches := true
		for i := range shared {
			if !segmentMatches(r[i], path[i]) {
				matches = false
				break
			}
		}
		if !matches {
			continue
		}
		if len(path) >= len(r) {
			return true
		}
		if !reflect.DeepEqual(pick(before, r), pick(after, r)) {
			return true
		}
	}
	return false
}

func group(apiVersion any) string {
	s, _ := apiVersion.(string)
	g, _, found := strings.Cut(s, "/")
	if !found || g == "core" {
		return ""
	}
	return g
}

func segmentMatches(ruled string, key any) bool {
	switch key := key.(type) {
	case string:
		return ruled == key
	default:
		return ruled == "*"
	}
}

// pick gathers every value a rule names.
func pick(v any, r rule) any {
	if len(r) == 0 {
		return v
	}
	if r[0] == "*" {
		items, _ := v.([]any)
		var picked []any
		for _, item := range items {
			picked = append(picked, pick(item, r[1:]))
		}
		return picked
	}
	fields, _ := v.(map[string]any)
	return pick(fields[r[0]], r[1:])
}
