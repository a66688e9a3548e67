package backbone

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/backbone/kernels"
)

// patience is how long a thread without work looks for some before it sleeps.
// Waking one that sleeps takes a call of the operating system and as long again
// until it runs, more than a fast operator takes altogether.
const patience = 40 * time.Microsecond

// A crew is the threads that share the work of each step. The first is the
// caller of run. Each begins with its own share of the parts, the same rows of a
// tensor in all steps as far as can be, because what another core has just
// written is slow to read; who comes to an end takes from the others. So one that
// the operating system keeps waiting delays a step only by what it has begun.
type crew struct {
	threads []thread
	helpers int            // of the current Invoke, the first of threads[1:]
	running sync.WaitGroup // the goroutines
	started bool
	closing atomic.Bool
	_       [64]byte // what follows is written while threads look at the above

	// What is worked on. It changes only while no part is open, and is read
	// only by who has taken some.
	ctx    context.Context
	kernel kernels.Kernel
	args   *kernels.Args

	_    [64]byte     // what follows is written while threads read the above
	open atomic.Int64 // parts that nobody has taken, or somebody who has not come to an end
}

// A thread is one goroutine's share.
type thread struct {
	share   share
	scratch []byte
	args    kernels.Args
	sleeper sleeper
	_       [64]byte // so that no two threads write to one cache line
}

func newCrew(threads, scratch int) *crew {
	c := &crew{threads: make([]thread, threads)}
	for i := range c.threads {
		c.threads[i].scratch = alignedBytes(scratch)
		c.threads[i].sleeper.wake = make(chan struct{}, 1)
	}
	return c
}

// begin prepares for the steps of one Invoke.
func (c *crew) begin(ctx context.Context) {
	c.ctx = ctx
	// More threads than may run at once would only get in one another's way.
	c.helpers = min(len(c.threads), runtime.GOMAXPROCS(0)) - 1
	if c.helpers > 0 && !c.started {
		c.started = true
		for i := range c.threads[1:] {
			c.running.Go(func() { c.help(&c.threads[1+i]) })
		}
	}
}

// run computes all parts of a step, or as many as are begun before ctx ends.
func (c *crew) run(s *step, a *kernels.Args) {
	c.kernel, c.args = s.kernel, a
	c.open.Store(int64(s.parts))
	n := min(c.helpers+1, s.parts)
	for i := range n {
		c.threads[i].share.set(i*s.parts/n, (i+1)*s.parts/n)
	}
	for i := range n - 1 {
		c.threads[1+i].sleeper.rouse()
	}
	first := &c.threads[0]
	c.work(first)
	first.sleeper.await(func() bool { return c.open.Load() == 0 })
}

// help works on one step after the other until the crew is closed.
func (c *crew) help(t *thread) {
	for {
		t.sleeper.await(func() bool { return c.busiest() != nil || c.closing.Load() })
		if c.closing.Load() {
			return
		}
		if c.work(t) {
			c.threads[0].sleeper.rouse()
		}
	}
}

// work computes parts of the current step until none is left, and reports
// whether it finished the last.
func (c *crew) work(t *thread) (last bool) {
	taken := 0
	for {
		from, to := t.share.takeFirst()
		if from == to {
			other := c.busiest()
			if other == nil {
				return taken > 0 && c.open.Add(-int64(taken)) == 0
			}
			if from, to = other.share.takeLast(); from == to {
				continue
			}
		}
		if taken == 0 {
			t.args = *c.args
			t.args.Scratch = t.scratch
		}
		taken += to - from
		if c.ctx.Err() == nil {
			c.kernel.Run(&t.args, from, to)
		}
	}
}

// busiest is the thread of whose share most is left, nil if nothing is.
func (c *crew) busiest() (t *thread) {
	most := 0
	for i := range c.threads {
		if from, to := c.threads[i].share.left(); to-from > most {
			t, most = &c.threads[i], to-from
		}
	}
	return t
}

// close ends the goroutines and waits for them.
func (c *crew) close() {
	c.closing.Store(true)
	for i := range c.threads[1:] {
		c.threads[1+i].sleeper.rouse()
	}
	c.running.Wait()
}

// A share is a range of parts that are not taken: the first and the end, in 32
// bits each. What is taken from it is taken once, whichever step it belongs to.
type share struct{ bits atomic.Uint64 }

func (s *share) set(from, to int) { s.bits.Store(pack(from, to)) }

func (s *share) left() (from, to int) {
	b := s.bits.Load()
	return int(b >> 32), int(b & math.MaxUint32)
}

// takeFirst takes half of what is left, nothing if that is nothing. It is for who
// the share is of, and takeLast for others: much at first and little at last, so
// that all come to an end together.
func (s *share) takeFirst() (from, to int) {
	for {
		from, to := s.left()
		middle := (from + to + 1) / 2
		if from == to || s.bits.CompareAndSwap(pack(from, to), pack(middle, to)) {
			return from, middle
		}
	}
}

func (s *share) takeLast() (from, to int) {
	for {
		from, to := s.left()
		middle := (from + to) / 2
		if from == to || s.bits.CompareAndSwap(pack(from, to), pack(from, middle)) {
			return middle, to
		}
	}
}

func pack(from, to int) uint64 { return uint64(from)<<32 | uint64(to) }

// A sleeper is where one goroutine waits for others.
type sleeper struct {
	asleep atomic.Bool
	wake   chan struct{} // with room for one
}

// await returns when ready, which is called again and again at first, and after
// some time only when the sleeper is roused.
func (s *sleeper) await(ready func() bool) {
	if ready() {
		return
	}
	for start := time.Now(); !ready(); {
		if time.Since(start) < patience {
			continue
		}
		s.asleep.Store(true)
		// What was made ready before that will not rouse us.
		if !ready() || !s.asleep.CompareAndSwap(true, false) {
			<-s.wake
		}
		start = time.Now()
	}
}

// rouse wakes the sleeper, if it sleeps; what it waits for must be so already.
func (s *sleeper) rouse() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		s.wake <- struct{}{}
	}
}
