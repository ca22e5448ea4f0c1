package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// errorAlreadyShown is the exit code with which the SDK says that it told the user what was wrong.
const errorAlreadyShown = 32

// endGrace is how long a program may take to end after an interrupt.
const endGrace = 2 * time.Second

// Run executes the program and answers when it has ended.
func (h *host) Run(ctx context.Context, request *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	info := request.GetInfo()
	settings, err := parseOptions(info.GetOptions())
	if err != nil {
		return nil, err
	}
	folder := info.GetProgramDirectory()
	if folder == "" {
		folder = request.GetPwd()
	}
	runner, err := findSdkFile(folder, filepath.Join("cmd", "run", "index.js"))
	if err != nil {
		return nil, err
	}
	environment, err := runEnvironment(request, settings)
	if err != nil {
		return nil, err
	}
	arguments := append(append([]string{}, settings.nodeArguments...), runner)
	if request.GetAttachDebugger() {
		arguments = append([]string{"--inspect-brk=127.0.0.1:0"}, arguments...)
	}
	arguments = append(arguments, h.runArguments(request)...)

	code, err := h.runNode(ctx, nodeRun{
		arguments:   arguments,
		environment: environment,
		folder:      request.GetPwd(),
		stdout:      os.Stdout,
		stderr:      os.Stderr,
	})
	switch {
	case err != nil:
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	case code == errorAlreadyShown:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case code != 0:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("Program exited with non-zero exit code: %d", code)}, nil
	}
	return &pulumirpc.RunResponse{}, nil
}

// runArguments are the flags the SDK's runner reads, the entry point and the program's own arguments.
func (h *host) runArguments(request *pulumirpc.RunRequest) []string {
	var arguments []string
	add := func(name, value string) {
		if value != "" {
			arguments = append(arguments, "--"+name, value)
		}
	}
	add("monitor", request.GetMonitorAddress())
	add("engine", h.engine())
	add("organization", request.GetOrganization())
	add("root-directory", request.GetInfo().GetRootDirectory())
	add("project", request.GetProject())
	add("stack", request.GetStack())
	add("pwd", request.GetPwd())
	if request.GetDryRun() {
		arguments = append(arguments, "--dry-run")
	}
	add("parallel", strconv.Itoa(int(request.GetParallel())))
	add("tracing", h.tracing)

	entry := request.GetInfo().GetEntryPoint()
	if entry == "" {
		entry = "."
	}
	return append(append(arguments, entry), request.GetArgs()...)
}

// runEnvironment passes the stack's settings on. They go by environment and not by argument, so that secrets do not
// show in the list of processes.
func runEnvironment(request *pulumirpc.RunRequest, settings options) ([]string, error) {
	config := request.GetConfig()
	if config == nil {
		config = map[string]string{}
	}
	values, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the stack's settings: %w", err)
	}
	keys := request.GetConfigSecretKeys()
	if keys == nil {
		keys = []string{}
	}
	secretKeys, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("encode the names of secret settings: %w", err)
	}
	environment := append(os.Environ(),
		"PULUMI_CONFIG="+string(values),
		"PULUMI_CONFIG_SECRET_KEYS="+string(secretKeys),
		"PULUMI_NODEJS_TYPESCRIPT="+strconv.FormatBool(settings.typescript),
	)
	if settings.tsconfig != "" {
		environment = append(environment, "PULUMI_NODEJS_TSCONFIG_PATH="+settings.tsconfig)
	}
	return environment, nil
}

// nodeRun is one node process.
type nodeRun struct {
	arguments   []string
	environment []string
	folder      string
	stdout      io.Writer
	stderr      io.Writer
}

// runNode runs node to its end and returns its exit code. An error means that it could not start or was ended by a
// signal. The process ends when the call is given up, with this process, and even when this process is killed.
func (h *host) runNode(ctx context.Context, run nodeRun) (int, error) {
	node, err := findNode()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()

	command := exec.CommandContext(ctx, node, run.arguments...)
	command.Dir = run.folder
	command.Env = run.environment
	// Wrapped, so that os/exec makes pipes: node would switch a descriptor that it shares with us to non-blocking.
	command.Stdout = struct{ io.Writer }{run.stdout}
	command.Stderr = struct{ io.Writer }{run.stderr}
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = endGrace
	command.SysProcAttr = endWithThisProcess()

	// The kernel sends the signal of endWithThisProcess when the *thread* that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = command.Run()
	if err == nil {
		return 0, nil
	}
	if ctx.Err() != nil {
		return 0, errors.New("the program was stopped because the operation was cancelled")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, fmt.Errorf("run %s: %w", node, err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		cause := ""
		if status.Signal() == syscall.SIGKILL {
			cause = "; the machine may have run out of memory"
		}
		return 0, fmt.Errorf("the program was ended by a signal (%s)%s", status.Signal(), cause)
	}
	return exit.ExitCode(), nil
}

// findSdkFile looks for a file of @pulumi/pulumi the way node looks for packages: in `node_modules` of the folder and
// of every folder above it.
func findSdkFile(folder, file string) (string, error) {
	start, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", folder, err)
	}
	for at := start; ; at = filepath.Dir(at) {
		candidate := filepath.Join(at, "node_modules", "@pulumi", "pulumi", file)
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	for _, at := range strings.Split(os.Getenv("NODE_PATH"), string(os.PathListSeparator)) {
		candidate := filepath.Join(at, "@pulumi", "pulumi", file)
		if _, err := os.Stat(candidate); at != "" && err == nil {
			return candidate, nil
		}
	}
	return "", fmt.Errorf(
		"@pulumi/pulumi is not installed for the program in %s: run `npm install` there (looked for %s in node_modules "+
			"of that folder and of those above it)", start, file)
}
