package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil/rpcerror"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// recorder keeps what the plugin says.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) log(_ resource.URN, level severity, ephemeral bool, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%d/%v %s", level, ephemeral, message))
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// program plays the engine for one provider: it calls the plugin in the engine's order and remembers states.
type program struct {
	t        *testing.T
	plugin   *provider
	said     *recorder
	cluster  *realCluster
	timeout  float64
	ignoring []string
}

// managed is a resource as the engine's state holds it.
type managed struct {
	urn     resource.URN
	id      string
	inputs  *structpb.Struct
	outputs *structpb.Struct
}

func newProgram(t *testing.T, c *realCluster, args map[string]string) *program {
	t.Helper()
	p := newProvider()
	said := &recorder{}
	p.host = said
	vars := map[string]string{}
	if c != nil {
		vars["kubernetes:config:kubeconfig"] = kubeconfigFor(c.server, adminToken)
	}
	for k, v := range args {
		vars["kubernetes:config:"+k] = v
	}
	if _, err := p.Configure(context.Background(), &pulumirpc.ConfigureRequest{
		Variables: vars, AcceptSecrets: true,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.cancel)
	return &program{t: t, plugin: p, said: said, cluster: c, timeout: 20}
}

// parse reads an object from YAML.
func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	fields := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return &unstructured.Unstructured{Object: fields}
}

func props(o *unstructured.Unstructured) resource.PropertyMap {
	return resource.NewPropertyMapFromMap(o.Object)
}

func encode(t *testing.T, pm resource.PropertyMap) *structpb.Struct {
	t.Helper()
	s, err := plugin.MarshalProperties(pm, plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decode(t *testing.T, s *structpb.Struct) resource.PropertyMap {
	t.Helper()
	pm, err := readProperties("test", s)
	if err != nil {
		t.Fatal(err)
	}
	return pm
}

func urnFor(o *unstructured.Unstructured, name string, patch bool) resource.URN {
	av := o.GetAPIVersion()
	if !strings.Contains(av, "/") {
		av = "core/" + av
	}
	suffix := ""
	if patch {
		suffix = "Patch"
	}
	return resource.URN(fmt.Sprintf("urn:pulumi:local::test::kubernetes:%s:%s%s::%s", av, o.GetKind(), suffix, name))
}

func (g *program) check(urn resource.URN, olds *structpb.Struct, in resource.PropertyMap) *pulumirpc.CheckResponse {
	g.t.Helper()
	response, err := g.plugin.Check(context.Background(), &pulumirpc.CheckRequest{
		Urn: string(urn), Olds: olds, News: encode(g.t, in), RandomSeed: []byte("seed" + string(urn)),
	})
	if err != nil {
		g.t.Fatalf("check: %v", err)
	}
	return response
}

// up creates a resource as the engine would.
func (g *program) up(name string, in resource.PropertyMap) (*managed, error) {
	g.t.Helper()
	o := toObject(in)
	return g.upURN(urnFor(o, name, false), in)
}

func (g *program) upURN(urn resource.URN, in resource.PropertyMap) (*managed, error) {
	g.t.Helper()
	checked := g.check(urn, nil, in)
	if len(checked.Failures) > 0 {
		g.t.Fatalf("check failures: %v", checked.Failures)
	}
	response, err := g.plugin.Create(context.Background(), &pulumirpc.CreateRequest{
		Urn: string(urn), Properties: checked.Inputs, Timeout: g.timeout,
	})
	m := &managed{urn: urn, inputs: checked.Inputs}
	if err != nil {
		if failed := initFailed(err); failed != nil {
			m.id, m.outputs = failed.Id, failed.Properties
			return m, err
		}
		return nil, err
	}
	m.id, m.outputs = response.Id, response.Properties
	return m, nil
}

func (g *program) mustUp(name, text string) *managed {
	g.t.Helper()
	m, err := g.up(name, props(parse(g.t, text)))
	if err != nil {
		g.t.Fatalf("up %s: %v\n%s", name, err, g.said.text())
	}
	return m
}

func (g *program) diff(m *managed, in resource.PropertyMap) *pulumirpc.DiffResponse {
	g.t.Helper()
	checked := g.check(m.urn, m.inputs, in)
	response, err := g.plugin.Diff(context.Background(), &pulumirpc.DiffRequest{
		Id: m.id, Urn: string(m.urn), Olds: m.outputs, OldInputs: m.inputs, News: checked.Inputs, IgnoreChanges: g.ignoring,
	})
	if err != nil {
		g.t.Fatalf("diff: %v", err)
	}
	return response
}

// update applies new inputs in place, as the engine does when the diff asks for no replacement.
func (g *program) update(m *managed, in resource.PropertyMap) error {
	g.t.Helper()
	checked := g.check(m.urn, m.inputs, in)
	response, err := g.plugin.Update(context.Background(), &pulumirpc.UpdateRequest{
		Id: m.id, Urn: string(m.urn), Olds: m.outputs, OldInputs: m.inputs, News: checked.Inputs, Timeout: g.timeout,
		IgnoreChanges: g.ignoring,
	})
	if err != nil {
		if failed := initFailed(err); failed != nil {
			m.outputs, m.inputs = failed.Properties, checked.Inputs
		}
		return err
	}
	m.outputs, m.inputs = response.Properties, checked.Inputs
	return nil
}

func (g *program) preview(m *managed, in resource.PropertyMap) (resource.PropertyMap, error) {
	g.t.Helper()
	checked := g.check(m.urn, m.inputs, in)
	response, err := g.plugin.Update(context.Background(), &pulumirpc.UpdateRequest{
		Id: m.id, Urn: string(m.urn), Olds: m.outputs, OldInputs: m.inputs, News: checked.Inputs, Preview: true,
		IgnoreChanges: g.ignoring,
	})
	if err != nil {
		return nil, err
	}
	return decode(g.t, response.Properties), nil
}

func (g *program) previewCreate(name string, in resource.PropertyMap) (resource.PropertyMap, error) {
	g.t.Helper()
	urn := urnFor(toObject(in), name, false)
	checked := g.check(urn, nil, in)
	response, err := g.plugin.Create(context.Background(), &pulumirpc.CreateRequest{
		Urn: string(urn), Properties: checked.Inputs, Preview: true,
	})
	if err != nil {
		return nil, err
	}
	if response.Id != "" {
		g.t.Errorf("a preview gave the id %q", response.Id)
	}
	return decode(g.t, response.Properties), nil
}

// refresh reads a resource; false says it is gone.
func (g *program) refresh(m *managed) (bool, error) {
	g.t.Helper()
	response, err := g.plugin.Read(context.Background(), &pulumirpc.ReadRequest{
		Id: m.id, Urn: string(m.urn), Properties: m.outputs, Inputs: m.inputs,
	})
	if err != nil {
		if failed := initFailed(err); failed != nil {
			m.outputs, m.inputs = failed.Properties, failed.Inputs
		}
		return true, err
	}
	if response.Id == "" {
		return false, nil
	}
	m.id, m.outputs, m.inputs = response.Id, response.Properties, response.Inputs
	return true, nil
}

func (g *program) destroy(m *managed) error {
	g.t.Helper()
	_, err := g.plugin.Delete(context.Background(), &pulumirpc.DeleteRequest{
		Id: m.id, Urn: string(m.urn), Properties: m.outputs, OldInputs: m.inputs, Timeout: g.timeout,
	})
	return err
}

func initFailed(err error) *pulumirpc.ErrorResourceInitFailed {
	converted, ok := rpcerror.FromError(err)
	if !ok {
		return nil
	}
	for _, detail := range converted.Details() {
		if failed, ok := detail.(*pulumirpc.ErrorResourceInitFailed); ok {
			return failed
		}
	}
	return nil
}

// output gives a value of a resource's outputs, secrets opened.
func output(t *testing.T, m *managed, path ...string) any {
	t.Helper()
	v, _ := lookup(toObject(decode(t, m.outputs)).Object, path...)
	return v
}

// namespace makes a namespace of its own for a test, and waits for what pods in it need.
func (g *program) namespace() string {
	g.t.Helper()
	name := fmt.Sprintf("t-%d", time.Now().UnixNano())
	ns := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
	}}
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	if _, err := g.cluster.dynamic.Resource(namespaces).Create(context.Background(), ns, metav1.CreateOptions{}); err != nil {
		g.t.Fatal(err)
	}
	accounts := schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	g.eventually("a default service account in "+name, func() bool {
		_, err := g.cluster.dynamic.Resource(accounts).Namespace(name).Get(context.Background(), "default", metav1.GetOptions{})
		return err == nil
	})
	return name
}

func (g *program) eventually(what string, test func() bool) {
	g.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if test() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	g.t.Fatalf("not within 20 s: %s", what)
}

func (g *program) live(gvr schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	if namespace == "" {
		return g.cluster.dynamic.Resource(gvr).Get(context.Background(), name, metav1.GetOptions{})
	}
	return g.cluster.dynamic.Resource(gvr).Namespace(namespace).Get(context.Background(), name, metav1.GetOptions{})
}
