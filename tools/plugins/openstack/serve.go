package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// As in tools/plugins/internal/hosting, which cannot be used from here: its module needs other versions of the same
// dependencies. The bridge's own main goes on when its engine is killed.

// parentCheck is the time between two looks at whether the engine still runs.
const parentCheck = 250 * time.Millisecond

// endGrace is how long calls under way may take to end after an interrupt, before the process leaves anyway. The
// engine kills a plugin after five seconds.
const endGrace = 3 * time.Second

// serve runs the gRPC server on loopback and prints its port, until an interrupt or the end of the parent process.
func serve(parent int, plugin pulumirpc.ResourceProviderServer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go endWithParent(ctx, parent, cancel)

	stopServing := make(chan bool)
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: stopServing,
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterResourceProviderServer(server, plugin)
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("start the gRPC server: %w", err)
	}
	fmt.Printf("%d\n", handle.Port)

	select {
	case err := <-handle.Done:
		return err
	case <-ctx.Done():
		close(stopServing)
	}
	select {
	case err := <-handle.Done:
		return err
	case <-time.After(endGrace):
		return nil
	}
}

// endWithParent cancels when the process that started this one is gone.
func endWithParent(ctx context.Context, parent int, cancel context.CancelFunc) {
	ticker := time.NewTicker(parentCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if os.Getppid() != parent {
				cancel()
				return
			}
		}
	}
}
