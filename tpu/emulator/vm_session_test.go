//go:build linux

package emulator_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// transcript collects the lines that a device writes.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, string(p))
	return len(p), nil
}

// take returns the lines since the last call, without their numbers. Cancelled reads come last: their order is random.
func (s *transcript) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	cancelled := func(line string) int {
		if strings.Contains(line, " CANCEL ") {
			return 1
		}
		return 0
	}
	for i, line := range s.lines {
		s.lines[i] = regexp.MustCompile(`^\d+`).ReplaceAllString(line, "")
	}
	slices.SortStableFunc(s.lines, func(a, b string) int {
		if cancelled(a) == 1 && cancelled(b) == 1 {
			return strings.Compare(a, b)
		}
		return cancelled(a) - cancelled(b)
	})
	all := strings.Join(s.lines, "")
	s.lines = nil
	return all
}

// settle waits until no more lines come.
func (s *transcript) settle() {
	for last := -1; ; time.Sleep(300 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.lines)
		s.mu.Unlock()
		if n == last {
			return
		}
		last = n
	}
}

// session boots the device, runs a model and puts the device to sleep. It compares the transfers with the transfers of
// another test binary that ran before. One binary reaches the device through libusb, the other through usbfs.
func session(ctx context.Context, t *testing.T, bus tpu.Bus, port tpu.Port, pkg *executable.Package, speed tpu.Speed, made *transcript) {
	for made.take() != "" { // the kernel is still configuring the device
		time.Sleep(300 * time.Millisecond)
	}
	start := time.Now()
	d := openDevice(ctx, t, bus, port, time.Minute) // a busy machine is slow
	m, err := d.Load(ctx, pkg)
	in, out := [][]byte{make([]byte, tinySize)}, [][]byte{make([]byte, tinySize)}
	if err == nil {
		err = m.Run(ctx, in, out)
	}
	first := time.Since(start)
	const runs = 30
	start, before := time.Now(), cpuTime(t)
	for range runs {
		if err == nil {
			err = m.Run(ctx, in, out)
		}
	}
	wall, cpu := time.Since(start)/runs, (cpuTime(t)-before)/runs
	refused(ctx, t, bus, port)
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%T: first inference after %v; then %v each, with %v of CPU time including the emulator's", bus, first.Round(time.Millisecond), wall, cpu)
	made.settle() // the kernel cancels the reads
	got := made.take()
	file := filepath.Join(os.TempDir(), fmt.Sprintf("transcript-%d", speed))
	want, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil:
		t.Fatal(err)
	case string(want) == got:
		t.Logf("the transcript of %d transfers equals the other binary's", strings.Count(got, "\n"))
	default:
		t.Errorf("the transcript differs from the other binary's: %s", firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d of %d and %d:\ngot  %s\nwant %s", i+1, len(g), len(w), g[i], w[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(g), len(w))
}

// cpuTime returns the CPU time of this process.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// refused checks that opening a device fails if the device is in use or the user has no permission.
func refused(ctx context.Context, t *testing.T, bus tpu.Bus, port tpu.Port) {
	conn, err := bus.Open(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Claim(ctx, 0); !errors.Is(err, tpu.ErrBusy) {
		t.Errorf("claim a device in use: got %v, want ErrBusy", err)
	}
	conn.Close()
	found := tpu.Diagnose(ctx, bus, nil, tpu.ThisMachine())
	name := filepath.Base(os.Args[0])
	if len(found) == 0 || found[0].State != "in-use" || !strings.Contains(found[0].Text, name[:min(len(name), 15)]) {
		t.Errorf("diagnose a device in use by %s: got %+v", name, found)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	setFSUser := func(id uintptr) { syscall.RawSyscall(syscall.SYS_SETFSUID, id, 0, 0) } // applies to this thread only
	setFSUser(65534)
	conn, err = bus.Open(ctx, port)
	setFSUser(0)
	if !errors.Is(err, tpu.ErrPermission) {
		t.Errorf("open without permission: got %v, want ErrPermission", err)
	}
	if err == nil {
		conn.Close()
	}
}

// kernelDriver opens the device while a kernel driver holds it. With usbfs, the program takes the device over and
// returns it later; libusb reports the device as in use.
func kernelDriver(ctx context.Context, t *testing.T, bus tpu.Bus, port tpu.Port) {
	const driver = "/sys/bus/usb/drivers/usbserial_generic/"
	iface := port.String() + ":1.0"
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	held := func(within time.Duration) bool {
		for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(driver + iface); err == nil || time.Since(start) > within {
				return err == nil
			}
		}
	}
	exec.Command("insmod", "/modules/usbserial.ko").Run() // the module may be loaded already
	defer func() {
		if out, err := exec.Command("rmmod", "usbserial").CombinedOutput(); err != nil { // unloading the driver makes it forget the IDs
			t.Errorf("rmmod usbserial: %v: %s", err, out)
		}
	}()
	write("/sys/bus/usb-serial/drivers/generic/new_id", fmt.Sprintf("%x %x", tpu.Vendor, tpu.Product))
	if !held(time.Minute) {
		t.Fatal("the kernel driver does not take the device")
	}
	conn, err := bus.Open(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Claim(ctx, 0)
	if err == nil && held(0) {
		t.Error("the kernel driver and the test both hold the device")
	}
	conn.Close()
	want := error(nil)
	if strings.Contains(fmt.Sprintf("%T", bus), "libusb") {
		want = tpu.ErrBusy
	}
	if !errors.Is(err, want) {
		t.Errorf("a kernel driver holds the device: got %v, want %v", err, want)
	}
	if !held(time.Minute) {
		t.Error("the kernel driver does not get the device back")
	}
}
