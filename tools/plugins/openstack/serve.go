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
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// As in tools/plugins/internal/hosting, which cannot be used from here: its module needs other versions of the same
// dependencies. The bridge's own main goes on when its engine is killed.

// engineCheck is the time between two looks at whether the engine still runs.
const engineCheck = 250 * time.Millisecond

// endGrace is how long calls under way may take to end after an interrupt, before the process leaves anyway. The
// engine kills a plugin after five seconds.
const endGrace = 3 * time.Second

// serve runs the gRPC server on loopback and prints its port, until an interrupt or the end of the engine.
func serve(plugin pulumirpc.ResourceProviderServer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go endWithEngine(ctx, cancel)

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

// endWithEngine cancels when nobody reads what this process prints, which the engine does for as long as it lives.
func endWithEngine(ctx context.Context, cancel context.CancelFunc) {
	ticker := time.NewTicker(engineCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if outputIsClosed() {
				cancel()
				return
			}
		}
	}
}

func outputIsClosed() bool {
	output := []unix.PollFd{{Fd: int32(os.Stdout.Fd())}}
	_, err := unix.Poll(output, 0)
	return err == nil && output[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}
