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
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/serve"
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
	cmd       *exec.Cmd
	workspace []string // global flags that name the workspace and its backbone
	socket    string
	stderr    bytes.Buffer
	client    *http.Client // sends requests over the socket
}

// startServe starts imprint serve with the given standard output and flags, by default
// --listen none. As soon as the server tells systemd that it is ready, startServe calls
// ready, unless that is nil.
func startServe(t *testing.T, stdout *os.File, ready func(*os.Process), flags ...string) *serveProcess {
	t.Helper()
	s := newServe(t, flags...)
	s.cmd.Stdout = stdout
	s.start(t)
	if ready != nil {
		ready(s.cmd.Process)
	}
	return s
}

// newServe prepares a process of imprint serve with a new workspace.
func newServe(t testing.TB, flags ...string) *serveProcess {
	t.Helper()
	dir := t.TempDir()
	backbone := filepath.Join(dir, "m.tflite")
	if err := os.WriteFile(backbone, backbonetest.Extractor(), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &serveProcess{workspace: []string{"--workspace", filepath.Join(dir, "ws"), "--backbone", backbone}, socket: filepath.Join(dir, "s")}
	if flags == nil {
		flags = []string{"--listen", "none"}
	}
	s.cmd = s.command(append([]string{"serve", "--socket", s.socket}, flags...)...)
	s.cmd.Stderr = &s.stderr
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	return s
}

// command returns a process of imprint for the workspace.
func (s *serveProcess) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append(slices.Clone(s.workspace), args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// start starts the server and waits until it tells systemd that it is ready. The server is killed
// at the end of the test.
func (s *serveProcess) start(t testing.TB) {
	t.Helper()
	notify := s.socket + ".n"
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	s.cmd.Env = append(s.cmd.Env, "NOTIFY_SOCKET="+notify)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	t.Cleanup(s.client.CloseIdleConnections)
	systemd.SetReadDeadline(time.Now().Add(time.Minute))
	message := make([]byte, 100)
	n, err := systemd.Read(message)
	if err != nil || !strings.HasPrefix(string(message[:n]), "READY=1") {
		t.Fatalf("systemd got %q, %v; stderr: %s", message[:n], err, &s.stderr)
	}
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

// stop interrupts the server, which must exit without an error. After a minute, it is killed.
func (s *serveProcess) stop(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { s.cmd.Process.Kill() }).Stop()
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
	q.Close()
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

// TestSocketHint checks what the command says to do about a socket that can't be created.
func TestSocketHint(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{serve.ErrSocketPath, "shorter path"},
		{syscall.EROFS, "read-only"},
		{syscall.EPERM, "may not support sockets"},
		{syscall.EADDRINUSE, ""},
	} {
		got := socketHint(fmt.Errorf("listen on x: %w", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", test.err)}))
		if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
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
