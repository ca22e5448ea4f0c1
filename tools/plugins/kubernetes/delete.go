package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// deletionTimeout is how long a deletion may take unless the resource says otherwise.
const deletionTimeout = 10 * time.Minute

// skipsDeleteAwait are the kinds whose deletion is not waited for when the resource says skipAwait, as in the official
// plugin; with others it only concerns readiness.
var skipsDeleteAwait = set(`Namespace Pod ReplicationController DaemonSet.apps Deployment.apps StatefulSet.apps Job.batch`)

// Delete removes an object and waits until it is gone, with all that belongs to it unless told otherwise. A Patch
// resource only gives up its fields.
func (p *provider) Delete(_ context.Context, req *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	urn := resource.URN(req.GetUrn())
	if err := supported(urn); err != nil {
		return nil, err
	}
	olds, err := readProperties("old state", req.GetProperties())
	if err != nil {
		return nil, err
	}
	p.secrets.learn(olds)
	state := readCheckpoint(olds)
	report := p.reporter(urn)
	defer report.clear()
	if err := p.cluster.reach(p.ctx); err != nil {
		if !isUnreachable(err) {
			return nil, p.failed(urn, err)
		}
		report.say(warning, "%v", err)
		if p.settings.deleteUnreachable {
			report.say(info, "configured Kubernetes cluster is unreachable and the `deleteUnreachable` option is "+
				"enabled. Deleting the unreachable resource from Pulumi state")
			return &emptypb.Empty{}, nil
		}
		return nil, p.failed(urn, fmt.Errorf("configured Kubernetes cluster is unreachable. If the cluster was deleted, "+
			"you can remove this resource from Pulumi state by rerunning the operation with the "+
			"PULUMI_K8S_DELETE_UNREACHABLE environment variable set to \"true\": %w", err))
	}
	namespace, name, err := splitID(req.GetId())
	if err != nil {
		return nil, p.failed(urn, err)
	}
	target, err := identify(urn, state.live, namespace, name)
	if err != nil {
		return nil, err
	}
	client, err := p.cluster.client(target)
	if meta.IsNoMatchError(err) {
		return &emptypb.Empty{}, nil // without its CRD an object is gone, too
	}
	if err != nil {
		return nil, p.failed(urn, err)
	}
	if isPatch(urn, state.live) {
		return &emptypb.Empty{}, p.deletePatch(urn, client, target, state)
	}
	if err := p.deleteObject(client, target, state, req.GetTimeout(), report); err != nil {
		return nil, p.failed(urn, fmt.Errorf("deletion of %s failed: %w", describe(target), err))
	}
	return &emptypb.Empty{}, nil
}

func (p *provider) deletePatch(
	urn resource.URN, client dynamic.ResourceInterface, target *unstructured.Unstructured, state checkpoint,
) error {
	// Applying nothing to what is gone would make it again.
	if _, err := client.Get(p.ctx, target.GetName(), metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return nil
	}
	err := relinquish(p.ctx, client, target, fieldManagerFor(urn, state.inputs, state.fieldManager))
	if apierrors.IsInvalid(err) && strings.Contains(err.Error(), "Required value") {
		field := ""
		if cause, ok := apierrors.StatusCause(err, metav1.CauseTypeFieldValueRequired); ok {
			field = ": " + cause.Field
		}
		return p.failed(urn, fmt.Errorf("this Patch resource is currently managing a required field, so it can't be "+
			"deleted directly. Either set the `retainOnDelete` resource option, or transfer ownership of the field "+
			"before deleting%s", field))
	}
	if err != nil {
		return p.failed(urn, err)
	}
	return nil
}

func propagation(inputs *unstructured.Unstructured) metav1.DeletionPropagation {
	switch strings.ToLower(annotation(inputs, annotationPropagation)) {
	case "orphan":
		return metav1.DeletePropagationOrphan
	case "background":
		return metav1.DeletePropagationBackground
	default:
		return metav1.DeletePropagationForeground
	}
}

func (p *provider) deleteObject(
	client dynamic.ResourceInterface, target *unstructured.Unstructured, state checkpoint, seconds float64, report *reporter,
) error {
	policy := propagation(state.inputs)
	gone := false
	err := repeat(p.ctx, settleTime, isPassing, report, "deletion", func() error {
		err := client.Delete(p.ctx, target.GetName(), metav1.DeleteOptions{PropagationPolicy: &policy})
		gone = apierrors.IsNotFound(err)
		if gone {
			return nil
		}
		return err
	})
	if err != nil || gone {
		return err
	}
	if isAnnotated(state.inputs, annotationSkipAwait) && skipsDeleteAwait[gvkOf(target).GroupKind().String()] {
		return nil
	}
	there, err := client.Get(p.ctx, target.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.awaitGone(p.ctx, client, there, timeoutOf(seconds, state.inputs, deletionTimeout), report)
}

// awaitGone waits until an object is gone, or another of the same name has taken its place.
func (p *provider) awaitGone(
	ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured, limit time.Duration, report *reporter,
) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	watched := p.follow(ctx, []source{p.sourceOf(o)})
	defer watched.stop()
	last := o
	for {
		if watched.synced(0) {
			now := watched.named(0, o.GetName())
			if now == nil || now.GetUID() != o.GetUID() {
				return nil
			}
			last = now
		}
		report.status("%s", deletionProgress(last))
		select {
		case <-watched.changed:
		case <-ctx.Done():
			// The watch may have missed what a plain look tells.
			now, err := client.Get(context.WithoutCancel(ctx), o.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) || err == nil && now.GetUID() != o.GetUID() {
				return nil
			}
			if p.ctx.Err() != nil {
				return fmt.Errorf("Resource operation was cancelled for %q", o.GetName())
			}
			return fmt.Errorf("%q timed out after %s waiting to be deleted%s", idOf(o), limit, leftovers(last))
		}
	}
}

// deletionProgress tells what a deletion waits for.
func deletionProgress(o *unstructured.Unstructured) string {
	if finalizers := foreignFinalizers(o); len(finalizers) > 0 {
		return fmt.Sprintf("Waiting for finalizers of %s: %s", describe(o), strings.Join(finalizers, ", "))
	}
	if len(o.GetFinalizers()) > 0 && lookupString(o, "kind") != "Namespace" {
		return fmt.Sprintf("Waiting for what belongs to %s to be deleted", describe(o))
	}
	if content := remainingContent(o); content != "" {
		return fmt.Sprintf("Waiting for %s to be emptied: %s", describe(o), content)
	}
	return fmt.Sprintf("Waiting for %s to be deleted", describe(o))
}

// foreignFinalizers are those that some controller must take away, not the server's own for foreground and orphan deletion.
func foreignFinalizers(o *unstructured.Unstructured) []string {
	return slices.DeleteFunc(o.GetFinalizers(), func(f string) bool {
		return f == metav1.FinalizerDeleteDependents || f == metav1.FinalizerOrphanDependents
	})
}

func leftovers(o *unstructured.Unstructured) string {
	var parts []string
	if finalizers := o.GetFinalizers(); len(finalizers) > 0 {
		parts = append(parts, fmt.Sprintf("finalizers might be preventing deletion (%s)", strings.Join(finalizers, ", ")))
	}
	if content := remainingContent(o); content != "" {
		parts = append(parts, content)
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}

// remainingContent gives what a namespace says is left in it.
func remainingContent(o *unstructured.Unstructured) string {
	if lookupString(o, "kind") != "Namespace" {
		return ""
	}
	var parts []string
	for _, c := range conditions(o) {
		switch c.kind {
		case "NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionContentFailure",
			"NamespaceDeletionDiscoveryFailure":
			if c.status == "True" && c.message != "" {
				parts = append(parts, c.message)
			}
		}
	}
	return strings.Join(parts, "; ")
}
