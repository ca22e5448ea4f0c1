package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Names of the variables with the previous run's output.
const (
	previousStdout = "PULUMI_COMMAND_STDOUT"
	previousStderr = "PULUMI_COMMAND_STDERR"
)

var loggingModes = []string{"stdout", "stderr", "stdoutAndStderr", "none"}

// scriptFields are the inputs that local and remote commands share.
var scriptFields = []field{
	{name: "addPreviousOutputInEnv", shape: flagShape},
	{name: "create", shape: textShape},
	{name: "update", shape: textShape},
	{name: "delete", shape: textShape},
	{name: "environment", shape: textMapShape},
	{name: "logging", shape: textShape, allowed: loggingModes},
	{name: "stdin", shape: textShape},
	{name: "triggers", shape: listShape},
}

// script is one run of a command.
type script struct {
	// command is run by a shell; shown stands for it in messages.
	command string
	shown   string
	stdin   string
	// environment is what the user asked for; previous is the output of the run before.
	environment map[string]string
	previous    map[string]string
	log         *logger
}

// output is what a run wrote, each without its last line feed.
type output struct {
	stdout string
	stderr string
}

func (o output) properties() resource.PropertyMap {
	return resource.PropertyMap{
		"stdout": resource.NewProperty(o.stdout),
		"stderr": resource.NewProperty(o.stderr),
	}
}

// previousOutput is the output kept in the state.
func previousOutput(state resource.PropertyMap) output {
	return output{stdout: values(state).text("stdout"), stderr: values(state).text("stderr")}
}

// newScript prepares the run of the input with the given name.
func newScript(name string, inputs resource.PropertyMap, before output, log *logger) script {
	in := values(inputs)
	run := script{
		command:     in.text(name),
		shown:       in.text(name),
		stdin:       in.text("stdin"),
		environment: in.textMap("environment"),
		previous:    map[string]string{},
		log:         log.withMode(in.text("logging")),
	}
	if in.isSecret(name) {
		run.shown = "[secret]"
		run.log = run.log.hiding(run.command)
	}
	if in.isSecret("stdin") {
		run.log = run.log.hiding(run.stdin)
	}
	if in.isSecret("environment") {
		for _, value := range run.environment {
			run.log = run.log.hiding(value)
		}
	}
	if in.flag("addPreviousOutputInEnv", true) {
		if before.stdout != "" {
			run.previous[previousStdout] = before.stdout
		}
		if before.stderr != "" {
			run.previous[previousStderr] = before.stderr
		}
	}
	return run
}

// updateScript is the name of the input to run on an update: `update`, else `create`, else none.
func updateScript(inputs resource.PropertyMap) string {
	for _, name := range []string{"update", "create"} {
		if values(inputs).has(name) {
			return name
		}
	}
	return ""
}
