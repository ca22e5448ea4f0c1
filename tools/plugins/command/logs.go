package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// longestLine is the most of one line that goes to the log, in bytes. The output keeps all of it.
	longestLine = 64 << 10
	// longestExcerpt is the most of the output that an error message quotes, in bytes, from the end.
	longestExcerpt = 128 << 10
	// shortestSecret is the length from which a line of a secret is hidden: `fi` or `done` are no secrets.
	shortestSecret = 8
	hidden         = "[secret]"
)

// engineLog is the engine's own log. Without an address it is silent.
type engineLog struct {
	client pulumirpc.EngineClient
}

func connectEngine(address string) (*engineLog, error) {
	if address == "" {
		return &engineLog{}, nil
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to the engine at %s: %w", address, err)
	}
	return &engineLog{client: pulumirpc.NewEngineClient(connection)}, nil
}

// logger writes one resource's messages and the output of its commands.
type logger struct {
	engine *engineLog
	urn    string
	// mode is one of loggingModes; empty is stdoutAndStderr.
	mode string
	// secrets are texts that never appear in a message.
	secrets []string
}

func (l *logger) withMode(mode string) *logger {
	copied := *l
	copied.mode = mode
	return &copied
}

// hiding keeps each line of the text out of messages.
func (l *logger) hiding(text string) *logger {
	copied := *l
	copied.secrets = append([]string{}, l.secrets...)
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); len(line) >= shortestSecret {
			copied.secrets = append(copied.secrets, line)
		}
	}
	return &copied
}

func (l *logger) clean(text string) string {
	for _, secret := range l.secrets {
		text = strings.ReplaceAll(text, secret, hidden)
	}
	return text
}

func (l *logger) warning(text string) { l.send(pulumirpc.LogSeverity_WARNING, text, false) }
func (l *logger) failure(text string) { l.send(pulumirpc.LogSeverity_ERROR, text, false) }

// status replaces the resource's previous status and leaves nothing in the summary.
func (l *logger) status(text string) { l.send(pulumirpc.LogSeverity_INFO, text, true) }

func (l *logger) send(severity pulumirpc.LogSeverity, text string, ephemeral bool) {
	if l.engine == nil || l.engine.client == nil {
		return
	}
	// A message that can not be delivered is no reason to fail the command.
	_, _ = l.engine.client.Log(context.Background(), &pulumirpc.LogRequest{
		Severity: severity, Urn: l.urn, Message: l.clean(text), Ephemeral: ephemeral,
	})
}

// waitingLines is how many lines may wait for the engine before the command has to.
const waitingLines = 1000

// capture collects what a command writes and shows it line by line, in the order it came, as the
// resource's status.
type capture struct {
	stdout stream
	stderr stream

	mu       sync.Mutex
	combined strings.Builder
	lines    chan string
	done     chan struct{}
}

func newCapture(log *logger) *capture {
	captured := &capture{lines: make(chan string, waitingLines), done: make(chan struct{})}
	all := log.mode == "" || log.mode == "stdoutAndStderr"
	captured.stdout = stream{capture: captured, logged: all || log.mode == "stdout"}
	captured.stderr = stream{capture: captured, logged: all || log.mode == "stderr"}
	go func() {
		defer close(captured.done)
		for line := range captured.lines {
			log.status(line)
		}
	}()
	return captured
}

// finish waits until everything is logged.
func (c *capture) finish() output {
	c.stdout.end()
	c.stderr.end()
	close(c.lines)
	<-c.done
	return output{stdout: strings.TrimSuffix(c.stdout.all.String(), "\n"), stderr: strings.TrimSuffix(c.stderr.all.String(), "\n")}
}

// failure is the error of a command, with its output.
func (c *capture) failure(err error, run script) error {
	text := c.combined.String()
	if len(text) > longestExcerpt {
		text = fmt.Sprintf("… (%d bytes before)\n%s", len(text)-longestExcerpt, text[len(text)-longestExcerpt:])
	}
	return fmt.Errorf("%w: running %q:\n%s", err, run.shown, run.log.clean(text))
}

// stream is one of the two outputs.
type stream struct {
	capture *capture
	logged  bool
	all     strings.Builder
	// line is the begin of a line whose end has not come yet; dropped counts what is beyond longestLine.
	line    []byte
	dropped int
}

func (s *stream) Write(chunk []byte) (int, error) {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	s.all.Write(chunk)
	s.capture.combined.Write(chunk)
	if !s.logged {
		return len(chunk), nil
	}
	rest := chunk
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			s.append(rest)
			return len(chunk), nil
		}
		s.append(rest[:end])
		s.flush()
		rest = rest[end+1:]
	}
}

func (s *stream) append(text []byte) {
	room := longestLine - len(s.line)
	if len(text) > room {
		s.dropped += len(text) - room
		text = text[:room]
	}
	s.line = append(s.line, text...)
}

func (s *stream) flush() {
	text := strings.TrimRight(string(s.line), "\r")
	if s.dropped > 0 {
		text = fmt.Sprintf("%s… (%d more bytes)", text, s.dropped)
	}
	s.line, s.dropped = s.line[:0], 0
	s.capture.lines <- text
}

// end logs a last line without a line feed.
func (s *stream) end() {
	s.capture.mu.Lock()
	defer s.capture.mu.Unlock()
	if len(s.line) > 0 {
		s.flush()
	}
}
