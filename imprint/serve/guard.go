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
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// Requests a second, and at once, that one address on the network may make. More wait
	// for so long; those that would have to wait longer are turned away.
	requestRate, requestBurst = 100, 400
	requestWait               = time.Second
	cookieName                = "imprint"
	// contentPolicy lets the page use what comes from this server, and nothing else.
	contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// A guard lets requests in, or not.
type guard struct {
	server  *Server
	next    http.Handler
	trusted bool   // a Unix socket: the file system has decided who may connect
	token   string // "": everybody may
	hosts   []string
	origin  *http.CrossOriginProtection

	mu    sync.Mutex
	rates map[netip.Addr]*rate.Limiter
}

func (s *Server) guard(l Listener) *guard {
	g := &guard{server: s, next: s.mux(), trusted: l.unix, token: l.token, origin: http.NewCrossOriginProtection(), rates: make(map[netip.Addr]*rate.Limiter)}
	g.hosts = append([]string{"localhost"}, s.options.Hosts...)
	if name, err := os.Hostname(); err == nil {
		g.hosts = append(g.hosts, name, name+".local")
	}
	return g
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	defer func() { g.server.metrics.requests.WithLabelValues(strconv.Itoa(rec.status)).Inc() }()
	// The head of the request has come in time. A body must too, even one that nobody
	// reads; without one the request may take as long as its answer does.
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	if r.ContentLength != 0 {
		control.SetReadDeadline(time.Now().Add(g.server.times.body))
	}
	control.SetWriteDeadline(time.Now().Add(changeTime + longestPoll))
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if err := g.check(rec, r); err != nil {
		g.server.fail(rec, r, err)
		return
	}
	if g.token != "" && r.URL.Path == "/" && r.URL.Query().Has("token") {
		// The token is not left in the address bar, or in the history.
		http.SetCookie(rec, &http.Cookie{Name: cookieName, Value: g.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: 365 * 24 * 3600})
		h.Set("Cache-Control", "no-store")
		http.Redirect(rec, r, "/", http.StatusSeeOther)
		return
	}
	g.next.ServeHTTP(rec, r)
}

// check says why a request is not let in.
func (g *guard) check(w http.ResponseWriter, r *http.Request) error {
	if g.trusted {
		return nil
	}
	if !g.allow(r.Context(), r.RemoteAddr) {
		return refusef(http.StatusTooManyRequests, "more than %d requests a second from one address", requestRate)
	}
	// A name that somebody else's DNS server has for this address is not ours: a page
	// from there would count as from here.
	if !g.knows(r.Host) {
		return refused{http.StatusMisdirectedRequest, fmt.Errorf("this server is not called %.80q", r.Host), "use its address, or start it with --host NAME"}
	}
	if err := g.origin.Check(r); err != nil {
		return refused{http.StatusForbidden, errors.New("the request comes from a page of another site"), ""}
	}
	if g.token == "" || g.same(bearer(r)) {
		return nil
	}
	if c, err := r.Cookie(cookieName); err == nil && g.same(c.Value) {
		return nil
	}
	if r.URL.Path == "/" && (r.Method == "GET" || r.Method == "HEAD") && g.same(r.URL.Query().Get("token")) {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="imprint"`)
	return refused{http.StatusUnauthorized, errors.New("the token is missing or wrong"),
		"open the address that imprint serve has printed, or send Authorization: Bearer TOKEN"}
}

func (g *guard) same(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(g.token)) == 1
}

func bearer(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return token
}

// knows reports whether host, of a request, can only mean this server: it is a number
// or one of the names that it knows.
func (g *guard) knows(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return slices.ContainsFunc(g.hosts, func(name string) bool { return strings.EqualFold(host, name) })
}

// allow counts a request of an address, and holds it back where there are many.
func (g *guard) allow(ctx context.Context, remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	return g.limiter(at.Addr()).Wait(ctx) == nil
}

func (g *guard) limiter(from netip.Addr) *rate.Limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.rates[from]
	if l == nil {
		if len(g.rates) >= 1024 {
			clear(g.rates)
		}
		l = rate.NewLimiter(requestRate, requestBurst)
		g.rates[from] = l
	}
	return l
}

// A recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
