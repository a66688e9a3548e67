package classifier

import (
	"fmt"
	"math"
)

// lower is a lower triangular matrix, or the lower triangle of a symmetric matrix, stored by
// rows.
type lower [][]float64

func newLower(n int) lower {
	l, all := make(lower, n), make([]float64, n*(n+1)/2)
	for i := range l {
		l[i], all = all[:i+1:i+1], all[i+1:]
	}
	return l
}

func (l lower) clone() lower {
	c := newLower(len(l))
	for i := range c {
		copy(c[i], l[i])
	}
	return c
}

// at returns the element in row i and column j of the symmetric matrix.
func (l lower) at(i, j int) float64 {
	if i < j {
		i, j = j, i
	}
	return l[i][j]
}

// apply replaces every element v of the triangle with f(v).
func (l lower) apply(f func(float64) float64) {
	for _, row := range l {
		for j, v := range row {
			row[j] = f(v)
		}
	}
}

// factorize replaces the symmetric matrix with its Cholesky factor L. It is meant for small
// matrices; cholesky is faster for large ones.
func (l lower) factorize() error {
	for i, row := range l {
		for j := range i {
			row[j] = (row[j] - dot(row[:j], l[j][:j])) / l[j][j]
		}
		d := row[i] - dot(row[:i], row[:i])
		if !(d > 0) {
			return fmt.Errorf("%w: matrix of %d rows is not positive definite at row %d", ErrExamples, len(l), i)
		}
		row[i] = math.Sqrt(d)
	}
	return nil
}

// forwardOne replaces r with L⁻¹·r, for a small L.
func (l lower) forwardOne(r []float64) {
	for i, row := range l {
		r[i] = (r[i] - dot(row[:i], r[:i])) / row[i]
	}
}

// solveOne replaces b with the solution x of L·Lᵀ·x = b, for a small L.
func (l lower) solveOne(b []float64) {
	l.forwardOne(b)
	for i := len(l) - 1; i >= 0; i-- {
		b[i] /= l[i][i]
		axpy(-b[i], l[i][:i], b[:i])
	}
}

// solveRows replaces B, the rows of table at the given indexes, with the solution X of l·X = B.
// l is a symmetric matrix, which solveRows overwrites.
func (l lower) solveRows(indexes []int, table [][]float64) {
	for i := range l {
		l[i][i] = max(l[i][i], 1e-9)
	}
	if l.factorize() != nil {
		return // only rounding errors can cause this
	}
	column := make([]float64, len(indexes))
	for c := range table[indexes[0]] {
		for k, i := range indexes {
			column[k] = table[i][c]
		}
		l.solveOne(column)
		for k, i := range indexes {
			table[i][c] = column[k]
		}
	}
}
