package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/tools/race"
)

// stormTime is the environment variable with the duration of each storm, such as 20s. Without it,
// TestStorm is skipped.
const stormTime = "IMPRINT_STORM"

const (
	stormLabels  = 3
	stormPhotos  = 60 // for each label
	stormWorkers = 4  // for each of TCP and the socket

	stormPatience = 5 * time.Minute // how long a client waits for a response
)

// TestStorm runs imprint serve and uses everything at once: it trains, undoes, reloads, classifies
// and reads the page over TCP and the socket, opens streams that nobody reads, sends SIGHUP, and
// changes the workspace with other processes. Nobody reads the server's output, or its reader has
// exited. The test fails on a data race, on a request without a response or with an undocumented
// status, if goroutines or file descriptors remain open, or if the server exits. To find data races, use
// go test -race:
//
//	IMPRINT_STORM=20s go test -race -run TestStorm -v ./cmd/imprint
func TestStorm(t *testing.T) {
	if os.Getenv(stormTime) == "" {
		t.Skipf("%s is not set", stormTime)
	}
	duration, err := time.ParseDuration(os.Getenv(stormTime))
	if err != nil {
		t.Fatal(err)
	}
	frames := t.TempDir()
	for i := range uint64(5) {
		if err := os.WriteFile(filepath.Join(frames, fmt.Sprint(i, ".png")), padded(backbonetest.Photo(1, i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		closed bool
		source string
	}{
		{"output not read", false, "folder:" + frames},
		{"output closed", true, "none"}, // clients post frames
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStorm(t, c.closed, "--source", c.source, "--rate", "30", "--loop")
			s.run(duration, c.source == "none")
			s.check()
		})
	}
}

// A storm is a server with its clients.
type storm struct {
	*serveProcess
	t      *testing.T
	tcp    string // the server's address
	races  string // folder for the reports of the race detector
	before usage
	photos [stormLabels][][]byte

	mu       sync.Mutex
	statuses map[string]map[int]int // numbers of responses by request and status
	events   map[string]int         // numbers of everything else that happened
	added    string                 // SHA-256 of the photo that was added last
}

// newStorm starts a server. If closed is set, the reader of its output exits, else it stops reading.
func newStorm(t *testing.T, closed bool, flags ...string) *storm {
	s := &storm{t: t, serveProcess: newServe(t, append(flags, "--listen", "127.0.0.1:0")...), races: t.TempDir(), statuses: make(map[string]map[int]int), events: make(map[string]int)}
	for label := range s.photos {
		for i := range uint64(stormPhotos) {
			s.photos[label] = append(s.photos[label], backbonetest.Photo(uint64(label), i))
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil { // soon full
		t.Fatal(err)
	}
	s.client.Timeout = stormPatience
	s.cmd.Stdout, s.cmd.Stderr = w, w
	s.cmd.Env = append(s.cmd.Env, "GORACE=log_path="+filepath.Join(s.races, "race"))
	s.start(t)
	w.Close()
	for lines := bufio.NewReader(r); s.tcp == ""; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if url, found := strings.CutPrefix(line, "serving http://"); found {
			s.tcp = strings.Trim(url, "/\n")
		}
	}
	if closed {
		r.Close()
	}
	return s
}

// run sends every request once, and then all requests at the same time. postsFrames is set if
// clients post frames.
func (s *storm) run(duration time.Duration, postsFrames bool) {
	tcp := &http.Client{Timeout: stormPatience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.tcp)
	}}}
	defer s.client.CloseIdleConnections()
	defer tcp.CloseIdleConnections()
	clients := []stormClient{{s, s.client, "unix", s.socket, postsFrames}, {s, tcp, "tcp", s.tcp, postsFrames}}
	for _, c := range clients {
		c.warmUp()
	}
	s.before = s.settledUsage(s.t)
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	for i, c := range clients {
		for worker := range stormWorkers {
			all.Go(func() {
				for random := rand.New(rand.NewPCG(uint64(i), uint64(worker))); ctx.Err() == nil; {
					c.send(stormCalls[random.IntN(len(stormCalls))], random.IntN(stormLabels), random.IntN(stormPhotos))
				}
			})
		}
		for _, path := range []string{"/v1/events", "/v1/stream.mjpg"} {
			for n := range uint64(stormWorkers) {
				all.Go(func() { c.openUnread(ctx, path, rand.New(rand.NewPCG(uint64(i), 10+n))) })
			}
		}
		all.Go(func() {
			for random := rand.New(rand.NewPCG(uint64(i), 20)); ctx.Err() == nil; {
				c.hold(ctx, random.IntN(stormLabels), []string{"stop", "stop", "cancel"}[random.IntN(3)])
			}
		})
		if postsFrames {
			all.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					c.postFrame(n)
					pause(ctx, 30*time.Millisecond)
				}
			})
		}
	}
	all.Go(func() { s.hangUp(ctx) })
	all.Go(func() { s.changeWorkspace(ctx) })
}

func (s *storm) hangUp(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			s.t.Error(err)
			return
		}
		s.count("SIGHUP")
		pause(ctx, 50*time.Millisecond)
	}
}

// changeWorkspace adds and removes a class with other processes.
func (s *storm) changeWorkspace(ctx context.Context) {
	var photos []string
	for i, photo := range s.photos[0][:5] {
		path := filepath.Join(s.t.TempDir(), fmt.Sprint(i, ".png"))
		if err := os.WriteFile(path, append(photo, "another photo"...), 0o644); err != nil {
			s.t.Error(err)
			return
		}
		photos = append(photos, path)
	}
	for n := 0; ctx.Err() == nil; n++ {
		args := append([]string{"add", "--label", "other"}, photos...)
		if n%2 > 0 {
			args = []string{"remove", "--label", "other"}
		}
		cmd := s.command(args...)
		cmd.Env = append(cmd.Env, "GORACE=log_path="+filepath.Join(s.races, "race"))
		out, err := cmd.CombinedOutput()
		refused := slices.ContainsFunc([]string{"no such label", "no classes", "locked"}, func(text string) bool { return bytes.Contains(out, []byte(text)) })
		if err != nil && (cmd.ProcessState.ExitCode() != 1 || !refused) {
			s.t.Errorf("imprint %s: %v: %s", args[0], err, out)
		}
		if err == nil {
			s.count("imprint " + args[0])
		}
	}
}

func (s *storm) count(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[event]++
}

// check compares the server after the storm with the server before it.
func (s *storm) check() {
	after := s.usageReturns(s.t, s.before)
	s.stop(s.t)
	if out, err := s.command("list").CombinedOutput(); err != nil && !bytes.Contains(out, []byte("no classes")) {
		s.t.Errorf("imprint list: %v: %s", err, out)
	}
	reports, err := filepath.Glob(filepath.Join(s.races, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range reports {
		text, _ := os.ReadFile(name)
		s.t.Errorf("%d data races: %.4000s", bytes.Count(text, []byte("WARNING: DATA RACE")), text)
	}
	total := 0
	for _, statuses := range s.statuses {
		for _, n := range statuses {
			total += n
		}
	}
	if total == 0 {
		s.t.Error("the storm was too short: no request got a response")
	}
	s.t.Logf("%d responses: %v; %v; before %+v, after %+v; race detector: %v", total, s.statuses, s.events, s.before, after, race.Enabled)
}
