package serve

import (
	"fmt"
	"sync"
	"time"

	"github.com/imprintkit/imprint/imprint/predict"
)

// maxHeld is the largest number of frames that one hold keeps. Above it, every other frame is
// dropped, and from then on only every second new frame is kept. The next time, every fourth is
// kept, and so on.
const maxHeld = 128

// holds collects frames while a training button is held. Only one button can be held at a time.
type holds struct {
	events *hub

	mu  sync.Mutex
	now *hold // the current hold, or nil
}

// A hold is the state of a button that is held.
type hold struct {
	label string
	area  string // name of the region whose pictures are collected; "" for whole pictures
	since time.Time
	first chan struct{} // closed when the first frame has been collected
	timer *time.Timer   // cancels the hold

	// The fields below are protected by holds.mu until the hold ends.
	seen, every int
	frames      []observed
	at          *point // where the object to train is; nil for the largest
}

// start starts a hold for a label and a region, or whole pictures if area is "", and returns its
// progress. With a detector, it collects the object at a point, or the largest if at is nil. It
// changes nothing if the label's button is already held, and fails with ErrHolding if another button
// is held. If the hold lasts for longestHold, it is passed to giveUp.
func (s *holds) start(label, area string, at *point, giveUp func(*hold)) (Teaching, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.now
	if h != nil && (h.label != label || h.area != area) {
		return Teaching{}, fmt.Errorf("train %q: %w, for %q", label, ErrHolding, h.label)
	}
	if h == nil {
		h = &hold{label: label, area: area, at: at, since: time.Now(), first: make(chan struct{}), every: 1}
		h.timer = time.AfterFunc(longestHold, func() { giveUp(h) })
		s.now = h
	}
	t := h.progress()
	s.events.publish("teach", t)
	return t, nil
}

// progress returns the progress of h. The caller must hold the lock.
func (h *hold) progress() Teaching {
	t := Teaching{Label: h.label, Region: h.area, State: "holding", Frames: len(h.frames), Sentence: "recording " + h.label}
	if t.Frames > 0 {
		t.Sentence += ": " + count(t.Frames, "frame")
	}
	return t
}

// collect adds a classified frame to the current hold, if any.
func (s *holds) collect(p *picture, r predict.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.now
	if h == nil || h.area != p.area() || p.Captured.Before(h.since) {
		return
	}
	h.seen++
	if h.seen%h.every != 0 {
		return
	}
	if p.part != nil {
		p = p.compact()
	}
	o := observed{picture: p, result: r}
	if h.at != nil {
		o = o.choose(h.at)
	}
	h.frames = append(h.frames, o)
	if len(h.frames) == 1 {
		close(h.first)
	}
	if len(h.frames) > maxHeld {
		kept := h.frames[:0]
		for i := 1; i < len(h.frames); i += 2 {
			kept = append(kept, h.frames[i])
		}
		clear(h.frames[len(kept):])
		h.frames, h.every = kept, 2*h.every
	}
	s.events.publish("teach", h.progress())
}

// end ends the hold of a label, or any hold if label is "".
func (s *holds) end(label string) (*hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.now
	switch {
	case h == nil:
		return nil, ErrNotHolding
	case label != "" && label != h.label:
		return nil, fmt.Errorf("%w for %q, only for %q", ErrNotHolding, label, h.label)
	}
	h.timer.Stop()
	s.now = nil
	return h, nil
}

// current returns the hold of a label, or any hold if label is "". It returns nil if there is
// none.
func (s *holds) current(label string) *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.now; h != nil && (label == "" || label == h.label) {
		return h
	}
	return nil
}

// state returns the progress of the current hold, if there is one.
func (s *holds) state() (Teaching, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return Teaching{}, false
	}
	return s.now.progress(), true
}

// region returns the name of the region whose pictures the current hold collects, or "".
func (s *holds) region() string {
	if h := s.current(""); h != nil {
		return h.area
	}
	return ""
}

// stopTimer stops the timer of the current hold, so that it does not fire after the server has
// stopped.
func (s *holds) stopTimer() {
	if h := s.current(""); h != nil {
		h.timer.Stop()
	}
}
