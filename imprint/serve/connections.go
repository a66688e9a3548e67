package serve

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxConnections limits the open connections to one listener, and perAddress the open
	// connections from one address.
	maxConnections, perAddress = 256, 128
	// longWait is the time after which a connection that waits for a request may be closed to make
	// room for another from its address.
	longWait = 2 * time.Second
)

// A limitedListener limits the number of open connections. If there are too many, a new connection
// takes the place of one from an address with more, or of an unused one from its own, or is refused.
type limitedListener struct {
	net.Listener

	mu   sync.Mutex
	open map[*limitedConn]bool
	from map[string]int // open connections by address
}

func limitConnections(l net.Listener) *limitedListener {
	return &limitedListener{Listener: l, open: make(map[*limitedConn]bool), from: make(map[string]int)}
}

var tooManyConnections = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" +
	`{"error":"too many connections"}` + "\n")

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &limitedConn{Conn: accepted, listener: l, waiting: time.Now()}
		if a, ok := accepted.RemoteAddr().(*net.TCPAddr); ok {
			c.address = a.IP.String()
		}
		admitted, replaced := l.enter(c, time.Now())
		if replaced != nil {
			replaced.Conn.Close()
		}
		if admitted {
			return c, nil
		}
		c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		c.Write(tooManyConnections)
		accepted.Close()
	}
}

// enter admits a connection unless too many are open. It returns the connection that must be closed
// instead, if any.
func (l *limitedListener) enter(c *limitedConn, now time.Time) (admitted bool, replaced *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := maxConnections
	if c.address != "" {
		limit = perAddress
	}
	if own := l.from[c.address] >= limit; own || len(l.open) >= maxConnections {
		if replaced = l.toReplace(c.address, own, now); replaced == nil {
			return false, nil
		}
		l.remove(replaced)
	}
	l.open[c] = true
	l.from[c.address]++
	return true, replaced
}

// toReplace returns the connection that can make room for one from an address, or nil: of the address
// with the most connections, the one that has been waiting for a request the longest. Another address
// has to have more connections. At the same address, the connection has to wait for longWait. If own is
// set, only those of the same address count.
func (l *limitedListener) toReplace(address string, own bool, now time.Time) (worst *limitedConn) {
	for c := range l.open {
		switch {
		case c.address == address && c.waited(now) < longWait:
			continue
		case c.address != address && (own || l.from[c.address] <= l.from[address]+1):
			continue
		}
		if worst == nil || l.from[c.address] > l.from[worst.address] || c.address == worst.address && c.waited(now) > worst.waited(now) {
			worst = c
		}
	}
	return worst
}

// remove stops counting a connection. The caller holds l.mu.
func (l *limitedListener) remove(c *limitedConn) {
	if !l.open[c] {
		return
	}
	delete(l.open, c)
	if l.from[c.address]--; l.from[c.address] == 0 {
		delete(l.from, c.address)
	}
}

// A limitedConn is a connection of a limitedListener.
type limitedConn struct {
	net.Conn
	listener *limitedListener
	address  string    // "" for a Unix socket
	waiting  time.Time // since when it has been waiting for a request; 0 during a request. listener.mu guards it
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.listener.remove(c)
	return err
}

// waited returns for how long the connection has been waiting for a request.
func (c *limitedConn) waited(now time.Time) time.Duration {
	if c.waiting.IsZero() {
		return 0
	}
	return now.Sub(c.waiting)
}

// setWaiting marks the connection as waiting for a request or its body, or as used by a request.
func (c *limitedConn) setWaiting(waiting bool) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.waiting = time.Time{}
	if waiting {
		c.waiting = time.Now()
	}
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// setWaiting marks the connection of a request, if it is known.
func setWaiting(r *http.Request, waiting bool) {
	if c, ok := r.Context().Value(connKey{}).(*limitedConn); ok {
		c.setWaiting(waiting)
	}
}
