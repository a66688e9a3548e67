package backbone

import (
	"context"
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
// caller of run, who alone depends on nobody: the others take what is left of a
// step when they get to it, so that one that the operating system keeps waiting
// delays a step only if it has begun a part of it.
type crew struct {
	threads []thread
	helpers int            // of the current Invoke, the first of threads[1:]
	running sync.WaitGroup // the goroutines
	started bool
	closing atomic.Bool

	// What is worked on. It changes only while no part is open, and is read
	// only by who has taken some.
	ctx    context.Context
	kernel kernels.Kernel
	args   *kernels.Args
	parts  int

	untaken atomic.Int64 // parts that nobody has begun, the last ones
	open    atomic.Int64 // parts of those who have not finished all that they took, and untaken ones
}

// A thread is one goroutine's share.
type thread struct {
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
	c.kernel, c.args, c.parts = s.kernel, a, s.parts
	c.open.Store(int64(s.parts))
	c.untaken.Store(int64(s.parts))
	for i := range min(c.helpers, s.parts-1) {
		c.threads[1+i].sleeper.rouse()
	}
	first := &c.threads[0]
	c.work(first)
	first.sleeper.await(func() bool { return c.open.Load() == 0 })
}

// help works on one step after the other until the crew is closed.
func (c *crew) help(t *thread) {
	for {
		t.sleeper.await(func() bool { return c.untaken.Load() > 0 || c.closing.Load() })
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
	taken := int64(0)
	for {
		n := c.untaken.Load()
		if n == 0 {
			return taken > 0 && c.open.Add(-taken) == 0
		}
		// Much at first, for the sake of the cache; little at last, so that all
		// finish together.
		take := max(n/int64(2*len(c.threads)), 1)
		if !c.untaken.CompareAndSwap(n, n-take) {
			continue
		}
		if taken == 0 {
			t.args = *c.args
			t.args.Scratch = t.scratch
		}
		taken += take
		if c.ctx.Err() == nil {
			from := c.parts - int(n)
			c.kernel.Run(&t.args, from, from+int(take))
		}
	}
}

// close ends the goroutines and waits for them.
func (c *crew) close() {
	c.closing.Store(true)
	for i := range c.threads[1:] {
		c.threads[1+i].sleeper.rouse()
	}
	c.running.Wait()
}

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
