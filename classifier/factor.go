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
// nil, D is the identity. Otherwise it is a triangular matrix, which is upper or lower.
func (s *step[T]) eliminate(x, c, y []T, n int, d []T, upper bool) {
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
		if upper {
			s.fill(s.tile, d[i*w+i:], s.block[i*w:], count-i)
		} else {
			s.fill(s.tile, d[i:], s.block, min(i+tileRows, count))
		}
		copy(x[i*w:min(i+tileRows, count)*w], s.tile)
	}
}

// groupsAtOnce is the number of groups of panels that are eliminated together. They fit in the
// second-level cache, so that the panels they are multiplied with are read less often.
const groupsAtOnce = 4

// cholesky returns the Cholesky factor of the symmetric matrix l + λI.
func (l lower) cholesky(lambda float64) (*factor[float64], error) {
	return choleskyOf[float64](len(l), lambda, func(i int) []float64 { return l[i] })
}

// choleskyOf is like cholesky for a matrix with n rows. row returns the elements of row i up to the
// diagonal, which stay valid until it has been called for as many rows as there are in a group of panels.
func choleskyOf[T float64 | float32](n int, lambda float64, row func(i int) []float64) (*factor[T], error) {
	f := &factor[T]{rows: newLowerPanels[T](n)}
	w, s := f.rows.width, newStep(f.rows)
	groups, rows := len(f.rows.groups), make([][]float64, w)
	for from := 0; from < groups; from += groupsAtOnce {
		to := min(from+groupsAtOnce, groups)
		for g := from; g < to; g++ {
			some, group := rows[:min(w, n-g*w)], f.rows.groups[g]
			for r := range some {
				some[r] = row(g*w + r)
			}
			f.rows.setGroup(g, some)
			for r := range some {
				group[(g*w+r)*w+r] += T(lambda)
			}
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
func block[T float64 | float32](f *factor[T], row, column int, s *step[T]) error {
	n, w := f.rows.n, f.rows.width
	first, last := column*w, min((column+1)*w, n)
	group, panel := f.rows.groups[row], f.rows.groups[column]
	x := group[first*w : last*w]
	if row == column {
		s.eliminate(x, panel, group, first, nil, false)
		double, inverse := make([]float64, len(x)), make([]T, w*w)
		for i, v := range x {
			double[i] = float64(v)
		}
		if bad := factorBlock(double, w, last-first); bad >= 0 {
			return fmt.Errorf("%w: matrix of %d rows is not positive definite at row %d", ErrExamples, n, first+bad)
		}
		for i, v := range double {
			x[i] = T(v)
		}
		for i, v := range invertBlock(double, w, last-first) {
			inverse[i] = T(v)
		}
		f.inverses = append(f.inverses, inverse)
		return nil
	}
	s.eliminate(x, panel, group, first, f.inverses[column], false)
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

// forward replaces each vector x with L⁻¹·x.
func (f *factor[T]) forward(x *panels[T]) {
	w, s := f.rows.width, newStep(x)
	for from := 0; from < len(x.groups); from += groupsAtOnce {
		for at, panel := range f.rows.groups {
			last := min((at+1)*w, f.rows.n)
			for _, group := range x.groups[from:min(from+groupsAtOnce, len(x.groups))] {
				s.eliminate(group[at*w*w:last*w], panel, group, at*w, f.inverses[at], false)
			}
		}
	}
}

// solve replaces each row of n values with the solution x of A·x = row.
func (f *factor[T]) solve(rows [][]float64) {
	n, w := f.rows.n, f.rows.width
	x := packRows[T](rows, n)
	defer x.release()
	f.forward(x)
	s, memory, inverse := newStep(x), take[T](n*w, false), make([]T, w*w)
	defer give(memory)
	for at := len(f.rows.groups) - 1; at >= 0; at-- {
		last := min((at+1)*w, n)
		for r := range w {
			for c := range w {
				inverse[r*w+c] = f.inverses[at][c*w+r]
			}
		}
		columns := f.below(at, memory)
		for _, group := range x.groups {
			s.eliminate(group[at*w*w:last*w], columns, group[last*w:], n-last, inverse, true)
		}
	}
	x.copyTo(rows)
}

// below returns the elements of L below a block on the diagonal, with columns as vectors, in memory.
func (f *factor[T]) below(at int, memory []T) []T {
	n, w := f.rows.n, f.rows.width
	first := (at + 1) * w
	for g := at + 1; g < len(f.rows.groups); g++ {
		block := f.rows.groups[g][at*w*w : first*w]
		for r := range min(w, n-g*w) {
			out := memory[(g*w+r-first)*w:][:w]
			for c := range out {
				out[c] = block[c*w+r]
			}
		}
	}
	return memory[:max(n-first, 0)*w]
}

// inverse returns the vectors of L⁻ᵀ, whose groups lack the elements that are zero in all vectors.
func (f *factor[T]) inverse() *panels[T] {
	n := f.rows.n
	u := newPanels[T](0, n)
	u.count, u.trimmed = n, true
	u.allocate((n+u.width-1)/u.width, true, func(g int) int { return n - g*u.width })
	f.invert(u)
	return u
}

// wholeInverse returns the vectors of L⁻ᵀ with all elements.
func (f *factor[T]) wholeInverse() *panels[T] {
	u := newPanels[T](f.rows.n, f.rows.n)
	part := *u
	part.groups = nil
	for g, group := range u.groups {
		part.groups = append(part.groups, group[g*u.width*u.width:])
	}
	f.invert(&part)
	return u
}

// invert sets u, which holds zeros, to the result of inverse.
func (f *factor[T]) invert(u *panels[T]) {
	w, s := u.width, newStep(u)
	for i := range u.count {
		u.groups[i/w][i%w*(w+1)] = 1
	}
	for from := 0; from < len(u.groups); from += groupsAtOnce {
		for at := from; at < len(u.groups); at++ {
			panel, last := f.rows.groups[at], min((at+1)*w, f.rows.n)
			for g := from; g < min(from+groupsAtOnce, at+1); g++ {
				group := u.groups[g]
				s.eliminate(group[(at-g)*w*w:(last-g*w)*w], panel[g*w*w:], group, (at-g)*w, f.inverses[at], false)
			}
		}
	}
}

// A dualSolver solves one equation per example.
type dualSolver struct {
	solve   func(rows [][]float64)     // see factor.solve
	inverse func(examples []int) lower // the elements of the inverse of the matrix for some examples
	release func()                     // must be called last
}

// newDualSolver returns a solver for the symmetric matrix with the given rows plus λI. See choleskyOf.
func (t *training) newDualSolver(lambda float64, row func(i int) []float64) (*dualSolver, error) {
	if t.single {
		return newDualSolver[float32](len(t.class), lambda, row)
	}
	return newDualSolver[float64](len(t.class), lambda, row)
}

func newDualSolver[T float64 | float32](n int, lambda float64, row func(i int) []float64) (*dualSolver, error) {
	l, err := choleskyOf[T](n, lambda, row)
	if err != nil {
		return nil, err
	}
	u := l.inverse()
	lengths := squares(u)
	return &dualSolver{
		solve:   l.solve,
		inverse: func(examples []int) lower { return gramOf(u, lengths, examples) },
		release: func() {
			l.rows.release()
			u.release()
		},
	}, nil
}
