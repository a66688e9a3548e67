package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// asProgram is the environment variable that makes this test binary run as the command.
const asProgram = "IMPRINT_TEST_AS_PROGRAM"

func init() {
	if os.Getenv(asProgram) != "" {
		main()
	}
}

// serveProcess is a process that runs imprint serve.
type serveProcess struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	client *http.Client
}

// startServe starts imprint serve with the given standard output and flags, by default
// --listen none. As soon as the server tells systemd that it is ready, startServe calls
// ready, unless that is nil.
func startServe(t *testing.T, stdout *os.File, ready func(*os.Process), flags ...string) *serveProcess {
	t.Helper()
	dir := t.TempDir()
	backbone, socket, notify := filepath.Join(dir, "m.tflite"), filepath.Join(dir, "s"), filepath.Join(dir, "n")
	if err := os.WriteFile(backbone, backbonetest.Extractor(), 0o644); err != nil {
		t.Fatal(err)
	}
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	s := &serveProcess{cmd: exec.Command(os.Args[0], "--workspace", filepath.Join(dir, "ws"), "--backbone", backbone, "serve", "--socket", socket)}
	if flags == nil {
		flags = []string{"--listen", "none"}
	}
	s.cmd.Args = append(s.cmd.Args, flags...)
	s.cmd.Env = append(os.Environ(), asProgram+"=1", "NOTIFY_SOCKET="+notify)
	s.cmd.Stdout, s.cmd.Stderr = stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	systemd.SetReadDeadline(time.Now().Add(30 * time.Second))
	message := make([]byte, 100)
	n, err := systemd.Read(message)
	if err != nil || !strings.HasPrefix(string(message[:n]), "READY=1") {
		t.Fatalf("systemd got %q, %v; stderr: %s", message[:n], err, &s.stderr)
	}
	if ready != nil {
		ready(s.cmd.Process)
	}
	s.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// reload requests n reloads from several goroutines. Each reload prints a line.
func (s *serveProcess) reload(t *testing.T, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range n / 4 {
				r, err := s.client.Post("http://imprint/v1/reload", "", nil)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
				if r.StatusCode != http.StatusOK {
					t.Errorf("got status %d", r.StatusCode)
					return
				}
			}
		})
	}
	wg.Wait()
}

// stop interrupts the server, which must exit without an error.
func (s *serveProcess) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v; stderr: %s", err, &s.stderr)
	}
}

// TestServeOutputNotRead checks that the server answers requests even if nothing reads its notices.
// A pipe holds 64 KB, and the reloads print more.
func TestServeOutputNotRead(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := startServe(t, w, nil)
	s.reload(t, 6000)
	// A reader that starts again sees how many lines were dropped.
	w.Close()
	found := make(chan bool, 1)
	go func() {
		ok := false
		for lines := bufio.NewScanner(r); lines.Scan(); {
			ok = ok || strings.Contains(lines.Text(), "lines were dropped")
		}
		found <- ok
	}()
	for range 100 {
		s.reload(t, 4)
	}
	s.stop(t)
	if !<-found {
		t.Error("no line says how many were dropped")
	}
}

// TestServeOutputClosed checks that the server answers requests after the reader of its notices has
// exited.
func TestServeOutputClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := startServe(t, w, nil)
	w.Close()
	r.Close()
	s.reload(t, 20)
	s.stop(t)
}

// TestHangupAfterReady checks that a SIGHUP right after the server reports that it is ready does
// not end it.
func TestHangupAfterReady(t *testing.T) {
	n := 10
	if testing.Short() {
		n = 3
	}
	for range n {
		s := startServe(t, nil, func(p *os.Process) {
			if err := p.Signal(syscall.SIGHUP); err != nil {
				t.Error(err)
			}
		})
		s.reload(t, 4)
		s.stop(t)
	}
}

// TestLineQueue checks that goroutines that write to a lineQueue concurrently, as concurrent
// reloads do, never wait for its reader.
func TestLineQueue(t *testing.T) {
	r, w := io.Pipe()
	q := newLineQueue(w, false)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				fmt.Fprintf(q, "line %d of %d\n", j, i)
			}
		})
	}
	wg.Wait()
	lines := make(chan int)
	go func() {
		n := 0
		for s := bufio.NewScanner(r); s.Scan(); n++ {
		}
		lines <- n
	}()
	q.Close()
	fmt.Fprintln(q, "too late")
	w.Close()
	// The queue's goroutine may hold one more line, and another line may report dropped lines.
	if n := <-lines; n < queuedWrites || n > queuedWrites+2 {
		t.Errorf("got %d lines, want %d", n, queuedWrites)
	}
	// Close must not wait forever for a reader.
	_, stuck := io.Pipe()
	defer stuck.Close()
	q = newLineQueue(stuck, false)
	fmt.Fprintln(q, "nobody reads this")
	start := time.Now()
	q.Close()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
}

// TestPrintable checks that control characters, which a file name may contain, are escaped.
func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb\nGrünfläche": "a\tb\nGrünfläche",
		"\x1b[2Jx.jpg":     `\x1b[2Jx.jpg`,
		"a\rb\x07\u009b":   `a\x0db\x07\x9b`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestUnitListensOnSocket checks that by default the systemd unit does not listen on TCP, where
// every local user could train.
func TestUnitListensOnSocket(t *testing.T) {
	b, err := os.ReadFile("../../integrations/systemd/imprint.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "\nEnvironment=IMPRINT_LISTEN=none\n") {
		t.Error("the unit listens on TCP")
	}
}
