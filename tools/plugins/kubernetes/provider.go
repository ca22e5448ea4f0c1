package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// provider serves one provider resource of a stack: one cluster, one set of arguments.
type provider struct {
	pulumirpc.UnimplementedResourceProviderServer

	host    host
	secrets *redactor
	// ctx ends when the engine cancels: every wait and request hangs on it.
	ctx    context.Context
	cancel context.CancelFunc

	settings    settings
	cluster     *cluster
	keepSecrets bool
	warnOnce    sync.Once
}

func newProvider() *provider {
	ctx, cancel := context.WithCancel(context.Background())
	return &provider{
		host: silentHost{}, secrets: &redactor{}, ctx: ctx, cancel: cancel, keepSecrets: true,
		cluster: brokenCluster(fmt.Errorf("the provider is not configured")),
	}
}

func (p *provider) reporter(urn resource.URN) *reporter {
	return &reporter{host: p.host, urn: urn, secrets: p.secrets}
}

// GetPluginInfo tells the version the engine matches against the program's SDK.
func (p *provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version}, nil
}

// GetSchema gives an empty schema: programs use the published SDK, nothing is generated from this plugin.
func (p *provider) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	return &pulumirpc.GetSchemaResponse{Schema: `{"name":"kubernetes","version":"` + version + `"}`}, nil
}

// Attach gives a plugin that was started by hand (in a debugger) its engine.
func (p *provider) Attach(_ context.Context, req *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	host, err := newEngineHost(req.GetAddress())
	if err != nil {
		return nil, err
	}
	p.host = host
	return &emptypb.Empty{}, nil
}

// Configure takes the provider's arguments. A kubeconfig that cannot be used is no error here: a preview goes on
// without a cluster, and what needs one says why there is none.
func (p *provider) Configure(
	_ context.Context, req *pulumirpc.ConfigureRequest,
) (*pulumirpc.ConfigureResponse, error) {
	vars := req.GetVariables() //nolint:staticcheck // the engine sends them beside the newer args
	p.keepSecrets = req.GetAcceptSecrets()
	p.settings = readSettings(vars)
	config, namespace, err := clientConfig(vars)
	if p.settings.namespace == "" {
		p.settings.namespace = namespace
	}
	if p.settings.namespace == "" {
		p.settings.namespace = "default"
	}
	if err == nil {
		p.cluster, err = newCluster(config)
	}
	if err != nil {
		p.cluster = brokenCluster(err)
	}
	return &pulumirpc.ConfigureResponse{
		AcceptSecrets: true, SupportsPreview: true, SupportsAutonamingConfiguration: true,
	}, nil
}

// Cancel ends what is being waited for. Objects that exist by then are reported as created but not ready.
func (p *provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.cancel()
	return &emptypb.Empty{}, nil
}

// lacking is the answer to what only the official plugin can do.
func lacking(what string) error {
	return status.Errorf(codes.Unimplemented, "%s is not supported: the offline kubernetes plugin lacks it; "+
		"use plain resources, or install the official plugin %s", what, version)
}

// Invoke refuses the SDK's functions: they render Helm charts, Kustomize directories and YAML files.
func (p *provider) Invoke(_ context.Context, req *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	return nil, lacking("function " + req.GetTok())
}

// Construct refuses component resources, such as helm.v4.Chart and yaml.v2.ConfigGroup.
func (p *provider) Construct(_ context.Context, req *pulumirpc.ConstructRequest) (*pulumirpc.ConstructResponse, error) {
	return nil, lacking("component " + req.GetType())
}

// Call refuses methods: no resource here has any.
func (p *provider) Call(_ context.Context, req *pulumirpc.CallRequest) (*pulumirpc.CallResponse, error) {
	return nil, lacking("method " + req.GetTok())
}

// Parameterize refuses packages generated from CRDs.
func (p *provider) Parameterize(
	context.Context, *pulumirpc.ParameterizeRequest,
) (*pulumirpc.ParameterizeResponse, error) {
	return nil, lacking("a parameterized kubernetes package")
}

// GetMapping has no mapping to give.
func (p *provider) GetMapping(
	context.Context, *pulumirpc.GetMappingRequest,
) (*pulumirpc.GetMappingResponse, error) {
	return &pulumirpc.GetMappingResponse{}, nil
}

// GetMappings has no mapping to give.
func (p *provider) GetMappings(
	context.Context, *pulumirpc.GetMappingsRequest,
) (*pulumirpc.GetMappingsResponse, error) {
	return &pulumirpc.GetMappingsResponse{}, nil
}

// supported refuses resource types that are no Kubernetes objects.
func supported(urn resource.URN) error {
	module := string(urn.Type().Module().Name())
	for _, prefix := range []string{"helm.sh/", "kustomize", "yaml"} {
		if strings.HasPrefix(module, prefix) {
			return lacking("resource " + string(urn.Type()))
		}
	}
	gvk, err := gvkOfURN(urn)
	if err != nil {
		return err
	}
	if builtInGroups[gvk.Group] && strings.HasSuffix(gvk.Kind, "List") {
		return fmt.Errorf("%s: list resources exist for compatibility with YAML manifests and cannot be created; "+
			"use the kind of the items", urn.Type())
	}
	return nil
}

// warnUnreachable says once per run that a preview has no cluster to ask.
func (p *provider) warnUnreachable(err error) {
	p.warnOnce.Do(func() {
		p.host.log("", warning, false, p.secrets.hide(err.Error())+"; the preview shows the program's inputs alone")
	})
}
