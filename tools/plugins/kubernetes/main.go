// Command pulumi-resource-kubernetes is the offline stand-in for the official Pulumi provider plugin of the same name.
// It speaks the pulumirpc.ResourceProvider protocol for every apiVersion and kind a cluster serves, and is used only
// where the official plugin cannot be downloaded. What it leaves out (Helm, Kustomize, YAML rendering) it refuses by name.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"gourmetgram.dev/plugins/internal/hosting"
	"k8s.io/klog/v2"
)

// version is the release of @pulumi/kubernetes whose observable behaviour this plugin is held to.
const version = "4.34.2"

func main() {
	if slices.ContainsFunc(os.Args[1:], func(a string) bool { return a == "--version" || a == "-version" }) {
		fmt.Println(version)
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-kubernetes:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	parsed, err := hosting.ParseArguments(arguments)
	if err != nil {
		return err
	}
	// client-go logs reconnects of its watches; they are expected while a cluster starts and are not the user's concern.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	provider := newProvider()
	if parsed.EngineAddress != "" {
		if provider.host, err = newEngineHost(parsed.EngineAddress); err != nil {
			return err
		}
	}
	return hosting.Serve(func(ctx context.Context, server *grpc.Server) error {
		// What is waited for must not outlive the engine.
		context.AfterFunc(ctx, provider.cancel)
		pulumirpc.RegisterResourceProviderServer(server, provider)
		return nil
	})
}
