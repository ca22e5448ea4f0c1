package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// localCommand is command:local:Command.
type localCommand struct{}

func (localCommand) fields() []field {
	return append([]field{
		{name: "interpreter", shape: textListShape},
		{name: "dir", shape: textShape},
		{name: "assetPaths", shape: textListShape},
		{name: "archivePaths", shape: textListShape},
	}, scriptFields...)
}

func (localCommand) check(resource.PropertyMap) []problem { return nil }

func (localCommand) computed(inputs resource.PropertyMap) []resource.PropertyKey {
	keys := []resource.PropertyKey{"stdout", "stderr"}
	if values(inputs).has("assetPaths") {
		keys = append(keys, "assets")
	}
	if values(inputs).has("archivePaths") {
		keys = append(keys, "archive")
	}
	return keys
}

func (c localCommand) create(ctx context.Context, log *logger, inputs resource.PropertyMap) (resource.PropertyMap, error) {
	if !values(inputs).has("create") {
		return output{}.properties(), nil
	}
	return c.runAndCollect(ctx, newScript("create", inputs, output{}, log), inputs)
}

func (c localCommand) update(
	ctx context.Context, log *logger, state, inputs resource.PropertyMap,
) (resource.PropertyMap, error) {
	before := previousOutput(state)
	name := updateScript(inputs)
	if name == "" {
		kept := before.properties()
		for _, key := range []resource.PropertyKey{"assets", "archive"} {
			if value, ok := state[key]; ok {
				kept[key] = value
			}
		}
		return kept, nil
	}
	return c.runAndCollect(ctx, newScript(name, inputs, before, log), inputs)
}

func (c localCommand) delete(ctx context.Context, log *logger, state resource.PropertyMap) error {
	if !values(state).has("delete") {
		return nil
	}
	_, err := c.run(ctx, newScript("delete", state, previousOutput(state), log), values(state))
	return err
}

func (c localCommand) runAndCollect(
	ctx context.Context, run script, inputs resource.PropertyMap,
) (resource.PropertyMap, error) {
	in := values(inputs)
	result, err := c.run(ctx, run, in)
	if err != nil {
		return nil, err
	}
	outputs := result.properties()
	return outputs, addFiles(outputs, in.text("dir"), in)
}

func (localCommand) run(ctx context.Context, run script, in values) (output, error) {
	interpreter := in.texts("interpreter")
	if len(interpreter) == 0 {
		interpreter = []string{"/bin/sh", "-c"}
	}
	command := exec.CommandContext(ctx, interpreter[0], append(interpreter[1:], run.command)...)
	command.Dir = in.text("dir")
	command.Env = os.Environ()
	for _, variables := range []map[string]string{run.environment, run.previous} {
		for name, value := range variables {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	if run.stdin != "" {
		command.Stdin = strings.NewReader(run.stdin)
	}
	captured := newCapture(run.log)
	command.Stdout, command.Stderr = &captured.stdout, &captured.stderr
	defer endTogether(command)()

	err := command.Run()
	result := captured.finish()
	if err == nil {
		return result, nil
	}
	if _, statErr := os.Stat(command.Dir); command.Dir != "" && statErr != nil {
		err = fmt.Errorf("dir %s does not exist", command.Dir)
	}
	return output{}, captured.failure(err, run)
}
