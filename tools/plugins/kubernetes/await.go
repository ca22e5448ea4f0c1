package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// readyTimeout is how long an object may take to become ready unless the resource or its kind says otherwise.
const readyTimeout = 10 * time.Minute

// lookInterval is the time between two looks at an object that cannot be watched.
const lookInterval = 5 * time.Second

// observeTimeout is how long a refresh waits for a controller to see the latest spec.
const observeTimeout = 3 * time.Second

// awaited is one object whose readiness is waited for.
type awaited struct {
	object  *unstructured.Unstructured // as the server answered
	inputs  *unstructured.Unstructured
	before  *unstructured.Unstructured // as it was before an update, nil when it was created
	timeout float64                    // seconds, 0 when the resource has no customTimeouts
	report  *reporter
}

// view is what a decision is made from: an object at one moment, and what belongs to it.
type view struct {
	object  *unstructured.Unstructured
	before  *unstructured.Unstructured
	related [][]*unstructured.Unstructured // one list for each source of the kind, in its order
	quiet   time.Duration                  // for how long nothing has changed
}

// outcome is the decision.
type outcome struct {
	done     bool
	failed   bool // and will stay so: waiting longer is of no use
	progress string
	warnings []string // worth showing while waiting
	reasons  []string // why it is not done, for the error
}

// kind tells how objects of one kind become ready.
type kind struct {
	timeout time.Duration // 0 means readyTimeout
	related func(*unstructured.Unstructured) []source
	decide  func(view) outcome
	// settles asks to decide again when nothing changes: for decisions that look at view.quiet.
	settles time.Duration
	// refresh is set for kinds whose readiness a refresh looks at, too.
	refresh bool
}

// awaitError says that an object did not become ready.
type awaitError struct {
	message string
	reasons []string
}

func (e *awaitError) Error() string { return e.message }

// timeoutOf gives the time an operation has: the resource's customTimeouts, its annotation, or otherwise.
func timeoutOf(seconds float64, inputs *unstructured.Unstructured, otherwise time.Duration) time.Duration {
	if seconds > 0 {
		return time.Duration(seconds * float64(time.Second))
	}
	if n, err := strconv.Atoi(annotation(inputs, annotationTimeout)); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return otherwise
}

// awaitReady waits until an object is ready and gives its latest state. With an error, an awaitError, the state is the
// last one seen.
func (p *provider) awaitReady(a awaited) (*unstructured.Unstructured, error) {
	if isAnnotated(a.inputs, annotationSkipAwait) {
		return a.object, nil
	}
	rule, err := p.kindOf(a)
	if err != nil {
		return a.object, &awaitError{message: err.Error()}
	}
	if rule == nil {
		return a.object, nil
	}
	if rule.related == nil && rule.decide(view{object: a.object, before: a.before}).done {
		return a.object, nil // as the server answered: nothing to watch
	}
	otherwise := rule.timeout
	if otherwise == 0 {
		otherwise = readyTimeout
	}
	ctx, cancel := context.WithTimeout(p.ctx, timeoutOf(a.timeout, a.inputs, otherwise))
	defer cancel()
	latest, err := p.awaitKind(ctx, a, rule)
	if err == nil && isCRD(latest) {
		err = p.awaitServed(ctx, latest)
	}
	return latest, err
}

func (p *provider) awaitKind(ctx context.Context, a awaited, rule *kind) (*unstructured.Unstructured, error) {
	sources := []source{p.sourceOf(a.object)}
	if rule.related != nil {
		sources = append(sources, rule.related(a.object)...)
	}
	watched := p.follow(ctx, sources)
	defer watched.stop()

	latest, last := a.object, outcome{}
	lastChange := time.Now()
	interval := lookInterval
	if rule.settles > 0 {
		interval = time.Second
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	looked := false
	for {
		if watched.synced(0) || looked {
			if watched.synced(0) {
				now := watched.named(0, a.object.GetName())
				if now == nil || now.GetUID() != a.object.GetUID() {
					return latest, &awaitError{message: fmt.Sprintf("%s was deleted while waiting for it", describe(latest))}
				}
				latest = now
			}
			last = rule.decide(view{
				object: latest, before: a.before, related: watched.lists(1), quiet: time.Since(lastChange),
			})
			switch {
			case last.done:
				return latest, nil
			case last.failed:
				return latest, p.explain(a, latest, watched, last,
					fmt.Sprintf("Resource '%s' was created but failed to initialize", latest.GetName()))
			}
			if last.progress != "" {
				a.report.status("%s", last.progress)
			}
			for _, w := range last.warnings {
				a.report.statusWarning("%s", w)
			}
		}
		select {
		case <-watched.changed:
			lastChange = time.Now()
		case <-ticker.C:
			// Where watching is not allowed, looking now and then must do.
			if !watched.synced(0) {
				if now := p.look(ctx, latest); now != nil {
					latest, looked = now, true
				}
			}
		case <-ctx.Done():
			message := fmt.Sprintf("'%s' timed out waiting to be Ready", latest.GetName())
			if p.ctx.Err() != nil {
				message = fmt.Sprintf("Resource operation was cancelled for %q", latest.GetName())
			}
			return latest, p.explain(a, latest, watched, last, message)
		}
	}
}

// look gets an object's present state, nil when that fails.
func (p *provider) look(ctx context.Context, o *unstructured.Unstructured) *unstructured.Unstructured {
	client, err := p.cluster.client(o)
	if err != nil {
		return nil
	}
	now, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return now
}

// checkReady looks once whether an object is ready, for refresh. Kinds without such a look are.
func (p *provider) checkReady(a awaited) error {
	if isAnnotated(a.inputs, annotationSkipAwait) || annotation(a.inputs, annotationWaitFor) != "" {
		return nil
	}
	rule := kinds[gvkOf(a.object).GroupKind().String()]
	if rule == nil || !rule.refresh {
		return nil
	}
	v := view{object: p.awaitObserved(a.object), before: a.before, quiet: rule.settles}
	if rule.related != nil {
		for _, s := range rule.related(a.object) {
			list, err := p.cluster.dynamic.Resource(s.resource).Namespace(s.namespace).List(p.ctx, metav1.ListOptions{
				LabelSelector: s.labels, FieldSelector: s.fields,
			})
			var items []*unstructured.Unstructured
			if err == nil {
				for i := range list.Items {
					items = append(items, &list.Items[i])
				}
			}
			v.related = append(v.related, items)
		}
	}
	result := rule.decide(v)
	if result.done {
		return nil
	}
	return &awaitError{
		message: fmt.Sprintf("Resource '%s' was created but failed to initialize", a.object.GetName()),
		reasons: result.reasons,
	}
}

// awaitObserved gives controllers a moment to see the latest spec of an object: a look in between would take it for one
// that is not ready.
func (p *provider) awaitObserved(o *unstructured.Unstructured) *unstructured.Unstructured {
	for deadline := time.Now().Add(observeTimeout); !isObserved(o) && time.Now().Before(deadline); {
		if _, ok := lookup(o.Object, "status", "observedGeneration"); !ok {
			return o // a kind that does not tell
		}
		select {
		case <-p.ctx.Done():
			return o
		case <-time.After(100 * time.Millisecond):
		}
		now := p.look(p.ctx, o)
		if now == nil {
			return o
		}
		o = now
	}
	return o
}

// kindOf finds how to wait for an object, nil when there is nothing to wait for.
func (p *provider) kindOf(a awaited) (*kind, error) {
	if text := annotation(a.inputs, annotationWaitFor); text != "" {
		return waitFor(text)
	}
	if rule, ok := kinds[gvkOf(a.object).GroupKind().String()]; ok {
		return rule, nil
	}
	if awaitsAll() {
		return &kind{decide: decideGeneric}, nil
	}
	return nil, nil
}

// awaitServed waits until the server lists the kinds of a CRD that is established: an object of them applied in between
// would be refused.
func (p *provider) awaitServed(ctx context.Context, crd *unstructured.Unstructured) error {
	gk := schema.GroupKind{Group: lookupString(crd, "spec", "group"), Kind: lookupString(crd, "spec", "names", "kind")}
	versions, _ := lookup(crd.Object, "spec", "versions")
	var served []string
	list, _ := versions.([]any)
	for _, v := range list {
		if on, _ := lookup(v, "served"); on == true {
			if name, ok := lookup(v, "name"); ok {
				served = append(served, fmt.Sprint(name))
			}
		}
	}
	pause := 50 * time.Millisecond
	for {
		missing := ""
		for _, version := range served {
			if _, err := p.cluster.mapper.RESTMapping(gk, version); meta.IsNoMatchError(err) {
				missing = version
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return &awaitError{message: fmt.Sprintf("the API server does not serve %s of %s", missing, gk)}
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
		p.cluster.mu.Lock()
		p.cluster.mapper.Reset()
		p.cluster.mu.Unlock()
	}
}

// source is a set of objects to watch.
type source struct {
	resource  schema.GroupVersionResource
	namespace string
	labels    string
	fields    string
}

// sourceOf watches one object.
func (p *provider) sourceOf(o *unstructured.Unstructured) source {
	s := source{
		namespace: o.GetNamespace(),
		fields:    fields.OneTermEqualSelector("metadata.name", o.GetName()).String(),
	}
	if mapping, err := p.cluster.mapping(gvkOf(o)); err == nil {
		s.resource = mapping.Resource
	}
	return s
}

// followed is a set of running watches. They reconnect by themselves and resume where they were.
type followed struct {
	changed   chan struct{} // holds a token when something has changed since it was last taken
	informers []cache.SharedIndexInformer
	stop      func()
}

func (p *provider) follow(ctx context.Context, sources []source) *followed {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	f := &followed{changed: make(chan struct{}, 1)}
	f.stop = func() {
		cancel()
		running.Wait()
	}
	for _, s := range sources {
		informer := dynamicinformer.NewFilteredDynamicInformer(p.cluster.watches, s.resource, s.namespace, 0,
			cache.Indexers{}, func(options *metav1.ListOptions) {
				options.LabelSelector, options.FieldSelector = s.labels, s.fields
			}).Informer()
		// A source that may not be watched (no permission for events, say) only makes messages poorer.
		_ = informer.SetWatchErrorHandler(func(*cache.Reflector, error) {})
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { f.signal() },
			UpdateFunc: func(any, any) { f.signal() },
			DeleteFunc: func(any) { f.signal() },
		})
		f.informers = append(f.informers, informer)
		running.Add(2)
		go func() {
			defer running.Done()
			informer.Run(ctx.Done())
		}()
		go func() {
			defer running.Done()
			if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
				f.signal() // an empty list has no events
			}
		}()
	}
	return f
}

func (f *followed) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *followed) synced(i int) bool { return f.informers[i].HasSynced() }

// named gives the object of that name, nil when there is none.
func (f *followed) named(i int, name string) *unstructured.Unstructured {
	for _, item := range f.informers[i].GetStore().List() {
		if o, ok := item.(*unstructured.Unstructured); ok && o.GetName() == name {
			return o
		}
	}
	return nil
}

// lists gives what the sources from the one at first on hold; nil for one that is not known yet, or may not be watched.
func (f *followed) lists(first int) [][]*unstructured.Unstructured {
	var all [][]*unstructured.Unstructured
	for _, informer := range f.informers[first:] {
		if !informer.HasSynced() {
			all = append(all, nil)
			continue
		}
		items := []*unstructured.Unstructured{}
		for _, item := range informer.GetStore().List() {
			if o, ok := item.(*unstructured.Unstructured); ok {
				items = append(items, o)
			}
		}
		all = append(all, items)
	}
	return all
}

// condition is one entry of status.conditions.
type condition struct{ kind, status, reason, message string }

func conditions(o *unstructured.Unstructured) []condition {
	v, _ := lookup(o.Object, "status", "conditions")
	items, _ := v.([]any)
	var list []condition
	for _, item := range items {
		text := func(key string) string {
			v, _ := lookup(item, key)
			s, _ := v.(string)
			return s
		}
		list = append(list, condition{text("type"), text("status"), text("reason"), text("message")})
	}
	return list
}

func conditionOf(o *unstructured.Unstructured, kind string) condition {
	for _, c := range conditions(o) {
		if c.kind == kind {
			return c
		}
	}
	return condition{}
}

func (c condition) String() string {
	if c.reason == "" {
		return c.message
	}
	return strings.TrimSpace(fmt.Sprintf("[%s] %s", c.reason, c.message))
}

func isOwned(o *unstructured.Unstructured, owner types.UID) bool {
	for _, ref := range o.GetOwnerReferences() {
		if ref.UID == owner {
			return true
		}
	}
	return false
}

// observed generation: whether the controller has seen the latest spec.
func isObserved(o *unstructured.Unstructured) bool {
	return lookupInt(o, 0, "status", "observedGeneration") >= o.GetGeneration()
}
