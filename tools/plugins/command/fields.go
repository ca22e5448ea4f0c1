package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// shape is the type of an input.
type shape int

const (
	anyShape shape = iota
	textShape
	numberShape
	flagShape
	textListShape
	listShape
	textMapShape
	objectShape
	sourceShape
)

var shapeNames = map[shape]string{
	textShape:     "a string",
	numberShape:   "a number",
	flagShape:     "true or false",
	textListShape: "a list of strings",
	listShape:     "a list",
	textMapShape:  "a map of strings",
	objectShape:   "an object",
	sourceShape:   "an asset or an archive",
}

// field describes one input.
type field struct {
	name     string
	shape    shape
	required bool
	// secret marks the value as secret, however it came.
	secret bool
	// fallback is the value when none is given; nil for none.
	fallback any
	// allowed are the texts that may stand here; empty for any.
	allowed []string
	// parts are the fields of an object.
	parts []field
}

// problem is an input that is not as it must be. It never quotes the value: it may be a private key.
type problem struct {
	path   string
	reason string
}

// checkFields checks given inputs against the fields and fills in defaults. All problems are returned.
func checkFields(path string, fields []field, given resource.PropertyMap) (resource.PropertyMap, []problem) {
	checked := resource.PropertyMap{}
	known := map[string]bool{}
	var problems []problem
	for _, field := range fields {
		known[field.name] = true
		at := join(path, field.name)
		value, ok := given[resource.PropertyKey(field.name)]
		if !ok || value.IsNull() {
			switch {
			case field.required:
				problems = append(problems, problem{at, "missing; it must be " + shapeNames[field.shape]})
			case field.fallback != nil:
				checked[resource.PropertyKey(field.name)] = resource.NewPropertyValue(field.fallback)
			}
			continue
		}
		value, more := checkValue(at, field, value)
		problems = append(problems, more...)
		if field.secret && !value.IsSecret() {
			value = resource.MakeSecret(value)
		}
		checked[resource.PropertyKey(field.name)] = value
	}
	for key := range given {
		name := string(key)
		if !known[name] && !strings.HasPrefix(name, "__") && name != "version" {
			problems = append(problems, problem{join(path, name), "unknown; allowed are " + fieldNames(fields)})
		}
	}
	sort.Slice(problems, func(a, b int) bool { return problems[a].path < problems[b].path })
	return checked, problems
}

func checkValue(path string, field field, value resource.PropertyValue) (resource.PropertyValue, []problem) {
	switch {
	case value.IsSecret():
		inner, problems := checkValue(path, field, value.SecretValue().Element)
		return resource.MakeSecret(inner), problems
	case value.IsOutput() && value.OutputValue().Known:
		inner, problems := checkValue(path, field, value.OutputValue().Element)
		if value.OutputValue().Secret {
			inner = resource.MakeSecret(inner)
		}
		return inner, problems
	case value.IsComputed() || value.IsOutput():
		return value, nil
	}
	if !fits(field.shape, plain(value)) {
		return value, []problem{{path, fmt.Sprintf("is %s; it must be %s", value.TypeString(), shapeNames[field.shape])}}
	}
	if len(field.allowed) > 0 && value.IsString() && !contains(field.allowed, value.StringValue()) {
		return value, []problem{{path, fmt.Sprintf("is %q; allowed are %s", value.StringValue(), strings.Join(field.allowed, ", "))}}
	}
	if field.shape == objectShape {
		checked, problems := checkFields(path, field.parts, value.ObjectValue())
		return resource.NewProperty(checked), problems
	}
	return value, nil
}

// fits tells whether a value without secrets has the shape; unknown values fit everywhere.
func fits(shape shape, value resource.PropertyValue) bool {
	if value.IsComputed() {
		return true
	}
	switch shape {
	case textShape:
		return value.IsString()
	case numberShape:
		return value.IsNumber()
	case flagShape:
		return value.IsBool()
	case listShape:
		return value.IsArray()
	case objectShape:
		return value.IsObject()
	case sourceShape:
		return value.IsAsset() || value.IsArchive()
	case textListShape:
		if !value.IsArray() {
			return false
		}
		for _, item := range value.ArrayValue() {
			if !fits(textShape, item) {
				return false
			}
		}
	case textMapShape:
		if !value.IsObject() {
			return false
		}
		for _, item := range value.ObjectValue() {
			if !fits(textShape, item) {
				return false
			}
		}
	}
	return true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func fieldNames(fields []field) string {
	names := make([]string, len(fields))
	for index, field := range fields {
		names[index] = field.name
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

func contains(list []string, item string) bool {
	for _, candidate := range list {
		if candidate == item {
			return true
		}
	}
	return false
}

// values reads checked inputs or state.
type values resource.PropertyMap

func (v values) has(name string) bool {
	value, ok := v[resource.PropertyKey(name)]
	return ok && !value.IsNull()
}

func (v values) text(name string) string {
	if value := plain(v[resource.PropertyKey(name)]); value.IsString() {
		return value.StringValue()
	}
	return ""
}

func (v values) number(name string, fallback float64) float64 {
	if value := plain(v[resource.PropertyKey(name)]); value.IsNumber() {
		return value.NumberValue()
	}
	return fallback
}

func (v values) flag(name string, fallback bool) bool {
	if value := plain(v[resource.PropertyKey(name)]); value.IsBool() {
		return value.BoolValue()
	}
	return fallback
}

func (v values) texts(name string) []string {
	var list []string
	if value := plain(v[resource.PropertyKey(name)]); value.IsArray() {
		for _, item := range value.ArrayValue() {
			list = append(list, item.StringValue())
		}
	}
	return list
}

func (v values) textMap(name string) map[string]string {
	found := map[string]string{}
	if value := plain(v[resource.PropertyKey(name)]); value.IsObject() {
		for key, item := range value.ObjectValue() {
			found[string(key)] = item.StringValue()
		}
	}
	return found
}

func (v values) object(name string) (values, bool) {
	value := plain(v[resource.PropertyKey(name)])
	if !value.IsObject() {
		return nil, false
	}
	return values(value.ObjectValue()), true
}

// isSecret tells whether the input or a part of it is secret.
func (v values) isSecret(name string) bool {
	return v[resource.PropertyKey(name)].ContainsSecrets()
}
