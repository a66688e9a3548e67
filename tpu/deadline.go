package tpu

import (
	"context"
	"sync"
	"time"
)

// deadline makes the contexts of one transfer after another. A context of the standard library can be used only once,
// and an inference makes dozens of transfers. arm reuses its context until it ends, so it allocates only after failures.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	limit *limit // the context that arm returned last
	why   error  // the error passed to abort; limit has ended if it is not nil
}

// limit is a context. Once it has ended, it stays ended, because a bus may derive contexts from it that live longer than
// the transfer.
type limit struct {
	deadline *deadline // its mutex guards the fields below
	until    time.Time
	done     chan struct{}
	err      error
}

func newDeadline() *deadline {
	t := new(deadline)
	t.renew()
	return t
}

func (t *deadline) renew() { t.limit = &limit{deadline: t, done: make(chan struct{})} }

// arm returns a context that ends d from now, or one that has ended if the deadline is aborted.
func (t *deadline) arm(d time.Duration) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why != nil {
		return t.limit
	}
	if t.limit.err != nil {
		t.renew()
	}
	t.limit.until = time.Now().Add(d)
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.expire)
	} else {
		t.timer.Reset(d)
	}
	return t.limit
}

// disarm stops the timer while no transfer is in progress.
func (t *deadline) disarm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit.until = time.Time{}
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *deadline) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	// The timer may have fired just before arm reset it.
	if until := t.limit.until; t.limit.err == nil && !until.IsZero() && !time.Now().Before(until) {
		t.limit.end(context.DeadlineExceeded)
	}
}

// abort ends the transfer in progress with the error why. Later transfers fail in the same way until clear is called.
func (t *deadline) abort(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.why == nil {
		t.why = why
		if t.limit.err == nil {
			t.limit.end(context.Canceled)
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

// end ends the context. The caller holds the mutex.
func (l *limit) end(err error) {
	l.err = err
	close(l.done)
}

func (l *limit) Deadline() (time.Time, bool) {
	l.deadline.mu.Lock()
	defer l.deadline.mu.Unlock()
	return l.until, !l.until.IsZero()
}

func (l *limit) Done() <-chan struct{} { return l.done }

func (l *limit) Err() error {
	l.deadline.mu.Lock()
	defer l.deadline.mu.Unlock()
	return l.err
}

func (l *limit) Value(any) any { return nil }
