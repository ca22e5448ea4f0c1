package main

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// normalize spells the values of an object of a built-in kind as the API server would, "1024Mi" as "1Gi" say, so that
// two spellings of one meaning compare equal. Only values the object has are touched: nothing is added or dropped.
// Objects of other kinds, and ones with unknown values, come back as they are.
func normalize(o *unstructured.Unstructured) *unstructured.Unstructured {
	gvk := gvkOf(o)
	if !scheme.Scheme.Recognizes(gvk) || hasUnknown(o.Object) {
		return o
	}
	typed, err := scheme.Scheme.New(gvk)
	if err != nil {
		return o
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, typed); err != nil {
		return o // the API server will say what is wrong with it
	}
	spelled, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return o
	}
	return &unstructured.Unstructured{Object: overlay(o.Object, spelled).(map[string]any)}
}

// overlay takes each value of base from spelled, where spelled has one at the same place.
func overlay(base, spelled any) any {
	switch base := base.(type) {
	case map[string]any:
		other, ok := spelled.(map[string]any)
		if !ok {
			return base
		}
		fields := make(map[string]any, len(base))
		for k, v := range base {
			if s, ok := other[k]; ok {
				fields[k] = overlay(v, s)
			} else {
				fields[k] = v
			}
		}
		return fields
	case []any:
		other, ok := spelled.([]any)
		if !ok || len(other) != len(base) {
			return base
		}
		items := make([]any, len(base))
		for i, v := range base {
			items[i] = overlay(v, other[i])
		}
		return items
	case nil:
		return nil
	default:
		switch spelled.(type) {
		case map[string]any, []any, nil:
			return base
		}
		return spelled
	}
}
