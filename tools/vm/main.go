// Command vm runs a program in a throw-away virtual machine with a real Linux
// USB stack, for tests that plug emulated devices into it:
//
//	go run ./tools/vm [flags] FOLDER COMMAND [ARGUMENT...]
//
// FOLDER becomes /work, where COMMAND runs as root; the shared libraries that
// programs in FOLDER need come along. What COMMAND prints is printed, and its
// exit status is that of vm, but 124 when the time is up and 125 when the
// machine failed.
//
// It needs qemu-system-x86_64 and, once, apt-get and xz, to fetch a Debian
// kernel; nothing is installed.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	exitTimeout = 124
	exitFailed  = 125
)

// libraries is a flag that may be repeated.
type libraries []string

func (l *libraries) String() string { return fmt.Sprint(*l) }

func (l *libraries) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	kernel := flag.String("kernel", filepath.Join(cache, "imprint", "vm"), "`folder` that keeps the kernel")
	timeout := flag.Duration("timeout", 2*time.Minute, "for the whole run")
	accel := flag.String("accel", "tcg", "QEMU's `accelerator`; kvm is faster where it works")
	memory := flag.Int("memory", 768, "of the machine, in MiB")
	console := flag.String("console", "", "`file` for the kernel's messages")
	var extra libraries
	flag.Var(&extra, "lib", "shared `library` that programs open by name; may be repeated")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: vm [flags] FOLDER COMMAND [ARGUMENT...]")
		flag.PrintDefaults()
		os.Exit(exitFailed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	status, err := run(ctx, machine{kernel: *kernel, accel: *accel, memory: *memory, console: *console, libraries: extra, folder: flag.Arg(0), command: flag.Args()[1:]})
	if err != nil {
		fmt.Fprintf(os.Stderr, "vm: %v\n", err)
		status = exitFailed
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			status = exitTimeout
		}
	}
	os.Exit(status)
}

// machine is what to boot.
type machine struct {
	kernel, accel, console string
	memory                 int // MiB
	libraries              []string
	folder                 string
	command                []string
}

// run boots the machine and returns the command's exit status.
func run(ctx context.Context, m machine) (status int, err error) {
	if err := fetchKernel(ctx, m.kernel); err != nil {
		return 0, fmt.Errorf("fetch a kernel: %w", err)
	}
	scratch, err := os.MkdirTemp("", "imprint-vm-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	initrd := filepath.Join(scratch, "initrd")
	if err := writeInitrd(initrd, m); err != nil {
		return 0, fmt.Errorf("pack the machine's files: %w", err)
	}
	if m.console == "" {
		m.console = filepath.Join(scratch, "console")
	}
	// The first serial port is the kernel's, the second the command's.
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", m.accel, "-cpu", "max", "-smp", "1", "-m", strconv.Itoa(m.memory),
		"-machine", "q35,graphics=off", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
		"-kernel", filepath.Join(m.kernel, "vmlinuz"), "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 random.trust_cpu=on tsc=reliable mitigations=off",
		"-serial", "file:"+m.console, "-chardev", "stdio,id=command,signal=off", "-serial", "chardev:command")
	qemu.Stderr = os.Stderr
	out, err := qemu.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := qemu.Start(); err != nil {
		return 0, err
	}
	status, ended := copyOutput(os.Stdout, out)
	if err := qemu.Wait(); err != nil && !ended {
		return 0, fmt.Errorf("the machine ended early: %w\n%s", err, tail(m.console))
	}
	if !ended {
		return 0, fmt.Errorf("the machine ended without the command's status\n%s", tail(m.console))
	}
	return status, nil
}

// statusMark begins the line with which the machine tells the command's exit status.
const statusMark = "\x1estatus "

// copyOutput prints what the command prints, up to its status.
func copyOutput(w io.Writer, r io.Reader) (status int, ended bool) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		before, after, found := bytes.Cut(line, []byte(statusMark))
		w.Write(before)
		if found {
			status, err := strconv.Atoi(string(bytes.TrimSpace(after)))
			io.Copy(io.Discard, lines)
			return status, err == nil
		}
		if err != nil {
			return 0, false
		}
	}
}

// tail is the end of what the kernel said.
func tail(file string) []byte {
	b, _ := os.ReadFile(file)
	return b[max(0, len(b)-2000):]
}
