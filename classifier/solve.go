package classifier

import (
	"fmt"
	"math"
)

// gonum's routines add in an order that depends on the processor. Heads must be
// the same bytes everywhere, so the little algebra they need is here: every sum has
// one order, and products are converted so that none is fused into a sum.

// dot4 is the inner product in four interleaved sums, which a processor can work
// on at the same time.
func dot4(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	for len(a) >= 4 {
		s0 += float64(a[0] * b[0])
		s1 += float64(a[1] * b[1])
		s2 += float64(a[2] * b[2])
		s3 += float64(a[3] * b[3])
		a, b = a[4:], b[4:]
	}
	for i, v := range a {
		s0 += float64(v * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// dot2x2 are the inner products of two vectors with two others: half the memory
// traffic of four products.
func dot2x2(a0, a1, b0, b1 []float64) (s00, s01, s10, s11 float64) {
	n := len(a0)
	a1, b0, b1 = a1[:n], b0[:n], b1[:n]
	var t00, t01, t10, t11 float64
	k := 0
	for ; k+1 < n; k += 2 {
		u, v, x, y := a0[k], a1[k], b0[k], b1[k]
		s00 += float64(u * x)
		s01 += float64(u * y)
		s10 += float64(v * x)
		s11 += float64(v * y)
		u, v, x, y = a0[k+1], a1[k+1], b0[k+1], b1[k+1]
		t00 += float64(u * x)
		t01 += float64(u * y)
		t10 += float64(v * x)
		t11 += float64(v * y)
	}
	if k < n {
		s00 += float64(a0[k] * b0[k])
		s01 += float64(a0[k] * b1[k])
		s10 += float64(a1[k] * b0[k])
		s11 += float64(a1[k] * b1[k])
	}
	return s00 + t00, s01 + t01, s10 + t10, s11 + t11
}

// gram returns the lower half of the inner products of all pairs of rows.
func gram(rows [][]float64) lower {
	g := newLower(len(rows))
	for i := 0; i < len(rows); i += 2 {
		if i+1 == len(rows) {
			for j := range rows {
				g[i][j] = dot4(rows[i], rows[j])
			}
			break
		}
		for j := 0; j <= i; j += 2 {
			s00, s01, s10, s11 := dot2x2(rows[i], rows[i+1], rows[j], rows[j+1])
			g[i][j], g[i+1][j], g[i+1][j+1] = s00, s10, s11
			if j < i {
				g[i][j+1] = s01
			}
		}
	}
	return g
}

// lower is the lower half of a square matrix, one row after the other.
type lower [][]float64

func newLower(n int) lower {
	l, all := make(lower, n), make([]float64, n*(n+1)/2)
	for i := range l {
		l[i], all = all[:i+1:i+1], all[i+1:]
	}
	return l
}

// at is the element in row i and column j of the symmetric matrix.
func (l lower) at(i, j int) float64 {
	if i < j {
		i, j = j, i
	}
	return l[i][j]
}

// cholesky replaces the symmetric matrix by its Cholesky factor.
func (l lower) cholesky() error {
	for i, row := range l {
		for j := range i {
			row[j] = (row[j] - dot4(row[:j], l[j][:j])) / l[j][j]
		}
		d := row[i] - dot4(row[:i], row[:i])
		if !(d > 0) {
			return fmt.Errorf("%d examples leave no variance in direction %d: %w", len(l), i, ErrShape)
		}
		row[i] = math.Sqrt(d)
	}
	return nil
}

// solve replaces b by the solution x of L·Lᵀ·x = b.
func (l lower) solve(b []float64) {
	for i, row := range l {
		b[i] = (b[i] - dot4(row[:i], b[:i])) / row[i]
	}
	for i := len(l) - 1; i >= 0; i-- {
		b[i] /= l[i][i]
		axpy(-b[i], l[i][:i], b[:i])
	}
}

// invert replaces a Cholesky factor by its inverse.
func (l lower) invert() {
	// Row i of L⁻¹ is −(Σ L[i][k]·row k of L⁻¹, k < i)/L[i][i], and 1/L[i][i] at i.
	next := make([]float64, len(l))
	for i, row := range l {
		clear(next[:i])
		for k := range i {
			axpy(row[k], l[k], next[:k+1])
		}
		for k := range i {
			row[k] = -next[k] / row[i]
		}
		row[i] = 1 / row[i]
	}
}

// inverseAt gives the rows and columns at of the inverse of L·Lᵀ, for the inverse of L.
func (l lower) inverseAt(at []int) lower {
	part := newLower(len(at))
	for a, i := range at {
		for b, j := range at[:a+1] {
			for k := max(i, j); k < len(l); k++ {
				part[a][b] += float64(l[k][i] * l[k][j])
			}
		}
	}
	return part
}

// each replaces every element by f of it.
func (l lower) each(f func(float64) float64) {
	for _, row := range l {
		for j, v := range row {
			row[j] = f(v)
		}
	}
}

// solveRows replaces the rows of table at by the solutions of the symmetric matrix l,
// which it changes.
func (l lower) solveRows(at []int, table [][]float64) {
	for i := range l {
		l[i][i] = max(l[i][i], 1e-9)
	}
	if l.cholesky() != nil {
		return // only rounding can bring it here
	}
	column := make([]float64, len(at))
	for c := range table[at[0]] {
		for k, i := range at {
			column[k] = table[i][c]
		}
		l.solve(column)
		for k, i := range at {
			table[i][c] = column[k]
		}
	}
}

// axpy adds f·x to y.
func axpy(f float64, x, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float64(f * v)
	}
}
