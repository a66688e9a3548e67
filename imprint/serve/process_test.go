package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve/input"
)

// These environment variables turn this test binary into a helper program.
const (
	childWorkspace = "IMPRINT_TEST_SERVE"  // path of a workspace to serve
	childNotify    = "IMPRINT_TEST_NOTIFY" // path of a file to append the arguments to
)

// runAsChild runs the helper program that the environment selects.
func runAsChild() (status int, isChild bool) {
	if file := os.Getenv(childNotify); file != "" && len(os.Args) == 5 {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			err = json.NewEncoder(f).Encode(os.Args[1:])
		}
		if err != nil {
			return 1, true
		}
		return 0, true
	}
	dir := os.Getenv(childWorkspace)
	if dir == "" {
		return 0, false
	}
	ctx := context.Background()
	s, err := Open(ctx, dir, imprint.Options{}, Options{})
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	var l Listener
	if err == nil {
		l, err = ListenUnix(SocketPath(dir), 0o600)
	}
	if err == nil {
		err = s.Run(ctx, l)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1, true
}

// TestKilled kills a server with SIGKILL while photos are added. All acknowledged photos must
// survive, and the next server must take over the socket.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ws")
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	var acknowledged []string
	for round := range rounds {
		// Kill the server during one of the next requests.
		delay := time.Duration(round) * 3 * time.Millisecond
		acknowledged = append(acknowledged, addUntilKilled(t, dir, uint64(round)*10000, delay)...)
		known := photosIn(t, dir)
		for _, sha := range acknowledged {
			if !slices.Contains(known, sha) {
				t.Errorf("round %d: acknowledged photo %s is lost", round, sha)
			}
		}
	}
	if len(acknowledged) < 3*rounds {
		t.Errorf("got %d photos acknowledged in %d rounds, want at least 3 per round", len(acknowledged), rounds)
	}
}

// addUntilKilled starts a server in another process, adds photos, and kills the server when the
// delay after the third photo has passed. It returns the SHA-256 of the acknowledged photos.
func addUntilKilled(t *testing.T, dir string, seed uint64, delay time.Duration) (acknowledged []string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", SocketPath(dir))
	}}}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childWorkspace+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for started := time.Now(); ; seed++ {
		photo := backbonetest.Photo(1, seed)
		resp, err := client.Post("http://imprint/v1/examples?label=a", "image/png", strings.NewReader(string(photo)))
		switch {
		case err == nil:
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Errorf("got status %d, want 200", resp.StatusCode)
			}
			acknowledged = append(acknowledged, fmt.Sprintf("%x", sumOf(photo)))
			if len(acknowledged) == 3 {
				time.AfterFunc(delay, func() { cmd.Process.Kill() })
			}
		case len(acknowledged) >= 3:
			cmd.Wait()
			return acknowledged
		case time.Since(started) > time.Minute:
			t.Fatalf("the server did not start: %v", err)
		default:
			time.Sleep(5 * time.Millisecond) // the server has not started yet
		}
		if len(acknowledged) > 1000 {
			t.Fatal("the server survived SIGKILL")
		}
	}
}

// photosIn returns the SHA-256 of all photos in a workspace.
func photosIn(t *testing.T, dir string) (sums []string) {
	t.Helper()
	ws, err := imprint.Open(dir, imprint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	for _, c := range ws.Classes() {
		for _, p := range c.Photos {
			sums = append(sums, p.SHA256)
		}
	}
	return sums
}

// TestWorkspaceChangedByOthers checks that the server picks up another process's changes.
func TestWorkspaceChangedByOthers(t *testing.T) {
	s := start(t, testConfig{})
	s.camera.show(1)
	s.await(0, func(r Result) bool { return r.Unknown })
	ws, err := imprint.Open(s.workspace.dir, s.workspace.options)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	for i := range uint64(2) {
		if _, err := ws.Add(context.Background(), []dataset.Item{{Path: "x", Label: "x", Content: backbonetest.Photo(1, 100+i)}}, imprint.AddOptions{}); err != nil {
			t.Fatal(err)
		}
		s.await(s.newest(), func(r Result) bool { return r.Label == "x" && r.Generation == i+1 })
	}
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	if list.Generation != 2 || len(list.Classes) != 1 || len(list.Classes[0].Photos) != 2 {
		t.Errorf("got classes %+v, want one with 2 photos", list)
	}
}

// TestNotify checks that the notify command gets its arguments unchanged.
func TestNotify(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	t.Setenv(childNotify, file)
	s := start(t, testConfig{options: Options{Notify: os.Args[0]}})
	const label = "$(touch x); rm -rf / 'cone'"
	if err := s.Press(context.Background(), input.Action{Verb: "remove", Label: label}); err == nil {
		t.Error("remove an unknown class: got no error")
	}
	want := []string{"remove", label, "false", `remove "` + label + `": no such label`}
	var got []string
	for end := time.Now().Add(time.Minute); got == nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(file)
		json.Unmarshal(b, &got)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestWatchdog checks that systemd is notified only while photos are classified.
func TestWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("WATCHDOG_USEC", "150000")
	receive := func() string {
		b := make([]byte, 100)
		manager.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	workspace, device := withEdgeTPU(t, smallModel)
	s := start(t, testConfig{workspace: workspace, noCamera: true}) // without frames, the watchdog classifies a photo itself
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := receive(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	device.Unplug()
	s.awaitHealth(func(h Health) bool { return h.Status == "down" })
	before := s.device.completed.Load()
	s.probe(context.Background(), time.Second)
	if now := s.device.completed.Load(); now != before {
		t.Error("a photo counted as classified without a device")
	}
	device.Plug()
	for receive() != "WATCHDOG=1" { // an earlier notification may still be queued
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for got := ""; got != "STOPPING=1"; got = receive() {
	}
}

func TestWatchdogPeriod(t *testing.T) {
	for _, c := range []struct {
		pid, usec string
		want      time.Duration
	}{
		{"", "", 0}, {"", "10000000", 10 * time.Second}, {"1", "10000000", 0}, {strconv.Itoa(os.Getpid()), "500000", 500 * time.Millisecond}, {"", "-1", 0}, {"", "soon", 0},
	} {
		t.Setenv("WATCHDOG_PID", c.pid)
		t.Setenv("WATCHDOG_USEC", c.usec)
		if got := watchdogPeriod(); got != c.want {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: got %v, want %v", c.pid, c.usec, got, c.want)
		}
	}
}

// TestSweepPhotos checks that a photo is deleted only if it is old, no class uses it and undo
// can't restore it.
func TestSweepPhotos(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	s.do("POST", "/v1/examples?label=a", string(backbonetest.Photo(1, 1)), 200, nil)
	s.do("POST", "/v1/examples?label=b", string(backbonetest.Photo(2, 1)), 200, nil)
	s.do("DELETE", "/v1/classes/b", "", 200, nil)
	dir := s.workspace.photos.dir()
	for _, digit := range []string{"0", "1"} {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat(digit, 64)+".png"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * photoAge)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "1111") {
			if err := os.Chtimes(filepath.Join(dir, e.Name()), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.workspace.sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 || len(left) != 3 || strings.HasPrefix(left[0].Name(), "0000") {
		t.Errorf("got %v, of %v; error %v; want 3 of 4 photos left", left, entries, err)
	}
}
