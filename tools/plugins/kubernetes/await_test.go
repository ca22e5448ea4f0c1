package main

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// recorded is one decision over objects as an API server gave them.
type recorded struct {
	name     string
	decide   func(view) outcome
	object   string
	before   string
	related  [][]string
	quiet    time.Duration
	done     bool
	failed   bool
	progress string
	reasons  []string
}

const (
	deploymentHead = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: ns, uid: dep, generation: 2, annotations: {deployment.kubernetes.io/revision: "2"}}
spec: {replicas: 2, selector: {matchLabels: {a: b}}, template: {spec: {volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}}
`
	rolledOut    = `status: {observedGeneration: 2, conditions: [{type: Available, status: "True"}, {type: Progressing, status: "True", reason: NewReplicaSetAvailable}]}`
	rolling      = `status: {observedGeneration: 2, conditions: [{type: Available, status: "True"}, {type: Progressing, status: "True", reason: ReplicaSetUpdated}]}`
	newSet       = `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-2, namespace: ns, uid: rs2, annotations: {deployment.kubernetes.io/revision: "2"}, ownerReferences: [{uid: dep}]}, spec: {replicas: 2}, status: {readyReplicas: 2}}`
	oldSet       = `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-1, namespace: ns, uid: rs1, annotations: {deployment.kubernetes.io/revision: "1"}, ownerReferences: [{uid: dep}]}, spec: {replicas: 0}, status: {readyReplicas: 2}}`
	crashing     = `{apiVersion: v1, kind: Pod, metadata: {name: web-2-x, namespace: ns, ownerReferences: [{uid: rs2}]}, status: {phase: Running, containerStatuses: [{name: app, ready: false, state: {waiting: {reason: CrashLoopBackOff, message: back-off 10s}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}}]}}`
	stranger     = `{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: ns, ownerReferences: [{uid: rs9}]}, status: {phase: Pending, containerStatuses: [{name: app, ready: false, state: {waiting: {reason: ErrImagePull}}}]}}`
	bound        = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: ns}, status: {phase: Bound}}`
	unbound      = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: ns}, status: {phase: Pending}}`
	statefulHead = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: ns, uid: sts, generation: 3}
`
	service = `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: ns}, spec: {clusterIP: 10.0.0.1, selector: {a: b}}}`
	slice   = `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1}, endpoints: [{addresses: [10.1.0.1], conditions: {ready: %s}}]}`
)

func endpoints(ready string) string { return strings.ReplaceAll(slice, "%s", ready) }

func TestDecisions(t *testing.T) {
	with := func(texts ...string) []string { return texts }
	cases := []recorded{
		{name: "Deployment: rolled out", decide: decideDeployment, object: deploymentHead + rolledOut,
			related: [][]string{nil, with(newSet, oldSet), with(bound)}, done: true},
		{name: "Deployment: spec not seen yet", decide: decideDeployment, object: deploymentHead + strings.ReplaceAll(rolledOut, "observedGeneration: 2", "observedGeneration: 1"),
			related: [][]string{nil, with(newSet), with(bound)}, progress: "Waiting for the Deployment controller"},
		{name: "Deployment: only the old ReplicaSet", decide: decideDeployment, object: deploymentHead + rolling,
			related: [][]string{nil, with(oldSet), nil}, progress: "[1/2] Waiting for app ReplicaSet to be available (0/2 Pods available)",
			reasons: with("Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live")},
		{name: "Deployment: old pods still there", decide: decideDeployment, object: deploymentHead + rolling,
			related: [][]string{nil, with(oldSet, newSet), with(bound)}, progress: "[2/2] Waiting for the Deployment to be available (2/2 Pods available)"},
		{name: "Deployment: claim not bound", decide: decideDeployment, object: deploymentHead + rolledOut,
			related: [][]string{nil, with(newSet), with(unbound)}, progress: `[2/2] Waiting for PersistentVolumeClaims to be bound: ["data"]`,
			reasons: with(`Failed to bind PersistentVolumeClaim(s): ["data"]`)},
		{name: "Deployment: pods crash", decide: decideDeployment,
			object:   deploymentHead + strings.ReplaceAll(rolling, `type: Available, status: "True"`, `type: Available, status: "False", reason: MinimumReplicasUnavailable, message: too few`),
			related:  [][]string{with(crashing, stranger), with(strings.ReplaceAll(newSet, "readyReplicas: 2", "readyReplicas: 1")), with(bound)},
			progress: "[1/2] Waiting for app ReplicaSet to be available (1/2 Pods available)",
			reasons: with("[MinimumReplicasUnavailable] too few", "Minimum number of live Pods was not attained",
				`[Pod ns/web-2-x]: container "app": [CrashLoopBackOff] back-off 10s`, `[Pod ns/web-2-x]: container "app" before: terminated with exit code 137 (OOMKilled)`)},
		{name: "Deployment: scaled to none", decide: decideDeployment,
			object:  strings.ReplaceAll(deploymentHead, "replicas: 2", "replicas: 0") + rolledOut,
			related: [][]string{nil, with(strings.ReplaceAll(strings.ReplaceAll(newSet, "spec: {replicas: 2}", "spec: {replicas: 0}"), "readyReplicas: 2", "replicas: 0")), nil}, done: true},
		{name: "Deployment: paused", decide: decideDeployment, object: strings.ReplaceAll(deploymentHead, "replicas: 2", "paused: true, replicas: 2") + rolling,
			related: [][]string{nil, nil, nil}, done: true},
		{name: "Deployment: deadline passed", decide: decideDeployment,
			object:  deploymentHead + `status: {observedGeneration: 2, conditions: [{type: Available, status: "True"}, {type: Progressing, status: "False", reason: ProgressDeadlineExceeded, message: gave up}]}`,
			related: [][]string{nil, with(newSet), nil}, reasons: with("[ProgressDeadlineExceeded] gave up")},

		{name: "StatefulSet: ready", decide: decideStatefulSet, object: statefulHead + `{spec: {replicas: 2}, status: {observedGeneration: 3, replicas: 2, readyReplicas: 2, currentRevision: a, updateRevision: a}}`, done: true},
		{name: "StatefulSet: creating", decide: decideStatefulSet, object: statefulHead + `{spec: {replicas: 2}, status: {observedGeneration: 3, replicas: 1, readyReplicas: 1, currentRevision: a, updateRevision: a}}`,
			progress: "[1/2] Waiting for StatefulSet to create Pods (1/2 Pods ready)", reasons: with("1 out of 2 replicas succeeded readiness checks")},
		{name: "StatefulSet: rolling", decide: decideStatefulSet, before: "{}", object: statefulHead + `{spec: {replicas: 2}, status: {observedGeneration: 3, replicas: 2, readyReplicas: 2, currentRevision: a, updateRevision: b}}`,
			progress: "[2/3] Waiting for StatefulSet to update .status.currentRevision", reasons: with(`StatefulSet controller failed to advance from revision "a" to revision "b"`)},
		{name: "StatefulSet: by hand", decide: decideStatefulSet, before: "{}", object: statefulHead + `{spec: {replicas: 2, updateStrategy: {type: OnDelete}}, status: {observedGeneration: 3, replicas: 2, readyReplicas: 2, currentRevision: a, updateRevision: b}}`, done: true},
		{name: "StatefulSet: partition", decide: decideStatefulSet, before: "{}", object: statefulHead + `{spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}}, status: {observedGeneration: 3, replicas: 3, readyReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, done: true},
		{name: "StatefulSet: spec not seen yet", decide: decideStatefulSet, before: "{}", object: statefulHead + `{spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 2, readyReplicas: 2, currentRevision: a, updateRevision: a}}`,
			progress: "[1/3] Waiting for StatefulSet update to roll out (2/2 Pods ready)"},

		{name: "DaemonSet: not everywhere", decide: decideDaemonSet, object: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1, numberReady: 1}}`, reasons: with("Available: 1/2")},
		{name: "DaemonSet: everywhere", decide: decideDaemonSet, object: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2, numberReady: 2}}`, done: true},
		{name: "DaemonSet: by hand", decide: decideDaemonSet, object: `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: d, generation: 1}, spec: {updateStrategy: {type: OnDelete}}, status: {observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 0, numberReady: 2}}`, done: true},

		{name: "Job: starting", decide: decideJob, object: `{kind: Job, metadata: {name: j, namespace: ns}}`, progress: `Waiting for Job "ns/j" to start`},
		{name: "Job: running", decide: decideJob, object: `{kind: Job, metadata: {name: j, namespace: ns}, status: {startTime: "2024", active: 1, failed: 2}}`, progress: `Waiting for Job "ns/j" to succeed (Active: 1 | Succeeded: 0 | Failed: 2)`},
		{name: "Job: complete", decide: decideJob, object: `{kind: Job, metadata: {name: j}, status: {conditions: [{type: Complete, status: "True"}]}}`, done: true},
		{name: "Job: failed", decide: decideJob, object: `{kind: Job, metadata: {name: j}, status: {conditions: [{type: Failed, status: "True", reason: DeadlineExceeded, message: too long}]}}`, failed: true, reasons: with("[DeadlineExceeded] too long")},
		{name: "Job: suspended", decide: decideJob, object: `{kind: Job, metadata: {name: j}, spec: {suspend: true}}`, done: true},

		{name: "Pod: not scheduled", decide: decidePod, object: `{kind: Pod, metadata: {name: p, namespace: ns}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/3 nodes are available"}]}}`,
			progress: `Waiting for Pod "ns/p" to be scheduled`, reasons: with("[Pod ns/p]: [Unschedulable] 0/3 nodes are available")},
		{name: "Pod: init container fails", decide: decidePod, object: `{kind: Pod, metadata: {name: p, namespace: ns}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "True"}], initContainerStatuses: [{name: init, ready: false, state: {terminated: {exitCode: 2, reason: Error, message: "no such host\n"}}}]}}`,
			progress: `Waiting for Pod "ns/p" to be initialized`, reasons: with(`[Pod ns/p]: container "init": terminated with exit code 2 (Error): no such host`)},
		{name: "Pod: image", decide: decidePod, object: `{kind: Pod, metadata: {name: p, namespace: ns}, status: {phase: Pending, conditions: [{type: PodScheduled, status: "True"}, {type: Initialized, status: "True"}], containerStatuses: [{name: app, ready: false, state: {waiting: {reason: ErrImagePull, message: "rpc error: code = NotFound desc = not found"}}}]}}`,
			progress: `Waiting for Pod "ns/p" to be ready`, reasons: with(`container "app": [ErrImagePull] not found`)},
		{name: "Pod: ready", decide: decidePod, object: `{kind: Pod, metadata: {name: p}, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`, done: true},
		{name: "Pod: done", decide: decidePod, object: `{kind: Pod, metadata: {name: p}, status: {phase: Succeeded}}`, done: true},
		{name: "Pod: failed", decide: decidePod, object: `{kind: Pod, metadata: {name: p, namespace: ns}, status: {phase: Failed, reason: Evicted, message: no disk}}`, failed: true, reasons: with("[Pod ns/p]: failed Evicted no disk")},

		{name: "Service: ready endpoint", decide: decideService, object: service, related: [][]string{with(endpoints("true"))}, done: true},
		{name: "Service: endpoint without conditions", decide: decideService, object: service, related: [][]string{with(strings.ReplaceAll(endpoints("true"), "ready: true", ""))}, done: true},
		{name: "Service: endpoint not ready", decide: decideService, object: service, related: [][]string{with(endpoints("false"))}, quiet: time.Hour,
			progress: "[1/3] Finding Pods to direct traffic to", reasons: with("Service does not target any Pods")},
		{name: "Service: none yet", decide: decideService, object: service, related: [][]string{nil}, quiet: time.Second, reasons: with("Service does not target any Pods")},
		{name: "Service: none, settled", decide: decideService, object: service, related: [][]string{nil}, quiet: endpointsSettle, done: true},
		{name: "Service: headless", decide: decideService, object: strings.ReplaceAll(service, "10.0.0.1", "None"), related: [][]string{nil}, done: true},
		{name: "Service: load balancer", decide: decideService, object: strings.ReplaceAll(service, "spec: {", "spec: {type: LoadBalancer, "), related: [][]string{with(endpoints("true"))},
			progress: "[2/3] Attempting to allocate IP address to Service", reasons: with("was not allocated an IP address")},

		{name: "claim: bound", decide: decideClaim, object: `{kind: PersistentVolumeClaim, status: {phase: Bound}}`, done: true},
		{name: "claim: waits for a pod", decide: decideClaim, object: `{kind: PersistentVolumeClaim, status: {phase: Pending}}`, related: [][]string{with(`{kind: StorageClass, volumeBindingMode: WaitForFirstConsumer}`)}, done: true},
		{name: "claim: pending", decide: decideClaim, object: `{kind: PersistentVolumeClaim, metadata: {name: c, namespace: ns}, status: {phase: Pending}}`, related: [][]string{with(`{kind: StorageClass, volumeBindingMode: Immediate}`)},
			progress: "Waiting for PersistentVolumeClaim ns/c to be Bound"},
		{name: "volume: available", decide: decideVolume, object: `{kind: PersistentVolume, status: {phase: Available}}`, done: true},
		{name: "volume: failed", decide: decideVolume, object: `{kind: PersistentVolume, metadata: {name: v}, status: {phase: Failed}}`, reasons: with(`status.phase is "Failed"`)},

		{name: "CRD: established", decide: decideCRD, object: `{kind: CustomResourceDefinition, status: {conditions: [{type: NamesAccepted, status: "True"}, {type: Established, status: "True"}]}}`, done: true},
		{name: "CRD: name taken", decide: decideCRD, object: `{kind: CustomResourceDefinition, status: {conditions: [{type: NamesAccepted, status: "False", reason: PluralConflict, message: "\"things\" is already in use"}]}}`, reasons: with("[PluralConflict]")},
		{name: "APIService: no endpoints", decide: decideAPIService, object: `{kind: APIService, status: {conditions: [{type: Available, status: "False", reason: MissingEndpoints, message: none}]}}`, reasons: with("[MissingEndpoints] none")},
		{name: "APIService: available", decide: decideAPIService, object: `{kind: APIService, status: {conditions: [{type: Available, status: "True"}]}}`, done: true},
		{name: "Ingress: no address", decide: decideIngress, object: `{kind: Ingress}`, reasons: with(".status.loadBalancer")},
		{name: "Ingress: address", decide: decideIngress, object: `{kind: Ingress, status: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}}`, done: true},
		{name: "token: not issued", decide: decideSecret, object: `{kind: Secret, type: kubernetes.io/service-account-token}`, reasons: with("no token was issued")},
		{name: "Secret: as it is", decide: decideSecret, object: `{kind: Secret, type: Opaque}`, done: true},
		{name: "quota: counted", decide: decideQuota, object: `{kind: ResourceQuota, spec: {hard: {pods: "1"}}, status: {hard: {pods: "1"}}}`, done: true},
		{name: "quota: not counted", decide: decideQuota, object: `{kind: ResourceQuota, spec: {hard: {pods: "1"}}}`, progress: "Waiting for the quota to be counted"},
		{name: "anything: reconciling", decide: decideGeneric, object: `{apiVersion: e.org/v1, kind: Thing, metadata: {generation: 2}, status: {observedGeneration: 1}}`, progress: "generation is 2, but latest observed generation is 1"},
		{name: "anything: ready", decide: decideGeneric, object: `{apiVersion: e.org/v1, kind: Thing, metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}}`, done: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := view{object: object(t, c.object), quiet: c.quiet}
			if c.before != "" {
				v.before = object(t, c.before)
			}
			for _, texts := range c.related {
				var list []*unstructured.Unstructured
				for _, text := range texts {
					list = append(list, object(t, text))
				}
				v.related = append(v.related, list)
			}
			got := c.decide(v)
			if got.done != c.done || got.failed != c.failed {
				t.Fatalf("done %v failed %v, want %v %v: %+v", got.done, got.failed, c.done, c.failed, got)
			}
			if c.progress != "" && !strings.Contains(got.progress, c.progress) {
				t.Errorf("progress %q, want %q", got.progress, c.progress)
			}
			reasons := strings.Join(got.reasons, "\n")
			for _, want := range c.reasons {
				if !strings.Contains(reasons, want) {
					t.Errorf("lacks %q in:\n%s", want, reasons)
				}
			}
			if strings.Contains(reasons, "other") {
				t.Errorf("a stranger's pod is among the reasons:\n%s", reasons)
			}
			if !got.done && len(got.reasons) == 0 {
				t.Error("not done, and no reason why")
			}
		})
	}
}

// object reads YAML whose numbers are whole ones, as the API's are.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	parts := strings.SplitN(text, "\n{", 2)
	o := toObject(props(parse(t, parts[0])))
	if len(parts) == 2 {
		for k, v := range toObject(props(parse(t, "{"+parts[1]))).Object {
			o.Object[k] = v
		}
	}
	return o
}

func TestWaitForExpressions(t *testing.T) {
	o := object(t, `{kind: Thing, metadata: {generation: 2}, status: {observedGeneration: 2, phase: Running, count: 3, list: [{a: x}], conditions: [{type: Ready, status: "True"}, {type: Broken, status: "False"}]}}`)
	for text, want := range map[string]bool{
		"condition=Ready": true, "condition=Ready=true": true, "condition=Broken": false, "condition=Broken=False": true, "condition=Missing": false,
		"jsonpath={.status.phase}=Running": true, `jsonpath={.status.phase}="Running"`: true, "jsonpath={.status.phase}=Other": false,
		"jsonpath={.status.phase}": true, "jsonpath={.status.missing}": false, "jsonpath={.status.count}=3": true, "jsonpath={.status.list[0].a}=x": true,
		`["condition=Ready","jsonpath={.status.phase}=Running"]`: true, `["condition=Ready","condition=Broken"]`: false,
	} {
		rule, err := waitFor(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := rule.decide(view{object: o}); got.done != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
	stale := object(t, `{kind: Thing, metadata: {generation: 3}, status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}}`)
	rule, _ := waitFor("condition=Ready")
	if rule.decide(view{object: stale}).done {
		t.Error("a condition about an older generation counts")
	}
	for _, text := range []string{"", "Ready", "[]", "[1]", "jsonpath=.status", "jsonpath={.status", "jsonpath={.a}=", `["condition=Ready", "nonsense"]`} {
		if _, err := waitFor(text); err == nil || !strings.Contains(err.Error(), annotationWaitFor) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTimeouts(t *testing.T) {
	annotated := object(t, `{metadata: {annotations: {pulumi.com/timeoutSeconds: "30"}}}`)
	plain := object(t, `{metadata: {}}`)
	for _, c := range []struct {
		seconds float64
		o       *unstructured.Unstructured
		want    time.Duration
	}{{0, plain, time.Hour}, {5, plain, 5 * time.Second}, {0, annotated, 30 * time.Second}, {5, annotated, 5 * time.Second}} {
		if got := timeoutOf(c.seconds, c.o, time.Hour); got != c.want {
			t.Errorf("%v: %s, want %s", c.seconds, got, c.want)
		}
	}
}
