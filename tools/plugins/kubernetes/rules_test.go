package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// diffOf compares two YAML objects as Diff does, for a resource the cluster has as before.
func diffOf(t *testing.T, args map[string]string, before, after string) *pulumirpc.DiffResponse {
	t.Helper()
	args = mergeArgs(args, map[string]string{"kubeconfig": kubeconfigFor("https://127.0.0.1:1", "x")})
	g := newProgram(t, nil, args)
	old := parse(t, before)
	urn := urnFor(old, "it", false)
	checked := g.check(urn, nil, props(old))
	state := checkpoint{inputs: toObject(decode(t, checked.Inputs)), live: toObject(decode(t, checked.Inputs)), apiVersion: old.GetAPIVersion()}
	m := &managed{urn: urn, id: "x", inputs: checked.Inputs, outputs: encode(t, state.outputs(nil))}
	return g.diff(m, props(parse(t, after)))
}

func mergeArgs(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range b {
		out[k] = v
	}
	for k, v := range a {
		out[k] = v
	}
	return out
}

func TestReplaceRules(t *testing.T) {
	object := func(apiVersion, kind, rest string) string {
		return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: it, namespace: ns}, %s}", apiVersion, kind, rest)
	}
	template := "template: {metadata: {labels: {a: b, c: d}}, spec: {containers: [{name: app, image: x}]}}"
	cases := []struct {
		name          string
		args          map[string]string
		before, after string
		replaces      []string
		changes       []string // all changed paths when nothing is replaced
	}{
		{name: "name",
			before: "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", after: "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}",
			replaces: []string{"metadata.name"}},
		{name: "namespace",
			before: "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: x}}", after: "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: y}}",
			replaces: []string{"metadata.namespace"}},
		{name: "labels and annotations do not",
			before:  "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: '1'}, annotations: {k: '1'}}}",
			after:   "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: '2'}, annotations: {z/w: '1'}}}",
			changes: []string{`metadata.annotations.k`, `metadata.annotations["z/w"]`, "metadata.labels.x"}},
		{name: "version of a group does not",
			before: object("autoscaling/v1", "HorizontalPodAutoscaler", "spec: {maxReplicas: 1}"), after: object("autoscaling/v2", "HorizontalPodAutoscaler", "spec: {maxReplicas: 1}"),
			changes: []string{"apiVersion"}},
		{name: "Deployment selector",
			before:   object("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}, "+template+"}"),
			after:    object("apps/v1", "Deployment", "spec: {selector: {matchLabels: {c: d}}, "+template+"}"),
			replaces: []string{"spec.selector.matchLabels.a", "spec.selector.matchLabels.c"}},
		{name: "Deployment image does not",
			before:  object("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}, "+template+"}"),
			after:   object("apps/v1", "Deployment", "spec: {selector: {matchLabels: {a: b}}, "+strings.ReplaceAll(template, "image: x", "image: y")+"}"),
			changes: []string{"spec.template.spec.containers[0].image"}},
		{name: "ReplicaSet selector",
			before:   object("apps/v1", "ReplicaSet", "spec: {selector: {matchLabels: {a: b}}, "+template+"}"),
			after:    object("apps/v1", "ReplicaSet", "spec: {selector: {matchLabels: {a: b, c: d}}, "+template+"}"),
			replaces: []string{"spec.selector.matchLabels.c"}},
		{name: "StatefulSet claims",
			before:   object("apps/v1", "StatefulSet", "spec: {serviceName: s, selector: {matchLabels: {a: b}}, "+template+", volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 1Gi}}}}]}"),
			after:    object("apps/v1", "StatefulSet", "spec: {serviceName: s, selector: {matchLabels: {a: b}}, "+template+", volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 2Gi}}}}]}"),
			replaces: []string{"spec.volumeClaimTemplates[0].spec.resources.requests.storage"}},
		{name: "StatefulSet claims, spelled otherwise, do not",
			before: object("apps/v1", "StatefulSet", "spec: {serviceName: s, selector: {matchLabels: {a: b}}, "+template+", volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 1Gi}}}}]}"),
			after:  object("apps/v1", "StatefulSet", "spec: {serviceName: s, selector: {matchLabels: {a: b}}, "+template+", volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 1024Mi}}}}]}")},
		{name: "StatefulSet replicas do not",
			before:  object("apps/v1", "StatefulSet", "spec: {replicas: 1, serviceName: s, selector: {matchLabels: {a: b}}, "+template+"}"),
			after:   object("apps/v1", "StatefulSet", "spec: {replicas: 2, serviceName: s, selector: {matchLabels: {a: b}}, "+template+"}"),
			changes: []string{"spec.replicas"}},
		{name: "StatefulSet pod management",
			before:   object("apps/v1", "StatefulSet", "spec: {serviceName: s, selector: {matchLabels: {a: b}}, "+template+"}"),
			after:    object("apps/v1", "StatefulSet", "spec: {podManagementPolicy: Parallel, serviceName: s, selector: {matchLabels: {a: b}}, "+template+"}"),
			replaces: []string{"spec.podManagementPolicy"}},
		{name: "Job template",
			before: object("batch/v1", "Job", "spec: {template: {spec: {containers: [{name: a, image: x}]}}}"), after: object("batch/v1", "Job", "spec: {template: {spec: {containers: [{name: a, image: y}]}}}"),
			replaces: []string{"spec.template.spec.containers[0].image"}},
		{name: "Job backoff limit does not",
			before: object("batch/v1", "Job", "spec: {backoffLimit: 1, template: {spec: {}}}"), after: object("batch/v1", "Job", "spec: {backoffLimit: 2, template: {spec: {}}}"),
			changes: []string{"spec.backoffLimit"}},
		{name: "Job completions",
			before: object("batch/v1", "Job", "spec: {completions: 1, template: {spec: {}}}"), after: object("batch/v1", "Job", "spec: {completions: 2, template: {spec: {}}}"),
			replaces: []string{"spec.completions"}},
		{name: "CronJob template does not",
			before: object("batch/v1", "CronJob", "spec: {schedule: a, jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: x}]}}}}}"), after: object("batch/v1", "CronJob", "spec: {schedule: a, jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: y}]}}}}}"),
			changes: []string{"spec.jobTemplate.spec.template.spec.containers[0].image"}},
		{name: "claim growth does not",
			before: object("v1", "PersistentVolumeClaim", "spec: {resources: {requests: {storage: 1Gi}}}"), after: object("v1", "PersistentVolumeClaim", "spec: {resources: {requests: {storage: 2Gi}}}"),
			changes: []string{"spec.resources.requests.storage"}},
		{name: "claim access modes",
			before: object("v1", "PersistentVolumeClaim", "spec: {accessModes: [ReadWriteOnce]}"), after: object("v1", "PersistentVolumeClaim", "spec: {accessModes: [ReadWriteMany]}"),
			replaces: []string{"spec.accessModes[0]"}},
		{name: "volume source",
			before: object("v1", "PersistentVolume", "spec: {hostPath: {path: /a}}"), after: object("v1", "PersistentVolume", "spec: {hostPath: {path: /b}}"),
			replaces: []string{"spec.hostPath.path"}},
		{name: "headless Service to an address",
			before: object("v1", "Service", "spec: {clusterIP: None}"), after: object("v1", "Service", "spec: {ports: [{port: 1}]}"),
			replaces: []string{"spec.clusterIP"}},
		{name: "Service ports do not",
			before: object("v1", "Service", "spec: {ports: [{port: 80}]}"), after: object("v1", "Service", "spec: {ports: [{port: 81}, {port: 82}]}"),
			changes: []string{"spec.ports[0].port", "spec.ports[1]"}},
		{name: "ConfigMap data by default",
			before: object("v1", "ConfigMap", "data: {a: '1'}"), after: object("v1", "ConfigMap", "data: {a: '2'}"), replaces: []string{"data.a"}},
		{name: "ConfigMap data where mutable", args: map[string]string{"enableConfigMapMutable": "true"},
			before: object("v1", "ConfigMap", "data: {a: '1'}"), after: object("v1", "ConfigMap", "data: {a: '2'}"), changes: []string{"data.a"}},
		{name: "ConfigMap data where mutable but marked", args: map[string]string{"enableConfigMapMutable": "true"},
			before: object("v1", "ConfigMap", "immutable: true, data: {a: '1'}"), after: object("v1", "ConfigMap", "immutable: true, data: {a: '2'}"), replaces: []string{"data.a"}},
		{name: "Secret data by default",
			before: object("v1", "Secret", "stringData: {a: '1'}"), after: object("v1", "Secret", "stringData: {a: '2'}"), replaces: []string{"stringData.a"}},
		{name: "Secret data where mutable", args: map[string]string{"enableSecretMutable": "true"},
			before: object("v1", "Secret", "data: {a: MQ==}"), after: object("v1", "Secret", "data: {a: Mg==}"), changes: []string{"data.a"}},
		{name: "Secret type always", args: map[string]string{"enableSecretMutable": "true"},
			before: object("v1", "Secret", "type: a"), after: object("v1", "Secret", "type: b"), replaces: []string{"type"}},
		{name: "role of a binding",
			before: object("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {name: a}"), after: object("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {name: b}"),
			replaces: []string{"roleRef.name"}},
		{name: "subjects of a binding do not",
			before: object("rbac.authorization.k8s.io/v1", "RoleBinding", "subjects: [{name: a}]"), after: object("rbac.authorization.k8s.io/v1", "RoleBinding", "subjects: [{name: b}]"),
			changes: []string{"subjects[0].name"}},
		{name: "storage class",
			before: "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: it}, parameters: {a: b}}", after: "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: it}, parameters: {a: c}}",
			replaces: []string{"parameters.a"}},
		{name: "Pod volumes",
			before: object("v1", "Pod", "spec: {volumes: [{name: a}]}"), after: object("v1", "Pod", "spec: {volumes: [{name: b}]}"), replaces: []string{"spec.volumes[0].name"}},
		{name: "Pod environment of one container",
			before:   object("v1", "Pod", "spec: {containers: [{name: a}, {name: b, env: [{name: x, value: '1'}]}]}"),
			after:    object("v1", "Pod", "spec: {containers: [{name: a}, {name: b, env: [{name: x, value: '2'}]}]}"),
			replaces: []string{"spec.containers[1].env[0].value"}},
		{name: "Pod tolerations do not",
			before: object("v1", "Pod", "spec: {containers: []}"), after: object("v1", "Pod", "spec: {containers: [], tolerations: [{operator: Exists}]}"),
			changes: []string{"spec.tolerations"}},
		{name: "the whole spec of a Pod",
			before: object("v1", "Pod", "spec: {nodeName: a}"), after: "{apiVersion: v1, kind: Pod, metadata: {name: it, namespace: ns}}", replaces: []string{"spec"}},
		{name: "objects of other kinds do not",
			before: object("example.org/v1", "Thing", "spec: {selector: {a: b}, size: 1}"), after: object("example.org/v1", "Thing", "spec: {selector: {a: c}, size: 2}"),
			changes: []string{"spec.selector.a", "spec.size"}},
		{name: "status and what only the server writes are no change",
			before: object("v1", "ConfigMap", "status: {a: 1}"), after: "{apiVersion: v1, kind: ConfigMap, metadata: {name: it, namespace: ns, uid: x, resourceVersion: '5'}}"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := diffOf(t, c.args, c.before, c.after)
			var changes []string
			for path := range d.DetailedDiff {
				changes = append(changes, path)
			}
			slices.Sort(changes)
			if !slices.Equal(d.Replaces, c.replaces) {
				t.Errorf("replaces %v, want %v", d.Replaces, c.replaces)
			}
			if c.replaces == nil && !slices.Equal(changes, c.changes) {
				t.Errorf("changes %v, want %v", changes, c.changes)
			}
			if some := d.Changes == pulumirpc.DiffResponse_DIFF_SOME; some != (len(changes) > 0) {
				t.Errorf("changes %v but %v", changes, d.Changes)
			}
			if moved := slices.Contains(c.replaces, "metadata.name") || slices.Contains(c.replaces, "metadata.namespace"); d.DeleteBeforeReplace != (len(c.replaces) > 0 && !moved) {
				t.Errorf("deleteBeforeReplace %v", d.DeleteBeforeReplace)
			}
		})
	}
}

func TestDiffKinds(t *testing.T) {
	d := diffOf(t, nil,
		"{apiVersion: example.org/v1, kind: Thing, metadata: {name: it, namespace: ns}, spec: {gone: 1, kept: 1, changed: 1}}",
		"{apiVersion: example.org/v1, kind: Thing, metadata: {name: it, namespace: ns}, spec: {kept: 1.0, changed: 2, new: 1}}")
	want := map[string]pulumirpc.PropertyDiff_Kind{
		"spec.gone": pulumirpc.PropertyDiff_DELETE, "spec.changed": pulumirpc.PropertyDiff_UPDATE, "spec.new": pulumirpc.PropertyDiff_ADD,
	}
	if len(d.DetailedDiff) != len(want) {
		t.Errorf("diff %v", d.DetailedDiff)
	}
	for path, kind := range want {
		if entry := d.DetailedDiff[path]; entry == nil || entry.Kind != kind || !entry.InputDiff {
			t.Errorf("%s: %v", path, entry)
		}
	}
}

func TestAnUnknownValueIsAChange(t *testing.T) {
	g := newProgram(t, nil, map[string]string{"kubeconfig": kubeconfigFor("https://127.0.0.1:1", "x")})
	text := "{apiVersion: apps/v1, kind: Deployment, metadata: {name: it, namespace: ns}, spec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}"
	old := parse(t, text)
	urn := urnFor(old, "it", false)
	checked := g.check(urn, nil, props(old))
	state := checkpoint{inputs: toObject(decode(t, checked.Inputs)), live: toObject(decode(t, checked.Inputs))}
	m := &managed{urn: urn, id: "ns/it", inputs: checked.Inputs, outputs: encode(t, state.outputs(nil))}
	news := props(old)
	news["spec"].ObjectValue()["replicas"] = resource.MakeComputed(resource.NewStringProperty(""))
	if d := g.diff(m, news); len(d.DetailedDiff) != 1 || d.DetailedDiff["spec.replicas"] == nil || len(d.Replaces) > 0 {
		t.Errorf("diff %v", d)
	}
	news = props(old)
	news["spec"].ObjectValue()["selector"] = resource.MakeComputed(resource.NewStringProperty(""))
	if d := g.diff(m, news); !slices.Equal(d.Replaces, []string{"spec.selector"}) {
		t.Errorf("diff %v", d)
	}
}

func TestIgnoreChangesInDiff(t *testing.T) {
	g := newProgram(t, nil, map[string]string{"kubeconfig": kubeconfigFor("https://127.0.0.1:1", "x")})
	text := "{apiVersion: example.org/v1, kind: Thing, metadata: {name: it, namespace: ns}, spec: {a: [{b: 1, c: 1}], d: 1}}"
	old := parse(t, text)
	urn := urnFor(old, "it", false)
	checked := g.check(urn, nil, props(old))
	state := checkpoint{inputs: toObject(decode(t, checked.Inputs)), live: toObject(decode(t, checked.Inputs))}
	m := &managed{urn: urn, id: "ns/it", inputs: checked.Inputs, outputs: encode(t, state.outputs(nil))}
	g.ignoring = []string{"spec.a[*].b"}
	d := g.diff(m, props(parse(t, "{apiVersion: example.org/v1, kind: Thing, metadata: {name: it, namespace: ns}, spec: {a: [{b: 2, c: 2}], d: 1}}")))
	if len(d.DetailedDiff) != 1 || d.DetailedDiff["spec.a[0].c"] == nil {
		t.Errorf("diff %v", d)
	}
}

// A no-op preview must not be slow because of the plugin.
func TestAHundredDiffsAreQuick(t *testing.T) {
	g := newProgram(t, nil, map[string]string{"kubeconfig": kubeconfigFor("https://127.0.0.1:1", "x")})
	text := deploymentYAML("ns", "web", 3, "x")
	old := parse(t, text)
	begin := time.Now()
	for i := range 100 {
		urn := urnFor(old, fmt.Sprint("web-", i), false)
		checked := g.check(urn, nil, props(old))
		state := checkpoint{inputs: toObject(decode(t, checked.Inputs)), live: toObject(decode(t, checked.Inputs))}
		m := &managed{urn: urn, id: "ns/web", inputs: checked.Inputs, outputs: encode(t, state.outputs(nil))}
		if d := g.diff(m, props(parse(t, text))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
			t.Fatal(d)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("100 diffs took %s without any cluster", took)
	}
}

func TestDiffConfig(t *testing.T) {
	config := func(server string) string { return kubeconfigFor(server, "t") }
	moved := strings.ReplaceAll(config("https://a"), "name: test, user: {token", "name: test, user: {username: me, token")
	unknownValue := resource.MakeComputed(resource.NewStringProperty(""))
	text := resource.NewStringProperty
	cases := []struct {
		name       string
		olds, news resource.PropertyMap
		replaces   []string
	}{
		{"another server", resource.PropertyMap{"kubeconfig": text(config("https://a"))}, resource.PropertyMap{"kubeconfig": text(config("https://b"))}, []string{"kubeconfig"}},
		{"other credentials", resource.PropertyMap{"kubeconfig": text(config("https://a"))}, resource.PropertyMap{"kubeconfig": text(moved)}, nil},
		{"not known yet", resource.PropertyMap{"kubeconfig": text(config("https://a"))}, resource.PropertyMap{"kubeconfig": unknownValue}, []string{"kubeconfig"}},
		{"same identifier, another server", resource.PropertyMap{"kubeconfig": text(config("https://a")), "clusterIdentifier": text("1")}, resource.PropertyMap{"kubeconfig": text(config("https://b")), "clusterIdentifier": text("1")}, nil},
		{"same identifier, not known yet", resource.PropertyMap{"kubeconfig": text(config("https://a")), "clusterIdentifier": text("1")}, resource.PropertyMap{"kubeconfig": unknownValue, "clusterIdentifier": text("1")}, nil},
		{"another identifier", resource.PropertyMap{"kubeconfig": text(config("https://a")), "clusterIdentifier": text("1")}, resource.PropertyMap{"kubeconfig": text(config("https://a")), "clusterIdentifier": text("2")}, []string{"clusterIdentifier"}},
		{"an identifier for the first time", resource.PropertyMap{"kubeconfig": text(config("https://a"))}, resource.PropertyMap{"kubeconfig": text(config("https://a")), "clusterIdentifier": text("1")}, nil},
		{"a namespace", resource.PropertyMap{"namespace": text("a")}, resource.PropertyMap{"namespace": text("b")}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, err := newProvider().DiffConfig(t.Context(), &pulumirpc.DiffRequest{Olds: encode(t, c.olds), News: encode(t, c.news)})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(d.Replaces, c.replaces) || d.Changes != pulumirpc.DiffResponse_DIFF_SOME {
				t.Errorf("replaces %v, want %v (%v)", d.Replaces, c.replaces, d.Changes)
			}
		})
	}
}

func TestCheckConfigRefusesWhatItLacks(t *testing.T) {
	text := resource.NewStringProperty
	for key, value := range map[string]string{
		"renderYamlToDirectory": "out", "enableServerSideApply": "false", "kubeClientSettings": `{"qps":"many"}`,
	} {
		response, err := newProvider().CheckConfig(t.Context(), &pulumirpc.CheckRequest{
			Urn: "urn:pulumi:l::t::pulumi:providers:kubernetes::c", News: encode(t, resource.PropertyMap{resource.PropertyKey(key): text(value)}),
		})
		if err != nil || len(response.Failures) != 1 || response.Failures[0].Property != key {
			t.Errorf("%s=%s: %v %v", key, value, response, err)
		}
	}
	response, err := newProvider().CheckConfig(t.Context(), &pulumirpc.CheckRequest{
		Urn:  "urn:pulumi:l::t::pulumi:providers:kubernetes::default_4_34_2",
		News: encode(t, resource.PropertyMap{"strictMode": text("true")}),
	})
	if err != nil || len(response.Failures) != 3 {
		t.Errorf("strict mode: %v %v", response, err)
	}
}

func TestKubeconfigForms(t *testing.T) {
	yamlText := kubeconfigFor("https://a", "very-secret-token")
	path := t.TempDir() + "/config"
	writeFile(t, path, yamlText)
	for name, value := range map[string]string{
		"YAML": yamlText, "path": path,
		"JSON": `{"apiVersion":"v1","kind":"Config","clusters":[{"name":"x","cluster":{"server":"https://a"}}]}`,
	} {
		if config, err := parseKubeconfig(value); err != nil || len(config.Clusters) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, value := range map[string]string{"a missing file": "/no/such/file", "no kubeconfig": "a: [very-secret-token", "empty": "{}"} {
		if _, err := parseKubeconfig(value); err == nil || strings.Contains(err.Error(), "very-secret-token") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckRefusesBadObjects(t *testing.T) {
	cases := []struct{ name, text, property, says string }{
		{"no kind", "{apiVersion: v1, metadata: {name: a}}", "kind", "expected a string"},
		{"no apiVersion", "{kind: ConfigMap}", "apiVersion", "expected a string"},
		{"metadata is a list", "{apiVersion: v1, kind: ConfigMap, metadata: []}", "metadata", "expected an object"},
		{"bad name", "{apiVersion: v1, kind: ConfigMap, metadata: {name: Not_Good}}", "metadata.name", `"Not_Good"`},
		{"bad Service name", "{apiVersion: v1, kind: Service, metadata: {name: 1st}}", "metadata.name", "1st"},
		{"bad namespace", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: a.b}}", "metadata.namespace", "a.b"},
		{"number as label", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: 1}}}", `metadata.labels["x"]`, "the number 1"},
		{"boolean as annotation", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {x: true}}}", `metadata.annotations["x"]`, "the boolean true"},
		{"number as data", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: 1}}", `data["x"]`, "quote it"},
		{"Secret data in the clear", "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {x: 'hello world'}}", `data["x"]`, "stringData"},
		{"selector", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}}}}", `spec.selector.matchLabels["a"]`, "template.metadata.labels"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := parse(t, c.text)
			failures := checkObject("urn:pulumi:l::t::kubernetes:x/v1:Y::z", o)
			if len(failures) != 1 || failures[0].Property != c.property || !strings.Contains(failures[0].Reason, c.says) {
				t.Errorf("%v", failures)
			}
		})
	}
	for _, fine := range []string{
		"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: 'system:node'}}",
		"{apiVersion: v1, kind: ConfigMap}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b, c: d}}}}}",
	} {
		if failures := checkObject("urn:pulumi:l::t::kubernetes:x/v1:Y::z", parse(t, fine)); len(failures) > 0 {
			t.Errorf("%s: %v", fine, failures)
		}
	}
}

func TestNaming(t *testing.T) {
	bare := func() *unstructured.Unstructured { return parse(t, "{apiVersion: v1, kind: ConfigMap}") }
	urn := resource.URN("urn:pulumi:l::t::kubernetes:core/v1:ConfigMap::web")
	one, two := bare(), bare()
	for _, o := range []*unstructured.Unstructured{one, two} {
		if err := assignName(o, nil, urn, []byte("seed"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if one.GetName() != two.GetName() || !strings.HasPrefix(one.GetName(), "web-") || len(one.GetName()) != 12 {
		t.Errorf("names %q and %q of one seed", one.GetName(), two.GetName())
	}
	next := bare()
	if err := assignName(next, one, urn, []byte("other"), nil); err != nil || next.GetName() != one.GetName() {
		t.Errorf("the old name %q was not kept: %q %v", one.GetName(), next.GetName(), err)
	}
	named := parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: mine}}")
	if err := assignName(named, one, urn, nil, nil); err != nil || named.GetName() != "mine" || isAnnotated(named, annotationAutonamed) {
		t.Errorf("%v %v", named, err)
	}
	if err := assignName(bare(), nil, urn, nil, &pulumirpc.CheckRequest_AutonamingOptions{Mode: pulumirpc.CheckRequest_AutonamingOptions_DISABLE}); err == nil {
		t.Error("autonaming that is off was ignored")
	}
	proposed := bare()
	if err := assignName(proposed, nil, urn, nil, &pulumirpc.CheckRequest_AutonamingOptions{
		Mode: pulumirpc.CheckRequest_AutonamingOptions_PROPOSE, ProposedName: "told",
	}); err != nil || proposed.GetName() != "told" {
		t.Errorf("%q %v", proposed.GetName(), err)
	}
	if err := assignName(parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a-}}"), nil, urn, nil, nil); err == nil {
		t.Error("generateName was accepted")
	}
	managers := map[string]bool{}
	for _, u := range []resource.URN{"urn:pulumi:a::t::k:x:Y::z", "urn:pulumi:b::t::k:x:Y::z"} {
		m := fieldManagerFor(u, bare(), "")
		if m != fieldManagerFor(u, bare(), "") || len(m) != len("pulumi-kubernetes-12345678") {
			t.Errorf("field manager %q", m)
		}
		managers[m] = true
	}
	if len(managers) != 2 {
		t.Error("two resources share a field manager")
	}
	if fieldManagerFor("u", bare(), "before") != "before" {
		t.Error("the remembered field manager is forgotten")
	}
	chosen := parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {annotations: {pulumi.com/patchFieldManager: me}}}")
	if fieldManagerFor("u", chosen, "before") != "me" {
		t.Error("the chosen field manager is ignored")
	}
}

func TestIDs(t *testing.T) {
	for id, want := range map[string][2]string{"a": {"", "a"}, "n/a": {"n", "a"}} {
		if ns, name, err := splitID(id); err != nil || ns != want[0] || name != want[1] {
			t.Errorf("%s: %q %q %v", id, ns, name, err)
		}
	}
	for _, id := range []string{"", "/", "a/", "/a", "a/b/c"} {
		if _, _, err := splitID(id); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

func conflict(text string) error {
	return apierrors.NewApplyConflict([]metav1.StatusCause{{Type: metav1.CauseTypeFieldManagerConflict, Message: text, Field: ".spec.replicas"}}, text)
}

func TestConflictWording(t *testing.T) {
	err := conflict(`Apply failed with 1 conflict: conflict with "hpa" using apps/v1: .spec.replicas`)
	text := conflictError("pulumi-kubernetes-1", err).Error()
	for _, part := range []string{"Server-Side Apply field conflict detected. See https://www.pulumi.com/", "for troubleshooting help",
		`The resource managed by field manager "pulumi-kubernetes-1" had an apply conflict:`, `conflict with "hpa" using apps/v1: .spec.replicas`} {
		if !strings.Contains(text, part) {
			t.Errorf("lacks %q: %s", part, text)
		}
	}
	if !apierrors.IsConflict(errors.Unwrap(conflictError("m", err))) {
		t.Error("the cause is lost")
	}
	for text, want := range map[string]bool{
		`Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.a`:                                            true,
		`Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a`:                                      true,
		"Apply failed with 2 conflicts: conflicts with \"kubectl\" using v1:\n- .data.a\nconflicts with \"argo\" using v1:\n- .b": false,
		`Apply failed with 1 conflict: conflict with "hpa" using apps/v1: .spec.replicas`:                                         false,
		"no managers at all": false,
	} {
		if yields(conflict(text), "") != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
	if text := `Apply failed with 1 conflict: conflict with "pulumi-kubernetes-2" using v1: .a`; !yields(conflict(text), "pulumi-kubernetes-2") {
		t.Error("the resource's own former manager is in its way")
	}
}

func TestWhichErrorsAreOnTheirWay(t *testing.T) {
	pod := schema.GroupResource{Resource: "pods"}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "x"), true},
		{apierrors.NewForbidden(pod, "x", errors.New(`error looking up service account ns/default: serviceaccount "default" not found`)), true},
		{apierrors.NewForbidden(pod, "x", errors.New("exceeded quota")), false},
		{apierrors.NewServiceUnavailable("starting"), true},
		{apierrors.NewTooManyRequests("slow down", 1), true},
		{apierrors.NewInternalError(errors.New("failed calling webhook \"x\": connection refused")), true},
		{apierrors.NewInternalError(errors.New("broken")), false},
		{apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "x", nil), false},
		{apierrors.NewBadRequest("no"), false},
	} {
		if onItsWay(c.err) != c.want {
			t.Errorf("%v: want %v", c.err, c.want)
		}
	}
}

func TestObserved(t *testing.T) {
	inputs := parse(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {x: "1"}}, spec: {replicas: 2, template: {spec: {containers: [{name: app, image: i, resources: {limits: {memory: 1024Mi}}}]}}}}`)
	before := parse(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {x: "1"}}, spec: {replicas: 2, paused: false, template: {spec: {containers: [{name: app, image: i, imagePullPolicy: Always, resources: {limits: {memory: 1Gi}}}]}}}}`)
	same := observed(inputs, before, before)
	if len(compareObjects(inputs, same)) > 0 || lookupString(same, "kind") != "Deployment" {
		t.Errorf("nothing changed, yet %v", same)
	}
	limits, _ := json.Marshal(same.Object)
	if !strings.Contains(string(limits), "1024Mi") {
		t.Error("the program's spelling is lost")
	}
	now := parse(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {y: "1"}}, spec: {replicas: 5, paused: true, template: {spec: {containers: [{name: app, image: i, resources: {limits: {memory: 1Gi}}}]}}}}`)
	drifted := observed(inputs, before, now)
	var paths []string
	for _, c := range compareObjects(inputs, drifted) {
		paths = append(paths, c.path.String())
	}
	slices.Sort(paths)
	if !slices.Equal(paths, []string{"metadata.labels.x", "spec.replicas"}) {
		t.Errorf("drift %v", paths)
	}
	// Without a memory of what was live, only a difference in meaning counts.
	if changes := compareObjects(inputs, observed(inputs, &unstructured.Unstructured{Object: map[string]any{}}, before)); len(changes) > 0 {
		t.Errorf("changes %v", changes)
	}
}

func TestRedactor(t *testing.T) {
	r := &redactor{}
	in := props(parse(t, `{kind: Secret, data: {a: U3VwZXItc2VjcmV0}, stringData: {b: Other-Secret1, c: abc}}`))
	in["x"] = resource.MakeSecret(resource.NewObjectProperty(props(parse(t, `{deep: [very-Deep]}`))))
	r.learn(in)
	got := r.hide("Super-secret U3VwZXItc2VjcmV0 Other-Secret1 very-Deep abc plain")
	if got != "[secret] [secret] [secret] [secret] abc plain" {
		t.Errorf("%q", got)
	}
	words := &redactor{}
	words.learn(props(parse(t, `{kind: Secret, stringData: {user: mlflow, host: postgres.platform, password: hunter2, long: correct-horse-battery}}`)))
	if got := words.hide("mlflow at postgres.platform with hunter2, correct-horse-battery"); got != "mlflow at postgres.platform with [secret], [secret]" {
		t.Errorf("%q", got)
	}
}

func TestOwnersDecideWhatIsIgnored(t *testing.T) {
	live := parse(t, `
apiVersion: example.org/v1
kind: App
metadata:
  name: a
  managedFields:
  - {manager: ours, operation: Apply, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:own": {}, "f:list": {}}}}
  - {manager: promotion, operation: Update, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:source": {"f:parameters": {}}}}}
spec: {own: live, list: [{v: live}], source: {parameters: [promoted]}}
`)
	inputs := parse(t, `{apiVersion: example.org/v1, kind: App, metadata: {name: a}, spec: {own: program, list: [{v: program}], source: {parameters: [first], repo: r}, new: program}}`)
	out, err := withoutIgnored(inputs, live, "ours", []string{"spec.own", "spec.list[*].v", "spec.source.parameters", "spec.new"})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(out.Object["spec"])
	if want := `{"list":[{"v":"live"}],"new":"program","own":"live","source":{"repo":"r"}}`; string(got) != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	if lookupString(inputs, "spec", "own") != "program" {
		t.Error("the inputs themselves were changed")
	}
	if _, err := withoutIgnored(inputs, live, "ours", []string{"spec.[bad"}); err == nil {
		t.Error("a bad path was accepted")
	}
}

func TestUnderscoresOfCRDFields(t *testing.T) {
	in := parse(t, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, spec: {a: {x_kubernetes_preserve_unknown_fields: true, x_kubernetes_other: 1}}}`)
	o := toObject(props(in))
	spec, _ := lookup(o.Object, "spec", "a")
	if text := fmt.Sprint(spec); !strings.Contains(text, "x-kubernetes-preserve-unknown-fields") || !strings.Contains(text, "x_kubernetes_other") {
		t.Errorf("%v", spec)
	}
	back := toOutputs(o.Object)["spec"].ObjectValue()["a"].ObjectValue()
	if _, ok := back["x_kubernetes_preserve_unknown_fields"]; !ok {
		t.Errorf("%v", back)
	}
}

func TestMessagesAreNotRepeated(t *testing.T) {
	said := &recorder{}
	r := &reporter{host: said, secrets: &redactor{}}
	for range 3 {
		r.status("waiting")
		r.statusWarning("pod is ill")
		r.say(warning, "careful")
	}
	r.status("nearly")
	r.status("waiting")
	r.clear()
	r.clear()
	want := []string{"0/true waiting", "1/true pod is ill", "1/false careful", "0/true nearly", "0/true waiting", "0/true "}
	if !slices.Equal(said.lines, want) {
		t.Errorf("said %q", said.lines)
	}
}
