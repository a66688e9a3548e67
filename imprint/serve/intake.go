package serve

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/imprintkit/imprint/imprint/serve/source"
)

// ErrDropped means that a posted frame was replaced by a newer frame before the device was free.
var ErrDropped = errors.New("replaced by a newer frame")

// An intake receives frames from the camera or from clients and numbers them. It keeps the
// newest frame for the device and for viewers.
type intake struct {
	source  source.Source // nil if clients post frames
	status  *sourceStatus
	metrics *metrics
	waiting *slot                  // the frame to classify next
	newest  *latestValue[*picture] // the newest frame, for viewers
	offer   func(*picture)         // gets each frame; must not wait

	mu       sync.Mutex // keeps frames in order
	count    uint64
	arrivals arrivals
}

func newIntake(src source.Source, m *metrics, changed func()) *intake {
	name, state := "none", "none"
	if src != nil {
		name, state = src.String(), "starting"
	}
	return &intake{source: src, status: newSourceStatus(name, state, changed), metrics: m, waiting: newSlot(), newest: newLatestValue[*picture]()}
}

// run reads frames until ctx or the source ends, and retries after errors.
func (in *intake) run(ctx context.Context) {
	if in.source == nil {
		return
	}
	wait := backoff{longest: longestWait}
	for ctx.Err() == nil {
		f, err := in.source.Next(ctx)
		switch {
		case ctx.Err() != nil:
		case err == io.EOF:
			in.status.set("ended", nil)
			return
		case err != nil:
			in.status.set(in.failure(err), err)
			sleep(ctx, wait.wait())
		default:
			wait.reset()
			in.status.set("ok", nil)
			in.accept(&picture{Frame: f})
		}
	}
}

// failure returns the state of a source that fails with err.
func (in *intake) failure(err error) string {
	switch {
	case in.frames() > 0:
		return "lost"
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	}
	return "failed"
}

// accept numbers a frame and queues it in place of the waiting frame.
func (in *intake) accept(p *picture) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.count++
	p.number = in.count
	in.arrivals.tick(time.Now())
	in.newest.put(p)
	in.offer(p)
	in.drop(in.waiting.put(p))
}

// drain drops the frame that is still waiting when the server stops.
func (in *intake) drain() { in.drop(in.waiting.take()) }

// drop counts a frame that will not be classified, and sends ErrDropped to its client. It does
// nothing if p is nil.
func (in *intake) drop(p *picture) {
	if p != nil {
		in.metrics.dropped.Inc()
		p.answer(reply{err: ErrDropped})
	}
}

// frames returns the number of frames received.
func (in *intake) frames() uint64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.count
}

func (in *intake) close() error {
	if in.source == nil {
		return nil
	}
	return in.source.Close()
}

// arrivals predicts when the next frame arrives.
type arrivals struct {
	mu     sync.Mutex
	last   time.Time
	period time.Duration // moving average of the interval; 0 until the second frame
}

func (a *arrivals) tick(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := now.Sub(a.last); !a.last.IsZero() && d < time.Second {
		if a.period == 0 {
			a.period = d
		}
		a.period = (7*a.period + d) / 8
	}
	a.last = now
}

// delay returns the time to wait before work of the given duration, so that the work does not
// delay the next frame.
func (a *arrivals) delay(now time.Time, work time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.period == 0 {
		return 0
	}
	expected := a.last.Add(a.period)
	if now.Sub(expected) > a.period || now.Add(work).Before(expected) {
		return 0 // the camera has stopped, or there is enough time
	}
	return max(expected.Sub(now), 0) + time.Millisecond
}
