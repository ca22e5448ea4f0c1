package main

import (
	"encoding/base64"
	"sort"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// lastApplied is where `kubectl apply` keeps a copy of the whole object, secrets included.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// markSecrets marks as secret what must be in outputs: whatever is secret at the same place of inputs, and the data of
// every Secret. A list with one secret item is secret as a whole, since the server may reorder it.
func markSecrets(outputs, inputs resource.PropertyMap) {
	if kind, ok := outputs["kind"]; ok && kind.IsString() && kind.StringValue() == "Secret" {
		for _, key := range []resource.PropertyKey{"data", "stringData"} {
			if v, ok := outputs[key]; ok && !v.IsSecret() {
				outputs[key] = resource.MakeSecret(v)
			}
		}
		markLastApplied(outputs)
		return
	}
	found := false
	for key, in := range inputs {
		out, ok := outputs[key]
		if !ok || out.IsSecret() {
			continue
		}
		if out.IsObject() && in.IsObject() {
			markSecrets(out.ObjectValue(), in.ObjectValue())
		} else if in.ContainsSecrets() {
			outputs[key] = resource.MakeSecret(out)
		}
		found = found || in.ContainsSecrets()
	}
	if found {
		markLastApplied(outputs)
	}
}

func markLastApplied(outputs resource.PropertyMap) {
	metadata, ok := outputs["metadata"]
	if !ok || !metadata.IsObject() {
		return
	}
	annotations, ok := metadata.ObjectValue()["annotations"]
	if !ok || !annotations.IsObject() {
		return
	}
	if v, ok := annotations.ObjectValue()[lastApplied]; ok && !v.IsSecret() {
		annotations.ObjectValue()[lastApplied] = resource.MakeSecret(v)
	}
}

// Values shorter than shortestSecret are too common to be blanked in messages, and so are plain words (a user name, a
// database's) shorter than shortestWord: blanking "mlflow" would make every message about it unreadable.
const (
	shortestSecret = 6
	shortestWord   = 20
)

func tellsTooMuch(value string) bool {
	if len(value) < shortestSecret {
		return false
	}
	plain := strings.Trim(value, "abcdefghijklmnopqrstuvwxyz-._/") == ""
	return !plain || len(value) >= shortestWord
}

// redactor blanks the secrets it was told about in messages. A nil redactor blanks nothing.
type redactor struct {
	mu     sync.RWMutex
	values map[string]bool
	sorted []string // longest first, so that a secret holding another is blanked whole
}

// learn remembers every secret value among the inputs of one resource.
func (r *redactor) learn(inputs resource.PropertyMap) {
	found := map[string]bool{}
	kind, ok := inputs["kind"]
	whole := ok && kind.IsString() && kind.StringValue() == "Secret"
	for key, v := range inputs {
		ofSecret := whole && (key == "data" || key == "stringData")
		collectSecrets(v, ofSecret, found)
		if whole && key == "data" {
			collectDecoded(v, found)
		}
	}
	if len(found) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values == nil {
		r.values = map[string]bool{}
	}
	for v := range found {
		if !r.values[v] {
			r.values[v] = true
			r.sorted = append(r.sorted, v)
		}
	}
	sort.Slice(r.sorted, func(i, j int) bool { return len(r.sorted[i]) > len(r.sorted[j]) })
}

func collectSecrets(v resource.PropertyValue, secret bool, found map[string]bool) {
	switch {
	case v.IsSecret():
		collectSecrets(v.SecretValue().Element, true, found)
	case v.IsString() && secret && tellsTooMuch(v.StringValue()):
		found[v.StringValue()] = true
	case v.IsArray():
		for _, item := range v.ArrayValue() {
			collectSecrets(item, secret, found)
		}
	case v.IsObject():
		for _, item := range v.ObjectValue() {
			collectSecrets(item, secret, found)
		}
	}
}

func collectDecoded(v resource.PropertyValue, found map[string]bool) {
	encoded := map[string]bool{}
	collectSecrets(v, true, encoded)
	for value := range encoded {
		if plain, err := base64.StdEncoding.DecodeString(value); err == nil && tellsTooMuch(string(plain)) {
			found[string(plain)] = true
		}
	}
}

// hide blanks the known secrets in a message.
func (r *redactor) hide(message string) string {
	if r == nil {
		return message
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, value := range r.sorted {
		message = strings.ReplaceAll(message, value, "[secret]")
	}
	return message
}
