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
	// shutdownTimeout is how long requests may take to finish when the server stops.
	shutdownTimeout = 2 * time.Second
	// minToken is the minimum length of a token, in characters.
	minToken = 16
	// maxSocketPath is the maximum length of a Unix socket's path on Linux, in bytes, less
	// four for a temporary suffix.
	maxSocketPath = 107 - 4
)

var (
	// ErrToken is wrapped by [ListenTCP] for a token that could be guessed.
	ErrToken = errors.New("token too short")
	// ErrInUse is wrapped by [ListenUnix] if another server listens on the socket.
	ErrInUse = errors.New("in use by another server")
	// ErrSocketPath is wrapped by [ListenUnix] for a path that the system does not allow.
	ErrSocketPath = errors.New("socket path too long")
)

// A Listener accepts clients of a [Server].
type Listener struct {
	net.Listener
	unix  bool
	token string // "" admits everyone
}

// ListenTCP listens on an address of the form host:port. Clients need the token if one is
// given. On an address other than 127.0.0.1 and ::1 they always do; without a token,
// ListenTCP creates one. It wraps ErrToken if the token has fewer than 16 characters.
func ListenTCP(addr, token string) (Listener, error) {
	if token != "" && len(token) < minToken {
		return Listener{}, fmt.Errorf("%w: %d characters, need at least %d", ErrToken, len(token), minToken)
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

// URL returns the URL of the web page, including the token if one is needed. For a Unix
// socket it returns the path.
func (l Listener) URL() string {
	if l.unix {
		return l.Addr().String()
	}
	host := l.Addr().String()
	if a := l.Addr().(*net.TCPAddr); a.IP.IsUnspecified() {
		name, err := os.Hostname()
		if err != nil {
			name = "localhost"
		}
		host = net.JoinHostPort(name, fmt.Sprint(a.Port))
	}
	u := url.URL{Scheme: "http", Host: host, Path: "/"}
	if l.token != "" {
		u.RawQuery = url.Values{"token": {l.token}}.Encode()
	}
	return u.String()
}

// ListenUnix listens on a Unix socket with the given permissions. It replaces a socket
// that a killed server left behind, but wraps ErrInUse if a server answers there.
func ListenUnix(path string, mode fs.FileMode) (Listener, error) {
	fail := func(err error) (Listener, error) { return Listener{}, fmt.Errorf("listen on %s: %w", path, err) }
	if len(path) > maxSocketPath {
		return fail(fmt.Errorf("%w: %d bytes, at most %d are possible", ErrSocketPath, len(path), maxSocketPath))
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return fail(errors.New("it exists and is not a socket"))
		}
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return fail(ErrInUse)
		}
	}
	// Set the permissions before the socket appears at its path.
	temporary := path + ".new"
	os.Remove(temporary)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(temporary, mode); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		l.Close()
		os.Remove(temporary)
		return fail(err)
	}
	return Listener{Listener: &unixListener{Listener: l, path: path}, unix: true}, nil
}

// A unixListener removes its socket when it is closed.
type unixListener struct {
	net.Listener
	path string
	once sync.Once
}

// Addr returns the path of the socket after renaming.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { os.Remove(l.path) })
	return err
}

// SocketPath returns the default path of a workspace's Unix socket.
func SocketPath(workspace string) string { return filepath.Join(workspace, "serve.sock") }

// serve answers the clients of a listener until ctx ends.
func (s *Server) serve(ctx context.Context, l Listener) error {
	server := &http.Server{
		Handler:           s.guard(l),
		ReadHeaderTimeout: s.http.timeouts.head,
		IdleTimeout:       idleTimeout,
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
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(limited) != nil {
			server.Close()
		}
	})
	err := server.Serve(limitConnections(l.Listener))
	close(ended)
	closing.Wait()
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve on %v: %w", l.Addr(), err)
}
