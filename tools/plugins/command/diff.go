package main

import (
	"maps"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// diffInputs compares inputs without their secret marks: a mark that comes or goes is no reason to run anything.
// Another trigger replaces the resource, any other change updates it. Of a secret only its place is told.
func diffInputs(olds, news resource.PropertyMap) *pulumirpc.DiffResponse {
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true}
	difference := withoutSecrets(olds).Diff(withoutSecrets(news))
	if difference == nil || !difference.AnyChanges() {
		return response
	}
	response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	response.DetailedDiff = map[string]*pulumirpc.PropertyDiff{}
	changed, replaced := map[string]bool{}, map[string]bool{}
	for path, change := range plugin.NewDetailedDiffFromObjectDiff(difference, false) {
		input := inputOf(path)
		changed[input] = true
		if input == "triggers" {
			change = change.ToReplace()
			replaced[input] = true
		}
		if values(olds).isSecret(input) && values(news).isSecret(input) && path != input {
			path, change = input, plugin.PropertyDiff{Kind: plugin.DiffUpdate}
		}
		response.DetailedDiff[path] = &pulumirpc.PropertyDiff{
			Kind: pulumirpc.PropertyDiff_Kind(change.Kind), InputDiff: change.InputDiff,
		}
	}
	response.Diffs, response.Replaces = sorted(changed), sorted(replaced)
	return response
}

// inputOf is the input that a path such as `triggers[1]` or `connection.host` is in.
func inputOf(path string) string {
	parsed, err := resource.ParsePropertyPath(path)
	if err != nil || len(parsed) == 0 {
		return path
	}
	if name, ok := parsed[0].(string); ok {
		return name
	}
	return path
}

func sorted(names map[string]bool) []string {
	return slices.Sorted(maps.Keys(names))
}

// withoutSecrets is the map with every secret replaced by its value.
func withoutSecrets(properties resource.PropertyMap) resource.PropertyMap {
	return plain(resource.NewProperty(properties)).ObjectValue()
}

func plain(value resource.PropertyValue) resource.PropertyValue {
	switch {
	case value.IsSecret():
		return plain(value.SecretValue().Element)
	case value.IsOutput():
		if !value.OutputValue().Known {
			return resource.MakeComputed(resource.NewProperty(""))
		}
		return plain(value.OutputValue().Element)
	case value.IsArray():
		items := make([]resource.PropertyValue, len(value.ArrayValue()))
		for index, item := range value.ArrayValue() {
			items[index] = plain(item)
		}
		return resource.NewProperty(items)
	case value.IsObject():
		object := resource.PropertyMap{}
		for key, item := range value.ObjectValue() {
			object[key] = plain(item)
		}
		return resource.NewProperty(object)
	}
	return value
}
