//go:build !unix

package act

import "os/exec"

// killGroup does nothing: only the command itself can be killed.
func killGroup(*exec.Cmd) {}
