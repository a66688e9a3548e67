package backbone

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/kernels"
	"go.uber.org/goleak"
)

// A countingKernel counts the computations of each part.
type countingKernel struct {
	count  []atomic.Int32
	during func(part int)
}

func (k *countingKernel) Parts() int   { return len(k.count) }
func (k *countingKernel) Scratch() int { return 8 }
func (k *countingKernel) Run(a *kernels.Args, lo, hi int) {
	for p := lo; p < hi; p++ {
		a.Scratch[0]++ // lets the race detector find shared scratch memory
		if k.during != nil {
			k.during(p)
		}
		k.count[p].Add(1)
	}
}

// all reports whether every part was computed n times.
func (k *countingKernel) all(n int32) bool {
	for i := range k.count {
		if k.count[i].Load() != n {
			return false
		}
	}
	return true
}

// setMaxProcs sets GOMAXPROCS for a test.
func setMaxProcs(t *testing.T, procs int) {
	before := runtime.GOMAXPROCS(procs)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func TestWorkerPoolComputesEveryPartOnce(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		for _, threads := range []int{1, 2, 3, 8} {
			t.Run(fmt.Sprintf("procs=%d/threads=%d", procs, threads), func(t *testing.T) {
				defer goleak.VerifyNone(t)
				setMaxProcs(t, procs)
				pool := newWorkerPool(threads, 8)
				defer pool.close()
				var current atomic.Int32
				for round := range int32(40) {
					pool.begin(t.Context())
					for i, parts := range []int{1, 7, 2, 196, 64, 1, 3} {
						now := 100*round + int32(i)
						current.Store(now)
						k := &countingKernel{count: make([]atomic.Int32, parts)}
						k.during = func(int) {
							if got := current.Load(); got != now {
								t.Errorf("computed a part of step %d in step %d", now, got)
							}
							if round%8 == 0 && i == 2 {
								time.Sleep(3 * spinTime) // puts the waiting workers to sleep
							}
						}
						pool.run(&step{kernel: k, parts: parts, piece: parts}, &kernels.Args{})
						if !k.all(1) {
							t.Fatalf("round %d: got parts not computed or computed twice, want each of %d parts computed once", round, parts)
						}
					}
					if round%8 == 1 {
						time.Sleep(3 * spinTime)
					}
				}
			})
		}
	}
}

func TestWorkerPoolStopsWithContext(t *testing.T) {
	for _, threads := range []int{1, 2} {
		pool := newWorkerPool(threads, 8)
		defer pool.close()
		ctx, cancel := context.WithCancel(t.Context())
		pool.begin(ctx)
		k := &countingKernel{count: make([]atomic.Int32, 64), during: func(int) { cancel() }}
		pool.run(&step{kernel: k, parts: 64, piece: 64}, &kernels.Args{})
		if last := k.count[63].Load(); last != 0 {
			t.Errorf("%d threads: the last part was computed after the context ended", threads)
		}
		pool.begin(t.Context())
		k = &countingKernel{count: make([]atomic.Int32, 64)}
		pool.run(&step{kernel: k, parts: 64, piece: 64}, &kernels.Args{})
		if !k.all(1) {
			t.Errorf("%d threads: the next step was not computed", threads)
		}
	}
}

// TestWorkerPoolStopsBetweenPieces checks that a worker looks at the context after each piece of the
// parts that it has taken.
func TestWorkerPoolStopsBetweenPieces(t *testing.T) {
	pool := newWorkerPool(1, 8)
	defer pool.close()
	ctx, cancel := context.WithCancel(t.Context())
	pool.begin(ctx)
	k := &countingKernel{count: make([]atomic.Int32, 64), during: func(int) { cancel() }}
	pool.run(&step{kernel: k, parts: 64, piece: 3}, &kernels.Args{})
	computed := 0
	for i := range k.count {
		computed += int(k.count[i].Load())
	}
	if computed != 3 {
		t.Errorf("%d parts were computed, want 3", computed)
	}
}

// TestWorkerPoolSleeps hangs if an idle worker spins forever.
func TestWorkerPoolSleeps(t *testing.T) {
	setMaxProcs(t, 3)
	pool := newWorkerPool(3, 8)
	defer pool.close()
	pool.begin(t.Context())
	k := &countingKernel{count: make([]atomic.Int32, 16)}
	pool.run(&step{kernel: k, parts: 16, piece: 16}, &kernels.Args{})
	for i := range pool.workers[1:] {
		for !pool.workers[1+i].waiter.asleep.Load() {
			time.Sleep(spinTime)
		}
	}
}

// BenchmarkWorkerPool measures the cost of dividing work: 30 steps of 16 empty parts.
func BenchmarkWorkerPool(b *testing.B) {
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			pool := newWorkerPool(threads, 8)
			defer pool.close()
			s := step{kernel: &countingKernel{count: make([]atomic.Int32, 16)}, parts: 16, piece: 16}
			a := new(kernels.Args)
			b.ReportAllocs()
			for b.Loop() {
				pool.begin(b.Context())
				for range 30 {
					pool.run(&s, a)
				}
			}
		})
	}
}
