package serve

import (
	"bytes"
	"context"
	"encoding/json"
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
)

func TestMain(m *testing.M) {
	if status, is := child(); is {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

// A stage is a source on which a test says what is seen.
type stage struct {
	mu     sync.Mutex
	kind   uint64
	seed   uint64
	err    error
	period time.Duration
	fat    int // bytes that are added to each picture
	pace   pace
	few    [][]byte // if not nil, the pictures that are shown in turn
}

func (s *stage) String() string { return "stage" }
func (s *stage) Close() error   { return nil }

// show says what is seen from now on: things of a kind.
func (s *stage) show(kind uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind = kind
}

// fatten makes pictures larger.
func (s *stage) fatten(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fat = bytes
}

// breakDown makes the source fail with err; nil repairs it.
func (s *stage) breakDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Next implements Source.
func (s *stage) Next(ctx context.Context) (Frame, error) {
	s.pace.wait(ctx, s.period)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return Frame{}, s.err
	}
	s.seed++
	if s.few != nil {
		return Frame{Captured: time.Now(), Photo: s.few[s.seed%uint64(len(s.few))], Name: "stage"}, ctx.Err()
	}
	photo := append(backbonetest.Photo(s.kind, s.seed), make([]byte, s.fat)...)
	return Frame{Captured: time.Now(), Photo: photo, Name: "stage"}, ctx.Err()
}

// A theatre is a server that runs, with its stage.
type theatre struct {
	t      testing.TB
	server *Server
	stage  *stage
	socket string
	url    string // of TCP
	http   *http.Client
	end    func() error
}

type setting struct {
	dir     string // of the workspace; "" is a new one
	options Options
	kit     imprint.Options
	none    bool // no source
	token   string
	period  time.Duration // of frames
	times   times

	anyBackbone bool // that of the workspace, not the small one for tests
}

func perform(t testing.TB, c setting) *theatre {
	t.Helper()
	th := &theatre{t: t}
	if !c.none && c.options.Source == nil {
		th.stage = &stage{period: 5 * time.Millisecond}
		if c.period > 0 {
			th.stage.period = c.period
		}
		c.options.Source = th.stage
	}
	if c.dir == "" {
		c.dir = filepath.Join(t.TempDir(), "ws")
	}
	if c.kit.Backbone == "" && !c.anyBackbone {
		c.kit.Backbone = filepath.Join(t.TempDir(), "extractor.tflite")
		if err := os.WriteFile(c.kit.Backbone, backbonetest.Extractor(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if th.server, err = Open(ctx, c.dir, c.kit, c.options); err != nil {
		t.Fatal(err)
	}
	if c.times != (times{}) {
		th.server.times = c.times
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	th.socket = filepath.Join(t.TempDir(), "s.sock")
	unix, err := ListenUnix(th.socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := ListenTCP("127.0.0.1:0", c.token)
	if err != nil {
		t.Fatal(err)
	}
	th.url = "http://" + tcp.Addr().String()
	th.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", th.socket)
	}}}
	done := make(chan error, 1)
	go func() { done <- th.server.Run(ctx, unix, tcp) }()
	th.end = sync.OnceValue(func() error {
		cancel()
		th.http.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		return <-done
	})
	t.Cleanup(func() {
		if err := th.end(); err != nil {
			t.Error(err)
		}
	})
	return th
}

// do makes a request over the socket and decodes the answer, which must have that
// status.
func (th *theatre) do(method, path, body string, status int, answer any) {
	th.t.Helper()
	r, err := http.NewRequest(method, "http://imprint"+path, strings.NewReader(body))
	if err != nil {
		th.t.Fatal(err)
	}
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := th.http.Do(r)
	if err != nil {
		th.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		th.t.Fatal(err)
	}
	if resp.StatusCode != status {
		th.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, b)
	}
	if answer != nil {
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(answer); err != nil {
			th.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

// frame is the number of the newest frame that was answered.
func (th *theatre) frame() uint64 {
	r, _ := th.server.result.get()
	return r.Frame
}

// next waits for the first frame after frame that is as wanted.
func (th *theatre) next(after uint64, want func(Result) bool) Result {
	th.t.Helper()
	end := time.Now().Add(10 * time.Second)
	var r Result
	for time.Now().Before(end) {
		v, changed := th.server.result.get()
		if v != nil && v.Frame > after {
			if r = *v; want(r) {
				return r
			}
		}
		select {
		case <-changed:
		case <-time.After(time.Second):
		}
	}
	th.t.Fatalf("no such frame; the last was %+v", r)
	return r
}

// held waits until n frames have been collected.
func (th *theatre) held(n int) {
	th.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		th.server.holds.mu.Lock()
		held := len(th.server.holds.now.frames)
		th.server.holds.mu.Unlock()
		if held >= n {
			return
		}
	}
	th.t.Fatalf("there are not %d frames", n)
}

// hold teaches what the stage shows, until n frames have been seen.
func (th *theatre) hold(label string, n int) Teaching {
	th.t.Helper()
	th.do("POST", "/v1/teach", `{"label":"`+label+`","action":"start"}`, 200, nil)
	th.held(n)
	var t Teaching
	th.do("POST", "/v1/teach", `{"label":"`+label+`","action":"stop"}`, 200, &t)
	return t
}

// TestTeachAndAnswer is the whole story: what is held up while a button is held is
// known from the answer to its release on.
func TestTeachAndAnswer(t *testing.T) {
	th := perform(t, setting{options: Options{Vote: 3}})
	if r := th.next(0, func(Result) bool { return true }); !r.Unknown || r.Label != "" || r.Generation != 0 {
		t.Errorf("before teaching: %+v, want unknown of generation 0", r)
	}
	for i, label := range []string{"cone", "50 limit"} {
		th.stage.show(uint64(i + 1))
		th.next(th.frame()+2, func(Result) bool { return true })
		done := th.hold(label, 3)
		if done.State != "done" || done.Frames < 3 || done.Generation != uint64(i+1) || !strings.HasPrefix(done.Sentence, "learned "+label+" from ") {
			t.Errorf("taught %+v", done)
		}
		var now Result
		th.do("GET", "/v1/result?wait=5000&after="+jsonOf(th.frame()+1), "", 200, &now)
		if now.Label != label || now.Generation != done.Generation || now.Voted != label || now.Device != "cpu" {
			t.Errorf("after teaching %s: %+v", label, now)
		}
	}
	var list Classes
	th.do("GET", "/v1/classes", "", 200, &list)
	if len(list.Classes) != 2 || list.Classes[0].Label != "50 limit" || list.Generation != 2 || list.Classes[0].Photos[0].Source != "stage" {
		t.Errorf("classes %+v", list)
	}
	th.do("DELETE", "/v1/classes/50%20limit", "", 200, nil)
	th.next(th.frame()+1, func(r Result) bool { return r.Label == "cone" && r.Generation == 3 })
	th.do("POST", "/v1/undo", "", 200, nil)
	th.next(th.frame()+1, func(r Result) bool { return r.Label == "50 limit" && r.Generation == 4 })
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
