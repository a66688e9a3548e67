package classifier

import (
	"fmt"
	"math"
)

// panel is how many rows of a matrix are worked on together: what they need of the
// rows before is then inner products of many pairs.
const panel = 16

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
	for first := 0; first < len(l); first += panel {
		block := l[first:min(first+panel, len(l))]
		// What the columns before take from all rows from here on.
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
					return fmt.Errorf("%d examples leave no variance in direction %d: %w", len(l), i, ErrShape)
				}
				row[i] = math.Sqrt(d)
			}
		}
	}
	return nil
}

// halve replaces each of rows, r, by L⁻¹·r, for the Cholesky factor L. The first start
// values of all are 0.
func (l lower) halve(rows [][]float64, start int) {
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

// An inverse is L⁻ᵀ, one row after the other, for a Cholesky factor L.
type inverse [][]float64

// inverse returns the inverse of a Cholesky factor.
func (l lower) inverse() inverse {
	u := inverse(newTable(len(l), len(l)))
	for first := 0; first < len(u); first += panel {
		rows := u[first:min(first+panel, len(u))]
		for i := range rows {
			rows[i][first+i] = 1
		}
		l.halve(rows, first)
	}
	return u
}

// at gives the rows and columns at of the inverse of L·Lᵀ.
func (u inverse) at(at []int) lower {
	part := newLower(len(at))
	for a, i := range at {
		for b, j := range at[:a+1] {
			from := max(i, j)
			part[a][b] = dot(u[i][from:], u[j][from:])
		}
	}
	return part
}

// solve replaces each of rows by the solution of L·Lᵀ·x = row.
func (u inverse) solve(l lower, rows [][]float64) {
	l.halve(rows, 0)
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
		// Row r from here on is not needed again for the rows of u after these.
		x := products(part, block, n-first)
		for r, row := range rows {
			copy(row[first:], x[r])
		}
	}
}

// halfOf replaces r by L⁻¹·r, for few values.
func (l lower) halfOf(r []float64) {
	for i, row := range l {
		r[i] = (r[i] - dot(row[:i], r[:i])) / row[i]
	}
}

// solve replaces b by the solution x of L·Lᵀ·x = b, for few values.
func (l lower) solve(b []float64) {
	l.halfOf(b)
	for i := len(l) - 1; i >= 0; i-- {
		b[i] /= l[i][i]
		axpy(-b[i], l[i][:i], b[:i])
	}
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
