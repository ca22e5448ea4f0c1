// pulumi-resource-openstack makes OpenStack resources. It is the offline stand-in for version 3.15.2 of the official
// provider and made the same way, from the upstream Terraform provider and Pulumi's bridge: same tokens, same property
// names, same behaviour, for machines that can not download it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi/pkg/v3/resource/provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/logging"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// version is set by the linker to the version of the official plugin this one stands for.
var version = "3.15.2"

// garbagePercent lets a process that lives for seconds, with a heap of some MiB, collect garbage less often.
const garbagePercent = 400

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-openstack:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	debug.SetGCPercent(garbagePercent)
	flags := flag.NewFlagSet("pulumi-resource-openstack", flag.ContinueOnError)
	// Every engine passes it. Spans are not sent anywhere.
	flags.String("tracing", "", "endpoint for traces")
	toStderr := flags.Bool("logtostderr", false, "log to standard error")
	verbosity := flags.Int("v", 0, "verbosity")
	onlyVersion := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *onlyVersion {
		fmt.Println(version)
		return nil
	}
	logging.InitLogging(*toStderr, *verbosity, false)

	var engine *provider.HostClient
	if address := flags.Arg(0); address != "" {
		var err error
		if engine, err = provider.NewHostClient(address); err != nil {
			return fmt.Errorf("reach the engine at %s: %w", address, err)
		}
	}
	return serve(newServer(engine))
}

func newServer(engine *provider.HostClient) pulumirpc.ResourceProviderServer {
	ctx := context.Background()
	info := providerInfo()
	info.P.InitLogging(ctx)
	// Without the schema: the bridge would read all of it at every start, only to warn about types that the compiler of
	// the program and the upstream provider check anyway.
	return &server{tfbridge.NewProvider(ctx, engine, packageName, version, info.P, info, nil)}
}
