// pulumi-resource-command runs commands on this machine and, over SSH, on others. It is the offline stand-in for
// version 1.2.1 of the official command provider: same resources, same observable behaviour, for machines that can not
// download it.
package main

import (
	"context"
	"fmt"
	"os"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"gourmetgram.dev/plugins/internal/hosting"
)

// version is set by the linker to the version of the official plugin this one stands for.
var version = "1.2.1"

func main() {
	arguments, err := hosting.ParseArguments(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	err = hosting.Serve(func(ctx context.Context, server *grpc.Server) error {
		plugin, err := newProvider(ctx, arguments.EngineAddress)
		if err != nil {
			return err
		}
		pulumirpc.RegisterResourceProviderServer(server, plugin)
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
