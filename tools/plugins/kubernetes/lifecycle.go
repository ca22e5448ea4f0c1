package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Create makes an object and waits until it is ready. One that exists but did not become ready is reported as such, so
// that the engine keeps it. A preview asks the server for a dry run where that can work, else it shows the inputs.
func (p *provider) Create(_ context.Context, req *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	urn := resource.URN(req.GetUrn())
	if err := supported(urn); err != nil {
		return nil, err
	}
	props, err := readProperties("inputs", req.GetProperties())
	if err != nil {
		return nil, err
	}
	p.secrets.learn(props)
	inputs := toObject(props)
	w := write{
		urn: urn, inputs: inputs, manager: fieldManagerFor(urn, inputs, ""),
		patch: isPatch(urn, inputs), report: p.reporter(urn),
	}
	defer w.report.clear()
	if req.GetPreview() {
		live, err := p.previewCreate(w)
		if err != nil {
			return nil, p.failed(urn, fmt.Errorf("resource %q would not be created: %w", urn, err))
		}
		if live == nil {
			return &pulumirpc.CreateResponse{Properties: req.GetProperties()}, nil
		}
		out, err := p.state(props, w, live)
		return &pulumirpc.CreateResponse{Properties: out}, err
	}

	if err := p.cluster.reachPatiently(p.ctx, w.report); err != nil {
		return nil, p.failed(urn, err)
	}
	p.fitScope(w.inputs)
	live, err := p.create(p.ctx, w)
	if err != nil {
		if meta.IsNoMatchError(err) {
			return nil, p.failed(urn, noSuchKind("creation", urn, w.inputs, err))
		}
		return nil, p.failed(urn, fmt.Errorf(
			"resource %q was not successfully created by the Kubernetes API server: %w", urn, err))
	}
	ready, awaitErr := p.awaitReady(awaited{
		object: live, inputs: w.inputs, timeout: req.GetTimeout(), report: w.report,
	})
	out, err := p.state(props, w, ready)
	if err != nil {
		return nil, err
	}
	if awaitErr != nil {
		return nil, p.unready(idOf(ready), fmt.Sprintf("resource %q was successfully created, but the Kubernetes API "+
			"server reported that it failed to fully initialize or become live", urn), awaitErr, out, nil)
	}
	return &pulumirpc.CreateResponse{Id: idOf(ready), Properties: out}, nil
}

// previewCreate gives the object a dry run would create, nil when the inputs are all there is to show.
func (p *provider) previewCreate(w write) (*unstructured.Unstructured, error) {
	if hasUnknown(w.inputs.Object) || w.patch {
		return nil, nil
	}
	if err := p.cluster.reach(p.ctx); err != nil {
		p.warnUnreachable(err)
		return nil, nil
	}
	p.fitScope(w.inputs)
	client, err := p.cluster.client(w.inputs)
	if err != nil {
		return nil, nil // a kind whose CRD is yet to come
	}
	// Forced: what is there now (of a replaced resource, say) is no reason for a conflict.
	live, err := send(p.ctx, client, w, true, true)
	switch {
	case err == nil:
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err), onItsWay(err), dryRunUnsupported(err):
		return nil, nil
	default:
		// An object of that name may be in the way of the dry run, while `up` deletes it first.
		if _, there := client.Get(p.ctx, w.inputs.GetName(), metav1.GetOptions{}); there == nil {
			return nil, nil
		}
		return nil, err
	}
	// A dry run has no status; as a known, empty value it would mislead programs that read it.
	unstructured.RemoveNestedField(live.Object, "status")
	return live, nil
}

// dryRunUnsupported tells that an admission webhook cannot take part in dry runs.
func dryRunUnsupported(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}

// Update applies new inputs to an object and waits until it is ready again.
func (p *provider) Update(_ context.Context, req *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
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
	p.secrets.learn(news)
	state, inputs := readCheckpoint(olds), toObject(news)
	oldManager := fieldManagerFor(urn, state.inputs, state.fieldManager)
	w := write{
		urn: urn, inputs: inputs, manager: fieldManagerFor(urn, inputs, unchosen(state)),
		former: oldManager, patch: isPatch(urn, inputs), report: p.reporter(urn),
	}
	defer w.report.clear()
	if req.GetPreview() && hasUnknown(inputs.Object) {
		return &pulumirpc.UpdateResponse{Properties: req.GetNews()}, nil
	}
	if req.GetPreview() {
		if err := p.cluster.reach(p.ctx); err != nil {
			p.warnUnreachable(err)
			return &pulumirpc.UpdateResponse{Properties: req.GetNews()}, nil
		}
	} else if err := p.cluster.reachPatiently(p.ctx, w.report); err != nil {
		return nil, p.failed(urn, err)
	}
	p.fitScope(w.inputs)
	if req.GetPreview() {
		if _, err := p.cluster.mapping(gvkOf(inputs)); err != nil {
			return &pulumirpc.UpdateResponse{Properties: req.GetNews()}, nil
		}
	}
	live, before, err := p.update(p.ctx, w, req.GetIgnoreChanges(), req.GetPreview())
	if err != nil {
		if req.GetPreview() && (apierrors.IsForbidden(err) || dryRunUnsupported(err)) {
			return &pulumirpc.UpdateResponse{Properties: req.GetNews()}, nil
		}
		if meta.IsNoMatchError(err) {
			return nil, p.failed(urn, noSuchKind("update", urn, inputs, err))
		}
		if apierrors.IsInvalid(err) && strings.Contains(err.Error(), "immutable") {
			err = fmt.Errorf("%w\nThis kind cannot change the field in place: "+
				"name it in the resource option replaceOnChanges to have the object replaced", err)
		}
		return nil, p.failed(urn, fmt.Errorf("update of resource %q failed: %w", urn, err))
	}
	if req.GetPreview() {
		out, err := p.state(news, w, live)
		return &pulumirpc.UpdateResponse{Properties: out}, err
	}
	ready, awaitErr := p.awaitReady(awaited{
		object: live, inputs: inputs, before: before, timeout: req.GetTimeout(), report: w.report,
	})
	out, err := p.state(news, w, ready)
	if err != nil {
		return nil, err
	}
	if awaitErr != nil {
		return nil, p.unready(idOf(ready), fmt.Sprintf("the Kubernetes API server reported that %q failed to fully "+
			"initialize or become live", idOf(ready)), awaitErr, out, nil)
	}
	if oldManager != w.manager {
		client, err := p.cluster.client(ready)
		if err == nil {
			err = relinquish(p.ctx, client, ready, oldManager)
		}
		if err != nil {
			return nil, p.unready(idOf(ready), fmt.Sprintf("%q was updated, but giving up the fields of its former "+
				"field manager %q failed", idOf(ready), oldManager), err, out, nil)
		}
	}
	return &pulumirpc.UpdateResponse{Properties: out}, nil
}

// unchosen gives the remembered field manager, unless it was one the program had chosen and may have stopped choosing.
func unchosen(state checkpoint) string {
	if annotation(state.inputs, annotationPatchManager) == state.fieldManager {
		return ""
	}
	return state.fieldManager
}

// fitScope drops a namespace that Check assumed before it was known that the kind has none.
func (p *provider) fitScope(inputs *unstructured.Unstructured) {
	if namespaced, known := p.cluster.namespaced(p.ctx, gvkOf(inputs)); known && !namespaced {
		unstructured.RemoveNestedField(inputs.Object, "metadata", "namespace")
	}
}

// state encodes what is to be remembered of a resource.
func (p *provider) state(
	props resource.PropertyMap, w write, live *unstructured.Unstructured,
) (*structpb.Struct, error) {
	c := checkpoint{
		inputs: toObject(props), live: live, apiVersion: lookupString(w.inputs, "apiVersion"), fieldManager: w.manager,
	}
	return writeProperties("outputs", c.outputs(props), p.keepSecrets)
}

func noSuchKind(verb string, urn resource.URN, o *unstructured.Unstructured, err error) error {
	return fmt.Errorf("%s of resource %q with kind %s/%s failed because the Kubernetes API server reported that the "+
		"apiVersion for this resource does not exist. Verify that any required CRDs have been created: %w",
		verb, urn, lookupString(o, "apiVersion"), lookupString(o, "kind"), err)
}

// failed hides secrets in an error's words. Nothing of the resource changed.
func (p *provider) failed(_ resource.URN, err error) error {
	return rpcerror.New(codes.Unknown, p.secrets.hide(err.Error()))
}

// unready reports an object that exists but is not as it should be, with its state and the reasons.
func (p *provider) unready(id, what string, err error, state, inputs *structpb.Struct) error {
	message := p.secrets.hide(fmt.Sprintf("%s: %v", what, err))
	reasons := []string{message}
	var failure *awaitError
	if errors.As(err, &failure) {
		for _, reason := range failure.reasons {
			reasons = append(reasons, p.secrets.hide(reason))
		}
	}
	return rpcerror.WithDetails(rpcerror.New(codes.Unknown, message), &pulumirpc.ErrorResourceInitFailed{
		Id: id, Properties: state, Reasons: reasons, Inputs: inputs,
	})
}
