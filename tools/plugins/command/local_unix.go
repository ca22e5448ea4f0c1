package main

import (
	"os/exec"
	"syscall"
	"time"
)

// endGrace is how long a cancelled local command may take to end by itself.
const endGrace = 2 * time.Second

// endTogether makes the end of a cancelled command the end of everything it started. The function it returns is for
// when the command has ended.
func endTogether(command *exec.Cmd) func() {
	var kill *time.Timer
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error {
		group := -command.Process.Pid
		kill = time.AfterFunc(endGrace, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGTERM)
	}
	return func() {
		if kill != nil {
			kill.Stop()
		}
	}
}
