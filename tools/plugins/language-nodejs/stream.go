package main

import (
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// sender is a writer whose chunks are messages.
type sender struct {
	send func(chunk []byte) error
}

func (s *sender) Write(chunk []byte) (int, error) {
	// The message may be encoded after Write returned, when the caller uses its buffer again.
	if err := s.send(append([]byte{}, chunk...)); err != nil {
		return 0, err
	}
	return len(chunk), nil
}

// streamLock lets the two outputs of a process share one stream, which allows one Send at a time.
type streamLock struct {
	mu     sync.Mutex
	stream grpc.ServerStreamingServer[pulumirpc.RunPluginResponse]
}

func newStreamLock(stream grpc.ServerStreamingServer[pulumirpc.RunPluginResponse]) *streamLock {
	return &streamLock{stream: stream}
}

func (s *streamLock) send(message *pulumirpc.RunPluginResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(message)
}
