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
)

// Names of variables that make this test binary the program that a test needs.
const (
	childWorkspace = "IMPRINT_TEST_SERVE"  // a server of that workspace
	childNotes     = "IMPRINT_TEST_NOTIFY" // a command that writes its arguments to that file
)

// child is what the test binary does as that program.
func child() (status int, is bool) {
	if file := os.Getenv(childNotes); file != "" && len(os.Args) == 5 {
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

// TestKilled kills a server, with a signal that it can't catch, while photos are being
// taught: those it has acknowledged are there, and the next server takes over.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ws")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", SocketPath(dir))
	}}}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	var acknowledged []string
	seed := uint64(0)
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childWorkspace+"="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		killed := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() }) // should it not come up
		taught := 0
		for kill := false; ; seed++ {
			photo := backbonetest.Photo(1, seed)
			resp, err := client.Post("http://imprint/v1/examples?label=a", "image/png", strings.NewReader(string(photo)))
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
				acknowledged = append(acknowledged, fmt.Sprintf("%x", sumOf(photo)))
				taught++
			} else if kill {
				break
			} else if time.Since(begun) > 20*time.Second {
				t.Fatalf("it does not come up: %v", err)
			} else {
				time.Sleep(5 * time.Millisecond) // it is not up yet
			}
			if taught == 3 && !kill {
				kill = true
				killed.Reset(time.Duration(round) * 3 * time.Millisecond) // in the middle of one of the next
			}
			if taught > 1000 {
				t.Fatal("it does not die")
			}
		}
		cmd.Wait()
		killed.Stop()
		k, err := imprint.Open(dir, imprint.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var known []string
		for _, c := range k.Classes() {
			for _, p := range c.Photos {
				known = append(known, p.SHA256)
			}
		}
		k.Close()
		for _, sha := range acknowledged {
			if !slices.Contains(known, sha) {
				t.Errorf("round %d: photo %s was acknowledged and is lost", round, sha)
			}
		}
	}
	if len(acknowledged) < 3*rounds {
		t.Errorf("%d photos in %d rounds", len(acknowledged), rounds)
	}
}

// What another process teaches is served without anybody asking.
func TestWorkspaceChangedByOthers(t *testing.T) {
	th := perform(t, setting{})
	th.stage.show(1)
	th.next(0, func(r Result) bool { return r.Unknown })
	k, err := imprint.Open(th.server.dir, th.server.workspace)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for i := range uint64(2) {
		if _, err := k.Add(context.Background(), []dataset.Item{{Path: "x", Label: "x", Content: backbonetest.Photo(1, 100+i)}}, imprint.AddOptions{}); err != nil {
			t.Fatal(err)
		}
		th.next(th.frame(), func(r Result) bool { return r.Label == "x" && r.Generation == i+1 })
	}
	var list Classes
	th.do("GET", "/v1/classes", "", 200, &list)
	if list.Generation != 2 || len(list.Classes) != 1 || len(list.Classes[0].Photos) != 2 {
		t.Errorf("classes %+v", list)
	}
}

// The command of --notify gets its arguments as they are.
func TestNotify(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes")
	t.Setenv(childNotes, file)
	th := perform(t, setting{options: Options{Notify: os.Args[0]}})
	const label = "$(touch x); rm -rf / 'cone'"
	if _, err := th.server.Do(context.Background(), Action{"remove", label}); err == nil {
		t.Error("an unknown class was removed")
	}
	want := []string{"remove", label, "false", `remove "` + label + `": no such label`}
	var got []string
	for end := time.Now().Add(20 * time.Second); got == nil && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(file)
		json.Unmarshal(b, &got)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The service manager hears that all is well when photos are answered, and only then.
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
	hear := func() string {
		b := make([]byte, 100)
		manager.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	kit, stick := accelerated(t, smallModel)
	th := perform(t, setting{kit: kit, none: true}) // nobody posts frames: it tries one itself
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := hear(); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	stick.Unplug()
	th.await(func(h Health) bool { return h.Status == "down" })
	before := th.server.completed.Load()
	th.server.probe(context.Background(), time.Second)
	if now := th.server.completed.Load(); now != before {
		t.Error("without a device a photo counts as answered")
	}
	stick.Plug()
	for hear() != "WATCHDOG=1" { // one may be left from before
	}
	if err := th.end(); err != nil {
		t.Fatal(err)
	}
	for got := ""; got != "STOPPING=1"; got = hear() {
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
			t.Errorf("%q %q: %v, want %v", c.pid, c.usec, got, c.want)
		}
	}
}

// Photos that nobody remembers are thrown away once they are old; those that are taught
// or can be by undoing stay.
func TestSweepPhotos(t *testing.T) {
	th := perform(t, setting{none: true})
	th.do("POST", "/v1/examples?label=a", string(backbonetest.Photo(1, 1)), 200, nil)
	th.do("POST", "/v1/examples?label=b", string(backbonetest.Photo(2, 1)), 200, nil)
	th.do("DELETE", "/v1/classes/b", "", 200, nil)
	dir := filepath.Join(th.server.dir, photosDir)
	write(t, dir, map[string][]byte{strings.Repeat("0", 64) + ".png": nil, strings.Repeat("1", 64) + ".png": nil})
	long := time.Now().Add(-2 * photoAge)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "1111") {
			if err := os.Chtimes(filepath.Join(dir, e.Name()), long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := th.server.sweepPhotos(context.Background()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 || len(left) != 3 || strings.HasPrefix(left[0].Name(), "0000") {
		t.Errorf("of %v are left %v, %v", entries, left, err)
	}
}
