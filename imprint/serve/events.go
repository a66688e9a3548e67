package serve

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// eventKinds lists the kinds of events to which a client can listen.
var eventKinds = []string{"result", "classes", "teach", "generation", "state", "notice", "regions", "doubtful"}

// A hub passes events to listeners without waiting for any of them. If a newer event of the same
// kind arrives before a listener has fetched an event, the listener gets only the newer event.
type hub struct {
	mu        sync.Mutex
	number    uint64
	listeners map[*listener]bool
}

// A listener receives the newest event of each kind, in order of arrival.
type listener struct {
	kinds []string      // empty means all
	ready chan struct{} // receives a value after put

	mu    sync.Mutex
	queue []event
}

type event struct {
	number uint64
	kind   string
	data   []byte // JSON on one line
}

func (h *hub) publish(kind string, v any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.number++
	if len(h.listeners) == 0 {
		return
	}
	e := newEvent(h.number, kind, v)
	for l := range h.listeners {
		l.put(e)
	}
}

func newEvent(number uint64, kind string, v any) event {
	b, err := json.Marshal(v)
	if err != nil { // impossible: every type of event can be encoded
		b = fmt.Appendf(nil, "%q", err.Error())
	}
	return event{number, kind, b}
}

// listen adds a listener for the given kinds of events, or for all events if kinds is empty.
func (h *hub) listen(kinds []string) *listener {
	l := &listener{kinds: kinds, ready: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners == nil {
		h.listeners = make(map[*listener]bool)
	}
	h.listeners[l] = true
	return l
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
}

func (l *listener) put(e event) {
	if len(l.kinds) > 0 && !slices.Contains(l.kinds, e.kind) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(slices.DeleteFunc(l.queue, func(old event) bool { return old.kind == e.kind }), e)
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

func (l *listener) take() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue
	l.queue = nil
	return q
}
