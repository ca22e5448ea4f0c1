package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	defaultDialErrorLimit = 10
	defaultPerDialTimeout = 15
	// unlimited as a dialErrorLimit never gives up.
	unlimited = -1

	// The time between two attempts grows from first by growth to longest.
	firstDelay   = 100 * time.Millisecond
	delayGrowth  = 1.5
	longestDelay = 5 * time.Second

	// keepaliveInterval and keepaliveMisses tell a dead connection from a silent command: a minute in all.
	keepaliveInterval = 15 * time.Second
	keepaliveMisses   = 4
)

func endpointFields(extra ...field) []field {
	return append([]field{
		{name: "host", shape: textShape, required: true},
		{name: "port", shape: numberShape, fallback: 22.0},
		{name: "user", shape: textShape, fallback: "root"},
		{name: "password", shape: textShape, secret: true},
		{name: "privateKey", shape: textShape, secret: true},
		{name: "privateKeyPassword", shape: textShape, secret: true},
		{name: "agentSocketPath", shape: textShape},
		{name: "hostKey", shape: textShape},
		{name: "dialErrorLimit", shape: numberShape, fallback: float64(defaultDialErrorLimit)},
		{name: "perDialTimeout", shape: numberShape, fallback: float64(defaultPerDialTimeout)},
	}, extra...)
}

// connectionField is the input that says how to reach the other machine.
var connectionField = field{
	name: "connection", shape: objectShape, required: true, secret: true,
	parts: endpointFields(field{name: "proxy", shape: objectShape, parts: endpointFields()}),
}

// endpoint is one SSH server and how to log in there.
type endpoint struct {
	address        string
	config         *ssh.ClientConfig
	dialErrorLimit int
	agent          net.Conn
}

// newEndpoint reads the connection or the proxy at the path. Errors never quote a key or a password.
func newEndpoint(path string, in values) (*endpoint, error) {
	timeout := time.Duration(in.number("perDialTimeout", defaultPerDialTimeout)) * time.Second
	made := &endpoint{
		address:        net.JoinHostPort(in.text("host"), strconv.Itoa(int(in.number("port", 22)))),
		dialErrorLimit: int(in.number("dialErrorLimit", defaultDialErrorLimit)),
		config: &ssh.ClientConfig{
			User: in.text("user"), Timeout: timeout, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		},
	}
	if in.has("hostKey") {
		if err := made.expectHostKey(path, in.text("hostKey")); err != nil {
			return nil, err
		}
	}
	var signers []ssh.Signer
	if in.has("privateKey") {
		signer, err := parseKey(in)
		if err != nil {
			return nil, fmt.Errorf("%s.privateKey: %w", path, err)
		}
		signers = append(signers, signer)
	}
	keys, err := made.connectAgent(path, in, len(signers) > 0)
	if err != nil {
		return nil, err
	}
	if len(signers) > 0 || keys != nil {
		made.config.Auth = append(made.config.Auth, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			if keys == nil {
				return signers, nil
			}
			more, err := keys.Signers()
			return append(signers, more...), err
		}))
	}
	if in.has("password") {
		password := in.text("password")
		made.config.Auth = append(made.config.Auth, ssh.Password(password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, _ []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for index := range answers {
					answers[index] = password
				}
				return answers, nil
			}))
	}
	return made, nil
}

func parseKey(in values) (ssh.Signer, error) {
	if in.has("privateKeyPassword") {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(in.text("privateKey")), []byte(in.text("privateKeyPassword")))
	}
	return ssh.ParsePrivateKey([]byte(in.text("privateKey")))
}

// connectAgent uses the agent that was asked for; the environment's only where there is no key.
func (e *endpoint) connectAgent(path string, in values, haveKey bool) (agent.ExtendedAgent, error) {
	socket := in.text("agentSocketPath")
	asked := socket != ""
	if !asked && !haveKey {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" {
		return nil, nil
	}
	connection, err := net.Dial("unix", socket)
	if err != nil {
		if asked {
			return nil, fmt.Errorf("%s.agentSocketPath: %w", path, err)
		}
		return nil, nil
	}
	e.agent = connection
	return agent.NewClient(connection), nil
}

func (e *endpoint) close() {
	if e.agent != nil {
		_ = e.agent.Close()
	}
}

// expectHostKey accepts only the given key: `type base64`, as in a `.pub` or known_hosts file.
func (e *endpoint) expectHostKey(path, text string) error {
	expected, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		// A line of known_hosts has the host's name in front.
		if _, rest, found := strings.Cut(strings.TrimSpace(text), " "); found {
			expected, _, _, _, err = ssh.ParseAuthorizedKey([]byte(rest))
		}
	}
	if err != nil {
		return fmt.Errorf("%s.hostKey: it must be a public key such as `ssh-ed25519 AAAA…`: %w", path, err)
	}
	// Ask for this kind of key, else a server with several might show another one.
	e.config.HostKeyAlgorithms = []string{expected.Type()}
	if expected.Type() == ssh.KeyAlgoRSA {
		e.config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	e.config.HostKeyCallback = func(_ string, _ net.Addr, shown ssh.PublicKey) error {
		if bytes.Equal(shown.Marshal(), expected.Marshal()) {
			return nil
		}
		return fmt.Errorf("ssh: host key mismatch: %s shows %s, expected %s",
			e.address, ssh.FingerprintSHA256(shown), ssh.FingerprintSHA256(expected))
	}
	return nil
}

// connection is an open SSH connection. Closing it closes the way through the proxy, too.
type connection struct {
	*ssh.Client
	closers []func()
	lost    chan struct{}
}

func (c *connection) Close() {
	for index := len(c.closers) - 1; index >= 0; index-- {
		c.closers[index]()
	}
}

// dial connects as the `connection` input says, trying again as often as its dialErrorLimit allows. Every attempt is
// a whole one: through a proxy, a server that answers before its keys are there would otherwise never let anyone in.
func dial(ctx context.Context, log *logger, in values) (*connection, error) {
	target, err := newEndpoint("connection", in)
	if err != nil {
		return nil, err
	}
	made := &connection{closers: []func(){target.close}, lost: make(chan struct{})}
	proxyInputs, throughProxy := in.object("proxy")
	if !throughProxy {
		made.Client, err = withRetry(ctx, log, "Dial", target.dialErrorLimit, func() (*ssh.Client, error) {
			return target.handshake(ctx, func(ctx context.Context) (net.Conn, error) {
				dialer := net.Dialer{Timeout: target.config.Timeout, KeepAlive: keepaliveInterval}
				return dialer.DialContext(ctx, "tcp", target.address)
			})
		})
	} else {
		made.Client, err = dialThroughProxy(ctx, log, target, proxyInputs, made)
	}
	if err != nil {
		made.Close()
		return nil, err
	}
	client := made.Client
	made.closers = append(made.closers, func() { _ = client.Close() })
	stop := make(chan struct{})
	made.closers = append(made.closers, func() { close(stop) })
	go made.keepAlive(stop)
	return made, nil
}

func dialThroughProxy(
	ctx context.Context, log *logger, target *endpoint, in values, made *connection,
) (*ssh.Client, error) {
	proxy, err := newEndpoint("connection.proxy", in)
	if err != nil {
		return nil, err
	}
	made.closers = append(made.closers, proxy.close)
	var hop *ssh.Client
	client, err := withRetry(ctx, log, "Dial from proxy", target.dialErrorLimit, func() (*ssh.Client, error) {
		if hop == nil {
			opened, err := withRetry(ctx, log, "Dial proxy", proxy.dialErrorLimit, func() (*ssh.Client, error) {
				return proxy.handshake(ctx, func(ctx context.Context) (net.Conn, error) {
					dialer := net.Dialer{Timeout: proxy.config.Timeout, KeepAlive: keepaliveInterval}
					return dialer.DialContext(ctx, "tcp", proxy.address)
				})
			})
			if err != nil {
				return nil, final{err}
			}
			hop = opened
		}
		client, err := target.handshake(ctx, func(ctx context.Context) (net.Conn, error) {
			return hop.DialContext(ctx, "tcp", target.address)
		})
		var refused *ssh.OpenChannelError
		if err != nil && !errors.As(err, &refused) {
			// The way through may be what broke; the next attempt takes a new one.
			_ = hop.Close()
			hop = nil
		}
		return client, err
	})
	if err != nil {
		if hop != nil {
			_ = hop.Close()
		}
		return nil, fmt.Errorf("proxy: %w", err)
	}
	through := hop
	made.closers = append(made.closers, func() { _ = through.Close() })
	return client, nil
}

// handshake opens a connection and logs in, both within perDialTimeout (0: no limit).
func (e *endpoint) handshake(ctx context.Context, open func(context.Context) (net.Conn, error)) (*ssh.Client, error) {
	if e.config.Timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, e.config.Timeout)
		defer cancel()
		ctx = limited
	}
	raw, err := open(ctx)
	if err != nil {
		return nil, err
	}
	// Connections through a proxy know no deadlines, so the connection is closed when time is up.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	opened, channels, requests, err := ssh.NewClientConn(raw, e.address, e.config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("no SSH answer from %s within %s: %w", e.address, e.config.Timeout, err)
		}
		return nil, err
	}
	return ssh.NewClient(opened, channels, requests), nil
}

// final is an error that another attempt would not cure.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// withRetry tries until it works, until the limit of failed attempts is passed, or until the context ends.
func withRetry[T any](ctx context.Context, log *logger, what string, limit int, attempt func() (T, error)) (T, error) {
	delay := firstDelay
	for failed := 0; ; failed++ {
		result, err := attempt()
		if err == nil {
			return result, nil
		}
		var none T
		var last final
		if errors.As(err, &last) {
			return none, last.error
		}
		if ctx.Err() != nil {
			return none, fmt.Errorf("after %d failed attempts: %w", failed+1, err)
		}
		if limit > unlimited && failed >= limit {
			return none, fmt.Errorf("after %d failed attempts: %w", failed, err)
		}
		shown := "inf"
		if limit != unlimited {
			shown = strconv.Itoa(limit)
		}
		log.status(fmt.Sprintf("%s %d/%s failed: retrying (%s)", what, failed+1, shown, err))
		select {
		case <-ctx.Done():
			return none, fmt.Errorf("after %d failed attempts: %w", failed+1, err)
		case <-time.After(delay):
		}
		delay = min(time.Duration(float64(delay)*delayGrowth), longestDelay)
	}
}

// keepAlive asks for an answer now and then and closes the connection when none comes: a command on a machine that is
// gone would otherwise never end.
func (c *connection) keepAlive(stop <-chan struct{}) {
	ticker := time.NewTicker(keepaliveInterval)
	defer ticker.Stop()
	answered := make(chan struct{}, 1)
	asking, misses := false, 0
	for {
		select {
		case <-stop:
			return
		case <-answered:
			asking, misses = false, 0
		case <-ticker.C:
			if asking {
				if misses++; misses >= keepaliveMisses {
					close(c.lost)
					_ = c.Client.Close()
					return
				}
				continue
			}
			asking = true
			go func() {
				if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err == nil {
					answered <- struct{}{}
				}
			}()
		}
	}
}
