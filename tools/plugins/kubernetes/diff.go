package main

import (
	"context"
	"fmt"
	"reflect"
	"sort"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Diff compares what was applied last (or, after a refresh, what was read) with what the program wants now. It asks the
// cluster nothing: a refresh has already put what drifted into the old inputs.
func (p *provider) Diff(ctx context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	urn := resource.URN(req.GetUrn())
	if err := supported(urn); err != nil {
		return nil, err
	}
	olds, err := readProperties("old state", req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := readProperties("new inputs", req.GetNews())
	if err != nil {
		return nil, err
	}
	state := readCheckpoint(olds)
	if !state.hasInputs {
		oldInputs, err := readProperties("old inputs", req.GetOldInputs())
		if err != nil {
			return nil, err
		}
		state.inputs = toObject(oldInputs)
	}
	before, after := state.inputs, toObject(news)
	levelNamespaces(before, after, state.live)

	var ignored []resource.PropertyPath
	for _, text := range req.GetIgnoreChanges() {
		path, err := resource.ParsePropertyPath(text)
		if err != nil {
			return nil, fmt.Errorf("ignoreChanges: %q is not a property path: %w", text, err)
		}
		ignored = append(ignored, path)
	}
	changes := dropIgnored(compareObjects(before, after), ignored)

	rules := identityRules
	if !isPatch(urn, after) {
		rules = p.replaceRules(after)
	}
	response := &pulumirpc.DiffResponse{
		Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true,
		DetailedDiff: map[string]*pulumirpc.PropertyDiff{}, Stables: []string{},
	}
	for _, change := range changes {
		replace := forcesReplace(rules, change.path, before.Object, after.Object)
		response.DetailedDiff[change.path.String()] = &pulumirpc.PropertyDiff{
			Kind: change.protocolKind(replace), InputDiff: true,
		}
		if replace {
			response.Replaces = append(response.Replaces, change.path.String())
		}
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	if isAnnotated(after, annotationReplaceUnready) && p.isUnready(ctx, urn, state.live) {
		response.Replaces = append(response.Replaces,
			fmt.Sprintf("metadata.annotations[%q]", annotationReplaceUnready))
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	sort.Strings(response.Replaces)
	response.DeleteBeforeReplace = len(response.Replaces) > 0 && keepsName(after, state.live)
	return response, nil
}

// keepsName tells whether a replacement would meet its predecessor: the name was chosen by the program and stays, and
// so does the namespace.
func keepsName(after, live *unstructured.Unstructured) bool {
	return hasName(after) && !isAnnotated(after, annotationAutonamed) &&
		after.GetName() == live.GetName() && after.GetNamespace() == live.GetNamespace()
}

// levelNamespaces makes the many spellings of an object's namespace equal: none is "default", and what lives in no
// namespace has none even where an earlier run, not knowing the kind, gave it one.
func levelNamespaces(before, after, live *unstructured.Unstructured) {
	level := func(o *unstructured.Unstructured) {
		metadata, ok := o.Object["metadata"].(map[string]any)
		if !ok {
			return
		}
		if live.GetName() != "" && live.GetNamespace() == "" {
			delete(metadata, "namespace")
		} else if ns, ok := metadata["namespace"]; !ok || ns == nil || ns == "" {
			metadata["namespace"] = "default"
		}
	}
	level(before)
	level(after)
}

// isUnready asks the cluster about a resource that is to be replaced when it is not ready. Only Jobs can be.
func (p *provider) isUnready(ctx context.Context, urn resource.URN, live *unstructured.Unstructured) bool {
	report := p.reporter(urn)
	if lookupString(live, "kind") != "Job" {
		report.say(warning, "replaceUnready annotation is not supported for this resource")
		return false
	}
	if err := p.cluster.reach(ctx); err != nil {
		report.say(warning, "Cluster is unreachable, skipping replaceUnready check")
		return false
	}
	client, err := p.cluster.client(live)
	if err != nil {
		return false
	}
	now, err := client.Get(ctx, live.GetName(), metav1.GetOptions{})
	if err != nil {
		return false
	}
	return !decideJob(view{object: now}).done
}

type changeKind int

const (
	added changeKind = iota
	removed
	updated
)

// change is one place at which two objects differ.
type change struct {
	path resource.PropertyPath
	kind changeKind
}

func (c change) protocolKind(replace bool) pulumirpc.PropertyDiff_Kind {
	kinds := map[changeKind][2]pulumirpc.PropertyDiff_Kind{
		added:   {pulumirpc.PropertyDiff_ADD, pulumirpc.PropertyDiff_ADD_REPLACE},
		removed: {pulumirpc.PropertyDiff_DELETE, pulumirpc.PropertyDiff_DELETE_REPLACE},
		updated: {pulumirpc.PropertyDiff_UPDATE, pulumirpc.PropertyDiff_UPDATE_REPLACE},
	}
	if replace {
		return kinds[c.kind][1]
	}
	return kinds[c.kind][0]
}

// compareObjects lists where two sets of inputs differ in meaning: "1Gi" and "1024Mi" do not.
func compareObjects(before, after *unstructured.Unstructured) []change {
	if reflect.DeepEqual(before.Object, after.Object) {
		return nil
	}
	var changes []change
	compare(nil, normalize(before).Object, normalize(after).Object, &changes)
	return changes
}

// readOnlyMetadata is written by the API server alone.
var readOnlyMetadata = set(`creationTimestamp deletionGracePeriodSeconds deletionTimestamp generation managedFields
	resourceVersion selfLink uid`)

func compare(path resource.PropertyPath, before, after any, changes *[]change) {
	emit := func(kind changeKind, keys ...any) {
		full := append(append(resource.PropertyPath{}, path...), keys...)
		*changes = append(*changes, change{full, kind})
	}
	switch old := before.(type) {
	case map[string]any:
		now, ok := after.(map[string]any)
		if !ok {
			emit(updated)
			return
		}
		for key, v := range old {
			if skipped(path, key) {
				continue
			}
			if next, ok := now[key]; ok {
				compare(append(append(resource.PropertyPath{}, path...), key), v, next, changes)
			} else if v != nil {
				emit(removed, key)
			}
		}
		for key, v := range now {
			if _, ok := old[key]; !ok && v != nil && !skipped(path, key) {
				emit(added, key)
			}
		}
	case []any:
		now, ok := after.([]any)
		if !ok {
			emit(updated)
			return
		}
		for i := range max(len(old), len(now)) {
			switch {
			case i >= len(now):
				emit(removed, i)
			case i >= len(old):
				emit(added, i)
			default:
				compare(append(append(resource.PropertyPath{}, path...), i), old[i], now[i], changes)
			}
		}
	default:
		if !sameScalar(before, after) {
			emit(updated)
		}
	}
}

func skipped(path resource.PropertyPath, key string) bool {
	if len(path) == 1 && path[0] == "metadata" {
		return readOnlyMetadata[key]
	}
	return len(path) == 0 && key == "status"
}

func sameScalar(a, b any) bool {
	if hasUnknownItself(a) || hasUnknownItself(b) {
		return false
	}
	x, okX := number(a)
	y, okY := number(b)
	if okX && okY {
		return x == y
	}
	return reflect.DeepEqual(a, b)
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	default:
		return 0, false
	}
}

func dropIgnored(changes []change, ignored []resource.PropertyPath) []change {
	if len(ignored) == 0 {
		return changes
	}
	var kept []change
	for _, c := range changes {
		drop := false
		for _, path := range ignored {
			drop = drop || path.Contains(c.path)
		}
		if !drop {
			kept = append(kept, c)
		}
	}
	return kept
}
