package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Check fills in what the program left to the plugin, name and namespace, and refuses objects no cluster would take.
func (p *provider) Check(ctx context.Context, req *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	urn := resource.URN(req.GetUrn())
	if err := supported(urn); err != nil {
		return nil, err
	}
	olds, err := readProperties("old inputs", req.GetOlds())
	if err != nil {
		return nil, err
	}
	news, err := readProperties("new inputs", req.GetNews())
	if err != nil {
		return nil, err
	}
	if p.settings.skipUpdateUnreachable && len(olds) > 0 {
		if err := p.cluster.reach(ctx); isUnreachable(err) {
			p.reporter(urn).say(warning,
				"Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping...")
			return &pulumirpc.CheckResponse{Inputs: req.GetOlds()}, nil
		}
	}
	p.secrets.learn(news)

	inputs := toObject(news)
	failures := checkObject(urn, inputs)
	if len(failures) > 0 {
		return &pulumirpc.CheckResponse{Inputs: req.GetNews(), Failures: failures}, nil
	}
	var old *unstructured.Unstructured
	if len(olds) > 0 {
		old = toObject(olds)
	}
	if isPatch(urn, inputs) {
		if !hasName(inputs) {
			return nil, fmt.Errorf("patch resources require the `.metadata.name` field to be set")
		}
	} else if err := assignName(inputs, old, urn, req.GetRandomSeed(), req.GetAutonaming()); err != nil {
		return nil, err
	}
	if isCRD(inputs) {
		p.cluster.learnCRD(inputs)
	}
	if ns, ok := lookup(inputs.Object, "metadata", "namespace"); !ok || ns == nil || ns == "" {
		// A kind nobody knows yet is taken for one that lives in namespaces; creating it corrects that.
		if namespaced, _ := p.cluster.namespaced(ctx, gvkOf(inputs)); namespaced {
			setMetadata(inputs, p.settings.namespace, "namespace")
		}
	}

	checked := toInputs(inputs.Object)
	markSecrets(checked, apiNames(news))
	out, err := writeProperties("inputs", checked, p.keepSecrets)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CheckResponse{Inputs: out}, nil
}

// apiNames spells the keys of properties as the API does, at every depth.
func apiNames(pm resource.PropertyMap) resource.PropertyMap {
	renamed := resource.PropertyMap{}
	for k, v := range pm {
		renamed[resource.PropertyKey(apiName(string(k)))] = apiNamesIn(v)
	}
	return renamed
}

func apiNamesIn(v resource.PropertyValue) resource.PropertyValue {
	switch {
	case v.IsSecret():
		return resource.MakeSecret(apiNamesIn(v.SecretValue().Element))
	case v.IsObject():
		return resource.NewObjectProperty(apiNames(v.ObjectValue()))
	case v.IsArray():
		items := make([]resource.PropertyValue, len(v.ArrayValue()))
		for i, item := range v.ArrayValue() {
			items[i] = apiNamesIn(item)
		}
		return resource.NewArrayProperty(items)
	default:
		return v
	}
}

// objectCheck collects what is wrong with an object.
type objectCheck struct {
	failures []*pulumirpc.CheckFailure
}

func (c *objectCheck) refuse(property, format string, args ...any) {
	c.failures = append(c.failures, &pulumirpc.CheckFailure{Property: property, Reason: fmt.Sprintf(format, args...)})
}

// checkObject finds what would be refused by any API server, with the place and what is allowed there.
func checkObject(urn resource.URN, o *unstructured.Unstructured) []*pulumirpc.CheckFailure {
	c := &objectCheck{}
	for _, key := range []string{"apiVersion", "kind"} {
		switch v := o.Object[key].(type) {
		case unknown:
			c.refuse(key, "must be known in previews; it decides which kind of resource this is")
		case string:
			if v == "" {
				c.refuse(key, "must not be empty")
			}
		default:
			c.refuse(key, "expected a string such as %q, got %s",
				map[string]string{"apiVersion": "apps/v1", "kind": "Deployment"}[key], typeName(v))
		}
	}
	if len(c.failures) > 0 {
		return c.failures
	}
	c.identity(urn, o)
	switch gvk := gvkOf(o); gvk.GroupKind().String() {
	case "ConfigMap":
		c.strings(o.Object["data"], "data", "quote it")
	case "Secret":
		c.strings(o.Object["stringData"], "stringData", "quote it")
		c.base64(o.Object["data"])
	case "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps":
		c.selector(o)
	}
	return c.failures
}

func (c *objectCheck) identity(urn resource.URN, o *unstructured.Unstructured) {
	metadata, ok := o.Object["metadata"]
	if !ok || metadata == nil || hasUnknownItself(metadata) {
		return
	}
	fields, ok := metadata.(map[string]any)
	if !ok {
		c.refuse("metadata", "expected an object with name, namespace, labels and annotations, got %s", typeName(metadata))
		return
	}
	c.strings(fields["labels"], "metadata.labels", "quote it")
	c.strings(fields["annotations"], "metadata.annotations", "quote it")
	for _, key := range []string{"name", "namespace"} {
		v, ok := fields[key]
		if !ok || v == nil || hasUnknownItself(v) {
			continue
		}
		name, ok := v.(string)
		if !ok {
			c.refuse("metadata."+key, "expected a string, got %s", typeName(v))
			continue
		}
		if name == "" {
			continue
		}
		var problems []string
		if key == "namespace" {
			problems = validation.IsDNS1123Label(name)
		} else {
			problems = nameProblems(gvkOf(o).GroupKind().String(), name)
		}
		if len(problems) > 0 {
			c.refuse("metadata."+key, "%q: %s", name, strings.Join(problems, "; "))
		}
	}
}

// nameProblems applies the naming rule of the kind.
func nameProblems(groupKind, name string) []string {
	switch groupKind {
	case "Role.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io",
		"ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
		"IPAddress.networking.k8s.io", "ClusterTrustBundle.certificates.k8s.io",
		"CertificateSigningRequest.certificates.k8s.io":
		return path.IsValidPathSegmentName(name)
	case "Namespace":
		return validation.IsDNS1123Label(name)
	case "Service":
		return validation.IsDNS1035Label(name)
	default:
		return validation.IsDNS1123Subdomain(name)
	}
}

// strings demands a map of strings.
func (c *objectCheck) strings(v any, property, cure string) {
	if v == nil || hasUnknownItself(v) {
		return
	}
	fields, ok := v.(map[string]any)
	if !ok {
		c.refuse(property, "expected a map of strings, got %s", typeName(v))
		return
	}
	for _, key := range sortedKeys(fields) {
		switch v := fields[key].(type) {
		case string, unknown, nil:
		default:
			c.refuse(fmt.Sprintf("%s[%q]", property, key), "expected a string, got %s; %s", typeName(v), cure)
		}
	}
}

func (c *objectCheck) base64(v any) {
	c.strings(v, "data", "give it in base64, or use stringData")
	fields, _ := v.(map[string]any)
	for _, key := range sortedKeys(fields) {
		if s, ok := fields[key].(string); ok {
			if _, err := base64.StdEncoding.DecodeString(s); err != nil {
				c.refuse(fmt.Sprintf("data[%q]", key), "is not base64; encode it, or use stringData")
			}
		}
	}
}

// selector demands that a workload's selector picks the pods it makes: the API server refuses others, but a preview
// without a cluster would not notice.
func (c *objectCheck) selector(o *unstructured.Unstructured) {
	selector, ok := lookup(o.Object, "spec", "selector", "matchLabels")
	wanted, isMap := selector.(map[string]any)
	labels, found := lookup(o.Object, "spec", "template", "metadata", "labels")
	if !ok || !isMap || hasUnknown(wanted) || hasUnknown(labels) {
		return
	}
	if metadata, ok := lookup(o.Object, "spec", "template", "metadata"); ok && hasUnknownItself(metadata) {
		return
	}
	have, _ := labels.(map[string]any)
	for _, key := range sortedKeys(wanted) {
		if !found || have[key] != wanted[key] {
			c.refuse(fmt.Sprintf("spec.selector.matchLabels[%q]", key),
				"%q is not among spec.template.metadata.labels; the selector must match the pods of the template",
				fmt.Sprint(wanted[key]))
		}
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("the string %q", v)
	case bool:
		return fmt.Sprintf("the boolean %v", v)
	default:
		return fmt.Sprintf("the number %v", v)
	}
}
