package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
)

const (
	// settleTime is for how long a request is repeated that fails for something that is on its way: the namespace, the
	// CRD, the namespace's service account, an API server that restarts.
	settleTime = 30 * time.Second
	// settleTimeCRD is the same for a kind whose CRD is part of this program.
	settleTimeCRD = 2 * time.Minute
	firstPause    = 250 * time.Millisecond
	longestPause  = 5 * time.Second
)

// write is one server-side apply of one resource.
type write struct {
	urn     resource.URN
	inputs  *unstructured.Unstructured
	manager string
	former  string // the manager the fields had before this write, if another
	patch   bool   // the object belongs to somebody else, only the fields are ours
	report  *reporter
}

// namespaceGone, by its message, tells that an object was refused because the namespace is not there.
func namespaceGone(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && apierrors.IsNotFound(err) &&
		status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

// onItsWay tells errors that go away by themselves once something else is done.
func onItsWay(err error) bool {
	switch {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return true
	case apierrors.IsForbidden(err):
		// A new namespace gets its default service account a moment later.
		return strings.Contains(err.Error(), "serviceaccount") && strings.Contains(err.Error(), "not found")
	case apierrors.IsInternalError(err):
		return strings.Contains(err.Error(), "failed calling webhook")
	default:
		return isPassing(err)
	}
}

// isPassing tells failures of the connection or the server's health from answers.
func isPassing(err error) bool {
	var network net.Error
	if apierrors.IsInternalError(err) && strings.Contains(err.Error(), "etcdserver:") {
		return true // it elects a leader, or is slow
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) ||
		utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) ||
		utilnet.IsHTTP2ConnectionLost(err) || errors.As(err, &network) && network.Timeout()
}

// persist repeats a write while it fails for something on its way.
func (p *provider) persist(ctx context.Context, w write, verb string, try func() error) error {
	patience := settleTime
	if p.cluster.expectsCRD(gvkOf(w.inputs).GroupKind()) {
		patience = settleTimeCRD
	}
	return repeat(ctx, patience, onItsWay, w.report, verb, try)
}

// repeat tries again, with growing pauses, while patience lasts and the error passes.
func repeat(
	ctx context.Context, patience time.Duration, passes func(error) bool, report *reporter, verb string, try func() error,
) error {
	deadline := time.Now().Add(patience)
	pause := firstPause
	for i := 1; ; i++ {
		err := try()
		if err == nil || !passes(err) || time.Now().Add(pause).After(deadline) {
			return err
		}
		report.status("Retry #%d; %s failed: %v", i, verb, err)
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

// create applies an object that is not ours yet. One that exists is refused, unless an interrupted run of this very
// resource made it, or the provider was told to adopt.
func (p *provider) create(ctx context.Context, w write) (*unstructured.Unstructured, error) {
	var live *unstructured.Unstructured
	err := p.persist(ctx, w, "creation", func() error {
		client, err := p.cluster.client(w.inputs)
		if err != nil {
			return err
		}
		if !w.patch {
			if err := p.makeWay(ctx, client, w); err != nil {
				return err
			}
		}
		live, err = p.apply(ctx, client, w, false)
		return err
	})
	return live, err
}

// makeWay looks for an object of the same name before ours is created.
func (p *provider) makeWay(ctx context.Context, client dynamic.ResourceInterface, w write) error {
	there, err := client.Get(ctx, w.inputs.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if there.GetDeletionTimestamp() != nil {
		w.report.status("Waiting for the previous %s to be deleted", describe(there))
		return p.awaitGone(ctx, client, there, deletionTimeout, w.report)
	}
	if p.settings.upsertExisting || managedBy(there, w.manager) {
		return nil
	}
	return alreadyExists(there)
}

func managedBy(o *unstructured.Unstructured, manager string) bool {
	for _, entry := range o.GetManagedFields() {
		if entry.Manager == manager {
			return true
		}
	}
	return false
}

func alreadyExists(o *unstructured.Unstructured) error {
	return fmt.Errorf("%s %q already exists\n\n"+
		"The resource already exists in the cluster. This can happen when:\n\n"+
		"  - Renaming a Pulumi resource: use an alias to preserve the identity,\n"+
		"    or use deleteBeforeReplace if the resource needs replacement.\n"+
		"  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)\n"+
		"    to manage specific fields without owning the resource lifecycle.\n"+
		"  - Adopting a resource into Pulumi: use `pulumi import`. Note that\n"+
		"    protected resources (e.g. kube-system) cannot be deleted on destroy.\n"+
		"  - Intentional upsert: set upsertExistingObjects on the provider to allow\n"+
		"    server-side apply to update existing objects on create.",
		lookupString(o, "kind"), idOf(o))
}

// update applies new inputs over what is live. ignored are the places that stay as they are in the cluster.
func (p *provider) update(
	ctx context.Context, w write, ignored []string, preview bool,
) (live, before *unstructured.Unstructured, err error) {
	err = p.persist(ctx, w, "update", func() error {
		client, err := p.cluster.client(w.inputs)
		if err != nil {
			return err
		}
		before, err = client.Get(ctx, w.inputs.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			before = nil
			w.report.say(warning, "%s was deleted outside of Pulumi; creating it again", describe(w.inputs))
		} else if err != nil {
			return err
		}
		if before != nil && !preview && !w.patch {
			if before, err = takeOver(ctx, client, before, w.manager); err != nil {
				return err
			}
		}
		sent := w
		if before != nil {
			if sent.inputs, err = withoutIgnored(w.inputs, before, w.manager, ignored); err != nil {
				return err
			}
		}
		live, err = p.apply(ctx, client, sent, preview)
		return err
	})
	return live, before, err
}

// apply sends the object once, and again with force where that is ours to decide.
func (p *provider) apply(
	ctx context.Context, client dynamic.ResourceInterface, w write, preview bool,
) (*unstructured.Unstructured, error) {
	force := isAnnotated(w.inputs, annotationPatchForce) || p.settings.enablePatchForce
	live, err := send(ctx, client, w, force, preview)
	if apierrors.IsConflict(err) && !force && yields(err, w.former) {
		live, err = send(ctx, client, w, true, preview)
	}
	if apierrors.IsConflict(err) {
		return nil, conflictError(w.manager, err)
	}
	return live, err
}

func send(
	ctx context.Context, client dynamic.ResourceInterface, w write, force, preview bool,
) (*unstructured.Unstructured, error) {
	object := copyObject(w.inputs)
	for key := range object.Object {
		if strings.HasPrefix(key, "__") {
			delete(object.Object, key)
		}
	}
	for key := range readOnlyMetadata {
		unstructured.RemoveNestedField(object.Object, "metadata", key)
	}
	body, err := json.Marshal(object.Object)
	if err != nil {
		return nil, err
	}
	if !preview {
		ctx = context.WithValue(ctx, reporterKey{}, w.report)
	}
	options := metav1.PatchOptions{FieldManager: w.manager, Force: &force}
	if preview {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return client.Patch(ctx, object.GetName(), types.ApplyPatchType, body, options)
}

// conflictError words a conflict as the official plugin does; the server's own words name managers and fields.
func conflictError(manager string, err error) error {
	return fmt.Errorf("Server-Side Apply field conflict detected. See https://www.pulumi.com/registry/packages/"+
		"kubernetes/how-to-guides/managing-resources-with-server-side-apply/"+
		"#handle-field-conflicts-on-existing-resources for troubleshooting help\n"+
		"The resource managed by field manager %q had an apply conflict: %w", manager, err)
}

var conflictManager = regexp.MustCompile(`conflicts? with "([^"]+)"`)

// yields tells whether every manager in a conflict is one whose fields are taken over: the resource's own former one and,
// as in the official plugin, kubectl and what was there before the object's first apply.
func yields(err error, former string) bool {
	found := conflictManager.FindAllStringSubmatch(err.Error(), -1)
	for _, match := range found {
		if !strings.HasPrefix(match[1], "kubectl") && match[1] != "before-first-apply" && (former == "" || match[1] != former) {
			return false
		}
	}
	return len(found) > 0
}

// clientSideManagers wrote objects before server-side apply managed them: the official plugin, which creates objects
// client-side, and `kubectl apply`. Fields they own alone would survive their removal from the program.
var clientSideManagers = sets.New("pulumi-kubernetes", "pulumi-kubernetes.exe", "pulumi-resource-kubernetes",
	"kubectl-client-side-apply", "before-first-apply")

// takeOver moves the fields of clientSideManagers to our manager.
func takeOver(
	ctx context.Context, client dynamic.ResourceInterface, live *unstructured.Unstructured, manager string,
) (*unstructured.Unstructured, error) {
	names := sets.New[string]()
	for _, entry := range live.GetManagedFields() {
		if entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Subresource == "" &&
			clientSideManagers.Has(entry.Manager) {
			names.Insert(entry.Manager)
		}
	}
	if names.Len() == 0 {
		return live, nil
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, names, manager)
	if err != nil || len(patch) == 0 {
		return live, err
	}
	return client.Patch(ctx, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{})
}

// relinquish gives up every field a manager owns. What no other manager owns returns to its default.
func relinquish(
	ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured, manager string,
) error {
	bare := &unstructured.Unstructured{Object: map[string]any{}}
	bare.SetAPIVersion(o.GetAPIVersion())
	bare.SetKind(o.GetKind())
	bare.SetName(o.GetName())
	if ns := o.GetNamespace(); ns != "" {
		bare.SetNamespace(ns)
	}
	body, err := json.Marshal(bare.Object)
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: manager})
	return err
}
