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

// spinTime is the time for which an idle worker looks for work before it sleeps. Waking a
// sleeping thread takes a system call, and the thread takes as long again to start
// running. Together, this takes longer than a fast operator.
const spinTime = 40 * time.Microsecond

// A workerPool shares the parts of each step among threads. The first worker is the
// caller of run.
//
// Each worker starts with its own range of parts, which covers about the same rows of a
// tensor in all steps, because reading memory that another core has just written is slow.
// A worker that runs out of parts steals from the others. A worker that the operating
// system suspends therefore delays a step only by the parts it has taken.
type workerPool struct {
	workers []worker
	helpers int            // workers in use by the current Invoke, besides the first
	running sync.WaitGroup // the helpers' goroutines
	started bool
	closing atomic.Bool
	ctx     context.Context // of the current Invoke

	_    [64]byte     // open is written while workers read the fields above
	open atomic.Int64 // parts of the current step that workers have not yet reported as done
}

// A worker is the state of one thread. Threads read each other's queues and waiters, so
// these are in cache lines that the thread does not write for other reasons.
type worker struct {
	// The queue and the current step are in one cache line, because a worker needs both
	// when a step begins. The step changes only while open is 0, and only workers that
	// have taken parts read it.
	queue  partQueue
	kernel kernels.Kernel
	piece  int // see step
	shared *kernels.Args

	_       [64]byte
	scratch []byte
	args    kernels.Args
	_       [64]byte
	waiter  waiter
	_       [80]byte // makes the size a multiple of 64 on 64-bit processors
}

func newWorkerPool(threads, scratch int) *workerPool {
	p := &workerPool{workers: make([]worker, threads)}
	for i := range p.workers {
		p.workers[i].scratch = alignedBytes(scratch)
		p.workers[i].waiter.signal = make(chan struct{}, 1)
	}
	return p
}

// begin prepares for the steps of one Invoke.
func (p *workerPool) begin(ctx context.Context) {
	p.ctx = ctx
	// More threads than can run at once would only compete with each other.
	p.helpers = min(len(p.workers), runtime.GOMAXPROCS(0)) - 1
	if p.helpers > 0 && !p.started {
		p.started = true
		for i := range p.workers[1:] {
			p.running.Go(func() { p.help(&p.workers[1+i]) })
		}
	}
}

// run computes the parts of a step. Once ctx has ended, it skips the remaining parts.
func (p *workerPool) run(s *step, a *kernels.Args) {
	for i := range p.workers[:p.helpers+1] {
		w := &p.workers[i]
		w.kernel, w.piece, w.shared = s.kernel, max(s.piece, 1), a
	}
	n, first := min(p.helpers+1, s.parts), &p.workers[0]
	if s.parts == 1 {
		first.begin()
		p.compute(first, 0, 1)
		return
	}
	p.open.Store(int64(s.parts))
	for i := n - 1; i >= 0; i-- { // the helpers first, because they take a while to notice
		p.workers[i].queue.set(i*s.parts/n, (i+1)*s.parts/n)
	}
	for i := range n - 1 {
		p.workers[1+i].waiter.wake()
	}
	p.work(first)
	first.waiter.wait(func() bool { return p.open.Load() == 0 })
}

// help works on one step after another until the pool is closed.
func (p *workerPool) help(w *worker) {
	for {
		w.waiter.wait(func() bool { return !w.queue.empty() || p.closing.Load() })
		if p.closing.Load() {
			return
		}
		if p.work(w) {
			p.workers[0].waiter.wake()
		}
	}
}

// work computes parts of the current step until none is left. It reports whether this
// worker finished the step.
func (p *workerPool) work(w *worker) (finished bool) {
	taken := 0
	for {
		from, to := w.queue.take()
		if from == to {
			// Report before looking at other queues, whose cache lines take a while to arrive.
			if taken > 0 && p.open.Add(-int64(taken)) == 0 {
				return true
			}
			taken = 0
			victim := p.busiest()
			if victim == nil {
				return false
			}
			if from, to = victim.queue.steal(); from == to {
				continue
			}
		}
		if taken == 0 {
			w.begin()
		}
		taken += to - from
		p.compute(w, from, to)
	}
}

// begin prepares for the parts of a step.
func (w *worker) begin() {
	w.args = *w.shared
	w.args.Scratch = w.scratch
}

// compute computes the parts from ≤ i < to.
func (p *workerPool) compute(w *worker, from, to int) {
	for ; from < to && p.ctx.Err() == nil; from += w.piece {
		w.kernel.Run(&w.args, from, min(from+w.piece, to))
	}
}

// busiest returns the worker with the longest queue, or nil if all queues are empty.
func (p *workerPool) busiest() (w *worker) {
	most := 0
	for i := range p.workers {
		if from, to := p.workers[i].queue.remaining(); to-from > most {
			w, most = &p.workers[i], to-from
		}
	}
	return w
}

// close stops the goroutines and waits for them.
func (p *workerPool) close() {
	p.closing.Store(true)
	for i := range p.workers[1:] {
		p.workers[1+i].waiter.wake()
	}
	p.running.Wait()
}

// A partQueue is a range of parts that no worker has taken, packed into one word: the
// first part and the end of the range, 32 bits each. Every part is taken exactly once,
// even if a worker read the range during an earlier step.
type partQueue struct{ bits atomic.Uint64 }

func (q *partQueue) set(from, to int) { q.bits.Store(pack(from, to)) }

func (q *partQueue) remaining() (from, to int) {
	b := q.bits.Load()
	return int(b >> 32), int(b & math.MaxUint32)
}

func (q *partQueue) empty() bool {
	from, to := q.remaining()
	return from == to
}

// take removes and returns the first half of the queue, rounded up, for the queue's own
// worker. Halving makes the pieces large at first and small at the end, so that all
// workers finish together. If the queue is empty, from equals to.
func (q *partQueue) take() (from, to int) {
	for {
		from, to := q.remaining()
		middle := (from + to + 1) / 2
		if from == to || q.bits.CompareAndSwap(pack(from, to), pack(middle, to)) {
			return from, middle
		}
	}
}

// steal removes and returns the last half of the queue, rounded up, for another worker.
func (q *partQueue) steal() (from, to int) {
	for {
		from, to := q.remaining()
		middle := (from + to) / 2
		if from == to || q.bits.CompareAndSwap(pack(from, to), pack(from, middle)) {
			return middle, to
		}
	}
}

func pack(from, to int) uint64 { return uint64(from)<<32 | uint64(to) }

// A waiter lets one goroutine wait for others. The goroutine spins first, then sleeps.
type waiter struct {
	asleep atomic.Bool
	signal chan struct{} // holds at most one signal
}

// wait returns once ready returns true. After spinTime it sleeps until wake is called.
func (w *waiter) wait(ready func() bool) {
	if ready() {
		return
	}
	for start := time.Now(); !spin(ready); {
		if time.Since(start) < spinTime {
			continue
		}
		w.asleep.Store(true)
		// If ready became true before asleep was set, nobody sends a signal.
		if !ready() || !w.asleep.CompareAndSwap(true, false) {
			<-w.signal
		}
		start = time.Now()
	}
}

// spin reports whether ready returns true in one of several calls, which together take
// about as long as reading the clock.
func spin(ready func() bool) bool {
	for range 16 {
		if ready() {
			return true
		}
	}
	return false
}

// wake wakes the waiter if it sleeps. The condition that it waits for must already be
// true.
func (w *waiter) wake() {
	if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) {
		w.signal <- struct{}{}
	}
}
