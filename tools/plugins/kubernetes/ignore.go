package main

import (
	"bytes"
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// withoutIgnored gives the inputs to send when the program ignores changes of some places (ignoreChanges). A place that
// others own and we do not is left out, so that it stays theirs. One that is ours too is sent as it is live, since
// leaving it out would remove it and sending the program's value would undo what others did.
func withoutIgnored(
	inputs, live *unstructured.Unstructured, manager string, ignored []string,
) (*unstructured.Unstructured, error) {
	if len(ignored) == 0 {
		return inputs, nil
	}
	ours, theirs, err := owners(live, manager)
	if err != nil {
		return nil, err
	}
	out := copyObject(inputs)
	for _, text := range ignored {
		path, err := resource.ParsePropertyPath(text)
		if err != nil {
			return nil, fmt.Errorf("ignoreChanges: %q is not a property path: %w", text, err)
		}
		for _, concrete := range expand(path, live.Object) {
			value, found := valueAt(live.Object, concrete)
			if !found {
				continue // not in the cluster: the program's value, or none, is all there is
			}
			if owned := ownedPath(concrete); owned != nil && theirs.Has(owned) && !ours.Has(owned) {
				removeAt(out.Object, concrete)
			} else {
				setAt(out.Object, concrete, copyValue(value))
			}
		}
	}
	return out, nil
}

// owners collects the fields our manager owns and those anybody else does, each with all fields above them.
func owners(live *unstructured.Unstructured, manager string) (ours, theirs *fieldpath.Set, err error) {
	ours, theirs = fieldpath.NewSet(), fieldpath.NewSet()
	for _, entry := range live.GetManagedFields() {
		if entry.FieldsV1 == nil || entry.Subresource != "" {
			continue
		}
		set := fieldpath.NewSet()
		if err := set.FromJSON(bytes.NewReader(entry.FieldsV1.Raw)); err != nil {
			return nil, nil, fmt.Errorf("reading who owns the fields of %s: %w", describe(live), err)
		}
		into := theirs
		if entry.Manager == manager {
			into = ours
		}
		set.Iterate(func(p fieldpath.Path) {
			for i := range p {
				into.Insert(p[:i+1].Copy())
			}
		})
	}
	return ours, theirs, nil
}

// ownedPath writes a path of field names as managed fields do. Items of lists are known there by key, not by index, so
// a path through a list has none.
func ownedPath(path resource.PropertyPath) fieldpath.Path {
	var owned fieldpath.Path
	for _, segment := range path {
		name, ok := segment.(string)
		if !ok {
			return nil
		}
		owned = append(owned, fieldpath.PathElement{FieldName: &name})
	}
	return owned
}

// expand replaces the wildcards of a path by what is there.
func expand(path resource.PropertyPath, v any) []resource.PropertyPath {
	if len(path) == 0 {
		return []resource.PropertyPath{{}}
	}
	var found []resource.PropertyPath
	into := func(key, child any) {
		for _, rest := range expand(path[1:], child) {
			found = append(found, append(resource.PropertyPath{key}, rest...))
		}
	}
	switch v := v.(type) {
	case map[string]any:
		if path[0] == "*" {
			for key, child := range v {
				into(key, child)
			}
		} else if key, ok := path[0].(string); ok {
			into(key, v[key])
		}
	case []any:
		if path[0] == "*" {
			for i, child := range v {
				into(i, child)
			}
		} else if i, ok := path[0].(int); ok && i >= 0 && i < len(v) {
			into(i, v[i])
		}
	default:
		if path[0] != "*" {
			found = append(found, path)
		}
	}
	return found
}

func valueAt(v any, path resource.PropertyPath) (any, bool) {
	for _, segment := range path {
		switch parent := v.(type) {
		case map[string]any:
			key, ok := segment.(string)
			if !ok {
				return nil, false
			}
			if v, ok = parent[key]; !ok {
				return nil, false
			}
		case []any:
			i, ok := segment.(int)
			if !ok || i < 0 || i >= len(parent) {
				return nil, false
			}
			v = parent[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// setAt sets a value, making the maps above it. An item beyond a list's end is left alone.
func setAt(root map[string]any, path resource.PropertyPath, value any) {
	var parent any = root
	for i, segment := range path {
		last := i == len(path)-1
		switch at := parent.(type) {
		case map[string]any:
			key, ok := segment.(string)
			if !ok {
				return
			}
			if last {
				at[key] = value
				return
			}
			if _, ok := at[key]; !ok {
				if _, list := path[i+1].(int); list {
					return
				}
				at[key] = map[string]any{}
			}
			parent = at[key]
		case []any:
			index, ok := segment.(int)
			if !ok || index < 0 || index >= len(at) {
				return
			}
			if last {
				at[index] = value
				return
			}
			parent = at[index]
		default:
			return
		}
	}
}

func removeAt(root map[string]any, path resource.PropertyPath) {
	if len(path) == 0 {
		return
	}
	parent, ok := valueAt(root, path[:len(path)-1])
	if !ok {
		return
	}
	if fields, ok := parent.(map[string]any); ok {
		if key, ok := path[len(path)-1].(string); ok {
			delete(fields, key)
		}
	}
}
