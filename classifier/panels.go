package classifier

// Training a head mostly means multiplying matrices. gonum adds the products of elements in an
// order that depends on the processor, but heads must have the same bytes on every processor. So
// every inner product here is a sum in ascending order of the elements, one product at a time.
// Each product is converted to its type, which keeps the compiler from fusing the multiplication
// with the addition. The assembly produces the same bits.

// An element is the type of a matrix's elements. An int32 holds two int16, of which the even
// one is in the low half.
type element interface{ float64 | float32 | int32 }

// tileRows is the number of rows of a tile.
const tileRows = 8

// panelBytes is the size of one element of all vectors in a panel.
const panelBytes = 128

// A multiplier fills tile with the inner products of 8 vectors of a panel, from a on, with all
// vectors of panel b, over their first n elements. The tile has one row per vector of a.
type multiplier[T element] func(tile, a, b []T, n int)

// panels holds the vectors of a matrix in groups of width, element by element: within a group,
// element k of vector j is at k*width+j. The last group is filled up with zeros.
type panels[T element] struct {
	count  int // number of vectors
	n      int // elements per vector
	width  int // vectors per group
	groups [][]T
	memory []T // of groups
	// trimmed reports that group g lacks its first g*width elements, which are zeros.
	trimmed bool
	fill    multiplier[T]
}

func newPanels[T element](count, n int) *panels[T] {
	return newPanelsWith[T](count, n, true)
}

// newPanelsToSet is like newPanels, but all vectors must be set. Those behind the last one are arbitrary.
func newPanelsToSet[T element](count, n int) *panels[T] {
	return newPanelsWith[T](count, n, false)
}

func newPanelsWith[T element](count, n int, zero bool) *panels[T] {
	p := &panels[T]{count: count, n: n}
	var fill any
	switch any(*new(T)).(type) {
	case float64:
		p.width, fill = panelBytes/8, multiply64
	case float32:
		p.width, fill = panelBytes/4, multiply32
	case int32:
		p.width, fill = panelBytes/4, multiplyPairs
	}
	p.fill = fill.(multiplier[T])
	groups := (count + p.width - 1) / p.width
	p.allocate(groups, zero, func(int) int { return n })
	return p
}

// allocate sets p.groups to groups of vectors, which are arbitrary unless zero is set. elements returns
// the number of elements of the vectors of a group.
func (p *panels[T]) allocate(groups int, zero bool, elements func(g int) int) {
	p.groups = make([][]T, groups)
	total := 0
	for g := range groups {
		total += elements(g) * p.width
	}
	p.memory = take[T](total, zero)
	total = 0
	for g := range groups {
		n := elements(g) * p.width
		p.groups[g] = p.memory[total:][:n:n]
		total += n
	}
}

// release gives up the memory of p, which must not be used any more.
func (p *panels[T]) release() {
	give(p.memory)
	p.groups, p.memory = nil, nil
}

// newLowerPanels returns panels for the rows of a lower triangular matrix. Its groups lack the elements
// that are zero in all vectors.
func newLowerPanels[T float64 | float32](n int) *panels[T] {
	p := newPanels[T](0, n)
	p.count = n
	p.allocate((n+p.width-1)/p.width, true, func(g int) int { return min((g+1)*p.width, n) })
	return p
}

// packRows returns the rows of a table of n columns as panels.
func packRows[T float64 | float32](rows [][]float64, n int) *panels[T] {
	p := newPanels[T](len(rows), n)
	p.setRows(rows)
	return p
}

// setRows sets the first vectors of p to rows.
func (p *panels[T]) setRows(rows [][]float64) {
	for first := 0; first < len(rows); first += p.width {
		p.setGroup(first/p.width, rows[first:min(first+p.width, len(rows))])
	}
}

// setGroup sets the first vectors of a group to rows, which may be shorter than vectors.
func (p *panels[T]) setGroup(g int, rows [][]float64) {
	const some = 8 // columns whose elements are in one line of the cache
	group, longest := p.groups[g], len(rows[len(rows)-1])
	for k := 0; k < longest; k += some {
		out := group[k*p.width:]
		for j, row := range rows {
			for i, v := range row[min(k, len(row)):min(k+some, len(row))] {
				out[i*p.width+j] = T(v)
			}
		}
	}
}

// copyTo sets rows to the first vectors of p.
func (p *panels[T]) copyTo(rows [][]float64) {
	const some = 8 // see setGroup
	for first := 0; first < len(rows); first += p.width {
		group, part := p.groups[first/p.width], rows[first:min(first+p.width, len(rows))]
		for k := 0; k < p.n; k += some {
			in := group[k*p.width:]
			for j, row := range part {
				row = row[k:min(k+some, p.n)]
				for i := range row {
					row[i] = float64(in[i*p.width+j])
				}
			}
		}
	}
}

// packColumns returns the columns of a table of n columns as panels.
func packColumns(rows [][]float64, n int) *panels[float64] {
	p := newPanels[float64](n, len(rows))
	for g, group := range p.groups {
		from, to := g*p.width, min((g+1)*p.width, n)
		for k, row := range rows {
			copy(group[k*p.width:], row[from:to])
		}
	}
	return p
}

// first returns the first count vectors of p, which share its memory.
func (p *panels[T]) first(count int) *panels[T] {
	some := *p
	some.count, some.groups = count, p.groups[:(count+p.width-1)/p.width]
	return &some
}

// at returns element k of vector i.
func (p *panels[T]) at(i, k int) T {
	g := i / p.width
	if p.trimmed {
		if k -= g * p.width; k < 0 {
			return 0
		}
	}
	return p.groups[g][k*p.width+i%p.width]
}

// eachTile calls f with tiles of inner products of all vectors of a and b. Element (r, c) of a
// tile is at r*b.width+c, and belongs to vectors i+r and j+c, of which f must skip those that do
// not exist. If half is set, eachTile leaves out tiles whose elements all have i+r < j+c.
func eachTile[T element](a, b *panels[T], half bool, f func(i, j int, tile []T)) {
	// As many groups of b are processed together as fit in the second-level cache.
	const cache = 256 << 10
	some := max(cache/(panelBytes*max(b.n, 1)), 1)
	tile := take[T](tileRows*b.width, false)
	defer give(tile)
	for first := 0; first < len(b.groups); first += some {
		for i := 0; i < a.count; i += tileRows {
			vectors := a.groups[i/a.width][i%a.width:]
			for g := first; g < min(first+some, len(b.groups)); g++ {
				if j := g * b.width; !half || j < i+tileRows {
					a.fill(tile, vectors, b.groups[g], b.n)
					f(i, j, tile)
				}
			}
		}
	}
}

// products returns the inner products of all vectors of a with all vectors of b.
func products[T float64 | float32](a, b *panels[T]) [][]float64 {
	table := newTable(a.count, b.count)
	eachTile(a, b, false, func(i, j int, tile []T) {
		for r, row := range table[i:min(i+tileRows, a.count)] {
			row = row[j:min(j+b.width, b.count)]
			for c, v := range tile[r*b.width:][:len(row)] {
				row[c] = float64(v)
			}
		}
	})
	return table
}

// productsOfRows returns the inner products of all rows of a with all rows of b, which have n columns.
func productsOfRows(a, b [][]float64, n int) [][]float64 {
	p, q := packRows[float64](a, n), packRows[float64](b, n)
	defer p.release()
	defer q.release()
	return products(p, q)
}

// gramOfRows returns the inner products of all pairs of rows of n columns.
func gramOfRows(rows [][]float64, n int) lower {
	p := packRows[float64](rows, n)
	defer p.release()
	return gram(p)
}

// gram returns the inner products of all pairs of vectors.
func gram(p *panels[float64]) lower {
	g := newLower(p.count)
	g.addGram(p, 1)
	return g
}

// addGramOfColumns adds the inner products of all pairs of columns of a table, multiplied by sign, to g.
func (g lower) addGramOfColumns(rows [][]float64, sign float64) {
	p := packColumns(rows, len(g))
	defer p.release()
	g.addGram(p, sign)
}

// addGram adds the inner products of all pairs of vectors, multiplied by sign, to g.
func (g lower) addGram(p *panels[float64], sign float64) {
	eachTile(p, p, true, func(i, j int, tile []float64) {
		for r, row := range g[i:min(i+tileRows, p.count)] {
			row = row[min(j, len(row)):min(j+p.width, len(row))]
			for c, v := range tile[r*p.width:][:len(row)] {
				row[c] += sign * v
			}
		}
	})
}

// squares returns the squared length of each vector.
func squares[T float64 | float32](p *panels[T]) []float64 {
	all := make([]float64, len(p.groups)*p.width)
	for g, group := range p.groups {
		sums := all[g*p.width:][:p.width]
		for ; len(group) > 0; group = group[p.width:] {
			for j, v := range group[:p.width] {
				sums[j] += float64(float64(v) * float64(v))
			}
		}
	}
	return all[:p.count]
}

// gramOf returns the inner products of the vectors at the given indexes. squares holds the
// squared length of each vector.
func gramOf[T float64 | float32](p *panels[T], squares []float64, indexes []int) lower {
	if len(indexes) == 1 {
		return lower{{squares[indexes[0]]}}
	}
	some := newTable(len(indexes), p.n)
	for i, row := range some {
		for k := range row {
			row[k] = float64(p.at(indexes[i], k))
		}
	}
	return gramOfRows(some, p.n)
}

// multiplyGo is a multiplier for floating-point numbers.
func multiplyGo[T float64 | float32](tile, a, b []T, n int) {
	const blockSize = 4
	width := len(tile) / tileRows
	for i := 0; i < tileRows; i += blockSize {
		for j := 0; j < width; j += blockSize {
			var s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33 T
			for k := range n {
				x, y := a[k*width+i:][:blockSize], b[k*width+j:][:blockSize]
				x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
				v := y[0]
				s00, s10, s20, s30 = s00+T(x0*v), s10+T(x1*v), s20+T(x2*v), s30+T(x3*v)
				v = y[1]
				s01, s11, s21, s31 = s01+T(x0*v), s11+T(x1*v), s21+T(x2*v), s31+T(x3*v)
				v = y[2]
				s02, s12, s22, s32 = s02+T(x0*v), s12+T(x1*v), s22+T(x2*v), s32+T(x3*v)
				v = y[3]
				s03, s13, s23, s33 = s03+T(x0*v), s13+T(x1*v), s23+T(x2*v), s33+T(x3*v)
			}
			out := tile[i*width+j:]
			copy(out, []T{s00, s01, s02, s03})
			copy(out[width:], []T{s10, s11, s12, s13})
			copy(out[2*width:], []T{s20, s21, s22, s23})
			copy(out[3*width:], []T{s30, s31, s32, s33})
		}
	}
}

// multiplyPairsGo is a multiplier for pairs of int16. Sums wrap around.
func multiplyPairsGo(tile, a, b []int32, n int) {
	const width = panelBytes / 4
	clear(tile)
	for k := range n {
		y := b[k*width:][:width]
		for i, x := range a[k*width:][:tileRows] {
			even, odd := int32(int16(x)), x>>16
			row := tile[i*width:][:width]
			for j, v := range y {
				row[j] += even*int32(int16(v)) + odd*(v>>16)
			}
		}
	}
}
