package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A stormCall is a kind of request. The path may contain LABEL and SHA256.
type stormCall struct {
	name, method, path string
	photo              bool // the body is a photo
}

var stormCalls = []stormCall{
	{"add", "POST", "/v1/examples?label=LABEL", true},
	{"add", "POST", "/v1/examples?label=LABEL", true},
	{"add", "POST", "/v1/examples?label=LABEL", true},
	{"health", "GET", "/v1/health", false},
	{"metrics", "GET", "/v1/metrics", false},
	{"page", "GET", "/", false},
	{"openapi", "GET", "/v1/openapi.json", false},
	{"result", "GET", "/v1/result?after=1&wait=300", false},
	{"picture", "GET", "/v1/frame.jpg", false},
	{"model", "GET", "/v1/model", false},
	{"labels", "GET", "/v1/labels", false},
	{"classes", "GET", "/v1/classes", false},
	{"thumbnail", "GET", "/v1/examples/SHA256/thumbnail.jpg", false},
	{"delete photo", "DELETE", "/v1/examples/SHA256", false},
	{"delete class", "DELETE", "/v1/classes/LABEL", false},
	{"undo", "POST", "/v1/undo", false},
	{"retrain", "POST", "/v1/retrain", false},
	{"reload", "POST", "/v1/reload", false},
	{"reload", "POST", "/v1/reload", false},
	{"classify", "POST", "/v1/classify", true},
	{"classify", "POST", "/v1/classify", true},
}

// stormStatuses are the statuses that docs/serve.md lists for valid requests: also for a missing
// class, a button that is held or not, a busy server, and too many requests.
var stormStatuses = []int{200, 204, 404, 409, 429, 503}

// A stormClient sends requests over TCP or the socket.
type stormClient struct {
	*storm
	client        *http.Client
	network, addr string
	postsFrames   bool
}

// warmUp sends each request once. All must succeed.
func (c stormClient) warmUp() {
	if c.postsFrames {
		c.postFrame(0)
	}
	c.do("result", "GET", "/v1/result?wait=30000", "", nil)
	for i, call := range stormCalls {
		if c.send(call, 0, i); c.t.Failed() {
			c.t.FailNow()
		}
	}
	c.hold(context.Background(), 0, "stop")
	c.client.CloseIdleConnections()
	for name, statuses := range c.statuses {
		if statuses[200] == 0 {
			c.t.Errorf("%s over %s: got statuses %v, want 200", name, c.network, statuses)
		}
	}
	clear(c.statuses)
}

// send sends a request, for one of the photos of a label.
func (c stormClient) send(call stormCall, label, number int) {
	photo := c.photos[label][number]
	c.mu.Lock()
	path := strings.NewReplacer("LABEL", fmt.Sprint("class", label), "SHA256", c.added).Replace(call.path)
	c.mu.Unlock()
	if !call.photo {
		photo = nil
	}
	status := c.do(call.name, call.method, path, "image/png", photo)
	if call.name == "add" && status == 200 {
		c.mu.Lock()
		c.added = fmt.Sprintf("%x", sha256.Sum256(photo))
		c.mu.Unlock()
	}
}

// do sends a request. It counts and returns its status.
func (c stormClient) do(name, method, path, contentType string, body []byte) (status int) {
	r, err := http.NewRequest(method, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return 0
	}
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	start := time.Now()
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Errorf("%s over %s has no response after %v: %v", name, c.network, time.Since(start), err)
		return 0
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Errorf("%s over %s: %v", name, c.network, err)
	}
	if !slices.Contains(stormStatuses, resp.StatusCode) {
		c.t.Errorf("%s over %s: got status %d: %.300s", name, c.network, resp.StatusCode, content)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statuses[name] == nil {
		c.statuses[name] = make(map[int]int)
	}
	c.statuses[name][resp.StatusCode]++
	return resp.StatusCode
}

func (c stormClient) postFrame(n int) {
	c.do("frame", "POST", "/v1/frames", "image/png", padded(c.photos[n%stormLabels][n%stormPhotos]))
}

// hold presses a button, waits for a frame and ends the hold with an action.
func (c stormClient) hold(ctx context.Context, label int, action string) {
	body := func(action string) []byte { return fmt.Appendf(nil, `{"label":"class%d","action":%q}`, label, action) }
	c.do("press", "POST", "/v1/teach", "application/json", body("start"))
	if c.postsFrames {
		c.postFrame(label)
	}
	pause(ctx, 200*time.Millisecond)
	c.do("release", "POST", "/v1/teach", "application/json", body(action))
}

// openUnread opens streams and does not read them.
func (c stormClient) openUnread(ctx context.Context, path string, random *rand.Rand) {
	for ctx.Err() == nil {
		conn, err := net.Dial(c.network, c.addr)
		if err != nil {
			c.t.Errorf("%s over %s: %v", path, c.network, err)
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetReadBuffer(4096)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
		c.count("streams that nobody reads")
		pause(ctx, time.Duration(random.IntN(7000))*time.Millisecond)
		conn.Close()
	}
}

// padded appends a quarter of a megabyte to a photo, so that streams of it soon fill the buffers of
// the network.
func padded(photo []byte) []byte { return append(slices.Clip(photo), make([]byte, 256<<10)...) }

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
