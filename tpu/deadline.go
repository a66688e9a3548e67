package tpu

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that is reused for one transfer after another: arm sets a new deadline without allocating. A
// context of the standard library can be used only once, and an inference makes dozens of transfers.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	until time.Time
	done  chan struct{}
	err   error
	why   error // the error passed to abort
}

func newDeadline() *deadline { return &deadline{done: make(chan struct{})} }

// arm sets the deadline to d from now. An aborted deadline stays aborted.
func (t *deadline) arm(d time.Duration) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why != nil {
		return t
	}
	if t.err != nil {
		t.err, t.done = nil, make(chan struct{})
	}
	t.until = time.Now().Add(d)
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.expire)
	} else {
		t.timer.Reset(d)
	}
	return t
}

// disarm stops the timer while no transfer is in progress.
func (t *deadline) disarm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Time{}
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *deadline) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The timer may have fired just before arm reset it.
	if t.err == nil && !t.until.IsZero() && !time.Now().Before(t.until) {
		t.end(context.DeadlineExceeded)
	}
}

// abort ends the transfer in progress with the error why. Later transfers fail in the same way until clear is called.
func (t *deadline) abort(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == nil {
		t.why = why
		if t.err == nil {
			t.end(context.Canceled)
		}
	}
}

// clear undoes abort and returns the error that was passed to abort.
func (t *deadline) clear() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	why := t.why
	t.why = nil
	return why
}

// aborted returns the error that was passed to abort, or nil if the deadline is not aborted.
func (t *deadline) aborted() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why
}

func (t *deadline) end(err error) {
	t.err = err
	close(t.done)
}

func (t *deadline) Deadline() (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until, !t.until.IsZero()
}

func (t *deadline) Done() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

func (t *deadline) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *deadline) Value(any) any { return nil }
