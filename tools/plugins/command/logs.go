package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
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
	shortestSecret = 6
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

func (l *logger) info(text string)    { l.send(pulumirpc.LogSeverity_INFO, text, false) }
func (l *logger) warning(text string) { l.send(pulumirpc.LogSeverity_WARNING, text, false) }

// status replaces the resource's previous status and leaves nothing behind.
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

// capture collects what a command writes and logs it line by line as it comes.
type capture struct {
	log      *logger
	stdout   stream
	stderr   stream
	combined buffer
}

func newCapture(log *logger) *capture {
	captured := &capture{log: log}
	captured.stdout.start(log, log.mode == "" || log.mode == "stdout" || log.mode == "stdoutAndStderr", &captured.combined)
	captured.stderr.start(log, log.mode == "" || log.mode == "stderr" || log.mode == "stdoutAndStderr", &captured.combined)
	return captured
}

// finish waits until everything is logged.
func (c *capture) finish() output {
	return output{stdout: c.stdout.finish(), stderr: c.stderr.finish()}
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
	all      buffer
	combined *buffer
	pipe     *io.PipeWriter
	done     chan struct{}
}

func (s *stream) start(log *logger, logged bool, combined *buffer) {
	s.combined = combined
	if !logged {
		return
	}
	reader, writer := io.Pipe()
	s.pipe, s.done = writer, make(chan struct{})
	go func() {
		defer close(s.done)
		logLines(reader, log.info)
	}()
}

func (s *stream) Write(chunk []byte) (int, error) {
	s.all.Write(chunk)
	s.combined.Write(chunk)
	if s.pipe != nil {
		return s.pipe.Write(chunk)
	}
	return len(chunk), nil
}

func (s *stream) finish() string {
	if s.pipe != nil {
		_ = s.pipe.Close()
		<-s.done
	}
	return strings.TrimSuffix(s.all.String(), "\n")
}

// logLines reads to the end, whatever the length of the lines: a reader that gives up would block the command.
func logLines(reader io.Reader, log func(string)) {
	lines := bufio.NewReaderSize(reader, longestLine)
	for {
		line, err := lines.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\r\n")
		if err == bufio.ErrBufferFull {
			dropped := 0
			for err == bufio.ErrBufferFull {
				line, err = lines.ReadSlice('\n')
				dropped += len(line)
			}
			text = fmt.Sprintf("%s… (%d more bytes)", text, dropped)
		}
		if text != "" || err == nil {
			log(text)
		}
		if err != nil {
			return
		}
	}
}

// buffer is a bytes.Buffer for several writers.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(chunk []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(chunk)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
