package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// fakeEngine keeps what plugins log.
type fakeEngine struct {
	pulumirpc.UnimplementedEngineServer
	mu    sync.Mutex
	lines []string
}

func (e *fakeEngine) Log(_ context.Context, request *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, request.GetMessage())
	return &emptypb.Empty{}, nil
}

func (e *fakeEngine) logged() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.lines, "\n")
}

// plugin is a provider behind a real gRPC connection, used the way the engine uses it: check, then diff, then the
// operation.
type testPlugin struct {
	t      *testing.T
	client pulumirpc.ResourceProviderClient
	engine *fakeEngine
}

func startPlugin(t *testing.T) *testPlugin {
	t.Helper()
	engine := &fakeEngine{}
	engineAddress := serve(t, func(server *grpc.Server) { pulumirpc.RegisterEngineServer(server, engine) })
	provider, err := newProvider(t.Context(), engineAddress)
	if err != nil {
		t.Fatal(err)
	}
	address := serve(t, func(server *grpc.Server) { pulumirpc.RegisterResourceProviderServer(server, provider) })
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return &testPlugin{t: t, client: pulumirpc.NewResourceProviderClient(connection), engine: engine}
}

func serve(t *testing.T, register func(*grpc.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func urnOf(kind string) string {
	return "urn:pulumi:test::project::" + kind + "::probe"
}

// check returns the checked inputs, or the failures as `path: reason` lines.
func (p *testPlugin) check(kind string, inputs map[string]any) (resource.PropertyMap, []string) {
	p.t.Helper()
	news, err := write(properties(inputs), "test")
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.client.Check(p.t.Context(), &pulumirpc.CheckRequest{Urn: urnOf(kind), News: news})
	if err != nil {
		p.t.Fatal(err)
	}
	var failures []string
	for _, failure := range response.GetFailures() {
		failures = append(failures, failure.GetProperty()+": "+failure.GetReason())
	}
	checked, err := read(response.GetInputs(), "test")
	if err != nil {
		p.t.Fatal(err)
	}
	return checked, failures
}

func (p *testPlugin) mustCheck(kind string, inputs map[string]any) resource.PropertyMap {
	p.t.Helper()
	checked, failures := p.check(kind, inputs)
	if len(failures) > 0 {
		p.t.Fatalf("check failed: %s", strings.Join(failures, "; "))
	}
	return checked
}

type runOptions struct {
	preview bool
	timeout float64
}

// create checks and creates.
func (p *testPlugin) create(kind string, inputs map[string]any, options runOptions) (resource.PropertyMap, error) {
	p.t.Helper()
	request, err := write(p.mustCheck(kind, inputs), "test")
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.client.Create(p.t.Context(), &pulumirpc.CreateRequest{
		Urn: urnOf(kind), Properties: request, Preview: options.preview, Timeout: options.timeout,
	})
	if err != nil {
		return nil, err
	}
	return p.read(response.GetProperties()), nil
}

func (p *testPlugin) mustCreate(kind string, inputs map[string]any) resource.PropertyMap {
	p.t.Helper()
	state, err := p.create(kind, inputs, runOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return state
}

func (p *testPlugin) update(
	kind string, state resource.PropertyMap, inputs map[string]any, options runOptions,
) (resource.PropertyMap, error) {
	p.t.Helper()
	olds, err := write(state, "test")
	if err != nil {
		p.t.Fatal(err)
	}
	news, err := write(p.mustCheck(kind, inputs), "test")
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.client.Update(p.t.Context(), &pulumirpc.UpdateRequest{
		Id: "id", Urn: urnOf(kind), Olds: olds, News: news, Preview: options.preview,
	})
	if err != nil {
		return nil, err
	}
	return p.read(response.GetProperties()), nil
}

func (p *testPlugin) delete(kind string, state resource.PropertyMap) error {
	p.t.Helper()
	olds, err := write(state, "test")
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = p.client.Delete(p.t.Context(), &pulumirpc.DeleteRequest{Id: "id", Urn: urnOf(kind), Properties: olds})
	return err
}

func (p *testPlugin) diff(kind string, olds, news map[string]any) *pulumirpc.DiffResponse {
	p.t.Helper()
	before := p.mustCheck(kind, olds)
	oldInputs, err := write(before, "test")
	if err != nil {
		p.t.Fatal(err)
	}
	newInputs, err := write(p.mustCheck(kind, news), "test")
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.client.Diff(p.t.Context(), &pulumirpc.DiffRequest{
		Id: "id", Urn: urnOf(kind), Olds: oldInputs, OldInputs: oldInputs, News: newInputs,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return response
}

func (p *testPlugin) read(state *structpb.Struct) resource.PropertyMap {
	p.t.Helper()
	parsed, err := read(state, "test")
	if err != nil {
		p.t.Fatal(err)
	}
	return parsed
}
