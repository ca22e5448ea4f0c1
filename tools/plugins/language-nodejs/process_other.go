//go:build !linux

package main

import "syscall"

// endWithThisProcess has no counterpart here: a killed host leaves the program, which then loses the engine and ends.
func endWithThisProcess() *syscall.SysProcAttr {
	return nil
}
