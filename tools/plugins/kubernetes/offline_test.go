package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// unreachable is a port where nothing listens.
const unreachable = "https://127.0.0.1:1"

func TestPreviewWithoutACluster(t *testing.T) {
	for name, kubeconfig := range map[string]string{
		"nothing answers": kubeconfigFor(unreachable, "x"), "no kubeconfig": "/no/such/kubeconfig",
	} {
		t.Run(name, func(t *testing.T) {
			g := newProgram(t, nil, map[string]string{"kubeconfig": kubeconfig})
			for _, object := range []string{"one", "two"} {
				shown, err := g.previewCreate(object, props(parse(t, configMapYAML("ns", object, "x"))))
				if err != nil {
					t.Fatal(err)
				}
				if shown["data"].ObjectValue()["key"].StringValue() != "x" {
					t.Errorf("shown %v", shown)
				}
			}
			if said := g.said.text(); strings.Count(said, "unreachable") != 1 {
				t.Errorf("said:\n%s", said)
			}
			// A kind nobody can ask about is taken for one in a namespace; others are known without a cluster.
			for text, namespace := range map[string]string{
				"{apiVersion: example.org/v1, kind: Thing, metadata: {name: a}}":                             "default",
				"{apiVersion: v1, kind: Namespace, metadata: {name: a}}":                                     "",
				"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}}":         "",
				"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}":                                     "default",
				"{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: a}}":             "default",
				"{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}}": "",
			} {
				o := parse(t, text)
				checked := g.check(urnFor(o, "a", false), nil, props(o))
				if got := toObject(decode(t, checked.Inputs)).GetNamespace(); got != namespace {
					t.Errorf("%s: namespace %q, want %q", text, got, namespace)
				}
			}
		})
	}
}

func TestTheProgramsOwnCRDTellsTheScope(t *testing.T) {
	g := newProgram(t, nil, map[string]string{"kubeconfig": kubeconfigFor(unreachable, "x")})
	crd := parse(t, crdYAML("own.example.org", "Cluster"))
	g.check(urnFor(crd, "crd", false), nil, props(crd))
	o := parse(t, "{apiVersion: own.example.org/v1, kind: Thing, metadata: {name: a}}")
	if got := toObject(decode(t, g.check(urnFor(o, "a", false), nil, props(o)).Inputs)).GetNamespace(); got != "" {
		t.Errorf("namespace %q", got)
	}
}

func TestDefaultNamespaceOfTheProvider(t *testing.T) {
	g := newProgram(t, nil, map[string]string{"kubeconfig": kubeconfigFor(unreachable, "x"), "namespace": "team"})
	o := parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")
	if got := toObject(decode(t, g.check(urnFor(o, "a", false), nil, props(o)).Inputs)).GetNamespace(); got != "team" {
		t.Errorf("namespace %q", got)
	}
}

func TestChangesWithoutAClusterFail(t *testing.T) {
	// The kubeconfig is broken, not the server away: there is nothing to be patient about.
	g := newProgram(t, nil, map[string]string{"kubeconfig": "/no/such/kubeconfig"})
	o := parse(t, configMapYAML("ns", "a", "x"))
	if _, err := g.up("a", props(o)); err == nil || !strings.Contains(err.Error(), "configured Kubernetes cluster is unreachable: kubeconfig file") {
		t.Errorf("create: %v", err)
	}
	m := remembered(t, g, o)
	if err := g.update(m, props(parse(t, configMapYAML("ns", "a", "y")))); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("update: %v", err)
	}
	if err := g.destroy(m); err == nil || !strings.Contains(err.Error(), "PULUMI_K8S_DELETE_UNREACHABLE") {
		t.Errorf("delete: %v", err)
	}
	if _, err := g.refresh(m); err == nil || !strings.Contains(err.Error(), "PULUMI_K8S_DELETE_UNREACHABLE") {
		t.Errorf("read: %v", err)
	}
}

// remembered is a resource in the state of a run whose cluster is gone now.
func remembered(t *testing.T, g *program, o interface{ UnstructuredContent() map[string]any }) *managed {
	t.Helper()
	object := parse(t, configMapYAML("ns", "a", "x"))
	object.Object = o.UnstructuredContent()
	urn := urnFor(object, "a", false)
	checked := g.check(urn, nil, props(object))
	state := checkpoint{inputs: object, live: object, apiVersion: "v1", fieldManager: "m"}
	return &managed{urn: urn, id: idOf(object), inputs: checked.Inputs, outputs: encode(t, state.outputs(nil))}
}

func TestDeleteUnreachable(t *testing.T) {
	for name, set := range map[string]func(*testing.T) map[string]string{
		"argument": func(*testing.T) map[string]string { return map[string]string{"deleteUnreachable": "true"} },
		"variable": func(t *testing.T) map[string]string {
			t.Setenv("PULUMI_K8S_DELETE_UNREACHABLE", "true")
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newProgram(t, nil, mergeArgs(set(t), map[string]string{"kubeconfig": kubeconfigFor(unreachable, "x")}))
			m := remembered(t, g, parse(t, configMapYAML("ns", "a", "x")))
			if err := g.destroy(m); err != nil {
				t.Error(err)
			}
			if there, err := g.refresh(m); there || err != nil {
				t.Errorf("refresh: %v %v", there, err)
			}
		})
	}
}

func TestSkipUpdateUnreachable(t *testing.T) {
	g := newProgram(t, nil, map[string]string{"kubeconfig": kubeconfigFor(unreachable, "x"), "skipUpdateUnreachable": "true"})
	m := remembered(t, g, parse(t, configMapYAML("ns", "a", "x")))
	checked := g.check(m.urn, m.inputs, props(parse(t, configMapYAML("ns", "a", "y"))))
	if got := toObject(decode(t, checked.Inputs)); lookupString(got, "data", "key") != "x" {
		t.Errorf("inputs %v", got)
	}
	if there, err := g.refresh(m); !there || err != nil {
		t.Errorf("refresh: %v %v", there, err)
	}
}

func TestWhatIsLackingIsNamed(t *testing.T) {
	g := newProgram(t, nil, nil)
	for _, token := range []string{"kubernetes:helm.sh/v3:Release", "kubernetes:helm.sh/v4:Chart", "kubernetes:kustomize/v2:Directory", "kubernetes:yaml/v2:ConfigGroup"} {
		_, err := g.plugin.Check(context.Background(), &pulumirpc.CheckRequest{Urn: "urn:pulumi:l::t::" + token + "::x", News: encode(t, resource.PropertyMap{})})
		if err == nil || !strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "offline kubernetes plugin lacks it") {
			t.Errorf("%s: %v", token, err)
		}
	}
	if _, err := g.plugin.Invoke(context.Background(), &pulumirpc.InvokeRequest{Tok: "kubernetes:yaml:decode"}); err == nil || !strings.Contains(err.Error(), "kubernetes:yaml:decode") {
		t.Errorf("%v", err)
	}
	if _, err := g.plugin.Construct(context.Background(), &pulumirpc.ConstructRequest{Type: "kubernetes:yaml/v2:ConfigFile"}); err == nil || !strings.Contains(err.Error(), "ConfigFile") {
		t.Errorf("%v", err)
	}
	list := parse(t, "{apiVersion: v1, kind: ConfigMapList}")
	if _, err := g.plugin.Check(context.Background(), &pulumirpc.CheckRequest{Urn: string(urnFor(list, "x", false)), News: encode(t, props(list))}); err == nil {
		t.Error("a list kind was accepted")
	}
}

func TestPatchNeedsAName(t *testing.T) {
	g := newProgram(t, nil, nil)
	o := parse(t, "{apiVersion: v1, kind: ConfigMap}")
	_, err := g.plugin.Check(context.Background(), &pulumirpc.CheckRequest{Urn: string(urnFor(o, "x", true)), News: encode(t, props(o))})
	if err == nil || !strings.Contains(err.Error(), "patch resources require") {
		t.Errorf("%v", err)
	}
}

func TestPluginInfo(t *testing.T) {
	got, err := newProvider().GetPluginInfo(context.Background(), nil)
	if err != nil || got.Version != "4.34.2" {
		t.Errorf("%v %v", got, err)
	}
}
