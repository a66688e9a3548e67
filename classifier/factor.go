package classifier

import (
	"fmt"
	"math"
)

// A factor is the Cholesky factor L of a symmetric matrix A = L·Lᵀ. It is computed and used in
// blocks as high as a group of panels. Instead of dividing by a block on the diagonal, it
// multiplies by the block's inverse.
type factor[T float64 | float32] struct {
	rows *panels[T] // rows of L
	// inverses holds the inverse of each block on the diagonal of L, with rows as vectors.
	inverses [][]T
	// columns holds the elements of L below each block on the diagonal, with columns as
	// vectors. It is nil in a single-precision copy.
	columns [][]T
}

// A step eliminates a block of columns from vectors, in place. It holds scratch memory.
type step[T float64 | float32] struct {
	fill  multiplier[T]
	width int
	tile  []T
	block []T
}

func newStep[T float64 | float32](p *panels[T]) *step[T] {
	return &step[T]{p.fill, p.width, make([]T, tileRows*p.width), make([]T, p.width*p.width)}
}

// eliminate replaces x, elements of the vectors of a group, with D·(x − C·y). y holds n other
// elements of these vectors. The vectors of the panels c and d are the rows of C and D. If d is
// nil, D is the identity.
func (s *step[T]) eliminate(x, c, y []T, n int, d []T) {
	w := s.width
	count := len(x) / w
	out := s.block
	if d == nil {
		out = x
	}
	for i := 0; i < count; i += tileRows {
		part := x[i*w : min(i+tileRows, count)*w]
		if n == 0 {
			copy(out[i*w:], part)
			continue
		}
		s.fill(s.tile, c[i:], y, n)
		o, t := out[i*w:][:len(part)], s.tile[:len(part)] // for the compiler to leave out bounds checks
		for k, v := range part {
			o[k] = v - t[k]
		}
	}
	if d == nil {
		return
	}
	for i := 0; i < count; i += tileRows {
		s.fill(s.tile, d[i:], s.block, count)
		copy(x[i*w:min(i+tileRows, count)*w], s.tile)
	}
}

// groupsAtOnce is the number of groups of panels that are eliminated together. They fit in the
// second-level cache, so that the panels they are multiplied with are read less often.
const groupsAtOnce = 4

// cholesky returns the Cholesky factor of the symmetric matrix l.
func (l lower) cholesky() (*factor[float64], error) {
	n := len(l)
	f := &factor[float64]{rows: newLowerPanels[float64](n)}
	w, s := f.rows.width, newStep(f.rows)
	groups := len(f.rows.groups)
	below := make([]float64, max(groups-1, 0)*(2*n-groups*w)/2*w)
	for at := range groups {
		size := max(n-(at+1)*w, 0) * w
		f.columns, below = append(f.columns, below[:size:size]), below[size:]
	}
	for from := 0; from < groups; from += groupsAtOnce {
		to := min(from+groupsAtOnce, groups)
		for g := from; g < to; g++ {
			f.rows.setGroup(g, l[g*w:min((g+1)*w, n)])
		}
		for at := range to {
			for row := max(at, from); row < to; row++ {
				if err := block(f, row, at, s); err != nil {
					return nil, err
				}
			}
		}
	}
	return f, nil
}

// block replaces the block of A in a row and a column of blocks with that of L, given those to the left
// and above.
func block(f *factor[float64], row, column int, s *step[float64]) error {
	n, w := f.rows.n, f.rows.width
	first, last := column*w, min((column+1)*w, n)
	group, panel := f.rows.groups[row], f.rows.groups[column]
	x := group[first*w : last*w]
	if row == column {
		s.eliminate(x, panel, group, first, nil)
		if bad := factorBlock(x, w, last-first); bad >= 0 {
			return fmt.Errorf("%w: matrix of %d rows is not positive definite at row %d", ErrExamples, n, first+bad)
		}
		f.inverses = append(f.inverses, invertBlock(x, w, last-first))
		return nil
	}
	s.eliminate(x, panel, group, first, f.inverses[column])
	for r := range min((row+1)*w, n) - row*w {
		out := f.columns[column][((row-column-1)*w+r)*w:][:w]
		for c := range out {
			out[c] = x[c*w+r]
		}
	}
	return nil
}

// factorBlock replaces the lower triangle of n rows of a block with its Cholesky factor, and
// clears the rest. Element (r, c) of the block is at c*w+r. It returns -1, or the row at which
// the block is not positive definite.
func factorBlock(block []float64, w, n int) int {
	for c := range n {
		column := block[c*w : (c+1)*w]
		clear(column[:c])
		clear(column[n:])
		if !(column[c] > 0) {
			return c
		}
		root := math.Sqrt(column[c])
		for r := c; r < n; r++ {
			column[r] /= root
		}
		column[c] = root
		for j := c + 1; j < n; j++ {
			axpy(-column[j], column[j:n], block[j*w+j:j*w+n])
		}
	}
	return -1
}

// invertBlock returns the inverse of n rows of a triangular block. Element (r, c) is at c*w+r.
func invertBlock(block []float64, w, n int) []float64 {
	inverse := make([]float64, w*w)
	for c := range n {
		x := inverse[c*w : c*w+n]
		x[c] = 1
		for k := c; k < n; k++ {
			x[k] /= block[k*w+k]
			axpy(-x[k], block[k*w+k+1:k*w+n], x[k+1:])
		}
	}
	return inverse
}

// single returns a copy of f in single precision.
func (f *factor[T]) single() *factor[float32] {
	n := f.rows.n
	s := &factor[float32]{rows: newLowerPanels[float32](n)}
	w, half := s.rows.width, f.rows.width
	for g, group := range s.rows.groups {
		for h := range 2 {
			if i := 2*g + h; i < len(f.rows.groups) {
				for k := range min((i+1)*half, n) {
					for j, v := range f.rows.groups[i][k*half : (k+1)*half] {
						group[k*w+h*half+j] = float32(v)
					}
				}
			}
		}
		var block [panelBytes / 4 * panelBytes / 4]float64
		rows := min(w, n-g*w)
		for c := range rows {
			for r := c; r < rows; r++ {
				block[c*w+r] = float64(f.rows.at(g*w+r, g*w+c))
			}
		}
		inverse := make([]float32, w*w)
		for i, v := range invertBlock(block[:], w, rows) {
			inverse[i] = float32(v)
		}
		s.inverses = append(s.inverses, inverse)
	}
	return s
}

// forward replaces each vector x with L⁻¹·x. If identity is set, the vectors must be those of
// the identity matrix.
func (f *factor[T]) forward(x *panels[T], identity bool) {
	w, s := f.rows.width, newStep(x)
	for at, panel := range f.rows.groups {
		last := min((at+1)*w, f.rows.n)
		for g, group := range x.groups {
			start := 0 // the elements before it are zeros
			if identity {
				start = g
			}
			if start > at {
				break
			}
			s.eliminate(group[at*w*w:last*w], panel[start*w*w:], group[start*w*w:], (at-start)*w, f.inverses[at])
		}
	}
}

// solve replaces each row of n values with the solution x of A·x = row.
func (f *factor[T]) solve(rows [][]float64) {
	n, w := f.rows.n, f.rows.width
	x := packRows[T](rows, n)
	f.forward(x, false)
	s := newStep(x)
	for at := len(f.columns) - 1; at >= 0; at-- {
		last := min((at+1)*w, n)
		inverse := make([]T, w*w)
		for r := range w {
			for c := range w {
				inverse[r*w+c] = f.inverses[at][c*w+r]
			}
		}
		for _, group := range x.groups {
			s.eliminate(group[at*w*w:last*w], f.columns[at], group[last*w:], n-last, inverse)
		}
	}
	for i, row := range rows {
		for k := range row {
			row[k] = float64(x.at(i, k))
		}
	}
}

// inverse returns the vectors of L⁻ᵀ.
func (f *factor[T]) inverse() *panels[T] {
	u := newPanels[T](f.rows.n, f.rows.n)
	for i := range u.count {
		u.groups[i/u.width][i*u.width+i%u.width] = 1
	}
	f.forward(u, true)
	return u
}
