package serve

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// sendRaw sends text to a server. It returns the status and body of the response, or status 0 if
// the server closes the connection without a response.
func sendRaw(t *testing.T, addr, text string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	go io.WriteString(c, text) // the server may respond before it has read everything
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		if net, ok := err.(net.Error); ok && net.Timeout() {
			t.Fatal("the server neither responded nor closed the connection")
		}
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// hugePNG returns a small PNG that claims to have 60000×60000 pixels.
func hugePNG() string {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		binary.Write(&b, binary.BigEndian, uint32(len(data)))
		b.WriteString(kind)
		b.Write(data)
		binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(append([]byte(kind), data...)))
	}
	chunk("IHDR", []byte{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0})
	chunk("IDAT", []byte{0x78, 0x9c, 3, 0, 0, 0, 0, 1})
	chunk("IEND", nil)
	return b.String()
}

// TestBadRequests checks the responses to bad requests. docs/serve.md lists the same requests.
func TestBadRequests(t *testing.T) {
	s := start(t, testConfig{})
	addr := strings.TrimPrefix(s.url, "http://")
	photo := string(backbonetest.Photo(1, 1))
	request := func(line, head, body string) string {
		return fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s", line, addr, len(body), head, body)
	}
	const asJSON = "Content-Type: application/json\r\n"
	for _, c := range []struct {
		name, text string
		status     int
		want       string // text in the response
	}{
		{"a photo", request("POST /v1/classify", "", photo), 200, `"frame":0`},
		{"unknown path", request("GET /v1/secrets", "", ""), 404, "no such path"},
		{"path outside the page", request("GET /../../etc/passwd", "", ""), 307, "/etc/passwd"},
		{"encoded path outside the page", request("GET /%2e%2e/%2e%2e/etc/passwd", "", ""), 404, "no such path"},
		{"path of another program", request("POST /wp-login.php", "", "a=b"), 404, "no such path"},
		{"wrong method", request("GET /v1/undo", "", ""), 405, "does not allow GET"},
		{"wrong method for a page", request("POST /", "", ""), 405, "does not allow POST"},
		{"not HTTP", "\x16\x03\x01 hello\r\n\r\n", 400, ""},
		{"another protocol", "SSH-2.0-OpenSSH_9.9\r\n", 400, ""},
		{"two lengths", "POST /v1/undo HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabc", 400, ""},
		{"huge head", request("GET /v1/health", "X: "+strings.Repeat("x", 64<<10)+"\r\n", ""), 431, ""},
		{"head over 16 KiB", request("GET /v1/health", "X: "+strings.Repeat("x", 16<<10)+"\r\n", ""), 431, ""},
		{"head of nearly 16 KiB", request("GET /v1/health", "X: "+strings.Repeat("x", 15<<10)+"\r\n", ""), 200, ""},
		{"foreign host", "GET /v1/result HTTP/1.1\r\nHost: rebind.example\r\n\r\n", 421, "unknown host"},
		{"no host", "GET /v1/result HTTP/1.0\r\n\r\n", 421, "unknown host"},
		{"page of another site", request("POST /v1/undo", "Origin: http://evil.example\r\n", ""), 403, "cross-site"},
		{"form of another site", request("POST /v1/undo", "Sec-Fetch-Site: cross-site\r\n", ""), 403, "cross-site"},
		{"sandboxed page", request("POST /v1/teach", "Origin: null\r\n"+asJSON, `{"action":"start","label":"a"}`), 403, "cross-site"},
		{"no body", request("POST /v1/classify", "", ""), 400, "empty"},
		{"text instead of a photo", request("POST /v1/classify", "", "hello"), 415, "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM photo"},
		{"program instead of a photo", request("POST /v1/examples?label=a", "", "\x7fELF\x02\x01\x01"), 415, "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM photo"},
		{"truncated photo", request("POST /v1/classify", "", photo[:len(photo)/2]), 400, "damaged"},
		{"3.6 gigapixels in 70 bytes", request("POST /v1/classify", "", hugePNG()), 413, "too large"},
		{"17 MiB", request("POST /v1/classify", "", strings.Repeat("x", 17<<20)), 413, "exceeds"},
		{"endless body", "POST /v1/classify HTTP/1.1\r\nHost: " + addr + "\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100000\r\n"+strings.Repeat("x", 1<<20)+"\r\n", 20), 413, "exceeds"},
		{"truncated JSON", request("POST /v1/teach", asJSON, `{"label":`), 400, "invalid JSON"},
		{"unknown field", request("POST /v1/teach", asJSON, `{"label":"a","action":"start","shell":"rm"}`), 400, "invalid JSON"},
		{"two JSON values", request("POST /v1/teach", asJSON, `{"label":"a","action":"start"}{}`), 400, "more than one"},
		{"form instead of JSON", request("POST /v1/teach", "Content-Type: application/x-www-form-urlencoded\r\n", `label=a&action=start`), 415, "Content-Type"},
		{"unknown action", request("POST /v1/teach", asJSON, `{"label":"a","action":"explode"}`), 400, "start, stop or cancel"},
		{"huge JSON", request("POST /v1/teach", asJSON, `{"label":"`+strings.Repeat("a", 100<<10)+`"}`), 413, "exceeds"},
		{"label of two lines", request("POST /v1/teach", asJSON, `{"label":"a\nb","action":"start"}`), 400, "control"},
		{"label of 300 bytes", request("POST /v1/teach", asJSON, `{"label":"`+strings.Repeat("a", 300)+`","action":"start"}`), 400, "200"},
		{"no label", request("POST /v1/examples", "", photo), 400, "empty"},
		{"not held", request("POST /v1/teach", asJSON, `{"label":"a","action":"stop"}`), 409, "no button is held"},
		{"unknown class", request("DELETE /v1/classes/nobody", "", ""), 404, "no such label"},
		{"unknown photo", request("DELETE /v1/examples/"+strings.Repeat("ab", 32), "", ""), 404, "photos"},
		{"invalid SHA-256", request("GET /v1/examples/..%2f..%2fetc%2fpasswd/thumbnail.jpg", "", ""), 400, "SHA-256"},
		{"nothing to undo", request("POST /v1/undo", "", ""), 409, "nothing to undo"},
		{"frame for a server with a camera", request("POST /v1/frames", "", photo), 409, "its own source"},
		{"negative number", request("GET /v1/result?after=-1", "", ""), 400, "number"},
		{"unknown events", request("GET /v1/events?kinds=secrets", "", ""), 400, "unknown kind of events"},
	} {
		status, body := sendRaw(t, addr, c.text)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: got %d %q, want %d with %q", c.name, status, body, c.status, c.want)
		}
		if strings.HasPrefix(body, "{") && status >= 400 {
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Error == "" {
				t.Errorf("%s: response %q is not a Problem", c.name, body)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(s.workspace.dir, "model.tflite")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a bad request created a model: %v", err)
	}
	s.awaitNext(3) // the camera still works
}

// TestSlowRequests checks that unfinished requests time out.
func TestSlowRequests(t *testing.T) {
	const soon, late = 100 * time.Millisecond, time.Minute
	noHead := start(t, testConfig{noCamera: true, timeouts: timeouts{head: soon, body: late, write: late}})
	s := start(t, testConfig{noCamera: true, timeouts: timeouts{head: late, body: soon, write: late}})
	addr := strings.TrimPrefix(s.url, "http://")
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"nothing", "", 0},
		{"half a header", "POST /v1/classify HTTP/1.1\r\nHost: a\r\n", 0},
		{"half a body", "POST /v1/classify HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 100\r\n\r\nabc", 408},
		{"half a body of a rejected request", "POST /v1/undo HTTP/1.1\r\nHost: rebind.example\r\nContent-Length: 100\r\n\r\nabc", 421},
		{"half a chunk", "POST /v1/teach HTTP/1.1\r\nHost: " + addr + "\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc", 408},
	} {
		to := addr
		if c.status == 0 {
			to = strings.TrimPrefix(noHead.url, "http://")
		}
		if status, body := sendRaw(t, to, c.text); status != c.status {
			t.Errorf("%s: got %d %q, want %d", c.name, status, body, c.status)
		}
	}
}

// TestStalledReaders checks that clients that stop reading a stream are disconnected.
func TestStalledReaders(t *testing.T) {
	s := start(t, testConfig{timeouts: timeouts{head: time.Minute, body: time.Minute, write: time.Second}})
	addr := strings.TrimPrefix(s.url, "http://")
	s.await(0, anyResult)
	for range 16 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /v1/stream.mjpg HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
		line := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(c, line); err != nil || string(line) != "HTTP/1.1 200" {
			t.Fatalf("got status line %q, error %v, want 200 OK", line, err)
		}
	}
	s.awaitNext(11)
	s.camera.pad(1 << 20) // large frames fill the network buffers
	for end := time.Now().Add(time.Minute); len(s.http.streams) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d streams are still open", len(s.http.streams))
		}
	}
	s.awaitNext(6)
}

func TestTooManyStreams(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	for range maxStreams {
		leave, err := s.http.enterStream()
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	for _, path := range []string{"/v1/events", "/v1/stream.mjpg"} {
		var p Problem
		s.do("GET", path, "", 503, &p)
		if !strings.Contains(p.Error, "streams") {
			t.Errorf("%s: got %+v, want an error about streams", path, p)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	s := start(t, testConfig{})
	addr := strings.TrimPrefix(s.url, "http://")
	for range perAddress {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	// The server accepts connections in order, so this connection is over the limit.
	if status, body := sendRaw(t, addr, "GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n"); status != 503 || !strings.Contains(body, "too many") {
		t.Errorf("got %d %q, want 503", status, body)
	}
	s.do("GET", "/v1/health", "", 200, nil) // the Unix socket has its own limit
}

// TestRateLimit checks that requests over the limit are delayed or rejected, and that each
// address has its own limit.
func TestRateLimit(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	g := s.guard(Listener{})
	from := func(addr string) *http.Request {
		r := httptest.NewRequest("GET", "http://127.0.0.1/v1/health", nil)
		r.RemoteAddr = addr
		return r
	}
	for i := range requestBurst {
		if err := g.check(nil, from("192.0.2.1:5000")); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	statuses := make(chan int)
	const more = 3 * requestRate
	for range more {
		go func() {
			w := httptest.NewRecorder()
			g.ServeHTTP(w, from("192.0.2.1:5001"))
			if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
				t.Error("status 429 without Retry-After")
			}
			statuses <- w.Code
		}()
	}
	if err := g.check(nil, from("192.0.2.2:5000")); err != nil {
		t.Errorf("request from another address: %v", err)
	}
	got := make(map[int]int)
	for range more {
		got[<-statuses]++
	}
	if got[200] == 0 || got[429] == 0 || got[200]+got[429] != more {
		t.Errorf("got statuses %v, want both 200 and 429", got)
	}
}

func TestToken(t *testing.T) {
	const token = "a-token-of-24-characters"
	s := start(t, testConfig{token: token})
	get := func(path string, header ...string) *http.Response {
		r, err := http.NewRequest("GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp
	}
	for _, c := range []struct {
		path   string
		header []string
		status int
	}{
		{"/v1/health", nil, 401},
		{"/", nil, 401},
		{"/v1/metrics", nil, 401},
		{"/v1/health", []string{"Authorization", "Bearer " + token}, 200},
		{"/v1/health", []string{"Authorization", "bearer " + token}, 200},
		{"/v1/health", []string{"Authorization", "Bearer " + token + "x"}, 401},
		{"/v1/health", []string{"Authorization", "Basic " + token}, 401},
		{"/v1/health", []string{"Cookie", "imprint=" + token}, 200},
		{"/v1/health", []string{"Cookie", "imprint=guess"}, 401},
		{"/v1/health?token=" + token, nil, 401}, // only the page accepts a token in the URL, because logs contain URLs
		{"/?token=guess", nil, 401},
		{"/?token=" + token, nil, 303},
		{"/?token=guess", []string{"Cookie", "imprint=" + token}, 303},
	} {
		resp := get(c.path, c.header...)
		if resp.StatusCode != c.status {
			t.Errorf("%s %q: got status %d, want %d", c.path, c.header, resp.StatusCode, c.status)
		}
		if c.status == 303 {
			cookie := resp.Cookies()[0]
			if resp.Header.Get("Location") != "/" || cookie.Value != token || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
				t.Errorf("%s: got a redirect to %s with cookies %v", c.path, resp.Header.Get("Location"), cookie)
			}
		}
	}
	resp := get("/", "Cookie", "imprint="+token)
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got headers %v, want the security headers", resp.Header)
	}
	s.do("GET", "/v1/health", "", 200, nil) // the Unix socket needs no token
}

func TestListenTCP(t *testing.T) {
	for _, c := range []struct {
		addr, token string
		needs       bool
	}{
		{"127.0.0.1:0", "", false},
		{"127.0.0.1:0", "sixteen-or-more-characters", true},
		{"0.0.0.0:0", "", true},
		{":0", "", true},
	} {
		l, err := ListenTCP(c.addr, c.token)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if (l.token != "") != c.needs || c.token != "" && l.token != c.token || c.needs && len(l.token) < minToken {
			t.Errorf("%s %q: got token %q, want a token: %v", c.addr, c.token, l.token, c.needs)
		}
		if strings.Contains(l.URL(), "token=") != c.needs || strings.Contains(l.URL(), "0.0.0.0") || strings.Contains(l.URL(), "[::]") {
			t.Errorf("%s %q: got unexpected URL %s", c.addr, c.token, l.URL())
		}
	}
	if _, err := ListenTCP("127.0.0.1:0", "short"); !errors.Is(err, ErrToken) {
		t.Errorf("short token: got error %v, want ErrToken", err)
	}
}

func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	first, err := ListenUnix(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got mode %v, %v, want 660", info.Mode(), err)
	}
	go func() { // another server on the socket
		for {
			c, err := first.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if _, err := ListenUnix(path, 0o600); !errors.Is(err, ErrInUse) {
		t.Errorf("socket in use: got error %v, want ErrInUse", err)
	}
	first.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got a socket after Close, or error %v, want none", err)
	}
	// A killed process leaves its socket behind.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	again, err := ListenUnix(path, 0o600)
	if err != nil {
		t.Fatalf("replace a stale socket: %v", err)
	}
	again.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(filepath.Join(dir, "file"), 0o600); err == nil {
		t.Error("ListenUnix replaced a regular file")
	}
	if _, err := ListenUnix(filepath.Join(dir, strings.Repeat("x", 200)), 0o600); !errors.Is(err, ErrSocketPath) {
		t.Errorf("long path: got error %v, want ErrSocketPath", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("got files %v left behind, want only the regular file", entries)
	}
}
