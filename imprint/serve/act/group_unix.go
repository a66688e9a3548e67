//go:build unix

package act

import (
	"os/exec"
	"syscall"
)

// killGroup makes a command that is canceled end together with the programs that it has started.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
