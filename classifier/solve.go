package classifier

import (
	"fmt"
	"math"
)

// panel is the number of rows of a matrix that are processed together, so that their
// products with the previous rows fill whole tiles.
const panel = 16

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

// cholesky replaces the symmetric matrix with its Cholesky factor L.
func (l lower) cholesky() error {
	for first := 0; first < len(l); first += panel {
		block := l[first:min(first+panel, len(l))]
		// Subtract the contribution of the previous columns from all remaining rows.
		eachTile(l[first:], block, first, func(i, j int, v float64) {
			if j <= i {
				l[first+i][first+j] -= v
			}
		})
		for i := first; i < len(l); i++ {
			row := l[i]
			for j := first; j < min(i, first+len(block)); j++ {
				row[j] = (row[j] - dot(row[first:j], l[j][first:j])) / l[j][j]
			}
			if i < first+len(block) {
				d := row[i] - dot(row[first:i], row[first:i])
				if !(d > 0) {
					return fmt.Errorf("%w: matrix of %d rows is not positive definite at row %d", ErrExamples, len(l), i)
				}
				row[i] = math.Sqrt(d)
			}
		}
	}
	return nil
}

// forward replaces each row r with L⁻¹·r for the Cholesky factor L (forward substitution). The
// first start values of each row must be 0.
func (l lower) forward(rows [][]float64, start int) {
	for first := start - start%panel; first < len(l); first += panel {
		block := l[first:min(first+panel, len(l))]
		if from := start - start%panel; first > from {
			part, before := make([][]float64, len(rows)), make([][]float64, len(block))
			for r, row := range rows {
				part[r] = row[from:]
			}
			for i, row := range block {
				before[i] = row[from:]
			}
			eachTile(part, before, first-from, func(r, i int, v float64) { rows[r][first+i] -= v })
		}
		for _, r := range rows {
			for i, row := range block {
				r[first+i] = (r[first+i] - dot(row[first:first+i], r[first:first+i])) / row[first+i]
			}
		}
	}
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
	if l.cholesky() != nil {
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

// An inverse is the matrix L⁻ᵀ for a Cholesky factor L, stored by rows.
type inverse [][]float64

// inverse returns L⁻ᵀ of the Cholesky factor l.
func (l lower) inverse() inverse {
	u := inverse(newTable(len(l), len(l)))
	for first := 0; first < len(u); first += panel {
		rows := u[first:min(first+panel, len(u))]
		for i := range rows {
			rows[i][first+i] = 1
		}
		l.forward(rows, first)
	}
	return u
}

// at returns the rows and columns of (L·Lᵀ)⁻¹ at the given indexes.
func (u inverse) at(indexes []int) lower {
	part := newLower(len(indexes))
	for a, i := range indexes {
		for b, j := range indexes[:a+1] {
			from := max(i, j)
			part[a][b] = dot(u[i][from:], u[j][from:])
		}
	}
	return part
}

// solve replaces each row with the solution x of L·Lᵀ·x = row.
func (u inverse) solve(l lower, rows [][]float64) {
	l.forward(rows, 0)
	n := len(u)
	part := make([][]float64, len(rows))
	for first := 0; first < n; first += panel {
		block := make([][]float64, min(panel, n-first))
		for i := range block {
			block[i] = u[first+i][first:]
		}
		for r, row := range rows {
			part[r] = row[first:]
		}
		// The remaining blocks do not use the values overwritten here.
		x := products(part, block, n-first)
		for r, row := range rows {
			copy(row[first:], x[r])
		}
	}
}
