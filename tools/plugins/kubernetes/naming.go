package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Annotations that steer the plugin. They reach the cluster like any other.
const (
	annotationAutonamed      = "pulumi.com/autonamed"
	annotationSkipAwait      = "pulumi.com/skipAwait"
	annotationTimeout        = "pulumi.com/timeoutSeconds"
	annotationWaitFor        = "pulumi.com/waitFor"
	annotationReplaceUnready = "pulumi.com/replaceUnready"
	annotationPropagation    = "pulumi.com/deletionPropagationPolicy"
	annotationPatchForce     = "pulumi.com/patchForce"
	annotationPatchManager   = "pulumi.com/patchFieldManager"
)

func annotation(o *unstructured.Unstructured, key string) string {
	v, _ := lookup(o.Object, "metadata", "annotations", key)
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return fmt.Sprint(v)
	default:
		return ""
	}
}

func isAnnotated(o *unstructured.Unstructured, key string) bool {
	return annotation(o, key) == "true"
}

// setMetadata sets a field under metadata. Nothing happens where the map that would hold it is not known yet.
func setMetadata(o *unstructured.Unstructured, value any, path ...string) {
	fields := o.Object
	for _, key := range append([]string{"metadata"}, path[:len(path)-1]...) {
		if hasUnknownItself(fields[key]) {
			return
		}
		next, ok := fields[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			fields[key] = next
		}
		fields = next
	}
	fields[path[len(path)-1]] = value
}

func hasUnknownItself(v any) bool {
	_, ok := v.(unknown)
	return ok
}

// hasName tells whether the program chose the name, known or not yet.
func hasName(o *unstructured.Unstructured) bool {
	v, ok := lookup(o.Object, "metadata", "name")
	return ok && v != nil && v != ""
}

// assignName gives an object without a name one: the old one if it was made here too, else
// `<resource name>-<8 hexadecimal digits>`. Errors when the stack's configuration forbids made-up names.
func assignName(
	o, old *unstructured.Unstructured, urn resource.URN, seed []byte, autonaming *pulumirpc.CheckRequest_AutonamingOptions,
) error {
	if v, ok := lookup(o.Object, "metadata", "generateName"); ok && v != nil && v != "" && !hasName(o) {
		return errors.New("metadata.generateName is not supported in Server-Side Apply mode; " +
			"set metadata.name, or neither and a name is made from the resource's")
	}
	if hasName(o) {
		return nil
	}
	if hasUnknownItself(o.Object["metadata"]) {
		return nil // a later Check, with the value, decides
	}
	if old != nil && old.GetName() != "" {
		if isAnnotated(old, annotationAutonamed) {
			setMetadata(o, old.GetName(), "name")
			setMetadata(o, "true", "annotations", annotationAutonamed)
			return nil
		}
	}
	name, err := resource.NewUniqueName(seed, urn.Name()+"-", 8, 0, nil)
	if err != nil {
		return err
	}
	switch autonaming.GetMode() {
	case pulumirpc.CheckRequest_AutonamingOptions_DISABLE:
		return errors.New("autonaming is disabled, resource requires the .metadata.name field to be set")
	case pulumirpc.CheckRequest_AutonamingOptions_ENFORCE, pulumirpc.CheckRequest_AutonamingOptions_PROPOSE:
		if proposed := autonaming.GetProposedName(); proposed != "" {
			name = proposed
		}
	}
	setMetadata(o, name, "name")
	setMetadata(o, "true", "annotations", annotationAutonamed)
	return nil
}

// fieldManagerFor names the writer of a resource's fields. By default it follows from the URN, so that an interrupted
// `up` finds its own objects again: the official plugin draws it at random and cannot.
func fieldManagerFor(urn resource.URN, inputs *unstructured.Unstructured, remembered string) string {
	if chosen := annotation(inputs, annotationPatchManager); chosen != "" {
		return chosen
	}
	if remembered != "" {
		return remembered
	}
	sum := sha256.Sum256([]byte(urn))
	return "pulumi-kubernetes-" + hex.EncodeToString(sum[:4])
}

// describe names an object in messages: Kind namespace/name.
func describe(o *unstructured.Unstructured) string {
	return strings.TrimSpace(lookupString(o, "kind") + " " + idOf(o))
}
