package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// severity is how a message shows in the engine's output.
type severity int

const (
	info severity = iota
	warning
	failure
)

// host takes the messages meant for the person at the console.
type host interface {
	// log writes a line that stays; an ephemeral one is replaced by the next (the status column beside the resource).
	log(urn resource.URN, level severity, ephemeral bool, message string)
}

// engineHost sends messages to the engine that started the plugin.
type engineHost struct {
	client pulumirpc.EngineClient
}

// newEngineHost dials the engine at address (host:port on loopback). The connection is made lazily.
func newEngineHost(address string) (*engineHost, error) {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), rpcutil.GrpcChannelOptions())
	if err != nil {
		return nil, fmt.Errorf("connecting to the engine at %s: %w", address, err)
	}
	return &engineHost{client: pulumirpc.NewEngineClient(conn)}, nil
}

func (h *engineHost) log(urn resource.URN, level severity, ephemeral bool, message string) {
	levels := map[severity]pulumirpc.LogSeverity{
		info: pulumirpc.LogSeverity_INFO, warning: pulumirpc.LogSeverity_WARNING, failure: pulumirpc.LogSeverity_ERROR,
	}
	// A lost message must not fail the operation it reports on.
	_, _ = h.client.Log(context.Background(), &pulumirpc.LogRequest{
		Severity: levels[level], Message: message, Urn: string(urn), Ephemeral: ephemeral,
	})
}

// silentHost drops messages: the state before the engine's address is known.
type silentHost struct{}

func (silentHost) log(resource.URN, severity, bool, string) {}

// reporter is the voice of one operation on one resource: it hides secrets and does not repeat itself.
type reporter struct {
	host    host
	urn     resource.URN
	secrets *redactor

	mu   sync.Mutex
	last string // the status that shows now
	said map[string]bool
}

// status shows a line until the next one.
func (r *reporter) status(format string, args ...any) {
	message := r.secrets.hide(fmt.Sprintf(format, args...))
	r.mu.Lock()
	repeated := r.last == message
	r.last = message
	r.mu.Unlock()
	if !repeated {
		r.host.log(r.urn, info, true, message)
	}
}

// statusWarning shows a warning until the next status, once per operation.
func (r *reporter) statusWarning(format string, args ...any) {
	r.once(warning, true, fmt.Sprintf(format, args...))
}

// clear empties the status column once the operation is over.
func (r *reporter) clear() {
	r.mu.Lock()
	spoken := r.last != ""
	r.last = ""
	r.mu.Unlock()
	if spoken {
		r.host.log(r.urn, info, true, "")
	}
}

// say writes a lasting line, once per operation.
func (r *reporter) say(level severity, format string, args ...any) {
	r.once(level, false, fmt.Sprintf(format, args...))
}

func (r *reporter) once(level severity, ephemeral bool, message string) {
	message = r.secrets.hide(message)
	key := fmt.Sprint(ephemeral, message)
	r.mu.Lock()
	repeated := r.said[key]
	if r.said == nil {
		r.said = map[string]bool{}
	}
	r.said[key] = true
	r.mu.Unlock()
	if !repeated {
		r.host.log(r.urn, level, ephemeral, message)
	}
}
