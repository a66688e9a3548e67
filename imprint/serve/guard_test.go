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

// shout sends bytes to the server as they are and returns the answer's status, 0 if
// the connection is ended without one, and its body.
func shout(t *testing.T, addr, text string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(c, text) // the server may answer before it has read all
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		if net, ok := err.(net.Error); ok && net.Timeout() {
			t.Fatal("the server neither answers nor ends the connection")
		}
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// bomb is a small PNG that says it has 60000×60000 pixels.
func bomb() string {
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

// TestBadRequests are the requests that are turned away, and how. docs/serve.md has
// the same list.
func TestBadRequests(t *testing.T) {
	th := perform(t, setting{})
	addr := strings.TrimPrefix(th.url, "http://")
	photo := string(backbonetest.Photo(1, 1))
	request := func(line, head, body string) string {
		return fmt.Sprintf("%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s", line, addr, len(body), head, body)
	}
	const asJSON = "Content-Type: application/json\r\n"
	for _, c := range []struct {
		what, text string
		status     int
		says       string
	}{
		{"a photo", request("POST /v1/classify", "", photo), 200, `"frame":0`},
		{"unknown path", request("GET /v1/secrets", "", ""), 404, "there is no"},
		{"no page", request("GET /../../etc/passwd", "", ""), 307, "/etc/passwd"},
		{"no page, encoded", request("GET /%2e%2e/%2e%2e/etc/passwd", "", ""), 404, "there is no"},
		{"unknown path outside", request("POST /wp-login.php", "", "a=b"), 404, "there is no"},
		{"wrong method", request("GET /v1/undo", "", ""), 405, "not for GET"},
		{"wrong method for a page", request("POST /", "", ""), 405, "not for POST"},
		{"no HTTP", "\x16\x03\x01 hello\r\n\r\n", 400, ""},
		{"another protocol", "SSH-2.0-OpenSSH_9.9\r\n", 400, ""},
		{"two lengths", "POST /v1/undo HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nabc", 400, ""},
		{"huge head", request("GET /v1/health", "X: "+strings.Repeat("x", 64<<10)+"\r\n", ""), 431, ""},
		{"foreign host", "GET /v1/result HTTP/1.1\r\nHost: rebind.example\r\n\r\n", 421, "not called"},
		{"no host", "GET /v1/result HTTP/1.0\r\n\r\n", 421, "not called"},
		{"another site's page", request("POST /v1/undo", "Origin: http://evil.example\r\n", ""), 403, "another site"},
		{"another site's form", request("POST /v1/undo", "Sec-Fetch-Site: cross-site\r\n", ""), 403, "another site"},
		{"a sandboxed page", request("POST /v1/teach", "Origin: null\r\n"+asJSON, `{"action":"start","label":"a"}`), 403, "another site"},
		{"no photo", request("POST /v1/classify", "", ""), 400, "empty"},
		{"text for a photo", request("POST /v1/classify", "", "hello"), 415, "not a JPEG"},
		{"a program for a photo", request("POST /v1/examples?label=a", "", "\x7fELF\x02\x01\x01"), 415, "not a JPEG"},
		{"half a photo", request("POST /v1/classify", "", photo[:len(photo)/2]), 400, "damaged"},
		{"3.6 gigapixels in 70 bytes", request("POST /v1/classify", "", bomb()), 413, "too large"},
		{"17 MiB", request("POST /v1/classify", "", strings.Repeat("x", 17<<20)), 413, "bytes"},
		{"endless", "POST /v1/classify HTTP/1.1\r\nHost: " + addr + "\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100000\r\n"+strings.Repeat("x", 1<<20)+"\r\n", 20), 413, "bytes"},
		{"no JSON", request("POST /v1/teach", asJSON, `{"label":`), 400, "JSON"},
		{"unknown field", request("POST /v1/teach", asJSON, `{"label":"a","action":"start","shell":"rm"}`), 400, "JSON"},
		{"two values", request("POST /v1/teach", asJSON, `{"label":"a","action":"start"}{}`), 400, "more than one"},
		{"a form for JSON", request("POST /v1/teach", "Content-Type: application/x-www-form-urlencoded\r\n", `label=a&action=start`), 415, "type"},
		{"unknown action", request("POST /v1/teach", asJSON, `{"label":"a","action":"explode"}`), 400, "start, stop or cancel"},
		{"huge JSON", request("POST /v1/teach", asJSON, `{"label":"`+strings.Repeat("a", 100<<10)+`"}`), 413, "bytes"},
		{"label of two lines", request("POST /v1/teach", asJSON, `{"label":"a\nb","action":"start"}`), 400, "control"},
		{"label of 300 bytes", request("POST /v1/teach", asJSON, `{"label":"`+strings.Repeat("a", 300)+`","action":"start"}`), 400, "200"},
		{"no label", request("POST /v1/examples", "", photo), 400, "empty"},
		{"not held", request("POST /v1/teach", asJSON, `{"label":"a","action":"stop"}`), 409, "no class is being taught"},
		{"unknown class", request("DELETE /v1/classes/nobody", "", ""), 404, "no such label"},
		{"unknown photo", request("DELETE /v1/examples/"+strings.Repeat("ab", 32), "", ""), 404, "photos"},
		{"no sum", request("GET /v1/examples/..%2f..%2fetc%2fpasswd/thumbnail.jpg", "", ""), 400, "SHA-256"},
		{"nothing to undo", request("POST /v1/undo", "", ""), 409, "nothing to undo"},
		{"frame though there is a camera", request("POST /v1/frames", "", photo), 409, "camera of its own"},
		{"number", request("GET /v1/result?after=-1", "", ""), 400, "number"},
		{"unknown events", request("GET /v1/events?kinds=secrets", "", ""), 400, "events"},
	} {
		status, body := shout(t, addr, c.text)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: got %d %q, want %d with %q", c.what, status, body, c.status, c.says)
		}
		if strings.HasPrefix(body, "{") && status >= 400 {
			var p Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil || p.Error == "" {
				t.Errorf("%s: answer %q is not a problem", c.what, body)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(th.server.dir, "model.tflite")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was taught: %v", err)
	}
	at := th.frame()
	th.next(at+2, func(Result) bool { return true }) // the camera goes on
}

// TestSlowRequests are those that come to no end.
func TestSlowRequests(t *testing.T) {
	th := perform(t, setting{times: times{head: 100 * time.Millisecond, body: 100 * time.Millisecond, write: time.Second}})
	addr := strings.TrimPrefix(th.url, "http://")
	for _, c := range []struct {
		what, text string
		status     int
	}{
		{"nothing", "", 0},
		{"half a head", "POST /v1/classify HTTP/1.1\r\nHost: a\r\n", 0},
		{"half a body", "POST /v1/classify HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 100\r\n\r\nabc", 408},
		{"half a body that nobody wants", "POST /v1/undo HTTP/1.1\r\nHost: rebind.example\r\nContent-Length: 100\r\n\r\nabc", 421},
		{"half a chunk", "POST /v1/teach HTTP/1.1\r\nHost: " + addr + "\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc", 408},
	} {
		if status, body := shout(t, addr, c.text); status != c.status {
			t.Errorf("%s: got %d %q, want %d", c.what, status, body, c.status)
		}
	}
}

// Those who do not read what they asked for are let go, and nobody waits for them.
func TestReadersThatDoNotRead(t *testing.T) {
	th := perform(t, setting{times: times{head: time.Second, body: time.Second, write: 50 * time.Millisecond}})
	addr := strings.TrimPrefix(th.url, "http://")
	th.next(0, func(Result) bool { return true })
	for range 16 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /v1/stream.mjpg HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
		begin := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.ReadFull(c, begin); err != nil || string(begin) != "HTTP/1.1 200" {
			t.Fatalf("%q, %v", begin, err)
		}
	}
	th.next(th.frame()+10, func(Result) bool { return true })
	th.stage.fatten(1 << 20) // large frames fill what the network holds for them
	for end := time.Now().Add(20 * time.Second); len(th.server.streams) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d streams are open still", len(th.server.streams))
		}
	}
	th.next(th.frame()+5, func(Result) bool { return true })
}

func TestTooManyStreams(t *testing.T) {
	th := perform(t, setting{none: true})
	for range maxStreams {
		leave, err := th.server.enterStream()
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	for _, path := range []string{"/v1/events", "/v1/stream.mjpg"} {
		var p Problem
		th.do("GET", path, "", 503, &p)
		if !strings.Contains(p.Error, "streams") {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	th := perform(t, setting{})
	addr := strings.TrimPrefix(th.url, "http://")
	for range perAddress {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	// The server accepts them in order.
	if status, body := shout(t, addr, "GET /v1/health HTTP/1.1\r\nHost: a\r\n\r\n"); status != 503 || !strings.Contains(body, "too many") {
		t.Errorf("got %d %q, want 503", status, body)
	}
	th.do("GET", "/v1/health", "", 200, nil) // the socket is another way in
}

// Of requests that come faster than they may some are held back, and others, that would
// have to wait for too long, turned away; another address has its own account.
func TestRateOfRequests(t *testing.T) {
	th := perform(t, setting{none: true})
	g := th.server.guard(Listener{})
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
			statuses <- w.Code
		}()
	}
	if err := g.check(nil, from("192.0.2.2:5000")); err != nil {
		t.Errorf("another address: %v", err)
	}
	got := make(map[int]int)
	for range more {
		got[<-statuses]++
	}
	if got[200] == 0 || got[429] == 0 || got[200]+got[429] != more {
		t.Errorf("statuses %v, want some 200 and some 429", got)
	}
}

func TestToken(t *testing.T) {
	const token = "a-token-of-24-characters"
	th := perform(t, setting{token: token})
	get := func(path string, header ...string) *http.Response {
		r, err := http.NewRequest("GET", th.url+path, nil)
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
		{"/v1/health?token=" + token, nil, 401}, // only the page: a token does not belong into logs
		{"/?token=guess", nil, 401},
		{"/?token=" + token, nil, 303},
		{"/?token=guess", []string{"Cookie", "imprint=" + token}, 303},
	} {
		resp := get(c.path, c.header...)
		if resp.StatusCode != c.status {
			t.Errorf("%s %q: status %d, want %d", c.path, c.header, resp.StatusCode, c.status)
		}
		if c.status == 303 {
			cookie := resp.Cookies()[0]
			if resp.Header.Get("Location") != "/" || cookie.Value != token || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
				t.Errorf("%s: to %s with %v", c.path, resp.Header.Get("Location"), cookie)
			}
		}
	}
	resp := get("/", "Cookie", "imprint="+token)
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", resp.Header)
	}
	th.do("GET", "/v1/health", "", 200, nil) // the socket needs none
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
			t.Errorf("%s %q: token %q, needs one: %v", c.addr, c.token, l.token, c.needs)
		}
		if strings.Contains(l.URL(), "token=") != c.needs || strings.Contains(l.URL(), "0.0.0.0") || strings.Contains(l.URL(), "[::]") {
			t.Errorf("%s %q: URL %s", c.addr, c.token, l.URL())
		}
	}
	if _, err := ListenTCP("127.0.0.1:0", "short"); !errors.Is(err, ErrToken) {
		t.Errorf("short token: %v, want ErrToken", err)
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
		t.Errorf("mode %v, %v; want 660", info.Mode(), err)
	}
	go func() { // a server answers
		for {
			c, err := first.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if _, err := ListenUnix(path, 0o600); !errors.Is(err, ErrInUse) {
		t.Errorf("while it is used: %v, want ErrInUse", err)
	}
	first.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v, want it gone", err)
	}
	// What a killed process leaves.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	again, err := ListenUnix(path, 0o600)
	if err != nil {
		t.Fatalf("in place of a stale one: %v", err)
	}
	again.Close()
	write(t, dir, map[string][]byte{"file": []byte("precious")})
	if _, err := ListenUnix(filepath.Join(dir, "file"), 0o600); err == nil {
		t.Error("a file was replaced")
	}
	if _, err := ListenUnix(filepath.Join(dir, strings.Repeat("x", 200)), 0o600); err == nil || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("long path: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
