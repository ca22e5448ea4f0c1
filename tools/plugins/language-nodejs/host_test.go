package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"gourmetgram.dev/plugins/internal/hosting"
)

func startHost(t *testing.T) pulumirpc.LanguageRuntimeClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pulumirpc.RegisterLanguageRuntimeServer(server, newHost(t.Context(), hosting.Arguments{EngineAddress: "engine:1"}))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return pulumirpc.NewLanguageRuntimeClient(connection)
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// newProject is a program whose @pulumi/pulumi runs the given script in place of the SDK's runner.
func newProject(t *testing.T, runner string) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("node is not on PATH")
	}
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "node_modules/@pulumi/pulumi/cmd/run/index.js"), runner)
	writeFile(t, filepath.Join(folder, "node_modules/@pulumi/pulumi/cmd/run-plugin/index.js"), runner)
	return folder
}

func infoOf(t *testing.T, folder string, options map[string]any) *pulumirpc.ProgramInfo {
	t.Helper()
	encoded, err := structpb.NewStruct(options)
	if err != nil {
		t.Fatal(err)
	}
	return &pulumirpc.ProgramInfo{RootDirectory: folder, ProgramDirectory: folder, EntryPoint: ".", Options: encoded}
}

// A runner that writes what it was given to a file.
const recorder = `require("fs").writeFileSync("record.json", JSON.stringify({
  args: process.argv.slice(2), exec: process.execArgv, cwd: process.cwd(),
  config: process.env.PULUMI_CONFIG, secrets: process.env.PULUMI_CONFIG_SECRET_KEYS,
  typescript: process.env.PULUMI_NODEJS_TYPESCRIPT }))`

func TestRunGivesTheRunnerWhatItReads(t *testing.T) {
	client, folder := startHost(t), newProject(t, recorder)
	response, err := client.Run(t.Context(), &pulumirpc.RunRequest{
		Project: "project", Stack: "stack", Organization: "organization", Pwd: folder, MonitorAddress: "monitor:1",
		DryRun: true, Parallel: 16, Args: []string{"own argument"},
		Config: map[string]string{"project:word": "value"}, ConfigSecretKeys: []string{"project:password"},
		Info: infoOf(t, folder, map[string]any{"typescript": false, "nodeargs": "--max-old-space-size=512 '--title=two words'"}),
	})
	if err != nil || response.GetError() != "" || response.GetBail() {
		t.Fatalf("got %v, %v", response, err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"--monitor","monitor:1"`, `"--engine","engine:1"`, `"--organization","organization"`, `"--project","project"`,
		`"--stack","stack"`, `"--dry-run"`, `"--parallel","16"`, `"--root-directory","` + folder + `"`,
		`".","own argument"]`, `"exec":["--max-old-space-size=512","--title=two words"]`,
		`"config":"{\"project:word\":\"value\"}"`, `"secrets":"[\"project:password\"]"`, `"typescript":"false"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
}

func TestRunTellsHowTheProgramEnded(t *testing.T) {
	client := startHost(t)
	run := func(script string) *pulumirpc.RunResponse {
		folder := newProject(t, script)
		response, err := client.Run(t.Context(), &pulumirpc.RunRequest{Pwd: folder, Info: infoOf(t, folder, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	if got := run("process.exit(32)"); !got.GetBail() || got.GetError() != "" {
		t.Errorf("32 means that the user was told: %v", got)
	}
	if got := run("process.exit(3)").GetError(); got != "Program exited with non-zero exit code: 3" {
		t.Errorf("got %q", got)
	}
	if got := run(`process.kill(process.pid, "SIGKILL")`).GetError(); !strings.Contains(got, "memory") {
		t.Errorf("a killed program must be told with its likely cause, got %q", got)
	}
}

func TestCancelEndsTheProgram(t *testing.T) {
	client, folder := startHost(t), newProject(t, `require("fs").writeFileSync("pid", ""+process.pid); setInterval(()=>{}, 1000)`)
	ended := make(chan string, 1)
	go func() {
		response, err := client.Run(context.Background(), &pulumirpc.RunRequest{Pwd: folder, Info: infoOf(t, folder, nil)})
		if err != nil {
			ended <- err.Error()
			return
		}
		ended <- response.GetError()
	}()
	for range 200 {
		if _, err := os.Stat(filepath.Join(folder, "pid")); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := client.Cancel(t.Context(), &emptypb.Empty{}); err != nil {
		t.Fatal(err)
	}
	select {
	case message := <-ended:
		if !strings.Contains(message, "cancelled") {
			t.Errorf("got %q", message)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the program goes on after Cancel")
	}
}

func TestMissingSdkSaysWhatToDo(t *testing.T) {
	client, folder := startHost(t), t.TempDir()
	_, err := client.Run(t.Context(), &pulumirpc.RunRequest{Pwd: folder, Info: infoOf(t, folder, nil)})
	if err == nil || !strings.Contains(err.Error(), "npm install") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, options := range map[string]map[string]any{
		"typescript":     {"typescript": "no"},
		"nodeargs":       {"nodeargs": "--title='open"},
		"packagemanager": {"packagemanager": "maven"},
	} {
		encoded, err := structpb.NewStruct(options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseOptions(encoded); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: got %v", options, err)
		}
	}
}

func TestRequiredPackages(t *testing.T) {
	client, folder := startHost(t), t.TempDir()
	manifest := func(path, text string) {
		writeFile(t, filepath.Join(folder, "node_modules", path, "package.json"), text)
	}
	manifest("@pulumi/pulumi", `{"name":"@pulumi/pulumi","version":"3.0.0"}`)
	manifest("@pulumi/command", `{"name":"@pulumi/command","version":"1.2.1","pulumi":{"resource":true,"name":"command","version":"1.2.1"}}`)
	manifest("@someone/thing", `{"name":"@someone/thing","version":"2.0.0","pulumi":{"resource":true,"server":"https://example.com"}}`)
	manifest("holder/node_modules/@pulumi/command", `{"name":"@pulumi/command","version":"0.9.0","pulumi":{"resource":true}}`)
	manifest("broken", `{"name":`)
	manifest("base", `{"name":"base","version":"1.0.0","pulumi":{"resource":true,"name":"base","version":"1.0.0",`+
		`"parameterization":{"name":"derived","version":"1.1.0","value":"dmFsdWU="}}}`)
	program := filepath.Join(folder, "below", "program")
	if err := os.MkdirAll(program, 0o755); err != nil {
		t.Fatal(err)
	}
	response, err := client.GetRequiredPackages(t.Context(), &pulumirpc.GetRequiredPackagesRequest{Info: infoOf(t, program, nil)})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, dependency := range response.GetPackages() {
		line := dependency.GetKind() + " " + dependency.GetName() + " " + dependency.GetVersion() + " " + dependency.GetServer()
		if parameter := dependency.GetParameterization(); parameter != nil {
			line += parameter.GetName() + " " + parameter.GetVersion() + " " + string(parameter.GetValue())
		}
		found = append(found, strings.TrimSpace(line))
	}
	want := "resource base v1.0.0 derived 1.1.0 value\nresource command v0.9.0\nresource command v1.2.1\n" +
		"resource someone/thing v2.0.0 https://example.com"
	if got := strings.Join(found, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProgramDependencies(t *testing.T) {
	client, folder := startHost(t), t.TempDir()
	writeFile(t, filepath.Join(folder, "package.json"), `{"dependencies":{"a":"^1.0.0"},"devDependencies":{"b":"2"}}`)
	writeFile(t, filepath.Join(folder, "node_modules/a/package.json"), `{"name":"a","version":"1.4.0"}`)
	writeFile(t, filepath.Join(folder, "node_modules/.package-lock.json"), `{"packages":{"node_modules/c":{"version":"3.0.0"},"node_modules/a":{"version":"1.4.0"}}}`)
	list := func(transitive bool) string {
		response, err := client.GetProgramDependencies(t.Context(), &pulumirpc.GetProgramDependenciesRequest{
			Info: infoOf(t, folder, nil), TransitiveDependencies: transitive,
		})
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, dependency := range response.GetDependencies() {
			lines = append(lines, dependency.GetName()+" "+dependency.GetVersion())
		}
		return strings.Join(lines, ", ")
	}
	if got := list(false); got != "a 1.4.0, b 2" {
		t.Errorf("got %s", got)
	}
	if got := list(true); got != "a 1.4.0, b 2, c 3.0.0" {
		t.Errorf("got %s", got)
	}
}

func TestRunPluginStreamsUntilTheEnd(t *testing.T) {
	client := startHost(t)
	folder := newProject(t, `console.log(process.argv.slice(2).join(" "), process.env.WORD); console.error("problem"); process.exit(4)`)
	stream, err := client.RunPlugin(t.Context(), &pulumirpc.RunPluginRequest{
		Pwd: folder, Args: []string{"engine:1"}, Env: append(os.Environ(), "WORD=word"), Info: infoOf(t, folder, nil), Kind: "resource",
	})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	code := int32(-1)
	for {
		message, err := stream.Recv()
		if err != nil {
			break
		}
		stdout.Write(message.GetStdout())
		stderr.Write(message.GetStderr())
		if exit, ok := message.GetOutput().(*pulumirpc.RunPluginResponse_Exitcode); ok {
			code = exit.Exitcode
		}
	}
	if stdout.String() != folder+" engine:1 word\n" || stderr.String() != "problem\n" || code != 4 {
		t.Errorf("got %q, %q, %d", stdout.String(), stderr.String(), code)
	}
}

func TestAbout(t *testing.T) {
	client := startHost(t)
	about, err := client.About(t.Context(), &pulumirpc.AboutRequest{})
	if err != nil || !strings.HasPrefix(about.GetVersion(), "v") || !strings.HasSuffix(about.GetExecutable(), "node") {
		t.Errorf("got %v, %v", about, err)
	}
}
