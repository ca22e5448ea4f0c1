// pulumi-language-nodejs runs Pulumi programs written for Node.js. It is the offline stand-in for the official
// language host: same protocol, for machines that can download neither.
package main

import (
	"context"
	"fmt"
	"os"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"gourmetgram.dev/plugins/internal/hosting"
)

// version is set by the linker to the version of the engine this host goes with.
var version = "0.0.0-dev"

func main() {
	arguments, err := hosting.ParseArguments(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	err = hosting.Serve(func(ctx context.Context, server *grpc.Server) error {
		pulumirpc.RegisterLanguageRuntimeServer(server, newHost(ctx, arguments))
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
