package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEnterConnection checks which connection makes room if too many are open.
func TestEnterConnection(t *testing.T) {
	type group struct {
		address string
		number  int
		seconds int // since when they wait for a request, -1 during a request; the first of them a second longer
	}
	for _, c := range []struct {
		name     string
		open     []group
		from     string
		admitted bool
		replaced string // address of the replaced connection
	}{
		{"room", []group{{"a", perAddress, 9}, {"b", perAddress - 1, 9}}, "c", true, ""},
		{"one address, waiting", []group{{"a", perAddress, 9}, {"b", 1, 99}}, "a", true, "a"},
		{"one address, new", []group{{"a", perAddress, 0}, {"b", 1, 99}}, "a", false, ""},
		{"one address, in requests", []group{{"a", perAddress, -1}}, "a", false, ""},
		{"all, another address has most", []group{{"a", 127, 3}, {"b", 100, 9}, {"c", 29, 99}}, "d", true, "a"},
		{"all, the most in requests", []group{{"a", 127, -1}, {"b", 100, 9}, {"c", 29, 99}}, "d", true, "a"},
		{"all, new", []group{{"a", 128, 0}, {"b", 127, 0}, {"c", 1, 0}}, "d", true, "a"},
		{"all, no other has more", []group{{"a", 64, 99}, {"b", 64, 0}, {"c", 64, -1}, {"d", 64, 99}}, "b", false, ""},
		{"all, the own has most", []group{{"a", 100, 99}, {"b", 101, 9}, {"c", 55, 99}}, "b", true, "b"},
		{"the socket", []group{{"", maxConnections, 9}}, "", true, ""},
	} {
		l, now := limitConnections(nil), time.Now()
		oldest := make(map[*limitedConn]bool)
		for _, g := range c.open {
			for i := range g.number {
				open := &limitedConn{listener: l, address: g.address}
				if g.seconds >= 0 {
					open.waiting = now.Add(-time.Duration(g.seconds) * time.Second)
				}
				if i == 0 && g.seconds >= 0 {
					open.waiting = open.waiting.Add(-time.Second)
				}
				oldest[open] = i == 0 || g.seconds < 0
				if admitted, _ := l.enter(open, now.Add(-time.Hour)); !admitted {
					t.Fatalf("%s: connection %d from %s is not admitted", c.name, i, g.address)
				}
			}
		}
		before := len(l.open)
		admitted, replaced := l.enter(&limitedConn{listener: l, address: c.from, waiting: now}, now)
		switch {
		case admitted != c.admitted:
			t.Errorf("%s: admitted %v, want %v", c.name, admitted, c.admitted)
		case replaced != nil && (replaced.address != c.replaced || !oldest[replaced]):
			t.Errorf("%s: replaced %+v, want the oldest of %q", c.name, replaced, c.replaced)
		case replaced == nil && c.replaced != "":
			t.Errorf("%s: replaced none, want one of %q", c.name, c.replaced)
		case admitted && replaced == nil && len(l.open) != before+1, replaced != nil && len(l.open) != before:
			t.Errorf("%s: %d connections open, before there were %d", c.name, len(l.open), before)
		}
	}
}

// TestWaitingConnections checks that a connection without a request makes room for another from the
// same address, but not one that is used.
func TestWaitingConnections(t *testing.T) {
	s := start(t, testConfig{})
	addr := strings.TrimPrefix(s.url, "http://")
	conns := make([]net.Conn, perAddress)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", addr); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	request := func(c net.Conn, from *bufio.Reader) {
		c.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(c, "GET /v1/labels HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	last := conns[len(conns)-1]
	request(last, bufio.NewReader(last)) // the server has accepted all by now
	time.Sleep(longWait)
	used := bufio.NewReader(conns[0])
	for range 2 {
		request(conns[0], used)
		if status, body := sendRaw(t, addr, "GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"); status != 200 {
			t.Errorf("a new connection got %d %q, want 200", status, body)
		}
	}
}
