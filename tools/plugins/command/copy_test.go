package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
)

const copyType = "command:remote:CopyToRemote"

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func expectFile(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if string(got) != content {
		t.Errorf("%s has %q, must have %q", path, got, content)
	}
}

func fileSource(t *testing.T, path string) resource.PropertyValue {
	t.Helper()
	made, err := asset.FromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return resource.NewProperty(made)
}

func folderSource(t *testing.T, path string) resource.PropertyValue {
	t.Helper()
	made, err := archive.FromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return resource.NewProperty(made)
}

func textSource(t *testing.T, content string) resource.PropertyValue {
	t.Helper()
	made, err := asset.FromText(content)
	if err != nil {
		t.Fatal(err)
	}
	return resource.NewProperty(made)
}

func TestCopyFile(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	source, target := t.TempDir(), t.TempDir()
	file := writeFile(t, filepath.Join(source, "file.txt"), "content")
	inputs := map[string]any{
		"connection": server.connection(nil), "source": fileSource(t, file),
		"remotePath": filepath.Join(target, "new", "folder", "name.txt"),
	}
	state := plugin.mustCreate(copyType, inputs)
	expectFile(t, filepath.Join(target, "new", "folder", "name.txt"), "content")

	writeFile(t, file, "other")
	inputs["source"] = fileSource(t, file)
	inputs["remotePath"] = target
	state, err := plugin.update(copyType, state, inputs, runOptions{})
	if err != nil {
		t.Fatal(err)
	}
	expectFile(t, filepath.Join(target, "file.txt"), "other")

	// Nothing to copy: a server that can not be reached does not matter.
	inputs["connection"] = server.connection(map[string]any{"port": 1, "dialErrorLimit": 0})
	if _, err := plugin.update(copyType, state, inputs, runOptions{}); err != nil {
		t.Errorf("a new connection alone copies again: %v", err)
	}
	if err := plugin.delete(copyType, state); err != nil {
		t.Fatal(err)
	}
	expectFile(t, filepath.Join(target, "file.txt"), "other")
}

func TestCopyFolder(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	source, target := filepath.Join(t.TempDir(), "source"), t.TempDir()
	writeFile(t, filepath.Join(source, "a.txt"), "a")
	writeFile(t, filepath.Join(source, "deep", "er", "b.txt"), strings.Repeat("b", 200_000))
	if err := os.Symlink("a.txt", filepath.Join(source, "link.txt")); err != nil {
		t.Fatal(err)
	}
	plugin.mustCreate(copyType, map[string]any{
		"connection": server.connection(nil), "source": folderSource(t, source), "remotePath": target,
	})
	expectFile(t, filepath.Join(target, "source", "a.txt"), "a")
	expectFile(t, filepath.Join(target, "source", "link.txt"), "a")
	expectFile(t, filepath.Join(target, "source", "deep", "er", "b.txt"), strings.Repeat("b", 200_000))

	plugin.mustCreate(copyType, map[string]any{
		"connection": server.connection(nil), "source": folderSource(t, source+"/"),
		"remotePath": filepath.Join(target, "plain"),
	})
	expectFile(t, filepath.Join(target, "plain", "a.txt"), "a")

	occupied := writeFile(t, filepath.Join(target, "occupied"), "x")
	_, err := plugin.create(copyType, map[string]any{
		"connection": server.connection(nil), "source": folderSource(t, source), "remotePath": occupied,
	}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "exists but is not a directory") {
		t.Errorf("a folder over a file must fail, got %v", err)
	}
}

func TestCopyText(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	target := t.TempDir()
	plugin.mustCreate(copyType, map[string]any{
		"connection": server.connection(nil), "source": textSource(t, "typed"), "remotePath": filepath.Join(target, "t.txt"),
	})
	expectFile(t, filepath.Join(target, "t.txt"), "typed")
	_, err := plugin.create(copyType, map[string]any{
		"connection": server.connection(nil), "source": textSource(t, "typed"), "remotePath": target,
	}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("got %v", err)
	}
}

func TestCopyRefusesRemoteSources(t *testing.T) {
	plugin := startPlugin(t)
	_, failures := plugin.check(copyType, map[string]any{
		"connection": map[string]any{"host": "h"}, "remotePath": "/x",
		"source": resource.NewProperty(&asset.Asset{Sig: asset.AssetSig, URI: "https://example.com/x"}),
	})
	if len(failures) != 1 || !strings.HasPrefix(failures[0], "source: ") {
		t.Errorf("got %v", failures)
	}
}
