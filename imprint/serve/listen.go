package serve

import (
	"context"
	"crypto/rand"
	"crypto/tls"
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
	// shutdownTimeout is the time that requests have to finish when the server stops.
	shutdownTimeout = 2 * time.Second
	// minToken is the minimum length of a token, in characters.
	minToken = 16
	// maxSocketPath is the maximum length of a Unix socket's path on Linux, in bytes, less
	// four for a temporary suffix.
	maxSocketPath = 107 - 4
)

var (
	// ErrToken means that a token is so short that it could be guessed.
	ErrToken = errors.New("token too short")
	// ErrInUse means that another server listens on the socket.
	ErrInUse = errors.New("in use by another server")
	// ErrSocketPath means that a path is too long for a Unix socket.
	ErrSocketPath = errors.New("socket path too long")
)

// A Listener accepts clients of a [Server].
type Listener struct {
	net.Listener
	unix  bool
	token string      // "" admits everyone
	tls   *tls.Config // nil without TLS
}

// ListenTCP listens on an address of the form host:port. If token is not "", clients must send it.
// On addresses other than 127.0.0.1 and ::1, clients always need a token; ListenTCP creates one if
// token is "". ListenTCP fails with ErrToken if token has fewer than 16 characters.
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

// URL returns the first URL of [Listener.URLs].
func (l Listener) URL() string { return l.URLs()[0] }

// URLs returns the URLs of the web page, including the token if clients need one. It returns a URL
// for each address at which other machines can reach this machine, because phones can't resolve its
// name. For a Unix socket, URLs returns the path.
func (l Listener) URLs() []string {
	if l.unix {
		return []string{l.Addr().String()}
	}
	hosts := []string{l.Addr().String()}
	if a := l.Addr().(*net.TCPAddr); a.IP.IsUnspecified() {
		hosts = nil
		for _, ip := range reachable(interfaceAddresses()) {
			hosts = append(hosts, net.JoinHostPort(ip.String(), fmt.Sprint(a.Port)))
		}
	}
	scheme := "http"
	if l.tls != nil {
		scheme = "https"
	}
	var urls []string
	for _, host := range hosts {
		u := url.URL{Scheme: scheme, Host: host, Path: "/"}
		if l.token != "" {
			u.RawQuery = url.Values{"token": {l.token}}.Encode()
		}
		urls = append(urls, u.String())
	}
	return urls
}

func interfaceAddresses() []net.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	return addrs
}

// reachable returns the addresses at which other machines can reach this machine: IPv4 addresses,
// or else IPv6 addresses, or else the loopback address.
func reachable(addrs []net.Addr) []net.IP {
	var v4, v6 []net.IP
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || !n.IP.IsGlobalUnicast():
		case n.IP.To4() != nil:
			v4 = append(v4, n.IP)
		default:
			v6 = append(v6, n.IP)
		}
	}
	switch {
	case v4 != nil:
		return v4
	case v6 != nil:
		return v6
	}
	return []net.IP{net.IPv4(127, 0, 0, 1)}
}

// ListenUnix listens on a Unix socket with the given permissions. It replaces a socket that a
// killed server left behind, but fails with ErrInUse if a server is listening on it.
func ListenUnix(path string, mode fs.FileMode) (Listener, error) {
	fail := func(err error) (Listener, error) { return Listener{}, fmt.Errorf("listen on %s: %w", path, err) }
	if len(path) > maxSocketPath {
		return fail(fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrSocketPath, len(path), maxSocketPath))
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

// Addr returns the final path of the socket.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

func (l *unixListener) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() { os.Remove(l.path) })
	return err
}

// SocketPath returns the default path of a workspace's Unix socket.
func SocketPath(workspace string) string { return filepath.Join(workspace, "serve.sock") }

// serve serves the clients of a listener until ctx ends.
func (s *Server) serve(ctx context.Context, l Listener) error {
	server := &http.Server{
		Handler:           s.guard(l),
		ReadHeaderTimeout: s.http.timeouts.head,
		IdleTimeout:       idleTimeout,
		ConnContext:       withConnection,
		MaxHeaderBytes:    maxHead - headSlack,
		TLSConfig:         l.tls,
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
	accept := server.Serve
	if l.tls != nil {
		server.TLSNextProto = make(map[string]func(*http.Server, *tls.Conn, http.Handler)) // no HTTP/2
		accept = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	err := accept(limitConnections(l.Listener))
	close(ended)
	closing.Wait()
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve on %v: %w", l.Addr(), err)
}
