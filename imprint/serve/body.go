package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxBodies limits the memory for all request bodies, in bytes.
	maxBodies = 64 << 20
	// maxDrain limits the bytes of a rejected body that the server reads and discards.
	maxDrain = 32 << 20
	// firstBody is the memory reserved for the start of a body, in bytes.
	firstBody = 4 << 10
	// bodyWait is the longest time that a request waits for more memory for its body.
	bodyWait = time.Second
	// slowBody is the age from which an upload may be ended to make room for another of its address.
	slowBody = time.Second
)

// errEnded is the error for an upload that was ended to make room for another.
var errEnded = fmt.Errorf("%w: too many uploads in progress, and this one was large or slow", ErrBusy)

// readBody reads a request body of at most limit bytes. The caller must call release when
// it no longer needs the body.
func (l *httpLimits) readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		w.Header().Set("Accept-Encoding", "identity")
		return nil, nil, refused{http.StatusUnsupportedMediaType, fmt.Errorf("unsupported Content-Encoding %.40q", coding), "send the body without compression"}
	}
	if r.ContentLength > limit {
		return nil, nil, &http.MaxBytesError{Limit: limit}
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(l.timeouts.body))
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	u := &upload{memory: l.bodies, from: clientAddr(r), since: time.Now()}
	u.end = func() {
		cancel()
		control.SetReadDeadline(time.Now())
	}
	setWaiting(r, true)
	err = u.read(ctx, http.MaxBytesReader(w, r.Body, limit), limit+1)
	setWaiting(r, false)
	if l.bodies.arrived(u) {
		err = errEnded
	}
	if err != nil {
		u.release()
		w.Header().Set("Connection", "close")
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) || errors.Is(err, ErrBusy) {
			return nil, nil, err
		}
		return nil, nil, refused{http.StatusRequestTimeout, fmt.Errorf("request body incomplete after %v: %w", l.timeouts.body, err), ""}
	}
	control.SetReadDeadline(time.Time{}) // an expired deadline would cancel the request's context
	return u.content, u.release, nil
}

// drainBody reads and discards the rest of a rejected body. Otherwise the connection would be reset,
// and a client that is still sending might not see the response. The deadline for the body applies.
func drainBody(r *http.Request) {
	if r.Header.Get("Expect") == "" { // a client that waits for 100 Continue sends nothing
		setWaiting(r, true)
		io.CopyN(io.Discard, r.Body, maxDrain)
	}
}

// clientAddr returns the address of a client, or the zero Addr for a client of the Unix socket.
func clientAddr(r *http.Request) netip.Addr {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	return from.Addr()
}

// bodyMemory limits the memory for request bodies. If it runs out, addresses that hold little get memory
// first, and uploads of those that hold much are ended, as are slow ones.
type bodyMemory struct {
	mu      sync.Mutex
	free    int64
	held    map[netip.Addr]int64 // memory of all bodies, by address
	uploads map[*upload]bool     // the bodies that are arriving; true if they have been ended
	waiting []*reservation
}

// A reservation is a request for memory.
type reservation struct {
	upload  *upload
	bytes   int64
	granted chan struct{} // closed when the memory is reserved
}

func newBodyMemory() *bodyMemory {
	return &bodyMemory{free: maxBodies, held: make(map[netip.Addr]int64), uploads: make(map[*upload]bool)}
}

// reserve reserves n bytes more for an upload. It waits until others have released enough.
func (m *bodyMemory) reserve(ctx context.Context, u *upload, n int64) error {
	r := &reservation{u, n, make(chan struct{})}
	m.mu.Lock()
	if _, known := m.uploads[u]; !known {
		m.uploads[u] = false
	}
	m.waiting = append(m.waiting, r)
	m.grant()
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, bodyWait)
	defer cancel()
	for {
		select {
		case <-r.granted:
			return nil
		default:
		}
		m.makeRoom(r)
		select {
		case <-r.granted:
			return nil
		case <-time.After(bodyWait / 20): // more uploads may be slow by then
		case <-ctx.Done():
			return m.withdraw(r)
		}
	}
}

// withdraw gives up a reservation, unless it has been granted.
func (m *bodyMemory) withdraw(r *reservation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.Index(m.waiting, r)
	if i < 0 {
		return nil
	}
	m.waiting = slices.Delete(m.waiting, i, i+1)
	m.grant()
	return fmt.Errorf("%w: too many uploads in progress", ErrBusy)
}

// grant gives free memory to reservations: first to those of the address that holds least, and of
// these to the smallest upload. The caller holds m.mu.
func (m *bodyMemory) grant() {
	for len(m.waiting) > 0 {
		r := slices.MinFunc(m.waiting, func(a, b *reservation) int {
			return cmp.Or(cmp.Compare(m.held[a.upload.from], m.held[b.upload.from]), cmp.Compare(a.upload.size+a.bytes, b.upload.size+b.bytes))
		})
		if r.bytes > m.free {
			return
		}
		m.take(r.upload, r.bytes)
		m.waiting = slices.DeleteFunc(m.waiting, func(other *reservation) bool { return other == r })
		close(r.granted)
	}
}

// take moves n bytes from the free memory to an upload. The caller holds m.mu.
func (m *bodyMemory) take(u *upload, n int64) {
	m.free -= n
	u.size += n
	if m.held[u.from] += n; m.held[u.from] == 0 {
		delete(m.held, u.from)
	}
}

// makeRoom ends uploads, until they hold enough memory for a reservation.
func (m *bodyMemory) makeRoom(r *reservation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	missing := r.bytes - m.free
	held := maps.Clone(m.held)
	for u, ended := range m.uploads {
		if ended {
			missing -= u.size
			held[u.from] -= u.size
		}
	}
	for now := time.Now(); missing > 0; {
		u := m.leastDeserving(r, held, now)
		if u == nil {
			return
		}
		m.uploads[u] = true
		u.end()
		missing -= u.size
		held[u.from] -= u.size
	}
}

// leastDeserving returns the upload that should be ended first for a reservation, or nil: the
// costliest one of the address that holds most. held is the memory by address. An address has to
// hold more than that of the reservation would. At the same address, the upload has to be slow.
func (m *bodyMemory) leastDeserving(r *reservation, held map[netip.Addr]int64, now time.Time) (worst *upload) {
	for u, ended := range m.uploads {
		switch {
		case ended, u == r.upload:
			continue
		case u.from != r.upload.from && held[u.from] <= held[r.upload.from]+r.bytes:
			continue
		case u.from == r.upload.from && (now.Sub(u.since) < slowBody || u.cost(now) <= r.upload.cost(now)):
			continue
		}
		if worst == nil || held[u.from] > held[worst.from] || u.from == worst.from && u.cost(now) > worst.cost(now) {
			worst = u
		}
	}
	return worst
}

// arrived ends the reading of an upload. From then on, makeRoom does not end it. It reports
// whether makeRoom has ended it before.
func (m *bodyMemory) arrived(u *upload) (ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ended = m.uploads[u]
	delete(m.uploads, u)
	return ended
}

// release frees the memory of an upload.
func (m *bodyMemory) release(u *upload) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take(u, -u.size)
	m.grant()
}

// An upload holds a request body. It reserves memory as bytes arrive, so that a declared
// length alone uses no memory.
type upload struct {
	memory  *bodyMemory
	from    netip.Addr
	since   time.Time
	end     func() // ends the reading, with an error
	content []byte
	size    int64 // memory reserved, in bytes; memory.mu guards it
}

// cost returns the memory that the upload holds times the time that it has taken.
func (u *upload) cost(now time.Time) float64 { return float64(u.size) * now.Sub(u.since).Seconds() }

// read reads r to its end. The buffer grows to at most limit bytes.
func (u *upload) read(ctx context.Context, r io.Reader, limit int64) error {
	for {
		if len(u.content) == cap(u.content) {
			if err := u.grow(ctx, limit); err != nil {
				return err
			}
		}
		n, err := r.Read(u.content[len(u.content):cap(u.content)])
		u.content = u.content[:len(u.content)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow doubles the buffer, up to limit, as soon as there is enough memory.
func (u *upload) grow(ctx context.Context, limit int64) error {
	size := min(max(2*int64(cap(u.content)), firstBody), limit)
	if err := u.memory.reserve(ctx, u, size-int64(cap(u.content))); err != nil {
		return err
	}
	grown := make([]byte, len(u.content), size)
	copy(grown, u.content)
	u.content = grown
	return nil
}

// release frees the memory that the upload has reserved.
func (u *upload) release() {
	u.content = nil
	u.memory.release(u)
}
