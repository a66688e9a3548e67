package classifier

import (
	"math/bits"
	"sync"
)

// Training takes many matrices for a short time. Using their memory again is faster than to have it
// collected, and a new process then gets fewer pages from the operating system.

// A pool keeps slices, by the number of bits of their length.
type pool [bits.UintSize + 1]sync.Pool

var pool64, pool32, poolOfPairs pool

func poolOf[T element](n int) *sync.Pool {
	p := &pool64
	switch any(*new(T)).(type) {
	case float32:
		p = &pool32
	case int32:
		p = &poolOfPairs
	}
	return &p[bits.Len(uint(n))]
}

// take returns n values, which are arbitrary unless zero is set.
func take[T element](n int, zero bool) []T {
	if s, ok := poolOf[T](n).Get().(*[]T); ok && cap(*s) >= n {
		if zero {
			clear((*s)[:n])
		}
		return (*s)[:n]
	}
	return make([]T, n)
}

// give lets take return the memory of s, which must not be used any more.
func give[T element](s []T) {
	if cap(s) > 0 {
		poolOf[T](cap(s)).Put(&s)
	}
}
