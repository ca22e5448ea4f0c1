package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	namespaces  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secretsGVR  = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// patchAs changes an object the way another writer would.
func patchAs(t *testing.T, g *program, gvr schema.GroupVersionResource, ns, name, manager, body string) {
	t.Helper()
	_, err := g.cluster.dynamic.Resource(gvr).Namespace(ns).Patch(context.Background(), name, types.MergePatchType,
		[]byte(body), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		t.Fatal(err)
	}
}

// kubelet plays the nodes of a namespace: it writes the status of every pod, again and again.
func (g *program) kubelet(ns string, status func(pod *unstructured.Unstructured) string) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Add(1)
	g.t.Cleanup(func() { cancel(); done.Wait() })
	go func() {
		defer done.Done()
		written := map[types.UID]string{}
		for ctx.Err() == nil {
			list, err := g.cluster.dynamic.Resource(pods).Namespace(ns).List(ctx, metav1.ListOptions{})
			if err == nil {
				for i := range list.Items {
					pod := &list.Items[i]
					if pod.GetDeletionTimestamp() != nil {
						zero := int64(0)
						_ = g.cluster.dynamic.Resource(pods).Namespace(ns).Delete(ctx, pod.GetName(),
							metav1.DeleteOptions{GracePeriodSeconds: &zero})
						continue
					}
					if lookupString(pod, "spec", "nodeName") == "" {
						g.bind(ctx, pod)
					}
					body := status(pod)
					if body == "" || written[pod.GetUID()] == body {
						continue
					}
					_, err := g.cluster.dynamic.Resource(pods).Namespace(ns).Patch(ctx, pod.GetName(), types.MergePatchType,
						[]byte(`{"status":`+body+`}`), metav1.PatchOptions{}, "status")
					if err == nil {
						written[pod.GetUID()] = body
					}
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
}

// bind plays the scheduler.
func (g *program) bind(ctx context.Context, pod *unstructured.Unstructured) {
	binding := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Binding", "metadata": map[string]any{"name": pod.GetName()},
		"target": map[string]any{"apiVersion": "v1", "kind": "Node", "name": nodeName},
	}}
	_, _ = g.cluster.dynamic.Resource(pods).Namespace(pod.GetNamespace()).Create(ctx, binding, metav1.CreateOptions{}, "binding")
}

func runningPod(*unstructured.Unstructured) string {
	return `{"phase":"Running","podIP":"10.244.0.5","podIPs":[{"ip":"10.244.0.5"}],"conditions":[
		{"type":"PodScheduled","status":"True"},{"type":"Initialized","status":"True"},
		{"type":"ContainersReady","status":"True"},{"type":"Ready","status":"True","lastTransitionTime":"2024-01-01T00:00:00Z"}],
		"containerStatuses":[{"name":"app","ready":true,"restartCount":0,"image":"x","imageID":"x","state":{"running":{}}}]}`
}

func pullingPod(*unstructured.Unstructured) string {
	return `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True"},{"type":"Initialized","status":"True"},
		{"type":"Ready","status":"False","reason":"ContainersNotReady","message":"containers with unready status: [app]"}],
		"containerStatuses":[{"name":"app","ready":false,"restartCount":0,"image":"x","imageID":"",
		"state":{"waiting":{"reason":"ImagePullBackOff","message":"Back-off pulling image \"no.such/image:1\""}}}]}`
}

func finishedPod(phase string, code int) func(*unstructured.Unstructured) string {
	return func(*unstructured.Unstructured) string {
		return fmt.Sprintf(`{"phase":%q,"conditions":[{"type":"PodScheduled","status":"True"}],"containerStatuses":[
			{"name":"app","ready":false,"restartCount":0,"image":"x","imageID":"x","state":{"terminated":
			{"exitCode":%d,"reason":"Error","message":"disk on fire"}}}]}`, phase, code)
	}
}

func deploymentYAML(ns, name string, replicas int, image string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: %s}
spec:
  replicas: %d
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec:
      containers: [{name: app, image: %q, resources: {requests: {memory: 1024Mi, cpu: "0.5"}}}]
`, name, ns, replicas, name, name, image)
}

func configMapYAML(ns, name, value string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: %s, labels: {part: one}}
data: {key: %q}
`, name, ns, value)
}

func TestLifecycleOfAnObject(t *testing.T) {
	g := newProgram(t, requireCluster(t), map[string]string{"enableConfigMapMutable": "true"})
	ns := g.namespace()
	m := g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	if m.id != ns+"/settings" {
		t.Errorf("id %q", m.id)
	}
	if uid, _ := output(t, m, "metadata", "uid").(string); uid == "" {
		t.Error("the outputs lack metadata.uid")
	}
	if _, ok := lookup(toObject(decode(t, m.outputs)).Object, "metadata", "managedFields"); ok {
		t.Error("the outputs hold managedFields")
	}
	manager, _ := output(t, m, "__fieldManager").(string)
	if !strings.HasPrefix(manager, "pulumi-kubernetes-") {
		t.Errorf("field manager %q", manager)
	}
	if d := g.diff(m, props(parse(t, configMapYAML(ns, "settings", "one")))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("no change gives the diff %v", d)
	}

	changed := props(parse(t, configMapYAML(ns, "settings", "two")))
	d := g.diff(m, changed)
	if len(d.Replaces) > 0 || d.DetailedDiff["data.key"].GetKind() != pulumirpc.PropertyDiff_UPDATE {
		t.Errorf("diff %v", d)
	}
	if err := g.update(m, changed); err != nil {
		t.Fatal(err)
	}
	if live, _ := g.live(configMaps, ns, "settings"); lookupString(live, "data", "key") != "two" {
		t.Errorf("live %v", live.Object["data"])
	}

	// A key dropped from the program goes, one of somebody else stays.
	patchAs(t, g, configMaps, ns, "settings", "operator", `{"data":{"theirs":"yes"}}`)
	if err := g.update(m, props(parse(t, strings.ReplaceAll(configMapYAML(ns, "settings", "two"), "labels: {part: one}", "labels: {}")))); err != nil {
		t.Fatal(err)
	}
	live, _ := g.live(configMaps, ns, "settings")
	if len(live.GetLabels()) > 0 || lookupString(live, "data", "theirs") != "yes" {
		t.Errorf("labels %v data %v", live.GetLabels(), live.Object["data"])
	}

	if err := g.destroy(m); err != nil {
		t.Fatal(err)
	}
	if _, err := g.live(configMaps, ns, "settings"); err == nil {
		t.Error("still there after delete")
	}
	if err := g.destroy(m); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	if there, err := g.refresh(m); there || err != nil {
		t.Errorf("reading what is gone: there %v, error %v", there, err)
	}
}

func TestAutonamedObjectKeepsItsName(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	text := strings.ReplaceAll(configMapYAML(ns, "x", "one"), "name: x, ", "")
	m := g.mustUp("auto", text)
	name, _ := output(t, m, "metadata", "name").(string)
	if len(name) != len("auto-12345678") || !strings.HasPrefix(name, "auto-") {
		t.Fatalf("name %q", name)
	}
	if output(t, m, "metadata", "annotations", annotationAutonamed) != "true" {
		t.Error("the annotation is missing")
	}
	if d := g.diff(m, props(parse(t, text))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("no change gives %v", d)
	}
	// Its data replaces it (the default), and the replacement may exist beside it.
	d := g.diff(m, props(parse(t, strings.ReplaceAll(text, "one", "two"))))
	if !slices.Contains(d.Replaces, "data.key") || d.DeleteBeforeReplace {
		t.Errorf("diff %v", d)
	}
}

func TestConflict(t *testing.T) {
	g := newProgram(t, requireCluster(t), map[string]string{"enableConfigMapMutable": "true"})
	ns := g.namespace()
	m := g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	patchAs(t, g, configMaps, ns, "settings", "other-controller", `{"data":{"key":"theirs"}}`)
	wanted := parse(t, configMapYAML(ns, "settings", "two"))

	err := g.update(m, props(wanted))
	if err == nil {
		t.Fatal("the conflict went unnoticed")
	}
	for _, part := range []string{
		"Server-Side Apply field conflict detected. See https://www.pulumi.com/", "for troubleshooting help",
		"The resource managed by field manager \"pulumi-kubernetes-", "had an apply conflict",
		`conflict with "other-controller" using v1: .data.key`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q:\n%v", part, err)
		}
	}
	if _, err := g.preview(m, props(wanted)); err == nil {
		t.Error("the preview does not show the conflict")
	}
	if live, _ := g.live(configMaps, ns, "settings"); lookupString(live, "data", "key") != "theirs" {
		t.Error("the conflicting value was overwritten")
	}

	setMetadata(wanted, "true", "annotations", annotationPatchForce)
	if err := g.update(m, props(wanted)); err != nil {
		t.Fatalf("with patchForce: %v", err)
	}
	if live, _ := g.live(configMaps, ns, "settings"); lookupString(live, "data", "key") != "two" {
		t.Error("patchForce did not win")
	}
}

func TestKubectlYields(t *testing.T) {
	g := newProgram(t, requireCluster(t), map[string]string{"enableConfigMapMutable": "true"})
	ns := g.namespace()
	m := g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	patchAs(t, g, configMaps, ns, "settings", "kubectl-edit", `{"data":{"key":"edited","extra":"kept"}}`)
	if err := g.update(m, props(parse(t, configMapYAML(ns, "settings", "two")))); err != nil {
		t.Fatal(err)
	}
	live, _ := g.live(configMaps, ns, "settings")
	if lookupString(live, "data", "key") != "two" || lookupString(live, "data", "extra") != "kept" {
		t.Errorf("data %v", live.Object["data"])
	}
}

func TestObjectsOfTheOfficialPluginAreTakenOver(t *testing.T) {
	g := newProgram(t, requireCluster(t), map[string]string{"enableConfigMapMutable": "true"})
	ns := g.namespace()
	m := g.mustUp("mine", configMapYAML(ns, "mine", "one"))
	// The official plugin creates client-side, under another manager.
	if err := g.destroy(m); err != nil {
		t.Fatal(err)
	}
	o := parse(t, strings.ReplaceAll(configMapYAML(ns, "mine", "one"), "data: {key", "data: {old: x, key"))
	if _, err := g.cluster.dynamic.Resource(configMaps).Namespace(ns).Create(context.Background(), o,
		metav1.CreateOptions{FieldManager: "pulumi-kubernetes"}); err != nil {
		t.Fatal(err)
	}
	if err := g.update(m, props(parse(t, configMapYAML(ns, "mine", "two")))); err != nil {
		t.Fatal(err)
	}
	live, _ := g.live(configMaps, ns, "mine")
	if lookupString(live, "data", "key") != "two" || lookupString(live, "data", "old") != "" {
		t.Errorf("data %v", live.Object["data"])
	}
}

func TestAnExistingObjectIsRefusedUnlessOurs(t *testing.T) {
	c := requireCluster(t)
	g := newProgram(t, c, nil)
	ns := g.namespace()
	o := parse(t, configMapYAML(ns, "taken", "theirs"))
	if _, err := c.dynamic.Resource(configMaps).Namespace(ns).Create(context.Background(), o, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := g.up("taken", props(parse(t, configMapYAML(ns, "taken", "ours"))))
	if err == nil || !strings.Contains(err.Error(), "already exists") || !strings.Contains(err.Error(), "upsertExistingObjects") {
		t.Errorf("error %v", err)
	}
	adopting := newProgram(t, c, map[string]string{"upsertExistingObjects": "true"})
	wanted := parse(t, configMapYAML(ns, "taken", "ours"))
	setMetadata(wanted, "true", "annotations", annotationPatchForce)
	if _, err := adopting.up("taken", props(wanted)); err != nil {
		t.Errorf("with upsertExistingObjects: %v", err)
	}
}

// An `up` killed between the request and the state file leaves an object nobody remembers.
func TestAnInterruptedCreateIsFinished(t *testing.T) {
	c := requireCluster(t)
	g := newProgram(t, c, nil)
	ns := g.namespace()
	g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	again := newProgram(t, c, nil)
	m, err := again.up("settings", props(parse(t, configMapYAML(ns, "settings", "two"))))
	if err != nil {
		t.Fatal(err)
	}
	if output(t, m, "data", "key") != "two" {
		t.Errorf("data %v", output(t, m, "data"))
	}
	// Another resource of the same object is no remainder of this one.
	if _, err := again.up("other", props(parse(t, configMapYAML(ns, "settings", "two")))); err == nil {
		t.Error("another resource took the object over")
	}
}

func TestPreviewByDryRun(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	shown, err := g.previewCreate("web", props(parse(t, deploymentYAML(ns, "web", 1, "x"))))
	if err != nil {
		t.Fatal(err)
	}
	o := toObject(shown)
	if lookupString(o, "spec", "strategy", "type") != "RollingUpdate" {
		t.Error("the server's defaults are missing: no dry run was made")
	}
	if _, ok := o.Object["status"]; ok {
		t.Error("a preview has a status")
	}
	if _, err := g.live(deployments, ns, "web"); err == nil {
		t.Error("the preview created the object")
	}
	if _, err := g.previewCreate("web", props(parse(t, deploymentYAML("no-such-namespace", "web", 1, "x")))); err != nil {
		t.Errorf("a namespace yet to come: %v", err)
	}
	if _, err := g.previewCreate("thing", props(parse(t, "{apiVersion: not.yet/v1, kind: Thing, metadata: {name: x}}"))); err != nil {
		t.Errorf("a kind yet to come: %v", err)
	}
	bad := strings.ReplaceAll(deploymentYAML(ns, "web", 1, "x"), "replicas: 1", "replicaz: 1")
	if _, err := g.previewCreate("web", props(parse(t, bad))); err == nil || !strings.Contains(err.Error(), "replicaz") {
		t.Errorf("an unknown field: %v", err)
	}
	withUnknown := props(parse(t, configMapYAML(ns, "later", "x")))
	withUnknown["data"].ObjectValue()["key"] = resource.MakeComputed(resource.NewStringProperty(""))
	shown, err = g.previewCreate("later", withUnknown)
	if err != nil || !shown["data"].ObjectValue()["key"].IsComputed() {
		t.Errorf("an unknown value: %v %v", shown, err)
	}
	m := g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	after, err := g.preview(m, props(parse(t, configMapYAML(ns, "settings", "two"))))
	if err != nil || after["data"].ObjectValue()["key"].StringValue() != "two" {
		t.Errorf("update: %v %v", after, err)
	}
	if live, _ := g.live(configMaps, ns, "settings"); lookupString(live, "data", "key") != "one" {
		t.Error("the preview changed the object")
	}
}

func TestDeploymentBecomesReady(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	start := time.Now()
	var mu sync.Mutex
	g.kubelet(ns, func(pod *unstructured.Unstructured) string {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(start) < 1500*time.Millisecond {
			return ""
		}
		return runningPod(pod)
	})
	m := g.mustUp("web", deploymentYAML(ns, "web", 2, "img:1"))
	if n := lookupInt(toObject(decode(t, m.outputs)), 0, "status", "availableReplicas"); n != 2 {
		t.Errorf("the outputs say %d pods are available", n)
	}
	if !strings.Contains(g.said.text(), "[1/2] Waiting for app ReplicaSet to be available (0/2 Pods available)") {
		t.Errorf("progress:\n%s", g.said.text())
	}
	// What the server spells differently is no change, nor is another spelling of it.
	same := deploymentYAML(ns, "web", 2, "img:1")
	for _, text := range []string{same, strings.ReplaceAll(same, "1024Mi", "1Gi"), strings.ReplaceAll(same, `"0.5"`, "500m")} {
		if d := g.diff(m, props(parse(t, text))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
			t.Errorf("diff %v", d)
		}
	}
	if there, err := g.refresh(m); !there || err != nil {
		t.Fatalf("refresh: %v %v", there, err)
	}
	if d := g.diff(m, props(parse(t, same))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("after refresh: %v", d)
	}
	if err := g.update(m, props(parse(t, deploymentYAML(ns, "web", 2, "img:2")))); err != nil {
		t.Fatalf("rollout: %v\n%s", err, g.said.text())
	}
	if output(t, m, "metadata", "annotations", revision) != "2" {
		t.Errorf("annotations %v", output(t, m, "metadata", "annotations"))
	}
	if err := g.destroy(m); err != nil {
		t.Fatal(err)
	}
	list, err := g.cluster.dynamic.Resource(pods).Namespace(ns).List(context.Background(), metav1.ListOptions{})
	if err != nil || len(list.Items) > 0 {
		t.Errorf("pods left after a foreground delete: %d %v", len(list.Items), err)
	}
}

func TestDeploymentThatFailsSaysWhy(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.kubelet(ns, pullingPod)
	g.timeout = 3
	begin := time.Now()
	m, err := g.up("web", props(parse(t, deploymentYAML(ns, "web", 1, "no.such/image:1"))))
	if err == nil || m == nil || m.id != ns+"/web" {
		t.Fatalf("state %v error %v", m, err)
	}
	if took := time.Since(begin); took < 3*time.Second || took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	reasons := strings.Join(initFailed(err).Reasons, "\n")
	for _, part := range []string{
		"was successfully created, but the Kubernetes API server reported that it failed to fully initialize or become live",
		"'web' timed out waiting to be Ready", "Minimum number of live Pods was not attained",
		"[Pod " + ns + "/web-", `container "app": [ImagePullBackOff] Back-off pulling image "no.such/image:1"`,
	} {
		if !strings.Contains(reasons, part) {
			t.Errorf("lacks %q in:\n%s", part, reasons)
		}
	}
	if output(t, m, "metadata", "uid") == nil {
		t.Error("the state of the created object is lost")
	}
	if _, err := g.refresh(m); err == nil {
		t.Error("a refresh takes it for ready")
	}
}

func TestQuotaIsNamed(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.mustUp("quota", fmt.Sprintf("{apiVersion: v1, kind: ResourceQuota, metadata: {name: small, namespace: %s}, spec: {hard: {pods: '0'}}}", ns))
	g.timeout = 3
	_, err := g.up("web", props(parse(t, deploymentYAML(ns, "web", 1, "x"))))
	if err == nil || !strings.Contains(strings.Join(initFailed(err).Reasons, "\n"), "exceeded quota") {
		t.Errorf("error %v", err)
	}
}

func TestSkipAwaitAndTimeoutAnnotation(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.timeout = 0
	o := parse(t, deploymentYAML(ns, "web", 1, "x"))
	setMetadata(o, "true", "annotations", annotationSkipAwait)
	if _, err := g.up("web", props(o)); err != nil {
		t.Fatal(err)
	}
	o = parse(t, deploymentYAML(ns, "slow", 1, "x"))
	setMetadata(o, "1", "annotations", annotationTimeout)
	begin := time.Now()
	if _, err := g.up("slow", props(o)); err == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("error %v after %s", err, time.Since(begin))
	}
}

func TestCancelEndsAWait(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.timeout = 300
	time.AfterFunc(1500*time.Millisecond, func() { _, _ = g.plugin.Cancel(context.Background(), &emptypb.Empty{}) })
	begin := time.Now()
	m, err := g.up("web", props(parse(t, deploymentYAML(ns, "web", 1, "x"))))
	if err == nil || time.Since(begin) > 30*time.Second || m == nil || m.id == "" {
		t.Fatalf("state %v error %v after %s", m, err, time.Since(begin))
	}
	if !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("error %v", err)
	}
}

func TestStatefulSet(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.kubelet(ns, runningPod)
	text := func(image string) string {
		return fmt.Sprintf(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: %s}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: app, image: %s}]}}
`, ns, image)
	}
	m := g.mustUp("db", text("x:1"))
	if n := lookupInt(toObject(decode(t, m.outputs)), 0, "status", "readyReplicas"); n != 2 {
		t.Errorf("%d ready", n)
	}
	if err := g.update(m, props(parse(t, text("x:2")))); err != nil {
		t.Fatalf("%v\n%s", err, g.said.text())
	}
	if output(t, m, "status", "currentRevision") != output(t, m, "status", "updateRevision") {
		t.Error("not rolled out")
	}
	d := g.diff(m, props(parse(t, strings.ReplaceAll(text("x:2"), "serviceName: db", "serviceName: other"))))
	if !slices.Equal(d.Replaces, []string{"spec.serviceName"}) || !d.DeleteBeforeReplace {
		t.Errorf("diff %v", d)
	}
}

func jobYAML(ns, name string) string {
	return fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: %s, namespace: %s}
spec:
  backoffLimit: 0
  template: {spec: {restartPolicy: Never, containers: [{name: app, image: x}]}}
`, name, ns)
}

func TestJob(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.kubelet(ns, func(pod *unstructured.Unstructured) string {
		if strings.HasPrefix(pod.GetName(), "good") {
			return finishedPod("Succeeded", 0)(pod)
		}
		return finishedPod("Failed", 3)(pod)
	})
	g.mustUp("good", jobYAML(ns, "good"))

	g.timeout = 120
	begin := time.Now()
	m, err := g.up("bad", props(parse(t, jobYAML(ns, "bad"))))
	if err == nil || time.Since(begin) > 30*time.Second {
		t.Fatalf("a failed Job: error %v after %s", err, time.Since(begin))
	}
	reasons := strings.Join(initFailed(err).Reasons, "\n")
	for _, part := range []string{"[BackoffLimitExceeded]", "exit code 3 (Error): disk on fire"} {
		if !strings.Contains(reasons, part) {
			t.Errorf("lacks %q in:\n%s", part, reasons)
		}
	}
	o := parse(t, jobYAML(ns, "bad"))
	setMetadata(o, "true", "annotations", annotationReplaceUnready)
	if d := g.diff(m, props(o)); !slices.Contains(d.Replaces, `metadata.annotations["pulumi.com/replaceUnready"]`) {
		t.Errorf("replaceUnready: %v", d)
	}
}

func TestDaemonSet(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	text := func(name, selector string) string {
		return fmt.Sprintf(`
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: %s, namespace: %s}
spec:
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec: {nodeSelector: %s, tolerations: [{operator: Exists}], containers: [{name: app, image: x}]}
`, name, ns, name, name, selector)
	}
	g.mustUp("nowhere", text("nowhere", "{no: node}"))
	g.timeout = 2
	_, err := g.up("stuck", props(parse(t, text("stuck", "{}"))))
	if err == nil || !strings.Contains(strings.Join(initFailed(err).Reasons, "\n"), "0/1") {
		t.Errorf("error %v", err)
	}
	g.timeout = 20
	g.kubelet(ns, runningPod)
	m := g.mustUp("agent", text("agent", "{}"))
	if n := lookupInt(toObject(decode(t, m.outputs)), 0, "status", "numberAvailable"); n != 1 {
		t.Errorf("%d available", n)
	}
}

func TestPod(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.kubelet(ns, func(pod *unstructured.Unstructured) string {
		if pod.GetName() == "good" {
			return runningPod(pod)
		}
		return finishedPod("Failed", 1)(pod)
	})
	pod := func(name string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: {restartPolicy: Never, containers: [{name: app, image: x}]}}", name, ns)
	}
	m := g.mustUp("good", pod("good"))
	d := g.diff(m, props(parse(t, strings.ReplaceAll(pod("good"), "image: x", "image: y"))))
	if !slices.Equal(d.Replaces, []string{"spec.containers[0].image"}) {
		t.Errorf("diff %v", d)
	}
	begin := time.Now()
	if _, err := g.up("bad", props(parse(t, pod("bad")))); err == nil || time.Since(begin) > 18*time.Second {
		t.Errorf("a failed Pod: error %v after %s", err, time.Since(begin))
	}
}

func TestService(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.kubelet(ns, runningPod)
	g.mustUp("web", deploymentYAML(ns, "web", 1, "x"))
	service := func(name, spec string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: %s}", name, ns, spec)
	}
	begin := time.Now()
	m := g.mustUp("web-svc", service("web", "{selector: {app: web}, ports: [{port: 80}]}"))
	if took := time.Since(begin); took > endpointsSettle {
		t.Errorf("a Service with a ready endpoint took %s", took)
	}
	if ip, _ := output(t, m, "spec", "clusterIP").(string); ip == "" {
		t.Error("no clusterIP in the outputs")
	}
	if d := g.diff(m, props(parse(t, service("web", "{selector: {app: web}, ports: [{port: 80}]}")))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("diff %v", d)
	}
	g.mustUp("headless", service("headless", "{clusterIP: None, selector: {app: none}, ports: [{port: 80}]}"))
	g.mustUp("manual", service("manual", "{ports: [{port: 80}]}"))
	g.mustUp("name", service("name", "{type: ExternalName, externalName: example.org}"))
	g.timeout = 2
	if _, err := g.up("lb", props(parse(t, service("lb", "{type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}")))); err == nil ||
		!strings.Contains(strings.Join(initFailed(err).Reasons, "\n"), "was not allocated an IP address") {
		t.Errorf("load balancer: %v", err)
	}
}

func TestClaims(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	class := func(name, mode string) string {
		return fmt.Sprintf("{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: %s-%s}, provisioner: none, volumeBindingMode: %s}", name, ns, mode)
	}
	claim := func(name, class, size string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: %s, namespace: %s}, spec: {storageClassName: %s-%s, accessModes: [ReadWriteOnce], resources: {requests: {storage: %s}}}}", name, ns, class, ns, size)
	}
	g.mustUp("lazy", class("lazy", "WaitForFirstConsumer"))
	g.mustUp("eager", class("eager", "Immediate"))
	m := g.mustUp("data", claim("data", "lazy", "1Gi"))
	if output(t, m, "status", "phase") != "Pending" {
		t.Error("expected a pending claim")
	}
	if d := g.diff(m, props(parse(t, claim("data", "lazy", "2Gi")))); len(d.Replaces) > 0 {
		t.Errorf("growth replaces: %v", d)
	}
	if d := g.diff(m, props(parse(t, claim("data", "eager", "1Gi")))); !slices.Equal(d.Replaces, []string{"spec.storageClassName"}) {
		t.Errorf("another class: %v", d)
	}
	g.timeout = 2
	if _, err := g.up("never", props(parse(t, claim("never", "eager", "1Gi")))); err == nil ||
		!strings.Contains(strings.Join(initFailed(err).Reasons, "\n"), `status.phase is "Pending", waiting for Bound`) {
		t.Errorf("error %v", err)
	}
	// The kubelet-less cluster has no use for them, but their protection finalizers are served by the controller manager.
	if err := g.destroy(m); err != nil {
		t.Errorf("delete: %v", err)
	}
}

func TestDeletionWaitsForFinalizers(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	o := parse(t, configMapYAML(ns, "held", "x"))
	setMetadata(o, []any{"example.org/hold"}, "finalizers")
	m, err := g.up("held", props(o))
	if err != nil {
		t.Fatal(err)
	}
	g.timeout = 2
	err = g.destroy(m)
	if err == nil || !strings.Contains(err.Error(), "example.org/hold") || !strings.Contains(err.Error(), "timed out") {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(g.said.text(), "Waiting for finalizers of ConfigMap "+ns+"/held: example.org/hold") {
		t.Errorf("progress:\n%s", g.said.text())
	}
	g.timeout = 20
	time.AfterFunc(time.Second, func() {
		patchAs(t, g, configMaps, ns, "held", "other", `{"metadata":{"finalizers":[]}}`)
	})
	begin := time.Now()
	if err := g.destroy(m); err != nil || time.Since(begin) < 900*time.Millisecond {
		t.Errorf("error %v after %s", err, time.Since(begin))
	}
}

func TestNamespaceIsDeletedWithItsContent(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	name := fmt.Sprintf("whole-%d", time.Now().UnixNano())
	m := g.mustUp("whole", fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", name))
	if m.id != name {
		t.Errorf("id %q", m.id)
	}
	g.mustUp("inside", configMapYAML(name, "inside", "x"))
	if err := g.destroy(m); err != nil {
		t.Fatal(err)
	}
	if _, err := g.live(namespaces, "", name); err == nil {
		t.Error("the namespace is still there")
	}
}

func TestPropagationPolicy(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	o := parse(t, deploymentYAML(ns, "web", 1, "x"))
	setMetadata(o, "orphan", "annotations", annotationPropagation)
	setMetadata(o, "true", "annotations", annotationSkipAwait)
	m, err := g.up("web", props(o))
	if err != nil {
		t.Fatal(err)
	}
	sets := func() int {
		list, _ := g.cluster.dynamic.Resource(replicaSets).Namespace(ns).List(context.Background(), metav1.ListOptions{})
		return len(list.Items)
	}
	g.eventually("a ReplicaSet", func() bool { return sets() == 1 })
	if err := g.destroy(m); err != nil {
		t.Fatal(err)
	}
	g.eventually("the Deployment gone", func() bool { _, err := g.live(deployments, ns, "web"); return err != nil })
	if sets() != 1 {
		t.Error("the orphaned ReplicaSet is gone")
	}
}

func TestRefreshShowsDriftInOurFieldsOnly(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	text := deploymentYAML(ns, "web", 0, "x")
	m := g.mustUp("web", text)
	patchAs(t, g, deployments, ns, "web", "someone", `{"metadata":{"labels":{"theirs":"1"}},"spec":{"minReadySeconds":3}}`)
	if _, err := g.refresh(m); err != nil {
		t.Fatal(err)
	}
	if d := g.diff(m, props(parse(t, text))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("fields of others are a diff: %v", d)
	}
	patchAs(t, g, deployments, ns, "web", "someone", `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"theirs","resources":{"requests":{"memory":"1Gi","cpu":"500m"}}}]}}}}`)
	if _, err := g.refresh(m); err != nil {
		t.Fatal(err)
	}
	d := g.diff(m, props(parse(t, text)))
	if len(d.DetailedDiff) != 1 || d.DetailedDiff["spec.template.spec.containers[0].image"] == nil {
		t.Errorf("drift: %v", d)
	}
}

func TestImport(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	o := parse(t, configMapYAML(ns, "found", "x"))
	if _, err := g.cluster.dynamic.Resource(configMaps).Namespace(ns).Create(context.Background(), o,
		metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"}); err != nil {
		t.Fatal(err)
	}
	m := &managed{urn: urnFor(o, "found", false), id: ns + "/found"}
	if there, err := g.refresh(m); !there || err != nil {
		t.Fatalf("%v %v", there, err)
	}
	if d := g.diff(m, props(parse(t, configMapYAML(ns, "found", "x")))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("the imported object differs from the program that describes it: %v", d)
	}
	m.id = ns + "/missing"
	m.inputs, m.outputs = nil, nil
	if there, err := g.refresh(m); there || err != nil {
		t.Errorf("importing what is not there: %v %v", there, err)
	}
	m.id = "a/b/c"
	if _, err := g.refresh(m); err == nil || !strings.Contains(err.Error(), "namespace/name") {
		t.Errorf("a bad id: %v", err)
	}
}

func TestPatchOwnsOnlyItsFields(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	patch := parse(t, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: %s}, data: {more: two}}", ns))
	m, err := g.upURN(urnFor(patch, "extra", true), props(patch))
	if err != nil {
		t.Fatal(err)
	}
	live, _ := g.live(configMaps, ns, "settings")
	if lookupString(live, "data", "key") != "one" || lookupString(live, "data", "more") != "two" {
		t.Errorf("data %v", live.Object["data"])
	}
	clash := parse(t, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: %s}, data: {key: clash}}", ns))
	if _, err := g.upURN(urnFor(clash, "clash", true), props(clash)); err == nil || !strings.Contains(err.Error(), "field conflict detected") {
		t.Errorf("a patch took a field: %v", err)
	}
	if err := g.destroy(m); err != nil {
		t.Fatal(err)
	}
	live, err = g.live(configMaps, ns, "settings")
	if err != nil || lookupString(live, "data", "more") != "" || lookupString(live, "data", "key") != "one" {
		t.Errorf("after the patch is gone: %v %v", live, err)
	}
	// A patch of what is gone must not bring it back.
	if err := g.cluster.dynamic.Resource(configMaps).Namespace(ns).Delete(context.Background(), "settings", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := g.destroy(m); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := g.live(configMaps, ns, "settings"); err == nil {
		t.Error("deleting the patch made the object again")
	}
}

func crdYAML(group, scope string) string {
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.%s}
spec:
  group: %s
  scope: %s
  names: {plural: things, singular: thing, kind: Thing, listKind: ThingList}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, x-kubernetes-preserve-unknown-fields: true}, status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
`, group, group, scope)
}

// The object does not even wait for its definition, as in a program without dependsOn.
func TestDefinitionAndObjectInOneGo(t *testing.T) {
	for _, scope := range []string{"Namespaced", "Cluster"} {
		t.Run(scope, func(t *testing.T) {
			g := newProgram(t, requireCluster(t), nil)
			group := fmt.Sprintf("g%d.example.org", time.Now().UnixNano())
			thing := fmt.Sprintf("{apiVersion: %s/v1, kind: Thing, metadata: {name: one}, spec: {size: 1Gi}}", group)
			var wait sync.WaitGroup
			wait.Add(1)
			var m *managed
			var err error
			go func() {
				defer wait.Done()
				m, err = g.up("one", props(parse(t, thing)))
			}()
			time.Sleep(300 * time.Millisecond)
			crd := g.mustUp("things", crdYAML(group, scope))
			wait.Wait()
			if err != nil {
				t.Fatalf("%v\n%s", err, g.said.text())
			}
			if want := map[string]string{"Namespaced": "default/one", "Cluster": "one"}[scope]; m.id != want {
				t.Errorf("id %q, want %q", m.id, want)
			}
			if d := g.diff(m, props(parse(t, thing))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
				t.Errorf("diff %v", d)
			}
			if d := g.diff(crd, props(parse(t, crdYAML(group, scope)))); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
				t.Errorf("diff of the CRD %v", d)
			}
			if there, err := g.refresh(m); !there || err != nil {
				t.Errorf("refresh %v %v", there, err)
			}
			// Once the definition is there, nothing has to be tried twice.
			later := newProgram(t, requireCluster(t), nil)
			later.mustUp("two", strings.ReplaceAll(thing, "name: one", "name: two"))
			if strings.Contains(later.said.text(), "Retry") {
				t.Errorf("said:\n%s", later.said.text())
			}
			if err := g.destroy(crd); err != nil {
				t.Fatal(err)
			}
			if err := g.destroy(m); err != nil {
				t.Errorf("deleting an object whose definition is gone: %v", err)
			}
		})
	}
}

func TestWaitFor(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	group := fmt.Sprintf("g%d.example.org", time.Now().UnixNano())
	crd := g.mustUp("things", crdYAML(group, "Namespaced"))
	t.Cleanup(func() { _ = g.destroy(crd) })
	ns := g.namespace()
	thing := func(name, wait string) *unstructured.Unstructured {
		o := parse(t, fmt.Sprintf("{apiVersion: %s/v1, kind: Thing, metadata: {name: %s, namespace: %s}, spec: {}}", group, name, ns))
		setMetadata(o, wait, "annotations", annotationWaitFor)
		return o
	}
	things := schema.GroupVersionResource{Group: group, Version: "v1", Resource: "things"}
	time.AfterFunc(1500*time.Millisecond, func() {
		_, _ = g.cluster.dynamic.Resource(things).Namespace(ns).Patch(context.Background(), "one", types.MergePatchType,
			[]byte(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	})
	begin := time.Now()
	m, err := g.up("one", props(thing("one", `["condition=Ready","jsonpath={.status.phase}=Running"]`)))
	if err != nil || time.Since(begin) < time.Second {
		t.Fatalf("error %v after %s", err, time.Since(begin))
	}
	if output(t, m, "status", "phase") != "Running" {
		t.Error("the outputs are older than the condition")
	}
	g.timeout = 1
	_, err = g.up("two", props(thing("two", "condition=Ready")))
	if err == nil || !strings.Contains(strings.Join(initFailed(err).Reasons, "\n"), "waited for condition Ready to be True") {
		t.Errorf("error %v", err)
	}
	if _, err := g.up("three", props(thing("three", "whenever"))); err == nil || !strings.Contains(err.Error(), `"jsonpath=" or "condition="`) {
		t.Errorf("error %v", err)
	}
}

func TestSecretsStaySecret(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	const canary = "c4n4ry-pa55word"
	in := props(parse(t, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: login, namespace: %s}, stringData: {password: %s}}", ns, canary)))
	in["stringData"].ObjectValue()["password"] = resource.MakeSecret(resource.NewStringProperty(canary))
	m, err := g.up("login", in)
	if err != nil {
		t.Fatal(err)
	}
	assertHidden := func(what string, pm resource.PropertyMap) {
		t.Helper()
		text, err := json.Marshal(plain(resource.NewObjectProperty(pm)))
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
			if strings.Contains(string(text), form) {
				t.Errorf("%s hold %s in the clear: %s", what, form, text)
			}
		}
	}
	assertHidden("outputs", decode(t, m.outputs))
	assertHidden("inputs", decode(t, m.inputs))
	if _, err := g.refresh(m); err != nil {
		t.Fatal(err)
	}
	assertHidden("refreshed outputs", decode(t, m.outputs))
	assertHidden("refreshed inputs", decode(t, m.inputs))
	if d := g.diff(m, in); d.Changes != pulumirpc.DiffResponse_DIFF_NONE {
		t.Errorf("diff after refresh %v", d)
	}

	// A secret inside another kind, and one `kubectl apply` copied into an annotation.
	web := props(parse(t, strings.ReplaceAll(deploymentYAML(ns, "web", 0, "x"), "image: ", "env: [{name: P, value: "+canary+"}], image: ")))
	env := web["spec"].ObjectValue()["template"].ObjectValue()["spec"].ObjectValue()["containers"].ArrayValue()[0].ObjectValue()["env"]
	env.ArrayValue()[0].ObjectValue()["value"] = resource.MakeSecret(resource.NewStringProperty(canary))
	if m, err = g.up("web", web); err != nil {
		t.Fatal(err)
	}
	assertHidden("outputs of a Deployment", decode(t, m.outputs))
	patchAs(t, g, secretsGVR, ns, "login", "kubectl-client-side-apply",
		`{"metadata":{"annotations":{"`+lastApplied+`":"{\"stringData\":{\"password\":\"`+canary+`\"}}"}}}`)
	login := &managed{urn: "urn:pulumi:local::test::kubernetes:core/v1:Secret::login", id: ns + "/login"}
	if _, err := g.refresh(login); err != nil {
		t.Fatal(err)
	}
	assertHidden("imported outputs", decode(t, login.outputs))
	assertHidden("imported inputs", decode(t, login.inputs))
	if strings.Contains(g.said.text(), canary) {
		t.Error("a message holds the secret")
	}
	if got := g.plugin.secrets.hide("oops: " + canary); got != "oops: [secret]" {
		t.Errorf("an error would say %q", got)
	}
}

// plain opens everything but secrets.
func plain(v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		return "[secret]"
	case v.IsObject():
		fields := map[string]any{}
		for k, item := range v.ObjectValue() {
			fields[string(k)] = plain(item)
		}
		return fields
	case v.IsArray():
		var items []any
		for _, item := range v.ArrayValue() {
			items = append(items, plain(item))
		}
		return items
	default:
		return v.V
	}
}

// A promotion changes one field of an object the program made, and later updates leave it.
func TestIgnoredChangesOfOthersSurvive(t *testing.T) {
	g := newProgram(t, requireCluster(t), map[string]string{"enableConfigMapMutable": "true"})
	ns := g.namespace()
	text := func(label string) string {
		return strings.ReplaceAll(configMapYAML(ns, "app", "first"), "part: one", "part: "+label)
	}
	g.ignoring = []string{"data"}
	m := g.mustUp("app", text("one"))
	patchAs(t, g, configMaps, ns, "app", "promotion", `{"data":{"key":"promoted"}}`)
	if err := g.update(m, props(parse(t, text("two")))); err != nil {
		t.Fatal(err)
	}
	live, _ := g.live(configMaps, ns, "app")
	if lookupString(live, "data", "key") != "promoted" || live.GetLabels()["part"] != "two" {
		t.Errorf("data %v labels %v", live.Object["data"], live.GetLabels())
	}
	if _, err := g.refresh(m); err != nil {
		t.Fatal(err)
	}
	if err := g.update(m, props(parse(t, text("three")))); err != nil {
		t.Fatal(err)
	}
	if live, _ := g.live(configMaps, ns, "app"); lookupString(live, "data", "key") != "promoted" {
		t.Errorf("data %v", live.Object["data"])
	}
}

func TestUpdateOfAnObjectDeletedOutside(t *testing.T) {
	g := newProgram(t, requireCluster(t), map[string]string{"enableConfigMapMutable": "true"})
	ns := g.namespace()
	m := g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	if err := g.cluster.dynamic.Resource(configMaps).Namespace(ns).Delete(context.Background(), "settings", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := g.update(m, props(parse(t, configMapYAML(ns, "settings", "two")))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(g.said.text(), "was deleted outside of Pulumi") {
		t.Errorf("said:\n%s", g.said.text())
	}
}

func TestImmutableFieldWithoutARule(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	text := configMapYAML(ns, "fixed", "one") + "immutable: true\n"
	m := g.mustUp("fixed", text)
	d := g.diff(m, props(parse(t, strings.ReplaceAll(text, "one}", "two}"))))
	if d.DeleteBeforeReplace != (len(d.Replaces) > 0) {
		t.Errorf("diff %v", d)
	}
	err := g.update(m, props(parse(t, strings.ReplaceAll(text, `"one"`, `"two"`))))
	if err == nil || !strings.Contains(err.Error(), "immutable") || !strings.Contains(err.Error(), "replaceOnChanges") {
		t.Errorf("error %v", err)
	}
}

func TestRejectedCredentialsAreNotAnUnreachableCluster(t *testing.T) {
	c := requireCluster(t)
	g := newProgram(t, c, map[string]string{"kubeconfig": kubeconfigFor(c.server, "wrong"), "deleteUnreachable": "true"})
	m := &managed{urn: "urn:pulumi:local::test::kubernetes:core/v1:ConfigMap::x", id: "default/x",
		outputs: encode(t, props(parse(t, configMapYAML("default", "x", "y"))))}
	if err := g.destroy(m); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("error %v", err)
	}
}

// Without the right to list and watch, looking at the object itself must do.
func TestWaitingWithoutTheRightToWatch(t *testing.T) {
	c := requireCluster(t)
	admin := newProgram(t, c, nil)
	ns := admin.namespace()
	admin.kubelet(ns, runningPod)
	admin.mustUp("role", fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: apply, namespace: %s}, rules: [{apiGroups: [apps], resources: [deployments], verbs: [get, create, patch, delete]}]}", ns))
	admin.mustUp("binding", fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: apply, namespace: %s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: apply}, subjects: [{kind: User, name: limited, apiGroup: rbac.authorization.k8s.io}]}", ns))
	g := newProgram(t, c, map[string]string{"kubeconfig": kubeconfigFor(c.server, limitedToken)})
	m := g.mustUp("web", deploymentYAML(ns, "web", 1, "x"))
	if n := lookupInt(toObject(decode(t, m.outputs)), 0, "status", "availableReplicas"); n != 1 {
		t.Errorf("%d pods available", n)
	}
	_, err := g.up("settings", props(parse(t, configMapYAML(ns, "settings", "x"))))
	if err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("error %v", err)
	}
	if shown, err := g.previewCreate("settings", props(parse(t, configMapYAML(ns, "settings", "x")))); err != nil || shown == nil {
		t.Errorf("a preview without the right to create: %v", err)
	}
}

func TestWarningsOfTheServerAreShown(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	name := fmt.Sprintf("strict-%d", time.Now().UnixNano())
	m := g.mustUp("strict", fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {pod-security.kubernetes.io/warn: restricted}}}", name))
	t.Cleanup(func() { _ = g.destroy(m) })
	g.mustUp("web", deploymentYAML(name, "web", 0, "x"))
	if said := g.said.text(); strings.Count(said, "would violate PodSecurity") != 1 {
		t.Errorf("said:\n%s", said)
	}
}

// The names of a preview's objects need not be free: what is there may be what `up` replaces.
func TestPreviewOfAReplacement(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	g.mustUp("job", strings.ReplaceAll(jobYAML(ns, "job"), "name: job, ", "name: job, annotations: {pulumi.com/skipAwait: 'true'}, "))
	shown, err := g.previewCreate("job", props(parse(t, strings.ReplaceAll(jobYAML(ns, "job"), "image: x", "image: y"))))
	if err != nil || shown == nil {
		t.Errorf("%v", err)
	}
}

// A destroy interrupted half way leaves objects that are going: the next up waits for the way to be free.
func TestCreateWaitsForItsPredecessorToGo(t *testing.T) {
	g := newProgram(t, requireCluster(t), nil)
	ns := g.namespace()
	o := parse(t, configMapYAML(ns, "again", "x"))
	setMetadata(o, []any{"example.org/hold"}, "finalizers")
	m, err := g.up("again", props(o))
	if err != nil {
		t.Fatal(err)
	}
	g.timeout = 1
	_ = g.destroy(m)
	g.timeout = 20
	time.AfterFunc(time.Second, func() {
		patchAs(t, g, configMaps, ns, "again", "other", `{"metadata":{"finalizers":[]}}`)
	})
	first := output(t, m, "metadata", "uid")
	again := g.mustUp("again", configMapYAML(ns, "again", "y"))
	if output(t, again, "metadata", "uid") == first {
		t.Error("the object that was going was taken over")
	}
	if !strings.Contains(g.said.text(), "Waiting for the previous ConfigMap") {
		t.Errorf("said:\n%s", g.said.text())
	}
}

func TestAnotherFieldManagerTakesOver(t *testing.T) {
	g := newProgram(t, requireCluster(t), map[string]string{"enableConfigMapMutable": "true"})
	ns := g.namespace()
	m := g.mustUp("settings", configMapYAML(ns, "settings", "one"))
	before, _ := output(t, m, "__fieldManager").(string)
	o := parse(t, configMapYAML(ns, "settings", "one"))
	setMetadata(o, "chosen", "annotations", annotationPatchManager)
	if err := g.update(m, props(o)); err != nil {
		t.Fatal(err)
	}
	live, _ := g.live(configMaps, ns, "settings")
	if managedBy(live, before) || !managedBy(live, "chosen") || output(t, m, "__fieldManager") != "chosen" {
		t.Errorf("managers %v", live.GetManagedFields())
	}
	// Back to one of its own: the fields must not stay with the chosen one.
	if err := g.update(m, props(parse(t, configMapYAML(ns, "settings", "two")))); err != nil {
		t.Fatal(err)
	}
	if live, _ = g.live(configMaps, ns, "settings"); managedBy(live, "chosen") || lookupString(live, "data", "key") != "two" {
		t.Errorf("managers %v data %v", live.GetManagedFields(), live.Object["data"])
	}
}
