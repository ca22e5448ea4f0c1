package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/jsonpath"
)

var (
	endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	storageClasses = schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}
)

// endpointsSettle is for how long a Service's endpoints must be quiet before one without any counts as ready.
const endpointsSettle = 10 * time.Second

func serviceSources(o *unstructured.Unstructured) []source {
	return []source{{
		resource: endpointSlices, namespace: o.GetNamespace(), labels: "kubernetes.io/service-name=" + o.GetName(),
	}}
}

// decideService: a load balancer has its address, and the endpoints, where there must be any, are ready. As in the
// official plugin a Service that selects nothing is ready once its endpoints have settled: its pods may come later.
func decideService(v view) outcome {
	o := v.object
	serviceType := lookupString(o, "spec", "type")
	result := outcome{progress: "[1/3] Finding Pods to direct traffic to"}
	if serviceType == "LoadBalancer" {
		ingress, _ := lookup(o.Object, "status", "loadBalancer", "ingress")
		if list, _ := ingress.([]any); len(list) == 0 {
			result.progress = "[2/3] Attempting to allocate IP address to Service"
			result.reasons = append(result.reasons,
				"Service was not allocated an IP address; does your cloud provider support this?")
		}
	}
	selector, _ := lookup(o.Object, "spec", "selector")
	wanted, _ := selector.(map[string]any)
	if serviceType == "ExternalName" || lookupString(o, "spec", "clusterIP") == "None" || len(wanted) == 0 {
		result.done = len(result.reasons) == 0
		return result
	}
	ready, pending := countEndpoints(v.at(0))
	if pending > 0 || ready == 0 && v.quiet < endpointsSettle {
		result.reasons = append(result.reasons, "Service does not target any Pods. Selected Pods may not be ready, or "+
			"field '.spec.selector' may not match labels on any Pods")
	}
	result.done = len(result.reasons) == 0
	return result
}

func countEndpoints(slices []*unstructured.Unstructured) (ready, pending int) {
	for _, slice := range slices {
		v, _ := lookup(slice.Object, "endpoints")
		items, _ := v.([]any)
		for _, item := range items {
			if gone, _ := lookup(item, "conditions", "terminating"); gone == true {
				continue
			}
			if on, ok := lookup(item, "conditions", "ready"); !ok || on != false {
				ready++
			} else {
				pending++
			}
		}
	}
	return ready, pending
}

// decideIngress: the controller has published where it can be reached.
func decideIngress(v view) outcome {
	ingress, _ := lookup(v.object.Object, "status", "loadBalancer", "ingress")
	if list, _ := ingress.([]any); len(list) > 0 {
		return outcome{done: true}
	}
	return outcome{
		progress: "[2/3] Waiting for update of .status.loadBalancer with hostname/IP",
		reasons: []string{"Ingress .status.loadBalancer field was not updated with a hostname/IP address; " +
			"is an ingress controller running?"},
	}
}

func decideVolume(v view) outcome {
	phase := lookupString(v.object, "status", "phase")
	if phase == "Available" || phase == "Bound" {
		return outcome{done: true}
	}
	return phaseOutcome(v.object, phase, "Available or Bound")
}

func claimSources(o *unstructured.Unstructured) []source {
	name := lookupString(o, "spec", "storageClassName")
	if name == "" {
		return nil
	}
	return []source{{resource: storageClasses, fields: fields.OneTermEqualSelector("metadata.name", name).String()}}
}

// decideClaim: bound; or pending, where the storage class waits for the first pod that mounts the claim.
func decideClaim(v view) outcome {
	phase := lookupString(v.object, "status", "phase")
	if phase == "Bound" {
		return outcome{done: true}
	}
	for _, class := range v.at(0) {
		if lookupString(class, "volumeBindingMode") == "WaitForFirstConsumer" && phase == "Pending" {
			return outcome{done: true}
		}
	}
	return phaseOutcome(v.object, phase, "Bound")
}

func phaseOutcome(o *unstructured.Unstructured, phase, wanted string) outcome {
	text := fmt.Sprintf("%s: status.phase is %q, waiting for %s", describe(o), phase, wanted)
	return outcome{progress: "Waiting for " + describe(o) + " to be " + wanted, reasons: []string{text}}
}

func decideNamespace(v view) outcome {
	if lookupString(v.object, "status", "phase") == "Active" {
		return outcome{done: true}
	}
	return phaseOutcome(v.object, lookupString(v.object, "status", "phase"), "Active")
}

func decideQuota(v view) outcome {
	wanted, _ := lookup(v.object.Object, "spec", "hard")
	seen, _ := lookup(v.object.Object, "status", "hard")
	if reflect.DeepEqual(wanted, seen) {
		return outcome{done: true}
	}
	return outcome{progress: "Waiting for the quota to be counted", reasons: []string{"status.hard is not yet spec.hard"}}
}

// decideSecret waits for the token of a service account; other Secrets are ready as they are.
func decideSecret(v view) outcome {
	data, _ := lookup(v.object.Object, "data")
	if fields, _ := data.(map[string]any); lookupString(v.object, "type") != "kubernetes.io/service-account-token" ||
		len(fields) > 0 {
		return outcome{done: true}
	}
	return outcome{
		progress: "Waiting for the service account's token",
		reasons:  []string{"no token was issued; does the service account named in the annotations exist?"},
	}
}

// decideCRD: names accepted and established. A name that is taken stays so until its owner goes.
func decideCRD(v view) outcome {
	if conditionOf(v.object, "Established").status == "True" {
		return outcome{done: true}
	}
	result := outcome{progress: "Waiting for the CustomResourceDefinition to be established"}
	result.reasons = []string{result.progress}
	if c := conditionOf(v.object, "NamesAccepted"); c.status == "False" {
		result.reasons = append(result.reasons, c.String())
	}
	return result
}

func decideAPIService(v view) outcome {
	c := conditionOf(v.object, "Available")
	if c.status == "True" {
		return outcome{done: true}
	}
	result := outcome{progress: "Waiting for the APIService to be available", reasons: []string{"APIService is not available"}}
	if c.kind != "" {
		result.reasons = append(result.reasons, c.String())
	}
	return result
}

// awaitsAll tells whether kinds without a rule of their own are waited for as well.
func awaitsAll() bool { return os.Getenv("PULUMI_K8S_AWAIT_ALL") == "true" }

// waitFor makes the rule for the annotation pulumi.com/waitFor: "condition=Ready", "condition=Ready=False",
// "jsonpath={.status.phase}=Running", "jsonpath={.status.phase}", or a JSON list of them. Errors name what is wrong.
func waitFor(text string) (*kind, error) {
	expressions := []string{text}
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		if err := json.Unmarshal([]byte(text), &expressions); err != nil {
			return nil, fmt.Errorf("annotation %s: %q is not a JSON list of strings", annotationWaitFor, text)
		}
	}
	if len(expressions) == 0 {
		return nil, fmt.Errorf("annotation %s: at least one condition must be specified", annotationWaitFor)
	}
	var tests []func(*unstructured.Unstructured) (bool, string)
	for _, expression := range expressions {
		test, err := parseExpression(expression)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", annotationWaitFor, err)
		}
		tests = append(tests, test)
	}
	return &kind{decide: func(v view) outcome {
		result := outcome{done: true}
		for _, test := range tests {
			if ok, reason := test(v.object); !ok {
				result.done = false
				result.progress = "Waiting for " + reason
				result.reasons = append(result.reasons, "waited for "+reason)
			}
		}
		return result
	}}, nil
}

func parseExpression(expression string) (func(*unstructured.Unstructured) (bool, string), error) {
	if rest, ok := strings.CutPrefix(expression, "condition="); ok {
		kind, wanted, given := strings.Cut(rest, "=")
		if !given {
			wanted = "True"
		}
		return func(o *unstructured.Unstructured) (bool, string) {
			c := conditionOf(o, kind)
			// A condition about an older generation says nothing about this one.
			current := lookupInt(o, o.GetGeneration(), "status", "observedGeneration") >= o.GetGeneration()
			reason := fmt.Sprintf("condition %s to be %s", kind, wanted)
			if c.message != "" {
				reason += " (" + c.String() + ")"
			}
			return current && strings.EqualFold(c.status, wanted), reason
		}, nil
	}
	if rest, ok := strings.CutPrefix(expression, "jsonpath="); ok {
		return parseJSONPath(rest)
	}
	return nil, fmt.Errorf(`expected a "jsonpath=" or "condition=" prefix, got %q`, expression)
}

func parseJSONPath(text string) (func(*unstructured.Unstructured) (bool, string), error) {
	path, wanted, compares := text, "", false
	if i := strings.LastIndex(text, "}="); i >= 0 {
		path, wanted, compares = text[:i+1], text[i+2:], true
	}
	wanted = strings.Trim(wanted, `"'`)
	if !strings.HasPrefix(path, "{") || !strings.HasSuffix(path, "}") {
		return nil, fmt.Errorf("jsonpath %q: expected {.path.to.field} or {.path.to.field}=value", text)
	}
	if compares && wanted == "" {
		return nil, errors.New("jsonpath: expected a value after =")
	}
	parsed := jsonpath.New("waitFor").AllowMissingKeys(true)
	if err := parsed.Parse(path); err != nil {
		return nil, fmt.Errorf("jsonpath %q: %w", path, err)
	}
	return func(o *unstructured.Unstructured) (bool, string) {
		reason := fmt.Sprintf("%s to exist", path)
		if compares {
			reason = fmt.Sprintf("%s to be %q", path, wanted)
		}
		var found bytes.Buffer
		if err := parsed.Execute(&found, o.Object); err != nil {
			return false, reason
		}
		if compares {
			return found.String() == wanted, reason
		}
		return found.Len() > 0, reason
	}, nil
}
