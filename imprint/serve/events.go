package serve

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// A hub passes events on to listeners. Nobody waits for a listener: what it has not
// fetched when a newer event of the same kind comes is lost to it.
type hub struct {
	mu        sync.Mutex
	number    uint64
	listeners map[*listener]bool
}

// A listener gets the newest event of each kind, in the order in which they came.
type listener struct {
	kinds []string      // "" nil: all
	ready chan struct{} // holds one value when there is an event
	mu    sync.Mutex
	queue []event
}

// An event is something that others want to know of.
type event struct {
	number uint64
	kind   string
	data   []byte // JSON, in one line
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
	if err != nil { // of no type that is published
		b = fmt.Appendf(nil, "%q", err.Error())
	}
	return event{number, kind, b}
}

// listen begins to listen to events of these kinds, or all.
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
