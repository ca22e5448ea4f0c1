// Package hosting is what every plugin process needs: the command line the engine starts it with, a gRPC server on
// loopback whose port goes to standard output, and an end when the engine ends.
package hosting

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// engineCheck is the time between two looks at whether the engine still runs.
const engineCheck = 250 * time.Millisecond

// endGrace is how long calls under way may take to end after an interrupt, before the process leaves anyway. The
// engine kills a plugin after five seconds.
const endGrace = 3 * time.Second

// Arguments is the command line of a plugin.
type Arguments struct {
	// EngineAddress is `host:port` of the engine's own gRPC server, empty when none was given.
	EngineAddress string
	// Tracing is the endpoint for traces, empty when off.
	Tracing string
}

// ParseArguments reads the flags the engine passes to every plugin and the engine's address behind them.
func ParseArguments(arguments []string) (Arguments, error) {
	flags := flag.NewFlagSet("plugin", flag.ContinueOnError)
	var parsed Arguments
	flags.StringVar(&parsed.Tracing, "tracing", "", "endpoint for traces")
	flags.Bool("logtostderr", false, "log to standard error")
	flags.Int("v", 0, "verbosity")
	if err := flags.Parse(arguments); err != nil {
		return Arguments{}, err
	}
	parsed.EngineAddress = flags.Arg(0)
	return parsed, nil
}

// Serve runs the gRPC server until an interrupt or the end of the engine. The context given to register ends
// first, so that calls under way can stop what they started.
func Serve(register func(ctx context.Context, server *grpc.Server) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go endWithEngine(ctx, cancel)

	stopServing := make(chan bool)
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: stopServing,
		Init:   func(server *grpc.Server) error { return register(ctx, server) },
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

// endWithEngine cancels when nobody reads what this process prints: the engine holds the other end of that pipe for as long as it
// lives. Without it a killed engine leaves its plugins (and the commands they run) behind. The parent's process number would not do:
// an engine that is killed while its plugin starts is gone before the plugin can know it.
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
