package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Properties of a resource's outputs that are the plugin's own memory, named as the official plugin names them.
const (
	keyInputs            = "__inputs"
	keyInitialAPIVersion = "__initialApiVersion"
	keyFieldManager      = "__fieldManager"
)

// unknown stands for a value that only `up` will know.
type unknown struct{}

// dashed maps the CRD schema fields that the SDK can only spell with underscores to their names in the API.
var dashed = map[string]string{
	"x_kubernetes_embedded_resource":       "x-kubernetes-embedded-resource",
	"x_kubernetes_int_or_string":           "x-kubernetes-int-or-string",
	"x_kubernetes_list_map_keys":           "x-kubernetes-list-map-keys",
	"x_kubernetes_list_type":               "x-kubernetes-list-type",
	"x_kubernetes_map_type":                "x-kubernetes-map-type",
	"x_kubernetes_preserve_unknown_fields": "x-kubernetes-preserve-unknown-fields",
	"x_kubernetes_validations":             "x-kubernetes-validations",
}

var underscored = func() map[string]string {
	inverse := make(map[string]string, len(dashed))
	for k, v := range dashed {
		inverse[v] = k
	}
	return inverse
}()

// readProperties decodes properties from the wire. Unknowns and secret marks are kept.
func readProperties(label string, s *structpb.Struct) (resource.PropertyMap, error) {
	pm, err := plugin.UnmarshalProperties(s, plugin.MarshalOptions{
		Label: label, KeepUnknowns: true, KeepSecrets: true, RejectAssets: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: malformed properties: %w", label, err)
	}
	return pm, nil
}

// writeProperties encodes properties for the wire. keepSecrets is false only for engines that cannot take marks.
func writeProperties(label string, pm resource.PropertyMap, keepSecrets bool) (*structpb.Struct, error) {
	return plugin.MarshalProperties(pm, plugin.MarshalOptions{
		Label: label, KeepUnknowns: true, KeepSecrets: keepSecrets,
	})
}

// toObject turns properties into a Kubernetes object: marks are dropped, unknowns become unknown{}, names as in the API.
func toObject(pm resource.PropertyMap) *unstructured.Unstructured {
	fields := map[string]any{}
	for k, v := range pm {
		fields[apiName(string(k))] = toValue(v)
	}
	return &unstructured.Unstructured{Object: fields}
}

func apiName(key string) string {
	if name, ok := dashed[key]; ok {
		return name
	}
	return key
}

func toValue(v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		return toValue(v.SecretValue().Element)
	case v.IsOutput():
		if !v.OutputValue().Known {
			return unknown{}
		}
		return toValue(v.OutputValue().Element)
	case v.IsComputed():
		return unknown{}
	case v.IsBool():
		return v.BoolValue()
	case v.IsString():
		return v.StringValue()
	case v.IsNumber():
		n := v.NumberValue()
		// Properties know only doubles, the API tells integers from fractions.
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n)
		}
		return n
	case v.IsArray():
		items := make([]any, len(v.ArrayValue()))
		for i, item := range v.ArrayValue() {
			items[i] = toValue(item)
		}
		return items
	case v.IsObject():
		return toObject(v.ObjectValue()).Object
	case v.IsResourceReference():
		id, _ := v.ResourceReferenceValue().IDString()
		return id
	default:
		return nil
	}
}

// toInputs turns fields of an object into properties that keep the API's names: inputs are compared in these.
func toInputs(fields map[string]any) resource.PropertyMap {
	return toProperties(fields, nil)
}

// toOutputs turns fields of an object into properties with the names the SDK reads.
func toOutputs(fields map[string]any) resource.PropertyMap {
	return toProperties(fields, underscored)
}

func toProperties(fields map[string]any, names map[string]string) resource.PropertyMap {
	pm := resource.PropertyMap{}
	for k, v := range fields {
		if name, ok := names[k]; ok {
			k = name
		}
		pm[resource.PropertyKey(k)] = toProperty(v, names)
	}
	return pm
}

func toProperty(v any, names map[string]string) resource.PropertyValue {
	switch v := v.(type) {
	case unknown:
		return resource.MakeComputed(resource.NewStringProperty(""))
	case map[string]any:
		return resource.NewObjectProperty(toProperties(v, names))
	case []any:
		items := make([]resource.PropertyValue, len(v))
		for i, item := range v {
			items[i] = toProperty(item, names)
		}
		return resource.NewArrayProperty(items)
	default:
		return resource.NewPropertyValue(v)
	}
}

// hasUnknown tells whether a value holds something only `up` will know.
func hasUnknown(v any) bool {
	switch v := v.(type) {
	case unknown:
		return true
	case map[string]any:
		for _, item := range v {
			if hasUnknown(item) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasUnknown)
	}
	return false
}

// copyValue copies maps and lists deeply. Unlike the one of apimachinery it takes unknowns.
func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		fields := make(map[string]any, len(v))
		for k, item := range v {
			fields[k] = copyValue(item)
		}
		return fields
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = copyValue(item)
		}
		return items
	default:
		return v
	}
}

func copyObject(o *unstructured.Unstructured) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: copyValue(o.Object).(map[string]any)}
}

// lookup follows field names through nested maps.
func lookup(v any, path ...string) (any, bool) {
	for _, key := range path {
		fields, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = fields[key]; !ok {
			return nil, false
		}
	}
	return v, true
}

func lookupString(o *unstructured.Unstructured, path ...string) string {
	v, _ := lookup(o.Object, path...)
	s, _ := v.(string)
	return s
}

// lookupInt gives a whole number, or otherwise when the field is absent or not a number.
func lookupInt(o *unstructured.Unstructured, otherwise int64, path ...string) int64 {
	v, _ := lookup(o.Object, path...)
	switch v := v.(type) {
	case int64:
		return v
	case float64:
		return int64(v)
	default:
		return otherwise
	}
}

// checkpoint is what the plugin remembers of a resource between two runs.
type checkpoint struct {
	inputs       *unstructured.Unstructured // as last applied, or as last read
	live         *unstructured.Unstructured // what the cluster answered
	apiVersion   string                     // the first one used
	fieldManager string                     // empty in states written before there was one
	hasInputs    bool
}

// readCheckpoint takes a resource's outputs apart.
func readCheckpoint(outputs resource.PropertyMap) checkpoint {
	fields := toObject(outputs).Object
	c := checkpoint{inputs: &unstructured.Unstructured{Object: map[string]any{}}}
	if inputs, ok := fields[keyInputs].(map[string]any); ok {
		c.inputs = &unstructured.Unstructured{Object: inputs}
		c.hasInputs = true
	}
	c.apiVersion, _ = fields[keyInitialAPIVersion].(string)
	c.fieldManager, _ = fields[keyFieldManager].(string)
	for key := range fields {
		if strings.HasPrefix(key, "__") {
			delete(fields, key)
		}
	}
	c.live = &unstructured.Unstructured{Object: fields}
	return c
}

// outputs puts a checkpoint together again. Values that are secret in inputs are secret wherever they come back.
func (c checkpoint) outputs(inputs resource.PropertyMap) resource.PropertyMap {
	live := copyObject(c.live)
	// Bookkeeping of the server that changes with every write: as an output it would only be noise in every diff.
	unstructured.RemoveNestedField(live.Object, "metadata", "managedFields")
	pm := toOutputs(live.Object)
	remembered := toOutputs(c.inputs.Object)
	markSecrets(pm, inputs)
	markSecrets(remembered, inputs)
	pm[keyInputs] = resource.NewObjectProperty(remembered)
	pm[keyInitialAPIVersion] = resource.NewStringProperty(c.apiVersion)
	pm[keyFieldManager] = resource.NewStringProperty(c.fieldManager)
	return pm
}

// gvkOf gives the group, version and kind an object names. "core" is the SDK's word for the group without a name.
func gvkOf(o *unstructured.Unstructured) schema.GroupVersionKind {
	gv, err := schema.ParseGroupVersion(lookupString(o, "apiVersion"))
	if err != nil {
		return schema.GroupVersionKind{}
	}
	if gv.Group == "core" {
		gv.Group = ""
	}
	return gv.WithKind(lookupString(o, "kind"))
}

// gvkOfURN gives the group, version and kind of a resource type such as kubernetes:apps/v1:Deployment. For a Patch
// resource it is the kind that is patched.
func gvkOfURN(urn resource.URN) (schema.GroupVersionKind, error) {
	parts := strings.Split(string(urn.Type()), ":")
	if len(parts) != 3 || parts[0] != "kubernetes" {
		return schema.GroupVersionKind{}, fmt.Errorf(
			"%s is not a type of the kubernetes provider; expected kubernetes:<group/version>:<Kind>", urn.Type())
	}
	gv, err := schema.ParseGroupVersion(parts[1])
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("type %s: %w", urn.Type(), err)
	}
	if gv.Group == "core" {
		gv.Group = ""
	}
	return gv.WithKind(parts[2]), nil
}

// isPatch tells a Patch resource: one that owns fields of an object another owns. Its type ends in Patch while the
// object's kind does not.
func isPatch(urn resource.URN, o *unstructured.Unstructured) bool {
	return string(urn.Type().Name()) == lookupString(o, "kind")+"Patch"
}

func isCRD(o *unstructured.Unstructured) bool {
	gvk := gvkOf(o)
	return gvk.Group == "apiextensions.k8s.io" && gvk.Kind == "CustomResourceDefinition"
}

func isSecretKind(o *unstructured.Unstructured) bool {
	gvk := gvkOf(o)
	return gvk.Group == "" && gvk.Kind == "Secret"
}

// idOf is a resource's id: namespace/name, or the name alone for what lives in no namespace.
func idOf(o *unstructured.Unstructured) string {
	if ns := o.GetNamespace(); ns != "" {
		return ns + "/" + o.GetName()
	}
	return o.GetName()
}

// splitID takes an id apart.
func splitID(id string) (namespace, name string, err error) {
	parts := strings.Split(id, "/")
	switch {
	case len(parts) == 1 && parts[0] != "":
		return "", parts[0], nil
	case len(parts) == 2 && parts[0] != "" && parts[1] != "":
		return parts[0], parts[1], nil
	default:
		return "", "", fmt.Errorf("id %q: expected namespace/name, or name for what lives in no namespace", id)
	}
}
