//go:build schemagen

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
)

// TestGenerateSchema writes schema.json.gz anew, when a row of tokens.go or a version in go.mod has changed. It is behind
// a build tag because the generator is as large as the plugin itself:
//
//	go test -tags schemagen -run TestGenerateSchema .
func TestGenerateSchema(t *testing.T) {
	output, err := filepath.Abs("schema.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	// The generator looks for a Pulumi project from the working folder upwards, and would start its plugins.
	t.Chdir(t.TempDir())
	made, err := tfgen.GenerateSchemaWithOptions(tfgen.GenerateSchemaOptions{
		ProviderInfo:    providerInfo(),
		DiagnosticsSink: diag.DefaultSink(io.Discard, os.Stderr, diag.FormatOptions{Color: colors.Never}),
		XInMemoryDocs:   true,
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(made.PackageSpec)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = writer.Write(text)
	if closeErr := writer.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(output, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
