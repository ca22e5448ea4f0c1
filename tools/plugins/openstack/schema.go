package main

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"fmt"
	"io"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// packedSchema describes the package, without texts. TestGenerateSchema writes it.
//
//go:embed schema.json.gz
var packedSchema []byte

// server is the bridge's, with the schema read only when somebody asks for it: previews and updates do not.
type server struct {
	pulumirpc.ResourceProviderServer
}

func (s *server) GetSchema(
	_ context.Context, request *pulumirpc.GetSchemaRequest,
) (*pulumirpc.GetSchemaResponse, error) {
	if asked := request.GetVersion(); asked > 1 {
		return nil, fmt.Errorf("there is no schema of version %d, only of version 0", asked)
	}
	schema, err := unpackSchema()
	if err != nil {
		return nil, err
	}
	return &pulumirpc.GetSchemaResponse{Schema: string(schema)}, nil
}

func unpackSchema() ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(packedSchema))
	if err != nil {
		return nil, fmt.Errorf("read the embedded schema: %w", err)
	}
	return io.ReadAll(reader)
}
