package main

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
)

// packageSchema is what the tests read of the embedded schema.
type packageSchema struct {
	Resources map[string]struct {
		Properties map[string]any
	}
	Functions map[string]struct {
		Inputs  struct{ Properties map[string]any }
		Outputs struct{ Properties map[string]any }
	}
}

func readSchema(t *testing.T) packageSchema {
	t.Helper()
	text, err := unpackSchema()
	if err != nil {
		t.Fatal(err)
	}
	var schema packageSchema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestEveryUpstreamResourceHasAToken(t *testing.T) {
	info := providerInfo()
	same(t, "resources", slices.Collect(maps.Keys(info.Resources)), upstreamNames(info.P.ResourcesMap()))
	same(t, "data sources", slices.Collect(maps.Keys(info.DataSources)), upstreamNames(info.P.DataSourcesMap()))
}

func TestTokensAreThoseOfTheSchema(t *testing.T) {
	info, schema := providerInfo(), readSchema(t)
	// The bridge's own: what the provider is configured with.
	delete(schema.Functions, "pulumi:providers:openstack/terraformConfig")
	same(t, "resources", tokensOf(info), slices.Collect(maps.Keys(schema.Resources)))
	same(t, "functions", functionsOf(info), slices.Collect(maps.Keys(schema.Functions)))
}

// The schema is not read at run time: both must say the same.
func TestPropertiesAreThoseOfTheSchema(t *testing.T) {
	info, schema := providerInfo(), readSchema(t)
	for name, resource := range info.Resources {
		// Every resource has an id; one without its own in the schema.
		want := slices.Collect(maps.Keys(schema.Resources[string(resource.Tok)].Properties))
		got := propertiesOf(info.P.ResourcesMap().Get(name), resource.Fields)
		same(t, "properties of "+string(resource.Tok), got, want)
	}
	for name, function := range info.DataSources {
		described := schema.Functions[string(function.Tok)]
		want := map[string]any{"id": nil}
		maps.Copy(want, described.Inputs.Properties)
		maps.Copy(want, described.Outputs.Properties)
		got := propertiesOf(info.P.DataSourcesMap().Get(name), function.Fields)
		same(t, "properties of "+string(function.Tok), append(got, "id"), slices.Collect(maps.Keys(want)))
	}
}

// TestTokensAreThoseOfTheNpmPackage reads node_modules of the project, or of $GOURMETGRAM_NODE_MODULES.
func TestTokensAreThoseOfTheNpmPackage(t *testing.T) {
	modules := os.Getenv("GOURMETGRAM_NODE_MODULES")
	if modules == "" {
		modules = "../../../node_modules"
	}
	folder := filepath.Join(modules, "@pulumi", "openstack")
	if _, err := os.Stat(folder); err != nil {
		missing := t.Skipf
		if os.Getenv("GOURMETGRAM_REQUIRE_REAL") == "1" {
			missing = t.Fatalf
		}
		missing("%s is not there: run npm ci, or set GOURMETGRAM_NODE_MODULES", folder)
	}
	resource := regexp.MustCompile(`__pulumiType = '([^':]+:[^']+)'`)
	function := regexp.MustCompile(`runtime\.invoke\("([^"]+)"`)
	var resources, functions []string
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".js" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range resource.FindAllSubmatch(text, -1) {
			resources = append(resources, string(found[1]))
		}
		for _, found := range function.FindAllSubmatch(text, -1) {
			functions = append(functions, string(found[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	info := providerInfo()
	same(t, "resources", tokensOf(info), resources)
	same(t, "functions", functionsOf(info), functions)
}

func tokensOf(info tfbridge.ProviderInfo) []string {
	var tokens []string
	for _, resource := range info.Resources {
		tokens = append(tokens, string(resource.Tok))
	}
	return tokens
}

func functionsOf(info tfbridge.ProviderInfo) []string {
	var tokens []string
	for _, function := range info.DataSources {
		tokens = append(tokens, string(function.Tok))
	}
	return tokens
}

func upstreamNames(resources shim.ResourceMap) []string {
	var names []string
	resources.Range(func(name string, _ shim.Resource) bool {
		names = append(names, name)
		return true
	})
	return names
}

// propertiesOf names the properties as the bridge does at run time.
func propertiesOf(resource shim.Resource, fields map[string]*tfbridge.SchemaInfo) []string {
	var names []string
	resource.Schema().Range(func(name string, _ shim.Schema) bool {
		if name != "id" {
			names = append(names, tfbridge.TerraformToPulumiNameV2(name, resource.Schema(), fields))
		}
		return true
	})
	return names
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if got, want = slices.Compact(got), slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("%s differ:\n  here only: %v\n  there only: %v", what, without(got, want), without(want, got))
	}
}

func without(some, others []string) []string {
	return slices.DeleteFunc(slices.Clone(some), func(name string) bool { return slices.Contains(others, name) })
}
