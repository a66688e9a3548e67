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

// counting is a kernel that counts how often each part is computed.
type counting struct {
	count  []atomic.Int32
	during func(part int)
}

func (k *counting) Parts() int   { return len(k.count) }
func (k *counting) Scratch() int { return 8 }
func (k *counting) Run(a *kernels.Args, lo, hi int) {
	for p := lo; p < hi; p++ {
		a.Scratch[0]++ // the race detector finds scratch that two share
		if k.during != nil {
			k.during(p)
		}
		k.count[p].Add(1)
	}
}

// all reports whether every part was computed n times.
func (k *counting) all(n int32) bool {
	for i := range k.count {
		if k.count[i].Load() != n {
			return false
		}
	}
	return true
}

// atMost sets GOMAXPROCS for a test.
func atMost(t *testing.T, procs int) {
	before := runtime.GOMAXPROCS(procs)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func TestCrewComputesEveryPartOnce(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		for _, threads := range []int{1, 2, 3, 8} {
			t.Run(fmt.Sprintf("procs=%d/threads=%d", procs, threads), func(t *testing.T) {
				defer goleak.VerifyNone(t)
				atMost(t, procs)
				c := newCrew(threads, 8)
				defer c.close()
				var current atomic.Int32
				for round := range int32(40) {
					c.begin(t.Context())
					for i, parts := range []int{1, 7, 2, 196, 64, 1, 3} {
						now := 100*round + int32(i)
						current.Store(now)
						k := &counting{count: make([]atomic.Int32, parts)}
						k.during = func(int) {
							if got := current.Load(); got != now {
								t.Errorf("a part of step %d was computed in step %d", now, got)
							}
							if round%8 == 0 && i == 2 {
								time.Sleep(3 * patience) // who waits for this falls asleep
							}
						}
						c.run(&step{kernel: k, parts: parts}, &kernels.Args{})
						if !k.all(1) {
							t.Fatalf("round %d: %d parts were not computed once each", round, parts)
						}
					}
					if round%8 == 1 {
						time.Sleep(3 * patience)
					}
				}
			})
		}
	}
}

func TestCrewStopsWithTheContext(t *testing.T) {
	for _, threads := range []int{1, 2} {
		c := newCrew(threads, 8)
		defer c.close()
		ctx, cancel := context.WithCancel(t.Context())
		c.begin(ctx)
		k := &counting{count: make([]atomic.Int32, 64), during: func(int) { cancel() }}
		c.run(&step{kernel: k, parts: 64}, &kernels.Args{})
		if last := k.count[63].Load(); last != 0 {
			t.Errorf("%d threads: the last part was computed after the context had ended", threads)
		}
		c.begin(t.Context())
		k = &counting{count: make([]atomic.Int32, 64)}
		c.run(&step{kernel: k, parts: 64}, &kernels.Args{})
		if !k.all(1) {
			t.Errorf("%d threads: a step after that was not computed", threads)
		}
	}
}

// A crew without work sleeps: the test would not end if one thread went on looking.
func TestCrewSleeps(t *testing.T) {
	atMost(t, 3)
	c := newCrew(3, 8)
	defer c.close()
	c.begin(t.Context())
	k := &counting{count: make([]atomic.Int32, 16)}
	c.run(&step{kernel: k, parts: 16}, &kernels.Args{})
	for i := range c.threads[1:] {
		for !c.threads[1+i].sleeper.asleep.Load() {
			time.Sleep(patience)
		}
	}
}

// BenchmarkCrew is the cost of dividing a step among threads: 30 steps of 16 parts
// that do nothing.
func BenchmarkCrew(b *testing.B) {
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			c := newCrew(threads, 8)
			defer c.close()
			s := step{kernel: &counting{count: make([]atomic.Int32, 16)}, parts: 16}
			a := new(kernels.Args)
			b.ReportAllocs()
			for b.Loop() {
				c.begin(b.Context())
				for range 30 {
					c.run(&s, a)
				}
			}
		})
	}
}
