package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// kind is what one resource type does. Inputs are checked ones; in a preview they may hold unknown values.
type kind interface {
	// fields describes the inputs.
	fields() []field
	// check returns further problems of known inputs.
	check(inputs resource.PropertyMap) []problem
	// computed names the outputs that are not copies of inputs.
	computed(inputs resource.PropertyMap) []resource.PropertyKey
	// create, update return the outputs that are not copies of inputs; state is the state before.
	create(ctx context.Context, log *logger, inputs resource.PropertyMap) (resource.PropertyMap, error)
	update(ctx context.Context, log *logger, state, inputs resource.PropertyMap) (resource.PropertyMap, error)
	delete(ctx context.Context, log *logger, state resource.PropertyMap) error
}

var kinds = map[string]kind{
	"command:local:Command":       localCommand{},
	"command:remote:Command":      remoteCommand{},
	"command:remote:CopyToRemote": copyToRemote{},
}

func kindOf(urn string) (kind, error) {
	name := string(resource.URN(urn).Type())
	found, ok := kinds[name]
	if !ok {
		return nil, fmt.Errorf("the offline command plugin has no resource type %q; it has command:local:Command, "+
			"command:remote:Command and command:remote:CopyToRemote", name)
	}
	return found, nil
}

// provider answers the engine's calls.
type provider struct {
	pulumirpc.UnimplementedResourceProviderServer

	// life ends with this process or with Cancel; whatever runs is stopped then.
	life   context.Context
	cancel context.CancelFunc
	engine *engineLog
}

func newProvider(ctx context.Context, engineAddress string) (*provider, error) {
	engine, err := connectEngine(engineAddress)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(ctx)
	return &provider{life: life, cancel: cancel, engine: engine}, nil
}

func (p *provider) Handshake(
	context.Context, *pulumirpc.ProviderHandshakeRequest,
) (*pulumirpc.ProviderHandshakeResponse, error) {
	return &pulumirpc.ProviderHandshakeResponse{AcceptSecrets: true}, nil
}

func (p *provider) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version}, nil
}

func (p *provider) Attach(_ context.Context, request *pulumirpc.PluginAttach) (*emptypb.Empty, error) {
	engine, err := connectEngine(request.GetAddress())
	if err != nil {
		return nil, err
	}
	p.engine = engine
	return &emptypb.Empty{}, nil
}

// GetSchema names the resources only: programs bring the types with their SDK.
func (p *provider) GetSchema(context.Context, *pulumirpc.GetSchemaRequest) (*pulumirpc.GetSchemaResponse, error) {
	resources := map[string]any{}
	for name := range kinds {
		resources[name] = map[string]any{}
	}
	schema, err := json.Marshal(map[string]any{"name": "command", "version": version, "resources": resources})
	if err != nil {
		return nil, err
	}
	return &pulumirpc.GetSchemaResponse{Schema: string(schema)}, nil
}

func (p *provider) CheckConfig(_ context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: request.GetNews()}, nil
}

func (p *provider) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}, nil
}

func (p *provider) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true}, nil
}

func (p *provider) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	p.cancel()
	return &emptypb.Empty{}, nil
}

func (p *provider) Check(_ context.Context, request *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	kind, err := kindOf(request.GetUrn())
	if err != nil {
		return nil, err
	}
	news, err := read(request.GetNews(), "inputs")
	if err != nil {
		return nil, err
	}
	inputs, problems := checkFields("", kind.fields(), news)
	if len(problems) == 0 {
		problems = kind.check(inputs)
	}
	checked, err := write(inputs, "inputs")
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.CheckResponse{Inputs: checked}
	for _, problem := range problems {
		response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Property: problem.path, Reason: problem.reason})
	}
	return response, nil
}

func (p *provider) Diff(_ context.Context, request *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	kind, err := kindOf(request.GetUrn())
	if err != nil {
		return nil, err
	}
	olds, err := read(request.GetOldInputs(), "old inputs")
	if err != nil {
		return nil, err
	}
	if len(olds) == 0 {
		// Engines before 3.66 do not send the old inputs; the state has a copy of them.
		state, err := read(request.GetOlds(), "state")
		if err != nil {
			return nil, err
		}
		olds = onlyInputs(kind, state)
	}
	news, err := read(request.GetNews(), "inputs")
	if err != nil {
		return nil, err
	}
	return diffInputs(olds, news), nil
}

func (p *provider) Create(ctx context.Context, request *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	kind, err := kindOf(request.GetUrn())
	if err != nil {
		return nil, err
	}
	inputs, err := read(request.GetProperties(), "inputs")
	if err != nil {
		return nil, err
	}
	outputs := resource.PropertyMap{}
	id := ""
	if request.GetPreview() {
		for _, key := range kind.computed(inputs) {
			outputs[key] = resource.MakeComputed(resource.NewProperty(""))
		}
	} else {
		id, err = resource.NewUniqueHex(resource.URN(request.GetUrn()).Name(), 8, 0)
		if err != nil {
			return nil, err
		}
		ctx, end := p.operation(ctx, request.GetTimeout())
		defer end()
		outputs, err = kind.create(ctx, p.logger(request.GetUrn()), inputs)
		if err != nil {
			return nil, explain(ctx, err, "create", request.GetTimeout())
		}
	}
	state, err := write(mergeOutputs(inputs, outputs), "outputs")
	if err != nil {
		return nil, err
	}
	return &pulumirpc.CreateResponse{Id: id, Properties: state}, nil
}

func (p *provider) Update(ctx context.Context, request *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	kind, err := kindOf(request.GetUrn())
	if err != nil {
		return nil, err
	}
	state, err := read(request.GetOlds(), "state")
	if err != nil {
		return nil, err
	}
	inputs, err := read(request.GetNews(), "inputs")
	if err != nil {
		return nil, err
	}
	outputs := resource.PropertyMap{}
	if request.GetPreview() {
		for _, key := range kind.computed(inputs) {
			outputs[key] = resource.MakeComputed(resource.NewProperty(""))
		}
	} else {
		ctx, end := p.operation(ctx, request.GetTimeout())
		defer end()
		outputs, err = kind.update(ctx, p.logger(request.GetUrn()), state, inputs)
		if err != nil {
			return nil, explain(ctx, err, "update", request.GetTimeout())
		}
	}
	merged, err := write(mergeOutputs(inputs, outputs), "outputs")
	if err != nil {
		return nil, err
	}
	return &pulumirpc.UpdateResponse{Properties: merged}, nil
}

func (p *provider) Delete(ctx context.Context, request *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	kind, err := kindOf(request.GetUrn())
	if err != nil {
		return nil, err
	}
	state, err := read(request.GetProperties(), "state")
	if err != nil {
		return nil, err
	}
	ctx, end := p.operation(ctx, request.GetTimeout())
	defer end()
	if err := kind.delete(ctx, p.logger(request.GetUrn()), state); err != nil {
		return nil, explain(ctx, err, "delete", request.GetTimeout())
	}
	return &emptypb.Empty{}, nil
}

// Read returns what the state says: a command that ran leaves nothing to look at.
func (p *provider) Read(_ context.Context, request *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	return &pulumirpc.ReadResponse{
		Id: request.GetId(), Properties: request.GetProperties(), Inputs: request.GetInputs(),
	}, nil
}

// Invoke runs `command:local:run`, a command outside of any resource's life.
func (p *provider) Invoke(ctx context.Context, request *pulumirpc.InvokeRequest) (*pulumirpc.InvokeResponse, error) {
	if request.GetTok() != "command:local:run" {
		return nil, fmt.Errorf("the offline command plugin has no function %q; it has command:local:run", request.GetTok())
	}
	given, err := read(request.GetArgs(), "arguments")
	if err != nil {
		return nil, err
	}
	given["create"] = given["command"]
	delete(given, "command")
	inputs, problems := checkFields("", localCommand{}.fields(), given)
	if len(problems) > 0 {
		response := &pulumirpc.InvokeResponse{}
		for _, problem := range problems {
			response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Property: problem.path, Reason: problem.reason})
		}
		return response, nil
	}
	ctx, end := p.operation(ctx, 0)
	defer end()
	outputs, err := localCommand{}.create(ctx, p.logger(""), inputs)
	if err != nil {
		return nil, err
	}
	result := mergeOutputs(inputs, outputs)
	result["command"] = result["create"]
	delete(result, "create")
	written, err := write(result, "result")
	if err != nil {
		return nil, err
	}
	return &pulumirpc.InvokeResponse{Return: written}, nil
}

func (p *provider) logger(urn string) *logger {
	return &logger{engine: p.engine, urn: urn}
}

// operation is the time one call may take: until the engine gives it up, Cancel, or the resource's custom timeout in
// seconds, 0 for none.
func (p *provider) operation(ctx context.Context, timeout float64) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stopWatching := context.AfterFunc(p.life, cancel)
	stopTimer := func() {}
	if timeout > 0 {
		ctx, stopTimer = context.WithTimeout(ctx, time.Duration(timeout*float64(time.Second)))
	}
	return ctx, func() {
		stopTimer()
		stopWatching()
		cancel()
	}
}

// explain says why an operation was given up, in front of what was going on.
func explain(ctx context.Context, err error, operation string, timeout float64) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		limit := time.Duration(timeout * float64(time.Second))
		return fmt.Errorf("%s took longer than its time limit of %s (customTimeouts.%s): %w", operation, limit, operation, err)
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s was cancelled: %w", operation, err)
	}
	return err
}

func read(properties *structpb.Struct, label string) (resource.PropertyMap, error) {
	return plugin.UnmarshalProperties(properties, plugin.MarshalOptions{
		Label: label, KeepUnknowns: true, KeepSecrets: true, SkipNulls: true, SkipInternalKeys: true,
	})
}

func write(properties resource.PropertyMap, label string) (*structpb.Struct, error) {
	return plugin.MarshalProperties(properties, plugin.MarshalOptions{
		Label: label, KeepUnknowns: true, KeepSecrets: true, SkipNulls: true,
	})
}

// mergeOutputs is the state: the inputs, as secret as they came, and what the operation gave.
func mergeOutputs(inputs, outputs resource.PropertyMap) resource.PropertyMap {
	state := resource.PropertyMap{}
	for key, value := range inputs {
		state[key] = value
	}
	for key, value := range outputs {
		state[key] = value
	}
	return state
}

func onlyInputs(kind kind, state resource.PropertyMap) resource.PropertyMap {
	inputs := resource.PropertyMap{}
	for _, field := range kind.fields() {
		if value, ok := state[resource.PropertyKey(field.name)]; ok {
			inputs[resource.PropertyKey(field.name)] = value
		}
	}
	return inputs
}
