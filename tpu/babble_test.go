package tpu

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// babbler is a device whose interrupt endpoint never stops sending empty packets.
type babbler struct {
	Conn
	reads atomic.Int64
}

func (b *babbler) Info() USBInfo { return USBInfo{} }

func (b *babbler) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	b.reads.Add(1)
	return 0, ctx.Err()
}

// TestEmptyInterrupts checks that the driver ignores empty interrupts without spinning on them.
func TestEmptyInterrupts(t *testing.T) {
	b := new(babbler)
	l := newLink(b, newDeadline(), time.Second)
	out := make(chan interrupt, 1)
	l.listen(out)
	start := time.Now()
	for b.reads.Load() < 20 {
		time.Sleep(time.Millisecond)
	}
	l.silence()
	if took := time.Since(start); took < time.Second {
		t.Errorf("20 reads took %v, want at least a second", took)
	}
	if len(out) > 0 {
		t.Error("got an interrupt from an empty packet")
	}
}

// lastWord is a device that raises a fatal interrupt while it sends the event that ends a program.
type lastWord struct {
	babbler
	deadline *deadline
}

func (w *lastWord) Read(_ context.Context, _ uint8, p []byte) (int, error) {
	p[12] = 4
	w.deadline.abort(errFatal)
	return len(p), nil
}

// TestLateFatalInterrupt checks that a fatal interrupt fails a program even if all of its transfers have succeeded.
func TestLateFatalInterrupt(t *testing.T) {
	w := &lastWord{deadline: newDeadline()}
	if err := newLink(w, w.deadline, time.Second).await(0); err != errFatal {
		t.Errorf("got %v, want %v", err, errFatal)
	}
}

// TestLogLimit checks that a logLimit allows one line a second and counts the lines that it
// suppresses.
func TestLogLimit(t *testing.T) {
	var l logLimit
	now := time.Unix(1, 0)
	logged, suppressed := 0, 0
	for range 3000 {
		if n, ok := l.allow(now); ok {
			logged++
			suppressed += n
		}
		now = now.Add(time.Millisecond)
	}
	if logged != 3 || suppressed != 2*999 {
		t.Errorf("logged %d lines, %d suppressed, want 3 and %d", logged, suppressed, 2*999)
	}
}
