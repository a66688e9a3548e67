package serve

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// requestRate limits the requests per second from one address, and requestBurst limits a burst
	// of requests. A request over the limit waits up to requestWait before it is rejected.
	requestRate, requestBurst = 100, 400
	requestWait               = time.Second
	// maxAddresses limits the number of addresses with a tracked request rate.
	maxAddresses = 1024
	cookieAge    = 365 * 24 * time.Hour
	// contentPolicy lets the page load resources only from this server.
	contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// A guard rejects requests that are unauthorized, cross-site, for another host or too frequent.
type guard struct {
	server  *Server
	next    http.Handler
	trusted bool   // for a Unix socket: its file permissions decide who may connect
	token   string // "" admits everyone
	hosts   []string
	origin  *http.CrossOriginProtection

	mu    sync.Mutex
	rates map[netip.Addr]*rate.Limiter
}

func (s *Server) guard(l Listener) *guard {
	g := &guard{server: s, next: s.mux(), trusted: l.unix, token: l.token, origin: http.NewCrossOriginProtection(), rates: make(map[netip.Addr]*rate.Limiter)}
	g.hosts = append(ownNames(), s.options.Hosts...)
	return g
}

// ownNames returns the names of this machine.
func ownNames() []string {
	names := []string{"localhost"}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name, name+".local")
	}
	return names
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	defer func() { g.server.metrics.responded(rec.status) }()
	setWaiting(r, false)
	defer setWaiting(r, true)
	g.setDeadlines(w, r)
	setSecurityHeaders(w.Header())
	if err := g.check(rec, r); err != nil {
		if errors.Is(err, errToken) && asksToSignIn(r) {
			g.server.sendSignIn(rec, r)
			return
		}
		g.server.fail(rec, r, err)
		return
	}
	if g.token != "" && r.URL.Path == "/" && r.URL.Query().Has("token") {
		// Move the token from the address bar and the history into a cookie.
		http.SetCookie(rec, &http.Cookie{Name: cookieName(r), Value: g.token, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode, MaxAge: int(cookieAge.Seconds())})
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(rec, r, "/", http.StatusSeeOther)
		return
	}
	g.next.ServeHTTP(rec, r)
}

// setDeadlines replaces the read deadline of the header with a deadline for the body, which applies
// even if no handler reads the body. A request without a body is limited only by the deadline for
// its response.
func (g *guard) setDeadlines(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	if r.ContentLength != 0 {
		control.SetReadDeadline(time.Now().Add(g.server.http.timeouts.body))
	}
	limit := responseTimeout
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		limit += changeTimeout
	}
	control.SetWriteDeadline(time.Now().Add(limit))
}

func setSecurityHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// check returns the reason to reject a request, or nil.
func (g *guard) check(w http.ResponseWriter, r *http.Request) error {
	if g.trusted {
		return nil
	}
	if !g.allow(r.Context(), clientAddr(r)) {
		return refusef(http.StatusTooManyRequests, "rate limit exceeded: %d requests per second from one address", requestRate)
	}
	// This prevents DNS rebinding: if a foreign name resolved to this address, the foreign pages
	// would share this server's origin.
	if !g.isOurs(r.Host) {
		return refused{http.StatusMisdirectedRequest, fmt.Errorf("unknown host name %.80q", r.Host), "use the IP address, or start the server with this host name"}
	}
	if err := g.origin.Check(r); err != nil {
		return refused{http.StatusForbidden, errors.New("cross-site request rejected"), ""}
	}
	if g.token == "" || g.isToken(bearer(r)) {
		return nil
	}
	if c, err := r.Cookie(cookieName(r)); err == nil && g.isToken(c.Value) {
		return nil
	}
	if r.URL.Path == "/" && (r.Method == "GET" || r.Method == "HEAD") && g.isToken(r.URL.Query().Get("token")) {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="imprint"`)
	return refused{http.StatusUnauthorized, errToken, "open the URL that imprint serve printed, or send Authorization: Bearer TOKEN"}
}

var errToken = errors.New("missing or wrong token")

// cookieName returns the name of the cookie with the token. Browsers send the one for TLS over TLS
// only, and keep the server from replacing it without TLS, so that needs another name.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-imprint"
	}
	return "imprint"
}

func (g *guard) isToken(s string) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(g.token)) == 1
}

func bearer(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return token
}

// isOurs reports whether a request's host names this server, by an IP address or a known name.
func (g *guard) isOurs(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return slices.ContainsFunc(g.hosts, func(name string) bool { return strings.EqualFold(host, name) })
}

// allow counts a request from an address. If the request is over the limit, allow delays it, or
// returns false if the delay would be too long.
func (g *guard) allow(ctx context.Context, from netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	return g.limiter(from).Wait(ctx) == nil
}

func (g *guard) limiter(from netip.Addr) *rate.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.rates[from]
	if l == nil {
		if len(g.rates) >= maxAddresses {
			clear(g.rates)
		}
		l = rate.NewLimiter(requestRate, requestBurst)
		g.rates[from] = l
	}
	return l
}

// A statusRecorder remembers the status of a response.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap returns the ResponseWriter for http.ResponseController.
func (r *statusRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
