package hostile

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// The bounds of a step, in CPU time, so that a busy machine does not matter. A step's context ends after patience, as if
// the user had pressed Ctrl-C. The step then has to return within Deadline.
const (
	patience = time.Second
	Deadline = 2 * time.Second
)

// slack multiplies Deadline outside of campaigns, because tests also run on slow, emulated processors.
const slack = 10

// A Case is one test of a target.
type Case struct {
	testing.TB
	Choice int    // a random number that chooses the valid file
	Edits  []byte // for Model and the like

	deadline time.Duration
	content  []byte
	worst    *worst // of all cases of this process
}

// New returns a case that Go's fuzzing engine made.
func New(t testing.TB, content []byte) *Case { return newCase(t, content, slack*Deadline, new(worst)) }

func newCase(t testing.TB, content []byte, deadline time.Duration, w *worst) *Case {
	c := &Case{TB: t, content: content, deadline: deadline, worst: w}
	if len(content) > 0 {
		c.Choice, c.Edits = int(content[0]), content[1:]
	}
	return c
}

// worst holds the most expensive steps.
type worst struct {
	Time   cost `json:"time"`
	Memory cost `json:"memory"`
}

// A cost is what a step of a case took.
type cost struct {
	Step      string  `json:"step"`
	Case      string  `json:"case"`
	Seconds   float64 `json:"cpu_seconds"`
	Allocated uint64  `json:"allocated_bytes"`
}

// add keeps the larger costs.
func (w *worst) add(v worst) {
	if v.Time.Seconds > w.Time.Seconds {
		w.Time = v.Time
	}
	if v.Memory.Allocated > w.Memory.Allocated {
		w.Memory = v.Memory
	}
}

// Do runs f, a step of the case. It panics and prints the stacks of all goroutines if f does not return within the
// deadline after its context has ended. The test fails if f allocates more than most bytes.
func (c *Case) Do(name string, most uint64, f func(ctx context.Context)) {
	c.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start, before := cpuTime(), allocated()
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(name, start, cancel, done)
	}()
	f(ctx)
	close(done)
	<-watched
	s := cost{name, fmt.Sprintf("%x", c.content), (cpuTime() - start).Seconds(), allocated() - before}
	if s.Allocated > most {
		c.Fatalf("%s allocated %d MiB, want at most %d MiB", name, s.Allocated>>20, most>>20)
	}
	c.worst.add(worst{s, s})
}

// watch enforces the deadline of a step that began when the process had used start of CPU time.
func (c *Case) watch(name string, start time.Duration, cancel context.CancelFunc, done chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		used := cpuTime() - start
		if used > patience {
			cancel()
		}
		if used > patience+c.deadline {
			debug.SetTraceback("all")
			panic(fmt.Sprintf("%s has not returned %v after its context ended", name, c.deadline))
		}
	}
}

// allocated returns the number of bytes that the process has allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
