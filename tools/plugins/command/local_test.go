package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
)

const localType = "command:local:Command"

func TestLocalCommand(t *testing.T) {
	plugin, folder := startPlugin(t), t.TempDir()
	inputs := map[string]any{
		"create":      "pwd; cat; echo $WORD; echo \"before:$PULUMI_COMMAND_STDERR\"; echo note >&2",
		"stdin":       "input\n",
		"dir":         folder,
		"environment": map[string]any{"WORD": "word"},
		"interpreter": []any{"/bin/sh", "-e", "-c"},
	}
	state := plugin.mustCreate(localType, inputs)
	if got := text(state, "stdout"); got != folder+"\ninput\nword\nbefore:" {
		t.Errorf("stdout is %q", got)
	}
	state, err := plugin.update(localType, state, inputs, runOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(state, "stdout"); !strings.HasSuffix(got, "before:note") {
		t.Errorf("the previous output must be in the environment, stdout is %q", got)
	}
	inputs["addPreviousOutputInEnv"] = false
	if state, err = plugin.update(localType, state, inputs, runOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := text(state, "stdout"); !strings.HasSuffix(got, "before:") {
		t.Errorf("the previous output must not be in the environment, stdout is %q", got)
	}
}

func TestLocalDeleteRunsInItsFolderWithItsInterpreter(t *testing.T) {
	plugin, folder := startPlugin(t), t.TempDir()
	state := plugin.mustCreate(localType, map[string]any{
		"delete": "pwd > deleted", "dir": folder, "interpreter": []any{"/bin/sh", "-e", "-c"},
	})
	if err := plugin.delete(localType, state); err != nil {
		t.Fatal(err)
	}
	expectFile(t, filepath.Join(folder, "deleted"), folder+"\n")
}

func TestLocalFailures(t *testing.T) {
	plugin := startPlugin(t)
	_, err := plugin.create(localType, map[string]any{"create": "echo why; exit 3"}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), `exit status 3: running "echo why; exit 3":`) || !strings.Contains(err.Error(), "why") {
		t.Errorf("got %v", err)
	}
	_, err = plugin.create(localType, map[string]any{"create": "true", "dir": "/does/not/exist"}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "dir /does/not/exist does not exist") {
		t.Errorf("got %v", err)
	}
}

func TestLocalFilesAreCollected(t *testing.T) {
	plugin, folder := startPlugin(t), t.TempDir()
	state := plugin.mustCreate(localType, map[string]any{
		"create":       "mkdir -p assets/logos src; touch assets/logos/logo.svg src/index.js src/secret.js other",
		"dir":          folder,
		"assetPaths":   []any{"assets/**", "src/**.js", "!**secret.*"},
		"archivePaths": []any{"src/*"},
	})
	assets, _ := values(state).object("assets")
	var found []string
	for key := range assets {
		found = append(found, string(key))
	}
	if len(found) != 2 || !assets.has("assets/logos/logo.svg") || !assets.has("src/index.js") {
		t.Errorf("assets are %v", found)
	}
	archive := plain(state["archive"])
	if !archive.IsArchive() {
		t.Fatalf("archive is %v", archive)
	}
	members, ok := archive.ArchiveValue().GetAssets()
	if !ok || len(members) != 2 {
		t.Errorf("archive has %v", members)
	}
}

func TestLocalPreviewKnowsWhatItCannotKnow(t *testing.T) {
	plugin := startPlugin(t)
	state, err := plugin.create(localType, map[string]any{
		"create": resource.MakeComputed(resource.NewProperty("")), "archivePaths": []any{"*"},
	}, runOptions{preview: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []resource.PropertyKey{"stdout", "stderr", "archive", "create"} {
		if !state[key].IsComputed() {
			t.Errorf("%s must be unknown: %v", key, state[key])
		}
	}
	if _, ok := state["assets"]; ok {
		t.Error("assets were not asked for")
	}
}

func TestCancelEndsEverythingTheCommandStarted(t *testing.T) {
	plugin := startPlugin(t)
	marker := filepath.Join(t.TempDir(), "alive")
	failed := make(chan error, 1)
	go func() {
		_, err := plugin.create(localType, map[string]any{
			"create": "(sleep 3; echo x > " + marker + ") & touch " + marker + ".begun; wait",
		}, runOptions{})
		failed <- err
	}()
	for range 100 {
		if _, err := os.Stat(marker + ".begun"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := plugin.client.Cancel(t.Context(), &emptypb.Empty{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-failed:
		if err == nil || !strings.Contains(err.Error(), "cancelled") {
			t.Errorf("got %v", err)
		}
	case <-time.After(2500 * time.Millisecond):
		t.Fatal("the command goes on after Cancel")
	}
	time.Sleep(3200 * time.Millisecond)
	if _, err := os.Stat(marker); err == nil {
		t.Error("a process that the command started goes on after Cancel")
	}
}

func TestRunFunction(t *testing.T) {
	plugin := startPlugin(t)
	arguments, err := write(properties(map[string]any{"command": "echo out; echo err >&2"}), "test")
	if err != nil {
		t.Fatal(err)
	}
	response, err := plugin.client.Invoke(t.Context(), &pulumirpc.InvokeRequest{Tok: "command:local:run", Args: arguments})
	if err != nil {
		t.Fatal(err)
	}
	result := plugin.read(response.GetReturn())
	if text(result, "stdout") != "out" || text(result, "stderr") != "err" || text(result, "command") != "echo out; echo err >&2" {
		t.Errorf("got %v", result)
	}
}

func TestReadKeepsTheState(t *testing.T) {
	plugin := startPlugin(t)
	state, err := write(properties(map[string]any{"create": "true", "stdout": "x"}), "test")
	if err != nil {
		t.Fatal(err)
	}
	response, err := plugin.client.Read(t.Context(), &pulumirpc.ReadRequest{
		Id: "some", Urn: urnOf(localType), Properties: state, Inputs: state,
	})
	if err != nil {
		t.Fatal(err)
	}
	if response.GetId() != "some" || text(plugin.read(response.GetProperties()), "stdout") != "x" {
		t.Errorf("got %v", response)
	}
}

func TestUnknownTypesAreNamed(t *testing.T) {
	plugin := startPlugin(t)
	_, err := plugin.client.Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf("command:remote:CopyFile")})
	if err == nil || !strings.Contains(err.Error(), `"command:remote:CopyFile"`) {
		t.Errorf("got %v", err)
	}
}
