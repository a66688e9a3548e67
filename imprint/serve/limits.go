package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxConnections limits the open connections to one listener, and perAddress the open
	// connections from one address.
	maxConnections, perAddress = 256, 128
	// maxStreams limits the number of open streams. Picture and event streams both count.
	maxStreams = 64
	// maxBodies limits the memory for all request bodies, in bytes.
	maxBodies = 64 << 20
	// maxHead limits the header of a request, in bytes.
	maxHead = 16 << 10
	// headSlack is the number of bytes that net/http reads beyond MaxHeaderBytes
	// (net/http/server.go, initialReadLimitSize).
	headSlack = 4 << 10
	// maxJSON limits a JSON request body, in bytes.
	maxJSON = 64 << 10
	// idleTimeout is the time after which a connection without requests is closed.
	idleTimeout = time.Minute
	// firstBody is the memory reserved for the start of a body, in bytes.
	firstBody = 4 << 10
	// bodyWait is the longest time that a request waits for more memory for its body.
	bodyWait = time.Second
)

// timeouts limit the time that clients may take to send the header of a request, to send its
// body, and to read a response or one part of a stream.
type timeouts struct{ head, body, write time.Duration }

// httpLimits limits the time, memory and processor time that clients use.
type httpLimits struct {
	timeouts timeouts
	bodies   *semaphore.Weighted // counts bytes
	decoding chan struct{}       // holds a value per photo being decoded
	streams  chan struct{}       // holds a value per open stream
}

func newHTTPLimits() *httpLimits {
	return &httpLimits{
		timeouts: timeouts{head: 5 * time.Second, body: 10 * time.Second, write: 5 * time.Second},
		bodies:   semaphore.NewWeighted(maxBodies),
		decoding: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)),
		streams:  make(chan struct{}, maxStreams),
	}
}

// enterStream admits a stream unless too many are open.
func (l *httpLimits) enterStream() (leave func(), err error) {
	select {
	case l.streams <- struct{}{}:
		return func() { <-l.streams }, nil
	default:
		return nil, refused{http.StatusServiceUnavailable, fmt.Errorf("all %d streams are in use", cap(l.streams)), "close a page that shows the camera"}
	}
}

// enterDecoding waits until the number of photos being decoded is below the limit.
func (l *httpLimits) enterDecoding(ctx context.Context) (leave func(), err error) {
	select {
	case l.decoding <- struct{}{}:
		return func() { <-l.decoding }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// readBody reads a request body of at most limit bytes. The caller must call release when
// it no longer needs the body.
func (l *httpLimits) readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	if r.ContentLength > limit {
		return nil, nil, &http.MaxBytesError{Limit: limit}
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(l.timeouts.body))
	b := bodyBuffer{limits: l, ctx: r.Context()}
	if err := b.readFrom(http.MaxBytesReader(w, r.Body, limit), limit+1); err != nil {
		b.release()
		w.Header().Set("Connection", "close")
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) || errors.Is(err, ErrBusy) {
			return nil, nil, err
		}
		return nil, nil, refused{http.StatusRequestTimeout, fmt.Errorf("request body incomplete after %v: %w", l.timeouts.body, err), ""}
	}
	control.SetReadDeadline(time.Time{}) // an expired deadline would cancel the request's context
	return b.content, b.release, nil
}

// A bodyBuffer holds a request body. It reserves memory as bytes arrive, so that a declared
// length alone uses no memory.
type bodyBuffer struct {
	limits  *httpLimits
	ctx     context.Context
	content []byte
}

// readFrom reads r to its end. The buffer grows to at most limit bytes.
func (b *bodyBuffer) readFrom(r io.Reader, limit int64) error {
	for {
		if len(b.content) == cap(b.content) {
			if err := b.grow(limit); err != nil {
				return err
			}
		}
		n, err := r.Read(b.content[len(b.content):cap(b.content)])
		b.content = b.content[:len(b.content)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow doubles the buffer, up to limit, as soon as there is enough memory.
func (b *bodyBuffer) grow(limit int64) error {
	size := min(max(2*int64(cap(b.content)), firstBody), limit)
	more := size - int64(cap(b.content))
	ctx, cancel := context.WithTimeout(b.ctx, bodyWait)
	defer cancel()
	if b.limits.bodies.Acquire(ctx, more) != nil {
		return fmt.Errorf("%w: too many uploads in progress", ErrBusy)
	}
	grown := make([]byte, len(b.content), size)
	copy(grown, b.content)
	b.content = grown
	return nil
}

// release frees the memory that the buffer has reserved.
func (b *bodyBuffer) release() {
	b.limits.bodies.Release(int64(cap(b.content)))
	b.content = nil
}

// A limitedListener closes new connections while too many are open.
type limitedListener struct {
	net.Listener

	mu    sync.Mutex
	total int
	from  map[string]int // open connections by address
}

func limitConnections(l net.Listener) net.Listener {
	return &limitedListener{Listener: l, from: make(map[string]int)}
}

var tooManyConnections = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" +
	`{"error":"too many connections"}` + "\n")

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address, limit := "", maxConnections
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			address, limit = a.IP.String(), perAddress
		}
		if l.enter(address, limit) {
			return &limitedConn{Conn: c, closed: func() { l.leave(address) }}, nil
		}
		c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		c.Write(tooManyConnections)
		c.Close()
	}
}

func (l *limitedListener) enter(address string, limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxConnections || l.from[address] >= limit {
		return false
	}
	l.total++
	l.from[address]++
	return true
}

func (l *limitedListener) leave(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.from[address]--; l.from[address] == 0 {
		delete(l.from, address)
	}
}

// A limitedConn calls a function once, when it is closed.
type limitedConn struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.closed)
	return err
}
