package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Read fetches an object for refresh, import and the SDK's get. An empty id in the answer says it is gone.
func (p *provider) Read(ctx context.Context, req *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	urn := resource.URN(req.GetUrn())
	if err := supported(urn); err != nil {
		return nil, err
	}
	report := p.reporter(urn)
	defer report.clear()
	gone := &pulumirpc.ReadResponse{}
	if err := p.cluster.reach(ctx); err != nil {
		if isUnreachable(err) {
			report.say(warning, "%v", err)
			if p.settings.deleteUnreachable {
				report.say(info, "configured Kubernetes cluster is unreachable and the `deleteUnreachable` option is "+
					"enabled. Deleting the unreachable resource from Pulumi state")
				return gone, nil
			}
			if p.settings.skipUpdateUnreachable {
				report.say(info, "configured Kubernetes cluster is unreachable and the `skipUnreachable` option is "+
					"enabled. Returned data could not reflect the actual cluster configuration.")
				return &pulumirpc.ReadResponse{
					Id: req.GetId(), Properties: req.GetProperties(), Inputs: req.GetInputs(),
				}, nil
			}
			return nil, p.failed(urn, fmt.Errorf("failed to read resource state due to unreachable cluster. If the "+
				"cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with "+
				"the PULUMI_K8S_DELETE_UNREACHABLE environment variable set to \"true\": %w", err))
		}
		return nil, p.failed(urn, err)
	}
	olds, err := readProperties("old state", req.GetProperties())
	if err != nil {
		return nil, err
	}
	oldInputs, err := readProperties("old inputs", req.GetInputs())
	if err != nil {
		return nil, err
	}
	p.secrets.learn(oldInputs)
	state := readCheckpoint(olds)
	inputs := toObject(oldInputs)
	if len(inputs.Object) == 0 {
		inputs = state.inputs
	}
	adopting := len(inputs.Object) == 0

	namespace, name, err := splitID(req.GetId())
	if err != nil {
		return nil, p.failed(urn, fmt.Errorf("failed to read resource: %w", err))
	}
	wanted, err := identify(urn, inputs, namespace, name)
	if err != nil {
		return nil, err
	}
	p.fitScope(wanted)
	client, err := p.cluster.client(wanted)
	if meta.IsNoMatchError(err) {
		return gone, nil // without its CRD an object is gone, too
	}
	if err != nil {
		return nil, p.failed(urn, err)
	}
	var live *unstructured.Unstructured
	err = repeat(ctx, settleTime, isPassing, report, "reading", func() error {
		live, err = client.Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return gone, nil
	}
	if err != nil {
		return nil, p.failed(urn, err)
	}

	if adopting {
		inputs = adoptable(live)
	} else {
		inputs = observed(inputs, state.live, live)
	}
	manager := fieldManagerFor(urn, inputs, state.fieldManager)
	apiVersion := state.apiVersion
	if apiVersion == "" {
		apiVersion = live.GetAPIVersion()
	}
	remembered := checkpoint{inputs: inputs, live: live, apiVersion: apiVersion, fieldManager: manager}
	outStruct, err := writeProperties("outputs", remembered.outputs(oldInputs), p.keepSecrets)
	if err != nil {
		return nil, err
	}
	inProps := toInputs(inputs.Object)
	markSecrets(inProps, apiNames(oldInputs))
	inStruct, err := writeProperties("inputs", inProps, p.keepSecrets)
	if err != nil {
		return nil, err
	}
	if !adopting {
		if err := p.checkReady(awaited{object: live, inputs: inputs, before: live, report: report}); err != nil {
			return nil, p.unready(req.GetId(), fmt.Sprintf("%q is not ready", idOf(live)), err, outStruct, inStruct)
		}
	}
	return &pulumirpc.ReadResponse{Id: req.GetId(), Properties: outStruct, Inputs: inStruct}, nil
}

// identify makes the bare object an id stands for.
func identify(urn resource.URN, inputs *unstructured.Unstructured, namespace, name string) (*unstructured.Unstructured, error) {
	gvk := gvkOf(inputs)
	if gvk.Kind == "" {
		var err error
		if gvk, err = gvkOfURN(urn); err != nil {
			return nil, err
		}
	}
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(gvk)
	o.SetName(name)
	if namespace != "" {
		o.SetNamespace(namespace)
	}
	return o, nil
}

// adoptable gives the inputs an imported object starts with: all of it but what the server alone writes.
func adoptable(live *unstructured.Unstructured) *unstructured.Unstructured {
	inputs := copyObject(live)
	delete(inputs.Object, "status")
	for key := range readOnlyMetadata {
		unstructured.RemoveNestedField(inputs.Object, "metadata", key)
	}
	unstructured.RemoveNestedField(inputs.Object, "metadata", "annotations", "deployment.kubernetes.io/revision")
	unstructured.RemoveNestedField(inputs.Object, "metadata", "annotations", lastApplied)
	if v, ok := lookup(inputs.Object, "metadata", "annotations"); ok && len(v.(map[string]any)) == 0 {
		unstructured.RemoveNestedField(inputs.Object, "metadata", "annotations")
	}
	return inputs
}

// observed gives the inputs as the cluster has them now. Only what the program set is looked at, and only what changed
// since it was applied: a value the server had put in other words, or had defaulted, is no drift.
func observed(inputs, before, live *unstructured.Unstructured) *unstructured.Unstructured {
	fields := map[string]any{}
	comparable := normalize(inputs)
	for key, v := range inputs.Object {
		switch {
		case key == "apiVersion" || key == "kind" || key == "status":
			fields[key] = v
		case key == "stringData" && isSecretKind(inputs):
			fields[key] = observedStrings(v, before, live)
		default:
			now, isNow := live.Object[key]
			then, wasThen := before.Object[key]
			if kept, ok := observe(v, comparable.Object[key], then, now, wasThen, isNow); ok {
				fields[key] = kept
			}
		}
	}
	return &unstructured.Unstructured{Object: fields}
}

// observe merges one value of the inputs (spelled is the same, in the server's spelling) with what was live then and is
// live now. ok is false when the value has gone.
func observe(input, spelled, then, now any, wasThen, isNow bool) (merged any, ok bool) {
	if !isNow {
		// What the server never gives back is not gone.
		return input, !wasThen
	}
	switch input := input.(type) {
	case map[string]any:
		live, isMap := now.(map[string]any)
		if !isMap {
			return now, true
		}
		past, _ := then.(map[string]any)
		words, _ := spelled.(map[string]any)
		fields := make(map[string]any, len(input))
		for key, v := range input {
			past, wasThen := past[key]
			live, isNow := live[key]
			if kept, ok := observe(v, words[key], past, live, wasThen, isNow); ok {
				fields[key] = kept
			}
		}
		return fields, true
	case []any:
		live, isList := now.([]any)
		past, wasList := then.([]any)
		if wasList && reflect.DeepEqual(past, live) {
			return input, true
		}
		if !isList || len(live) != len(input) {
			return now, true
		}
		words, _ := spelled.([]any)
		items := make([]any, len(input))
		for i, v := range input {
			var word, old any
			if i < len(words) {
				word = words[i]
			}
			had := i < len(past)
			if had {
				old = past[i]
			}
			items[i], _ = observe(v, word, old, live[i], had, true)
		}
		return items, true
	default:
		if wasThen && sameScalar(then, now) || sameScalar(input, now) || sameScalar(spelled, now) {
			return input, true
		}
		return now, true
	}
}

// observedStrings looks after the stringData of a Secret, which the server gives back as data, in base64.
func observedStrings(v any, before, live *unstructured.Unstructured) any {
	wanted, ok := v.(map[string]any)
	if !ok {
		return v
	}
	kept := map[string]any{}
	for key, value := range wanted {
		then, wasThen := lookup(before.Object, "data", key)
		now, isNow := lookup(live.Object, "data", key)
		switch {
		case wasThen && isNow && then == now || !wasThen && !isNow:
			kept[key] = value
		case isNow:
			text, _ := now.(string)
			if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
				kept[key] = string(plain)
			}
		}
	}
	return kept
}
