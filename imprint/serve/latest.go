package serve

import "sync"

// A slot is a queue of length one: a new picture replaces the waiting one.
type slot struct {
	ready chan struct{} // receives a value after put

	mu sync.Mutex
	p  *picture
}

func newSlot() *slot { return &slot{ready: make(chan struct{}, 1)} }

// put adds p and returns the picture that it replaces, or nil.
func (s *slot) put(p *picture) *picture {
	s.mu.Lock()
	defer s.mu.Unlock()
	replaced := s.p
	s.p = p
	s.wake()
	return replaced
}

// wake sends a value to ready unless one is already waiting there.
func (s *slot) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// pending reports whether a picture is waiting.
func (s *slot) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p != nil
}

// take removes and returns the picture, or returns nil if the slot is empty.
func (s *slot) take() *picture {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.p
	s.p = nil
	return p
}

// A latestValue holds the newest value of a series, for any number of readers.
type latestValue[T any] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{} // closed by the next put
}

func newLatestValue[T any]() *latestValue[T] { return &latestValue[T]{changed: make(chan struct{})} }

func (l *latestValue[T]) put(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value = v
	close(l.changed)
	l.changed = make(chan struct{})
}

// get returns the newest value and a channel that is closed when a newer value replaces it.
func (l *latestValue[T]) get() (T, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value, l.changed
}
