package hosting

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// TestMain runs this test program as a plugin, or as the parent of one, when told to.
func TestMain(m *testing.M) {
	switch os.Getenv("HOSTING_TEST_ROLE") {
	case "plugin":
		err := Serve(func(context.Context, *grpc.Server) error { return nil })
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "parent":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "HOSTING_TEST_ROLE=plugin")
		// Over a pipe of its own, as the engine reads it.
		child.Stdout = struct{ io.Writer }{os.Stdout}
		if err := child.Start(); err != nil {
			os.Exit(1)
		}
		fmt.Printf("child %d\n", child.Process.Pid)
		_ = child.Wait()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func startRole(t *testing.T, role string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "HOSTING_TEST_ROLE="+role)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	return command, bufio.NewScanner(output)
}

func TestServePrintsItsPortAndEndsOnInterrupt(t *testing.T) {
	command, lines := startRole(t, "plugin")
	if !lines.Scan() {
		t.Fatal("no port")
	}
	if port, err := strconv.Atoi(lines.Text()); err != nil || port < 1 {
		t.Errorf("the first line is %q, must be a port", lines.Text())
	}
	_ = command.Process.Signal(os.Interrupt)
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("got %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("goes on after an interrupt")
	}
}

func TestPluginEndsWithAKilledEngine(t *testing.T) {
	for name, isUp := range map[string]bool{"at work": true, "while it starts": false} {
		t.Run(name, func(t *testing.T) { endsWithAKilledEngine(t, isUp) })
	}
}

func endsWithAKilledEngine(t *testing.T, isUp bool) {
	parent, lines := startRole(t, "parent")
	child := 0
	for child == 0 && lines.Scan() {
		if text, found := strings.CutPrefix(lines.Text(), "child "); found {
			child, _ = strconv.Atoi(text)
		}
	}
	// The port comes when the plugin is up.
	if child == 0 || (isUp && !lines.Scan()) {
		t.Fatal("no plugin")
	}
	_ = parent.Process.Kill()
	for range 60 {
		if syscall.Kill(child, 0) != nil || isZombie(child) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = syscall.Kill(child, syscall.SIGKILL)
	t.Error("the plugin goes on without its engine")
}

// isZombie tells whether the process has ended and only waits for someone to ask how.
func isZombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(text), ") Z ")
}

func TestParseArguments(t *testing.T) {
	parsed, err := ParseArguments([]string{"--logtostderr", "-v=9", "--tracing", "file:///x", "127.0.0.1:7"})
	if err != nil || parsed.EngineAddress != "127.0.0.1:7" || parsed.Tracing != "file:///x" {
		t.Errorf("got %+v, %v", parsed, err)
	}
	if _, err := ParseArguments([]string{"--unknown"}); err == nil {
		t.Error("an unknown flag must be refused")
	}
}
