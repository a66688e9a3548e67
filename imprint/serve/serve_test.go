package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve/input"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

var _ input.Actor = (*Server)(nil)

func TestMain(m *testing.M) {
	if status, isChild := runAsChild(); isChild {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

// A fakeCamera is a source that shows the pictures a test chooses.
type fakeCamera struct {
	period time.Duration // time between frames
	due    time.Time     // time of the next frame

	mu      sync.Mutex
	kind    uint64
	seed    uint64
	err     error
	padding int
	fixed   [][]byte // if not nil, the pictures to show in turn
}

func (c *fakeCamera) String() string { return "fake" }
func (c *fakeCamera) Close() error   { return nil }

// show makes the camera show objects of a kind.
func (c *fakeCamera) show(kind uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kind = kind
}

// pad appends bytes to each picture.
func (c *fakeCamera) pad(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.padding = bytes
}

// fail makes the camera fail with err; nil repairs it.
func (c *fakeCamera) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// Next implements source.Source.
func (c *fakeCamera) Next(ctx context.Context) (source.Frame, error) {
	if now := time.Now(); c.due.Before(now) {
		c.due = now
	}
	sleep(ctx, time.Until(c.due))
	c.due = c.due.Add(c.period)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return source.Frame{}, c.err
	}
	c.seed++
	f := source.Frame{Captured: time.Now(), Name: "fake"}
	if c.fixed != nil {
		f.Photo = c.fixed[c.seed%uint64(len(c.fixed))]
	} else {
		f.Photo = append(backbonetest.Photo(c.kind, c.seed), make([]byte, c.padding)...)
	}
	return f, ctx.Err()
}

// A testServer is a running server with its camera and clients.
type testServer struct {
	*Server
	t      testing.TB
	camera *fakeCamera
	socket string
	url    string       // for TCP
	client *http.Client // sends requests over the socket
	stop   func() error
}

type testConfig struct {
	dir       string // of the workspace; "" creates one
	options   Options
	workspace imprint.Options
	noCamera  bool
	token     string
	tls       *tls.Certificate
	period    time.Duration // time between frames
	timeouts  timeouts

	anyRate     bool // compare doubtful pictures at any rate
	anyBackbone bool // use the backbone in the options, not a tiny one for tests
}

// start starts a server that stops at the end of the test.
func start(t testing.TB, c testConfig) *testServer {
	t.Helper()
	s := &testServer{t: t}
	if !c.noCamera && c.options.Source == nil {
		s.camera = &fakeCamera{period: 5 * time.Millisecond}
		if c.period > 0 {
			s.camera.period = c.period
		}
		c.options.Source = s.camera
	}
	if c.dir == "" {
		c.dir = filepath.Join(t.TempDir(), "ws")
	}
	if c.workspace.Backbone == "" && !c.anyBackbone {
		c.workspace.Backbone = filepath.Join(t.TempDir(), "extractor.tflite")
		if err := os.WriteFile(c.workspace.Backbone, backbonetest.Extractor(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if s.Server, err = Open(ctx, c.dir, c.workspace, c.options); err != nil {
		t.Fatal(err)
	}
	if c.anyRate {
		s.doubts.period = 0
	}
	if c.timeouts != (timeouts{}) {
		s.http.timeouts = c.timeouts
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.socket = filepath.Join(t.TempDir(), "s.sock")
	unix, err := ListenUnix(s.socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := ListenTCP("127.0.0.1:0", c.token)
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + tcp.Addr().String()
	if c.tls != nil {
		tcp = tcp.WithTLS(*c.tls)
		s.url = "https://" + tcp.Addr().String()
	}
	s.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, unix, tcp) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		s.client.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		return <-done
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// do sends a request over the socket, checks its status and decodes the response.
func (s *testServer) do(method, path, body string, status int, response any) {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://imprint"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != status {
		s.t.Fatalf("%s %s: got status %d, want %d: %s", method, path, resp.StatusCode, status, b)
	}
	if status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		s.t.Errorf("%s %s: status %d without Retry-After", method, path, status)
	}
	if response != nil {
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(response); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

// newest returns the number of the last classified frame.
func (s *testServer) newest() uint64 {
	r, _ := s.device.results.get()
	return r.Frame
}

func anyResult(Result) bool { return true }

// await waits for a result that satisfies wanted and has a frame number greater than after.
func (s *testServer) await(after uint64, wanted func(Result) bool) Result {
	s.t.Helper()
	end := time.Now().Add(time.Minute)
	var r Result
	for time.Now().Before(end) {
		v, changed := s.device.results.get()
		if v != nil && v.Frame > after {
			if r = *v; wanted(r) {
				return r
			}
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		}
	}
	s.t.Fatalf("timed out waiting for a result; the last was %+v", r)
	return r
}

// awaitNext waits for n results. Their frame numbers may have gaps: frames that come during a classification are
// dropped. The first may be of a frame that was taken before the call, and of the generation before it.
func (s *testServer) awaitNext(n int) {
	s.t.Helper()
	for range n {
		s.await(s.newest(), anyResult)
	}
}

// awaitHealth waits until the server's health satisfies wanted.
func (s *testServer) awaitHealth(wanted func(Health) bool) Health {
	s.t.Helper()
	var h Health
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if h = s.Health(); wanted(h) {
			return h
		}
	}
	s.t.Fatalf("timed out waiting for the health; the last was %+v", h)
	return h
}

// awaitHeld waits until the current hold has collected n frames.
func (s *testServer) awaitHeld(n int) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if t, _ := s.holds.state(); t.Frames >= n {
			return
		}
	}
	s.t.Fatalf("timed out waiting for %d frames in the hold", n)
}

// teach trains a class with at least n frames of the camera.
func (s *testServer) teach(label string, n int) Teaching {
	s.t.Helper()
	s.do("POST", "/v1/teach", `{"label":"`+label+`","action":"start"}`, 200, nil)
	s.awaitHeld(n)
	var t Teaching
	s.do("POST", "/v1/teach", `{"label":"`+label+`","action":"stop"}`, 200, &t)
	return t
}

// TestTeachAndClassify checks that a class is recognized as soon as the request that releases
// its button returns.
func TestTeachAndClassify(t *testing.T) {
	s := start(t, testConfig{options: Options{Vote: 3}})
	if r := s.await(0, anyResult); !r.Unknown || r.Label != "" || r.Generation != 0 {
		t.Errorf("before training: got %+v, want unknown of generation 0", r)
	}
	for i, label := range []string{"cone", "50 limit"} {
		s.camera.show(uint64(i + 1))
		s.awaitNext(3)
		done := s.teach(label, 3)
		if done.State != "done" || done.Frames < 3 || done.Generation != uint64(i+1) || !strings.HasPrefix(done.Sentence, "learned "+label+" from ") {
			t.Errorf("training %s: got %+v, want state done", label, done)
		}
		s.awaitNext(1)
		var now Result
		s.do("GET", fmt.Sprint("/v1/result?wait=30000&after=", s.newest()), "", 200, &now)
		if now.Label != label || now.Generation != done.Generation || now.Voted != label || now.Device != "cpu" {
			t.Errorf("after training %s: got result %+v", label, now)
		}
	}
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	if len(list.Classes) != 2 || list.Classes[0].Label != "50 limit" || list.Generation != 2 || list.Classes[0].Photos[0].Source != "fake" {
		t.Errorf("got classes %+v, want cone and 50 limit", list)
	}
	s.do("DELETE", "/v1/classes/50%20limit", "", 200, nil)
	s.await(s.newest(), func(r Result) bool { return r.Label == "cone" && r.Generation == 3 })
	s.do("POST", "/v1/undo", "", 200, nil)
	s.await(s.newest(), func(r Result) bool { return r.Label == "50 limit" && r.Generation == 4 })
}
