package serve

import (
	"context"
	"time"
)

// firstWait is the wait after the first failure of a camera or device. longestWait and
// longestDeviceWait limit the waits after later failures.
const (
	firstWait         = 100 * time.Millisecond
	longestWait       = 5 * time.Second
	longestDeviceWait = time.Second
)

// A backoff doubles the wait after each consecutive failure.
type backoff struct {
	next, longest time.Duration
}

func (b *backoff) reset() { b.next = 0 }

// wait records a failure and returns the time to wait after it.
func (b *backoff) wait() time.Duration {
	b.next = min(max(2*b.next, firstWait), b.longest)
	return b.next
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
