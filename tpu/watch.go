package tpu

import (
	"context"
	"sync"
	"time"
)

// watch is the context of one transfer after another: arm sets its deadline anew, and costs no memory. The contexts
// of the standard library can be used only once, and an inference makes tens of transfers.
type watch struct {
	mu    sync.Mutex
	timer *time.Timer
	until time.Time
	done  chan struct{}
	err   error
	why   error // of abort
}

func newWatch() *watch { return &watch{done: make(chan struct{})} }

// arm gives the watch d from now on. An aborted watch stays so.
func (w *watch) arm(d time.Duration) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why != nil {
		return w
	}
	if w.err != nil {
		w.err, w.done = nil, make(chan struct{})
	}
	w.until = time.Now().Add(d)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.expire)
	} else {
		w.timer.Reset(d)
	}
	return w
}

// disarm takes the deadline away, for as long as no transfer is under way.
func (w *watch) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Time{}
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	// The timer may have fired just before it was set anew.
	if w.err == nil && !w.until.IsZero() && !time.Now().Before(w.until) {
		w.end(context.DeadlineExceeded)
	}
}

// abort ends the transfer that is under way, and all later ones until clear: they fail because of why.
func (w *watch) abort(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == nil {
		w.why = why
		if w.err == nil {
			w.end(context.Canceled)
		}
	}
}

// clear undoes abort and returns what it was given.
func (w *watch) clear() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	why := w.why
	w.why = nil
	return why
}

func (w *watch) aborted() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

func (w *watch) end(err error) {
	w.err = err
	close(w.done)
}

func (w *watch) Deadline() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.until, !w.until.IsZero()
}

func (w *watch) Done() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done
}

func (w *watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watch) Value(any) any { return nil }
