package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// maxConnections is how many clients may be connected to one listener at a time, and
	// perAddress how many of them from one address.
	maxConnections, perAddress = 256, 128
	// maxStreams is how many streams, of pictures and events together, are open at most.
	maxStreams = 64
	// maxBodies is how many bytes of requests' bodies are in memory at most.
	maxBodies  = 64 << 20
	idleTime   = time.Minute
	maxHead    = 16 << 10
	parting    = 2 * time.Second // for clients, when the server ends
	minToken   = 16
	maxSunPath = 107 // bytes of a Unix socket's path on Linux
)

// times are how long clients may take: for the head of a request, for its body, and for
// taking an answer or one part of a stream.
type times struct{ head, body, write time.Duration }

var usualTimes = times{head: 5 * time.Second, body: 10 * time.Second, write: 5 * time.Second}

var (
	// ErrToken is wrapped when a token is too easily guessed.
	ErrToken = errors.New("unusable token")
	// ErrInUse is wrapped when another server has the socket.
	ErrInUse = errors.New("another server uses it")
)

// A Listener is where clients come in.
type Listener struct {
	net.Listener
	unix  bool
	token string
}

// ListenTCP listens on an address, host:port. On other than this machine's own
// addresses (127.0.0.1, ::1) clients need a token: the one given, or for "" one that is
// made; on those only if one is given.
func ListenTCP(addr, token string) (Listener, error) {
	if token != "" && len(token) < minToken {
		return Listener{}, fmt.Errorf("%w: it has %d characters, and %d are the least", ErrToken, len(token), minToken)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return Listener{}, err
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() && token == "" {
		token = rand.Text()
	}
	return Listener{Listener: l, token: token}, nil
}

// URL is the address of the page, with the token if one is needed.
func (l Listener) URL() string {
	if l.unix {
		return l.Addr().String()
	}
	host := l.Addr().String()
	if at := l.Addr().(*net.TCPAddr); at.IP.IsUnspecified() {
		name, err := os.Hostname()
		if err != nil {
			name = "localhost"
		}
		host = net.JoinHostPort(name, fmt.Sprint(at.Port))
	}
	u := url.URL{Scheme: "http", Host: host, Path: "/"}
	if l.token != "" {
		u.RawQuery = url.Values{"token": {l.token}}.Encode()
	}
	return u.String()
}

// ListenUnix listens on a Unix socket, which has that mode from the beginning. One that
// a killed server has left is replaced; that of a running one is not.
func ListenUnix(path string, mode fs.FileMode) (Listener, error) {
	fail := func(err error) (Listener, error) { return Listener{}, fmt.Errorf("listen on %s: %w", path, err) }
	if len(path)+4 > maxSunPath {
		return fail(fmt.Errorf("its path has %d bytes, and %d are the most: name another with --socket", len(path), maxSunPath-4))
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return fail(errors.New("there is something else in that place"))
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return fail(ErrInUse)
		}
	}
	// Made beside its place and then renamed, so that nobody finds it open to others.
	beside := path + ".new"
	os.Remove(beside)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: beside, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(beside, mode); err == nil {
		err = os.Rename(beside, path)
	}
	if err != nil {
		l.Close()
		os.Remove(beside)
		return fail(err)
	}
	return Listener{Listener: &unixListener{Listener: l, path: path}, unix: true}, nil
}

// A unixListener takes its socket away when it is closed.
type unixListener struct {
	net.Listener
	path string
	once sync.Once
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { os.Remove(l.path) })
	return err
}

// SocketPath is where the socket of a workspace is.
func SocketPath(workspace string) string { return filepath.Join(workspace, "serve.sock") }

// serve lets clients in until ctx ends.
func (s *Server) serve(ctx context.Context, l Listener) error {
	server := &http.Server{
		Handler:           s.guard(l),
		ReadHeaderTimeout: s.times.head,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	var closing sync.WaitGroup
	closing.Go(func() {
		select {
		case <-ctx.Done():
		case <-ended:
		}
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), parting)
		defer cancel()
		if server.Shutdown(limited) != nil {
			server.Close()
		}
	})
	err := server.Serve(&bounded{Listener: l.Listener, count: make(map[string]int)})
	close(ended)
	closing.Wait()
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve on %v: %w", l.Addr(), err)
}

// A bounded listener turns clients away while there are too many.
type bounded struct {
	net.Listener
	mu    sync.Mutex
	all   int
	count map[string]int // by address
}

var tooMany = []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" +
	`{"error":"too many clients are connected"}` + "\n")

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := ""
		most := maxConnections
		if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			from, most = at.IP.String(), perAddress
		}
		b.mu.Lock()
		full := b.all >= maxConnections || b.count[from] >= most
		if !full {
			b.all++
			b.count[from]++
		}
		b.mu.Unlock()
		if !full {
			return &counted{Conn: c, left: func() { b.left(from) }}, nil
		}
		c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		c.Write(tooMany)
		c.Close()
	}
}

func (b *bounded) left(from string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.count[from]--; b.count[from] == 0 {
		delete(b.count, from)
	}
}

// A counted connection says when it ends.
type counted struct {
	net.Conn
	once sync.Once
	left func()
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.left)
	return err
}
