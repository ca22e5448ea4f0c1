package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	// probeTimeout bounds the question whether the API server answers at all.
	probeTimeout = 10 * time.Second
	// probeMemory is for how long a failed probe answers for its followers, so that a hundred resources of a cluster
	// that is gone do not each wait for their own.
	probeMemory = 20 * time.Second
	// reachPatience is how long a change waits for an API server that does not answer.
	reachPatience = 15 * time.Second
	// rediscoverInterval is the least time between two fresh looks at which kinds the server knows.
	rediscoverInterval = time.Second
)

// cluster is the connection to one API server. Nothing is sent before the first use.
type cluster struct {
	broken    error // why there is no way to reach it, such as a kubeconfig that cannot be read
	server    string
	dynamic   dynamic.Interface
	watches   dynamic.Interface // not limited: a wait holds a few watches, and many wait at once
	core      corev1.CoreV1Interface
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper

	mu         sync.Mutex
	reached    bool
	failedAt   time.Time
	failure    error
	rediscover time.Time

	crdMu sync.RWMutex
	crds  map[schema.GroupKind]bool // kinds of the program's own CRDs -> lives in a namespace
}

// unreachableError says that no API server answered. Rejected credentials are not one: the server did answer.
type unreachableError struct{ reason error }

func (e *unreachableError) Error() string {
	return "configured Kubernetes cluster is unreachable: " + e.reason.Error()
}

func (e *unreachableError) Unwrap() error { return e.reason }

func isUnreachable(err error) bool {
	var unreachable *unreachableError
	return errors.As(err, &unreachable)
}

func brokenCluster(reason error) *cluster {
	return &cluster{broken: reason, crds: map[schema.GroupKind]bool{}}
}

func newCluster(config *rest.Config) (*cluster, error) {
	c := &cluster{server: config.Host, crds: map[schema.GroupKind]bool{}}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, err
	}
	unlimited := rest.CopyConfig(config)
	unlimited.QPS = -1
	if c.watches, err = dynamic.NewForConfigAndClient(unlimited, httpClient); err != nil {
		return nil, err
	}
	core, err := corev1.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	c.core = core
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	c.discovery = memory.NewMemCacheClient(disco)
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(c.discovery)
	return c, nil
}

// reach makes sure the API server answers. Once it did, it is taken for granted.
// Errors: unreachableError when nothing answers; another when the server rejects the credentials.
func (c *cluster) reach(ctx context.Context) error {
	if c.broken != nil {
		return &unreachableError{c.broken}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reached {
		return nil
	}
	if c.failure != nil && time.Since(c.failedAt) < probeMemory {
		return c.failure
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := c.core.RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	switch {
	case err == nil || apierrors.IsForbidden(err):
		c.reached, c.failure = true, nil
		return nil
	case apierrors.IsUnauthorized(err):
		c.failure = fmt.Errorf("the API server at %s rejects the kubeconfig's credentials: %w", c.server, err)
	case errors.Is(err, context.DeadlineExceeded):
		c.failure = &unreachableError{fmt.Errorf("no answer from %s within %s", c.server, probeTimeout)}
	default:
		c.failure = &unreachableError{err}
	}
	c.failedAt = time.Now()
	return c.failure
}

// reachPatiently is reach for what changes the cluster: an API server that is just restarting gets reachPatience.
func (c *cluster) reachPatiently(ctx context.Context, report *reporter) error {
	deadline := time.Now().Add(reachPatience)
	for {
		err := c.reach(ctx)
		if err == nil || !isUnreachable(err) || c.broken != nil || time.Now().After(deadline) {
			return err
		}
		report.status("Waiting for the API server: %v", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
		c.mu.Lock()
		// One of the waiting ones asks again, for all of them.
		if time.Since(c.failedAt) >= time.Second {
			c.failure = nil
		}
		c.mu.Unlock()
	}
}

// mapping finds the resource that serves a kind. A kind nobody knows is looked up afresh once.
func (c *cluster) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err == nil || !meta.IsNoMatchError(err) && !discovery.IsGroupDiscoveryFailedError(err) {
		return mapping, err
	}
	c.forget()
	return c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
}

// forget drops what is known of the server's kinds.
func (c *cluster) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.rediscover) >= rediscoverInterval {
		c.mapper.Reset()
		c.rediscover = time.Now()
	}
}

// client gives access to the objects of one kind, in the object's namespace if the kind has any.
func (c *cluster) client(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapping(gvkOf(o))
	if err != nil {
		return nil, err
	}
	resources := c.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		ns := o.GetNamespace()
		if ns == "" {
			ns = "default"
		}
		return resources.Namespace(ns), nil
	}
	return resources, nil
}

// learnCRD remembers the kind a CRD of this program will serve, for previews in which it does not exist yet.
func (c *cluster) learnCRD(crd *unstructured.Unstructured) {
	gk := schema.GroupKind{Group: lookupString(crd, "spec", "group"), Kind: lookupString(crd, "spec", "names", "kind")}
	if gk.Group == "" || gk.Kind == "" {
		return
	}
	c.crdMu.Lock()
	defer c.crdMu.Unlock()
	c.crds[gk] = lookupString(crd, "spec", "scope") != "Cluster"
}

// expectsCRD tells whether a CRD of this program serves the kind.
func (c *cluster) expectsCRD(gk schema.GroupKind) bool {
	c.crdMu.RLock()
	defer c.crdMu.RUnlock()
	_, ok := c.crds[gk]
	return ok
}

// namespaced tells whether a kind lives in namespaces: from the kinds every cluster has, from the program's own CRDs,
// then from the server. known is false when none of them tells.
func (c *cluster) namespaced(ctx context.Context, gvk schema.GroupVersionKind) (namespaced, known bool) {
	if builtInGroups[gvk.Group] {
		return !clusterScoped[gvk.Kind], true
	}
	c.crdMu.RLock()
	namespaced, known = c.crds[gvk.GroupKind()]
	c.crdMu.RUnlock()
	if known {
		return namespaced, true
	}
	if c.reach(ctx) != nil {
		return true, false
	}
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return true, false
	}
	return mapping.Scope.Name() == meta.RESTScopeNameNamespace, true
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// builtInGroups are the API groups of Kubernetes itself, in any version; "" is the core group.
var builtInGroups = func() map[string]bool {
	m := set(`apps autoscaling batch extensions policy
		admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io authentication.k8s.io
		authorization.k8s.io certificates.k8s.io coordination.k8s.io discovery.k8s.io events.k8s.io
		flowcontrol.apiserver.k8s.io internal.apiserver.k8s.io networking.k8s.io node.k8s.io
		rbac.authorization.k8s.io resource.k8s.io scheduling.k8s.io storage.k8s.io storagemigration.k8s.io`)
	m[""] = true
	return m
}()

// clusterScoped are the kinds of those groups that live in no namespace.
var clusterScoped = set(`APIService CertificateSigningRequest ClusterRole ClusterRoleBinding ClusterTrustBundle
	ComponentStatus CSIDriver CSINode CustomResourceDefinition DeviceClass DeviceTaintRule FlowSchema IngressClass IPAddress
	MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration Namespace Node PersistentVolume
	PriorityClass PriorityLevelConfiguration ResourceSlice RuntimeClass SelfSubjectAccessReview SelfSubjectReview
	SelfSubjectRulesReview ServiceCIDR StorageClass StorageVersion StorageVersionMigration SubjectAccessReview TokenReview
	ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration VolumeAttachment
	VolumeAttributesClass`)
