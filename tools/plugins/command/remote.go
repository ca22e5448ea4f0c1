package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"
)

// remoteCommand is command:remote:Command.
type remoteCommand struct{}

func (remoteCommand) fields() []field {
	return append([]field{connectionField}, scriptFields...)
}

func (remoteCommand) check(inputs resource.PropertyMap) []problem {
	return checkConnection(inputs)
}

func (remoteCommand) computed(resource.PropertyMap) []resource.PropertyKey {
	return []resource.PropertyKey{"stdout", "stderr"}
}

func (c remoteCommand) create(ctx context.Context, log *logger, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	if !values(inputs).has("create") {
		return output{}.properties(), nil
	}
	result, err := c.run(ctx, newScript("create", inputs, output{}, log), inputs)
	return result.properties(), err
}

func (c remoteCommand) update(
	ctx context.Context, log *logger, state, inputs resource.PropertyMap,
) (resource.PropertyMap, error) {
	before := previousOutput(state)
	name := updateScript(inputs)
	if name == "" {
		return before.properties(), nil
	}
	result, err := c.run(ctx, newScript(name, inputs, before, log), inputs)
	return result.properties(), err
}

func (c remoteCommand) delete(ctx context.Context, log *logger, state resource.PropertyMap) error {
	if !values(state).has("delete") {
		return nil
	}
	_, err := c.run(ctx, newScript("delete", state, previousOutput(state), log), state)
	return err
}

// checkConnection finds what can be told wrong without connecting, so that a preview shows it.
func checkConnection(inputs resource.PropertyMap) []problem {
	if resource.NewProperty(inputs).ContainsUnknowns() {
		return nil
	}
	in, ok := values(inputs).object("connection")
	if !ok {
		return nil
	}
	problems := checkEndpoint("connection", in)
	if proxy, ok := in.object("proxy"); ok {
		problems = append(problems, checkEndpoint("connection.proxy", proxy)...)
	}
	return problems
}

func checkEndpoint(path string, in values) []problem {
	var problems []problem
	if port := in.number("port", 22); port < 1 || port > 65535 || port != float64(int(port)) {
		problems = append(problems, problem{path + ".port", fmt.Sprintf("is %v; it must be a whole number from 1 to 65535", port)})
	}
	if limit := in.number("dialErrorLimit", 0); limit < unlimited {
		problems = append(problems, problem{path + ".dialErrorLimit", fmt.Sprintf("is %v; it must be -1 (no limit) or more", limit)})
	}
	if timeout := in.number("perDialTimeout", 0); timeout < 0 {
		problems = append(problems, problem{path + ".perDialTimeout", fmt.Sprintf("is %v; it must be 0 (no limit) or more, in seconds", timeout)})
	}
	if in.text("host") == "" {
		problems = append(problems, problem{path + ".host", "is empty; it must be a name or an address"})
	}
	return problems
}

func (remoteCommand) run(ctx context.Context, run script, inputs resource.PropertyMap) (output, error) {
	in, _ := values(inputs).object("connection")
	client, err := dial(ctx, run.log, in)
	if err != nil {
		return output{}, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return output{}, fmt.Errorf("open a session: %w", err)
	}
	defer func() { _ = session.Close() }()

	for name, value := range run.environment {
		if err := session.Setenv(name, value); err != nil {
			run.log.failure(acceptEnvHint(name))
			return output{}, fmt.Errorf("could not set environment variable %q: %w", name, err)
		}
	}
	for name, value := range run.previous {
		if err := session.Setenv(name, value); err != nil {
			run.log.warning(acceptEnvHint(name) + " Or set addPreviousOutputInEnv to false.")
			break
		}
	}
	if run.stdin != "" {
		session.Stdin = strings.NewReader(run.stdin)
	}
	captured := newCapture(run.log)
	session.Stdout, session.Stderr = &captured.stdout, &captured.stderr

	// The engine gives up: tell the command, then leave. The server ends what still runs when the connection is gone.
	stop := context.AfterFunc(ctx, func() {
		_ = session.Signal(ssh.SIGTERM)
		client.Client.Close()
	})
	defer stop()

	err = session.Run(run.command)
	result := captured.finish()
	if err == nil {
		return result, nil
	}
	select {
	case <-client.lost:
		err = fmt.Errorf("the connection was lost: no answer for %s: %w", keepaliveInterval*keepaliveMisses, err)
	default:
	}
	return output{}, captured.failure(err, run)
}

func acceptEnvHint(name string) string {
	return fmt.Sprintf("Unable to set '%s'. This only works if your SSH server is configured to accept these variables "+
		"via AcceptEnv. Alternatively, if a Bash-like shell runs the command on the remote host, you could prefix the "+
		"command itself with the variables in the form 'VAR=value command'.", name)
}
