package kernels

import (
	"fmt"
	"slices"
)

// A broadcast divides the output of an operator on two operands into runs. Each axis of
// an operand has the length of the output's axis, or 1. Adjacent axes are joined where
// the strides of both operands allow it.
type broadcast struct {
	shape, a, b []int // output shape and the strides of the operands, innermost last
	rows        int   // product of all axes except the innermost
}

func newBroadcast(a, b, out []int) (broadcast, error) {
	rank := max(len(a), len(b))
	at := func(shape []int, i int) int {
		if i -= rank - len(shape); i >= 0 {
			return shape[i]
		}
		return 1
	}
	var p broadcast
	var want []int
	strideA, strideB := 1, 1
	// Collect the axes, the innermost first.
	for i := rank - 1; i >= 0; i-- {
		da, db := at(a, i), at(b, i)
		if da != db && da != 1 && db != 1 {
			return p, fmt.Errorf("%w: shapes %v and %v cannot be broadcast", ErrInvalid, a, b)
		}
		d := max(da, db)
		want = append(want, d)
		if d == 1 {
			continue
		}
		sa, sb := strideA, strideB
		if da == 1 {
			sa = 0
		}
		if db == 1 {
			sb = 0
		}
		strideA *= da
		strideB *= db
		if n := len(p.shape); n > 0 && sa == p.a[n-1]*p.shape[n-1] && sb == p.b[n-1]*p.shape[n-1] {
			p.shape[n-1] *= d
			continue
		}
		p.shape, p.a, p.b = append(p.shape, d), append(p.a, sa), append(p.b, sb)
	}
	slices.Reverse(want)
	if !slices.Equal(want, out) {
		return p, fmt.Errorf("%w: shapes %v and %v broadcast to %v, not %v", ErrInvalid, a, b, want, out)
	}
	if len(p.shape) == 0 {
		p.shape, p.a, p.b = []int{1}, []int{0}, []int{0}
	}
	slices.Reverse(p.shape)
	slices.Reverse(p.a)
	slices.Reverse(p.b)
	p.rows = 1
	for _, d := range p.shape[:len(p.shape)-1] {
		p.rows *= d
	}
	return p, nil
}

// parts returns the number of parts: one for each row or, if there is only one row, for
// each chunk of it.
func (p *broadcast) parts() int {
	if p.rows == 1 {
		return chunks(p.shape[0])
	}
	return p.rows
}

// A run is a sequence of elements with constant steps.
type run struct {
	out, a, b    int // first element of the output and the operands
	n            int
	stepA, stepB int
}

// part returns the elements of part i.
func (p *broadcast) part(i int) run {
	last := len(p.shape) - 1
	r := run{n: p.shape[last], stepA: p.a[last], stepB: p.b[last]}
	if p.rows == 1 {
		from, to := span(i, i+1, r.n)
		r.out, r.a, r.b, r.n = from, from*r.stepA, from*r.stepB, to-from
		return r
	}
	r.out = i * r.n
	for axis := last - 1; axis >= 0; axis-- {
		at := i % p.shape[axis]
		i /= p.shape[axis]
		r.a += at * p.a[axis]
		r.b += at * p.b[axis]
	}
	return r
}
