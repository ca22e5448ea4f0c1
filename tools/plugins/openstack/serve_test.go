package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain runs this test program as the plugin, or as its parent, when told to.
func TestMain(m *testing.M) {
	switch os.Getenv("OPENSTACK_TEST_ROLE") {
	case "plugin":
		if err := run(nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "parent":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "OPENSTACK_TEST_ROLE=plugin")
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

func TestThePluginEndsWithAKilledEngine(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "OPENSTACK_TEST_ROLE=parent")
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Process.Kill(); _ = parent.Wait() }()

	child, port := 0, 0
	for lines := bufio.NewScanner(output); (child == 0 || port == 0) && lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), "child "); found {
			child, _ = strconv.Atoi(text)
		} else {
			port, _ = strconv.Atoi(lines.Text())
		}
	}
	if child == 0 || port == 0 {
		t.Fatalf("the plugin (process %d) does not tell its port", child)
	}
	_ = parent.Process.Kill()
	for range 100 {
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
