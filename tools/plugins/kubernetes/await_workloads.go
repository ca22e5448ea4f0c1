package main

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// kinds are the ones that are waited for, by kind and group.
var kinds map[string]*kind

func init() {
	// In init, since rules refer to functions that refer to kinds.
	kinds = map[string]*kind{
		"Deployment.apps":  {related: deploymentSources, decide: decideDeployment, refresh: true},
		"StatefulSet.apps": {related: podSources, decide: decideStatefulSet, refresh: true},
		"DaemonSet.apps":   {related: podSources, decide: decideDaemonSet, refresh: true},
		"Job.batch":        {related: jobSources, decide: decideJob, refresh: true},
		"Pod":              {decide: decidePod, refresh: true},

		"Service":                   {related: serviceSources, decide: decideService, settles: endpointsSettle, refresh: true},
		"Ingress.networking.k8s.io": {decide: decideIngress, refresh: true},

		"PersistentVolume": {timeout: 5 * time.Minute, decide: decideVolume},

		"Namespace":     {decide: decideNamespace},
		"ResourceQuota": {timeout: time.Minute, decide: decideQuota},
		"CustomResourceDefinition.apiextensions.k8s.io": {decide: decideCRD},
		"APIService.apiregistration.k8s.io":             {decide: decideAPIService},
		"PersistentVolumeClaim":                         {timeout: 5 * time.Minute, related: claimSources, decide: decideClaim},
		"Secret":                                        {timeout: 5 * time.Second, decide: decideSecret},
		"ReplicationController":                         {decide: decideReplicationController},
	}
}

var (
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	claims      = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
)

// selected writes spec.selector as a label selector. An unreadable one selects everything: ownership is checked anyway.
func selected(o *unstructured.Unstructured) string {
	v, _ := lookup(o.Object, "spec", "selector")
	fields, _ := v.(map[string]any)
	var selector metav1.LabelSelector
	if runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &selector) != nil {
		return ""
	}
	parsed, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return ""
	}
	return parsed.String()
}

func podSources(o *unstructured.Unstructured) []source {
	return []source{{resource: pods, namespace: o.GetNamespace(), labels: selected(o)}}
}

func jobSources(o *unstructured.Unstructured) []source {
	return []source{{resource: pods, namespace: o.GetNamespace(), labels: "batch.kubernetes.io/job-name=" + o.GetName()}}
}

func deploymentSources(o *unstructured.Unstructured) []source {
	ns := o.GetNamespace()
	sources := []source{
		{resource: pods, namespace: ns, labels: selected(o)},
		{resource: replicaSets, namespace: ns, labels: selected(o)},
	}
	if len(claimNames(o)) > 0 {
		sources = append(sources, source{resource: claims, namespace: ns})
	}
	return sources
}

const revision = "deployment.kubernetes.io/revision"

// at gives one of a view's lists of related objects; a view without it has none.
func (v view) at(i int) []*unstructured.Unstructured {
	if i < len(v.related) {
		return v.related[i]
	}
	return nil
}

// decideDeployment: the controller has seen the spec, the ReplicaSet of the current revision has its pods available,
// the Deployment is available, a rollout is complete, and the claims its pods mount are bound.
func decideDeployment(v view) outcome {
	o := v.object
	wanted := lookupInt(o, 1, "spec", "replicas")
	if !isObserved(o) {
		return outcome{progress: "Waiting for the Deployment controller", reasons: []string{
			"The Deployment controller has not seen the latest spec"}}
	}
	if paused, _ := lookup(o.Object, "spec", "paused"); paused == true {
		return outcome{done: true} // by its own spec nothing will happen
	}
	if v.at(1) == nil {
		// Its ReplicaSets are not known yet, or may not be watched: the Deployment's own numbers must do.
		result := generic(o)
		result.progress = "[1/2] Waiting for app ReplicaSet to be available"
		return result
	}
	var current *unstructured.Unstructured
	for _, rs := range v.at(1) {
		if isOwned(rs, o.GetUID()) && rs.GetAnnotations()[revision] == o.GetAnnotations()[revision] {
			current = rs
		}
	}
	var ready int64
	if current != nil {
		wanted = lookupInt(current, wanted, "spec", "replicas")
		ready = lookupInt(current, 0, "status", "readyReplicas")
	}
	available := conditionOf(o, "Available")
	progressing := conditionOf(o, "Progressing")
	first := o.GetAnnotations()[revision] == "1"
	rolledOut := first || progressing.kind == "" || progressing.reason == "NewReplicaSetAvailable"
	isReady := current != nil && ready >= wanted && available.status == "True" && rolledOut
	unbound := unboundClaims(o, v.at(2))
	if isReady && len(unbound) == 0 {
		return outcome{done: true}
	}

	result := outcome{}
	switch {
	case !isReady && ready < wanted || current == nil:
		result.progress = fmt.Sprintf("[1/2] Waiting for app ReplicaSet to be available (%d/%d Pods available)", ready, wanted)
	case len(unbound) > 0:
		result.progress = fmt.Sprintf("[2/2] Waiting for PersistentVolumeClaims to be bound: %q", unbound)
	default:
		result.progress = fmt.Sprintf("[2/2] Waiting for the Deployment to be available (%d/%d Pods available)", ready, wanted)
	}
	for _, c := range []condition{conditionOf(o, "ReplicaFailure"), progressing, available} {
		if c.kind == "ReplicaFailure" && c.status == "True" || c.kind != "" && c.kind != "ReplicaFailure" && c.status == "False" {
			result.reasons = append(result.reasons, c.String())
		}
	}
	if len(unbound) > 0 {
		result.reasons = append(result.reasons, fmt.Sprintf("Failed to bind PersistentVolumeClaim(s): %q", unbound))
	}
	switch {
	case available.status != "True":
		result.reasons = append(result.reasons, "Minimum number of live Pods was not attained")
	case first:
		result.reasons = append(result.reasons, "Minimum number of Pods to consider the application live was not attained")
	case !isReady:
		result.reasons = append(result.reasons,
			"Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live")
	}
	if current != nil {
		result.addPods(v.at(0), current)
	}
	return result
}

// claimNames gives the claims a pod template mounts.
func claimNames(o *unstructured.Unstructured) []string {
	v, _ := lookup(o.Object, "spec", "template", "spec", "volumes")
	volumes, _ := v.([]any)
	var names []string
	for _, volume := range volumes {
		if name, ok := lookup(volume, "persistentVolumeClaim", "claimName"); ok {
			names = append(names, fmt.Sprint(name))
		}
	}
	return names
}

// unboundClaims names those of them that are there but not bound.
func unboundClaims(o *unstructured.Unstructured, there []*unstructured.Unstructured) []string {
	var names []string
	for _, name := range claimNames(o) {
		for _, claim := range there {
			if claim.GetName() == name && lookupString(claim, "status", "phase") != "Bound" {
				names = append(names, name)
			}
		}
	}
	return names
}

// addPods takes in what is wrong with the pods of one owner.
func (r *outcome) addPods(all []*unstructured.Unstructured, owner *unstructured.Unstructured) {
	var problems []string
	for _, pod := range all {
		if owner == nil || isOwned(pod, owner.GetUID()) {
			problems = append(problems, podProblems(pod)...)
		}
	}
	slices.Sort(problems)
	problems = slices.Compact(problems)
	r.warnings = append(r.warnings, problems...)
	r.reasons = append(r.reasons, problems...)
}

// decideStatefulSet: every replica is ready, and the current revision is the updated one unless pods are only replaced
// when somebody deletes them, or a partition holds some back.
func decideStatefulSet(v view) outcome {
	o := v.object
	wanted := lookupInt(o, 1, "spec", "replicas")
	ready := lookupInt(o, 0, "status", "readyReplicas")
	current, updated := lookupString(o, "status", "currentRevision"), lookupString(o, "status", "updateRevision")
	partition := lookupInt(o, 0, "spec", "updateStrategy", "rollingUpdate", "partition")
	onDelete := lookupString(o, "spec", "updateStrategy", "type") == "OnDelete"
	rolled := onDelete || partition > 0 && lookupInt(o, 0, "status", "updatedReplicas") >= max(0, wanted-partition) ||
		updated != "" && current == updated
	if isObserved(o) && ready >= wanted && lookupInt(o, 0, "status", "replicas") == wanted && rolled {
		return outcome{done: true}
	}
	result := outcome{}
	switch {
	case v.before == nil:
		result.progress = fmt.Sprintf("[1/2] Waiting for StatefulSet to create Pods (%d/%d Pods ready)", ready, wanted)
	case !isObserved(o) || ready < wanted:
		result.progress = fmt.Sprintf("[1/3] Waiting for StatefulSet update to roll out (%d/%d Pods ready)", ready, wanted)
	default:
		result.progress = "[2/3] Waiting for StatefulSet to update .status.currentRevision"
	}
	result.reasons = append(result.reasons,
		fmt.Sprintf("%d out of %d replicas succeeded readiness checks", ready, wanted))
	if !rolled && updated != "" {
		result.reasons = append(result.reasons, fmt.Sprintf(
			"StatefulSet controller failed to advance from revision %q to revision %q", current, updated))
	}
	result.addPods(v.at(0), o)
	return result
}

// decideDaemonSet leaves the numbers to kstatus: all scheduled, updated, available, ready. Where pods are only replaced
// when somebody deletes them, being ready is enough.
func decideDaemonSet(v view) outcome {
	o := v.object
	if lookupString(o, "spec", "updateStrategy", "type") == "OnDelete" && isObserved(o) &&
		lookupInt(o, 0, "status", "numberReady") >= lookupInt(o, -1, "status", "desiredNumberScheduled") &&
		lookupInt(o, -1, "status", "desiredNumberScheduled") >= 0 {
		return outcome{done: true}
	}
	result := generic(v.object)
	if !result.done {
		result.addPods(v.at(0), v.object)
	}
	return result
}

// decideJob: complete, or suspended by its own spec. A failed Job stays so.
func decideJob(v view) outcome {
	o := v.object
	name := idOf(o)
	if c := conditionOf(o, "Failed"); c.status == "True" {
		result := outcome{failed: true, reasons: []string{c.String()}}
		result.addPods(v.at(0), o)
		return result
	}
	if c := conditionOf(o, "Complete"); c.status == "True" {
		return outcome{done: true}
	}
	if suspended, _ := lookup(o.Object, "spec", "suspend"); suspended == true {
		return outcome{done: true}
	}
	result := outcome{progress: fmt.Sprintf("Waiting for Job %q to start", name)}
	if lookupString(o, "status", "startTime") != "" {
		result.progress = fmt.Sprintf("Waiting for Job %q to succeed (Active: %d | Succeeded: %d | Failed: %d)", name,
			lookupInt(o, 0, "status", "active"), lookupInt(o, 0, "status", "succeeded"), lookupInt(o, 0, "status", "failed"))
	}
	result.reasons = []string{result.progress}
	result.addPods(v.at(0), o)
	return result
}

func decideReplicationController(v view) outcome {
	wanted := lookupInt(v.object, 1, "spec", "replicas")
	available := lookupInt(v.object, 0, "status", "availableReplicas")
	if isObserved(v.object) && available == wanted {
		return outcome{done: true}
	}
	progress := fmt.Sprintf("Waiting for ReplicationController to be available (%d/%d Pods available)", available, wanted)
	return outcome{progress: progress, reasons: []string{progress}}
}

// generic asks kstatus, which knows the field's conventions for conditions and generations.
func generic(o *unstructured.Unstructured) outcome {
	computed, err := status.Compute(o)
	if err != nil {
		return outcome{progress: err.Error(), reasons: []string{err.Error()}}
	}
	if computed.Status == status.CurrentStatus {
		return outcome{done: true}
	}
	result := outcome{progress: computed.Message, reasons: []string{computed.Message}}
	if computed.Message == "" {
		result.progress = fmt.Sprintf("Waiting for %s: %s", describe(o), computed.Status)
		result.reasons = []string{result.progress}
	}
	return result
}

func decideGeneric(v view) outcome { return generic(v.object) }
