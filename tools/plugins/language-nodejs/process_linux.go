package main

import "syscall"

// endWithThisProcess makes the kernel end a child when this process is gone, however it went.
func endWithThisProcess() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
