package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

const remoteType = "command:remote:Command"

func text(state resource.PropertyMap, name string) string { return values(state).text(name) }

func TestRemoteCommandRunsWithStdin(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	state := plugin.mustCreate(remoteType, map[string]any{
		"connection": server.connection(nil),
		"create":     "cat; echo to stderr >&2",
		"stdin":      "first\nsecond\n",
	})
	if got := text(state, "stdout"); got != "first\nsecond" {
		t.Errorf("stdout is %q; it must be the input without its last line feed", got)
	}
	if got := text(state, "stderr"); got != "to stderr" {
		t.Errorf("stderr is %q", got)
	}
	if logged := plugin.engine.logged(); !strings.Contains(logged, "first") || !strings.Contains(logged, "to stderr") {
		t.Errorf("both outputs must be logged, got %q", logged)
	}
}

func TestRemoteCommandKeepsTheConnectionSecret(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	state := plugin.mustCreate(remoteType, map[string]any{"connection": server.connection(nil), "create": "true"})
	if !state["connection"].IsSecret() {
		t.Error("the connection in the state must be secret although it was given in plain")
	}
	// The official plugin marks the key inside the secret, too, and compares the marks: without ours a change to the
	// official plugin would run every command again.
	if !state["connection"].SecretValue().Element.ObjectValue()["privateKey"].IsSecret() {
		t.Error("the key inside the connection must be marked, too")
	}
	state = plugin.mustCreate(remoteType, map[string]any{
		"connection": server.connection(nil), "create": "true", "stdin": secretText("a secret line"),
	})
	if !state["stdin"].IsSecret() {
		t.Error("a secret input must stay secret in the state")
	}
}

func TestRemoteCommandFailureTellsStatusCommandAndOutput(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	_, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(nil), "create": "echo what happened; exit 7",
	}, runOptions{})
	if err == nil {
		t.Fatal("a command that fails must fail the resource")
	}
	for _, part := range []string{"status 7", `running "echo what happened; exit 7"`, "what happened"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not have %q", err, part)
		}
	}
}

func TestRemoteCommandErrorHasNoSecret(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	_, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(nil),
		"create":     "cat; exit 1",
		"stdin":      secretText("PASSWORD=hunter2hunter2\n"),
	}, runOptions{})
	if err == nil {
		t.Fatal("no error")
	}
	_, withEnvironment := plugin.create(localType, map[string]any{
		"create": "echo $WORD; exit 1", "environment": map[string]any{"WORD": secretText("hunter2hunter2")},
	}, runOptions{})
	logged := plugin.engine.logged()
	_, secretCommand := plugin.create(remoteType, map[string]any{
		"connection": server.connection(nil),
		"create":     secretText("echo hunter2hunter2; exit 1"),
	}, runOptions{})
	for _, shown := range []string{err.Error(), withEnvironment.Error(), logged} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
	if strings.Contains(secretCommand.Error(), `running "echo`) {
		t.Errorf("a secret command is shown: %s", secretCommand)
	}
}

func TestRemoteCommandPassesEnvironment(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	inputs := map[string]any{
		"connection":  server.connection(nil),
		"create":      `echo "$ACCEPTED"`,
		"update":      `echo "$ACCEPTED, before: $PULUMI_COMMAND_STDOUT"`,
		"environment": map[string]any{"ACCEPTED": "yes"},
	}
	state := plugin.mustCreate(remoteType, inputs)
	if got := text(state, "stdout"); got != "yes" {
		t.Errorf("stdout is %q", got)
	}
	state, err := plugin.update(remoteType, state, inputs, runOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(state, "stdout"); got != "yes, before: yes" {
		t.Errorf("stdout of update is %q", got)
	}
	inputs["environment"] = map[string]any{"REFUSED": "x"}
	_, err = plugin.update(remoteType, state, inputs, runOptions{})
	if err == nil || !strings.Contains(err.Error(), `could not set environment variable "REFUSED"`) {
		t.Errorf("a variable that sshd does not accept must fail the command, got %v", err)
	}
	if !strings.Contains(plugin.engine.logged(), "AcceptEnv") {
		t.Error("the log must say what to do about it")
	}
}

func TestRemoteUpdateFallsBackToCreateAndDeleteRuns(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	marker := filepath.Join(t.TempDir(), "deleted")
	inputs := map[string]any{
		"connection": server.connection(nil), "create": "echo created", "delete": "echo x > " + marker,
	}
	state := plugin.mustCreate(remoteType, inputs)
	inputs["create"] = "echo created anew"
	state, err := plugin.update(remoteType, state, inputs, runOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(state, "stdout"); got != "created anew" {
		t.Errorf("without update, create must run again; stdout is %q", got)
	}
	if err := plugin.delete(remoteType, state); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("delete did not run: %v", err)
	}
}

func TestPreviewRunsNothing(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	marker := filepath.Join(t.TempDir(), "ran")
	inputs := map[string]any{"connection": server.connection(nil), "create": "echo x > " + marker}
	state, err := plugin.create(remoteType, inputs, runOptions{preview: true})
	if err != nil {
		t.Fatal(err)
	}
	if !state["stdout"].IsComputed() || !state["stderr"].IsComputed() {
		t.Errorf("outputs must be unknown in the preview of a create: %v", state)
	}
	state = plugin.mustCreate(remoteType, map[string]any{"connection": server.connection(nil), "create": "echo first"})
	state, err = plugin.update(remoteType, state, inputs, runOptions{preview: true})
	if err != nil {
		t.Fatal(err)
	}
	if !state["stdout"].IsComputed() {
		t.Errorf("stdout must be unknown in the preview of an update: %v", state["stdout"])
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a preview ran the command")
	}
}

func TestHostKey(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	_, other := newKey(t)
	_, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"hostKey": other, "dialErrorLimit": 0}), "create": "true",
	}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "host key mismatch") {
		t.Errorf("another host key must be refused, got %v", err)
	}
	if err != nil && !strings.Contains(err.Error(), "SHA256:") {
		t.Errorf("the error must tell both fingerprints: %v", err)
	}
	plugin.mustCreate(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"hostKey": nil}), "create": "true",
	})
	plugin.mustCreate(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"hostKey": "[127.0.0.1]:22 " + server.hostKey}), "create": "true",
	})
	_, err = plugin.create(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"hostKey": "nonsense"}), "create": "true",
	}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "connection.hostKey") {
		t.Errorf("a malformed host key must be named, got %v", err)
	}
}

func TestProxy(t *testing.T) {
	server, proxy, plugin := startServer(t), startServer(t), startPlugin(t)
	state := plugin.mustCreate(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"proxy": proxy.connection(nil)}),
		"create":     "echo through; echo $SSH_CONNECTION",
	})
	if got := text(state, "stdout"); !strings.HasPrefix(got, "through") {
		t.Errorf("stdout is %q", got)
	}
	_, wrongKey := newKey(t)
	_, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(map[string]any{
			"proxy": proxy.connection(map[string]any{"hostKey": wrongKey, "dialErrorLimit": 0}),
		}),
		"create": "true",
	}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "proxy: ") || !strings.Contains(err.Error(), "host key mismatch") {
		t.Errorf("the proxy's host key must be checked, got %v", err)
	}
}

// Behind a proxy a server that comes late is only reached when each attempt opens a new way through.
func TestDialWaitsForALateServer(t *testing.T) {
	for _, throughProxy := range []bool{false, true} {
		t.Run(fmt.Sprintf("proxy=%v", throughProxy), func(t *testing.T) {
			server, plugin := newServer(t), startPlugin(t)
			changes := map[string]any{"dialErrorLimit": -1}
			if throughProxy {
				changes["proxy"] = startServer(t).connection(nil)
			}
			go func() {
				time.Sleep(700 * time.Millisecond)
				server.start()
			}()
			state, err := plugin.create(remoteType, map[string]any{
				"connection": server.connection(changes), "create": "echo there",
			}, runOptions{timeout: 30})
			if err != nil {
				t.Fatal(err)
			}
			if got := text(state, "stdout"); got != "there" {
				t.Errorf("stdout is %q", got)
			}
			if !strings.Contains(plugin.engine.logged(), "1/inf failed: retrying") {
				t.Errorf("waiting must be told: %q", plugin.engine.logged())
			}
		})
	}
}

// A key that is accepted late, as when a machine's first-boot service writes it, is waited for, too.
func TestDialWaitsForALateKeyThroughAProxy(t *testing.T) {
	server, proxy, plugin := startServer(t), startServer(t), startPlugin(t)
	authorized := filepath.Join(server.folder, "authorized")
	key, err := os.ReadFile(authorized)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(authorized, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(500 * time.Millisecond)
		_ = os.WriteFile(authorized, key, 0o600)
	}()
	plugin.mustCreate(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"proxy": proxy.connection(nil)}), "create": "true",
	})
}

func TestDialGivesUpAtTheLimit(t *testing.T) {
	plugin := startPlugin(t)
	server := newServer(t)
	started := time.Now()
	_, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"dialErrorLimit": 3}), "create": "true",
	}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "after 3 failed attempts") {
		t.Errorf("got %v", err)
	}
	// 0.1 + 0.15 + 0.225 s between four attempts.
	if took := time.Since(started); took < 450*time.Millisecond || took > 3*time.Second {
		t.Errorf("three retries took %s", took)
	}
	_, err = plugin.create(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"dialErrorLimit": -1}), "create": "true",
	}, runOptions{timeout: 1})
	if err == nil || !strings.Contains(err.Error(), "customTimeouts.create") {
		t.Errorf("without a limit the custom timeout must end the waiting, got %v", err)
	}
}

func TestACustomTimeoutEndsTheCommand(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	started := time.Now()
	_, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(nil), "create": "echo begun; sleep 60",
	}, runOptions{timeout: 1})
	if err == nil || !strings.Contains(err.Error(), "time limit of 1s") || !strings.Contains(err.Error(), "begun") {
		t.Errorf("the error must tell the limit and the output so far, got %v", err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestLongLinesDoNotHang(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	state, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(nil),
		"create":     "head -c 300000 /dev/zero | tr '\\0' x; echo; echo end",
	}, runOptions{timeout: 30})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(text(state, "stdout")); got != 300004 {
		t.Errorf("stdout has %d bytes, 300004 were written", got)
	}
	logged := plugin.engine.logged()
	if !strings.Contains(logged, "more bytes)") || !strings.Contains(logged, "\nend") {
		t.Errorf("the log must cut the line and go on; it ends with %q", logged[max(0, len(logged)-80):])
	}
}

func TestLoggingModes(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	want := map[string][2]bool{
		"stdout": {true, false}, "stderr": {false, true}, "stdoutAndStderr": {true, true}, "none": {false, false},
	}
	for mode, shown := range want {
		before := len(plugin.engine.logged())
		state := plugin.mustCreate(remoteType, map[string]any{
			"connection": server.connection(nil), "create": "echo OUT; echo ERR >&2", "logging": mode,
		})
		logged := plugin.engine.logged()[before:]
		if got := [2]bool{strings.Contains(logged, "OUT"), strings.Contains(logged, "ERR")}; got != shown {
			t.Errorf("logging %s shows %v, must be %v", mode, got, shown)
		}
		if text(state, "stdout") != "OUT" || text(state, "stderr") != "ERR" {
			t.Errorf("logging %s changes the outputs: %v", mode, state)
		}
	}
}

func TestManyCommandsAtOnceLeaveNoConnection(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	failed := make(chan error, 20)
	for range 20 {
		go func() {
			_, err := plugin.create(remoteType, map[string]any{
				"connection": server.connection(nil), "create": "echo x",
			}, runOptions{timeout: 60})
			failed <- err
		}()
	}
	for range 20 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	// Each connection has an sshd process of its own.
	for range 50 {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", server.process.Process.Pid, server.process.Process.Pid))
		if strings.TrimSpace(string(children)) == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("connections are still open")
}

func TestDiff(t *testing.T) {
	plugin := startPlugin(t)
	base := func() map[string]any {
		return map[string]any{
			"connection": map[string]any{"host": "h", "privateKey": secretText("k")},
			"create":     "true", "triggers": []any{"a", 1},
		}
	}
	cases := map[string]struct {
		change  func(map[string]any)
		changed bool
		replace bool
	}{
		"nothing":               {func(map[string]any) {}, false, false},
		"a secret mark":         {func(in map[string]any) { in["create"] = secretText("true") }, false, false},
		"a default spelled out": {func(in map[string]any) { in["addPreviousOutputInEnv"] = true }, true, false},
		"another address": {func(in map[string]any) {
			in["connection"] = map[string]any{"host": "other", "privateKey": secretText("k")}
		}, true, false},
		"another command":      {func(in map[string]any) { in["create"] = "false" }, true, false},
		"another trigger":      {func(in map[string]any) { in["triggers"] = []any{"b", 1} }, true, true},
		"one more trigger":     {func(in map[string]any) { in["triggers"] = []any{"a", 1, 2} }, true, true},
		"no more triggers":     {func(in map[string]any) { delete(in, "triggers") }, true, true},
		"a trigger not known":  {func(in map[string]any) { in["triggers"] = []any{resource.MakeComputed(resource.NewProperty("")), 1} }, true, true},
		"a command not known":  {func(in map[string]any) { in["create"] = resource.MakeComputed(resource.NewProperty("")) }, true, false},
		"a script for deletes": {func(in map[string]any) { in["delete"] = "true" }, true, false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			news := base()
			test.change(news)
			response := plugin.diff(remoteType, base(), news)
			if got := response.GetChanges() == pulumirpc.DiffResponse_DIFF_SOME; got != test.changed {
				t.Errorf("changed is %v", got)
			}
			if got := strings.Join(response.GetReplaces(), " "); got != map[bool]string{true: "triggers"}[test.replace] {
				t.Errorf("replaces are %q", got)
			}
			for path := range response.GetDetailedDiff() {
				if strings.HasPrefix(path, "connection.") {
					t.Errorf("%s tells about the inside of a secret", path)
				}
			}
		})
	}
}

func TestCheckNamesEveryProblemWithoutTheValue(t *testing.T) {
	plugin := startPlugin(t)
	_, failures := plugin.check(remoteType, map[string]any{
		"connection": map[string]any{"privateKey": "PRIVATE", "hots": "PRIVATE", "port": "22"},
		"create":     1, "logging": "loud", "envrionment": map[string]any{},
	})
	all := strings.Join(failures, "\n")
	for _, path := range []string{"connection.host: missing", "connection.hots: unknown", "connection.port: is", "create: is", "logging: is", "envrionment: unknown"} {
		if !strings.Contains(all, path) {
			t.Errorf("%q is not among\n%s", path, all)
		}
	}
	if strings.Contains(all, "PRIVATE") {
		t.Errorf("a value is shown:\n%s", all)
	}
	checked := plugin.mustCheck(remoteType, map[string]any{"connection": map[string]any{"host": "h"}})
	connection, _ := values(checked).object("connection")
	if connection.number("port", 0) != 22 || connection.text("user") != "root" || connection.number("dialErrorLimit", 0) != 10 || connection.number("perDialTimeout", 0) != 15 {
		t.Errorf("defaults are missing: %v", connection)
	}
	_, failures = plugin.check(remoteType, map[string]any{"connection": map[string]any{"host": "", "port": 70000, "dialErrorLimit": -2}})
	if len(failures) != 3 {
		t.Errorf("three problems, got %v", failures)
	}
}

func TestPasswordIsOffered(t *testing.T) {
	server, plugin := startServer(t), startPlugin(t)
	_, err := plugin.create(remoteType, map[string]any{
		"connection": server.connection(map[string]any{"privateKey": nil, "password": secretText("wrong-password"), "dialErrorLimit": 0}),
		"create":     "true",
	}, runOptions{})
	if err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("got %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "wrong-password") {
		t.Errorf("the password is shown: %v", err)
	}
}

func TestLinesAreLoggedInTheOrderTheyCome(t *testing.T) {
	plugin := startPlugin(t)
	plugin.mustCreate(localType, map[string]any{
		"create": "for i in 1 2 3; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done; printf last",
	})
	if got := plugin.engine.logged(); got != "out1\nerr1\nout2\nerr2\nout3\nerr3\nlast" {
		t.Errorf("got %q", got)
	}
}
