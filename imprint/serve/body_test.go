package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// TestMakeRoom checks which uploads are ended if memory runs out.
func TestMakeRoom(t *testing.T) {
	type body struct {
		from    string // last byte of the address
		seconds int
		size    int64
	}
	const needed = 10
	for _, c := range []struct {
		name   string
		needy  body
		others []body
		want   string // the numbers of the uploads that are ended
	}{
		{"no others", body{"1", 5, 0}, nil, "[]"},
		{"small ones of another address", body{"1", 0, 0}, []body{{"2", 5, 4}, {"2", 6, 5}, {"2", 7, 5}, {"2", 2, 4}}, "[1 2]"},
		{"the largest is enough", body{"1", 0, 0}, []body{{"2", 5, 4}, {"2", 5, 20}}, "[1]"},
		{"new ones of another address", body{"1", 0, 0}, []body{{"2", 0, 40}, {"3", 0, 41}}, "[1]"},
		{"the other address holds less", body{"1", 0, 31}, []body{{"2", 9, 20}, {"2", 9, 20}}, "[]"},
		{"the same address, new", body{"1", 0, 0}, []body{{"1", 0, 40}, {"1", 0, 40}}, "[]"},
		{"the same address, slow", body{"1", 0, 0}, []body{{"1", 4, 12}, {"1", 0, 12}, {"2", 3, 12}}, "[0]"},
		{"the same address, but less cost", body{"1", 9, 8}, []body{{"1", 4, 4}}, "[]"},
	} {
		m := newBodyMemory()
		var ended []int
		add := func(i int, b body) *upload {
			u := &upload{from: netip.MustParseAddr("127.0.0." + b.from), size: b.size,
				since: time.Now().Add(-time.Duration(b.seconds) * time.Second), end: func() { ended = append(ended, i) }}
			m.uploads[u] = false
			m.held[u.from] += u.size
			return u
		}
		for i, b := range c.others {
			add(i, b)
		}
		m.free = 0
		m.makeRoom(&reservation{upload: add(-1, c.needy), bytes: needed})
		marks := make(map[int]bool)
		for _, i := range ended {
			marks[i] = true
		}
		var got []int
		for i := -1; i < len(c.others); i++ {
			if marks[i] {
				got = append(got, i)
			}
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: ended %v, want %s", c.name, got, c.want)
		}
	}
}

// awaitFreeMemory waits until n bytes are free for request bodies.
func (s *testServer) awaitFreeMemory(n int64) {
	s.t.Helper()
	var free int64
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.http.bodies.mu.Lock()
		free = s.http.bodies.free
		s.http.bodies.mu.Unlock()
		if free == n {
			return
		}
	}
	s.t.Fatalf("got %d bytes free for request bodies, want %d", free, n)
}

// TestSlowUploads checks that clients that have sent most of a large body and then stop do not keep
// others from training, over TCP or the socket, and that they get a response.
func TestSlowUploads(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	const size = 7 << 20 // in a buffer of 8 MiB
	var slow []net.Conn
	for range maxBodies / (8 << 20) {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/examples?label=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", photoLimits.MaxBytes)
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
	}
	s.awaitFreeMemory(0)
	time.Sleep(slowBody)
	s.example("a", 0, 0, 200, nil)
	resp, err := http.Post(s.url+"/v1/examples?label=b", "image/png", strings.NewReader(string(backbonetest.Photo(1, 1))))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("over TCP: got status %d, want 200", resp.StatusCode)
	}
	statuses := make(chan int, len(slow))
	for _, c := range slow {
		go func() {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				statuses <- 0
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	// The others get status 408 later, because the memory of one upload suffices for the photos.
	if got := <-statuses; got != 503 {
		t.Errorf("the first slow client got status %d, want 503", got)
	}
}

// TestRejectedBodies checks that clients that send a body before they read see the response, even if
// the server rejects the body without using it.
func TestRejectedBodies(t *testing.T) {
	s := start(t, testConfig{noCamera: true, token: "a-token-of-24-characters"})
	kind, form := photoForm(t, "a.png", strings.Repeat("x", 20<<20))
	for _, c := range []struct {
		name, network, addr, head string
		status                    int
	}{
		{"large form", "unix", s.socket, "", 413},
		{"without the token", "tcp", strings.TrimPrefix(s.url, "http://"), "", 401},
		{"compressed", "unix", s.socket, "Content-Encoding: gzip\r\n", 415},
	} {
		conn, err := net.Dial(c.network, c.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := fmt.Fprintf(conn, "POST /v1/examples?label=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s", kind, c.head, len(form), form); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		time.Sleep(600 * time.Millisecond) // net/http closes a connection with an unread body after half a second
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || !strings.HasPrefix(string(b), `{"error":`) {
			t.Errorf("%s: got %d %s, want %d", c.name, resp.StatusCode, b, c.status)
		}
	}
}
