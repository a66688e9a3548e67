// Command vm runs a program in a disposable virtual machine with a real Linux
// kernel, for tests that plug in emulated devices or cut the power of disks:
//
//	go run ./tools/vm [flags] FOLDER COMMAND [ARGUMENT...]
//
// It copies FOLDER to /work, with the shared libraries that programs in it need,
// and runs COMMAND there as root. It prints the output of COMMAND and exits with
// its status, with 124 after the timeout, or with 125 if the machine failed.
//
// It needs qemu-system-x86_64 and busybox. The first run downloads a Debian kernel and also needs
// apt-get and xz. The program installs nothing.
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

// libraries is the value of the repeatable flag -lib.
type libraries []string

func (l *libraries) String() string { return fmt.Sprint(*l) }

func (l *libraries) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	kernel := flag.String("kernel", filepath.Join(cache, "imprint", "vm"), "`folder` of the downloaded kernel")
	timeout := flag.Duration("timeout", 2*time.Minute, "limit of the whole run")
	accel := flag.String("accel", "tcg", "QEMU `accelerator`; kvm is faster where it works")
	set := flag.String("modules", "usb", "`set` of kernel modules: usb or disk")
	memory := flag.Int("memory", 768, "memory of the machine in MiB")
	console := flag.String("console", "", "`file` for kernel messages")
	var extra libraries
	flag.Var(&extra, "lib", "shared `library` that programs load by name; repeatable")
	flag.Parse()
	if flag.NArg() < 2 || modules[*set] == nil {
		fmt.Fprintln(os.Stderr, "usage: vm [flags] FOLDER COMMAND [ARGUMENT...]")
		flag.PrintDefaults()
		os.Exit(exitFailed)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	status, err := run(ctx, machine{kernel: *kernel, modules: *set, accel: *accel, memory: *memory, console: *console, libraries: extra, folder: flag.Arg(0), command: flag.Args()[1:]})
	if err != nil {
		fmt.Fprintf(os.Stderr, "vm: %v\n", err)
		status = exitFailed
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			status = exitTimeout
		}
	}
	os.Exit(status)
}

// machine describes the machine to boot.
type machine struct {
	kernel, modules, accel, console string
	memory                          int // MiB
	libraries                       []string
	folder                          string
	command                         []string
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
		return 0, fmt.Errorf("write the machine's files: %w", err)
	}
	if m.console == "" {
		m.console = filepath.Join(scratch, "console")
	}
	// The kernel prints to the first serial port, the command to the second.
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
		return 0, fmt.Errorf("the machine ended before the command's exit status\n%s", tail(m.console))
	}
	return status, nil
}

// statusMark begins the line with the exit status of the command.
const statusMark = "\x1estatus "

// copyOutput copies the output of the command up to its status.
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

// tail returns the end of a file, for the kernel's last messages.
func tail(file string) []byte {
	b, _ := os.ReadFile(file)
	return b[max(0, len(b)-2000):]
}
