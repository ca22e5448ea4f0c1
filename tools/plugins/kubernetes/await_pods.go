package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// logLines are shown of a container that keeps crashing, of one pod.
	logLines = 10
	// explainTimeout bounds the gathering of events and logs for an error.
	explainTimeout = 10 * time.Second
	// longestReasons bounds what an error lists of events.
	longestReasons = 8
)

func asPod(o *unstructured.Unstructured) (*corev1.Pod, bool) {
	pod := &corev1.Pod{}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, pod)
	return pod, err == nil
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// decidePod: scheduled, initialized, ready; or run to its end. One that failed stays so.
func decidePod(v view) outcome {
	pod, ok := asPod(v.object)
	if !ok {
		return outcome{progress: "Waiting for the Pod", reasons: []string{"the Pod cannot be read"}}
	}
	name := idOf(v.object)
	result := outcome{}
	switch {
	case pod.Status.Phase == corev1.PodSucceeded,
		podCondition(pod, corev1.PodReady).Status == corev1.ConditionTrue:
		return outcome{done: true}
	case pod.Status.Phase == corev1.PodFailed:
		result.failed = true
		result.reasons = append(result.reasons, strings.TrimSpace(fmt.Sprintf("[Pod %s]: failed %s %s",
			name, pod.Status.Reason, pod.Status.Message)))
	case podCondition(pod, corev1.PodScheduled).Status != corev1.ConditionTrue:
		result.progress = fmt.Sprintf("Waiting for Pod %q to be scheduled", name)
	case podCondition(pod, corev1.PodInitialized).Status != corev1.ConditionTrue:
		result.progress = fmt.Sprintf("Waiting for Pod %q to be initialized", name)
	default:
		result.progress = fmt.Sprintf("Waiting for Pod %q to be ready", name)
	}
	if result.progress != "" {
		result.reasons = append(result.reasons, result.progress)
	}
	problems := podProblems(v.object)
	result.warnings = problems
	result.reasons = append(result.reasons, problems...)
	return result
}

// podProblems words what keeps a pod from being ready: why it is not scheduled, why its containers wait or ended.
func podProblems(o *unstructured.Unstructured) []string {
	pod, ok := asPod(o)
	if !ok || pod.Status.Phase == corev1.PodSucceeded || pod.DeletionTimestamp != nil {
		return nil
	}
	var problems []string
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("[Pod %s]: %s", idOf(o), fmt.Sprintf(format, args...)))
	}
	if c := podCondition(pod, corev1.PodScheduled); c.Status == corev1.ConditionFalse && c.Message != "" {
		add("[%s] %s", c.Reason, c.Message)
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if status.Ready {
			continue
		}
		if w := status.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			add("container %q: [%s] %s", status.Name, w.Reason, shortPull(w.Message))
		}
		if t := status.State.Terminated; t != nil && (t.ExitCode != 0 || t.Reason != "Completed") {
			add("container %q: %s", status.Name, ending(t))
		}
		if t := status.LastTerminationState.Terminated; t != nil {
			add("container %q before: %s", status.Name, ending(t))
		}
	}
	return problems
}

func ending(t *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("terminated with exit code %d", t.ExitCode)
	if t.Reason != "" {
		text += fmt.Sprintf(" (%s)", t.Reason)
	}
	if message := strings.TrimSpace(t.Message); message != "" {
		text += ": " + message
	}
	return text
}

// shortPull drops the container runtime's own words around the reason why an image could not be pulled.
func shortPull(message string) string {
	if i := strings.LastIndex(message, "desc = "); i >= 0 && strings.HasPrefix(message, "rpc error:") {
		message = message[i+len("desc = "):]
	}
	return message
}

// crashed names the first container of a pod that ended badly and whose log may tell why.
func crashed(pod *corev1.Pod) (container string, previous, ok bool) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case status.Ready:
		case status.State.Terminated != nil && status.State.Terminated.ExitCode != 0:
			return status.Name, false, true
		case status.LastTerminationState.Terminated != nil:
			return status.Name, true, true
		}
	}
	return "", false, false
}

// explain makes the error of a wait that failed: the last decision's reasons, the events that warn about the object or
// its pods, and the last log lines of one container that crashed.
func (p *provider) explain(
	a awaited, latest *unstructured.Unstructured, watched *followed, last outcome, message string,
) error {
	failure := &awaitError{message: message, reasons: last.reasons}
	if p.ctx.Err() != nil {
		return failure // cancelled: be quick
	}
	ctx, cancel := context.WithTimeout(p.ctx, explainTimeout)
	defer cancel()
	subjects := []*unstructured.Unstructured{latest}
	for _, list := range watched.lists(1) {
		for _, o := range list {
			if k := o.GetKind(); k == "Pod" || k == "ReplicaSet" && isOwned(o, latest.GetUID()) {
				subjects = append(subjects, o)
			}
		}
	}
	failure.reasons = append(failure.reasons, p.warnings(ctx, latest.GetNamespace(), subjects)...)
	for _, o := range subjects {
		pod, ok := asPod(o)
		if o.GetKind() != "Pod" || !ok {
			continue
		}
		if container, previous, ok := crashed(pod); ok {
			if log := p.logTail(ctx, pod, container, previous); log != "" {
				failure.reasons = append(failure.reasons, fmt.Sprintf("[Pod %s]: last log lines of container %q:\n%s",
					idOf(o), container, log))
				break
			}
		}
	}
	return failure
}

// warnings gives the latest warning events about some objects, each text once.
func (p *provider) warnings(ctx context.Context, namespace string, subjects []*unstructured.Unstructured) []string {
	if namespace == "" {
		namespace = "default" // where events of objects without a namespace go
	}
	list, err := p.cluster.core.Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning", Limit: 500})
	if err != nil {
		return nil
	}
	slices.SortFunc(list.Items, func(a, b corev1.Event) int {
		return b.LastTimestamp.Compare(a.LastTimestamp.Time)
	})
	var found []string
	for _, event := range list.Items {
		if !slices.ContainsFunc(subjects, func(o *unstructured.Unstructured) bool {
			return o.GetUID() == event.InvolvedObject.UID
		}) {
			continue
		}
		text := fmt.Sprintf("[%s %s]: %s: %s", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason,
			shortPull(event.Message))
		if !slices.Contains(found, text) && len(found) < longestReasons {
			found = append(found, text)
		}
	}
	return found
}

func (p *provider) logTail(ctx context.Context, pod *corev1.Pod, container string, previous bool) string {
	lines, limit := int64(logLines), int64(8<<10)
	stream, err := p.cluster.core.Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, TailLines: &lines, LimitBytes: &limit,
	}).Stream(ctx)
	if err != nil {
		return ""
	}
	defer stream.Close()
	text, _ := io.ReadAll(stream)
	return strings.TrimSpace(string(text))
}
